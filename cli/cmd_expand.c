/* cmd_expand.c - `sluice expand`: a small model in the shape of a large one. */
#include "cmd.h"
#include "message.h"
#include "model_path.h"
#include "options.h"
#include "sluice/expand.h"
#include "sluice/synth.h"
#include "write_model.h"

typedef struct job {
    const char *small;
    sl_expand_params params;
} job;

static sl_status write_expanded(const char *path, const void *what,
                                int (*progress)(void *, uint64_t, uint64_t), void *user,
                                sl_error *err) {
    const job *j = what;
    sl_expand_params params = j->params;
    params.progress = progress;
    params.user = user;
    return sl_expand_write(path, j->small, &params, err);
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_choice likes[CLI_NAMES_MAX + 1], types[CLI_NAMES_MAX + 1];
    char embedded[CLI_PATH_MAX];
    int like = -1, type = 0, code;
    int32_t layers = 0;
    const char *small = NULL, *output = NULL;
    cli_list_names(likes, sl_synth_like_name);
    cli_list_names(types, sl_expand_type_name);
    const cli_option options[] = {
        CLI_TEXT(NULL, "SMALL", &small, "the model to expand; the embedded one if left out"),
        CLI_CHOICE("--like", "MODEL", &like, likes, "the model whose shape it gets"),
        CLI_CHOICE("--type", "TYPE", &type, types, "tensor types; keep: the small model's"),
        CLI_TEXT("-o --output", "FILE", &output, "the file to write"),
        CLI_INT("--layers", "N", &layers, 0, 1024, "layers; 0: as many as the large model has"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    if (like < 0 || !output) {
        cli_complain("%s; 'sluice expand --help' lists what there is",
                     like < 0 ? "--like: expected a model whose shape to take"
                              : "-o: expected a file to write");
        return CLI_USAGE;
    }
    if (!small) {
        if (!cli_find_embedded_model(embedded)) return CLI_FAILED;
        small = embedded;
    }
    const job j = {small, {.like = likes[like].name, .type = types[type].name, .layers = layers}};
    return cli_write_model(output, write_expanded, &j);
}

const cli_command cli_cmd_expand = {"expand", "[SMALL] --like MODEL -o FILE [OPTIONS]",
                                    "Write a small model in the shape of a large one", NULL, run};

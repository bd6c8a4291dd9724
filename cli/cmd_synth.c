/* cmd_synth.c - `sluice synth`: a model file of true size with random weights. */
#include "cmd.h"
#include "message.h"
#include "options.h"
#include "sluice/synth.h"
#include "write_model.h"

static sl_status write_synthetic(const char *path, const void *what,
                                 int (*progress)(void *, uint64_t, uint64_t), void *user,
                                 sl_error *err) {
    sl_synth_params params = *(const sl_synth_params *)what;
    params.progress = progress;
    params.user = user;
    return sl_synth_write(path, &params, err);
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_choice likes[CLI_NAMES_MAX + 1], types[CLI_NAMES_MAX + 1];
    int like = -1, type = -1;
    int32_t layers = 0;
    int64_t seed = 0;
    const char *output = NULL;
    int code;
    cli_list_names(likes, sl_synth_like_name);
    cli_list_names(types, sl_synth_type_name);
    const cli_option options[] = {
        CLI_CHOICE("--like", "MODEL", &like, likes, "the model to imitate"),
        CLI_CHOICE("--type", "TYPE", &type, types, "tensor type of the large matrices"),
        CLI_TEXT("-o --output", "FILE", &output, "the file to write"),
        CLI_INT("--layers", "N", &layers, 0, 1024, "layers; 0: as many as the model has"),
        CLI_INT64("-s --seed", "N", &seed, 0, (double)INT64_MAX, "seed of the weights"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    if (like < 0 || type < 0 || !output) {
        cli_complain("%s; 'sluice synth --help' lists what there is",
                     like < 0   ? "--like: expected a model to imitate"
                     : type < 0 ? "--type: expected a tensor type"
                                : "-o: expected a file to write");
        return CLI_USAGE;
    }
    const sl_synth_params params = {.like = likes[like].name,
                                    .type = types[type].name,
                                    .layers = layers,
                                    .seed = (uint64_t)seed};
    return cli_write_model(output, write_synthetic, &params);
}

const cli_command cli_cmd_synth = {"synth", "--like MODEL --type TYPE -o FILE [OPTIONS]",
                                   "Write a model file of true size with random weights", NULL,
                                   run};

/* cmd_synth.c - `sluice synth`: a model file of true size with random weights. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cmd.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "sluice/synth.h"
#include "units.h"

enum { NAMES_MAX = 32 };

typedef struct synth_state {
    cli_progress progress;
    const volatile int *cancel;
} synth_state;

/* The library's names as choices, each with its index. */
static void list_names(cli_choice choices[NAMES_MAX + 1], const char *(*name_of)(int32_t)) {
    int32_t n = 0;
    for (; n < NAMES_MAX && name_of(n); n++)
        choices[n] = (cli_choice){name_of(n), (int)n};
    choices[n] = (cli_choice){NULL, 0};
}

static int on_progress(void *user, uint64_t done, uint64_t total) {
    synth_state *st = user;
    cli_progress_bytes(&st->progress, done, total);
    return *st->cancel;
}

static int write_file(const char *path, sl_synth_params *params) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    synth_state st = {.cancel = cli_interrupt_install()};
    params->progress = on_progress;
    params->user = &st;

    cli_progress_begin(&st.progress, "writing");
    const sl_status status = sl_synth_write(path, params, &err);
    cli_progress_end(&st.progress);
    if (status == SL_OK) {
        struct stat info;
        if (stat(path, &info) == 0)
            (void)printf("%s: %s\n", path, cli_bytes_text((double)info.st_size).text);
        return CLI_OK;
    }
    if (*st.cancel) {
        cli_complain("interrupted, %s was not written", path);
        return CLI_FAILED;
    }
    return cli_complain_status(NULL, status, &err);
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_choice likes[NAMES_MAX + 1], types[NAMES_MAX + 1];
    int like = -1, type = -1;
    int32_t layers = 0;
    int64_t seed = 0;
    const char *output = NULL;
    int code;
    list_names(likes, sl_synth_like_name);
    list_names(types, sl_synth_type_name);
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
    sl_synth_params params = {.like = likes[like].name,
                              .type = types[type].name,
                              .layers = layers,
                              .seed = (uint64_t)seed};
    return write_file(output, &params);
}

const cli_command cli_cmd_synth = {"synth", "--like MODEL --type TYPE -o FILE [OPTIONS]",
                                   "Write a model file of true size with random weights", NULL,
                                   run};

/* main.c - find the subcommand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "options.h"
#include "sluice/status.h"

static const cli_command *const commands[] = {
    &cli_cmd_run,        &cli_cmd_chat,  &cli_cmd_info,   &cli_cmd_tokenize, &cli_cmd_logits,
    &cli_cmd_perplexity, &cli_cmd_synth, &cli_cmd_expand, &cli_cmd_bench,    &cli_cmd_trace,
};

static void print_usage(FILE *to) {
    (void)fputs("usage: sluice COMMAND [OPTIONS]\n"
                "Mixture-of-Experts language models on which speculation pays.\n\n",
                to);
    for (int i = 0; i < CLI_COUNT(commands); i++)
        (void)fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("\n'sluice COMMAND --help' shows a command's options, "
                "'sluice --version' the version.\n",
                to);
}

static void complain_unknown(const char *name) {
    const char *best = NULL;
    size_t nearest = SIZE_MAX;
    for (int i = 0; i < CLI_COUNT(commands); i++) {
        size_t n, distance;
        const char *word = cli_nearest(name, strlen(name), commands[i]->name, &n, &distance);
        if (!word || distance >= nearest) continue;
        best = word;
        nearest = distance;
    }
    if (best)
        cli_complain("unknown command '%s'; did you mean '%s'?", name, best);
    else
        cli_complain("unknown command '%s'; 'sluice --help' lists what there is", name);
}

/* `sluice help COMMAND` is `sluice COMMAND --help`. */
static int run_help(int argc, char **argv);

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0) return run_help(argc, argv);
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("sluice %s\n", sl_version());
        return CLI_OK;
    }
    for (int i = 0; i < CLI_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    complain_unknown(argv[1]);
    return CLI_USAGE;
}

static int run_help(int argc, char **argv) {
    char *command_help[] = {argv[0], argc > 2 ? argv[2] : "--help", "--help", NULL};
    if (argc <= 3) return dispatch(argc, command_help);
    cli_complain("help: expected one command after it, found '%s'", argv[3]);
    return CLI_USAGE;
}

/* Results that could not be written are no success; a reader that left is none of ours. */
static int flush_results(int code) {
    const char *failure = cli_write_failure(stdout);
    if (!failure || errno == EPIPE) return code;
    cli_complain("standard output: %s", failure);
    return code == CLI_OK ? CLI_FAILED : code;
}

int main(int argc, char **argv) {
    return flush_results(dispatch(argc, argv));
}

/* cmd.h - what a subcommand is, and the three ways a program can end.
 *
 * One file per subcommand, cmd_NAME.c, each ending in its cli_command. Results go to
 * stdout and everything else to stderr, so that pipes stay clean. The programs use
 * include/sluice only. */
#ifndef SL_CLI_CMD_H
#define SL_CLI_CMD_H

enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the outside world: files, memory, a damaged model        */
    CLI_USAGE = 2   /* the command line: an unknown option, an impossible value */
};

typedef struct cli_command cli_command;
struct cli_command {
    const char *name;
    const char *synopsis; /* what follows the name in the usage line     */
    const char *summary;  /* one sentence, no period                     */
    const char *notes;    /* paragraphs below the options, or NULL       */
    /* argv[0] is the command's name. Returns the exit code. */
    int (*run)(const cli_command *self, int argc, char **argv);
};

extern const cli_command cli_cmd_run;
extern const cli_command cli_cmd_chat;
extern const cli_command cli_cmd_info;
extern const cli_command cli_cmd_tokenize;
extern const cli_command cli_cmd_logits;
extern const cli_command cli_cmd_perplexity;
extern const cli_command cli_cmd_synth;
extern const cli_command cli_cmd_expand;
extern const cli_command cli_cmd_bench;
extern const cli_command cli_cmd_trace;

#endif

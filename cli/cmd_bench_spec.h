/* cmd_bench_spec.h - the half of `sluice bench` that evaluates speculation. */
#ifndef SL_CLI_CMD_BENCH_SPEC_H
#define SL_CLI_CMD_BENCH_SPEC_H

#include <stdbool.h>

#include "cmd.h"

/* Whether the command line has --spec. */
bool cli_wants_bench_spec(int argc, char **argv);

extern const cli_command cli_cmd_bench_spec;

#endif

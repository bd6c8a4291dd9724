/* message.h - one line on stderr when something is wrong. */
#ifndef SL_CLI_MESSAGE_H
#define SL_CLI_MESSAGE_H

#include <stdio.h>

#include "sluice/status.h"

/* "sluice: ..." and a newline. */
SL_PRINTF(1, 2) void cli_complain(const char *format, ...);

/* Show a failed library call, after "context: " unless context is NULL, and return the
 * exit code that fits: CLI_USAGE for SL_E_ARG, else CLI_FAILED. */
int cli_complain_status(const char *context, sl_status status, const sl_error *err);

/* Flush a file: NULL if all that was ever written to it is out, else why not. The reason of an
 * error of earlier is gone from errno; one more newline asks for it again. */
const char *cli_write_failure(FILE *file);

#endif

/* write_model.h - what commands that write model files share: progress, Ctrl-C, names. */
#ifndef SL_CLI_WRITE_MODEL_H
#define SL_CLI_WRITE_MODEL_H

#include <stdint.h>

#include "options.h"
#include "sluice/status.h"

enum { CLI_NAMES_MAX = 32 };

/* The library's names as choices, each with its index. */
void cli_list_names(cli_choice choices[CLI_NAMES_MAX + 1], const char *(*name_of)(int32_t));

/* Calls the library: what is the command's own. */
typedef sl_status cli_model_writer(const char *path, const void *what,
                                   int (*progress)(void *user, uint64_t done, uint64_t total),
                                   void *user, sl_error *err);

/* Write a file with a progress bar, then say its size on stdout. Ctrl-C stops it and is
 * then a failure, and no file is there. Returns an exit code. */
int cli_write_model(const char *path, cli_model_writer *writer, const void *what);

#endif

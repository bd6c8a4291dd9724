/* model_path.h - where files are that nobody named: the embedded model, the caches. */
#ifndef SL_CLI_MODEL_PATH_H
#define SL_CLI_MODEL_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define CLI_PATH_MAX 4096
#define CLI_EMBEDDED_MODEL "sluice-tiny.gguf"

/* Find the model the project comes with: next to the program (its folder, models/ one
 * to three levels up, ../share/sluice), then in the user's data folder. False, after
 * one line on stderr, if it is nowhere. */
bool cli_find_embedded_model(char path[CLI_PATH_MAX]);

/* Write BASE/sluice/NAME, where BASE is the environment's value of `variable` or HOME
 * followed by `fallback`. False if neither is set or the path is too long. */
bool cli_user_path(char path[CLI_PATH_MAX], const char *variable, const char *fallback,
                   const char *name);

/* Create the folders above path. Errors show when the file is written. */
void cli_make_folders(char *path);

#endif

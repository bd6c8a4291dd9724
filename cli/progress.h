/* progress.h - a line on stderr while something takes longer than a second.
 *
 * Only if stderr is a terminal; the line is erased when the work is done. */
#ifndef SL_CLI_PROGRESS_H
#define SL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    const char *what; /* "loading the model" */
    bool enabled;
    bool shown;
    uint64_t next_ns; /* nothing is drawn before */
} cli_progress;

void cli_progress_begin(cli_progress *p, const char *what);
void cli_progress_update(cli_progress *p, double done, double total); /* cheap to call often */
void cli_progress_show(cli_progress *p); /* at once, for work that reports nothing */
void cli_progress_end(cli_progress *p);  /* more than once is fine */

/* The same as a callback of the library; user is a cli_progress. */
void cli_progress_bytes(void *user, uint64_t done, uint64_t total);

#endif

/* progress.c - drawn ten times a second at most. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void cli_progress_begin(cli_progress *p, const char *what) {
    *p = (cli_progress){.what = what,
                        .enabled = isatty(STDERR_FILENO) == 1,
                        .next_ns = now_ns() + UINT64_C(1000000000)};
}

void cli_progress_update(cli_progress *p, double done, double total) {
    if (!p->enabled) return;
    const uint64_t now = now_ns();
    if (now < p->next_ns) return;
    p->next_ns = now + UINT64_C(100000000);
    p->shown = true;
    (void)fprintf(stderr, "\r%s: %.0f%%\x1b[K", p->what, total > 0 ? 100 * done / total : 0.0);
}

void cli_progress_show(cli_progress *p) {
    if (!p->enabled) return;
    p->shown = true;
    (void)fprintf(stderr, "\r%s\x1b[K", p->what);
}

void cli_progress_end(cli_progress *p) {
    if (p->shown) (void)fputs("\r\x1b[K", stderr);
    p->enabled = false;
    p->shown = false;
}

void cli_progress_bytes(void *user, uint64_t done, uint64_t total) {
    cli_progress_update(user, (double)done, (double)total);
}

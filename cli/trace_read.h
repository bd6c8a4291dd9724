/* trace_read.h - a trace file (trace.h) back in memory, checked line by line. */
#ifndef SL_CLI_TRACE_READ_H
#define SL_CLI_TRACE_READ_H

#include <stddef.h>
#include <stdint.h>

enum { CLI_TRACE_WORD = 32 };

typedef struct cli_step { /* one line; sl_iteration says what the fields mean */
    int32_t position, k, drafted, accepted, match, experts;
    char drafter[CLI_TRACE_WORD], phase[CLI_TRACE_WORD], reason[CLI_TRACE_WORD];
    double utility;                      /* NAN: unknown */
    double draft_ns, pass_ns, other_ns;  /* these and all below: at most 1e18 */
    double plain_ns;                     /* 0: unknown        */
    double loss_ns, loss_max_ns;         /* NAN: no ledger    */
    double expected_tokens, expected_ns; /* 0: nothing promised */
} cli_step;

typedef struct cli_trace {
    const char *file;
    cli_step *steps; /* [n >= 1], owned */
    size_t n;
} cli_trace;

static inline double cli_step_ns(const cli_step *s) {
    return s->draft_ns + s->pass_ns + s->other_ns;
}

/* Tokens an iteration emitted. */
static inline double cli_step_tokens(const cli_step *s) {
    return s->accepted + 1;
}

/* CLI_OK, or CLI_FAILED after one line on stderr: the file cannot be read, has no lines, or
 * a line (named) is no record, is cut off, or does not follow the one before it. */
int cli_trace_read(cli_trace *trace, const char *file);

/* The same for text [n] that is in memory; name is kept for messages. */
int cli_trace_parse(cli_trace *trace, const char *name, const char *text, size_t n);

void cli_trace_free(cli_trace *trace);

#endif

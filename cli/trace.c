/* trace.c - written by hand because it runs inside the decode loop. */
#include "trace.h"

#include <inttypes.h>
#include <math.h>

static void put_or_null(FILE *to, double value) {
    if (isfinite(value))
        (void)fprintf(to, "%.9g", value);
    else
        (void)fputs("null", to);
}

/* Phases and reasons are short static names of the policy; nothing needs escaping. */
void cli_trace_write(FILE *to, const sl_iteration *r) {
    (void)fprintf(to,
                  "{\"iteration\":%d,\"position\":%d,\"k\":%d,\"drafted\":%d,\"accepted\":%d,"
                  "\"drafter\":\"%s\",\"match\":%d,\"experts\":%d,\"phase\":\"%s\",\"reason\":\"%"
                  "s\",\"utility\":",
                  (int)r->index, (int)r->position, (int)r->k, (int)r->drafted, (int)r->accepted,
                  r->drafter ? r->drafter : "", (int)r->match, (int)r->experts,
                  r->phase ? r->phase : "", r->reason ? r->reason : "");
    put_or_null(to, r->utility);
    (void)fprintf(to,
                  ",\"draft_ns\":%" PRIu64 ",\"pass_ns\":%" PRIu64 ",\"other_ns\":%" PRIu64
                  ",\"plain_ns\":%.0f,\"loss_ns\":",
                  r->draft_ns, r->pass_ns, r->other_ns, r->plain_ns);
    put_or_null(to, r->loss_ns);
    (void)fputs(",\"loss_max_ns\":", to);
    put_or_null(to, r->loss_max_ns);
    (void)fprintf(to, ",\"expected_tokens\":%.4f,\"expected_ns\":%.0f}\n", r->expected_tokens,
                  r->expected_ns);
}

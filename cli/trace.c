/* trace.c - written by hand because it runs inside the decode loop. */
#include "trace.h"

#include <inttypes.h>
#include <math.h>

/* Phases and reasons are short static names of the policy; nothing needs escaping. */
void cli_trace_write(FILE *to, const sl_iteration *r) {
    (void)fprintf(to,
                  "{\"iteration\":%d,\"position\":%d,\"k\":%d,\"drafted\":%d,\"accepted\":%d,"
                  "\"drafter\":\"%s\",\"match\":%d,\"experts\":%d,\"phase\":\"%s\",\"reason\":\"%"
                  "s\",\"utility\":",
                  (int)r->index, (int)r->position, (int)r->k, (int)r->drafted, (int)r->accepted,
                  r->drafter ? r->drafter : "", (int)r->match, (int)r->experts,
                  r->phase ? r->phase : "", r->reason ? r->reason : "");
    if (isfinite(r->utility))
        (void)fprintf(to, "%.9g", r->utility);
    else
        (void)fputs("null", to);
    (void)fprintf(to,
                  ",\"draft_ns\":%" PRIu64 ",\"pass_ns\":%" PRIu64 ",\"other_ns\":%" PRIu64 "}\n",
                  r->draft_ns, r->pass_ns, r->other_ns);
}

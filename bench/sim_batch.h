/* sim_batch.h - recorded requests in one pass: who gets its rows.
 *
 *     pass     root 0  node  node  root 1  root 2  node ...      one time for all of them
 *
 * As many requests as asked for run side by side; where one ends the next one begins. Each
 * has a controller of its own. Their drafts are verified as each controller alone decides, or
 * as slp_pool_plan() chooses among all of them. The unit of time is a pass over one row. */
#ifndef SIM_BATCH_H
#define SIM_BATCH_H

#include <stdio.h>

#include "sim_report.h"

enum { SIM_BATCH_MAX = 16 };

typedef enum sim_sharing {
    SIM_ALONE,  /* every controller decides as if the pass were its own                    */
    SIM_POOL,   /* slp_pool_plan() within what each request's ledger allows; ledger only   */
    SIM_UNBOUND /* the same, whatever any request may lose by it                           */
} sim_sharing;

typedef struct sim_batch_result {
    double time; /* of all requests, without noise */
    int64_t passes, rows, tokens;
    double worst, worst_long; /* the slowest request, and of SIM_LONG_TOKENS (sim_table.h) and
                                 more: time its tokens would have taken in passes over the same
                                 roots alone / time it took; 1 if there is none            */
} sim_batch_result;

/* All recordings in their order, `width` at a time, 1 .. SIM_BATCH_MAX. prior (nullable) as for
 * sim_run(). The pool is told the curve, as a host that measured its passes would know it; what
 * controllers see has the noise. Points that know their experts are the caller's to refuse. */
sim_batch_result sim_batch_run(const sim_policy *policy, sim_sharing sharing,
                               const sim_recordings *recordings, int32_t width,
                               const sim_curve *curve, const sim_noise *noise, slp_prior *prior);

/* One line of the report. */
typedef struct sim_batch_row {
    const char *policy;
    sim_sharing sharing;
    sim_batch_result result;
} sim_batch_row;

/* rows [n], n >= 1, the first of them plain decoding, which speed-ups are over. Not SIM_HTML. */
void sim_batch_print(const sim_batch_row *rows, int n, const char *curve, int32_t width,
                     sim_format format, FILE *out);

#endif

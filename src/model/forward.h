/* forward.h - one pass over a batch of rows: the single forward pass of this project.
 *
 *     x = embedding[token]
 *     per layer:  x += attention(norm(x))          attention.c
 *                 x += experts(norm(x))            experts.c
 *     logits = head(norm(x)) of the rows that want them
 *
 * A row is (token, position, parent row or none, sequence): a prompt chunk, a drafted
 * chain and a drafted tree are the same thing to it, and any mix may share a pass.
 *
 * Expert-major: rows are grouped by the experts they chose, every distinct expert's
 * matrices are read once for all its rows, and a row adds its experts' outputs in
 * router-rank order. All threads run the pass together, in phases divided by barriers;
 * inside a phase work is split by output columns or by rows, never along a sum, so a
 * row's bits depend on nothing but its own tokens. */
#ifndef SL_FORWARD_H
#define SL_FORWARD_H

#include "model/kv.h"
#include "model/model.h"
#include "runtime/pool.h"
#include "sluice/session.h"

typedef struct sl__forward sl__forward; /* one pool and the scratch of its passes */

typedef struct sl__row {
    sl_token token;
    int32_t position; /* parent's + 1, or the sequence's length for a row without parent */
    int32_t parent;   /* an earlier row of the same sequence in this pass, or -1         */
    int32_t sequence; /* index into the pass's caches                                    */
    bool want_logits;
} sl__row;

/* Choose other experts than each row's own top k (an expert budget).
 *   probabilities  [rows][experts]  softmax of the router
 *   selected       [rows][k]        in: the top k; out: ids, or -1 to leave one out
 * Returns the share of routing mass that is kept. Called on one thread. */
typedef double sl__select_experts(void *user, const float *probabilities, int32_t rows,
                                  int32_t experts, int32_t k, int32_t *selected);

typedef struct sl__pass {
    const sl__row *rows;
    int32_t n_rows;
    sl__kv *const *caches;      /* by sequence; rows land in cells length, length + 1, ... */
    float *logits;              /* [rows that want them][vocab], or NULL                   */
    sl__select_experts *select; /* or NULL: exact routing                             */
    void *select_user;
} sl__pass;

/* Plan the scratch for passes of up to rows_max rows over `context` positions, of which
 * logit_rows_max want logits; all memory comes from the plan (forward->... stays valid as
 * long as the block does). Call with plan->base NULL to measure. */
typedef struct sl__forward_limits {
    int32_t rows_max, logit_rows_max, context, threads;
} sl__forward_limits;

sl__forward *sl__forward_plan(const sl_model *model, const sl__forward_limits *limits,
                              sl__plan *plan);

/* Whether it is for contexts beyond the original one, where longrope has other factors:
 * elsewhere the context leaves no trace in the bits. */
bool sl__forward_is_long(const sl__forward *f);

/* Run a pass. Preconditions, asserted: limits kept, positions and parents consistent,
 * every cache has room. The caches' lengths do not move: commit is the caller's.
 * report is filled in. SL_E_NUMBER if a row met a number that is not finite. */
sl_status sl__forward_run(sl__forward *f, sl__pool *pool, const sl__pass *pass,
                          sl_pass_report *report, sl_error *err);

#endif

/* ledger_parts.h - the two models under the ledger policy: what a drafted row is likely
 * to bring (acceptance.c) and what a pass over some rows costs (cost.c). Internal. */
#ifndef SLUICE_POLICY_LEDGER_PARTS_H
#define SLUICE_POLICY_LEDGER_PARTS_H

#include "controller.h"

/* ---- acceptance ---------------------------------------------------------- */

/* A request of which nothing was seen yet. */
void slp__shift_init(slp__shift *shift);

/* The kind of a node, 0 .. SLP__CLASSES - 1. */
uint8_t slp__node_class(const slp_draft_node *node);

/* Chance that node `depth` (0 = the first) of a draft, of this kind, is right if those before
 * it are, lowered by what is not known about it. 0 .. 1. */
double slp__accept_chance(const slp__ledger *l, int32_t drafter, int32_t kind, int32_t depth);

/* The mean chance of this drafter's nodes at this depth, whatever their kind. */
double slp__accept_mean(const slp__ledger *l, int32_t drafter, int32_t depth);

/* A node was held against what came out. */
void slp__accept_learn(slp__ledger *l, int32_t drafter, int32_t kind, int32_t depth, int right);

/* Add what a request saw to what all saw. */
void slp__accept_merge(slp__accept *all, const slp__accept *request);

/* ---- cost ---------------------------------------------------------------- */

/* t_plain from the latest times [n], 1 .. SLP__PLAIN_TIMES, in any order. */
double slp__plain_time(const double *times, int32_t n);

void slp__cost_init(slp__cost *cost);

/* Time of a pass over up to rows_max rows, 1 .. SLP__ROWS, in units of one over a single
 * row: out[1] = 1 <= out[2] <= ... <= out[rows_max]; out[0] is left alone. */
void slp__cost_curve(const slp__cost *cost, int32_t rows_max, double *out);

/* A pass over rows > 1 took `ratio` plain times where `expected` was expected. Returns what
 * of that is believed to be its rows' doing, and was learnt. */
double slp__cost_learn(slp__cost *cost, int32_t rows, double ratio, double expected);

/* Add to `all` what a request measured; ran [SLP__ROWS + 1] is how many passes it ran. */
void slp__cost_merge(slp__cost *all, const slp__cost *request, const uint16_t *ran);

/* ---- decision ------------------------------------------------------------ */

/* slp_plan_draft() of nodes whose kinds are known: what a trace records. */
void slp__ledger_plan(slp_controller *ctl, int32_t drafter, const uint8_t *kinds, int32_t n);

/* The largest loss allowed, in ns, should the request end now. */
double slp__ledger_loss_max(const slp_controller *ctl);

/* The loss could still grow by this much, in plain iterations. */
double slp__ledger_room(const slp_controller *ctl);

/* ---- drafters that take time (sources.c) --------------------------------- */

void slp__paid_init(slp__paid *paid);

/* Add to `all` what a request learnt. */
void slp__paid_merge(slp__paid *all, const slp__paid *request);

#endif /* SLUICE_POLICY_LEDGER_PARTS_H */

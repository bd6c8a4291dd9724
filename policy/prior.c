/* prior.c - what one request leaves for the next: acceptance, cost, and t_plain.
 *
 * A prior is bytes, so it can be kept in a file; bytes from a file are checked number by
 * number before they are believed. */
#include "ledger_parts.h"

#include <string.h>

#define MAGIC 0x70726f73u /* "sorp" */
#define VERSION 2u

size_t slp_prior_size(void) {
    return sizeof(slp_prior);
}

slp_prior *slp_prior_init(void *mem, size_t size) {
    if (!mem || size < sizeof(slp_prior) || (uintptr_t)mem % 8 != 0) return NULL;
    slp_prior *prior = (slp_prior *)mem;
    memset(prior, 0, sizeof(*prior));
    prior->magic = MAGIC;
    prior->version = VERSION;
    slp__cost_init(&prior->cost);
    for (int32_t d = 0; d < SLP_DRAFTERS_MAX; d++)
        slp__paid_init(&prior->paid[d]);
    return prior;
}

/* Each comparison is false for NaN. */
static int within(double x, double min, double max) {
    return x >= min && x <= max;
}

static int is_sound(const slp_prior *p) {
    const slp__cell *cell = &p->accept.cell[0][0][0];
    const size_t cells = sizeof(p->accept) / sizeof(*cell);
    if (p->magic != MAGIC || p->version != VERSION) return 0;
    if (!within(p->plain_ns, 0, 3.0 * (double)SLP_STEP_NS_MAX)) return 0;
    for (size_t i = 0; i < cells; i++)
        if (!within((double)cell[i].trials, 0, 1e6) ||
            !within((double)cell[i].hits, 0, (double)cell[i].trials))
            return 0;
    for (int32_t r = 0; r <= SLP__ROWS; r++)
        if (!within((double)p->cost.passes[r], 0, 1e6) ||
            !within((double)p->cost.correction[r], -1e6, 1e6))
            return 0;
    for (int32_t d = 0; d < SLP_DRAFTERS_MAX; d++) {
        const slp__paid *paid = &p->paid[d];
        if (!within(paid->token_time, 0, 1e6) || !within(paid->row_time, 0, 1e6) ||
            !within(paid->tokens, 0, SLP_DRAFT_TOKENS_MAX) || !within(paid->worth[0], 0, 1e6) ||
            !within(paid->worth[1], 0, 1e6))
            return 0;
    }
    return 1;
}

slp_prior *slp_prior_open(void *mem, size_t size) {
    if (!mem || size != sizeof(slp_prior) || (uintptr_t)mem % 8 != 0) return NULL;
    return is_sound((const slp_prior *)mem) ? (slp_prior *)mem : NULL;
}

static int is_ledger(const slp_controller *ctl) {
    return ctl->cfg.policy == SLP_POLICY_LEDGER && ctl->cfg.draft_tokens_max > 0;
}

void slp_controller_use(slp_controller *ctl, const slp_prior *prior) {
    if (!prior || !is_ledger(ctl) || ctl->stats.iterations > 0) return;
    slp__ledger *l = &ctl->u.ledger;
    l->pool = prior->accept;
    l->cost = prior->cost;
    memcpy(l->paid, prior->paid, sizeof(l->paid));
    if (prior->plain_ns > 0) slp__ledger_plain(ctl, prior->plain_ns);
}

void slp_prior_learn(slp_prior *prior, const slp_controller *ctl) {
    if (!is_ledger(ctl)) return;
    const slp__ledger *l = &ctl->u.ledger;
    slp__accept_merge(&prior->accept, &l->mine);
    slp__cost_merge(&prior->cost, &l->cost, l->ran);
    for (int32_t d = 0; d < SLP_DRAFTERS_MAX; d++)
        slp__paid_merge(&prior->paid[d], &l->paid[d]);
    if (l->plain_times > 0) prior->plain_ns = slp__plain_time(l->plain_time, l->plain_times);
}

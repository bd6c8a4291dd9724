/* sources.c - several drafters: which draft to verify, and which are worth making.
 *
 * Drafts that cost nothing are all made, and each is judged as if it were alone (ledger.c): its
 * gain is the tokens it promises beyond plain decoding in the same time. The largest wins.
 *
 * A draft that takes time (a model's) is made only where that pays. What it will say is not
 * known before, so its worth is taken from the past: the mean, over the latest times it was
 * made, of
 *
 *     max(0, its gain - the best gain of the others),
 *
 * separately for moments at which the others promised something and at which they did not. It
 * is made if
 *
 *     worth > cost = token_time * tokens of a draft + row_time * tokens to catch up with,
 *
 * or, to find out, if all that was spent to find out stays within half of the loss allowed: the
 * rate of these shadow drafts is what the ledger can spare, and every request can begin with
 * one. (A drafter that fell behind by more than that pays for stays behind; the next request
 * finds it in step again.) Neither is done where the loss would pass
 * its limit. While the draft grows, one more token is made if
 *
 *     survival of the nodes so far * mean chance of the next - time of one more row
 *         > token_time.
 *
 * Time spent on drafts is loss (ledger.c), so the bound of docs/policy.md includes it. */
#include "ledger_parts.h"

static const double keep = 0.9;         /* of a mean, per draft: the latest 10 or so          */
static const double spent_share = 0.25; /* of e, to find out what a draft is worth            */
static const int32_t behind_long = 16;  /* from here catching up dominates a draft's time     */

void slp__paid_init(slp__paid *paid) {
    paid->token_time = 0.1; /* a draft model of a tenth of the target's active size */
    paid->row_time = 0.02;
    paid->tokens = 3;
    paid->worth[0] = paid->worth[1] = 1; /* so that it is tried */
}

void slp__paid_merge(slp__paid *all, const slp__paid *request) {
    *all = *request; /* a request began with what all knew, and the latest drafts count */
}

/* ---- is it worth making? ------------------------------------------------------------- */

static double cost_of(const slp__paid *p, double tokens, int32_t behind) {
    return p->token_time * tokens + p->row_time * behind;
}

/* The time of a draft that was made. A long way to catch up teaches about rows, a short one
 * about tokens. */
static void learn_time(slp__paid *p, const slp_offer *o, double plain_ns) {
    const double time = (double)o->ns / plain_ns;
    const int32_t n = o->draft.n_nodes, made = n > 0 ? n : 1;
    if (o->behind >= behind_long) {
        const double rest = time - p->token_time * made;
        p->row_time = keep * p->row_time + (1 - keep) * (rest > 0 ? rest : 0) / o->behind;
    } else {
        const double rest = time - p->row_time * o->behind;
        p->token_time = keep * p->token_time + (1 - keep) * (rest > 0 ? rest : 0) / made;
    }
    p->tokens = keep * p->tokens + (1 - keep) * n;
}

/* 1: make it. What is spent to find out is booked here. */
static int worth_making(slp_controller *ctl, const slp_offer *o, double others) {
    slp__ledger *l = &ctl->u.ledger;
    const slp__paid *p = &l->paid[o->draft.drafter];
    const double cost = cost_of(p, p->tokens > 1 ? p->tokens : 1, o->behind);
    if (cost > slp__ledger_room(ctl)) return 0;
    if (p->worth[others > 0] > cost) return 1;
    const double spent = l->spent_ns + cost * ctl->stats.plain_ns;
    if (spent > spent_share * slp__ledger_loss_max(ctl)) return 0;
    l->spent_ns = spent;
    return 1;
}

/* ---- which one? ---------------------------------------------------------------------- */

static void judge(slp_controller *ctl, const slp_draft *d) {
    uint8_t kinds[SLP_DRAFT_TOKENS_MAX];
    for (int32_t i = 0; i < d->n_nodes; i++)
        kinds[i] = slp__node_class(&d->nodes[i]);
    slp__ledger_plan(ctl, d->drafter, kinds, d->n_nodes);
}

/* Judge all that is there and plan the best; *gain is its gain. Returns which it is. */
static int32_t plan_best(slp_controller *ctl, const slp_offer *offers, int32_t n, double *gain) {
    int32_t best = -1, judged = -1;
    *gain = 0;
    for (int32_t i = 0; i < n; i++) {
        if (offers[i].draft.n_nodes == 0) continue;
        judge(ctl, &offers[i].draft);
        judged = i;
        if (best >= 0 && ctl->u.ledger.gain <= *gain) continue;
        *gain = ctl->u.ledger.gain;
        best = i;
    }
    if (best < 0) best = 0;
    if (judged != best) judge(ctl, &offers[best].draft);
    return best;
}

/* What a draft that had to be paid for gained over those that had not. */
static void learn_worth(slp_controller *ctl, const slp_offer *offers, int32_t n, int32_t made) {
    slp__ledger *l = &ctl->u.ledger;
    double others = 0;
    for (int32_t i = 0; i < n; i++) {
        if (offers[i].paid || offers[i].draft.n_nodes == 0) continue;
        judge(ctl, &offers[i].draft);
        if (l->gain > others) others = l->gain;
    }
    judge(ctl, &offers[made].draft);
    double *worth = &l->paid[offers[made].draft.drafter].worth[others > 0];
    *worth = keep * *worth + (1 - keep) * (l->gain > others ? l->gain - others : 0);
}

void slp__ledger_offers(slp_controller *ctl, const slp_offer *offers, int32_t n,
                        slp_choice *choice) {
    slp__ledger *l = &ctl->u.ledger;
    const int32_t made = l->asked_for;
    double gain;
    l->asked_for = -1;
    l->paid_ns = 0;
    for (int32_t i = 0; i < n; i++)
        if (offers[i].paid && offers[i].made) l->paid_ns += (double)offers[i].ns;
    if (made >= 0 && made < n && offers[made].made) {
        learn_time(&l->paid[offers[made].draft.drafter], &offers[made], ctl->stats.plain_ns);
        learn_worth(ctl, offers, n, made);
    }
    choice->offer = plan_best(ctl, offers, n, &gain);
    if (ctl->plan.phase == SLP_PHASE_START || ctl->plan.phase == SLP_PHASE_REFRESH) return;
    for (int32_t i = 0; i < n; i++) {
        if (!offers[i].paid || offers[i].made || !worth_making(ctl, &offers[i], gain)) continue;
        l->asked_for = choice->offer = i;
        choice->ask = ctl->plan.propose;
        return;
    }
}

static int is_ledger(const slp_controller *ctl) {
    return ctl->cfg.policy == SLP_POLICY_LEDGER && ctl->cfg.draft_tokens_max > 0;
}

int32_t slp_draft_goes_on(const slp_controller *ctl, int32_t drafter, const slp_draft_node *nodes,
                          int32_t n) {
    const slp__ledger *l = &ctl->u.ledger;
    double ratio[SLP__ROWS + 1], survival = 1;
    if (!is_ledger(ctl)) return 1;
    if (drafter < 0 || drafter >= SLP_DRAFTERS_MAX || n < 1 || n >= ctl->cfg.draft_tokens_max)
        return 0;
    for (int32_t i = 0; i < n; i++)
        survival *= slp__accept_chance(l, drafter, slp__node_class(&nodes[i]), i);
    slp__cost_curve(&l->cost, n + 2, ratio);
    const double gain = survival * slp__accept_mean(l, drafter, n) - (ratio[n + 2] - ratio[n + 1]);
    return gain > l->paid[drafter].token_time;
}

void slp_observe_draft(slp_controller *ctl, const slp_draft *draft, int32_t compared,
                       int32_t matched) {
    if (!is_ledger(ctl) || draft->drafter < 0 || draft->drafter >= SLP_DRAFTERS_MAX) return;
    if (compared > draft->n_nodes || compared > SLP_DRAFT_TOKENS_MAX) return;
    for (int32_t i = 0; i < compared && i <= matched; i++)
        slp__accept_learn(&ctl->u.ledger, draft->drafter, slp__node_class(&draft->nodes[i]), i,
                          i < matched);
}

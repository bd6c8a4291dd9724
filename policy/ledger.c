/* ledger.c - verify the rows that pay, and never lose more than was promised.
 *
 * One iteration (docs/policy.md derives every line):
 *
 *  1. t_plain is unknown: plain, START. It was not measured for plain_age_max iterations:
 *     plain, REFRESH. Times are in units of t_plain from here on.
 *  2. A draft arrives. survival(i) = product of the chances of nodes 0 .. i (acceptance.c),
 *     ratio(r) = time of r rows (cost.c).
 *  3. Marginal rule: choose the K that maximises
 *         sum of survival over K nodes - (ratio(K + 1) - 1),
 *     tokens gained minus the tokens of plain decoding in the same time. Equal: the smaller K.
 *  4. The ledger. loss = sum over iterations with K > 0 of (time - tokens * t_plain), time
 *     being the longer of expected and measured, of which a stutter is left out;
 *     limit = e * (time elapsed + 100 t_plain). Only those K compete in 3 for which
 *         loss + (ratio(K + 1) - 1) * t_plain <= limit,
 *     which is the loss should nothing be accepted. Time spent on a draft that had to be
 *     paid for is loss from the moment it is spent (sources.c says when that may be).
 *  5. Observe: nodes that were held against what came out teach acceptance.c, a pass with
 *     K > 0 teaches cost.c and moves the loss, one with K = 0 is a new sample of t_plain.
 *
 * Hence at every moment  loss <= limit + (time of the last pass - what was expected of it):
 * the bound, whatever drafter, text and machine do. */
#include "ledger_constants.h"
#include "ledger_parts.h"

static void plan(slp_controller *ctl, int32_t k, slp_phase phase, slp_reason reason) {
    ctl->plan.draft_tokens = k;
    ctl->plan.propose = ctl->cfg.draft_tokens_max;
    ctl->plan.phase = phase;
    ctl->plan.reason = reason;
}

/* Rule 1. */
static void plan_next(slp_controller *ctl) {
    const slp__ledger *l = &ctl->u.ledger;
    if (l->plain_times == 0)
        plan(ctl, 0, SLP_PHASE_START, SLP_REASON_PLAIN_UNKNOWN);
    else if ((double)l->plain_age >= slp__k.plain_age_max)
        plan(ctl, 0, SLP_PHASE_REFRESH, SLP_REASON_PLAIN_STALE);
    else
        plan(ctl, 0, SLP_PHASE_PLAIN, SLP_REASON_ASK);
}

void slp__ledger_init(slp_controller *ctl) {
    slp__cost_init(&ctl->u.ledger.cost);
    slp__shift_init(&ctl->u.ledger.shift);
    ctl->u.ledger.asked_for = -1;
    for (int32_t d = 0; d < SLP_DRAFTERS_MAX; d++)
        slp__paid_init(&ctl->u.ledger.paid[d]);
    plan_next(ctl);
}

/* ---- a draft ------------------------------------------------------------------------- */

double slp__ledger_loss_max(const slp_controller *ctl) {
    const double e = ctl->cfg.ledger.loss_max_permille / 1000.0;
    return e * (ctl->u.ledger.elapsed_ns + slp__k.grace_tokens * ctl->stats.plain_ns);
}

double slp__ledger_room(const slp_controller *ctl) {
    const slp_stats *s = &ctl->stats;
    return (slp__ledger_loss_max(ctl) - s->loss_ns - ctl->u.ledger.paid_ns) / s->plain_ns;
}

/* Rules 2 to 4. */
static void choose(slp_controller *ctl) {
    slp__ledger *l = &ctl->u.ledger;
    slp_stats *s = &ctl->stats;
    double ratio[SLP__ROWS + 1];
    slp__cost_curve(&l->cost, l->n_nodes + 1, ratio);
    s->loss_max_ns = slp__ledger_loss_max(ctl);
    const double room = slp__ledger_room(ctl);
    double survival = 1, tokens = 1, best = 0, best_allowed = 0;
    int32_t k = 0, wanted = 0;

    s->expected_tokens = 1;
    for (int32_t i = 0; i < l->n_nodes; i++) {
        const double more = ratio[i + 2] - 1;
        survival *= slp__accept_chance(l, l->drafter, l->node_class[i], i);
        tokens += survival;
        const double net = tokens - 1 - more;
        if (net > best) {
            best = net;
            wanted = i + 1;
        }
        if (net > best_allowed && more <= room) {
            best_allowed = net;
            k = i + 1;
            s->expected_tokens = tokens;
        }
    }
    l->expected_ratio = ratio[k + 1];
    l->gain = best_allowed;
    slp_reason reason = k == l->n_nodes ? SLP_REASON_ALL : SLP_REASON_WORTH;
    if (k == 0) reason = SLP_REASON_UNLIKELY;
    if (k < wanted) reason = SLP_REASON_LEDGER;
    plan(ctl, k, k > 0 ? SLP_PHASE_PAY : SLP_PHASE_PLAIN, reason);
}

/* The t_plain of a shared pass is not that of this request alone. */
static void leave_shared(slp_controller *ctl) {
    slp__ledger *l = &ctl->u.ledger;
    if (!l->shared) return;
    l->shared = 0;
    ctl->stats.plain_ns = l->plain_times > 0 ? slp__plain_time(l->plain_time, l->plain_times) : 0;
}

void slp__ledger_plan(slp_controller *ctl, int32_t drafter, const uint8_t *kinds, int32_t n) {
    slp__ledger *l = &ctl->u.ledger;
    leave_shared(ctl);
    plan_next(ctl);
    l->asked = 1;
    l->drafter = drafter;
    l->n_nodes = n;
    l->expected_ratio = 1;
    l->gain = 0;
    for (int32_t i = 0; i < n; i++)
        l->node_class[i] = kinds[i];
    if (ctl->plan.reason == SLP_REASON_ASK) {
        if (n > 0)
            choose(ctl);
        else
            plan(ctl, 0, SLP_PHASE_PLAIN, SLP_REASON_NOTHING);
    }
    if (ctl->plan.draft_tokens == 0) ctl->stats.expected_tokens = 1;
    ctl->stats.expected_ns = l->expected_ratio * ctl->stats.plain_ns;
}

int32_t slp_draft_chances(const slp_controller *ctl, double *chance) {
    const slp__ledger *l = &ctl->u.ledger;
    if (ctl->cfg.policy != SLP_POLICY_LEDGER || ctl->cfg.draft_tokens_max == 0) return 0;
    for (int32_t i = 0; i < l->n_nodes; i++)
        chance[i] = slp__accept_chance(l, l->drafter, l->node_class[i], i);
    return l->n_nodes;
}

/* ---- shared passes -------------------------------------------------------------------- */

double slp_pool_room(const slp_controller *ctl, double plain_ns) {
    if (ctl->cfg.policy != SLP_POLICY_LEDGER || ctl->cfg.draft_tokens_max == 0) return 1e300;
    const double e = ctl->cfg.ledger.loss_max_permille / 1000.0;
    return e * (ctl->u.ledger.elapsed_ns + slp__k.grace_tokens * plain_ns) - ctl->stats.loss_ns -
           ctl->u.ledger.paid_ns;
}

slp_status slp__ledger_grant(slp_controller *ctl, const slp_grant *grant) {
    slp__ledger *l = &ctl->u.ledger;
    slp_stats *s = &ctl->stats;
    const int32_t k = grant->draft_tokens;
    if (k > (l->asked ? l->n_nodes : 0)) return SLP_E_ARG;
    double survival = 1;
    l->shared = 1;
    l->asked = 1;
    l->expected_ratio = grant->pass_ns / grant->plain_ns;
    s->plain_ns = grant->plain_ns;
    s->expected_ns = grant->pass_ns;
    s->expected_tokens = 1;
    for (int32_t i = 0; i < k; i++) {
        survival *= slp__accept_chance(l, l->drafter, l->node_class[i], i);
        s->expected_tokens += survival;
    }
    s->loss_max_ns = slp__ledger_loss_max(ctl);
    plan(ctl, k, k > 0 ? SLP_PHASE_PAY : SLP_PHASE_PLAIN, SLP_REASON_SHARED);
    return SLP_OK;
}

/* The whole pass is this request's time, whoever's rows made it longer. */
static void book_shared(slp_controller *ctl, const slp_step *step, double ns, double paid_ns) {
    slp_stats *s = &ctl->stats;
    s->loss_ns += paid_ns;
    if (s->expected_ns <= s->plain_ns) return; /* roots alone */
    s->loss_ns += (ns > s->expected_ns ? ns : s->expected_ns) - step->emitted * s->plain_ns;
}

/* ---- what came of it ------------------------------------------------------------------ */

/* Every node up to the first wrong one was held against a token that came out. */
static void learn_acceptance(slp__ledger *l, const slp_step *step) {
    const int all = step->accepted == step->drafted;
    const int32_t right = all ? step->drafted + step->shadow_matched : step->accepted;
    const int32_t compared = all ? step->drafted + step->shadow_compared : step->drafted;
    for (int32_t i = 0; i < compared && i <= right && i < l->n_nodes; i++)
        slp__accept_learn(l, l->drafter, l->node_class[i], i, i < right);
}

static void add_plain_time(slp_controller *ctl, double ns) {
    slp__ledger *l = &ctl->u.ledger;
    l->plain_time[l->plain_slot] = ns > 0 ? ns : 1;
    l->plain_slot = (l->plain_slot + 1) % SLP__PLAIN_TIMES;
    if (l->plain_times < SLP__PLAIN_TIMES) l->plain_times++;
    l->plain_age = 0;
    ctl->stats.plain_ns = slp__plain_time(l->plain_time, l->plain_times);
}

void slp__ledger_plain(slp_controller *ctl, double ns) {
    add_plain_time(ctl, ns);
    plan_next(ctl);
}

void slp__ledger_observe(slp_controller *ctl, const slp_step *step, double total_ns) {
    slp__ledger *l = &ctl->u.ledger;
    const double plain_ns = ctl->stats.plain_ns;
    const double draft_ns = (double)step->draft_ns;
    const double paid_ns = l->paid_ns < draft_ns ? l->paid_ns : draft_ns;
    if (!l->asked) {
        l->n_nodes = 0;
        l->shared = 0;
    }
    l->asked = 0;
    l->paid_before_ns = paid_ns;
    l->paid_ns = 0;
    l->asked_for = -1;
    l->elapsed_ns += total_ns;
    l->plain_age++;
    learn_acceptance(l, step);
    if (l->shared) {
        book_shared(ctl, step, total_ns - paid_ns, paid_ns);
    } else if (step->drafted == 0) {
        add_plain_time(ctl, (double)step->pass_ns + (double)step->other_ns);
        ctl->stats.loss_ns += paid_ns;
    } else {
        const int32_t rows = step->drafted + 1;
        const double ratio = (total_ns - paid_ns) / plain_ns;
        const double believed = slp__cost_learn(&l->cost, rows, ratio, l->expected_ratio);
        if (l->ran[rows] < UINT16_MAX) l->ran[rows]++;
        /* A pass that was shorter than usual was lucky: its usual time is what it costs. One
         * that was far longer met something that plain decoding meets as well. */
        const double charged = believed > l->expected_ratio ? believed : l->expected_ratio;
        ctl->stats.loss_ns += (charged - step->emitted) * plain_ns + paid_ns;
        if (ratio > charged) ctl->stats.stutter_ns += (ratio - charged) * plain_ns;
    }
    ctl->stats.loss_max_ns = slp__ledger_loss_max(ctl);
    plan_next(ctl);
}

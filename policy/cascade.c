/* cascade.c - Cascade's controller (arXiv 2506.20675): ask in short test phases
 * which K pays, use the answer in longer set phases.
 *
 *     START --> TEST -- K > 0 --> SET <--> REFRESH (t_plain is old)
 *                 ^ |
 *                 | +-- K = 0 --> OFF
 *                 |
 *                 +-- after S iterations of SET or OFF
 *
 * The state machine. Names are fields of slp_cascade_config, with defaults.
 *
 *  1. START: plain_iterations (4) at K = 0. t_plain = their mean time, drafting
 *     left out. Then 2.
 *  2. TEST begins: tried = {0: 1.0}. K = the K > 0 whose latest trial in this
 *     request had the best utility, the smaller on a tie; first_draft_tokens (1)
 *     if there was no trial. Then 3.
 *  3. A trial: trial_iterations (4) at K. Iterations with an empty draft count.
 *     U = tokens / (time / t_plain), sums over the trial. Then the first that
 *     holds:
 *     a. fewer than trial_drafts_min (2) non-empty drafts: nothing was learnt,
 *        go to 5 with this trial left out;
 *     b. tried[K] = U. K = 1 and U < 1 (any K if disable_at_any_k): choose 0, to 6;
 *     c. not the first trial and |U - U_prev| <= steady_permille (10%) of U_prev:
 *        go to 5;
 *     d. trials_max (4) trials done: go to 5.
 *  4. Climb: the first move is up if U >= 1, else down; a later one keeps its
 *     direction if U rose and turns if it fell. K += direction * climb_step. K
 *     below 1, above draft_tokens_max or already tried: go to 5. Else 3.
 *  5. Choose argmax(tried), the smaller K on a tie, so that 0 needs no luck: all
 *     below 1 means 0. If no trial of this test counted (3a), K and S stay as
 *     they were in the phase before (first_draft_tokens and set_iterations if
 *     there was none). Then 6.
 *  6. Chosen K > 0: SET, S = set_iterations (16), and the next OFF starts again at
 *     16. Chosen 0: OFF, S = 16, then times off_growth (2) for each further one,
 *     up to off_iterations_max. After S iterations at K, 2.
 *  7. REFRESH: once t_plain is plain_refresh_iterations (100) old,
 *     - in OFF it becomes the mean of the last plain_iterations plain times;
 *     - in SET (also at its end), plain_iterations at K = 0 are put in, not counted
 *       in S, and give the new one. A test is never interrupted.
 *
 * What is not here: the validity of a step (controller.c), and any use of
 * experts or rows: this controller looks at time alone. */
#include "controller.h"

#define NO_UTILITY (-1.0)

static void plan(slp_controller *ctl, int32_t k, slp_phase phase, slp_reason reason) {
    ctl->plan.draft_tokens = ctl->plan.propose = k;
    ctl->plan.phase = phase;
    ctl->plan.reason = reason;
}

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* ---- t_plain (rules 1 and 7) --------------------------------------------- */

static void plain_restart(slp__cascade *c) {
    c->plain_samples = 0;
    c->plain_slot = 0;
}

static void plain_add(slp_controller *ctl, const slp_step *step) {
    slp__cascade *c = &ctl->u.cascade;
    const int32_t n = ctl->cfg.cascade.plain_iterations;
    const double ns = (double)step->pass_ns + (double)step->other_ns;

    c->plain_ring[c->plain_slot] = ns > 0 ? ns : 1;
    c->plain_slot = (c->plain_slot + 1) % n;
    c->plain_samples = min_i32(c->plain_samples + 1, n);
}

static int plain_complete(const slp_controller *ctl) {
    return ctl->u.cascade.plain_samples == ctl->cfg.cascade.plain_iterations;
}

static int plain_stale(const slp_controller *ctl) {
    const int32_t limit = ctl->cfg.cascade.plain_refresh_iterations;
    return limit > 0 && ctl->u.cascade.plain_age >= limit;
}

static void plain_use(slp_controller *ctl) {
    slp__cascade *c = &ctl->u.cascade;
    double sum = 0;
    for (int32_t i = 0; i < c->plain_samples; i++)
        sum += c->plain_ring[i];
    ctl->stats.plain_ns = sum / c->plain_samples;
    c->plain_age = 0;
    plain_restart(c);
}

/* ---- test phase (rules 2 to 5) ------------------------------------------- */

static int32_t first_k(const slp_config *cfg) {
    return min_i32(cfg->cascade.first_draft_tokens, cfg->draft_tokens_max);
}

/* The K in [from, K_max] with the largest utility, the smallest on a tie; -1 if
 * there is none. */
static int32_t best_k(const double *utility, int32_t from, int32_t k_max) {
    int32_t best = -1;
    for (int32_t k = from; k <= k_max; k++)
        if (utility[k] != NO_UTILITY && (best < 0 || utility[k] > utility[best])) best = k;
    return best;
}

static void trial_begin(slp_controller *ctl, int32_t k, slp_reason reason) {
    const slp__trial empty = {0, 0, 0, 0};
    ctl->u.cascade.trial = empty;
    plan(ctl, k, SLP_PHASE_TEST, reason);
}

static void test_begin(slp_controller *ctl) {
    slp__cascade *c = &ctl->u.cascade;
    const int32_t k_max = ctl->cfg.draft_tokens_max;
    const int32_t best = best_k(c->latest, 1, k_max);

    ctl->stats.tests++;
    c->trials = 0;
    c->direction = 0;
    c->previous = 0;
    c->tried[0] = 1.0;
    for (int32_t k = 1; k <= k_max; k++)
        c->tried[k] = NO_UTILITY;
    if (best > 0)
        trial_begin(ctl, best, SLP_REASON_BEST);
    else
        trial_begin(ctl, first_k(&ctl->cfg), SLP_REASON_FIRST);
}

static int is_steady(double u, double previous, int32_t permille) {
    const double moved = u > previous ? u - previous : previous - u;
    return moved * 1000 <= previous * permille;
}

/* Rules 3b to 4 after a trial at k gave u: the next K to try, or 0 with the rule
 * that ends the test in *why. */
static int32_t next_k(slp_controller *ctl, int32_t k, double u, slp_reason *why) {
    slp__cascade *c = &ctl->u.cascade;
    const slp_cascade_config *rule = &ctl->cfg.cascade;

    *why = SLP_REASON_ANY_LOSES;
    if (rule->disable_at_any_k && u < 1) return 0;
    *why = SLP_REASON_ONE_LOSES;
    if (k == 1 && u < 1) return 0;
    *why = SLP_REASON_STEADY;
    if (c->trials > 1 && is_steady(u, c->previous, rule->steady_permille)) return 0;
    *why = SLP_REASON_TRIALS_SPENT;
    if (c->trials == rule->trials_max) return 0;

    if (c->direction == 0)
        c->direction = u >= 1 ? 1 : -1;
    else if (u < c->previous)
        c->direction = -c->direction;
    const int32_t next = k + c->direction * rule->climb_step;

    *why = SLP_REASON_EDGE;
    if (next < 1 || next > ctl->cfg.draft_tokens_max) return 0;
    *why = SLP_REASON_BRACKETED;
    if (c->tried[next] != NO_UTILITY) return 0;
    *why = c->direction > 0 ? SLP_REASON_UP : SLP_REASON_DOWN;
    return next;
}

/* ---- set and off phases (rules 5 to 7) ----------------------------------- */

/* The next iteration of the phase, unless t_plain is due or the phase is over. */
static void set_continue(slp_controller *ctl) {
    slp__cascade *c = &ctl->u.cascade;
    if (c->set_k > 0 && plain_stale(ctl)) {
        plain_restart(c);
        plan(ctl, 0, SLP_PHASE_REFRESH, SLP_REASON_PLAIN_STALE);
    } else if (c->set_done >= c->set_iterations) {
        test_begin(ctl);
    } else {
        plan(ctl, c->set_k, c->set_k > 0 ? SLP_PHASE_SET : SLP_PHASE_OFF, c->set_reason);
    }
}

static void set_choose(slp_controller *ctl, int32_t k) {
    slp__cascade *c = &ctl->u.cascade;
    const slp_cascade_config *rule = &ctl->cfg.cascade;
    c->set_k = k;
    if (k > 0) {
        c->set_iterations = rule->set_iterations;
        c->off_next = rule->set_iterations;
    } else {
        c->set_iterations = c->off_next;
        c->off_next = min_i32(c->off_next * rule->off_growth, rule->off_iterations_max);
    }
}

static void test_end(slp_controller *ctl, slp_reason why) {
    slp__cascade *c = &ctl->u.cascade;
    if (why == SLP_REASON_ONE_LOSES || why == SLP_REASON_ANY_LOSES)
        set_choose(ctl, 0);
    else if (best_k(c->tried, 1, ctl->cfg.draft_tokens_max) > 0)
        set_choose(ctl, best_k(c->tried, 0, ctl->cfg.draft_tokens_max));
    /* else no trial counted: the phase before is repeated */
    c->set_done = 0;
    c->set_reason = why;
    ctl->stats.set_draft_tokens = c->set_k;
    ctl->stats.set_iterations = c->set_iterations;
    set_continue(ctl);
}

/* ---- one iteration ------------------------------------------------------- */

static void trial_end(slp_controller *ctl) {
    slp__cascade *c = &ctl->u.cascade;
    const int32_t k = ctl->plan.draft_tokens;
    slp_reason why = SLP_REASON_NO_DRAFTS;
    int32_t next = 0;

    ctl->stats.trials++;
    if (c->trial.drafts >= ctl->cfg.cascade.trial_drafts_min) {
        const double u = c->trial.emitted * ctl->stats.plain_ns / c->trial.ns;
        c->trials++;
        c->tried[k] = u;
        c->latest[k] = u;
        ctl->stats.utility_trial = u;
        next = next_k(ctl, k, u, &why);
        c->previous = u;
    }
    if (next > 0)
        trial_begin(ctl, next, why);
    else
        test_end(ctl, why);
}

static void trial_add(slp_controller *ctl, const slp_step *step, double total_ns) {
    slp__trial *t = &ctl->u.cascade.trial;
    t->iterations++;
    t->drafts += step->drafted > 0;
    t->emitted += step->emitted;
    t->ns += total_ns;
    if (t->iterations == ctl->cfg.cascade.trial_iterations) trial_end(ctl);
}

void slp__cascade_init(slp_controller *ctl) {
    slp__cascade *c = &ctl->u.cascade;
    for (int32_t k = 0; k <= SLP_DRAFT_TOKENS_MAX; k++)
        c->latest[k] = c->tried[k] = NO_UTILITY;
    plain_restart(c);
    c->set_k = first_k(&ctl->cfg);
    c->set_iterations = ctl->cfg.cascade.set_iterations;
    c->off_next = ctl->cfg.cascade.set_iterations;
    plan(ctl, 0, SLP_PHASE_START, SLP_REASON_PLAIN_UNKNOWN);
}

void slp__cascade_observe(slp_controller *ctl, const slp_step *step, double total_ns) {
    slp__cascade *c = &ctl->u.cascade;
    c->plain_age++;
    switch (ctl->plan.phase) {
    case SLP_PHASE_START:
        plain_add(ctl, step);
        if (!plain_complete(ctl)) return;
        plain_use(ctl);
        test_begin(ctl);
        return;
    case SLP_PHASE_REFRESH:
        plain_add(ctl, step);
        if (!plain_complete(ctl)) return;
        plain_use(ctl);
        set_continue(ctl);
        return;
    case SLP_PHASE_OFF:
        plain_add(ctl, step);
        if (plain_stale(ctl) && plain_complete(ctl)) plain_use(ctl);
        c->set_done++;
        set_continue(ctl);
        return;
    case SLP_PHASE_SET:
        c->set_done++;
        set_continue(ctl);
        return;
    case SLP_PHASE_TEST:
        trial_add(ctl, step, total_ns);
        return;
    case SLP_PHASE_STATIC:
    case SLP_PHASE_PLAIN:
    case SLP_PHASE_PAY:
        return; /* never planned by this policy */
    }
}

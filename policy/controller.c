/* controller.c - one request's controller: checks and counts every step, and
 * hands it to the policy (cascade.c; off and static are here, they are one line). */
#include "controller.h"

#include <string.h>

/* ---- policies ------------------------------------------------------------ */

static void plan_always(slp_controller *ctl, slp_phase phase, int32_t draft_tokens) {
    ctl->plan.draft_tokens = ctl->plan.propose = draft_tokens;
    ctl->plan.phase = phase;
    ctl->plan.reason = SLP_REASON_POLICY;
}

static void off_init(slp_controller *ctl) {
    plan_always(ctl, SLP_PHASE_OFF, 0);
}

static void static_init(slp_controller *ctl) {
    plan_always(ctl, SLP_PHASE_STATIC, ctl->cfg.static_draft_tokens);
}

/* In the order of slp_policy. */
static const slp__policy policies[SLP_POLICIES] = {
    {"off", off_init, NULL, NULL, NULL},
    {"static", static_init, NULL, NULL, NULL},
    {"cascade", slp__cascade_init, slp__cascade_observe, NULL, NULL},
    {"ledger", slp__ledger_init, slp__ledger_observe, slp__ledger_offers, slp__ledger_grant},
};

/* Where nothing may be drafted there is nothing to decide. */
static const slp__policy *policy_of(const slp_config *cfg) {
    return &policies[cfg->draft_tokens_max > 0 ? cfg->policy : SLP_POLICY_OFF];
}

/* ---- names --------------------------------------------------------------- */

const char *slp_policy_name(slp_policy policy) {
    return (int)policy >= 0 && (int)policy < SLP_POLICIES ? policies[policy].name : "?";
}

const char *slp_phase_name(slp_phase phase) {
    switch (phase) {
#define X(name, value, text)                                                                       \
    case name:                                                                                     \
        return text;
        SLP_PHASE_MAP(X)
#undef X
    }
    return "?";
}

const char *slp_reason_name(slp_reason reason) {
    switch (reason) {
#define X(name, value, text, sentence)                                                             \
    case name:                                                                                     \
        return text;
        SLP_REASON_MAP(X)
#undef X
    }
    return "?";
}

const char *slp_reason_text(slp_reason reason) {
    switch (reason) {
#define X(name, value, text, sentence)                                                             \
    case name:                                                                                     \
        return sentence;
        SLP_REASON_MAP(X)
#undef X
    }
    return "?";
}

/* ---- life ---------------------------------------------------------------- */

size_t slp_controller_size(const slp_config *cfg) {
    return slp_config_check(cfg, NULL) == SLP_OK ? sizeof(slp_controller) : 0;
}

slp_controller *slp_controller_init(void *mem, size_t size, const slp_config *cfg) {
    const size_t needed = slp_controller_size(cfg);
    if (!mem || needed == 0 || size < needed || (uintptr_t)mem % 8 != 0) return NULL;

    slp_controller *ctl = (slp_controller *)mem;
    const slp_config copy = *cfg; /* cfg may lie in mem */
    memset(ctl, 0, sizeof(*ctl));
    ctl->cfg = copy;
    policy_of(&ctl->cfg)->init(ctl);
    return ctl;
}

slp_plan slp_next(const slp_controller *ctl) {
    return ctl->plan;
}

static int offer_is_sound(const slp_offer *o, const slp_plan *plan) {
    const slp_draft *d = &o->draft;
    return d->n_nodes >= 0 && d->n_nodes <= plan->propose && (d->n_nodes == 0 || d->nodes) &&
           d->drafter >= 0 && d->drafter < SLP_DRAFTERS_MAX &&
           (!o->paid || (o->behind >= 0 && (o->made || d->n_nodes == 0)));
}

/* The first draft that is not empty; a paid one is made when its turn comes. */
static void take_first(const slp_plan *plan, const slp_offer *offers, int32_t n,
                       slp_choice *choice) {
    for (int32_t i = 0; i < n; i++) {
        const int to_be_made = offers[i].paid && !offers[i].made && plan->propose > 0;
        if (offers[i].draft.n_nodes == 0 && !to_be_made) continue;
        choice->offer = i;
        choice->ask = to_be_made ? plan->propose : 0;
        return;
    }
}

slp_plan slp_plan_offers(slp_controller *ctl, const slp_offer *offers, int32_t n,
                         slp_choice *choice) {
    slp_offer sound[SLP_DRAFTERS_MAX];
    const slp__policy *policy = policy_of(&ctl->cfg);
    memset(sound, 0, sizeof(sound));
    choice->offer = choice->ask = 0;
    if (!offers || n < 1 || n > SLP_DRAFTERS_MAX) n = 0;
    for (int32_t i = 0; i < n; i++)
        if (offer_is_sound(&offers[i], &ctl->plan)) sound[i] = offers[i];
    if (n == 0) n = 1;
    if (policy->offers)
        policy->offers(ctl, sound, n, choice);
    else
        take_first(&ctl->plan, sound, n, choice);
    return ctl->plan;
}

slp_plan slp_plan_draft(slp_controller *ctl, const slp_draft *draft) {
    slp_choice only;
    slp_offer offer;
    memset(&offer, 0, sizeof(offer));
    if (draft) offer.draft = *draft;
    return slp_plan_offers(ctl, &offer, 1, &only);
}

slp_status slp_plan_grant(slp_controller *ctl, const slp_grant *grant) {
    const slp__policy *policy = policy_of(&ctl->cfg);
    const double most = 3.0 * (double)SLP_STEP_NS_MAX;
    if (!(grant->plain_ns > 0) || !(grant->pass_ns >= grant->plain_ns) ||
        !(grant->pass_ns <= most) || grant->draft_tokens < 0)
        return SLP_E_ARG;
    if (policy->grant) return policy->grant(ctl, grant);
    return grant->draft_tokens <= ctl->plan.draft_tokens ? SLP_OK : SLP_E_ARG;
}

/* ---- steps --------------------------------------------------------------- */

static int step_fits(const slp_step *step, const slp_plan *plan) {
    return step->drafted >= 0 && step->drafted <= plan->draft_tokens && step->accepted >= 0 &&
           step->accepted <= step->drafted && step->emitted >= 0 &&
           step->emitted <= step->accepted + 1 && (step->rows == 0 || step->rows > step->drafted) &&
           step->experts >= 0 && step->shadow_matched >= 0 &&
           step->shadow_matched <= step->shadow_compared &&
           step->shadow_compared <= SLP_DRAFT_TOKENS_MAX - step->drafted &&
           (step->shadow_compared == 0 || step->accepted == step->drafted);
}

static uint64_t clamp_ns(uint64_t ns) {
    return ns < SLP_STEP_NS_MAX ? ns : SLP_STEP_NS_MAX;
}

static void count_step(slp_controller *ctl, const slp_step *step, uint64_t total_ns) {
    slp_stats *s = &ctl->stats;
    const double plains = s->plain_ns > 0 ? (double)total_ns / s->plain_ns : 0;

    s->iterations++;
    s->phase_iterations[ctl->plan.phase]++;
    s->phase_ns[ctl->plan.phase] += total_ns;
    s->emitted += step->emitted;
    s->drafted += step->drafted;
    s->accepted += step->accepted;
    s->utility_step = plains > 0 ? step->emitted / plains : 0;
    if (ctl->plan.draft_tokens > 0 && plains > 0) {
        ctl->drafting_emitted += step->emitted;
        ctl->drafting_plains += plains;
        s->utility_mean = ctl->drafting_emitted / ctl->drafting_plains;
    }
}

slp_status slp_observe(slp_controller *ctl, const slp_step *step) {
    if (!step_fits(step, &ctl->plan)) {
        ctl->stats.refused++;
        return SLP_E_ARG;
    }
    slp_step clamped = *step;
    clamped.draft_ns = clamp_ns(step->draft_ns);
    clamped.pass_ns = clamp_ns(step->pass_ns);
    clamped.other_ns = clamp_ns(step->other_ns);
    uint64_t total_ns = clamped.draft_ns + clamped.pass_ns + clamped.other_ns;
    if (total_ns == 0) total_ns = 1; /* a coarse clock */

    count_step(ctl, &clamped, total_ns);
    const slp__policy *policy = policy_of(&ctl->cfg);
    if (policy->observe) policy->observe(ctl, &clamped, (double)total_ns);
    return SLP_OK;
}

void slp_controller_stats(const slp_controller *ctl, slp_stats *out) {
    *out = ctl->stats;
}

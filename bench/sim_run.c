/* sim_run.c - see sim_run.h. */
#include "sim_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define PLAIN_NS 1e6 /* of one plain iteration; only ratios matter */

sl_status sim_policy_parse(sim_policy *policy, const char *text, int32_t draft_max, sl_error *err) {
    slp_error why;
    char name[SIM_POLICY_NAME_MAX];
    const size_t n = strlen(text);
    if (n >= sizeof name) return sl__fail(err, SL_E_ARG, 0, "policy \"%s\" is too long", text);
    memcpy(name, text, n + 1);
    memcpy(policy->name, text, n + 1);
    policy->match_min = 1;
    char *at = strchr(name, '@');
    if (at) {
        char *end;
        const long min = strtol(at + 1, &end, 10);
        if (end == at + 1 || *end || min < 1 || min > 16)
            return sl__fail(err, SL_E_ARG, 0, "policy \"%s\": expected a match of 1 .. 16 after @",
                            text);
        policy->match_min = (int32_t)min;
        *at = '\0';
    }
    slp_config_defaults(&policy->config);
    const int32_t own = policy->config.draft_tokens_max;
    policy->config.draft_tokens_max = draft_max;
    if (slp_policy_parse(name, &policy->config, &why) != SLP_OK)
        return sl__fail(err, SL_E_ARG, 0, "policy \"%s\": %s", text, why.text);
    if (policy->config.policy == SLP_POLICY_CASCADE && own < draft_max)
        policy->config.draft_tokens_max = own;
    return SL_OK;
}

/* ---- policies --------------------------------------------------------------------- */

typedef struct controller_memory {
    uint64_t align;
    char bytes[SLP_CONTROLLER_BYTES_MAX];
} controller_memory;

int32_t sim_draft_at(const sim_point *p, int32_t match_min, int32_t propose,
                     slp_draft_node *nodes) {
    const bool counts = p->drafted > 0 && p->match >= match_min;
    const int32_t n = counts ? sl__min_i32(p->drafted, propose) : 0;
    for (int32_t i = 0; i < n; i++)
        nodes[i] = (slp_draft_node){p->match, p->seen[i], p->agreed[i], 0};
    return n;
}

slp_step sim_step_at(const sim_request *q, int32_t at, int32_t k, int32_t n) {
    const sim_point *p = &q->points[at];
    const int32_t accepted = sl__min_i32(k, p->matched);
    slp_step step = {.drafted = k,
                     .accepted = accepted,
                     .emitted = sl__min_i32(accepted + 1, q->output_tokens - at),
                     .rows = k + 1};
    if (accepted == k && k < n) {
        step.shadow_compared = 1;
        step.shadow_matched = p->matched > k;
    }
    return step;
}

double sim_pass_time(const sim_curve *curve, const sim_point *point, int32_t k) {
    const double root = (double)point->experts[0];
    if (root == 0) return curve->cost[k + 1];
    return 1 + curve->expert_share * ((double)point->experts[k] / root - 1) + curve->row_cost * k;
}

sim_result sim_run(const sim_policy *policy, const sim_request *q, const sim_curve *curve,
                   const sim_noise *noise, uint64_t index, slp_prior *prior) {
    controller_memory mem;
    slp_draft_node nodes[SIM_DRAFT_MAX];
    sim_result r = {.plain_time = q->output_tokens - 1};
    slp_controller *ctl = slp_controller_init(mem.bytes, sizeof mem.bytes, &policy->config);
    SL_ASSERT(ctl);
    slp_controller_use(ctl, prior);
    for (int32_t at = 1; at < q->output_tokens;) {
        const slp_plan first = slp_next(ctl);
        const int32_t n = sim_draft_at(&q->points[at], policy->match_min,
                                       sl__min_i32(first.propose, SIM_DRAFT_MAX), nodes);
        const slp_draft draft = {nodes, n, 0};
        const slp_plan plan = slp_plan_draft(ctl, &draft);
        slp_step step = sim_step_at(q, at, sl__min_i32(plan.draft_tokens, n), n);
        const double cost = sim_pass_time(curve, &q->points[at], step.drafted);
        step.pass_ns =
            (uint64_t)(cost * PLAIN_NS * sim_noise_factor(noise, index, (uint64_t)r.iterations));
        const slp_status observed = slp_observe(ctl, &step);
        SL_ASSERT(observed == SLP_OK);
        at += step.emitted;
        r.time += cost;
        r.iterations++;
        r.k_passes[step.drafted]++;
        r.drafted += step.drafted;
        r.accepted += step.accepted;
        r.tested += plan.phase == SLP_PHASE_START || plan.phase == SLP_PHASE_REFRESH ||
                    plan.phase == SLP_PHASE_TEST;
    }
    if (prior) slp_prior_learn(prior, ctl);
    return r;
}

/* ---- hindsight -------------------------------------------------------------------- */

double sim_static_time(const sim_request *q, const sim_curve *curve, int32_t k, int32_t match_min) {
    double time = 0;
    for (int32_t at = 1; at < q->output_tokens;) {
        const sim_point *p = &q->points[at];
        const int32_t n = p->match >= match_min ? sl__min_i32(p->drafted, k) : 0;
        const slp_step step = sim_step_at(q, at, n, n);
        time += sim_pass_time(curve, p, n);
        at += step.emitted;
    }
    return time;
}

double sim_oracle_time(const sim_request *q, const sim_curve *curve, int32_t k_max) {
    /* left[at % ring]: least time from output token `at` to the end */
    double left[32];
    SL_ASSERT(SIM_DRAFT_MAX + 1 < 32);
    left[q->output_tokens % 32] = 0;
    for (int32_t at = q->output_tokens - 1; at >= 1; at--) {
        double least = sim_pass_time(curve, &q->points[at], 0) + left[(at + 1) % 32];
        for (int32_t k = 1; k <= sl__min_i32(q->points[at].matched, k_max); k++) {
            const int32_t to = sl__min_i32(at + k + 1, q->output_tokens);
            const double time = sim_pass_time(curve, &q->points[at], k) + left[to % 32];
            if (time < least) least = time;
        }
        left[at % 32] = least;
    }
    return left[1 % 32];
}

/* policy_config.c - defaults and ranges of slp_config (documented in
 * sluice_policy.h; what the options spell is in option.c). */
#include "policy_config.h"

#include "policy_text.h"

#include <string.h>

#define FIELD(name, min, max)                                                                      \
    { #name, offsetof(slp_config, name), min, max }
#define CASCADE(name, min, max)                                                                    \
    { #name, offsetof(slp_config, cascade.name), min, max }

const slp__field slp__fields[SLP__FIELDS] = {
    FIELD(draft_tokens_max, 0, SLP_DRAFT_TOKENS_MAX),
    FIELD(static_draft_tokens, 0, SLP_DRAFT_TOKENS_MAX),
    {"loss_max_permille", offsetof(slp_config, ledger.loss_max_permille), 0, 1000},
    CASCADE(plain_iterations, 1, SLP_PLAIN_ITERATIONS_MAX),
    CASCADE(plain_refresh_iterations, 0, SLP_PHASE_ITERATIONS_MAX),
    CASCADE(first_draft_tokens, 1, SLP_DRAFT_TOKENS_MAX),
    CASCADE(trial_iterations, 1, 64),
    CASCADE(trials_max, 1, 64),
    CASCADE(trial_drafts_min, 0, 64),
    CASCADE(steady_permille, 0, 1000),
    CASCADE(climb_step, 1, SLP_DRAFT_TOKENS_MAX),
    CASCADE(set_iterations, 1, SLP_PHASE_ITERATIONS_MAX),
    CASCADE(off_growth, 1, 16),
    CASCADE(off_iterations_max, 1, SLP_PHASE_ITERATIONS_MAX),
    CASCADE(disable_at_any_k, 0, 1),
};

int32_t slp__field_get(const slp_config *cfg, const slp__field *field) {
    int32_t value;
    memcpy(&value, (const char *)cfg + field->offset, sizeof(value));
    return value;
}

void slp__field_set(slp_config *cfg, const slp__field *field, int32_t value) {
    memcpy((char *)cfg + field->offset, &value, sizeof(value));
}

void slp_config_defaults(slp_config *cfg) {
    memset(cfg, 0, sizeof(*cfg));
    cfg->policy = SLP_POLICY_OFF;
    cfg->draft_tokens_max = 7;
    cfg->static_draft_tokens = 0;
    cfg->cascade.plain_iterations = 4;
    cfg->cascade.plain_refresh_iterations = 100;
    cfg->cascade.first_draft_tokens = 1;
    cfg->cascade.trial_iterations = 4;
    cfg->cascade.trials_max = 4;
    cfg->cascade.trial_drafts_min = 2;
    cfg->cascade.steady_permille = 100;
    cfg->cascade.climb_step = 1;
    cfg->cascade.set_iterations = 16;
    cfg->cascade.off_growth = 2;
    cfg->cascade.off_iterations_max = 1024;
    cfg->cascade.disable_at_any_k = 0;
    cfg->ledger.loss_max_permille = 10;
}

slp_status slp_config_check(const slp_config *cfg, slp_error *err) {
    const slp_cascade_config *c = &cfg->cascade;

    slp__error_clear(err);
    if ((int)cfg->policy < 0 || (int)cfg->policy >= SLP_POLICIES)
        return slp__fail(err, SLP_E_ARG, 0, "policy: expected off, static, cascade or ledger");
    for (int i = 0; i < SLP__FIELDS; i++) {
        const slp__field *f = &slp__fields[i];
        const int32_t value = slp__field_get(cfg, f);
        if (value < f->min || value > f->max)
            return slp__fail_range(err, SLP_E_ARG, 0, f->name, (uint64_t)f->min, (uint64_t)f->max);
    }
    if (cfg->static_draft_tokens > cfg->draft_tokens_max)
        return slp__fail_range(err, SLP_E_ARG, 0, "static_draft_tokens", 0,
                               (uint64_t)cfg->draft_tokens_max);
    if (c->trial_drafts_min > c->trial_iterations)
        return slp__fail_range(err, SLP_E_ARG, 0, "trial_drafts_min", 0,
                               (uint64_t)c->trial_iterations);
    if (c->off_iterations_max < c->set_iterations)
        return slp__fail_range(err, SLP_E_ARG, 0, "off_iterations_max", (uint64_t)c->set_iterations,
                               SLP_PHASE_ITERATIONS_MAX);
    return SLP_OK;
}

/* option.c - the texts a user writes to choose a policy or an expert budget. */
#include "policy_text.h"

#include <string.h>

/* ---- policy: off | static:K | cascade[:OPTION,...] | ledger[:LOSS%] ------- */

static slp_status parse_static(slp__reader *r, slp_config *cfg, slp_error *err) {
    uint64_t k = 0;
    const slp_status status =
        slp__take_number(r, "static:K", 0, (uint64_t)cfg->draft_tokens_max, &k, err);
    if (status != SLP_OK) return status;
    if (!slp__at_end(r))
        return slp__fail(err, SLP_E_FORMAT, r->at, "static:K: expected nothing after K");
    cfg->policy = SLP_POLICY_STATIC;
    cfg->static_draft_tokens = (int32_t)k;
    return SLP_OK;
}

static slp_status parse_cascade(slp__reader *r, slp_config *cfg, slp_error *err) {
    const char *separator = ":";
    cfg->policy = SLP_POLICY_CASCADE;
    while (!slp__at_end(r)) {
        if (!slp__take(r, separator))
            return slp__fail(err, SLP_E_FORMAT, r->at, "expected cascade[:OPTION,...]");
        separator = ",";
        if (slp__take(r, "no-back-off"))
            cfg->cascade.off_growth = 1;
        else if (slp__take(r, "no-hill-climb"))
            cfg->cascade.trials_max = 1;
        else if (slp__take(r, "disable-at-any-k"))
            cfg->cascade.disable_at_any_k = 1;
        else
            return slp__fail(err, SLP_E_FORMAT, r->at,
                             "cascade: expected no-back-off, no-hill-climb or disable-at-any-k");
    }
    return SLP_OK;
}

/* LOSS%, in thousandths: digits and at most one decimal. */
static slp_status parse_ledger(slp__reader *r, slp_config *cfg, slp_error *err) {
    uint64_t percent = 0, tenths = 0;
    cfg->policy = SLP_POLICY_LEDGER;
    if (slp__at_end(r)) return SLP_OK;
    if (!slp__take(r, ":")) return slp__fail(err, SLP_E_FORMAT, r->at, "expected ledger[:LOSS%]");
    const size_t start = r->at;
    slp_status status = slp__take_number(r, "ledger:LOSS%", 0, 100, &percent, err);
    if (status == SLP_OK && slp__take(r, "."))
        status = slp__take_number(r, "ledger:LOSS%, its one decimal", 0, 9, &tenths, err);
    if (status != SLP_OK) return status;
    if (!slp__take(r, "%") || !slp__at_end(r))
        return slp__fail(err, SLP_E_FORMAT, r->at, "ledger:LOSS%: expected % and nothing more");
    if (percent * 10 + tenths > 1000)
        return slp__fail(err, SLP_E_ARG, start, "ledger:LOSS%: expected at most 100%");
    cfg->ledger.loss_max_permille = (int32_t)(percent * 10 + tenths);
    return SLP_OK;
}

slp_status slp_policy_parse(const char *text, slp_config *cfg, slp_error *err) {
    slp_config parsed = *cfg;
    slp__reader r = {text, strlen(text), 0};
    slp_status status = SLP_OK;

    slp__error_clear(err);
    if (strcmp(text, "off") == 0)
        parsed.policy = SLP_POLICY_OFF;
    else if (slp__take(&r, "static:"))
        status = parse_static(&r, &parsed, err);
    else if (slp__take(&r, "cascade"))
        status = parse_cascade(&r, &parsed, err);
    else if (slp__take(&r, "ledger"))
        status = parse_ledger(&r, &parsed, err);
    else
        status = slp__fail(err, SLP_E_FORMAT, 0,
                           "expected off, static:K, cascade[:OPTION,...] or ledger[:LOSS%]");
    if (status == SLP_OK) *cfg = parsed;
    return status;
}

/* ---- budget: off | moespec:B[,substitute|truncate] ------------------------ */

slp_status slp_budget_parse(const char *text, int32_t experts, int32_t experts_per_token,
                            slp_budget *budget, slp_error *err) {
    slp__reader r = {text, strlen(text), 0};
    slp_budget parsed = {SLP_BUDGET_OFF, 0};
    uint64_t b = 0;

    slp__error_clear(err);
    if (experts_per_token < 1 || experts < experts_per_token || experts > SLP_EXPERTS_MAX)
        return slp__fail(err, SLP_E_ARG, 0, "this model's experts cannot be budgeted");
    if (strcmp(text, "off") == 0) {
        *budget = parsed;
        return SLP_OK;
    }
    if (!slp__take(&r, "moespec:"))
        return slp__fail(err, SLP_E_FORMAT, 0, "expected off or moespec:B[,substitute|truncate]");
    const slp_status status =
        slp__take_number(&r, "moespec:B", (uint64_t)experts_per_token, (uint64_t)experts, &b, err);
    if (status != SLP_OK) return status;
    parsed.experts = (int32_t)b;
    parsed.mode = SLP_BUDGET_SUBSTITUTE;
    if (slp__take(&r, ",truncate"))
        parsed.mode = SLP_BUDGET_TRUNCATE;
    else
        (void)slp__take(&r, ",substitute");
    if (!slp__at_end(&r))
        return slp__fail(err, SLP_E_FORMAT, r.at,
                         "moespec:B: expected ,substitute or ,truncate or nothing more");
    *budget = parsed;
    return SLP_OK;
}

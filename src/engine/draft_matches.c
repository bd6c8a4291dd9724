/* draft_matches.c - what drafters would have had right along a text that is known. */
#include "base/base.h"
#include "engine/session.h"
#include "engine/sources.h"
#include "sluice/generate.h"

/* Leading tokens of the longest right draft for what follows text [n] after `at` tokens. */
static int32_t longest_match(sl__sources *s, const sl_token *text, int32_t n, int32_t at,
                             int32_t draft_max) {
    int32_t longest = 0;
    for (int32_t i = 0; i < s->n; i++) {
        const int32_t drafted =
            s->drafter[i]->propose(s->drafter[i], draft_max, s->nodes[i]).n_nodes;
        int32_t right = 0;
        while (right < sl__min_i32(drafted, n - at) && s->nodes[i][right].token == text[at + right])
            right++;
        longest = sl__max_i32(longest, right);
    }
    return longest;
}

sl_status sl_draft_matches(const sl_model *model, const sl_generate_params *params,
                           const sl_token *text, int32_t n, int32_t n_known, int32_t draft_max,
                           uint8_t *matches, sl_error *err) {
    const sl_status status = sl_generate_check(model, params, err);
    if (status != SL_OK) return status;
    if (n_known < 0 || n_known > n || draft_max < 1 || draft_max > SL_DRAFT_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "%d of %d tokens known and %d drafted, expected 1 .. %d drafted", n_known,
                        n, draft_max, SL_DRAFT_MAX);
    sl_generate_params free_ones = *params;
    free_ones.n_spec_types = 0;
    for (int32_t i = 0; i < params->n_spec_types; i++)
        if (params->spec_types[i] != SL_SPEC_DRAFT)
            free_ones.spec_types[free_ones.n_spec_types++] = params->spec_types[i];
    const sl__sources_setting setting = {.params = &free_ones,
                                         .context = n + 1,
                                         .draft_max = draft_max,
                                         .match_min = sl__max_i32(params->ngram_min, 1)};
    sl__sources sources = {0};
    sl__plan plan = {NULL, 0};
    sl__block block;
    sl__sources_plan(&sources, &setting, &plan);
    const sl_status acquired = sl__block_acquire(&block, plan.used, "the drafters", err);
    if (acquired != SL_OK) return acquired;
    plan = (sl__plan){block.bytes, 0};
    sl__sources_plan(&sources, &setting, &plan);
    sl__sources_observe(&sources, text, n_known);
    for (int32_t at = n_known; at < n; at++) {
        matches[at - n_known] = (uint8_t)longest_match(&sources, text, n, at, draft_max);
        sl__sources_observe(&sources, text + at, 1);
    }
    sl__block_release(&block);
    return SL_OK;
}

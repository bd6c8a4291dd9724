/* sources.c - make drafters, ask them, show the policy what they say. */
#include "engine/sources.h"

#include "base/base.h"
#include "runtime/clock.h"
#include "spec/ngram.h"
#include "spec/suffix.h"

/* ---- making them ------------------------------------------------------------------ */

static sl__drafter *plan_ngram(const sl__sources_setting *t, sl__plan *plan) {
    const int32_t longest = sl__max_i32(t->params->ngram_max, t->match_min);
    sl__ngram *ngram = sl__plan_take(plan, 1, sizeof *ngram);
    void *memory = sl__plan_take(plan, sl__ngram_bytes(t->context, t->match_min, longest), 1);
    if (!ngram) return NULL;
    sl__ngram_init(ngram, memory, t->context, t->match_min, longest);
    return &ngram->drafter;
}

static sl__drafter *plan_suffix(const sl__sources_setting *t, sl__plan *plan) {
    sl__suffix *suffix = sl__plan_take(plan, 1, sizeof *suffix);
    void *memory = sl__plan_take(plan, sl__suffix_bytes(t->context), 1);
    if (!suffix) return NULL;
    sl__suffix_init(suffix, memory, t->context, t->match_min);
    return &suffix->drafter;
}

static sl__draft_model *plan_model(const sl__sources_setting *t, sl__plan *plan) {
    const size_t text_max = (size_t)t->context + SL_DRAFT_MAX;
    sl__draft_model *model = sl__plan_take(plan, 1, sizeof *model);
    sl_token *text = sl__plan_take(plan, text_max, sizeof *text);
    const int32_t n_logits = sl__draft_logits(t->vocab, sl_session_model(t->params->draft_session));
    float *logits = sl__plan_take(plan, (size_t)n_logits, sizeof *logits);
    void *scratch = sl__plan_take(plan, sl_sample_scratch_bytes(t->vocab), 1);
    if (!model) return NULL;
    *model = (sl__draft_model){.session = t->params->draft_session,
                               .sampling = &t->params->sampling,
                               .banned = t->banned,
                               .n_banned = t->n_banned,
                               .p_min = t->params->draft_p_min,
                               .n_min = t->params->draft_min,
                               .text_max = t->context,
                               .text = text,
                               .vocab = t->vocab,
                               .logits = logits,
                               .scratch = scratch};
    sl__draft_model_init(model);
    return model;
}

/* Is one more token worth its time? */
static bool goes_on(void *user, const sl__draft_node *nodes, int32_t n) {
    const sl__sources *s = user;
    slp_draft_node shown[SL_DRAFT_MAX];
    for (int32_t i = 0; i < n; i++)
        shown[i] = (slp_draft_node){.confidence = nodes[i].confidence};
    return slp_draft_goes_on(s->policy, SL_SPEC_DRAFT - 1, shown, n) != 0;
}

void sl__sources_plan(sl__sources *s, const sl__sources_setting *t, sl__plan *plan) {
    s->n = t->params->n_spec_types;
    for (int32_t i = 0; i < s->n; i++) {
        const sl_spec_type type = t->params->spec_types[i];
        s->nodes[i] = sl__plan_take(plan, (size_t)t->draft_max, sizeof *s->nodes[i]);
        s->shown_nodes[i] = sl__plan_take(plan, (size_t)t->draft_max, sizeof *s->shown_nodes[i]);
        s->offer[i] = (slp_offer){.draft = {s->shown_nodes[i], 0, (int32_t)type - 1},
                                  .paid = type == SL_SPEC_DRAFT};
        if (type == SL_SPEC_NGRAM) s->drafter[i] = plan_ngram(t, plan);
        if (type == SL_SPEC_SUFFIX) s->drafter[i] = plan_suffix(t, plan);
        if (type != SL_SPEC_DRAFT) continue;
        s->model = plan_model(t, plan);
        if (!s->model) continue;
        s->drafter[i] = &s->model->drafter;
        s->model->go_on = goes_on;
        s->model->user = s;
    }
}

/* ---- in step ------------------------------------------------------------------------ */

void sl__sources_observe(sl__sources *s, const sl_token *tokens, int32_t n) {
    for (int32_t i = 0; i < s->n; i++)
        s->drafter[i]->observe(s->drafter[i], tokens, n);
}

void sl__sources_follow(sl__sources *s) {
    for (int32_t i = 0; i < s->n; i++)
        if (s->drafter[i]->follow) s->drafter[i]->follow(s->drafter[i]);
}

/* ---- one iteration ------------------------------------------------------------------- */

static void make(sl__sources *s, int32_t i, int32_t max) {
    slp_offer *offer = &s->offer[i];
    sl__draft *draft = &s->draft[i];
    const uint64_t start = offer->paid ? sl__now_ns() : 0;
    *draft = s->drafter[i]->propose(s->drafter[i], max, s->nodes[i]);
    for (int32_t j = 0; j < draft->n_nodes; j++)
        s->shown_nodes[i][j] = (slp_draft_node){.match = draft->match,
                                                .seen = s->nodes[i][j].seen,
                                                .agreed = s->nodes[i][j].agreed,
                                                .confidence = s->nodes[i][j].confidence};
    offer->draft.n_nodes = draft->n_nodes;
    offer->made = 1;
    if (offer->paid) offer->ns = sl__now_ns() - start;
}

slp_plan sl__sources_plan_draft(sl__sources *s, int32_t max) {
    slp_choice choice;
    for (int32_t i = 0; i < s->n; i++) {
        s->draft[i] = (sl__draft){0, 0};
        s->offer[i].draft.n_nodes = s->offer[i].made = 0;
        if (!s->offer[i].paid)
            make(s, i, max);
        else
            s->offer[i].behind = s->drafter[i]->behind(s->drafter[i]);
    }
    slp_plan plan = slp_plan_offers(s->policy, s->offer, s->n, &choice);
    while (choice.ask > 0) { /* each offer at most once: then it is made */
        make(s, choice.offer, sl__min_i32(max, choice.ask));
        plan = slp_plan_offers(s->policy, s->offer, s->n, &choice);
    }
    s->chosen = choice.offer;
    return plan;
}

void sl__sources_compare(sl__sources *s, const sl_token *tokens, int32_t n) {
    for (int32_t i = 0; i < s->n; i++) {
        const int32_t known = sl__min_i32(s->draft[i].n_nodes, n);
        int32_t right = 0;
        if (i == s->chosen) continue;
        while (right < known && s->nodes[i][right].token == tokens[right])
            right++;
        slp_observe_draft(s->policy, &s->offer[i].draft, sl__min_i32(right + 1, known), right);
    }
}

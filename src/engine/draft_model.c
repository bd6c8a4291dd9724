/* draft_model.c - rewind, catch up, go on; see draft_model.h. */
#include "engine/draft_model.h"

#include <float.h>
#include <string.h>

#include "base/base.h"
#include "engine/session.h"
#include "model/model.h"
#include "sluice/generate.h"
#include "spec/sampler.h"

enum { MORE_TOKENS_MAX = 128 };

/* ---- the two vocabularies ------------------------------------------------------- */

/* A token's first bytes for a message: what is not plain ASCII becomes '?'. */
typedef struct readable {
    char text[33];
} readable;

static readable readable_token(const sl__vocab *vocab, sl_token token) {
    readable r;
    size_t n, used = 0;
    const char *bytes = sl__vocab_bytes(vocab, token, true, &n);
    for (; used < n && used < sizeof r.text - 1; used++)
        r.text[used] = bytes[used] >= ' ' && bytes[used] <= '~' ? bytes[used] : '?';
    r.text[used] = '\0';
    return r;
}

/* Tokens from `first` on that stand for some text. */
static int32_t texts_from(const sl__vocab *vocab, int32_t first) {
    int32_t texts = 0;
    for (int32_t i = first; i < sl__vocab_size(vocab); i++) {
        size_t n;
        (void)sl__vocab_bytes(vocab, i, true, &n);
        texts += n > 0;
    }
    return texts;
}

sl_status sl__draft_model_check(const sl_model *target, const sl_model *draft, sl_error *err) {
    const int32_t n = sl__vocab_size(target->vocab), n_draft = sl__vocab_size(draft->vocab);
    const int32_t both = sl__min_i32(n, n_draft);
    for (int32_t i = 0; i < both; i++) {
        size_t bytes, bytes_draft;
        const char *text = sl__vocab_bytes(target->vocab, i, true, &bytes);
        const char *text_draft = sl__vocab_bytes(draft->vocab, i, true, &bytes_draft);
        if (bytes == bytes_draft && memcmp(text, text_draft, bytes) == 0) continue;
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "draft model: another vocabulary: token %d is \"%s\", in the model \"%s\"",
                        i, readable_token(draft->vocab, i).text,
                        readable_token(target->vocab, i).text);
    }
    if (texts_from(n > n_draft ? target->vocab : draft->vocab, both) > MORE_TOKENS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "draft model: a vocabulary of %d tokens, the model has %d", n_draft, n);
    return SL_OK;
}

/* ---- in step with the text ------------------------------------------------------ */

static void reset(sl__drafter *self) {
    sl__draft_model *d = (sl__draft_model *)(void *)self;
    d->n_text = d->base = d->agreed = 0;
    d->broken = false;
}

static void observe(sl__drafter *self, const sl_token *tokens, int32_t n) {
    sl__draft_model *d = (sl__draft_model *)(void *)self;
    SL_ASSERT(n >= 0 && n <= d->text_max - d->n_text);
    memcpy(d->text + d->n_text, tokens, (size_t)n * sizeof *tokens);
    d->n_text += n;
}

/* Find how far the session is right: what was drafted may have come true. */
static void compare(sl__draft_model *d) {
    const sl_token *have = sl_session_tokens(d->session);
    const int32_t n = sl__min_i32(sl_session_length(d->session), d->n_text - d->base);
    while (d->agreed < n && have[d->agreed] == d->text[d->base + d->agreed])
        d->agreed++;
}

/* Tokens the window begins anew with. */
static int32_t window_kept(const sl__draft_model *d) {
    return sl__max_i32(1, sl_session_context(d->session) / 2);
}

/* Evaluate the text up to its token `end`, which stays in reach of `room` more; the last
 * one's logits to logits unless NULL. */
static void catch_up(sl__draft_model *d, int32_t end, int32_t room, float *logits) {
    if (end - d->base + room > sl_session_context(d->session)) { /* the window moves */
        d->base = end - window_kept(d);
        d->agreed = 0;
    }
    compare(d);
    const int32_t keep = sl__min_i32(d->agreed, end - d->base - (logits != NULL));
    if (keep == end - d->base) return;
    sl_session_rewind(d->session, keep);
    d->agreed = keep;
    if (sl_session_eval(d->session, d->text + d->base + keep, end - d->base - keep, logits, NULL) ==
        SL_OK)
        d->agreed = end - d->base;
    else
        d->broken = true;
}

/* The newest token is where the next draft begins: it waits. */
static void follow(sl__drafter *self) {
    sl__draft_model *d = (sl__draft_model *)(void *)self;
    if (d->n_text > 1 && !d->broken) catch_up(d, d->n_text - 1, 1, NULL);
}

static int32_t behind(sl__drafter *self) {
    sl__draft_model *d = (sl__draft_model *)(void *)self;
    compare(d);
    return d->n_text - d->base - d->agreed;
}

/* ---- drafting ------------------------------------------------------------------- */

/* Choose the token after text and draft [done]. False: none that could be drafted. */
static bool choose(sl__draft_model *d, int32_t done, sl__draft_node *node) {
    const int32_t n = d->n_text + done;
    const sl_sample_place place = {n, d->text, n};
    const sl_model *model = sl_session_model(d->session);
    sl_token token;
    float confidence;
    if (sl__sample_sure(d->logits, d->vocab, d->sampling, place, d->banned, d->n_banned, d->scratch,
                        &token, &confidence, NULL) != SL_OK) {
        d->broken = true;
        return false;
    }
    /* If the text ends here it ends without a row for it. */
    if (confidence < d->p_min || sl_token_is_eog(model, token)) return false;
    const float sure = 1 - 0x1p-20f;
    d->text[n] = token;
    *node = (sl__draft_node){
        .token = token, .parent = done - 1, .confidence = confidence < sure ? confidence : sure};
    return true;
}

static sl__draft propose(sl__drafter *self, int32_t max, sl__draft_node *nodes) {
    sl__draft_model *d = (sl__draft_model *)(void *)self;
    const int32_t room = sl_session_context(d->session) - window_kept(d);
    sl__draft draft = {0, 0};
    max = sl__min_i32(sl__min_i32(max, SL_DRAFT_MAX), room);
    if (max <= 0 || d->n_text == 0 || d->broken) return draft;
    catch_up(d, d->n_text, max, d->logits);
    while (!d->broken && choose(d, draft.n_nodes, &nodes[draft.n_nodes])) {
        if (++draft.n_nodes == max) break;
        if (d->go_on && !d->go_on(d->user, nodes, draft.n_nodes)) break;
        if (sl_session_eval(d->session, &nodes[draft.n_nodes - 1].token, 1, d->logits, NULL) !=
            SL_OK)
            d->broken = true;
    }
    if (draft.n_nodes < d->n_min) draft.n_nodes = 0;
    return draft;
}

int32_t sl__draft_logits(int32_t vocab, const sl_model *draft) {
    return sl__max_i32(vocab, sl_model_facts_of(draft)->vocab);
}

/* Tokens are chosen among the target's: those that this model lacks have no chance. */
void sl__draft_model_init(sl__draft_model *d) {
    for (int32_t i = sl_model_facts_of(sl_session_model(d->session))->vocab; i < d->vocab; i++)
        d->logits[i] = -FLT_MAX;
    d->drafter = (sl__drafter){"draft-simple", reset, observe, propose, follow, behind};
    reset(&d->drafter);
}

/* draft_model.h - a small model guesses what the large one will say.
 *
 *     text          t0 t1 t2 t3 t4 | newest: t5
 *     its session   t0 t1 t2 t3 x4 x5         (x: drafted before, and wrong)
 *
 * It is a drafter (spec/drafter.h) with a session of its own. Tokens are only noted when they
 * are observed. Asked to propose, it rewinds to the last token it shares with the text,
 * evaluates what is missing in one batch, and then goes on token by token: each is the one
 * that the target's sampler would choose from this model's logits, with the target's noise
 * at that position, so that above temperature 0 too both models tend to choose the same
 * token (docs/exactness.md). A node's confidence is sl__sample_sure()'s.
 *
 * A text longer than its context is followed through a window: when the context is full it
 * starts anew with the newest half. */
#ifndef SL_DRAFT_MODEL_H
#define SL_DRAFT_MODEL_H

#include <stdbool.h>

#include "sluice/sampler.h"
#include "sluice/session.h"
#include "spec/drafter.h"

typedef struct sl__draft_model {
    sl__drafter drafter; /* first: a pointer to one is a pointer to the other              */
    sl_session *session; /* borrowed; any tokens in it that the text shares are kept       */
    const sl_sampling *sampling; /* the target's                                           */
    const sl_token *banned;      /* [n_banned]                                             */
    int32_t n_banned;
    float p_min;      /* a draft ends before a token with less confidence                  */
    int32_t n_min;    /* a draft with fewer tokens is none                                 */
    int32_t text_max; /* tokens that can be observed                                       */

    sl_token *text; /* [text_max + SL_DRAFT_MAX] observed, and behind it the newest draft  */
    int32_t n_text;
    int32_t base;   /* the session's first token is text[base]                             */
    int32_t agreed; /* tokens of the session known to be text[base ..]                     */
    int32_t vocab;  /* the target's tokens                                                 */
    float *logits;  /* [sl__draft_logits(vocab, model)]                                    */
    void *scratch;  /* sl_sample_scratch_bytes(vocab)                                      */
    bool broken;    /* a pass failed: nothing is drafted any more                          */

    /* NULL, or asked after every token but the last one asked for: go on drafting? */
    bool (*go_on)(void *user, const sl__draft_node *nodes, int32_t n);
    void *user;
} sl__draft_model;

/* Whether drafts of one model mean the same to the other: SL_OK, or SL_E_ARG with the first
 * token of the vocabularies that differs. One may have tokens that the other lacks: any
 * number that stand for no text, and a few (128, as in llama.cpp) that do. */
SL_MUST_USE sl_status sl__draft_model_check(const sl_model *target, const sl_model *draft,
                                            sl_error *err);

/* Room for logits: of the model that drafts, and of all tokens to choose from. */
int32_t sl__draft_logits(int32_t vocab, const sl_model *draft);

/* Complete a drafter whose fields from `session` to `text_max`, text, vocab, logits and
 * scratch are set. All memory is the caller's; nothing to release. */
void sl__draft_model_init(sl__draft_model *draft);

#endif

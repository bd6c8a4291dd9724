/* sampler.h - from logits to a token, as a pure function.
 *
 * The choice depends on (logits, parameters, seed, position, the tokens before it) and on
 * nothing else: noise comes from a counter-based generator keyed by seed and position, so
 * the same position always draws the same noise, whatever was drafted before it.
 * That is what makes "accept a draft iff it equals the sampler's own choice"
 * reproduce plain decoding byte for byte (docs/exactness.md). */
#ifndef SLUICE_SAMPLER_H
#define SLUICE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/status.h"
#include "sluice/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_logit_bias {
    sl_token token;
    float bias; /* added to its logit: finite, or -INFINITY for "never" */
} sl_logit_bias;

/* Everything applies in llama.cpp's order: biases, penalties, banned tokens, top-k, top-p,
 * min-p, then temperature.
 *
 * Penalties fall on tokens that occur n > 0 times in the window, which is the newest
 * repeat_last_n tokens before the position, prompt included:
 *
 *     logit = logit > 0 ? logit / repeat_penalty : logit * repeat_penalty
 *     logit = logit - n * frequency_penalty - presence_penalty
 *
 * A struct of zeroes has no biases and no penalties. */
typedef struct sl_sampling {
    float temperature; /* >= 0; 0 is argmax, ties to the lower id. Default 0.8     */
    int32_t top_k;     /* keep the k largest logits; <= 0 keeps all. Default 40    */
    float top_p;       /* keep the smallest head with this mass, (0, 1]; 1 is off. Default 0.95 */
    float min_p;       /* drop tokens below min_p times the best, [0, 1]. Default 0.05 */
    uint64_t seed;     /* default 0                                                */

    int32_t repeat_last_n;     /* the window; 0: none, < 0: every token. Default 64 */
    float repeat_penalty;      /* >= 0; 1 (default) and 0 are off                   */
    float presence_penalty;    /* finite; default 0                                 */
    float frequency_penalty;   /* finite; default 0                                 */
    const sl_logit_bias *bias; /* [n_bias], borrowed; a token's several biases add up */
    int32_t n_bias;
} sl_sampling;

/* Where a token is chosen. */
typedef struct sl_sample_place {
    int32_t position;       /* the index the token will have in its sequence            */
    const sl_token *before; /* [n_before] tokens before it, the newest last; ids in
                               [0, vocab). On a branch of drafts: its own ancestors.    */
    int32_t n_before;       /* as many as there are or the window holds                 */
} sl_sample_place;

SL_API sl_sampling sl_sampling_default(void);

/* SL_OK, or SL_E_ARG with the parameter and its range in err. */
SL_API SL_MUST_USE sl_status sl_sampling_check(const sl_sampling *sampling, int32_t vocab,
                                               sl_error *err);

/* Bytes of scratch sl_sample() needs for a vocabulary. */
SL_API size_t sl_sample_scratch_bytes(int32_t vocab);

/* Choose the token at a place.
 *
 *   logits  [vocab]     read only; all finite (checked: SL_E_NUMBER names the token)
 *   banned  [n_banned]  ids that cannot be chosen, ascending; may be NULL
 *   scratch             sl_sample_scratch_bytes(vocab) bytes, 8-aligned
 *
 * The token is argmax over the kept candidates of logit / temperature + Gumbel noise
 * of (seed, position, token): an exact draw from the filtered softmax. No allocation.
 * Time: one pass over the logits, one more with biases or penalties. */
SL_API SL_MUST_USE sl_status sl_sample(const float *logits, int32_t vocab,
                                       const sl_sampling *sampling, sl_sample_place place,
                                       const sl_token *banned, int32_t n_banned, void *scratch,
                                       sl_token *out, sl_error *err);

/* The distribution sl_sample() draws from, as probabilities [vocab] (0 where filtered). */
SL_API SL_MUST_USE sl_status sl_sample_distribution(const float *logits, int32_t vocab,
                                                    const sl_sampling *sampling,
                                                    sl_sample_place place, const sl_token *banned,
                                                    int32_t n_banned, void *scratch,
                                                    double *probabilities, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

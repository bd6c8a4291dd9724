/* sampler.h - from logits to a token, as a pure function.
 *
 * The choice depends on (logits, parameters, seed, position) and on nothing else:
 * noise comes from a counter-based generator keyed by seed and position, so the
 * same position always draws the same noise, whatever was drafted before it.
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

/* Filters apply in llama.cpp's order: banned tokens, top-k, top-p, min-p, then
 * temperature. */
typedef struct sl_sampling {
    float temperature; /* >= 0; 0 is argmax, ties to the lower id. Default 0.8     */
    int32_t top_k;     /* keep the k largest logits; <= 0 keeps all. Default 40    */
    float top_p;       /* keep the smallest head with this mass, (0, 1]; 1 is off. Default 0.95 */
    float min_p;       /* drop tokens below min_p times the best, [0, 1]. Default 0.05 */
    uint64_t seed;     /* default 0                                                */
} sl_sampling;

SL_API sl_sampling sl_sampling_default(void);

/* SL_OK, or SL_E_ARG with the parameter and its range in err. */
SL_API SL_MUST_USE sl_status sl_sampling_check(const sl_sampling *sampling, sl_error *err);

/* Bytes of scratch sl_sample() needs for a vocabulary. */
SL_API size_t sl_sample_scratch_bytes(int32_t vocab);

/* Choose the token at absolute position `position` (the index it will have in the
 * sequence).
 *
 *   logits  [vocab]     read only; all finite (checked: SL_E_NUMBER names the token)
 *   banned  [n_banned]  ids that cannot be chosen, ascending; may be NULL
 *   scratch             sl_sample_scratch_bytes(vocab) bytes, 8-aligned
 *
 * The token is argmax over the kept candidates of logit / temperature + Gumbel noise
 * of (seed, position, token): an exact draw from the filtered softmax. No allocation. */
SL_API SL_MUST_USE sl_status sl_sample(const float *logits, int32_t vocab,
                                       const sl_sampling *sampling, int32_t position,
                                       const sl_token *banned, int32_t n_banned, void *scratch,
                                       sl_token *out, sl_error *err);

/* The distribution sl_sample() draws from, as probabilities [vocab] (0 where filtered). */
SL_API SL_MUST_USE sl_status sl_sample_distribution(const float *logits, int32_t vocab,
                                                    const sl_sampling *sampling,
                                                    const sl_token *banned, int32_t n_banned,
                                                    void *scratch, double *probabilities,
                                                    sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

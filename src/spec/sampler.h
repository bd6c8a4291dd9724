/* sampler.h (internal) - a choice, and how sure it is. */
#ifndef SL_SPEC_SAMPLER_H
#define SL_SPEC_SAMPLER_H

#include "sluice/sampler.h"

/* sl_sample(), and in *confidence (nullable) the weight of the token in the softmax over
 * logit + temperature * noise of all candidates, (0, 1]: the model's own probability at
 * temperature 0; above it, how far the choice is from another one under this noise. A
 * model whose logits differ a little makes the same choice where this is close to 1. */
SL_MUST_USE sl_status sl__sample_sure(const float *logits, int32_t vocab,
                                      const sl_sampling *sampling, sl_sample_place place,
                                      const sl_token *banned, int32_t n_banned, void *scratch,
                                      sl_token *out, float *confidence, sl_error *err);

#endif

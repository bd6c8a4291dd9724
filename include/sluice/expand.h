/* expand.h - a small trained model in the shape of a large one, saying the same.
 *
 * The file reads, computes and routes like the large model and gives the small model's
 * text: real text, real acceptance of drafts and real routing meet the cost of a large
 * model. How, and what its limits are: docs/expand.md. */
#ifndef SLUICE_EXPAND_H
#define SLUICE_EXPAND_H

#include <stdint.h>

#include "sluice/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_expand_params {
    const char *like; /* a name from sl_synth_like_name() (synth.h)                   */
    const char *type; /* a name from sl_expand_type_name(), or NULL for the first     */
    int32_t layers;   /* 0: as many as the large model has; at least the small one's  */
    /* Called after every MiB or so, and before the first; may be NULL. Non-zero stops. */
    int (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
    void *user;
} sl_expand_params;

/* i-th choice of tensor types; NULL past the last. "keep": every tensor has the type it
 * has in the small model, F32, F16, BF16 or Q8_0. "q4_k_m": llama.cpp's mix of Q4_K and
 * Q6_K, of a small model whose matrices are Q8_0; attn_output is Q4_1. */
SL_API const char *sl_expand_type_name(int32_t i);

/* Write the small model (qwen3moe) at `small` in the shape of params->like to `path`. The
 * file appears when it is complete, replacing what was there. A large model with fewer
 * experts than the small one has them cut into as many, each a fraction as wide.
 *
 *   SL_E_ARG    params name nothing known, the shape cannot hold the small model (err says
 *               which size), or progress stopped it
 *   SL_E_FORMAT the small file: damaged, or of another architecture or type
 *   SL_E_IO     also, before anything is written, when there is too little room
 *   SL_E_NOMEM
 *
 * Memory: the small model is mapped, and a few MiB. */
SL_API SL_MUST_USE sl_status sl_expand_write(const char *path, const char *small,
                                             const sl_expand_params *params, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

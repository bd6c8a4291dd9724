/* synth.h - model files of true size with random weights.
 *
 * For measuring: such a file reads, computes and speculates like the model it imitates,
 * and says nothing sensible. The header is the model's own, except for OLMoE and gpt-oss,
 * which get `qwen3moe`; the vocabulary is made up, and other programs that read GGUF load
 * it too. */
#ifndef SLUICE_SYNTH_H
#define SLUICE_SYNTH_H

#include <stdint.h>

#include "sluice/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_synth_params {
    const char *like; /* a name from sl_synth_like_name()                             */
    const char *type; /* a name from sl_synth_type_name(): of all large matrices; norms
                         and routers are F32. q4_k_m, q5_k_m and mxfp4_moe are mixes,
                         the types where llama.cpp's quantiser puts them. Where rows
                         are not whole blocks, the type it falls back to              */
    int32_t layers;   /* 0: as many as the model has; else 1 .. 1024                  */
    uint64_t seed;    /* the same seed gives the same bytes                           */
    /* Called after every few MiB, and before the first; may be NULL. Non-zero stops. */
    int (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
    void *user;
} sl_synth_params;

/* i-th model that can be imitated and i-th tensor type; NULL past the last. */
SL_API const char *sl_synth_like_name(int32_t i);
SL_API const char *sl_synth_type_name(int32_t i);

/* Write a file. It appears under `path` when it is complete, replacing what was there;
 * until then it has a temporary name beside it, removed on any failure.
 *
 *   SL_E_ARG   params name no model or type, layers out of range, or progress stopped it
 *   SL_E_IO    cannot be written; also, before anything is, when the file system has less
 *              room than needed (err says both numbers)
 *   SL_E_NOMEM */
SL_API SL_MUST_USE sl_status sl_synth_write(const char *path, const sl_synth_params *params,
                                            sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

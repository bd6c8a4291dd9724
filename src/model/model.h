/* model.h (internal) - the open model: facts, bound weights, vocabulary. */
#ifndef SL_MODEL_H
#define SL_MODEL_H

#include "kernels/kernels.h"
#include "model/arch.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/vocab.h"
#include "runtime/memory.h"
#include "sluice/model.h"

struct sl_model {
    sl__gguf file;
    sl_model_facts facts;
    sl__switches switches;
    const sl__kernels *kernels;
    sl__vocab *vocab;
    const sl__chat_format *chat; /* NULL: unknown */
    size_t token_bytes_max;      /* longest token of the vocabulary */

    sl__layer *layers;          /* [facts.layers], owned                            */
    const float *out_norm;      /* [width]                                          */
    const float *out_norm_bias; /* [width], or NULL                                 */
    sl__weight embedding;       /* rows only: never packed                          */
    sl__weight head;            /* the embedding's tensor if the file has no output.weight */
    const float *head_bias;     /* [vocab], or NULL                                 */
    /* Divisors of RoPE's frequencies [rope_dims / 2], or NULL: whatever the context, for
     * contexts beyond the original one, for others. */
    const float *rope_factors, *rope_factors_long, *rope_factors_short;
    sl__block block; /* vectors, and panels if packed                         */
    bool packed;
    size_t weight_bytes_max; /* panels of the largest weight */
    size_t panel_bytes_max;  /* scratch a thread needs for products of mapped weights */
};

#endif

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

    sl__layer *layers;     /* [facts.layers], owned                                 */
    const float *out_norm; /* [width]                                               */
    sl__weight embedding;  /* rows only: never packed                               */
    sl__weight head;       /* the embedding's tensor if the file has no output.weight */
    sl__block block;       /* vectors, and panels if packed                         */
    bool packed;
    size_t panel_bytes_max; /* scratch a thread needs for products of mapped weights */
};

#endif

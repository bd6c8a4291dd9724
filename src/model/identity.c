/* identity.c - see identity.h. All of a model is too much to read whenever a prompt is
 * looked up; fine-tuned twins differ in nearly every weight, so samples do. */
#include "model/identity.h"

#include "base/base.h"
#include "base/hash.h"

enum { SAMPLES = 4, SAMPLE_BYTES = 64 };

uint64_t sl__model_identity(const sl_model *model) {
    const sl__gguf *g = &model->file;
    uint64_t hash = sl__hash_bytes(SL_HASH_SEED, g->bytes, (size_t)g->data_at);
    for (int32_t i = 0; i < g->n_tensors; i++) {
        const sl__gguf_tensor *t = &g->tensors[i];
        const size_t n = t->size < SAMPLE_BYTES ? (size_t)t->size : SAMPLE_BYTES;
        hash = sl__hash_bytes(hash, t->ne, sizeof t->ne);
        for (uint64_t s = 0; s < SAMPLES; s++)
            hash = sl__hash_bytes(hash, t->data + (t->size - n) / (SAMPLES - 1) * s, n);
    }
    return hash;
}

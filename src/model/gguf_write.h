/* gguf_write.h - the part of a GGUF file before its tensor data, built in memory.
 *
 *     writer_init, put keys ..., put tensors ..., writer_finish
 *
 * The caller writes `bytes`, then each tensor's data at data_at + the offset that
 * sl__gguf_put_tensor() returned; gaps between tensors are padding and may hold anything.
 *
 * Running out of memory is remembered and reported once, by sl__gguf_writer_finish().
 * Names are the caller's own: they are not checked. */
#ifndef SL_GGUF_WRITE_H
#define SL_GGUF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gguf.h"

#define SL_GGUF_WRITE_ALIGNMENT 32

typedef struct sl__gguf_writer {
    unsigned char *bytes; /* [size], owned: header, keys, tensor records, padding */
    size_t size;
    size_t capacity;
    uint64_t n_keys;
    uint64_t n_tensors;
    uint64_t data_at;   /* set by finish: offset of the data, = size      */
    uint64_t data_size; /* of all tensors so far, padding between included */
    bool out_of_memory;
} sl__gguf_writer;

void sl__gguf_writer_init(sl__gguf_writer *w);
void sl__gguf_writer_fini(sl__gguf_writer *w);

/* Keys. Asserts that no tensor has been put. */
void sl__gguf_put_u32(sl__gguf_writer *w, const char *key, uint32_t value);
void sl__gguf_put_f32(sl__gguf_writer *w, const char *key, float value);
void sl__gguf_put_bool(sl__gguf_writer *w, const char *key, bool value);
void sl__gguf_put_str(sl__gguf_writer *w, const char *key, const char *value);
void sl__gguf_put_i32s(sl__gguf_writer *w, const char *key, const int32_t *values, size_t n);

/* An array of n strings: then exactly n calls of sl__gguf_put_element(). */
void sl__gguf_put_strs(sl__gguf_writer *w, const char *key, uint64_t n);
void sl__gguf_put_element(sl__gguf_writer *w, const char *bytes, size_t n);

/* Key i of another file, as it is there. */
void sl__gguf_put_copy(sl__gguf_writer *w, const sl__gguf *g, int32_t i);

/* Declare a tensor; returns the aligned offset of its data, counted from data_at.
 * Preconditions, asserted: 1 <= n_dims <= 4, ne[0] a multiple of the type's block. */
uint64_t sl__gguf_put_tensor(sl__gguf_writer *w, const char *name, sl__tensor_type type,
                             int32_t n_dims, const int64_t *ne);

/* Pad to the start of the data and fill in the counts. SL_OK or SL_E_NOMEM. */
SL_MUST_USE sl_status sl__gguf_writer_finish(sl__gguf_writer *w, sl_error *err);

#endif

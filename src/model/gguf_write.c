/* gguf_write.c - appending GGUF records to a buffer. The layout is drawn in gguf.c. */
#include "model/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define VERSION 3
#define COUNTS_AT 8 /* offset of n_tensors, n_keys follows */

/* ---- bytes ---- */

static void put(sl__gguf_writer *w, const void *bytes, size_t n) {
    if (n > w->capacity - w->size && !w->out_of_memory) {
        size_t capacity = w->capacity > 0 ? w->capacity : 4096;
        while (capacity - w->size < n)
            capacity *= 2;
        unsigned char *grown = realloc(w->bytes, capacity);
        if (grown) {
            w->bytes = grown;
            w->capacity = capacity;
        }
        w->out_of_memory = !grown;
    }
    if (w->out_of_memory) return;
    memcpy(w->bytes + w->size, bytes, n);
    w->size += n;
}

static void store_u64(unsigned char *out, uint64_t value) {
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static void put_u32(sl__gguf_writer *w, uint32_t value) {
    unsigned char bytes[8];
    store_u64(bytes, value);
    put(w, bytes, 4);
}

static void put_u64(sl__gguf_writer *w, uint64_t value) {
    unsigned char bytes[8];
    store_u64(bytes, value);
    put(w, bytes, 8);
}

static void put_string(sl__gguf_writer *w, const char *bytes, size_t n) {
    put_u64(w, n);
    put(w, bytes, n);
}

static void put_key(sl__gguf_writer *w, const char *key, sl__gguf_type type) {
    SL_ASSERT(w->n_tensors == 0);
    put_string(w, key, strlen(key));
    put_u32(w, (uint32_t)type);
    w->n_keys++;
}

/* ---- keys ---- */

void sl__gguf_put_u32(sl__gguf_writer *w, const char *key, uint32_t value) {
    put_key(w, key, SL_GGUF_U32);
    put_u32(w, value);
}

void sl__gguf_put_f32(sl__gguf_writer *w, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(w, key, SL_GGUF_F32);
    put_u32(w, bits);
}

void sl__gguf_put_bool(sl__gguf_writer *w, const char *key, bool value) {
    const unsigned char byte = value;
    put_key(w, key, SL_GGUF_BOOL);
    put(w, &byte, 1);
}

void sl__gguf_put_str(sl__gguf_writer *w, const char *key, const char *value) {
    put_key(w, key, SL_GGUF_STRING);
    put_string(w, value, strlen(value));
}

void sl__gguf_put_i32s(sl__gguf_writer *w, const char *key, const int32_t *values, size_t n) {
    put_key(w, key, SL_GGUF_ARRAY);
    put_u32(w, SL_GGUF_I32);
    put_u64(w, n);
    for (size_t i = 0; i < n; i++)
        put_u32(w, (uint32_t)values[i]);
}

void sl__gguf_put_strs(sl__gguf_writer *w, const char *key, uint64_t n) {
    put_key(w, key, SL_GGUF_ARRAY);
    put_u32(w, SL_GGUF_STRING);
    put_u64(w, n);
}

void sl__gguf_put_element(sl__gguf_writer *w, const char *bytes, size_t n) {
    put_string(w, bytes, n);
}

/* Records lie one after the other, the tensors' after the keys'. */
void sl__gguf_put_copy(sl__gguf_writer *w, const sl__gguf *g, int32_t i) {
    SL_ASSERT(w->n_tensors == 0 && i >= 0 && i < g->n_keys && g->n_tensors > 0);
    const uint64_t at = g->keys[i].at;
    const uint64_t end = i + 1 < g->n_keys ? g->keys[i + 1].at : g->tensors[0].record_at;
    put(w, g->bytes + at, (size_t)(end - at));
    w->n_keys++;
}

/* ---- tensors ---- */

uint64_t sl__gguf_put_tensor(sl__gguf_writer *w, const char *name, sl__tensor_type type,
                             int32_t n_dims, const int64_t *ne) {
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)type);
    SL_ASSERT(info && n_dims >= 1 && n_dims <= SL_GGUF_DIMS_MAX);
    SL_ASSERT(ne[0] % (int64_t)info->block_elements == 0);
    const uint64_t offset = sl__round_up(w->data_size, SL_GGUF_WRITE_ALIGNMENT);
    uint64_t elements = 1;

    put_string(w, name, strlen(name));
    put_u32(w, (uint32_t)n_dims);
    for (int32_t d = 0; d < n_dims; d++) {
        put_u64(w, (uint64_t)ne[d]);
        elements *= (uint64_t)ne[d];
    }
    put_u32(w, (uint32_t)type);
    put_u64(w, offset);
    w->n_tensors++;
    w->data_size = offset + elements / info->block_elements * info->block_bytes;
    return offset;
}

/* ---- the whole ---- */

void sl__gguf_writer_init(sl__gguf_writer *w) {
    *w = (sl__gguf_writer){0};
    put(w, "GGUF", 4);
    put_u32(w, VERSION);
    put_u64(w, 0); /* the counts, until they are known */
    put_u64(w, 0);
}

sl_status sl__gguf_writer_finish(sl__gguf_writer *w, sl_error *err) {
    static const unsigned char zeros[SL_GGUF_WRITE_ALIGNMENT];
    put(w, zeros, sl__round_up(w->size, SL_GGUF_WRITE_ALIGNMENT) - w->size);
    if (w->out_of_memory)
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory for a header of %zu bytes",
                        w->size);
    store_u64(w->bytes + COUNTS_AT, w->n_tensors);
    store_u64(w->bytes + COUNTS_AT + 8, w->n_keys);
    w->data_at = w->size;
    return SL_OK;
}

void sl__gguf_writer_fini(sl__gguf_writer *w) {
    free(w->bytes);
    *w = (sl__gguf_writer){0};
}

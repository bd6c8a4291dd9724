/* kv.c - layout and moves of the key/value cache. */
#include "model/kv.h"

#include <string.h>

#include "base/base.h"

size_t sl__kv_cell_bytes(const sl__kv *kv, sl_kv_type type) {
    return (size_t)kv->head_stride * (type == SL_KV_F16 ? 2 : 4);
}

static size_t head_bytes(const sl__kv *kv, sl_kv_type type) {
    return (size_t)kv->cells * sl__kv_cell_bytes(kv, type);
}

void sl__kv_plan(sl__kv *kv, sl__plan *plan) {
    const size_t heads = (size_t)kv->layers * (size_t)kv->kv_heads;
    kv->keys = sl__plan_take(plan, heads, head_bytes(kv, kv->k_type));
    kv->values = sl__plan_take(plan, heads, head_bytes(kv, kv->v_type));
}

uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head) {
    return kv->keys + (size_t)(layer * kv->kv_heads + head) * head_bytes(kv, kv->k_type);
}

uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head) {
    return kv->values + (size_t)(layer * kv->kv_heads + head) * head_bytes(kv, kv->v_type);
}

static void store(const sl__kernels *k, const sl__kv *kv, sl_kv_type type, uint8_t *cells,
                  int32_t cell, const float *x) {
    uint8_t *at = cells + (size_t)cell * sl__kv_cell_bytes(kv, type);
    if (type == SL_KV_F16)
        k->to_half((uint16_t *)(void *)at, x, kv->head_stride);
    else
        memcpy(at, x, (size_t)kv->head_stride * sizeof *x);
}

void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value) {
    SL_DCHECK(cell >= 0 && cell < kv->cells);
    store(k, kv, kv->k_type, sl__kv_keys(kv, layer, head), cell, key);
    store(k, kv, kv->v_type, sl__kv_values(kv, layer, head), cell, value);
}

/* Ascending moves to the left: a cell is read before anything lands on it. */
static void move_cells(uint8_t *cells_of_head, size_t bytes, int32_t to, const int32_t *cells,
                       int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (cells[i] != to + i)
            memcpy(cells_of_head + (size_t)(to + i) * bytes,
                   cells_of_head + (size_t)cells[i] * bytes, bytes);
}

void sl__kv_commit(sl__kv *kv, const int32_t *cells, int32_t n) {
    SL_ASSERT(n >= 0 && kv->length + n <= kv->context);
    bool moved = false;
    for (int32_t i = 0; i < n; i++)
        moved |= cells[i] != kv->length + i;
    for (int32_t l = 0; l < kv->layers && moved; l++)
        for (int32_t h = 0; h < kv->kv_heads; h++) {
            move_cells(sl__kv_keys(kv, l, h), sl__kv_cell_bytes(kv, kv->k_type), kv->length, cells,
                       n);
            move_cells(sl__kv_values(kv, l, h), sl__kv_cell_bytes(kv, kv->v_type), kv->length,
                       cells, n);
        }
    kv->length += n;
}

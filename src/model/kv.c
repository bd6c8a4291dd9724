/* kv.c - layout and moves of the key/value cache. */
#include "model/kv.h"

#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "model/arch.h"

static size_t value_size(sl_kv_type type) {
    return type == SL_KV_F16 ? sizeof(uint16_t) : sizeof(float);
}

sl__format sl__kv_format(sl_kv_type type) {
    return type == SL_KV_F16 ? SL_FORMAT_F16 : SL_FORMAT_F32;
}

int32_t sl__kv_cells(int32_t context, int32_t rows_max) {
    return sl__div_up_i32(context + rows_max, SL_PANEL_ROWS) * SL_PANEL_ROWS;
}

int32_t sl__kv_value_panels(const sl__kv *kv) {
    return sl__div_up_i32(kv->head_dim, SL_PANEL_ROWS);
}

size_t sl__kv_value_bytes(const sl__kv *kv) {
    return SL_PANEL_ROWS * value_size(kv->v_type);
}

static size_t key_head_bytes(const sl__kv *kv) {
    return (size_t)kv->cells * (size_t)kv->head_dim * value_size(kv->k_type);
}

static size_t value_panel_bytes(const sl__kv *kv) {
    return (size_t)kv->cells * sl__kv_value_bytes(kv);
}

static size_t value_head_bytes(const sl__kv *kv) {
    return (size_t)sl__kv_value_panels(kv) * value_panel_bytes(kv);
}

uint64_t sl__kv_bytes(const sl__kv *kv, int32_t n) {
    const uint64_t dims = (uint64_t)kv->kv_heads * (uint64_t)kv->head_dim;
    return (uint64_t)n * dims * (value_size(kv->k_type) + value_size(kv->v_type));
}

void sl__kv_plan(sl__kv *kv, sl__plan *plan) {
    const size_t heads = (size_t)kv->layers * (size_t)kv->kv_heads;
    kv->keys = sl__plan_take(plan, heads, key_head_bytes(kv));
    kv->values = sl__plan_take(plan, heads, value_head_bytes(kv));
}

static size_t head_index(const sl__kv *kv, int32_t layer, int32_t head) {
    return (size_t)layer * (size_t)kv->kv_heads + (size_t)head;
}

const uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell) {
    SL_DCHECK(cell % SL_PANEL_ROWS == 0);
    return kv->keys + head_index(kv, layer, head) * key_head_bytes(kv) +
           (size_t)cell * (size_t)kv->head_dim * value_size(kv->k_type);
}

const uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel,
                             int32_t cell) {
    return kv->values + head_index(kv, layer, head) * value_head_bytes(kv) +
           (size_t)panel * value_panel_bytes(kv) + (size_t)cell * sl__kv_value_bytes(kv);
}

/* Address of dimension d of a cell, in bytes from the start of its head. */
static size_t key_at(const sl__kv *kv, int32_t cell, int32_t d) {
    const size_t panel = (size_t)(cell / SL_PANEL_ROWS), lane = (size_t)(cell % SL_PANEL_ROWS);
    return ((panel * (size_t)kv->head_dim + (size_t)d) * SL_PANEL_ROWS + lane) *
           value_size(kv->k_type);
}

static size_t value_at(const sl__kv *kv, int32_t cell, int32_t d) {
    return (size_t)(d / SL_PANEL_ROWS) * value_panel_bytes(kv) +
           (size_t)cell * sl__kv_value_bytes(kv) +
           (size_t)(d % SL_PANEL_ROWS) * value_size(kv->v_type);
}

void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value) {
    SL_DCHECK(cell >= 0 && cell < kv->cells);
    uint8_t *keys = kv->keys + head_index(kv, layer, head) * key_head_bytes(kv);
    uint8_t *values = kv->values + head_index(kv, layer, head) * value_head_bytes(kv);
    uint16_t halves[SL_HEAD_DIM_MAX];
    const size_t k_size = value_size(kv->k_type), v_size = value_size(kv->v_type);
    const void *from = key;
    if (kv->k_type == SL_KV_F16) k->to_half(halves, key, kv->head_dim), from = halves;
    for (int32_t d = 0; d < kv->head_dim; d++)
        memcpy(keys + key_at(kv, cell, d), (const uint8_t *)from + (size_t)d * k_size, k_size);
    from = value;
    if (kv->v_type == SL_KV_F16) k->to_half(halves, value, kv->head_dim), from = halves;
    for (int32_t d = 0; d < kv->head_dim; d += SL_PANEL_ROWS)
        memcpy(values + value_at(kv, cell, d), (const uint8_t *)from + (size_t)d * v_size,
               (size_t)sl__min_i32(SL_PANEL_ROWS, kv->head_dim - d) * v_size);
}

static float load_value(sl_kv_type type, const uint8_t *at) {
    uint16_t half;
    float value;
    if (type == SL_KV_F32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&half, at, sizeof half);
    return sl__half_to_float(half);
}

void sl__kv_load(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell, float *key,
                 float *value) {
    const uint8_t *keys = sl__kv_keys(kv, layer, head, 0);
    const uint8_t *values = sl__kv_values(kv, layer, head, 0, 0);
    for (int32_t d = 0; d < kv->head_dim; d++) {
        key[d] = load_value(kv->k_type, keys + key_at(kv, cell, d));
        value[d] = load_value(kv->v_type, values + value_at(kv, cell, d));
    }
}

static void move_cell(const sl__kv *kv, size_t head, int32_t to, int32_t from) {
    uint8_t *keys = kv->keys + head * key_head_bytes(kv);
    uint8_t *values = kv->values + head * value_head_bytes(kv);
    for (int32_t d = 0; d < kv->head_dim; d++)
        memcpy(keys + key_at(kv, to, d), keys + key_at(kv, from, d), value_size(kv->k_type));
    for (int32_t d = 0; d < kv->head_dim; d += SL_PANEL_ROWS)
        memcpy(values + value_at(kv, to, d), values + value_at(kv, from, d),
               sl__kv_value_bytes(kv));
}

/* Ascending moves to the left: a cell is read before anything lands on it. */
void sl__kv_commit(sl__kv *kv, const int32_t *cells, int32_t n) {
    SL_ASSERT(n >= 0 && kv->length + n <= kv->context);
    const size_t heads = (size_t)kv->layers * (size_t)kv->kv_heads;
    for (int32_t i = 0; i < n; i++)
        if (cells[i] != kv->length + i)
            for (size_t head = 0; head < heads; head++)
                move_cell(kv, head, kv->length + i, cells[i]);
    kv->length += n;
}

/* kv.c - layout and moves of the key/value cache.
 *
 * A cell's key is pieces of a few bytes that lie a panel's column apart, its value pieces
 * of a panel's width, one per panel; so storing, moving and reading walk over pieces. */
#include "model/kv.h"

#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "model/arch.h"

enum {
    GROUP = 4, /* bytes of one cell in a group of a q8_0 panel */
    GROUPS = SL_Q_BLOCK / GROUP,
    SCALES = SL_PANEL_ROWS * sizeof(uint16_t), /* of a block */
    BLOCK = SCALES + SL_PANEL_ROWS * SL_Q_BLOCK,
};

/* ---- sizes ---- */

/* Bytes of one element; a quantised one's scale is not counted. */
static size_t element_size(sl_kv_type type) {
    return type == SL_KV_F32 ? sizeof(float) : type == SL_KV_F16 ? sizeof(uint16_t) : 1;
}

sl__format sl__kv_key_format(const sl__kv *kv) {
    if (kv->k_type == SL_KV_Q8_0) return SL_FORMAT_Q8_0;
    return kv->k_type == SL_KV_F16 ? SL_FORMAT_F16 : SL_FORMAT_F32;
}

sl__format sl__kv_value_format(const sl__kv *kv) {
    if (kv->v_type == SL_KV_Q8_0) return SL_FORMAT_INT8;
    return kv->v_type == SL_KV_F16 ? SL_FORMAT_F16 : SL_FORMAT_F32;
}

int32_t sl__kv_cells(int32_t context, int32_t rows_max) {
    return sl__div_up_i32(context + rows_max, SL_PANEL_ROWS) * SL_PANEL_ROWS;
}

int32_t sl__kv_value_panels(const sl__kv *kv) {
    return sl__div_up_i32(kv->head_dim, SL_PANEL_ROWS);
}

size_t sl__kv_value_bytes(const sl__kv *kv) {
    return SL_PANEL_ROWS * element_size(kv->v_type);
}

static size_t key_panel_bytes(const sl__kv *kv) {
    return sl__format_panel_bytes(sl__kv_key_format(kv), kv->head_dim);
}

static size_t key_head_bytes(const sl__kv *kv) {
    return (size_t)(kv->cells / SL_PANEL_ROWS) * key_panel_bytes(kv);
}

static size_t value_panel_bytes(const sl__kv *kv) {
    return (size_t)kv->cells * sl__kv_value_bytes(kv);
}

static size_t value_scale_bytes(const sl__kv *kv) { /* of a cell */
    return kv->v_type == SL_KV_Q8_0 ? (size_t)(kv->head_dim / SL_Q_BLOCK) * sizeof(float) : 0;
}

static size_t value_head_bytes(const sl__kv *kv) {
    return (size_t)sl__kv_value_panels(kv) * value_panel_bytes(kv) +
           (size_t)kv->cells * value_scale_bytes(kv);
}

uint64_t sl__kv_bytes(const sl__kv *kv, int32_t n) {
    const uint64_t key = sl__format_row_bytes(sl__kv_key_format(kv), kv->head_dim);
    const uint64_t value = (uint64_t)kv->head_dim * element_size(kv->v_type);
    return (uint64_t)n * (uint64_t)kv->kv_heads * (key + value + value_scale_bytes(kv));
}

void sl__kv_plan(sl__kv *kv, sl__plan *plan) {
    const size_t heads = (size_t)kv->layers * (size_t)kv->kv_heads;
    SL_ASSERT(kv->head_dim % SL_Q_BLOCK == 0 ||
              (kv->k_type != SL_KV_Q8_0 && kv->v_type != SL_KV_Q8_0));
    kv->keys = sl__plan_take(plan, heads, key_head_bytes(kv));
    kv->values = sl__plan_take(plan, heads, value_head_bytes(kv));
}

/* ---- places ---- */

static size_t head_index(const sl__kv *kv, int32_t layer, int32_t head) {
    return (size_t)layer * (size_t)kv->kv_heads + (size_t)head;
}

const uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell) {
    SL_DCHECK(cell % SL_PANEL_ROWS == 0);
    return kv->keys + head_index(kv, layer, head) * key_head_bytes(kv) +
           (size_t)(cell / SL_PANEL_ROWS) * key_panel_bytes(kv);
}

const uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel,
                             int32_t cell) {
    return kv->values + head_index(kv, layer, head) * value_head_bytes(kv) +
           (size_t)panel * value_panel_bytes(kv) + (size_t)cell * sl__kv_value_bytes(kv);
}

/* Scale of dimensions 32 i .. 32 i + 31 of cell 0 in a head's values; next cells follow. */
static float *scales_at(const sl__kv *kv, uint8_t *values, int32_t i) {
    uint8_t *first = values + (size_t)sl__kv_value_panels(kv) * value_panel_bytes(kv);
    return (float *)(void *)first + (size_t)i * (size_t)kv->cells;
}

const float *sl__kv_value_scales(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel) {
    if (kv->v_type != SL_KV_Q8_0) return NULL;
    uint8_t *values = kv->values + head_index(kv, layer, head) * value_head_bytes(kv);
    return scales_at(kv, values, panel * SL_PANEL_ROWS / SL_Q_BLOCK);
}

/* Dimension d of a cell's key in a head's keys: its element, of a quantised one its byte. */
static uint8_t *key_at(const sl__kv *kv, uint8_t *keys, int32_t cell, int32_t d) {
    const size_t lane = (size_t)(cell % SL_PANEL_ROWS), column = (size_t)d;
    uint8_t *panel = keys + (size_t)(cell / SL_PANEL_ROWS) * key_panel_bytes(kv);
    if (kv->k_type != SL_KV_Q8_0)
        return panel + (column * SL_PANEL_ROWS + lane) * element_size(kv->k_type);
    const size_t group = column % SL_Q_BLOCK / GROUP;
    return panel + column / SL_Q_BLOCK * BLOCK + SCALES + (group * SL_PANEL_ROWS + lane) * GROUP +
           column % GROUP;
}

/* Scale of dimensions 32 i .. 32 i + 31 of a cell's key, a half. */
static uint8_t *key_scale_at(const sl__kv *kv, uint8_t *keys, int32_t cell, int32_t i) {
    return keys + (size_t)(cell / SL_PANEL_ROWS) * key_panel_bytes(kv) + (size_t)i * BLOCK +
           (size_t)(cell % SL_PANEL_ROWS) * sizeof(uint16_t);
}

static uint8_t *value_at(const sl__kv *kv, uint8_t *values, int32_t cell, int32_t d) {
    return values + (size_t)(d / SL_PANEL_ROWS) * value_panel_bytes(kv) +
           (size_t)cell * sl__kv_value_bytes(kv) +
           (size_t)(d % SL_PANEL_ROWS) * element_size(kv->v_type);
}

/* Of a head: its keys, a whole number of panels; each panel of values; each of its scales. */
uint8_t *sl__kv_piece(const sl__kv *kv, size_t i, int32_t n, size_t *bytes) {
    const size_t heads = (size_t)kv->layers * (size_t)kv->kv_heads, cells = (size_t)n;
    const size_t panels = (size_t)sl__kv_value_panels(kv);
    const size_t per_head = 1 + panels + value_scale_bytes(kv) / sizeof(float);
    const size_t head = i / per_head, piece = i % per_head;
    if (head >= heads) return NULL;
    uint8_t *values = kv->values + head * value_head_bytes(kv);
    if (piece == 0) {
        *bytes = (size_t)sl__div_up_i32(n, SL_PANEL_ROWS) * key_panel_bytes(kv);
        return kv->keys + head * key_head_bytes(kv);
    }
    if (piece <= panels) {
        *bytes = cells * sl__kv_value_bytes(kv);
        return values + (piece - 1) * value_panel_bytes(kv);
    }
    *bytes = cells * sizeof(float);
    return (uint8_t *)scales_at(kv, values, (int32_t)(piece - 1 - panels));
}

/* ---- storing ---- */

/* A head's vector in the type of the cache: elements, and scales if it is quantised. */
typedef struct stored {
    union {
        uint16_t halves[SL_HEAD_DIM_MAX];
        float act[(SL_HEAD_DIM_MAX + SL_HEAD_DIM_MAX / SL_Q_BLOCK * 12) / 4]; /* act.h */
    } space;
    const uint8_t *elements;
    const float *scales;
} stored;

static void convert(stored *s, const sl__kernels *k, sl_kv_type type, const float *x, int32_t n) {
    s->elements = (const void *)&s->space;
    s->scales = NULL;
    if (type == SL_KV_F32) s->elements = (const void *)x;
    if (type == SL_KV_F16) k->to_half(s->space.halves, x, n);
    if (type != SL_KV_Q8_0) return;
    k->quantise(s->space.act, n, 0, x, n / SL_Q_BLOCK);
    s->scales = sl__act_scales(s->space.act, n);
}

/* Dimensions that lie together: of a key, of a value in one panel. */
static int32_t key_piece(const sl__kv *kv) {
    return kv->k_type == SL_KV_Q8_0 ? GROUP : 1;
}

static void store_key(const sl__kv *kv, const sl__kernels *k, uint8_t *keys, int32_t cell,
                      const float *key) {
    stored s;
    const size_t size = element_size(kv->k_type);
    const int32_t piece = key_piece(kv);
    convert(&s, k, kv->k_type, key, kv->head_dim);
    for (int32_t d = 0; d < kv->head_dim; d += piece)
        memcpy(key_at(kv, keys, cell, d), s.elements + (size_t)d * size, (size_t)piece * size);
    for (int32_t i = 0; s.scales && i < kv->head_dim / SL_Q_BLOCK; i++) {
        const uint16_t half = sl__float_to_half(s.scales[i]);
        memcpy(key_scale_at(kv, keys, cell, i), &half, sizeof half);
    }
}

static void store_value(const sl__kv *kv, const sl__kernels *k, uint8_t *values, int32_t cell,
                        const float *value) {
    stored s;
    const size_t size = element_size(kv->v_type);
    convert(&s, k, kv->v_type, value, kv->head_dim);
    for (int32_t d = 0; d < kv->head_dim; d += SL_PANEL_ROWS)
        memcpy(value_at(kv, values, cell, d), s.elements + (size_t)d * size,
               (size_t)sl__min_i32(SL_PANEL_ROWS, kv->head_dim - d) * size);
    for (int32_t i = 0; s.scales && i < kv->head_dim / SL_Q_BLOCK; i++)
        scales_at(kv, values, i)[cell] = s.scales[i];
}

void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value) {
    SL_DCHECK(cell >= 0 && cell < kv->cells);
    const size_t index = head_index(kv, layer, head);
    store_key(kv, k, kv->keys + index * key_head_bytes(kv), cell, key);
    store_value(kv, k, kv->values + index * value_head_bytes(kv), cell, value);
}

/* ---- reading back ---- */

static float load_element(sl_kv_type type, const uint8_t *at) {
    uint16_t half;
    float value;
    if (type == SL_KV_Q8_0) return (float)(int8_t)*at;
    if (type == SL_KV_F32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&half, at, sizeof half);
    return sl__half_to_float(half);
}

void sl__kv_load(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell, float *key,
                 float *value) {
    const size_t index = head_index(kv, layer, head);
    uint8_t *keys = kv->keys + index * key_head_bytes(kv);
    uint8_t *values = kv->values + index * value_head_bytes(kv);
    for (int32_t d = 0; d < kv->head_dim; d++) {
        key[d] = load_element(kv->k_type, key_at(kv, keys, cell, d));
        value[d] = load_element(kv->v_type, value_at(kv, values, cell, d));
        if (kv->k_type == SL_KV_Q8_0)
            key[d] *= load_element(SL_KV_F16, key_scale_at(kv, keys, cell, d / SL_Q_BLOCK));
        if (kv->v_type == SL_KV_Q8_0) value[d] *= scales_at(kv, values, d / SL_Q_BLOCK)[cell];
    }
}

/* ---- moving ---- */

static void move_cell(const sl__kv *kv, size_t head, int32_t to, int32_t from) {
    uint8_t *keys = kv->keys + head * key_head_bytes(kv);
    uint8_t *values = kv->values + head * value_head_bytes(kv);
    const int32_t piece = key_piece(kv), blocks = kv->head_dim / SL_Q_BLOCK;
    for (int32_t d = 0; d < kv->head_dim; d += piece)
        memcpy(key_at(kv, keys, to, d), key_at(kv, keys, from, d),
               (size_t)piece * element_size(kv->k_type));
    for (int32_t i = 0; kv->k_type == SL_KV_Q8_0 && i < blocks; i++)
        memcpy(key_scale_at(kv, keys, to, i), key_scale_at(kv, keys, from, i), sizeof(uint16_t));
    for (int32_t d = 0; d < kv->head_dim; d += SL_PANEL_ROWS)
        memcpy(value_at(kv, values, to, d), value_at(kv, values, from, d), sl__kv_value_bytes(kv));
    for (int32_t i = 0; kv->v_type == SL_KV_Q8_0 && i < blocks; i++)
        scales_at(kv, values, i)[to] = scales_at(kv, values, i)[from];
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

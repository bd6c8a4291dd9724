/* kv.h - keys and values of one sequence.
 *
 *     cell   0 ........ length - 1 | length ... length + rows - 1
 *            committed, cell = position | rows of the newest pass, in row order
 *
 * Both are kept in panels (kernels/panel.h), so that attention is two of the products
 * the kernels know: scores = K q sums over head_dim with 16 cells side by side, and the
 * output = V p sums over cells with 16 dimensions side by side. Per layer and KV head:
 *
 *     keys     [cells / 16][head_dim][16 cells]
 *     values   [head_dim / 16][cells][16 dimensions]    (the last ones padded with zeros)
 *
 * In q8_0 a cell's 32 dimensions share a scale, the largest magnitude / 127. Keys are
 * panels of that format. A scale of values belongs to a column of the product, so values
 * are panels of plain int8, and their scales, floats, lie behind them:
 *
 *     keys     [cells / 16][head_dim / 32] blocks: half scale [16] | int8 [8][16][4]
 *     values   int8 [head_dim / 16][cells][16] | float scale [head_dim / 32][cells] */
#ifndef SL_KV_H
#define SL_KV_H

#include "kernels/kernels.h"
#include "runtime/memory.h"
#include "sluice/session.h"

typedef struct sl__kv {
    sl_kv_type k_type, v_type; /* SL_KV_Q8_0: head_dim is a multiple of 32 */
    int32_t layers, kv_heads, head_dim;
    int32_t context; /* positions it can commit                              */
    int32_t cells;   /* context + rows of one pass, rounded up to whole panels */
    int32_t length;  /* committed                                            */
    uint8_t *keys, *values;
} sl__kv;

/* Lay out a cache in a plan (memory.h); every field above keys is set before. */
void sl__kv_plan(sl__kv *kv, sl__plan *plan);

/* Cells a cache of these dimensions needs. */
int32_t sl__kv_cells(int32_t context, int32_t rows_max);

/* Formats of the panels, and panels of values in one head. */
sl__format sl__kv_key_format(const sl__kv *kv);
sl__format sl__kv_value_format(const sl__kv *kv);
int32_t sl__kv_value_panels(const sl__kv *kv);

/* Key panels of one head from `cell` on, a panel's first; a value panel of one head from
 * `cell` on. */
const uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell);
const uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel,
                             int32_t cell);

/* Bytes of one cell in one value panel. */
size_t sl__kv_value_bytes(const sl__kv *kv);

/* Scales of that panel's values from cell 0 on, or NULL: values are what they say. Panels
 * 2 i and 2 i + 1 have the same. */
const float *sl__kv_value_scales(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel);

/* Bytes attention reads in one layer for n cells. */
uint64_t sl__kv_bytes(const sl__kv *kv, int32_t n);

/* Convert and store one head's key and value [head_dim each]. */
void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value);

/* Read them back, converted to float. */
void sl__kv_load(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell, float *key,
                 float *value);

/* The i-th piece of memory that holds a part of every cell 0 .. n - 1 and nothing else, or
 * NULL past the last; *bytes: its size. The same pieces in the same order, one after the
 * other, for caches of the same layers, heads and types, whatever their context. */
uint8_t *sl__kv_piece(const sl__kv *kv, size_t i, int32_t n, size_t *bytes);

/* Move cells[i] (ascending, each >= length + i) to length + i and commit n of them. */
void sl__kv_commit(sl__kv *kv, const int32_t *cells, int32_t n);

#endif

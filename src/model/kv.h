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
 *     values   [head_dim / 16][cells][16 dimensions]    (the last ones padded with zeros) */
#ifndef SL_KV_H
#define SL_KV_H

#include "kernels/kernels.h"
#include "runtime/memory.h"
#include "sluice/session.h"

typedef struct sl__kv {
    sl_kv_type k_type, v_type;
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

/* Format of a type's panels, and panels of values in one head. */
sl__format sl__kv_format(sl_kv_type type);
int32_t sl__kv_value_panels(const sl__kv *kv);

/* Key panels of one head from `cell` on, a panel's first; a value panel of one head from
 * `cell` on. */
const uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell);
const uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head, int32_t panel,
                             int32_t cell);

/* Bytes of one cell in one value panel. */
size_t sl__kv_value_bytes(const sl__kv *kv);

/* Bytes attention reads in one layer for n cells. */
uint64_t sl__kv_bytes(const sl__kv *kv, int32_t n);

/* Convert and store one head's key and value [head_dim each]. */
void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value);

/* Read them back, converted to float. */
void sl__kv_load(const sl__kv *kv, int32_t layer, int32_t head, int32_t cell, float *key,
                 float *value);

/* Move cells[i] (ascending, each >= length + i) to length + i and commit n of them. */
void sl__kv_commit(sl__kv *kv, const int32_t *cells, int32_t n);

#endif

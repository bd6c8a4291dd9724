/* kv.h - keys and values of one sequence.
 *
 *     cell   0 ........ length - 1 | length ... length + rows - 1
 *            committed, cell = position | rows of the newest pass, in row order
 *
 * Each layer and KV head has its cells side by side, head_stride values each (head_dim
 * rounded up to 16, zero padded), so that attention streams through memory. */
#ifndef SL_KV_H
#define SL_KV_H

#include "kernels/kernels.h"
#include "runtime/memory.h"
#include "sluice/session.h"

typedef struct sl__kv {
    sl_kv_type k_type, v_type;
    int32_t layers, kv_heads, head_dim, head_stride;
    int32_t context; /* positions it can commit                */
    int32_t cells;   /* context + rows of one pass             */
    int32_t length;  /* committed                              */
    uint8_t *keys, *values;
} sl__kv;

/* Lay out a cache in a plan (memory.h); fields k_type .. cells are set before. */
void sl__kv_plan(sl__kv *kv, sl__plan *plan);

/* First cell of one head; cells follow at sl__kv_cell_bytes(). */
uint8_t *sl__kv_keys(const sl__kv *kv, int32_t layer, int32_t head);
uint8_t *sl__kv_values(const sl__kv *kv, int32_t layer, int32_t head);
size_t sl__kv_cell_bytes(const sl__kv *kv, sl_kv_type type);

/* Convert and store one head's key and value [head_stride each]. */
void sl__kv_store(const sl__kv *kv, const sl__kernels *k, int32_t layer, int32_t head, int32_t cell,
                  const float *key, const float *value);

/* Move cells[i] (ascending, each >= length + i) to length + i and commit n of them. */
void sl__kv_commit(sl__kv *kv, const int32_t *cells, int32_t n);

#endif

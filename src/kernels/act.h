/* act.h - activation rows quantised to 8 bits, the partner of quantised weights.
 *
 *     q[n_in] int8 | scale[n_in / 32] float | shift[n_in / 32] float |
 *     minus_sum[n_in / 16] int16
 *
 * x is about scale * q, with q in -127 .. 127 and scale = max |x| / 127 per block of 32.
 * minus_sum is -(sum of q) of each half block: kernels that bias signed weights to
 * unsigned ones start their integer sums from a multiple of it. shift is scale times
 * the block's two sums together: what a weight format with a minimum adds, per minimum. */
#ifndef SL_ACT_H
#define SL_ACT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/panel.h"

static inline size_t sl__act_bytes(int32_t n_in) {
    return (size_t)n_in + (size_t)(n_in / SL_Q_BLOCK) * (2 * sizeof(float) + 2 * sizeof(int16_t));
}

static inline int8_t *sl__act_quants(void *row) {
    return row;
}

static inline float *sl__act_scales(void *row, int32_t n_in) {
    return (float *)(void *)((uint8_t *)row + n_in);
}

static inline float *sl__act_shifts(void *row, int32_t n_in) {
    return sl__act_scales(row, n_in) + n_in / SL_Q_BLOCK;
}

/* Two of each block. */
static inline int16_t *sl__act_minus_sums(void *row, int32_t n_in) {
    return (int16_t *)(void *)(sl__act_shifts(row, n_in) + n_in / SL_Q_BLOCK);
}

#endif

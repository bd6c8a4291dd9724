/* expand_blocks.h - 32 numbers of a small model's matrix, written into a larger row exactly.
 *
 * A number of a Q8_0 block is d * q with -128 <= q <= 127. Four-bit types have no room for
 * q, but a wide row has room for two of them, and the inputs of both columns are the same:
 *
 *     u = q + 128        q = 16 (u / 16) - 128 + u % 16
 *
 * So one column holds the high digit at sixteen times the scale and its twin the low one,
 * and their sum is d * q, with no rounding anywhere. In Q6_K it is u / 4 and u % 4.
 *
 * Q4_K and Q6_K have one scale for 256 numbers: such a block holds the digits of one block
 * of 32, so rows are at least eight times as long as the small model's. */
#ifndef SL_EXPAND_BLOCKS_H
#define SL_EXPAND_BLOCKS_H

#include <stdbool.h>

#include "model/gguf.h"

enum { SL_SLOT = 32 }; /* columns of one slot of a row */

/* Types whose numbers `to` can hold exactly, and how many columns each then needs: 1 if
 * the types are the same (F32, F16, BF16, Q8_0), 2 from Q8_0 to Q4_1, Q4_K or Q6_K, 0 if
 * there is no way. */
int sl__expand_digits(sl__tensor_type from, sl__tensor_type to);

/* Write digit `digit` of 32 numbers times `scale`, a power of two >= 1, to slot `slot` of a
 * row of type `to`. from: the small row's blocks that hold the 32 numbers. The other bytes
 * of a 256-column block must belong to the same 32 numbers or be zero. False: a scale is
 * larger than F16 can hold. Asserts that sl__expand_digits() gives more than `digit`. */
bool sl__expand_block(sl__tensor_type to, unsigned char *row, int32_t slot, int32_t digit,
                      sl__tensor_type from, const unsigned char *numbers, float scale);

/* Slot 0 of a zeroed row becomes value * weights[i], where weights are -1, 0 or 1, the same
 * for i < 16 and for i >= 16 if the type is Q6_K; value is a power of two. F32, F16, BF16,
 * Q8_0 and Q6_K. */
void sl__expand_signal(sl__tensor_type to, unsigned char *row, float value,
                       const int8_t weights[SL_SLOT]);

#endif

/* synth_fill.h - turn random bytes into blocks of a tensor type with mean 0 and a spread.
 *
 * A block of a quantised type is a scale and quants; random quants are as good as any, so
 * only the scale is computed, and what would give the mean a bias is put right. */
#ifndef SL_SYNTH_FILL_H
#define SL_SYNTH_FILL_H

#include <stddef.h>

#include "model/gguf.h"

/* Blocks in place: pool [size] holds random bytes and then as many whole blocks as fit,
 * whose numbers have mean 0 and the standard deviation `deviation`. An F32 tensor of
 * deviation 0 is all ones (norms); the other types want one above 0. */
void sl__synth_fill(sl__tensor_type type, unsigned char *pool, size_t size, float deviation);

#endif

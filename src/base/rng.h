/* rng.h - random numbers as pure functions of a key and a counter.
 *
 * Nothing here has state, so a number can be asked for twice, out of order or on
 * another thread and is always the same. The sampler's noise and the synthetic
 * weights come from here. */
#ifndef SL_RNG_H
#define SL_RNG_H

#include <stdint.h>

/* 64 random bits for (seed, stream, index): three rounds of a 64-bit mixer. */
uint64_t sl__random_u64(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in the open interval (0, 1): 52 bits plus a half, never 0 and never 1. */
double sl__random_open01(uint64_t seed, uint64_t stream, uint64_t index);

#endif

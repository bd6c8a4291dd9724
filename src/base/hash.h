/* hash.h - one 64-bit hash for everything that is compared, never for security. */
#ifndef SL_HASH_H
#define SL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SL_HASH_SEED UINT64_C(0xcbf29ce484222325)

/* Fold n bytes into a running hash; start from SL_HASH_SEED. How the bytes are cut into
 * calls is part of the result. */
uint64_t sl__hash_bytes(uint64_t hash, const void *bytes, size_t n);

/* Bijective finaliser of splitmix64: every input bit reaches every output bit. */
static inline uint64_t sl__mix64(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif

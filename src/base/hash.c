/* hash.c - eight bytes at a time, each word mixed in whole, four of them side by side. */
#include "base/hash.h"

#include <string.h>

static uint64_t fold(uint64_t hash, uint64_t word) {
    return sl__mix64(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t load_word(const unsigned char *p, size_t n) {
    uint64_t word = 0;
    memcpy(&word, p, n);
    return word;
}

/* Four lanes, because one multiplication has to wait for the one before it. */
uint64_t sl__hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    if (n >= 32) {
        uint64_t lane[4] = {hash, hash + 1, hash + 2, hash + 3};
        for (; n >= 32; n -= 32, p += 32)
            for (size_t i = 0; i < 4; i++)
                lane[i] = fold(lane[i], load_word(p + 8 * i, 8));
        hash = fold(fold(lane[0], lane[1]), fold(lane[2], lane[3]));
    }
    for (; n >= 8; n -= 8, p += 8)
        hash = fold(hash, load_word(p, 8));
    return n > 0 ? sl__mix64(hash ^ load_word(p, n) ^ ((uint64_t)n << 56)) : hash;
}

/* hash.c - eight bytes at a time, each word mixed in whole. */
#include "base/hash.h"

#include <string.h>

uint64_t sl__hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = sl__mix64(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    if (n > 0) {
        uint64_t word = 0;
        memcpy(&word, p, n);
        hash = sl__mix64(hash ^ word ^ ((uint64_t)n << 56));
    }
    return hash;
}

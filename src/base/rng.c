/* rng.c - splitmix64 finalisers chained over seed, stream and index. */
#include "base/rng.h"

#include "base/hash.h"

uint64_t sl__random_u64(uint64_t seed, uint64_t stream, uint64_t index) {
    uint64_t x = sl__mix64(seed + UINT64_C(0x9e3779b97f4a7c15));
    x = sl__mix64(x ^ (stream + UINT64_C(0xd1b54a32d192ed03)));
    return sl__mix64(x ^ (index * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x8cb92ba72f3d8dd7)));
}

double sl__random_open01(uint64_t seed, uint64_t stream, uint64_t index) {
    return ((double)(sl__random_u64(seed, stream, index) >> 12) + 0.5) * 0x1p-52;
}

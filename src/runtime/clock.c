/* clock.c - CLOCK_MONOTONIC, which the vDSO answers. */
#include "runtime/clock.h"

#include <time.h>

uint64_t sl__now_ns(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* check.h - what every cmocka test of this project starts from. */
#ifndef SL_TESTS_CHECK_H
#define SL_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"

/* Fails with a printf-like label, for checks inside loops. */
#define CHECK_CASE(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s:%d: %s\n  case: ", __FILE__, __LINE__, #condition);                    \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* A stream of random numbers for a test: the n-th number of a seed is always the same. */
typedef struct check_random {
    uint64_t seed, n;
} check_random;

static inline uint64_t check_u64(check_random *r) {
    return sl__random_u64(r->seed, 0x7e57, r->n++);
}

/* Uniform in 0 .. n - 1. */
static inline int32_t check_below(check_random *r, int32_t n) {
    return (int32_t)(check_u64(r) % (uint64_t)n);
}

/* Roughly normal: twelve uniforms. */
static inline float check_normal(check_random *r) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += sl__random_open01(r->seed, 0x7e58, r->n++);
    return (float)sum;
}

#endif

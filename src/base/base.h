/* base.h - what every file of the library may use: asserts, errors, small arithmetic.
 *
 * Three kinds of failure, never mixed: a bug hits SL_ASSERT; the outside world
 * (files, arguments, memory, numbers in a model) returns an sl_status through
 * sl__fail(); an expected outcome (nothing found, nothing drafted) is a value. */
#ifndef SL_BASE_H
#define SL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/status.h"

#define SL_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SL_CACHE_LINE 64

/* A broken promise inside the library: prints the place and aborts. Untrusted
 * bytes must never reach one. */
_Noreturn void sl__assert_failed(const char *what, const char *file, int line);
#define SL_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : sl__assert_failed(#condition, __FILE__, __LINE__))
#define SL_UNREACHABLE(why) sl__assert_failed(why, __FILE__, __LINE__)

/* Debug builds only: preconditions inside hot loops. */
#ifdef NDEBUG
#define SL_DCHECK(condition) ((void)0)
#else
#define SL_DCHECK(condition) SL_ASSERT(condition)
#endif

/* Fill err (nullable) and return code, so that `return sl__fail(...)` reads well. */
SL_PRINTF(4, 5)
sl_status sl__fail(sl_error *err, sl_status code, uint64_t at, const char *format, ...);

static inline int32_t sl__min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t sl__max_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t sl__div_up_i32(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

/* n rounded up to a multiple of a power of two. The caller knows it cannot wrap. */
static inline size_t sl__round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) & ~(multiple - 1);
}

/* *out = a * b; false on overflow (out is then 0). For sizes a file supplies. */
static inline bool sl__mul_size(uint64_t a, uint64_t b, uint64_t *out) {
    const bool fits = a == 0 || b <= UINT64_MAX / a;
    *out = fits ? a * b : 0;
    return fits;
}

#endif

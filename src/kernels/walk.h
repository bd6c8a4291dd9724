/* walk.h - how the SIMD products walk over panels: by how many rows, and how far ahead.
 *
 * Private to src/kernels; static inline and macros only. */
#ifndef SL_WALK_H
#define SL_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "kernels/kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* How a walk helps the hardware's prefetcher along (docs/performance.md, "Prefetching").
 *
 * On AMD's Zen 4 it keeps up with one or two rows by itself and is only disturbed by advice;
 * with more, the arithmetic between two lines is long enough for it to lose the thread, and the
 * second-level cache is asked for lines ahead of time. On Intel's Xeon, whose memory is further
 * away, it never keeps up. There each line asks for one of the next window, four pages in turn:
 *
 *     this window    line 0  1  2  3 | 4  5  6  7 | ...
 *     asks for line 0 of page 0, 1, 2, 3 | line 1 of page 0, 1, 2, 3 | ... of the next one
 *
 * so that four streams of the hardware's prefetcher are at work. So each format has two
 * products, "asking" for the latter, and there are tables of both kinds. */
typedef enum walk_kind { WALK_QUIET, WALK_AHEAD, WALK_ASKING } walk_kind;

enum { QUIET_ROWS = 2, AHEAD_BYTES = 8192, ASKED_PAGES = 4, PAGE_BYTES = 4096 };

ALWAYS_INLINE walk_kind walk_of(bool asking, int32_t n_rows) {
    return asking ? WALK_ASKING : n_rows > QUIET_ROWS ? WALK_AHEAD : WALK_QUIET;
}

/* The line of the next window that the line at p asks for. */
ALWAYS_INLINE const uint8_t *asked_line(const uint8_t *p) {
    const uintptr_t window = (uintptr_t)ASKED_PAGES * PAGE_BYTES;
    const uintptr_t at = (uintptr_t)p % window, line = at / SL_CACHE_LINE;
    return p + (window - at + line % ASKED_PAGES * PAGE_BYTES + line / ASKED_PAGES * SL_CACHE_LINE);
}

/* For n bytes at p, which are about to be read. */
ALWAYS_INLINE void prefetch(walk_kind kind, const uint8_t *p, int32_t n) {
    if (kind == WALK_QUIET) return;
    for (int32_t i = 0; i < n; i += SL_CACHE_LINE)
        __builtin_prefetch(kind == WALK_ASKING ? asked_line(p + i) : p + AHEAD_BYTES + i, 0, 2);
}

/* Bytes of a column of a panel of floats, or of INT8. */
ALWAYS_INLINE int32_t column_bytes_of(const sl__format format) {
    return format == SL_FORMAT_F32 ? 64 : format == SL_FORMAT_INT8 ? 16 : 32;
}

/* Rows of activations, taken apart once per call. */
typedef struct act_rows {
    const int8_t *q[SL_KERNEL_ROWS];
    const float *scales[SL_KERNEL_ROWS];
    const float *shifts[SL_KERNEL_ROWS];
    const int16_t *minus_sums[SL_KERNEL_ROWS];
} act_rows;

ALWAYS_INLINE void act_rows_of(act_rows *a, const void *const *x, int32_t n_in, int n) {
    for (int r = 0; r < n; r++) {
        void *row = (void *)(uintptr_t)x[r]; /* read only */
        a->q[r] = sl__act_quants(row);
        a->scales[r] = sl__act_scales(row, n_in);
        a->shifts[r] = sl__act_shifts(row, n_in);
        a->minus_sums[r] = sl__act_minus_sums(row, n_in);
    }
}

/* Four bytes: quants of four columns, or the two sums of a block. */
ALWAYS_INLINE int32_t load_four(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return four;
}

/* Up to 8 rows share one walk over the panels; more rows take each panel, by then in
 * cache, 8 at a time. Every row count is compiled on its own. */
#define MATMUL(storage, name, inner, format)                                                       \
    storage name(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,      \
                 float *const *y, int32_t n_rows) {                                                \
        const size_t panel_bytes = sl__format_panel_bytes(format, n_in);                           \
        const int32_t step = n_rows <= SL_KERNEL_ROWS ? n_panels : 1;                              \
        for (int32_t p = 0; p < n_panels; p += step, panels += panel_bytes)                        \
            for (int32_t r = 0; r < n_rows; r += SL_KERNEL_ROWS)                                   \
                switch (sl__min_i32(SL_KERNEL_ROWS, n_rows - r)) {                                 \
                    ROWS_CASE(1, inner, format)                                                    \
                    ROWS_CASE(2, inner, format)                                                    \
                    ROWS_CASE(3, inner, format)                                                    \
                    ROWS_CASE(4, inner, format)                                                    \
                    ROWS_CASE(5, inner, format)                                                    \
                    ROWS_CASE(6, inner, format)                                                    \
                    ROWS_CASE(7, inner, format)                                                    \
                    ROWS_CASE(8, inner, format)                                                    \
                }                                                                                  \
    }
#define ROWS_CASE(n, inner, format)                                                                \
    case n:                                                                                        \
        inner(format, n, panels, n_in, step, x + r, y + r, p * SL_PANEL_ROWS);                     \
        break;

/* The code books have one compiled product for all of them and each number of rows: in a file
 * that has multiply() and calls their decoded form GRID, GRID_PRODUCTS makes matmul_grid(). */
#define GRID_ROWS(rows)                                                                            \
    static void multiply_grid_##rows(sl__format f, const uint8_t *panels, int32_t n_in,            \
                                     int32_t n_panels, const void *const *x, float *const *y,      \
                                     int32_t at) {                                                 \
        multiply(GRID, f, rows, panels, n_in, n_panels, x, y, at);                                 \
    }
#define GRID_PRODUCTS                                                                              \
    GRID_ROWS(1)                                                                                   \
    GRID_ROWS(2)                                                                                   \
    GRID_ROWS(3)                                                                                   \
    GRID_ROWS(4)                                                                                   \
    GRID_ROWS(5)                                                                                   \
    GRID_ROWS(6)                                                                                   \
    GRID_ROWS(7)                                                                                   \
    GRID_ROWS(8)
#define matmul_grid(f, n, panels, n_in, n_panels, x, y, at)                                        \
    multiply_grid_##n(f, panels, n_in, n_panels, x, y, at)

#endif

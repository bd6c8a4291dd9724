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

/* From three rows on the arithmetic between two lines is long enough for the hardware's
 * prefetcher to lose the thread, and the second-level cache is asked for lines ahead of
 * time. Whether a walk for one or two rows asks too depends on the machine: AMD's Zen 4
 * keeps up by itself and is only disturbed by advice, Intel's Xeon reads twice as much
 * with it (docs/performance.md, "Prefetching"). So there are two products of each format,
 * and tables of both kinds: the one for few rows that ask is called "asking". */
enum { PREFETCH_ROWS = 3, PREFETCH_BYTES = 8192 };

/* How far ahead a walk asks, in bytes; 0: it does not. */
ALWAYS_INLINE int32_t ahead_of(bool asking, int32_t n_rows) {
    return asking || n_rows >= PREFETCH_ROWS ? PREFETCH_BYTES : 0;
}

ALWAYS_INLINE void prefetch(ptrdiff_t ahead, const uint8_t *p, int32_t n) {
    if (ahead == 0) return;
    for (int32_t i = 0; i < n; i += SL_CACHE_LINE)
        __builtin_prefetch(p + ahead + i, 0, 2);
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

/* The same, where one or two rows ask for lines ahead of time; plain: the product of more. */
#define MATMUL_ASKING(storage, name, inner, format, plain)                                         \
    storage name(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,      \
                 float *const *y, int32_t n_rows) {                                                \
        if (n_rows == 1)                                                                           \
            inner(format, 1, panels, n_in, n_panels, x, y, 0);                                     \
        else if (n_rows == 2)                                                                      \
            inner(format, 2, panels, n_in, n_panels, x, y, 0);                                     \
        else                                                                                       \
            plain(panels, n_in, n_panels, x, y, n_rows);                                           \
    }

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

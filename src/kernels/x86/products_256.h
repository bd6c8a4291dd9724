/* products_256.h - products with quantised weights, 256 bits: the walk over panels.
 *
 * Private to the tables for AVX2 and AVX-VNNI, see quants_256.h; MATMUL_NAME(name, walk) is what
 * products are called, walk empty or _asking (walk.h). A panel is walked in chunks of up to 256
 * columns. What scales a chunk's blocks is unpacked first; then its products with each tile of up
 * to four rows are added to y, block by block:
 *
 *     up to 8 rows    quants are taken apart in registers
 *     more rows       quants are taken apart into bytes, 4 KiB that stay in the first-level
 *                     cache for all tiles
 *
 * Four rows by both halves of a panel are eight sums, in sixteen registers: every broadcast of
 * activations is used twice, every register of weights four times. */
#ifndef SL_PRODUCTS_256_H
#define SL_PRODUCTS_256_H

#include "kernels/x86/quants_256.h"

/* acc += block b of a chunk, which is the tile's next. */
ALWAYS_INLINE void add_block(const sl__format f, const int apart, const int n, sums *acc,
                             const chunk *c, tile *t, int32_t b) {
    sums dots;
    block_dots(f, apart, n, &dots, c, t, b);
    if (n > 2) IN_MEMORY(*acc);
    __m256 scale[2], min[2];
    UNROLL
    for (int half = 0; half < 2; half++) {
        scale[half] = _mm256_loadu_ps(c->scale[b] + HALF * half);
        min[half] = _mm256_loadu_ps(c->min[b] + HALF * half);
    }
    UNROLL
    for (int r = 0; r < n; r++) {
        const __m256 row_scale = broadcast_float(t->row[r] + t->scale);
        const __m256 shift = broadcast_float(t->row[r] + t->shift);
        const __m256i minus_sums = broadcast(t->row[r] + t->minus_sums);
        UNROLL
        for (int half = 0; half < 2; half++) {
            __m256 sum = acc->v[r][half];
            sum = _mm256_fmadd_ps(dots.v[r][half], _mm256_mul_ps(scale[half], row_scale), sum);
            if (sl__format_has_min(f) && !sl__format_has_halves(f))
                sum = _mm256_fmadd_ps(min[half], shift, sum);
            if (sl__format_has_min(f) && sl__format_has_halves(f)) {
                const __m256i pairs = load(c->mins[b] + HALF * half);
                const __m256 mins = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, minus_sums));
                sum = _mm256_fmadd_ps(mins, _mm256_mul_ps(min[half], row_scale), sum);
            }
            acc->v[r][half] = sum;
        }
    }
    next_block(t);
}

ALWAYS_INLINE void store_sums(const sums *acc, const int n, float *const *y, int32_t at) {
    UNROLL
    for (int r = 0; r < n; r++)
        UNROLL
    for (int half = 0; half < 2; half++)
        _mm256_storeu_ps(y[r] + at + HALF * half, acc->v[r][half]);
}

/* Every line counts: a head of 32 bytes between blocks may be all that needs one. */
ALWAYS_INLINE void prefetch_block(const sl__format f, const chunk *c, int32_t b) {
    const int head = sl__layouts[f].columns == SL_Q_BLOCK ? sl__layouts[f].head : 0;
    prefetch(c->kind, c->quants + b * c->stride - head, head + sl__layouts[f].quants);
}

/* y += a chunk, which begins at block `first`, for n rows. */
ALWAYS_INLINE void add_tile(const sl__format f, const int apart, const int n, chunk *c,
                            const void *const *x, int32_t n_in, int32_t first, float *const *y,
                            int32_t at) {
    tile t;
    sums acc;
    tile_of(&t, n, x, n_in, first);
    UNROLL
    for (int r = 0; r < n; r++)
        UNROLL
    for (int half = 0; half < 2; half++)
        acc.v[r][half] =
            first == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(y[r] + at + HALF * half);
    for (int32_t b = 0; b < c->n_blocks; b++) {
        if (!apart && c->fresh && sl__layouts[f].columns == SL_Q_BLOCK) load_block(f, c, b);
        if (!apart && c->fresh) prefetch_block(f, c, b);
        add_block(f, apart, n, &acc, c, &t, b);
    }
    store_sums(&acc, n, y, at);
}

/* Every number of rows is compiled on its own. */
typedef void tile_fn(int32_t n, chunk *c, const void *const *x, int32_t n_in, int32_t first,
                     float *const *y, int32_t at);
#define TILE(name, f, apart)                                                                       \
    static void name(int32_t n, chunk *c, const void *const *x, int32_t n_in, int32_t first,       \
                     float *const *y, int32_t at) {                                                \
        if (n == 1) add_tile(f, apart, 1, c, x, n_in, first, y, at);                               \
        if (n == 2) add_tile(f, apart, 2, c, x, n_in, first, y, at);                               \
        if (n == 3) add_tile(f, apart, 3, c, x, n_in, first, y, at);                               \
        if (n == 4) add_tile(f, apart, 4, c, x, n_in, first, y, at);                               \
    }

#define X(NAME, name, columns, bytes) TILE(add_##name, SL_FORMAT_##NAME, 0)
SL_PLANE_FORMATS(X)
#undef X

/* ---- quants that have been taken apart ---- */

/* Formats that are multiplied alike once their quants are bytes: one stands for all. */
ALWAYS_INLINE sl__format kind_of(const sl__format f) {
    switch (f) {
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
        return SL_FORMAT_Q8_0;
    case SL_FORMAT_Q4_K:
        return SL_FORMAT_Q4_1;
    case SL_FORMAT_Q5_K:
        return SL_FORMAT_Q5_1;
    case SL_FORMAT_MXFP4:
        return SL_FORMAT_Q5_0;
    default:
        return sl__format_has_grid(f) ? GRID : f;
    }
}

#define KINDS(X) X(Q8_0) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q2_K) X(Q3_K) X(Q6_K) X(IQ2_XXS)

#define X(NAME) TILE(add_bytes_##NAME, SL_FORMAT_##NAME, 1)
KINDS(X)
#undef X

ALWAYS_INLINE tile_fn *bytes_tile(const sl__format kind) {
    switch (kind) {
#define X(NAME)                                                                                    \
    case SL_FORMAT_##NAME:                                                                         \
        return add_bytes_##NAME;
        KINDS(X)
#undef X
    default:
        SL_UNREACHABLE("a format that stands for a kind");
    }
}

/* The quants of a chunk as bytes, and its scales. */
ALWAYS_INLINE void take_apart(const sl__format f, chunk *c) {
    for (int32_t b = 0; b < c->n_blocks && sl__layouts[f].columns == SL_Q_BLOCK; b++)
        load_block(f, c, b);
    uint8_t *to = c->unit.quants;
    for (int32_t b = 0; b < c->n_blocks; b++) {
        const uint8_t *from = c->quants + b * c->stride;
        prefetch_block(f, c, b);
        UNROLL
        for (int g = 0; g < 8; g++, to += 64) {
            store(to, group(f, from, g));
            store(to + 32, group(f, from + 32, g));
        }
    }
    c->quants = c->unit.quants;
    c->stride = 512;
}

/* The same for a unit of a format with a code book. */
ALWAYS_INLINE const uint8_t *load_grid_chunk(sl__format f, chunk *c, const uint8_t *unit) {
    sl__grid_unit_decode(f, &c->unit, unit);
    UNROLL
    for (int half = 0; half < 2; half++)
        load_sub_scales(GRID, c, &c->unit.sub, _mm256_loadu_ps(c->unit.d + HALF * half),
                        _mm256_setzero_ps(), half);
    c->bias = bias_of(GRID) << 16 | bias_of(GRID);
    c->quants = c->unit.quants;
    c->stride = 512;
    return unit + sl__layouts[f].head;
}

/* ---- the walk ---- */

/* Rows share each chunk, in tiles as even as can be. add: of the quants as they are. */
ALWAYS_INLINE void multiply(const sl__format f, tile_fn *add, bool asking, const uint8_t *panels,
                            int32_t n_in, int32_t n_panels, const void *const *x, float *const *y,
                            int32_t n_rows) {
    const int32_t blocks = n_in / SL_Q_BLOCK;
    const bool bytes = f == SL_FORMAT_Q8_0 && is_signed(f); /* as they are */
    const bool apart = sl__format_has_grid(f) || (n_rows > SL_KERNEL_ROWS && !bytes);
    const uint8_t *unit = panels;
    chunk c;
    c.kind = walk_of(asking, n_rows);
    for (int32_t p = 0; p < n_panels; p++)
        for (int32_t first = 0; first < blocks; first += CHUNK_BLOCKS) {
            c.n_blocks = sl__min_i32(CHUNK_BLOCKS, blocks - first);
            if (sl__layouts[f].columns > SL_Q_BLOCK) prefetch(c.kind, unit, sl__layouts[f].head);
            unit = sl__format_has_grid(f) ? load_grid_chunk(f, &c, unit) : load_chunk(f, &c, unit);
            if (apart && !sl__format_has_grid(f)) take_apart(f, &c);
            c.fresh = true;
            for (int32_t r = 0, n; r < n_rows; r += n) {
                n = sl__div_up_i32(n_rows - r, sl__div_up_i32(n_rows - r, TILE_ROWS));
                if (apart)
                    bytes_tile(kind_of(f))(n, &c, x + r, n_in, first, y + r, p * SL_PANEL_ROWS);
                else
                    add(n, &c, x + r, n_in, first, y + r, p * SL_PANEL_ROWS);
                c.fresh = false;
            }
        }
}

#define PRODUCT(NAME, name, walk, add, asking)                                                     \
    void MATMUL_NAME(name, walk)(const uint8_t *panels, int32_t n_in, int32_t n_panels,            \
                                 const void *const *x, float *const *y, int32_t n_rows) {          \
        multiply(SL_FORMAT_##NAME, add, asking, panels, n_in, n_panels, x, y, n_rows);             \
    }

#define X(NAME, name, columns, bytes)                                                              \
    PRODUCT(NAME, name, , add_##name, false)                                                       \
    PRODUCT(NAME, name, _asking, add_##name, true)
SL_PLANE_FORMATS(X)
#undef X

#define X(NAME, name, columns, bytes)                                                              \
    PRODUCT(NAME, name, , NULL, false)                                                             \
    PRODUCT(NAME, name, _asking, NULL, true)
SL_GRID_FORMATS(X)
#undef X

#endif

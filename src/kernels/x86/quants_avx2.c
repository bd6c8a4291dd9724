/* quants_avx2.c - products with quantised weights, AVX2: a register holds four columns of
 * eight outputs, half a panel.
 *
 * Part of the table in kernels_avx2.c, built with its flags. The order of operations is
 * quants_scalar.c's. maddubs multiplies unsigned by signed bytes and adds pairs in 16
 * bits. Small quants stay unsigned, so that the pairs of several groups can be added in
 * 16 bits before they are widened; a bias comes out of minus_sum, exactly. For quants of
 * eight bits the sign moves onto the activation. */
#include "kernels/grid_quants.h"

#include <immintrin.h>

#include "base/base.h"
#include "kernels/walk.h"

/* Stands for all formats with code books once they are decoded. */
#define GRID SL_FORMAT_IQ2_XXS

enum { HALF = 8 }; /* outputs in one register */

/* Sixteen registers hold the sums of eight rows and little else. Compilers know better: gcc
 * adds the products of all groups in a tree, and shares the broadcast activations of both
 * halves of a panel, and spills them all (four rows of Q4_K from L2: 8.3 GB/s instead
 * of 13.3 on Zen 4, gcc 12). */
#define IN_ORDER(v) __asm__("" : "+x"(v))
#define FORGET_LOADS() __asm__ volatile("" : : : "memory")

/* ---- quants: group g (columns 4g .. 4g + 3) of a block, half a panel ---- */

ALWAYS_INLINE __m256i load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

ALWAYS_INLINE __m256i nibbles(const uint8_t *plane, const int g) {
    const __m256i both = load(plane + 64 * (g & 3));
    return _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
}

/* Crumb of group g, as bits `at`, `at` + 1. */
ALWAYS_INLINE __m256i crumbs(const uint8_t *plane, const int g, const int at) {
    const __m256i all = load(plane + 64 * (g / 4));
    const int down = 2 * (g % 4) - at;
    return _mm256_and_si256(down >= 0 ? _mm256_srli_epi16(all, down)
                                      : _mm256_slli_epi16(all, -down),
                            _mm256_set1_epi8((char)(3 << at)));
}

/* Bit g of the plane's bytes, as bit `at`. */
ALWAYS_INLINE __m256i bits(const uint8_t *plane, const int g, const int at) {
    const __m256i all = load(plane);
    return _mm256_and_si256(at >= g ? _mm256_slli_epi16(all, at - g)
                                    : _mm256_srli_epi16(all, g - at),
                            _mm256_set1_epi8((char)(1 << at)));
}

ALWAYS_INLINE __m256i look_up(__m128i values, __m256i indices) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), indices);
}

/* Formats whose quants are signed here. Nothing saturates: a weight may be -128, an
 * activation never is, so a pair is at most 2 * 128 * 127 = 32512. */
ALWAYS_INLINE int is_signed(const sl__format f) {
    return f == SL_FORMAT_Q8_0 || f == SL_FORMAT_IQ4_NL || f == SL_FORMAT_IQ4_XS;
}

ALWAYS_INLINE __m256i group(const sl__format f, const uint8_t *q, const int g) {
    switch (f) {
    case SL_FORMAT_Q8_0:
    case GRID:
        return load(q + 64 * g);
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_Q5_K:
        return _mm256_or_si256(nibbles(q, g), bits(q + 256, g, 4));
    case SL_FORMAT_Q2_K:
        return crumbs(q, g, 0);
    case SL_FORMAT_Q3_K:
        return _mm256_or_si256(crumbs(q, g, 0), bits(q + 128, g, 2));
    case SL_FORMAT_Q6_K:
        return _mm256_or_si256(nibbles(q, g), crumbs(q + 256, g, 4));
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
        return look_up(_mm_setr_epi8(SL_IQ4_NL_VALUES), nibbles(q, g));
    case SL_FORMAT_MXFP4:
        return look_up(_mm_add_epi8(_mm_setr_epi8(SL_MXFP4_VALUES), _mm_set1_epi8(12)),
                       nibbles(q, g));
    default:
        return nibbles(q, g);
    }
}

/* Groups whose pairs can be added in 16 bits: 2 * 127 * largest quant * groups < 32768. */
ALWAYS_INLINE int groups_per_sum(const sl__format f) {
    switch (f) {
    case SL_FORMAT_Q8_0:
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
    case GRID:
        return 1; /* 128, and 126 of the grids */
    case SL_FORMAT_Q6_K:
        return 2; /* 63 */
    case SL_FORMAT_Q2_K:
    case SL_FORMAT_Q3_K:
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_Q5_K:
    case SL_FORMAT_MXFP4:
        return 4; /* 31 at most; of the first two each half of a block has its own scale */
    default:
        return 8; /* 15 */
    }
}

/* ---- scales ---- */

ALWAYS_INLINE __m256 load_halves(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* 2^(e - 128), as sl__e8m0_half_to_float(). */
ALWAYS_INLINE __m256 load_exponents(const uint8_t *p) {
    const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
}

/* What scales a unit (a block of the file), in two halves of 8 outputs. */
typedef struct unit_scales {
    __m256 d[2], min[2];
    sl__sub_scales sub;
} unit_scales;

ALWAYS_INLINE void load_unit(const sl__format f, unit_scales *u, const uint8_t *unit) {
    for (int half = 0; half < 2; half++) {
        u->d[half] = f == SL_FORMAT_MXFP4 ? load_exponents(unit + HALF * half)
                                          : load_halves(unit + 2 * HALF * half);
        u->min[half] =
            sl__format_has_min(f) ? load_halves(unit + 32 + 2 * HALF * half) : _mm256_setzero_ps();
        if (sl__layouts[f].columns == SL_Q_BLOCK) /* these files hold what is added */
            u->min[half] = _mm256_xor_ps(u->min[half], _mm256_set1_ps(-0.0f));
    }
    if (sl__layouts[f].columns > SL_Q_BLOCK) sl__unpack_scales(f, &u->sub, unit);
}

ALWAYS_INLINE __m256i load_sub(const int8_t *sub, int32_t i, int half) {
    return _mm256_cvtepi8_epi32(
        _mm_loadl_epi64((const __m128i *)(sub + i * SL_PANEL_ROWS + HALF * half)));
}

/* Two integers per lane as two halves of it. */
ALWAYS_INLINE __m256i pair(__m256i low, __m256i high) {
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}

/* What scales half a panel of block s of a unit. madd multiplies the pairs of sums by
 * `sub` as it adds them: by 1 where halves have no sub-scales. */
typedef struct block_scales {
    __m256 scale, min;
    __m256i sub[2]; /* of each half of the columns                         */
    __m256i biases; /* pairs: what each half's minus_sum is multiplied with */
    __m256i mins;   /* pairs */
} block_scales;

ALWAYS_INLINE void load_block(const sl__format f, block_scales *out, const sl__sub_scales *sub,
                              const unit_scales *u, int32_t s, int half) {
    out->scale = u->d[half];
    out->min = u->min[half];
    out->biases = _mm256_set1_epi16((short)sl__layouts[f].bias);
    out->sub[0] = out->sub[1] = _mm256_set1_epi16(1);
    if (sl__format_has_halves(f)) {
        const __m256i sub0 = load_sub(sub->scale, 2 * s, half);
        const __m256i sub1 = load_sub(sub->scale, 2 * s + 1, half);
        out->sub[0] = pair(sub0, sub0);
        out->sub[1] = pair(sub1, sub1);
        out->biases = _mm256_mullo_epi16(out->biases, pair(sub0, sub1));
        if (sl__format_has_min(f))
            out->mins = pair(load_sub(sub->min, 2 * s, half), load_sub(sub->min, 2 * s + 1, half));
    } else if (sl__layouts[f].columns > SL_Q_BLOCK) {
        out->scale = _mm256_mul_ps(out->scale, _mm256_cvtepi32_ps(load_sub(sub->scale, s, half)));
        if (sl__format_has_min(f))
            out->min = _mm256_mul_ps(out->min, _mm256_cvtepi32_ps(load_sub(sub->min, s, half)));
    }
}

/* ---- products ---- */

/* Integer dot products of block b with n rows, under their sub-scales; q is its quants,
 * at the half's offset. */
ALWAYS_INLINE void block_dots(const sl__format f, const int n, __m256i dots[SL_KERNEL_ROWS],
                              const uint8_t *q, const block_scales *s, const act_rows *a,
                              int32_t b) {
    const int step = groups_per_sum(f);
    for (int r = 0; r < n; r++) {
        dots[r] = _mm256_setzero_si256();
        if (!is_signed(f) && sl__layouts[f].bias)
            dots[r] = _mm256_madd_epi16(s->biases,
                                        _mm256_set1_epi32(load_four(a->minus_sums[r] + 2 * b)));
    }
    for (int first = 0; first < 8; first += step) {
        __m256i pairs[SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            pairs[r] = _mm256_setzero_si256();
        for (int g = first; g < first + step; g++) {
            const __m256i w = group(f, q, g);
            const __m256i unsigned_w = is_signed(f) ? _mm256_abs_epi8(w) : w;
            for (int r = 0; r < n; r++) {
                __m256i x = _mm256_set1_epi32(load_four(a->q[r] + b * SL_Q_BLOCK + 4 * g));
                if (is_signed(f)) x = _mm256_sign_epi8(x, w);
                pairs[r] = _mm256_add_epi16(pairs[r], _mm256_maddubs_epi16(unsigned_w, x));
                IN_ORDER(pairs[r]);
            }
        }
        for (int r = 0; r < n; r++)
            dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(pairs[r], s->sub[first / 4]));
    }
}

ALWAYS_INLINE void multiply_block(const sl__format f, const int n, __m256 acc[SL_KERNEL_ROWS],
                                  const uint8_t *q, const block_scales *s, const act_rows *a,
                                  int32_t b) {
    __m256i dots[SL_KERNEL_ROWS];
    block_dots(f, n, dots, q, s, a, b);
    for (int r = 0; r < n; r++) {
        const __m256 row_scale = _mm256_set1_ps(a->scales[r][b]);
        acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r]), _mm256_mul_ps(s->scale, row_scale),
                                 acc[r]);
        if (!sl__format_has_min(f)) continue;
        if (!sl__format_has_halves(f)) {
            acc[r] = _mm256_fmadd_ps(s->min, _mm256_set1_ps(a->shifts[r][b]), acc[r]);
            continue;
        }
        const __m256i mins =
            _mm256_madd_epi16(s->mins, _mm256_set1_epi32(load_four(a->minus_sums[r] + 2 * b)));
        acc[r] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(mins), _mm256_mul_ps(s->min, row_scale), acc[r]);
    }
}

/* f is constant where this is compiled, also for the code books, which share one. */
ALWAYS_INLINE void multiply(const sl__format f, sl__format file_format, const int n,
                            const uint8_t *panels, int32_t n_in, int32_t n_panels,
                            const void *const *x, float *const *y, int32_t at) {
    const sl__layout l = sl__layouts[f];
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *unit = panels;
    sl__grid_unit grid;
    for (int32_t p = 0; p < n_panels; p++) {
        __m256 acc[2][SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            acc[0][r] = acc[1][r] = _mm256_setzero_ps();
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK;) {
            unit_scales u;
            prefetch(n, unit, sl__layouts[file_format].head);
            if (f == GRID) {
                sl__grid_unit_decode(file_format, &grid, unit);
                for (int half = 0; half < 2; half++)
                    u.d[half] = _mm256_loadu_ps(grid.d + HALF * half);
            } else
                load_unit(f, &u, unit);
            unit += sl__layouts[file_format].head;
            for (int32_t s = 0; s < l.columns / SL_Q_BLOCK; s++, b++, unit += l.quants) {
                prefetch(n, unit, l.quants);
                for (int half = 0; half < 2; half++) {
                    FORGET_LOADS();
                    block_scales scales;
                    load_block(f, &scales, f == GRID ? &grid.sub : &u.sub, &u, s, half);
                    multiply_block(f, n, acc[half],
                                   (f == GRID ? grid.quants + 512 * s : unit) + 32 * half, &scales,
                                   &a, b);
                }
            }
        }
        for (int r = 0; r < n; r++) {
            _mm256_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, acc[0][r]);
            _mm256_storeu_ps(y[r] + at + p * SL_PANEL_ROWS + HALF, acc[1][r]);
        }
    }
}

ALWAYS_INLINE void matmul(const sl__format f, const int n, const uint8_t *panels, int32_t n_in,
                          int32_t n_panels, const void *const *x, float *const *y, int32_t at) {
    multiply(f, f, n, panels, n_in, n_panels, x, y, at);
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx2, matmul, SL_FORMAT_##NAME)
SL_PLANE_FORMATS(X)
#undef X

/* The code books, one compiled product for all of them and each number of rows. */
#define GRID_ROWS(rows)                                                                            \
    static void multiply_grid_##rows(sl__format f, const uint8_t *panels, int32_t n_in,            \
                                     int32_t n_panels, const void *const *x, float *const *y,      \
                                     int32_t at) {                                                 \
        multiply(GRID, f, rows, panels, n_in, n_panels, x, y, at);                                 \
    }
GRID_ROWS(1)
GRID_ROWS(2)
GRID_ROWS(3)
GRID_ROWS(4)
GRID_ROWS(5)
GRID_ROWS(6)
GRID_ROWS(7)
GRID_ROWS(8)
#define matmul_grid(f, n, panels, n_in, n_panels, x, y, at)                                        \
    multiply_grid_##n(f, panels, n_in, n_panels, x, y, at)

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx2, matmul_grid, SL_FORMAT_##NAME)
SL_GRID_FORMATS(X)
#undef X

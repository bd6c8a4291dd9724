/* quants_avx512.c - products with quantised weights, AVX-512 with VNNI: a register holds
 * four columns of 16 outputs.
 *
 * Part of the table in kernels_avx512.c, built with its flags. The order of operations is
 * quants_scalar.c's. A block is decoded once for all rows: eight registers of unsigned
 * quants, and what scales them. vpdpbusd wants unsigned times signed; starting its sums
 * at bias * minus_sum takes the bias of the quants out again, exactly. */
#include "kernels/grid_quants.h"

#include <immintrin.h>

#include "base/base.h"
#include "kernels/walk.h"

/* Stands for all formats with code books once they are decoded. */
#define GRID SL_FORMAT_IQ2_XXS

/* ---- quants ---- */

ALWAYS_INLINE void load_bytes(__m512i w[8], const uint8_t *plane, const int flip) {
    for (int g = 0; g < 8; g++)
        w[g] = _mm512_xor_si512(_mm512_loadu_si512(plane + 64 * g), _mm512_set1_epi8((char)flip));
}

ALWAYS_INLINE void load_nibbles(__m512i w[8], const uint8_t *plane) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_loadu_si512(plane + 64 * g);
        w[g] = _mm512_and_si512(both, low);
        w[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
}

/* v << n, or >> -n; what crosses from byte to byte is masked away afterwards. */
ALWAYS_INLINE __m512i shift_left(__m512i v, const int n) {
    return n > 0   ? _mm512_slli_epi32(v, (unsigned)n)
           : n < 0 ? _mm512_srli_epi32(v, (unsigned)-n)
                   : v;
}

/* w | (v & mask) */
ALWAYS_INLINE __m512i or_masked(__m512i w, __m512i v, __m512i mask) {
    return _mm512_ternarylogic_epi64(w, v, mask, 0xf8);
}

ALWAYS_INLINE void load_crumbs(__m512i w[8], const uint8_t *plane) {
    for (int h = 0; h < 2; h++) {
        const __m512i crumbs = _mm512_loadu_si512(plane + 64 * h);
        for (int f = 0; f < 4; f++)
            w[4 * h + f] = _mm512_and_si512(shift_left(crumbs, -2 * f), _mm512_set1_epi8(3));
    }
}

/* The crumbs of a plane become bits `at`, `at` + 1. */
ALWAYS_INLINE void add_crumbs(__m512i w[8], const uint8_t *plane, const int at) {
    const __m512i mask = _mm512_set1_epi8((char)(3 << at));
    for (int h = 0; h < 2; h++) {
        const __m512i crumbs = _mm512_loadu_si512(plane + 64 * h);
        for (int f = 0; f < 4; f++)
            w[4 * h + f] = or_masked(w[4 * h + f], shift_left(crumbs, at - 2 * f), mask);
    }
}

/* Bit g of the plane's bytes becomes bit `at` of w[g]. */
ALWAYS_INLINE void add_bits(__m512i w[8], const uint8_t *plane, const int at) {
    const __m512i bits = _mm512_loadu_si512(plane), mask = _mm512_set1_epi8((char)(1 << at));
    for (int g = 0; g < 8; g++)
        w[g] = or_masked(w[g], shift_left(bits, at - g), mask);
}

ALWAYS_INLINE void look_up(__m512i w[8], __m128i values) {
    const __m512i table = _mm512_broadcast_i32x4(values);
    for (int g = 0; g < 8; g++)
        w[g] = _mm512_shuffle_epi8(table, w[g]);
}

ALWAYS_INLINE void load_quants(const sl__format f, __m512i w[8], const uint8_t *q) {
    const int bias = sl__layouts[f].bias;
    if (f == SL_FORMAT_Q8_0 || f == GRID)
        load_bytes(w, q, f == SL_FORMAT_Q8_0 ? -128 : 0);
    else if (f == SL_FORMAT_Q2_K || f == SL_FORMAT_Q3_K)
        load_crumbs(w, q);
    else
        load_nibbles(w, q);
    if (f == SL_FORMAT_Q3_K) add_bits(w, q + 128, 2);
    if (f == SL_FORMAT_Q5_0 || f == SL_FORMAT_Q5_1 || f == SL_FORMAT_Q5_K) add_bits(w, q + 256, 4);
    if (f == SL_FORMAT_Q6_K) add_crumbs(w, q + 256, 4);
    if (f == SL_FORMAT_IQ4_NL || f == SL_FORMAT_IQ4_XS)
        look_up(w, _mm_add_epi8(_mm_setr_epi8(SL_IQ4_NL_VALUES), _mm_set1_epi8((char)bias)));
    if (f == SL_FORMAT_MXFP4)
        look_up(w, _mm_add_epi8(_mm_setr_epi8(SL_MXFP4_VALUES), _mm_set1_epi8((char)bias)));
}

/* ---- scales ---- */

ALWAYS_INLINE __m512 load_halves(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* 2^(e - 128), as sl__e8m0_half_to_float(). */
ALWAYS_INLINE __m512 load_exponents(const uint8_t *p) {
    const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(
        _mm512_mask_sllv_epi32(normal, small, _mm512_set1_epi32(0x00200000), e));
}

/* What scales a unit (a block of the file) of 16 outputs. */
typedef struct unit_scales {
    __m512 d, min;
    sl__sub_scales sub;
} unit_scales;

ALWAYS_INLINE void load_unit(const sl__format f, unit_scales *u, const uint8_t *unit) {
    u->d = f == SL_FORMAT_MXFP4 ? load_exponents(unit) : load_halves(unit);
    u->min = sl__format_has_min(f) ? load_halves(unit + 32) : _mm512_setzero_ps();
    if (sl__layouts[f].columns == SL_Q_BLOCK) /* these files hold what is added */
        u->min = _mm512_xor_ps(u->min, _mm512_set1_ps(-0.0f));
    else
        sl__unpack_scales(f, &u->sub, unit);
}

ALWAYS_INLINE __m512i load_sub(const int8_t *sub, int32_t i) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(sub + i * SL_PANEL_ROWS)));
}

/* Two integers per lane as two halves of it. */
ALWAYS_INLINE __m512i pair(__m512i low, __m512i high) {
    return _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16));
}

/* What scales block s of a unit. */
typedef struct block_scales {
    __m512 scale, min;
    __m512i sub[2]; /* of each half of the columns                         */
    __m512i biases; /* pairs: what each half's minus_sum is multiplied with */
    __m512i mins;   /* pairs */
} block_scales;

ALWAYS_INLINE void load_block(const sl__format f, block_scales *out, const sl__sub_scales *sub,
                              const unit_scales *u, int32_t s) {
    out->scale = u->d;
    out->min = u->min;
    out->biases = _mm512_set1_epi16((short)sl__layouts[f].bias);
    if (sl__format_has_halves(f)) {
        for (int h = 0; h < 2; h++)
            out->sub[h] = load_sub(sub->scale, 2 * s + h);
        out->biases = _mm512_mullo_epi16(out->biases, pair(out->sub[0], out->sub[1]));
        if (sl__format_has_min(f))
            out->mins = pair(load_sub(sub->min, 2 * s), load_sub(sub->min, 2 * s + 1));
    } else if (sl__layouts[f].columns > SL_Q_BLOCK) {
        out->scale = _mm512_mul_ps(u->d, _mm512_cvtepi32_ps(load_sub(sub->scale, s)));
        if (sl__format_has_min(f))
            out->min = _mm512_mul_ps(u->min, _mm512_cvtepi32_ps(load_sub(sub->min, s)));
    }
}

/* ---- products ---- */

ALWAYS_INLINE __m512i dot4(__m512i sum, __m512i w, const int8_t *q) {
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(load_four(q)));
}

/* acc[r] += block b, its 32 columns under one scale. */
ALWAYS_INLINE void multiply_block(const sl__format f, const int n, __m512 acc[SL_KERNEL_ROWS],
                                  const __m512i w[8], const block_scales *s, const act_rows *a,
                                  int32_t b) {
    for (int r = 0; r < n; r++) {
        const int8_t *q = a->q[r] + b * SL_Q_BLOCK;
        const __m512i sums = _mm512_set1_epi32(load_four(a->minus_sums[r] + 2 * b));
        __m512i dot0 = _mm512_setzero_si512(), dot1 = _mm512_setzero_si512();
        if (sl__layouts[f].bias) dot0 = _mm512_dpwssd_epi32(dot0, s->biases, sums);
        for (int g = 0; g < 8; g += 2) {
            dot0 = dot4(dot0, w[g], q + 4 * g);
            dot1 = dot4(dot1, w[g + 1], q + 4 * g + 4);
        }
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot0, dot1));
        const __m512 row_scale = _mm512_set1_ps(a->scales[r][b]);
        acc[r] = _mm512_fmadd_ps(dot, _mm512_mul_ps(s->scale, row_scale), acc[r]);
        if (sl__format_has_min(f))
            acc[r] = _mm512_fmadd_ps(s->min, _mm512_set1_ps(a->shifts[r][b]), acc[r]);
    }
}

/* The same, under two sub-scales. */
ALWAYS_INLINE void multiply_halves(const sl__format f, const int n, __m512 acc[SL_KERNEL_ROWS],
                                   const __m512i w[8], const block_scales *s, const act_rows *a,
                                   int32_t b) {
    for (int r = 0; r < n; r++) {
        const int8_t *q = a->q[r] + b * SL_Q_BLOCK;
        const __m512i sums = _mm512_set1_epi32(load_four(a->minus_sums[r] + 2 * b));
        __m512i dot0 = _mm512_setzero_si512(), dot1 = _mm512_setzero_si512();
        for (int g = 0; g < 4; g++) {
            dot0 = dot4(dot0, w[g], q + 4 * g);
            dot1 = dot4(dot1, w[g + 4], q + 4 * g + 16);
        }
        __m512i dot = _mm512_mullo_epi32(dot0, s->sub[0]);
        if (sl__layouts[f].bias) dot = _mm512_dpwssd_epi32(dot, s->biases, sums);
        dot = _mm512_add_epi32(dot, _mm512_mullo_epi32(dot1, s->sub[1]));
        const __m512 row_scale = _mm512_set1_ps(a->scales[r][b]);
        acc[r] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(s->scale, row_scale), acc[r]);
        if (!sl__format_has_min(f)) continue;
        const __m512i mins = _mm512_dpwssd_epi32(_mm512_setzero_si512(), s->mins, sums);
        acc[r] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(mins), _mm512_mul_ps(s->min, row_scale), acc[r]);
    }
}

/* f is constant where this is compiled, also for the code books, which share one. */
ALWAYS_INLINE void multiply_walking(const sl__format f, sl__format file_format, const bool asking,
                                    const int n, const uint8_t *panels, int32_t n_in,
                                    int32_t n_panels, const void *const *x, float *const *y,
                                    int32_t at) {
    const sl__layout l = sl__layouts[f];
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *unit = panels;
    sl__grid_unit grid;
    for (int32_t p = 0; p < n_panels; p++) {
        __m512 acc[SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            acc[r] = _mm512_setzero_ps();
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK;) {
            unit_scales u;
            prefetch(walk_of(asking, n), unit, sl__layouts[file_format].head);
            if (f == GRID) {
                sl__grid_unit_decode(file_format, &grid, unit);
                u.d = _mm512_loadu_ps(grid.d);
            } else
                load_unit(f, &u, unit);
            unit += sl__layouts[file_format].head;
            for (int32_t s = 0; s < l.columns / SL_Q_BLOCK; s++, b++, unit += l.quants) {
                block_scales scales;
                __m512i w[8];
                prefetch(walk_of(asking, n), unit, l.quants);
                load_block(f, &scales, f == GRID ? &grid.sub : &u.sub, &u, s);
                load_quants(f, w, f == GRID ? grid.quants + 512 * s : unit);
                if (sl__format_has_halves(f))
                    multiply_halves(f, n, acc, w, &scales, &a, b);
                else
                    multiply_block(f, n, acc, w, &scales, &a, b);
            }
        }
        for (int r = 0; r < n; r++)
            _mm512_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, acc[r]);
    }
}

ALWAYS_INLINE void multiply(const sl__format f, sl__format file_format, const int n,
                            const uint8_t *panels, int32_t n_in, int32_t n_panels,
                            const void *const *x, float *const *y, int32_t at) {
    multiply_walking(f, file_format, false, n, panels, n_in, n_panels, x, y, at);
}

ALWAYS_INLINE void matmul(const sl__format f, const int n, const uint8_t *panels, int32_t n_in,
                          int32_t n_panels, const void *const *x, float *const *y, int32_t at) {
    multiply_walking(f, f, false, n, panels, n_in, n_panels, x, y, at);
}

ALWAYS_INLINE void matmul_asking(const sl__format f, const int n, const uint8_t *panels,
                                 int32_t n_in, int32_t n_panels, const void *const *x,
                                 float *const *y, int32_t at) {
    multiply_walking(f, f, true, n, panels, n_in, n_panels, x, y, at);
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx512, matmul, SL_FORMAT_##NAME)                             \
    MATMUL(void, sl__matmul_##name##_avx512_asking, matmul_asking, SL_FORMAT_##NAME)
SL_PLANE_FORMATS(X)
#undef X

GRID_PRODUCTS

/* Decoding a code book takes longer than its bytes: nobody asks. */
#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx512, matmul_grid, SL_FORMAT_##NAME)                        \
    MATMUL(void, sl__matmul_##name##_avx512_asking, matmul_grid, SL_FORMAT_##NAME)
SL_GRID_FORMATS(X)
#undef X

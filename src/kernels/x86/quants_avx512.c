/* quants_avx512.c - products with quantised weights, AVX-512 with VNNI: a register holds
 * four columns of 16 outputs.
 *
 * Part of the table in kernels_avx512.c, built with its flags. The order of operations is
 * quants_scalar.c's. A block is decoded once for all rows: eight registers of unsigned
 * quants, and what scales them. vpdpbusd wants unsigned times signed; starting its sums
 * at bias * minus_sum takes the bias of the quants out again, exactly. */
#include "kernels/quants.h"

#include <immintrin.h>

#include "base/base.h"
#include "kernels/x86/walk.h"

/* ---- quants ---- */

ALWAYS_INLINE void load_bytes(__m512i w[8], const uint8_t *plane) {
    for (int g = 0; g < 8; g++)
        w[g] = _mm512_xor_si512(_mm512_loadu_si512(plane + 64 * g), _mm512_set1_epi8(-128));
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
    if (f == SL_FORMAT_Q8_0)
        load_bytes(w, q);
    else
        load_nibbles(w, q);
    if (f == SL_FORMAT_Q5_0 || f == SL_FORMAT_Q5_1) add_bits(w, q + 256, 4);
    if (f == SL_FORMAT_IQ4_NL)
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
} unit_scales;

ALWAYS_INLINE void load_scales(const sl__format f, unit_scales *u, const uint8_t *unit) {
    u->d = f == SL_FORMAT_MXFP4 ? load_exponents(unit) : load_halves(unit);
    u->min = _mm512_setzero_ps();
    if (sl__format_has_min(f))
        u->min = _mm512_xor_ps(load_halves(unit + 32), _mm512_set1_ps(-0.0f));
}

/* ---- products ---- */

/* acc[r] += block b, its 32 columns under one scale. */
ALWAYS_INLINE void multiply_block(const sl__format f, const int n, __m512 acc[SL_KERNEL_ROWS],
                                  const __m512i w[8], __m512 scale, __m512 min, const act_rows *a,
                                  int32_t b) {
    const int bias = sl__layouts[f].bias;
    for (int r = 0; r < n; r++) {
        const int8_t *q = a->q[r] + b * SL_Q_BLOCK;
        __m512i dot0 = _mm512_setzero_si512(), dot1 = _mm512_setzero_si512();
        if (bias)
            dot0 = _mm512_dpwssd_epi32(dot0, _mm512_set1_epi16((short)bias),
                                       _mm512_set1_epi32(load_four(a->minus_sums[r] + 2 * b)));
        for (int g = 0; g < 8; g += 2) {
            dot0 = _mm512_dpbusd_epi32(dot0, w[g], _mm512_set1_epi32(load_four(q + 4 * g)));
            dot1 = _mm512_dpbusd_epi32(dot1, w[g + 1], _mm512_set1_epi32(load_four(q + 4 * g + 4)));
        }
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot0, dot1));
        acc[r] =
            _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, _mm512_set1_ps(a->scales[r][b])), acc[r]);
        if (sl__format_has_min(f))
            acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(a->shifts[r][b]), acc[r]);
    }
}

ALWAYS_INLINE void matmul(const sl__format f, const int n, const uint8_t *panels, int32_t n_in,
                          int32_t n_panels, const void *const *x, float *const *y, int32_t at) {
    const sl__layout l = sl__layouts[f];
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *unit = panels;
    for (int32_t p = 0; p < n_panels; p++) {
        __m512 acc[SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            acc[r] = _mm512_setzero_ps();
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++, unit += l.head + l.quants) {
            unit_scales u;
            __m512i w[8];
            prefetch(n, unit, l.head + l.quants);
            load_scales(f, &u, unit);
            load_quants(f, w, unit + l.head);
            multiply_block(f, n, acc, w, u.d, u.min, &a, b);
        }
        for (int r = 0; r < n; r++)
            _mm512_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, acc[r]);
    }
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx512, matmul, SL_FORMAT_##NAME)
SL_QUANT_FORMATS(X)
#undef X

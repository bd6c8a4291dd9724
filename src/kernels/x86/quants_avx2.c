/* quants_avx2.c - products with quantised weights, AVX2: a register holds four columns of
 * eight outputs, half a panel.
 *
 * Part of the table in kernels_avx2.c, built with its flags. The order of operations is
 * quants_scalar.c's. maddubs multiplies unsigned by signed bytes and adds pairs in 16
 * bits. Small quants stay unsigned, so that the pairs of several groups can be added in
 * 16 bits before they are widened; a bias comes out of minus_sum, exactly. For quants of
 * eight bits the sign moves onto the activation. */
#include "kernels/quants.h"

#include <immintrin.h>

#include "base/base.h"
#include "kernels/x86/walk.h"

enum { HALF = 8 }; /* outputs in one register */

/* ---- quants: group g (columns 4g .. 4g + 3) of a block, half a panel ---- */

ALWAYS_INLINE __m256i load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

ALWAYS_INLINE __m256i nibbles(const uint8_t *plane, const int g) {
    const __m256i both = load(plane + 64 * (g & 3));
    return _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
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
    return f == SL_FORMAT_Q8_0 || f == SL_FORMAT_IQ4_NL;
}

ALWAYS_INLINE __m256i group(const sl__format f, const uint8_t *q, const int g) {
    switch (f) {
    case SL_FORMAT_Q8_0:
        return load(q + 64 * g);
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
        return _mm256_or_si256(nibbles(q, g), bits(q + 256, g, 4));
    case SL_FORMAT_IQ4_NL:
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
        return 1; /* 128 */
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_MXFP4:
        return 4; /* 31, 31, 24 */
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

typedef struct unit_scales {
    __m256 d, min;
} unit_scales;

ALWAYS_INLINE void load_scales(const sl__format f, unit_scales *u, const uint8_t *unit, int half) {
    u->d = f == SL_FORMAT_MXFP4 ? load_exponents(unit + 8 * half) : load_halves(unit + 16 * half);
    u->min = _mm256_setzero_ps();
    if (sl__format_has_min(f))
        u->min = _mm256_xor_ps(load_halves(unit + 32 + 16 * half), _mm256_set1_ps(-0.0f));
}

/* ---- products ---- */

/* Integer dot products of block b with n rows; q is its quants, at the half's offset. */
ALWAYS_INLINE void block_dots(const sl__format f, const int n, __m256i dots[SL_KERNEL_ROWS],
                              const uint8_t *q, const act_rows *a, int32_t b) {
    const int bias = is_signed(f) ? 0 : sl__layouts[f].bias, step = groups_per_sum(f);
    const __m256i ones = _mm256_set1_epi16(1), biases = _mm256_set1_epi16((short)bias);
    for (int r = 0; r < n; r++)
        dots[r] =
            bias ? _mm256_madd_epi16(biases, _mm256_set1_epi32(load_four(a->minus_sums[r] + 2 * b)))
                 : _mm256_setzero_si256();
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
            }
        }
        for (int r = 0; r < n; r++)
            dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(pairs[r], ones));
    }
}

ALWAYS_INLINE void multiply_block(const sl__format f, const int n, __m256 acc[SL_KERNEL_ROWS],
                                  const uint8_t *q, __m256 scale, __m256 min, const act_rows *a,
                                  int32_t b) {
    __m256i dots[SL_KERNEL_ROWS];
    block_dots(f, n, dots, q, a, b);
    for (int r = 0; r < n; r++) {
        acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r]),
                                 _mm256_mul_ps(scale, _mm256_set1_ps(a->scales[r][b])), acc[r]);
        if (sl__format_has_min(f))
            acc[r] = _mm256_fmadd_ps(min, _mm256_set1_ps(a->shifts[r][b]), acc[r]);
    }
}

ALWAYS_INLINE void matmul(const sl__format f, const int n, const uint8_t *panels, int32_t n_in,
                          int32_t n_panels, const void *const *x, float *const *y, int32_t at) {
    const sl__layout l = sl__layouts[f];
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *unit = panels;
    for (int32_t p = 0; p < n_panels; p++) {
        __m256 acc[2][SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            acc[0][r] = acc[1][r] = _mm256_setzero_ps();
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++, unit += l.head + l.quants) {
            prefetch(n, unit, l.head + l.quants);
            for (int half = 0; half < 2; half++) {
                unit_scales u;
                load_scales(f, &u, unit, half);
                multiply_block(f, n, acc[half], unit + l.head + 32 * half, u.d, u.min, &a, b);
            }
        }
        for (int r = 0; r < n; r++) {
            _mm256_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, acc[0][r]);
            _mm256_storeu_ps(y[r] + at + p * SL_PANEL_ROWS + HALF, acc[1][r]);
        }
    }
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_avx2, matmul, SL_FORMAT_##NAME)
SL_QUANT_FORMATS(X)
#undef X

/* quants_avx2.c - products with quantised weights, AVX2 (quants_256.h).
 *
 * Part of the table in kernels_avx2.c, built with its flags. maddubs multiplies unsigned by
 * signed bytes and adds pairs in 16 bits. Small quants stay unsigned, so that the pairs of
 * several groups can be added in 16 bits before madd widens them; a bias comes out of
 * minus_sum, exactly. For quants of eight bits the sign moves onto the activation. */
#define SIGNED_BYTES 1
#define KEEP_SUB(sub) pair(sub, sub) /* for madd */
#define MATMUL_NAME(name, walk) sl__matmul_##name##_avx2##walk
#include "kernels/x86/quants_256.h"

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

/* Sums of pairs. Nothing saturates: a weight may be -128, an activation never is, so a pair
 * is at most 2 * 128 * 127 = 32512. */
ALWAYS_INLINE __m256i multiply_bytes(const sl__format f, __m256i w, __m256i x) {
    return is_signed(f) ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                        : _mm256_maddubs_epi16(w, x);
}

/* dots += products of groups first .. first + groups_per_sum - 1, of halves begin .. end - 1. */
ALWAYS_INLINE void add_groups(const sl__format f, const int apart, const int n, const int begin,
                              const int end, const int first, __m256i dots[TILE_ROWS][2],
                              const chunk *c, const tile *t, int32_t b) {
    const uint8_t *q = c->quants + b * c->stride;
    __m256i pairs[TILE_ROWS][2];
    UNROLL
    for (int g = first; g < first + groups_per_sum(f); g++) {
        __m256i w[2];
        UNROLL
        for (int half = begin; half < end; half++)
            w[half] = apart ? load(q + 64 * g + 32 * half) : group(f, q + 32 * half, g);
        UNROLL
        for (int r = 0; r < n; r++) {
            const __m256i x = broadcast(t->row[r] + t->quants + 4 * g);
            UNROLL
            for (int half = begin; half < end; half++) {
                const __m256i v = multiply_bytes(f, w[half], x);
                pairs[r][half] = g == first ? v : _mm256_add_epi16(pairs[r][half], v);
                IN_ORDER(pairs[r][half]);
            }
        }
    }
    UNROLL
    for (int half = begin; half < end; half++) {
        const __m256i sub = sl__format_has_halves(f) ? load(c->sub[b][first / 4] + HALF * half)
                                                     : _mm256_set1_epi16(1);
        UNROLL
        for (int r = 0; r < n; r++) {
            const __m256i wide = _mm256_madd_epi16(pairs[r][half], sub);
            dots[r][half] = first == 0 ? wide : _mm256_add_epi32(dots[r][half], wide);
            if (groups_per_sum(f) == 1) IN_ORDER(dots[r][half]);
        }
    }
}

/* Integer dot products of block b, under their sub-scales, as floats. Signed quants take so
 * many registers that the halves of a panel come one after the other. */
ALWAYS_INLINE void block_dots(const sl__format f, const int apart, const int n, sums *out,
                              const chunk *c, tile *t, int32_t b) {
    const int at_once = is_signed(f) && n > 2 ? 1 : 2;
    __m256i dots[TILE_ROWS][2];
    UNROLL
    for (int half = 0; half < 2; half += at_once) {
        UNROLL
        for (int first = 0; first < 8; first += groups_per_sum(f))
            add_groups(f, apart, n, half, half + at_once, first, dots, c, t, b);
        if (at_once == 1) FORGET(t->quants);
    }
    UNROLL
    for (int r = 0; r < n; r++) {
        const __m256i minus_sums = broadcast(t->row[r] + t->minus_sums);
        UNROLL
        for (int half = 0; half < 2; half++) {
            const __m256i biases = sl__format_has_halves(f) ? load(c->biases[b] + HALF * half)
                                                            : _mm256_set1_epi32(c->bias);
            if (bias_of(f))
                dots[r][half] =
                    _mm256_add_epi32(dots[r][half], _mm256_madd_epi16(biases, minus_sums));
            out->v[r][half] = _mm256_cvtepi32_ps(dots[r][half]);
        }
    }
}

#include "kernels/x86/products_256.h"

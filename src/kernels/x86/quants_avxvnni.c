/* quants_avxvnni.c - products with quantised weights, 256-bit VNNI (quants_256.h).
 *
 * Part of the tables called "avxvnni" in kernels_avx2.c. Built twice: with -mavxvnni for chips
 * that have it beside AVX2 (Alder Lake, Zen 5 and later), and by quants_avxvnni_vl.c for those
 * with AVX-512, whose encoding of the same instructions differs. vpdpbusd multiplies unsigned by
 * signed bytes and adds fours in 32 bits, so all quants are unsigned; a bias comes out of
 * minus_sum, exactly. */
#define SIGNED_BYTES 0
/* As floats: products with sums of quants stay below 2^24 and exact. */
#define KEEP_SUB(sub) _mm256_castps_si256(_mm256_cvtepi32_ps(sub))
#if defined(__AVXVNNI__)
#define MATMUL_NAME(name, walk) sl__matmul_##name##_avxvnni##walk
#define DOT4(sum, w, x) _mm256_dpbusd_avx_epi32(sum, w, x)
#else
#define MATMUL_NAME(name, walk) sl__matmul_##name##_avxvnni_vl##walk
#define DOT4(sum, w, x) _mm256_dpbusd_epi32(sum, w, x)
#endif
#include "kernels/x86/quants_256.h"

/* dots = products of groups first .. end - 1, without the bias in `biases` (a pair). */
ALWAYS_INLINE void dot_groups(const sl__format f, const int apart, const int n, const int first,
                              const int end, __m256i biases, __m256i dots[TILE_ROWS][2],
                              const chunk *c, const tile *t, int32_t b) {
    const uint8_t *q = c->quants + b * c->stride;
    UNROLL
    for (int r = 0; r < n; r++) {
        dots[r][0] = _mm256_setzero_si256();
        if (bias_of(f))
            dots[r][0] = _mm256_madd_epi16(biases, broadcast(t->row[r] + t->minus_sums));
        dots[r][1] = dots[r][0];
    }
    UNROLL
    for (int g = first; g < end; g++) {
        __m256i w[2];
        UNROLL
        for (int half = 0; half < 2; half++)
            w[half] = apart ? load(q + 64 * g + 32 * half) : group(f, q + 32 * half, g);
        UNROLL
        for (int r = 0; r < n; r++) {
            const __m256i x = broadcast(t->row[r] + t->quants + 4 * g);
            UNROLL
            for (int half = 0; half < 2; half++)
                dots[r][half] = DOT4(dots[r][half], w[half], x);
        }
    }
}

/* Dot products of block b, under their sub-scales, as floats: whole numbers all the way. The
 * sum begins at +0, where integers would have been added, so that no -0 comes about. */
ALWAYS_INLINE void block_dots(const sl__format f, const int apart, const int n, sums *out,
                              const chunk *c, tile *t, int32_t b) {
    const int parts = sl__format_has_halves(f) ? 2 : 1, groups = 8 / parts;
    UNROLL
    for (int part = 0; part < parts; part++) {
        __m256i dots[TILE_ROWS][2];
        const int32_t biases = parts == 1 ? c->bias : c->bias & (part ? ~0xffff : 0xffff);
        dot_groups(f, apart, n, part * groups, (part + 1) * groups, _mm256_set1_epi32(biases), dots,
                   c, t, b);
        UNROLL
        for (int half = 0; half < 2; half++) {
            const __m256 sub = _mm256_castsi256_ps(load(c->sub[b][part] + HALF * half));
            UNROLL
            for (int r = 0; r < n; r++) {
                const __m256 dot = _mm256_cvtepi32_ps(dots[r][half]);
                const __m256 sum = part == 0 ? _mm256_setzero_ps() : out->v[r][half];
                out->v[r][half] = parts == 1 ? dot : _mm256_fmadd_ps(dot, sub, sum);
            }
        }
    }
}

#include "kernels/x86/products_256.h"

/* kernels.h - the numeric primitives, one table per instruction set.
 *
 * Contract for every kernel: a pure function of its arguments; no allocation, no
 * threads, no globals, no model types. Inputs and outputs do not alias unless said.
 * Shapes are preconditions, checked with SL_DCHECK.
 *
 * Same bits everywhere. Every reduction has one order, written down here, and every
 * fused multiply-add is explicit, so all tables give the same bits for the same
 * input (docs/numbers.md). A test compares each table with the scalar one by memcmp.
 *
 *   - products, with weights, keys and values alike: each output adds its terms in
 *     column order (for float formats even and odd columns apart, then their sum), so
 *     nothing is ever summed across lanes;
 *   - sums over a row (norm, softmax): element i goes to lane i % 16 in
 *     order, then lanes are added pairwise: 16 -> 8 -> 4 -> 2 -> 1, lane j with j + half;
 *   - exp is one polynomial (kernels_scalar.c). */
#ifndef SL_KERNELS_H
#define SL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/act.h"
#include "kernels/panel.h"

#define SL_LANES 16
#define SL_KERNEL_ROWS 8 /* rows for which a weight block is decoded once */

/* y[r][16 p + j] = sum over c of W[16 p + j, c] x[r][c]
 *
 *   panels  [n_panels] panels of n_in columns, see panel.h
 *   x       [n_rows] rows: float [n_in], or act.h rows for quantised formats
 *   y       [n_rows] rows of 16 n_panels floats, written
 *
 * Quantised formats, per block of 32 columns, in order; dots and sums of quants are exact
 * integers, d * sub-scale is exact in float:
 *   - one scale for 32 columns (weight = scale * q - min; in blocks of 256, scale is d times
 *     a sub-scale and min is dmin times one):
 *         acc = fma((float)dot, scale * row scale, acc)
 *         acc = fma(min, row shift, acc)                        formats with a min
 *   - sub-scales s, m for 16 columns each (Q2_K, Q3_K, Q6_K, IQ2, IQ3; weight = d s q - dmin m):
 *         acc = fma((float)(s0 * dot0 + s1 * dot1), d * row scale, acc)
 *         acc = fma((float)(m0 * minus_sum0 + m1 * minus_sum1), dmin * row scale, acc)   Q2_K
 * Rows r and r' never meet: a row has the same bits for any n_rows >= 1. */
typedef void sl__matmul_fn(const uint8_t *panels, int32_t n_in, int32_t n_panels,
                           const void *const *x, float *const *y, int32_t n_rows);

typedef struct sl__kernels {
    const char *name; /* "scalar", "avx2", "neon" ...: what --isa takes */
    uint32_t needs;   /* SL_CPU_* bits, all required                  */

    sl__matmul_fn *matmul[SL_PANEL_FORMATS];

    /* Quantise n_blocks blocks of 32 floats x into blocks first .. of an act.h row of
     * n_in columns. A NaN or infinity in a block makes its scale NaN or infinite. */
    void (*quantise)(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks);

    /* x[i] = exp(x[i] - max) / sum, in place; n >= 1. */
    void (*softmax)(float *x, int32_t n);

    /* y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; y may be gate or up. */
    void (*silu_mul)(float *y, const float *gate, const float *up, int32_t n);

    /* y[i] = x[i] * scale * weight[i], scale = 1 / sqrt(sum x^2 / n + eps); y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *weight, int32_t n, float eps);

    /* F16 by round-to-nearest-even, as sl__float_to_half(). */
    void (*to_half)(uint16_t *out, const float *x, int32_t n);
} sl__kernels;

/* Every table of this build, best first; the last one is scalar and needs nothing. */
extern const sl__kernels *const sl__kernels_all[];
extern const int32_t sl__kernels_count;

/* The best table for a CPU, or the one called name; NULL if there is none of that
 * name or the CPU lacks something. name NULL: the best. */
const sl__kernels *sl__kernels_select(uint32_t cpu, const char *name);

/* "asking": for CPUs with SL_CPU_ASKING, where products walk another way (walk.h). */
extern const sl__kernels sl__kernels_scalar;
#if SL_HAVE_AVX2
extern const sl__kernels sl__kernels_avx2, sl__kernels_avx2_asking;
#endif
#if SL_HAVE_AVXVNNI
extern const sl__kernels sl__kernels_avxvnni, sl__kernels_avxvnni_asking;
#endif
#if SL_HAVE_AVX512
/* "avxvnni" in AVX-512's encoding */
extern const sl__kernels sl__kernels_avxvnni_vl, sl__kernels_avxvnni_vl_asking;
extern const sl__kernels sl__kernels_avx512, sl__kernels_avx512_asking;
#endif
#if SL_HAVE_NEON_DOT
extern const sl__kernels sl__kernels_neon;
#endif

#endif

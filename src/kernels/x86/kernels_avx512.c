/* kernels_avx512.c - AVX-512 with VNNI (Ice Lake, Zen 4 and later): 16 outputs a register.
 *
 * Built with -mavx512* for this file alone, so nothing here may be reached before
 * select.c has checked the CPU. Only the table is exported. Orders of operations are
 * kernels_scalar.c's; the comments there are the explanation. Products with quantised
 * weights: quants_avx512.c. */
#include "kernels/kernels.h"

#include <immintrin.h>

#include "base/base.h"
#include "kernels/quants.h"
#include "kernels/walk.h"
#include "runtime/cpu.h"

/* Rounding of the float conversions: nearest even, no exceptions raised. */
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* Lane j with lane j + half: 16 -> 8 -> 4 -> 2 -> 1. */
ALWAYS_INLINE float add_lanes(__m512 v) {
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* Mask of the last n % 16 elements, all ones where a full register is left. */
ALWAYS_INLINE __mmask16 tail_mask(int32_t left) {
    return (__mmask16)(left >= SL_LANES ? 0xffffu : (1u << left) - 1u);
}

/* ---- products with float weights ---- */

ALWAYS_INLINE __m512 load_column(const sl__format format, const uint8_t *p) {
    if (format == SL_FORMAT_F32) return _mm512_loadu_ps(p);
    if (format == SL_FORMAT_INT8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
    const __m256i halves = _mm256_loadu_si256((const __m256i *)p);
    if (format == SL_FORMAT_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE void multiply_floats(const sl__format format, const bool asking, const int n,
                                   const uint8_t *panels, int32_t n_in, int32_t n_panels,
                                   const void *const *x, float *const *y, int32_t at) {
    const int32_t column_bytes = column_bytes_of(format);
    const float *rows[SL_KERNEL_ROWS];
    for (int r = 0; r < n; r++)
        rows[r] = x[r];
    const uint8_t *column = panels;
    for (int32_t p = 0; p < n_panels; p++) {
        __m512 even[SL_KERNEL_ROWS], odd[SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            even[r] = odd[r] = _mm512_setzero_ps();
        int32_t c = 0;
        for (; c + 2 <= n_in; c += 2, column += 2 * column_bytes) {
            prefetch(walk_of(asking, n), column, 2 * column_bytes);
            const __m512 w0 = load_column(format, column);
            const __m512 w1 = load_column(format, column + column_bytes);
            for (int r = 0; r < n; r++) {
                even[r] = _mm512_fmadd_ps(w0, _mm512_set1_ps(rows[r][c]), even[r]);
                odd[r] = _mm512_fmadd_ps(w1, _mm512_set1_ps(rows[r][c + 1]), odd[r]);
            }
        }
        for (; c < n_in; c++, column += column_bytes) {
            const __m512 w0 = load_column(format, column);
            for (int r = 0; r < n; r++)
                even[r] = _mm512_fmadd_ps(w0, _mm512_set1_ps(rows[r][c]), even[r]);
        }
        for (int r = 0; r < n; r++)
            _mm512_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, _mm512_add_ps(even[r], odd[r]));
    }
}

ALWAYS_INLINE void matmul_floats(const sl__format format, const int n, const uint8_t *panels,
                                 int32_t n_in, int32_t n_panels, const void *const *x,
                                 float *const *y, int32_t at) {
    multiply_floats(format, false, n, panels, n_in, n_panels, x, y, at);
}

ALWAYS_INLINE void matmul_floats_asking(const sl__format format, const int n, const uint8_t *panels,
                                        int32_t n_in, int32_t n_panels, const void *const *x,
                                        float *const *y, int32_t at) {
    multiply_floats(format, true, n, panels, n_in, n_panels, x, y, at);
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(static void, matmul_##name, matmul_floats, SL_FORMAT_##NAME)                            \
    MATMUL(static void, matmul_##name##_asking, matmul_floats_asking, SL_FORMAT_##NAME)
SL_FLOAT_FORMATS(X)
X(INT8, int8, 1, 1)
#undef X

/* ---- activations ---- */

static void quantise(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks) {
    int8_t *q = sl__act_quants(row) + first * SL_Q_BLOCK;
    float *scales = sl__act_scales(row, n_in) + first;
    float *shifts = sl__act_shifts(row, n_in) + first;
    int16_t *minus_sums = sl__act_minus_sums(row, n_in) + 2 * first;
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int32_t b = 0; b < n_blocks; b++, x += SL_Q_BLOCK, q += SL_Q_BLOCK) {
        const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
        const int32_t max_bits = _mm512_reduce_max_epi32(
            _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                             _mm512_and_si512(_mm512_castps_si512(x1), magnitude)));
        const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(max_bits)));
        scales[b] = max / 127.0f;
        const int usable = max >= 0x1p-100f && max <= 0x1.fffffep127f;
        const __m512 inverse = _mm512_set1_ps(127.0f / max);
        const __mmask16 keep = usable ? 0xffff : 0;
        __m512i v0 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x0, inverse));
        __m512i v1 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x1, inverse));
        const __m512i limit = _mm512_set1_epi32(127), lowest = _mm512_set1_epi32(-127);
        v0 = _mm512_max_epi32(lowest, _mm512_min_epi32(limit, v0));
        v1 = _mm512_max_epi32(lowest, _mm512_min_epi32(limit, v1));
        _mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8(v0));
        _mm_storeu_si128((__m128i *)(q + 16), _mm512_cvtepi32_epi8(v1));
        const int32_t sum0 = _mm512_reduce_add_epi32(v0), sum1 = _mm512_reduce_add_epi32(v1);
        minus_sums[2 * b] = (int16_t)-sum0;
        minus_sums[2 * b + 1] = (int16_t)-sum1;
        shifts[b] = scales[b] * (float)-(sum0 + sum1);
    }
}

static void to_half(uint16_t *out, const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        _mm256_mask_storeu_epi16(out + i, mask, _mm512_cvtps_ph(v, NEAREST));
    }
}

ALWAYS_INLINE __m512 exp_lanes(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-87.3f), x); /* this order keeps NaN */
    x = _mm512_min_ps(_mm512_set1_ps(88.0f), x);
    const __m512 n =
        _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), NEAREST);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693359375f), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    const __m512 y =
        _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    const __m512i power =
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_mul_ps(y, _mm512_castsi512_ps(power));
}

static void softmax(float *x, int32_t n) {
    __m512 max16 = _mm512_set1_ps(x[0]), sums = _mm512_setzero_ps();
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        max16 = _mm512_mask_max_ps(max16, mask, max16, _mm512_maskz_loadu_ps(mask, x + i));
    }
    const __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(max16));
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        const __m512 e = exp_lanes(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), max));
        _mm512_mask_storeu_ps(x + i, mask, e);
        sums = _mm512_mask_add_ps(sums, mask, sums, e);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / add_lanes(sums));
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        _mm512_mask_storeu_ps(x + i, mask,
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse));
    }
}

static void silu_mul(float *y, const float *gate, const float *up, int32_t n) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        const __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        const __m512 negated = _mm512_xor_ps(g, _mm512_set1_ps(-0.0f));
        const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, exp_lanes(negated)));
        _mm512_mask_storeu_ps(y + i, mask,
                              _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void rms_norm(float *y, const float *x, const float *weight, int32_t n, float eps) {
    __m512 sums = _mm512_setzero_ps();
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __m512 v = _mm512_maskz_loadu_ps(tail_mask(n - i), x + i);
        sums = _mm512_fmadd_ps(v, v, sums);
    }
    const float mean = add_lanes(sums) / (float)n + eps;
    const __m512 scale = _mm512_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean))));
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const __mmask16 mask = tail_mask(n - i);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), scale);
        _mm512_mask_storeu_ps(y + i, mask,
                              _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

/* ---- tables ---- */

#define ROW_OPERATIONS                                                                             \
    .quantise = quantise, .softmax = softmax, .silu_mul = silu_mul, .rms_norm = rms_norm,          \
    .to_half = to_half

const sl__kernels sl__kernels_avx512 = {
    .name = "avx512",
    .needs = SL_CPU_AVX2 | SL_CPU_AVX512,
    .matmul = {[SL_FORMAT_F32] = matmul_f32,
               [SL_FORMAT_F16] = matmul_f16,
               [SL_FORMAT_BF16] = matmul_bf16,
               [SL_FORMAT_INT8] = matmul_int8,
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_avx512,
               SL_QUANT_FORMATS(X)
#undef X
    },
    ROW_OPERATIONS,
};

const sl__kernels sl__kernels_avx512_asking = {
    .name = "avx512",
    .needs = SL_CPU_AVX2 | SL_CPU_AVX512 | SL_CPU_ASKING,
    .matmul = {[SL_FORMAT_F32] = matmul_f32_asking,
               [SL_FORMAT_F16] = matmul_f16_asking,
               [SL_FORMAT_BF16] = matmul_bf16_asking,
               [SL_FORMAT_INT8] = matmul_int8_asking,
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_avx512_asking,
               SL_QUANT_FORMATS(X)
#undef X
    },
    ROW_OPERATIONS,
};

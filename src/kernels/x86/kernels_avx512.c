/* kernels_avx512.c - AVX-512 with VNNI (Ice Lake, Zen 4 and later): 16 outputs a register.
 *
 * Built with -mavx512* for this file alone, so nothing here may be reached before
 * select.c has checked the CPU. Only the table is exported. Orders of operations are
 * kernels_scalar.c's; the comments there are the explanation. */
#include "kernels/kernels.h"

#include <immintrin.h>

#include "base/base.h"
#include "runtime/cpu.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Rounding of the float conversions: nearest even, no exceptions raised. */
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

enum { BLOCK_BYTES_Q8_0 = 544, BLOCK_BYTES_Q4_0 = 288, SCALES_BYTES = 32 };

/* A walk for one or two rows is left to the hardware's prefetcher, which keeps up with
 * it and is only disturbed by advice. With more rows the arithmetic between two lines is
 * long enough for it to lose the thread, and the second-level cache is asked for lines
 * ahead of time (docs/performance.md, "Prefetching"). */
enum { PREFETCH_ROWS = 3, PREFETCH_BYTES = 8192 };

ALWAYS_INLINE void prefetch(const int n_rows, const uint8_t *p, int32_t n) {
    if (n_rows < PREFETCH_ROWS) return;
    for (int32_t i = 0; i < n; i += SL_CACHE_LINE)
        _mm_prefetch((const char *)p + PREFETCH_BYTES + i, _MM_HINT_T1);
}

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

/* ---- products with quantised weights ---- */

/* A block's quants as eight registers of unsigned bytes [16 rows][4 columns], biased by
 * +128 (Q8_0) or +8 (Q4_0): vpdpbusd wants unsigned times signed, and starting the sum
 * at bias * minus_sum takes the bias out again, exactly. */
ALWAYS_INLINE void load_q8_0(__m512i w[8], const uint8_t *quants) {
    for (int g = 0; g < 8; g++)
        w[g] = _mm512_xor_si512(_mm512_loadu_si512(quants + 64 * g), _mm512_set1_epi8(-128));
}

ALWAYS_INLINE void load_q4_0(__m512i w[8], const uint8_t *quants) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int g = 0; g < 4; g++) {
        const __m512i both = _mm512_loadu_si512(quants + 64 * g);
        w[g] = _mm512_and_si512(both, low);
        w[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
}

/* Rows of activations, taken apart once per call. */
typedef struct act_rows {
    const int8_t *q[SL_KERNEL_ROWS];
    const float *scales[SL_KERNEL_ROWS];
    const int32_t *minus_sums[SL_KERNEL_ROWS];
} act_rows;

ALWAYS_INLINE void act_rows_of(act_rows *a, const void *const *x, int32_t n_in, int n) {
    for (int r = 0; r < n; r++) {
        void *row = (void *)(uintptr_t)x[r]; /* read only */
        a->q[r] = sl__act_quants(row);
        a->scales[r] = sl__act_scales(row, n_in);
        a->minus_sums[r] = sl__act_minus_sums(row, n_in);
    }
}

ALWAYS_INLINE __m512i broadcast4(const int8_t *p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

ALWAYS_INLINE void matmul_quantised(const int is_q8, const int n, const uint8_t *panels,
                                    int32_t n_in, int32_t n_panels, const void *const *x,
                                    float *const *y, int32_t at) {
    const int32_t block_bytes = is_q8 ? BLOCK_BYTES_Q8_0 : BLOCK_BYTES_Q4_0;
    const unsigned bias_shift = is_q8 ? 7 : 3;
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *block = panels;
    for (int32_t p = 0; p < n_panels; p++) {
        __m512 acc[SL_KERNEL_ROWS];
        for (int r = 0; r < n; r++)
            acc[r] = _mm512_setzero_ps();
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++, block += block_bytes) {
            prefetch(n, block, block_bytes);
            const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)block));
            __m512i w[8];
            if (is_q8)
                load_q8_0(w, block + SCALES_BYTES);
            else
                load_q4_0(w, block + SCALES_BYTES);
            for (int r = 0; r < n; r++) {
                const int8_t *q = a.q[r] + b * SL_Q_BLOCK;
                __m512i dot0 = _mm512_slli_epi32(_mm512_set1_epi32(a.minus_sums[r][b]), bias_shift);
                __m512i dot1 = _mm512_setzero_si512();
                for (int g = 0; g < 8; g += 2) {
                    dot0 = _mm512_dpbusd_epi32(dot0, w[g], broadcast4(q + 4 * g));
                    dot1 = _mm512_dpbusd_epi32(dot1, w[g + 1], broadcast4(q + 4 * g + 4));
                }
                const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot0, dot1));
                acc[r] = _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, _mm512_set1_ps(a.scales[r][b])),
                                         acc[r]);
            }
        }
        for (int r = 0; r < n; r++)
            _mm512_storeu_ps(y[r] + at + p * SL_PANEL_ROWS, acc[r]);
    }
}

/* ---- products with float weights ---- */

ALWAYS_INLINE __m512 load_column(const sl__format format, const uint8_t *p) {
    if (format == SL_FORMAT_F32) return _mm512_loadu_ps(p);
    const __m256i halves = _mm256_loadu_si256((const __m256i *)p);
    if (format == SL_FORMAT_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE void matmul_floats(const sl__format format, const int n, const uint8_t *panels,
                                 int32_t n_in, int32_t n_panels, const void *const *x,
                                 float *const *y, int32_t at) {
    const int32_t column_bytes = format == SL_FORMAT_F32 ? 64 : 32;
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
            prefetch(n, column, 2 * column_bytes);
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

/* Up to 8 rows share one walk over the panels; more rows take each panel, by then in
 * cache, 8 at a time. Every row count is compiled on its own. */
#define MATMUL(name, inner, kind, format)                                                          \
    static void name(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,  \
                     float *const *y, int32_t n_rows) {                                            \
        const size_t panel_bytes = sl__format_panel_bytes(format, n_in);                           \
        const int32_t step = n_rows <= SL_KERNEL_ROWS ? n_panels : 1;                              \
        for (int32_t p = 0; p < n_panels; p += step, panels += panel_bytes)                        \
            for (int32_t r = 0; r < n_rows; r += SL_KERNEL_ROWS)                                   \
                switch (sl__min_i32(SL_KERNEL_ROWS, n_rows - r)) {                                 \
                    ROWS_CASE(1, inner, kind)                                                      \
                    ROWS_CASE(2, inner, kind)                                                      \
                    ROWS_CASE(3, inner, kind)                                                      \
                    ROWS_CASE(4, inner, kind)                                                      \
                    ROWS_CASE(5, inner, kind)                                                      \
                    ROWS_CASE(6, inner, kind)                                                      \
                    ROWS_CASE(7, inner, kind)                                                      \
                    ROWS_CASE(8, inner, kind)                                                      \
                }                                                                                  \
    }
#define ROWS_CASE(n, inner, kind)                                                                  \
    case n:                                                                                        \
        inner(kind, n, panels, n_in, step, x + r, y + r, p * SL_PANEL_ROWS);                       \
        break;

MATMUL(matmul_q8_0, matmul_quantised, 1, SL_FORMAT_Q8_0)
MATMUL(matmul_q4_0, matmul_quantised, 0, SL_FORMAT_Q4_0)
MATMUL(matmul_f32, matmul_floats, SL_FORMAT_F32, SL_FORMAT_F32)
MATMUL(matmul_f16, matmul_floats, SL_FORMAT_F16, SL_FORMAT_F16)
MATMUL(matmul_bf16, matmul_floats, SL_FORMAT_BF16, SL_FORMAT_BF16)

/* ---- activations ---- */

static void quantise(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks) {
    int8_t *q = sl__act_quants(row) + first * SL_Q_BLOCK;
    float *scales = sl__act_scales(row, n_in) + first;
    int32_t *minus_sums = sl__act_minus_sums(row, n_in) + first;
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
        minus_sums[b] = -_mm512_reduce_add_epi32(_mm512_add_epi32(v0, v1));
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

const sl__kernels sl__kernels_avx512 = {
    .name = "avx512",
    .needs = SL_CPU_AVX2 | SL_CPU_AVX512,
    .matmul = {[SL_FORMAT_F32] = matmul_f32,
               [SL_FORMAT_F16] = matmul_f16,
               [SL_FORMAT_BF16] = matmul_bf16,
               [SL_FORMAT_Q8_0] = matmul_q8_0,
               [SL_FORMAT_Q4_0] = matmul_q4_0},
    .quantise = quantise,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .rms_norm = rms_norm,
    .to_half = to_half,
};

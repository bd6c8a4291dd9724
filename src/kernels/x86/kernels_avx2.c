/* kernels_avx2.c - AVX2 + FMA + F16C (Haswell 2013, Zen 1 and later): 8 outputs a register.
 *
 * Built with -mavx2 -mfma -mf16c for this file alone, so nothing here may be reached
 * before select.c has checked the CPU. Only tables are exported: of AVX2 alone, and two of
 * the same with products of quantised weights by VNNI (quants_avxvnni.c). Orders of operations
 * are kernels_scalar.c's: sixteen lanes are two registers here. Products with quantised
 * weights: quants_avx2.c. */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

#include "base/base.h"
#include "kernels/quants.h"
#include "kernels/walk.h"
#include "runtime/cpu.h"

/* Rounding of the float conversions: nearest even, no exceptions raised. */
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

enum { HALF = 8 }; /* outputs, or lanes, in one register */

/* Sixteen lanes: 16 -> 8 -> 4 -> 2 -> 1. */
ALWAYS_INLINE float add_lanes(__m256 low, __m256 high) {
    const __m256 v8 = _mm256_add_ps(low, high);
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* ---- products with float weights ---- */

ALWAYS_INLINE __m256 load_column(const sl__format format, const uint8_t *column, int half) {
    if (format == SL_FORMAT_F32)
        return _mm256_loadu_ps((const float *)(const void *)column + HALF * half);
    if (format == SL_FORMAT_INT8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(column + HALF * half))));
    const __m128i bits = _mm_loadu_si128((const __m128i *)(column + 16 * half));
    if (format == SL_FORMAT_F16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/* One half of one panel for n <= 4 rows: even and odd sums are 8 registers. */
ALWAYS_INLINE void half_panel_floats(const sl__format format, const walk_kind kind, const int n,
                                     const uint8_t *panel, int32_t n_in, const float *const *rows,
                                     float *const *y, int32_t at, int half) {
    const int32_t column_bytes = column_bytes_of(format);
    __m256 even[4], odd[4];
    for (int r = 0; r < n; r++)
        even[r] = odd[r] = _mm256_setzero_ps();
    const uint8_t *column = panel;
    int32_t c = 0;
    for (; c + 2 <= n_in; c += 2, column += 2 * column_bytes) {
        if (half == 0) prefetch(kind, column, 2 * column_bytes);
        const __m256 w0 = load_column(format, column, half);
        const __m256 w1 = load_column(format, column + column_bytes, half);
        for (int r = 0; r < n; r++) {
            even[r] = _mm256_fmadd_ps(w0, _mm256_set1_ps(rows[r][c]), even[r]);
            odd[r] = _mm256_fmadd_ps(w1, _mm256_set1_ps(rows[r][c + 1]), odd[r]);
        }
    }
    if (c < n_in) {
        const __m256 w0 = load_column(format, column, half);
        for (int r = 0; r < n; r++)
            even[r] = _mm256_fmadd_ps(w0, _mm256_set1_ps(rows[r][c]), even[r]);
    }
    for (int r = 0; r < n; r++)
        _mm256_storeu_ps(y[r] + at + HALF * half, _mm256_add_ps(even[r], odd[r]));
}

ALWAYS_INLINE void multiply_floats(const sl__format format, const bool asking, const int n,
                                   const uint8_t *panels, int32_t n_in, int32_t n_panels,
                                   const void *const *x, float *const *y, int32_t at) {
    const size_t panel_bytes = (size_t)n_in * (size_t)column_bytes_of(format);
    const float *rows[SL_KERNEL_ROWS];
    for (int r = 0; r < n; r++)
        rows[r] = x[r];
    const int first = n < 4 ? n : 4;
    for (int32_t p = 0; p < n_panels; p++, panels += panel_bytes)
        for (int half = 0; half < 2; half++) {
            half_panel_floats(format, walk_of(asking, first), first, panels, n_in, rows, y,
                              at + p * SL_PANEL_ROWS, half);
            if (n > 4)
                half_panel_floats(format, walk_of(asking, n - 4), n - 4, panels, n_in, rows + 4,
                                  y + 4, at + p * SL_PANEL_ROWS, half);
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

/* Elements i .. i + 15 of a row of n, zero past its end, and back. */
typedef struct lanes16 {
    __m256 low, high;
} lanes16;

ALWAYS_INLINE lanes16 load_lanes(const float *x, int32_t i, int32_t n) {
    if (n - i >= SL_LANES) return (lanes16){_mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i + HALF)};
    float padded[SL_LANES] = {0};
    memcpy(padded, x + i, (size_t)(n - i) * sizeof *x);
    return (lanes16){_mm256_loadu_ps(padded), _mm256_loadu_ps(padded + HALF)};
}

ALWAYS_INLINE void store_lanes(float *y, int32_t i, int32_t n, lanes16 v) {
    if (n - i >= SL_LANES) {
        _mm256_storeu_ps(y + i, v.low);
        _mm256_storeu_ps(y + i + HALF, v.high);
        return;
    }
    float padded[SL_LANES];
    _mm256_storeu_ps(padded, v.low);
    _mm256_storeu_ps(padded + HALF, v.high);
    memcpy(y + i, padded, (size_t)(n - i) * sizeof *y);
}

/* The largest and the sum of eight integers. */
ALWAYS_INLINE int32_t max_i32(__m256i v) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

ALWAYS_INLINE int32_t sum_i32(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static void quantise(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks) {
    int8_t *q = sl__act_quants(row) + first * SL_Q_BLOCK;
    float *scales = sl__act_scales(row, n_in) + first;
    float *shifts = sl__act_shifts(row, n_in) + first;
    int16_t *minus_sums = sl__act_minus_sums(row, n_in) + 2 * first;
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int32_t b = 0; b < n_blocks; b++, x += SL_Q_BLOCK, q += SL_Q_BLOCK) {
        __m256 v[4];
        __m256i max8 = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + HALF * i);
            max8 = _mm256_max_epi32(max8, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
        }
        const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(max_i32(max8))));
        scales[b] = max / 127.0f;
        const int usable = max >= 0x1p-100f && max <= 0x1.fffffep127f;
        const __m256 inverse = _mm256_set1_ps(127.0f / max);
        const __m256i keep = _mm256_set1_epi32(usable ? -1 : 0);
        __m256i w[4];
        for (int i = 0; i < 4; i++) {
            w[i] = _mm256_and_si256(keep, _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse)));
            w[i] = _mm256_min_epi32(_mm256_set1_epi32(127), w[i]);
            w[i] = _mm256_max_epi32(_mm256_set1_epi32(-127), w[i]);
        }
        const int32_t sum0 = sum_i32(_mm256_add_epi32(w[0], w[1]));
        const int32_t sum1 = sum_i32(_mm256_add_epi32(w[2], w[3]));
        minus_sums[2 * b] = (int16_t)-sum0;
        minus_sums[2 * b + 1] = (int16_t)-sum1;
        shifts[b] = scales[b] * (float)-(sum0 + sum1);
        const __m256i packed =
            _mm256_packs_epi16(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(packed, order));
    }
}

static void to_half(uint16_t *out, const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const lanes16 v = load_lanes(x, i, n);
        uint16_t halves[SL_LANES];
        _mm_storeu_si128((__m128i *)halves, _mm256_cvtps_ph(v.low, NEAREST));
        _mm_storeu_si128((__m128i *)(halves + HALF), _mm256_cvtps_ph(v.high, NEAREST));
        memcpy(out + i, halves, (size_t)sl__min_i32(SL_LANES, n - i) * sizeof *out);
    }
}

ALWAYS_INLINE __m256 exp_lanes(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-87.3f), x); /* this order keeps NaN */
    x = _mm256_min_ps(_mm256_set1_ps(88.0f), x);
    const __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)), NEAREST);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0.693359375f), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    const __m256 y =
        _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(y, _mm256_castsi256_ps(power));
}

static void softmax(float *x, int32_t n) {
    float max = x[0];
    for (int32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    const __m256 maxes = _mm256_set1_ps(max);
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (int32_t i = 0; i < n; i += SL_LANES) {
        lanes16 v = load_lanes(x, i, n);
        v.low = exp_lanes(_mm256_sub_ps(v.low, maxes));
        v.high = exp_lanes(_mm256_sub_ps(v.high, maxes));
        store_lanes(x, i, n, v);
        v = load_lanes(x, i, n); /* zero past the end: those lanes add nothing */
        low = _mm256_add_ps(low, v.low);
        high = _mm256_add_ps(high, v.high);
    }
    const float inverse = 1.0f / add_lanes(low, high);
    for (int32_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static void silu_mul(float *y, const float *gate, const float *up, int32_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const lanes16 g = load_lanes(gate, i, n), u = load_lanes(up, i, n);
        const __m256 low = _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(g.low, sign)));
        const __m256 high = _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(g.high, sign)));
        store_lanes(y, i, n,
                    (lanes16){_mm256_mul_ps(_mm256_div_ps(g.low, low), u.low),
                              _mm256_mul_ps(_mm256_div_ps(g.high, high), u.high)});
    }
}

static void rms_norm(float *y, const float *x, const float *weight, int32_t n, float eps) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const lanes16 v = load_lanes(x, i, n);
        low = _mm256_fmadd_ps(v.low, v.low, low);
        high = _mm256_fmadd_ps(v.high, v.high, high);
    }
    const float mean = add_lanes(low, high) / (float)n + eps;
    const float scale = 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean)));
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] * scale * weight[i];
}

/* ---- tables: one for each way to multiply bytes, by machines that ask and others ---- */

#define TABLE(table, called, needed, way, walk)                                                    \
    const sl__kernels sl__kernels_##table = {                                                      \
        .name = (called),                                                                          \
        .needs = (needed),                                                                         \
        .matmul = {[SL_FORMAT_F32] = matmul_f32##walk,                                             \
                   [SL_FORMAT_F16] = matmul_f16##walk,                                             \
                   [SL_FORMAT_BF16] = matmul_bf16##walk,                                           \
                   [SL_FORMAT_INT8] = matmul_int8##walk,                                           \
                   SL_QUANT_FORMATS(way##walk)},                                                   \
        .quantise = quantise,                                                                      \
        .softmax = softmax,                                                                        \
        .silu_mul = silu_mul,                                                                      \
        .rms_norm = rms_norm,                                                                      \
        .to_half = to_half,                                                                        \
    };

#define AVX2(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_avx2,
#define AVX2_asking(NAME, name, columns, bytes)                                                    \
    [SL_FORMAT_##NAME] = sl__matmul_##name##_avx2_asking,
TABLE(avx2, "avx2", SL_CPU_AVX2, AVX2, )
TABLE(avx2_asking, "avx2", SL_CPU_AVX2 | SL_CPU_ASKING, AVX2, _asking)

#if SL_HAVE_AVXVNNI
#define VNNI(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_avxvnni,
#define VNNI_asking(NAME, name, columns, bytes)                                                    \
    [SL_FORMAT_##NAME] = sl__matmul_##name##_avxvnni_asking,
TABLE(avxvnni, "avxvnni", SL_CPU_AVX2 | SL_CPU_AVXVNNI, VNNI, )
TABLE(avxvnni_asking, "avxvnni", SL_CPU_AVX2 | SL_CPU_AVXVNNI | SL_CPU_ASKING, VNNI, _asking)
#endif

#if SL_HAVE_AVX512
#define VNNI_VL(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_avxvnni_vl,
#define VNNI_VL_asking(NAME, name, columns, bytes)                                                 \
    [SL_FORMAT_##NAME] = sl__matmul_##name##_avxvnni_vl_asking,
TABLE(avxvnni_vl, "avxvnni", SL_CPU_AVX2 | SL_CPU_AVX512, VNNI_VL, )
TABLE(avxvnni_vl_asking, "avxvnni", SL_CPU_AVX2 | SL_CPU_AVX512 | SL_CPU_ASKING, VNNI_VL, _asking)
#endif

/* kernels_neon.c - NEON with dot product (Armv8.2: Cortex-A76, Neoverse N1, Apple M1 and
 * later): 4 outputs a register.
 *
 * Built with its own -march for this file alone, so nothing here may be reached before
 * select.c has checked the CPU. Only the table is exported. Orders of operations are
 * kernels_scalar.c's: sixteen lanes are four registers here. Products with quantised
 * weights: quants_neon.c. */
#include "kernels/kernels.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kernels/quants.h"
#include "kernels/walk.h"
#include "runtime/cpu.h"

enum { QUARTER = 4, QUARTERS = SL_LANES / QUARTER }; /* outputs, or lanes, in one register */

/* Sixteen lanes. */
typedef struct lanes16 {
    float32x4_t v[QUARTERS];
} lanes16;

ALWAYS_INLINE float add_lanes(lanes16 x) {
    const float32x4_t v4 =
        vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3])); /* 16 -> 8 -> 4 */
    const float32x2_t v2 = vadd_f32(vget_low_f32(v4), vget_high_f32(v4));
    return vget_lane_f32(v2, 0) + vget_lane_f32(v2, 1);
}

/* ---- products with float weights ---- */

ALWAYS_INLINE float32x4_t load_column(const sl__format format, const uint8_t *column, int quarter) {
    if (format == SL_FORMAT_F32)
        return vreinterpretq_f32_u8(vld1q_u8(column + 4 * QUARTER * quarter));
    if (format == SL_FORMAT_INT8) {
        uint32_t four;
        memcpy(&four, column + QUARTER * quarter, sizeof four);
        return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
    }
    const uint8x8_t bits = vld1_u8(column + 2 * QUARTER * quarter);
    if (format == SL_FORMAT_F16) return vcvt_f32_f16(vreinterpret_f16_u8(bits));
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(bits), 16));
}

/* A quarter of one panel for n rows: even and odd sums are 16 registers at most. */
ALWAYS_INLINE void quarter_panel_floats(const sl__format format, const int n, const uint8_t *panel,
                                        int32_t n_in, const float *const *rows, float *const *y,
                                        int32_t at, int quarter) {
    const int32_t column_bytes = column_bytes_of(format);
    float32x4_t even[SL_KERNEL_ROWS], odd[SL_KERNEL_ROWS];
    for (int r = 0; r < n; r++)
        even[r] = odd[r] = vdupq_n_f32(0.0f);
    const uint8_t *column = panel;
    int32_t c = 0;
    for (; c + 2 <= n_in; c += 2, column += 2 * column_bytes) {
        if (quarter == 0) prefetch(walk_of(false, n), column, 2 * column_bytes);
        const float32x4_t w0 = load_column(format, column, quarter);
        const float32x4_t w1 = load_column(format, column + column_bytes, quarter);
        for (int r = 0; r < n; r++) {
            even[r] = vfmaq_n_f32(even[r], w0, rows[r][c]);
            odd[r] = vfmaq_n_f32(odd[r], w1, rows[r][c + 1]);
        }
    }
    if (c < n_in) {
        const float32x4_t w0 = load_column(format, column, quarter);
        for (int r = 0; r < n; r++)
            even[r] = vfmaq_n_f32(even[r], w0, rows[r][c]);
    }
    for (int r = 0; r < n; r++)
        vst1q_f32(y[r] + at + QUARTER * quarter, vaddq_f32(even[r], odd[r]));
}

ALWAYS_INLINE void matmul_floats(const sl__format format, const int n, const uint8_t *panels,
                                 int32_t n_in, int32_t n_panels, const void *const *x,
                                 float *const *y, int32_t at) {
    const size_t panel_bytes = (size_t)n_in * (size_t)column_bytes_of(format);
    const float *rows[SL_KERNEL_ROWS];
    for (int r = 0; r < n; r++)
        rows[r] = x[r];
    for (int32_t p = 0; p < n_panels; p++, panels += panel_bytes)
        for (int quarter = 0; quarter < QUARTERS; quarter++)
            quarter_panel_floats(format, n, panels, n_in, rows, y, at + p * SL_PANEL_ROWS, quarter);
}

MATMUL(static void, matmul_f32, matmul_floats, SL_FORMAT_F32)
MATMUL(static void, matmul_f16, matmul_floats, SL_FORMAT_F16)
MATMUL(static void, matmul_bf16, matmul_floats, SL_FORMAT_BF16)
MATMUL(static void, matmul_int8, matmul_floats, SL_FORMAT_INT8)

/* ---- activations ---- */

/* Elements i .. i + 15 of a row of n, zero past its end, and back. */
ALWAYS_INLINE lanes16 load_lanes(const float *x, int32_t i, int32_t n) {
    float padded[SL_LANES] = {0};
    if (n - i < SL_LANES) {
        memcpy(padded, x + i, (size_t)(n - i) * sizeof *x);
        x = padded, i = 0;
    }
    lanes16 out;
    for (int k = 0; k < QUARTERS; k++)
        out.v[k] = vld1q_f32(x + i + QUARTER * k);
    return out;
}

ALWAYS_INLINE void store_lanes(float *y, int32_t i, int32_t n, lanes16 v) {
    float padded[SL_LANES];
    float *to = n - i >= SL_LANES ? y + i : padded;
    for (int k = 0; k < QUARTERS; k++)
        vst1q_f32(to + QUARTER * k, v.v[k]);
    if (to == padded) memcpy(y + i, padded, (size_t)(n - i) * sizeof *y);
}

static void quantise(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks) {
    enum { PARTS = SL_Q_BLOCK / QUARTER };
    int8_t *q = sl__act_quants(row) + first * SL_Q_BLOCK;
    float *scales = sl__act_scales(row, n_in) + first;
    float *shifts = sl__act_shifts(row, n_in) + first;
    int16_t *minus_sums = sl__act_minus_sums(row, n_in) + 2 * first;
    for (int32_t b = 0; b < n_blocks; b++, x += SL_Q_BLOCK, q += SL_Q_BLOCK) {
        float32x4_t v[PARTS];
        int32x4_t max4 = vdupq_n_s32(0);
        for (int i = 0; i < PARTS; i++) {
            v[i] = vld1q_f32(x + QUARTER * i);
            max4 = vmaxq_s32(max4, vandq_s32(vreinterpretq_s32_f32(v[i]), vdupq_n_s32(0x7fffffff)));
        }
        const float max = vgetq_lane_f32(vreinterpretq_f32_s32(vdupq_n_s32(vmaxvq_s32(max4))), 0);
        scales[b] = max / 127.0f;
        const int usable = max >= 0x1p-100f && max <= 0x1.fffffep127f;
        const float inverse = usable ? 127.0f / max : 0.0f;
        int32_t sums[2] = {0, 0};
        for (int i = 0; i < PARTS; i++) {
            int32x4_t w = vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse));
            if (!usable) w = vdupq_n_s32(0);
            w = vmaxq_s32(vdupq_n_s32(-127), vminq_s32(vdupq_n_s32(127), w));
            sums[i / (PARTS / 2)] += vaddvq_s32(w);
            const int16x4_t narrow = vmovn_s32(w);
            const int8x8_t bytes = vmovn_s16(vcombine_s16(narrow, narrow));
            vst1_lane_s32((int32_t *)(void *)(q + QUARTER * i), vreinterpret_s32_s8(bytes), 0);
        }
        minus_sums[2 * b] = (int16_t)-sums[0];
        minus_sums[2 * b + 1] = (int16_t)-sums[1];
        shifts[b] = scales[b] * (float)-(sums[0] + sums[1]);
    }
}

static void to_half(uint16_t *out, const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const lanes16 v = load_lanes(x, i, n);
        uint16_t halves[SL_LANES];
        for (int k = 0; k < QUARTERS; k++)
            vst1_u16(halves + QUARTER * k, vreinterpret_u16_f16(vcvt_f16_f32(v.v[k])));
        memcpy(out + i, halves, (size_t)sl__min_i32(SL_LANES, n - i) * sizeof *out);
    }
}

ALWAYS_INLINE float32x4_t exp_lanes(float32x4_t x) {
    const float32x4_t least = vdupq_n_f32(-87.3f), most = vdupq_n_f32(88.0f);
    x = vbslq_f32(vcgtq_f32(least, x), least, x); /* comparisons keep NaN */
    x = vbslq_f32(vcltq_f32(most, x), most, x);
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504088896341f));
    float32x4_t r = vfmaq_n_f32(x, n, -0.693359375f);
    r = vfmaq_n_f32(r, n, 2.12194440e-4f);
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
    const float32x4_t y = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), vdupq_n_f32(1.0f));
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(y, vreinterpretq_f32_s32(power));
}

static void softmax(float *x, int32_t n) {
    float max = x[0];
    for (int32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    lanes16 sums;
    for (int k = 0; k < QUARTERS; k++)
        sums.v[k] = vdupq_n_f32(0.0f);
    for (int32_t i = 0; i < n; i += SL_LANES) {
        lanes16 v = load_lanes(x, i, n);
        for (int k = 0; k < QUARTERS; k++)
            v.v[k] = exp_lanes(vsubq_f32(v.v[k], vdupq_n_f32(max)));
        store_lanes(x, i, n, v);
        v = load_lanes(x, i, n); /* zero past the end: those lanes add nothing */
        for (int k = 0; k < QUARTERS; k++)
            sums.v[k] = vaddq_f32(sums.v[k], v.v[k]);
    }
    const float inverse = 1.0f / add_lanes(sums);
    for (int32_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static void silu_mul(float *y, const float *gate, const float *up, int32_t n) {
    for (int32_t i = 0; i < n; i += SL_LANES) {
        lanes16 g = load_lanes(gate, i, n);
        const lanes16 u = load_lanes(up, i, n);
        for (int k = 0; k < QUARTERS; k++) {
            const float32x4_t below = vaddq_f32(vdupq_n_f32(1.0f), exp_lanes(vnegq_f32(g.v[k])));
            g.v[k] = vmulq_f32(vdivq_f32(g.v[k], below), u.v[k]);
        }
        store_lanes(y, i, n, g);
    }
}

static void rms_norm(float *y, const float *x, const float *weight, int32_t n, float eps) {
    lanes16 sums;
    for (int k = 0; k < QUARTERS; k++)
        sums.v[k] = vdupq_n_f32(0.0f);
    for (int32_t i = 0; i < n; i += SL_LANES) {
        const lanes16 v = load_lanes(x, i, n);
        for (int k = 0; k < QUARTERS; k++)
            sums.v[k] = vfmaq_f32(sums.v[k], v.v[k], v.v[k]);
    }
    const float scale = 1.0f / sqrtf(add_lanes(sums) / (float)n + eps);
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] * scale * weight[i];
}

const sl__kernels sl__kernels_neon = {
    .name = "neon",
    .needs = SL_CPU_NEON_DOT,
    .matmul = {[SL_FORMAT_F32] = matmul_f32,
               [SL_FORMAT_F16] = matmul_f16,
               [SL_FORMAT_BF16] = matmul_bf16,
               [SL_FORMAT_INT8] = matmul_int8,
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_neon,
               SL_QUANT_FORMATS(X)
#undef X
    },
    .quantise = quantise,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .rms_norm = rms_norm,
    .to_half = to_half,
};

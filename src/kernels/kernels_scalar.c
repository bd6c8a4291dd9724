/* kernels_scalar.c - the specification: every kernel in plain C.
 *
 * Written to be read, not to be fast. The SIMD tables give the same bits; where a loop
 * here looks odd (sixteen lanes, fmaf), it spells out their order of operations. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/quants.h"

static uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float load_f32(const uint8_t *p) {
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float add_lanes(float *lanes) {
    for (int32_t half = SL_LANES / 2; half > 0; half /= 2)
        for (int32_t j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

/* ---- products with float weights (the others: quants_scalar.c) ---- */

static float float_weight(sl__format format, const uint8_t *panel, int32_t c, int32_t j) {
    const size_t i = (size_t)c * SL_PANEL_ROWS + (size_t)j;
    if (format == SL_FORMAT_F32) return load_f32(panel + 4 * i);
    if (format == SL_FORMAT_INT8) return (float)(int8_t)panel[i];
    const uint16_t bits = load_u16(panel + 2 * i);
    return format == SL_FORMAT_F16 ? sl__half_to_float(bits) : sl__bf16_to_float(bits);
}

static void matmul_floats(sl__format format, const uint8_t *panels, int32_t n_in, int32_t n_panels,
                          const void *const *x, float *const *y, int32_t n_rows) {
    const size_t panel_bytes = sl__format_panel_bytes(format, n_in);
    for (int32_t r = 0; r < n_rows; r++) {
        const float *row = x[r];
        for (int32_t i = 0; i < n_panels * SL_PANEL_ROWS; i++) {
            const uint8_t *panel = panels + (size_t)(i / SL_PANEL_ROWS) * panel_bytes;
            float acc[2] = {0, 0};
            for (int32_t c = 0; c < n_in; c++)
                acc[c & 1] =
                    fmaf(float_weight(format, panel, c, i % SL_PANEL_ROWS), row[c], acc[c & 1]);
            y[r][i] = acc[0] + acc[1];
        }
    }
}

static void matmul_f32(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,
                       float *const *y, int32_t n_rows) {
    matmul_floats(SL_FORMAT_F32, panels, n_in, n_panels, x, y, n_rows);
}

static void matmul_f16(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,
                       float *const *y, int32_t n_rows) {
    matmul_floats(SL_FORMAT_F16, panels, n_in, n_panels, x, y, n_rows);
}

static void matmul_bf16(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,
                        float *const *y, int32_t n_rows) {
    matmul_floats(SL_FORMAT_BF16, panels, n_in, n_panels, x, y, n_rows);
}

static void matmul_int8(const uint8_t *panels, int32_t n_in, int32_t n_panels, const void *const *x,
                        float *const *y, int32_t n_rows) {
    matmul_floats(SL_FORMAT_INT8, panels, n_in, n_panels, x, y, n_rows);
}

/* ---- activations ---- */

/* The largest magnitude is found on the bit patterns, where NaN > infinity > numbers. */
static void quantise(void *row, int32_t n_in, int32_t first, const float *x, int32_t n_blocks) {
    int8_t *q = sl__act_quants(row) + first * SL_Q_BLOCK;
    float *scales = sl__act_scales(row, n_in) + first;
    float *shifts = sl__act_shifts(row, n_in) + first;
    int16_t *minus_sums = sl__act_minus_sums(row, n_in) + 2 * first;
    for (int32_t b = 0; b < n_blocks; b++, x += SL_Q_BLOCK, q += SL_Q_BLOCK) {
        int32_t max_bits = 0;
        for (int32_t i = 0; i < SL_Q_BLOCK; i++)
            max_bits = sl__max_i32(max_bits, bits_of(x[i]) & 0x7fffffff);
        float max;
        memcpy(&max, &max_bits, sizeof max);
        scales[b] = max / 127.0f;
        /* A block too small for 1 / scale, or not finite, has quants 0. */
        const float inverse = max >= 0x1p-100f && max <= 0x1.fffffep127f ? 127.0f / max : 0.0f;
        int32_t sums[2] = {0, 0};
        for (int32_t i = 0; i < SL_Q_BLOCK; i++) {
            const int32_t v = inverse > 0 ? (int32_t)lrintf(x[i] * inverse) : 0;
            q[i] = (int8_t)sl__max_i32(-127, sl__min_i32(127, v));
            sums[i / (SL_Q_BLOCK / 2)] += q[i];
        }
        minus_sums[2 * b] = (int16_t)-sums[0];
        minus_sums[2 * b + 1] = (int16_t)-sums[1];
        shifts[b] = scales[b] * (float)-(sums[0] + sums[1]);
    }
}

static void to_half(uint16_t *out, const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        out[i] = sl__float_to_half(x[i]);
}

/* exp(x) for clamped x: 2^n e^r, |r| <= ln 2 / 2, degree-7 polynomial (coefficients of
 * Cephes expf); relative error below 2^-22. NaN stays NaN. */
static float exp_spec(float x) {
    x = -87.3f > x ? -87.3f : x;
    x = 88.0f < x ? 88.0f : x;
    const float n = rintf(x * 1.44269504088896341f);
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    const float y = fmaf(p, r * r, r) + 1.0f;
    const int32_t power_bits = (n == n ? (int32_t)n + 127 : 127) << 23;
    float power;
    memcpy(&power, &power_bits, sizeof power);
    return y * power;
}

static void softmax(float *x, int32_t n) {
    float max = x[0], lanes[SL_LANES] = {0};
    for (int32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int32_t i = 0; i < n; i++) {
        x[i] = exp_spec(x[i] - max);
        lanes[i % SL_LANES] += x[i];
    }
    const float inverse = 1.0f / add_lanes(lanes);
    for (int32_t i = 0; i < n; i++)
        x[i] *= inverse;
}

static void silu_mul(float *y, const float *gate, const float *up, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + exp_spec(-gate[i])) * up[i];
}

static void rms_norm(float *y, const float *x, const float *weight, int32_t n, float eps) {
    float lanes[SL_LANES] = {0};
    for (int32_t i = 0; i < n; i++)
        lanes[i % SL_LANES] = fmaf(x[i], x[i], lanes[i % SL_LANES]);
    const float scale = 1.0f / sqrtf(add_lanes(lanes) / (float)n + eps);
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] * scale * weight[i];
}

const sl__kernels sl__kernels_scalar = {
    .name = "scalar",
    .needs = 0,
    .matmul = {[SL_FORMAT_F32] = matmul_f32,
               [SL_FORMAT_F16] = matmul_f16,
               [SL_FORMAT_BF16] = matmul_bf16,
               [SL_FORMAT_INT8] = matmul_int8,
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = sl__matmul_##name##_scalar,
               SL_QUANT_FORMATS(X)
#undef X
    },
    .quantise = quantise,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .rms_norm = rms_norm,
    .to_half = to_half,
};

/* quants_scalar.c - the specification of products with quantised weights.
 *
 * A block of 32 columns of one output is decoded to integers, and multiplied with each
 * row in the order that kernels.h promises. Written to be read, not to be fast. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/quants.h"

static float load_half(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return sl__half_to_float(v);
}

/* 32 columns of one output. */
typedef struct block {
    int32_t q[SL_Q_BLOCK]; /* a number is scale * q - min */
    float scale, min;
} block;

/* ---- planes (panel.h): the quant of column c of output j ---- */

static int32_t byte_of(const uint8_t *plane, int32_t group, int32_t j, int32_t c) {
    return plane[(group * SL_PANEL_ROWS + j) * 4 + c % 4];
}

static int32_t nibble_of(const uint8_t *plane, int32_t j, int32_t c) {
    return byte_of(plane, c / 4 % 4, j, c) >> (c < 16 ? 0 : 4) & 15;
}

static int32_t bit_of(const uint8_t *plane, int32_t j, int32_t c) {
    return byte_of(plane, 0, j, c) >> c / 4 & 1;
}

static int32_t quant_of(sl__format format, const uint8_t *planes, int32_t j, int32_t c) {
    static const int8_t iq4_nl[16] = {SL_IQ4_NL_VALUES}, mxfp4[16] = {SL_MXFP4_VALUES};
    switch (format) {
    case SL_FORMAT_Q8_0:
        return (int8_t)byte_of(planes, c / 4, j, c);
    case SL_FORMAT_Q4_0:
        return nibble_of(planes, j, c) - 8;
    case SL_FORMAT_Q4_1:
        return nibble_of(planes, j, c);
    case SL_FORMAT_Q5_0:
        return (nibble_of(planes, j, c) | bit_of(planes + 256, j, c) << 4) - 16;
    case SL_FORMAT_Q5_1:
        return nibble_of(planes, j, c) | bit_of(planes + 256, j, c) << 4;
    case SL_FORMAT_IQ4_NL:
        return iq4_nl[nibble_of(planes, j, c)];
    case SL_FORMAT_MXFP4:
        return mxfp4[nibble_of(planes, j, c)];
    default:
        SL_UNREACHABLE("a quantised format");
    }
}

/* Block s of a unit (a block of the file), output j. */
static void decode(sl__format format, block *out, const uint8_t *unit, int32_t s, int32_t j) {
    const sl__layout l = sl__layouts[format];
    for (int32_t c = 0; c < SL_Q_BLOCK; c++)
        out->q[c] = quant_of(format, unit + l.head + s * l.quants, j, c);
    out->scale =
        format == SL_FORMAT_MXFP4 ? sl__e8m0_half_to_float(unit[j]) : load_half(unit + 2 * j);
    out->min = sl__format_has_min(format) ? -load_half(unit + 32 + 2 * j) : 0.0f;
}

/* One output for up to SL_KERNEL_ROWS rows. */
static void multiply(sl__format format, const uint8_t *panel, int32_t j, int32_t n_in,
                     const void *const *x, float *const *y, int32_t at, int32_t n_rows) {
    const sl__layout l = sl__layouts[format];
    const int32_t unit_bytes = l.head + l.columns / SL_Q_BLOCK * l.quants;
    float acc[SL_KERNEL_ROWS] = {0};
    for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++) {
        block w;
        const int32_t c = b * SL_Q_BLOCK;
        decode(format, &w, panel + (size_t)(c / l.columns) * (size_t)unit_bytes,
               c % l.columns / SL_Q_BLOCK, j);
        for (int32_t r = 0; r < n_rows; r++) {
            void *row = (void *)(uintptr_t)x[r]; /* read only */
            const int8_t *q = sl__act_quants(row) + c;
            int32_t dot = 0;
            for (int32_t i = 0; i < SL_Q_BLOCK; i++)
                dot += w.q[i] * q[i];
            acc[r] = fmaf((float)dot, w.scale * sl__act_scales(row, n_in)[b], acc[r]);
            if (sl__format_has_min(format))
                acc[r] = fmaf(w.min, sl__act_shifts(row, n_in)[b], acc[r]);
        }
    }
    for (int32_t r = 0; r < n_rows; r++)
        y[r][at] = acc[r];
}

static void matmul(sl__format format, const uint8_t *panels, int32_t n_in, int32_t n_panels,
                   const void *const *x, float *const *y, int32_t n_rows) {
    const size_t panel_bytes = sl__format_panel_bytes(format, n_in);
    for (int32_t r = 0; r < n_rows; r += SL_KERNEL_ROWS)
        for (int32_t i = 0; i < n_panels * SL_PANEL_ROWS; i++)
            multiply(format, panels + (size_t)(i / SL_PANEL_ROWS) * panel_bytes, i % SL_PANEL_ROWS,
                     n_in, x + r, y + r, i, sl__min_i32(SL_KERNEL_ROWS, n_rows - r));
}

#define X(NAME, name, columns, bytes)                                                              \
    void sl__matmul_##name##_scalar(const uint8_t *panels, int32_t n_in, int32_t n_panels,         \
                                    const void *const *x, float *const *y, int32_t n_rows) {       \
        matmul(SL_FORMAT_##NAME, panels, n_in, n_panels, x, y, n_rows);                            \
    }
SL_QUANT_FORMATS(X)
#undef X

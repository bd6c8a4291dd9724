/* quants_scalar.c - the specification of products with quantised weights.
 *
 * A block of 32 columns of one output is decoded to integers, and multiplied with each
 * row in the order that kernels.h promises. Written to be read, not to be fast. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/grid_quants.h"

static float load_half(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return sl__half_to_float(v);
}

/* 32 columns of one output. */
typedef struct block {
    int32_t q[SL_Q_BLOCK];
    float scale, min;                 /* of the block, or of all 256 columns       */
    int32_t sub_scale[2], sub_min[2]; /* of each half, in formats that have halves */
} block;

/* ---- planes (panel.h): the quant of column c of output j ---- */

static int32_t byte_of(const uint8_t *plane, int32_t group, int32_t j, int32_t c) {
    return plane[(group * SL_PANEL_ROWS + j) * 4 + c % 4];
}

static int32_t nibble_of(const uint8_t *plane, int32_t j, int32_t c) {
    return byte_of(plane, c / 4 % 4, j, c) >> (c < 16 ? 0 : 4) & 15;
}

static int32_t crumb_of(const uint8_t *plane, int32_t j, int32_t c) {
    return byte_of(plane, c / 16, j, c) >> c / 4 % 4 * 2 & 3;
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
    case SL_FORMAT_Q4_K:
        return nibble_of(planes, j, c);
    case SL_FORMAT_Q5_0:
        return (nibble_of(planes, j, c) | bit_of(planes + 256, j, c) << 4) - 16;
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_Q5_K:
        return nibble_of(planes, j, c) | bit_of(planes + 256, j, c) << 4;
    case SL_FORMAT_Q2_K:
        return crumb_of(planes, j, c);
    case SL_FORMAT_Q3_K:
        return (crumb_of(planes, j, c) | bit_of(planes + 128, j, c) << 2) - 4;
    case SL_FORMAT_Q6_K:
        return (nibble_of(planes, j, c) | crumb_of(planes + 256, j, c) << 4) - 32;
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
        return iq4_nl[nibble_of(planes, j, c)];
    case SL_FORMAT_MXFP4:
        return mxfp4[nibble_of(planes, j, c)];
    default:
        SL_UNREACHABLE("a quantised format");
    }
}

static void decode_grid(sl__format format, block *out, const uint8_t *unit, int32_t s, int32_t j) {
    sl__grid_block row;
    sl__grid_block_decode(format, &row, unit + (size_t)j * sl__format_row_bytes(format, 256));
    for (int32_t i = 0; i < SL_Q_BLOCK; i++) {
        const int32_t c = s * SL_Q_BLOCK + i;
        const int32_t magnitude = (int32_t)(row.magnitudes[c / 8] >> c % 8 * 8 & 255);
        out->q[i] = row.signs[c / 8] >> c % 8 & 1 ? -magnitude : magnitude;
    }
    for (int32_t h = 0; h < 2; h++)
        out->sub_scale[h] = (int32_t)row.scale[2 * s + h];
    out->scale = row.d;
    out->min = 0;
}

/* Block s of a unit (a block of the file), output j. */
static void decode(sl__format format, block *out, const uint8_t *unit, int32_t s, int32_t j) {
    const sl__layout l = sl__layouts[format];
    if (sl__format_has_grid(format)) {
        decode_grid(format, out, unit, s, j);
        return;
    }
    for (int32_t c = 0; c < SL_Q_BLOCK; c++)
        out->q[c] = quant_of(format, unit + l.head + s * l.quants, j, c);
    out->scale =
        format == SL_FORMAT_MXFP4 ? sl__e8m0_half_to_float(unit[j]) : load_half(unit + 2 * j);
    out->min = sl__format_has_min(format) ? load_half(unit + 32 + 2 * j) : 0.0f;
    if (l.columns == SL_Q_BLOCK) {
        out->min = -out->min; /* these files hold what is added */
        return;
    }
    sl__sub_scales sub;
    sl__unpack_scales(format, &sub, unit);
    if (sl__format_has_halves(format)) {
        for (int32_t h = 0; h < 2; h++) {
            const int32_t at = (2 * s + h) * SL_PANEL_ROWS + j;
            out->sub_scale[h] = (int32_t)sub.scale[at];
            out->sub_min[h] = sl__format_has_min(format) ? sub.min[at] : 0;
        }
        return;
    }
    out->scale *= (float)sub.scale[s * SL_PANEL_ROWS + j];
    if (sl__format_has_min(format)) out->min *= (float)sub.min[s * SL_PANEL_ROWS + j];
}

/* ---- products ---- */

static int32_t dot(const int32_t *w, const int8_t *q, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += w[i] * q[i];
    return sum;
}

static float add_block(sl__format format, float acc, const block *w, void *row, int32_t n_in,
                       int32_t b) {
    const int8_t *q = sl__act_quants(row) + b * SL_Q_BLOCK;
    const float scale = sl__act_scales(row, n_in)[b];
    acc = fmaf((float)dot(w->q, q, SL_Q_BLOCK), w->scale * scale, acc);
    if (sl__format_has_min(format)) acc = fmaf(w->min, sl__act_shifts(row, n_in)[b], acc);
    return acc;
}

/* The same for two sub-scales. */
static float add_halves(sl__format format, float acc, const block *w, void *row, int32_t n_in,
                        int32_t b) {
    const int8_t *q = sl__act_quants(row) + b * SL_Q_BLOCK;
    const int16_t *minus_sums = sl__act_minus_sums(row, n_in) + 2 * b;
    const float scale = sl__act_scales(row, n_in)[b];
    const int32_t sum =
        w->sub_scale[0] * dot(w->q, q, 16) + w->sub_scale[1] * dot(w->q + 16, q + 16, 16);
    acc = fmaf((float)sum, w->scale * scale, acc);
    if (!sl__format_has_min(format)) return acc;
    const int32_t mins = w->sub_min[0] * minus_sums[0] + w->sub_min[1] * minus_sums[1];
    return fmaf((float)mins, w->min * scale, acc);
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
            acc[r] = sl__format_has_halves(format) ? add_halves(format, acc[r], &w, row, n_in, b)
                                                   : add_block(format, acc[r], &w, row, n_in, b);
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

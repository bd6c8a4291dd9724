/* panel.c - packing rows into panels, and reading single rows. */
#include "kernels/panel.h"

#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"

enum { Q8_0_BYTES = 34, Q4_0_BYTES = 18, SCALE_BYTES = 2 };

static const struct {
    int32_t block;
    int32_t bytes; /* of one block of one row */
    int quantised;
} formats[SL_FORMATS] = {
    [SL_FORMAT_F32] = {1, 4, 0},
    [SL_FORMAT_F16] = {1, 2, 0},
    [SL_FORMAT_BF16] = {1, 2, 0},
    [SL_FORMAT_Q8_0] = {SL_Q_BLOCK, Q8_0_BYTES, 1},
    [SL_FORMAT_Q4_0] = {SL_Q_BLOCK, Q4_0_BYTES, 1},
};

int sl__format_is_quantised(sl__format format) {
    return formats[format].quantised;
}

int32_t sl__format_block(sl__format format) {
    return formats[format].block;
}

size_t sl__format_row_bytes(sl__format format, int32_t n_in) {
    SL_DCHECK(n_in % formats[format].block == 0);
    return (size_t)(n_in / formats[format].block) * (size_t)formats[format].bytes;
}

size_t sl__format_panel_bytes(sl__format format, int32_t n_in) {
    return SL_PANEL_ROWS * sl__format_row_bytes(format, n_in);
}

/* Columns of `bytes` bytes each, 16 rows side by side. */
static void pack_values(uint8_t *panel, const uint8_t *rows, int32_t n_rows, int32_t n_in,
                        size_t bytes) {
    const size_t row_bytes = (size_t)n_in * bytes;
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t c = 0; c < n_in; c++)
            memcpy(panel + ((size_t)c * SL_PANEL_ROWS + (size_t)r) * bytes,
                   rows + (size_t)r * row_bytes + (size_t)c * bytes, bytes);
}

/* Blocks of a half scale and `groups` groups of four bytes. */
static void pack_blocks(uint8_t *panel, const uint8_t *rows, int32_t n_rows, int32_t n_in,
                        size_t groups) {
    const size_t blocks = (size_t)(n_in / SL_Q_BLOCK), block_bytes = SCALE_BYTES + 4 * groups;
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *scales = panel + b * SL_PANEL_ROWS * block_bytes;
        uint8_t *quants = scales + SL_PANEL_ROWS * SCALE_BYTES;
        for (size_t r = 0; r < (size_t)n_rows; r++) {
            const uint8_t *block = rows + (r * blocks + b) * block_bytes;
            memcpy(scales + r * SCALE_BYTES, block, SCALE_BYTES);
            for (size_t g = 0; g < groups; g++)
                memcpy(quants + (g * SL_PANEL_ROWS + r) * 4, block + SCALE_BYTES + 4 * g, 4);
        }
    }
}

void sl__panel_pack(sl__format format, uint8_t *panel, const uint8_t *rows, int32_t n_rows,
                    int32_t n_in) {
    SL_DCHECK(n_rows >= 1 && n_rows <= SL_PANEL_ROWS);
    if (n_rows < SL_PANEL_ROWS) memset(panel, 0, sl__format_panel_bytes(format, n_in));
    switch (format) {
    case SL_FORMAT_F32:
        pack_values(panel, rows, n_rows, n_in, 4);
        break;
    case SL_FORMAT_F16:
    case SL_FORMAT_BF16:
        pack_values(panel, rows, n_rows, n_in, 2);
        break;
    case SL_FORMAT_Q8_0:
        pack_blocks(panel, rows, n_rows, n_in, 8);
        break;
    case SL_FORMAT_Q4_0:
        pack_blocks(panel, rows, n_rows, n_in, 4);
        break;
    }
}

static uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void q8_0_to_float(float *out, const uint8_t *row, int32_t n_in) {
    for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++, row += Q8_0_BYTES, out += SL_Q_BLOCK) {
        const float scale = sl__half_to_float(load_u16(row));
        for (int32_t i = 0; i < SL_Q_BLOCK; i++)
            out[i] = scale * (float)(int8_t)row[SCALE_BYTES + i];
    }
}

static void q4_0_to_float(float *out, const uint8_t *row, int32_t n_in) {
    for (int32_t b = 0; b < n_in / SL_Q_BLOCK; b++, row += Q4_0_BYTES, out += SL_Q_BLOCK) {
        const float scale = sl__half_to_float(load_u16(row));
        for (int32_t i = 0; i < SL_Q_BLOCK / 2; i++) {
            out[i] = scale * (float)((row[SCALE_BYTES + i] & 15) - 8);
            out[i + SL_Q_BLOCK / 2] = scale * (float)((row[SCALE_BYTES + i] >> 4) - 8);
        }
    }
}

void sl__row_to_float(sl__format format, float *out, const uint8_t *row, int32_t n_in) {
    switch (format) {
    case SL_FORMAT_F32:
        memcpy(out, row, (size_t)n_in * sizeof *out);
        break;
    case SL_FORMAT_F16:
        for (int32_t i = 0; i < n_in; i++)
            out[i] = sl__half_to_float(load_u16(row + 2 * (size_t)i));
        break;
    case SL_FORMAT_BF16:
        for (int32_t i = 0; i < n_in; i++)
            out[i] = sl__bf16_to_float(load_u16(row + 2 * (size_t)i));
        break;
    case SL_FORMAT_Q8_0:
        q8_0_to_float(out, row, n_in);
        break;
    case SL_FORMAT_Q4_0:
        q4_0_to_float(out, row, n_in);
        break;
    }
}

/* formats.c - the weight formats as files hold them: sizes, and numbers of single rows.
 *
 * The second half is the plain meaning of each format, block by block in the file's own
 * order, with the roundings of the reference implementation: a golden file of blocks
 * holds it to the last bit (tests/unit/test_formats.c). */
#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/grid_quants.h"
#include "kernels/panel.h"
#include "kernels/quants.h"

/* Numbers of one block. */
typedef void block_fn(float *out, const uint8_t *block);

static uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float load_half(const uint8_t *p) {
    return sl__half_to_float(load_u16(p));
}

static void block_f32(float *out, const uint8_t *block) {
    memcpy(out, block, sizeof *out);
}

static void block_f16(float *out, const uint8_t *block) {
    *out = load_half(block);
}

static void block_int8(float *out, const uint8_t *block) {
    *out = (float)(int8_t)*block;
}

static void block_bf16(float *out, const uint8_t *block) {
    *out = sl__bf16_to_float(load_u16(block));
}

/* ---- blocks of 32 ---- */

/* Nibble i of 32: the first sixteen are the low ones. */
static int32_t nibble(const uint8_t *bytes, int32_t i) {
    return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

static int32_t bit(const uint8_t *bytes, int32_t i) {
    return bytes[i / 8] >> (i % 8) & 1;
}

static void block_q8_0(float *out, const uint8_t *block) {
    const float d = load_half(block);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)(int8_t)block[2 + i];
}

static void block_q4_0(float *out, const uint8_t *block) {
    const float d = load_half(block);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)(nibble(block + 2, i) - 8);
}

static void block_q4_1(float *out, const uint8_t *block) {
    const float d = load_half(block), m = load_half(block + 2);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)nibble(block + 4, i) + m;
}

static void block_q5_0(float *out, const uint8_t *block) {
    const float d = load_half(block);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)((nibble(block + 6, i) | bit(block + 2, i) << 4) - 16);
}

static void block_q5_1(float *out, const uint8_t *block) {
    const float d = load_half(block), m = load_half(block + 2);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)(nibble(block + 8, i) | bit(block + 4, i) << 4) + m;
}

static const int8_t iq4_nl_values[16] = {SL_IQ4_NL_VALUES};
static const int8_t mxfp4_values[16] = {SL_MXFP4_VALUES};

static void block_iq4_nl(float *out, const uint8_t *block) {
    const float d = load_half(block);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)iq4_nl_values[nibble(block + 2, i)];
}

static void block_mxfp4(float *out, const uint8_t *block) {
    const float d = sl__e8m0_half_to_float(block[0]);
    for (int32_t i = 0; i < 32; i++)
        out[i] = d * (float)mxfp4_values[nibble(block + 1, i)];
}

/* ---- blocks of 256 ---- */

/* Column c of 256 in `bits` bits: the quants of 32 columns lie side by side, those of the
 * next 32 in the next bits of the same bytes. */
static int32_t packed(const uint8_t *bytes, int32_t bits, int32_t c) {
    const int32_t fields = 8 / bits, run = c / 32;
    return bytes[run / fields * 32 + c % 32] >> run % fields * bits & ((1 << bits) - 1);
}

static void block_q2_k(float *out, const uint8_t *block) {
    const float d = load_half(block + 80), dmin = load_half(block + 82);
    for (int32_t c = 0; c < 256; c++) {
        const float scale = d * (float)(block[c / 16] & 15),
                    min = dmin * (float)(block[c / 16] >> 4);
        out[c] = scale * (float)packed(block + 16, 2, c) - min;
    }
}

static void block_q3_k(float *out, const uint8_t *block) {
    const float d = load_half(block + 108);
    const uint8_t *scales = block + 96;
    for (int32_t c = 0; c < 256; c++) {
        const int32_t s = c / 16;
        const int32_t low = scales[s % 8] >> (s < 8 ? 0 : 4) & 15;
        const int32_t high = scales[8 + s % 4] >> 2 * (s / 4) & 3;
        const int32_t q = (packed(block + 32, 2, c) | packed(block, 1, c) << 2) - 4;
        out[c] = d * (float)((low | high << 4) - 32) * (float)q;
    }
}

/* Scale and minimum s of eight, six bits each, in Q4_K and Q5_K. */
static int32_t q4_k_scale(const uint8_t *p, int32_t s) {
    return s < 4 ? p[s] & 63 : (p[s + 4] & 15) | (p[s - 4] >> 6) << 4;
}

static int32_t q4_k_min(const uint8_t *p, int32_t s) {
    return s < 4 ? p[s + 4] & 63 : p[s + 4] >> 4 | (p[s] >> 6) << 4;
}

static void block_q4_k(float *out, const uint8_t *block) {
    const float d = load_half(block), dmin = load_half(block + 2);
    for (int32_t c = 0; c < 256; c++) {
        const float scale = d * (float)q4_k_scale(block + 4, c / 32);
        out[c] =
            scale * (float)packed(block + 16, 4, c) - dmin * (float)q4_k_min(block + 4, c / 32);
    }
}

static void block_q5_k(float *out, const uint8_t *block) {
    const float d = load_half(block), dmin = load_half(block + 2);
    for (int32_t c = 0; c < 256; c++) {
        const float scale = d * (float)q4_k_scale(block + 4, c / 32);
        const int32_t q = packed(block + 48, 4, c) | packed(block + 16, 1, c) << 4;
        out[c] = scale * (float)q - dmin * (float)q4_k_min(block + 4, c / 32);
    }
}

/* Low bits: in each half of 128 columns, columns c and c + 64 share a byte. */
static void block_q6_k(float *out, const uint8_t *block) {
    const float d = load_half(block + 208);
    for (int32_t c = 0; c < 256; c++) {
        const int32_t low = block[c / 128 * 64 + c % 64] >> c / 64 % 2 * 4 & 15;
        const float scale = d * (float)(int8_t)block[192 + c / 16];
        out[c] = scale * (float)((low | packed(block + 128, 2, c) << 4) - 32);
    }
}

static void block_iq4_xs(float *out, const uint8_t *block) {
    const float d = load_half(block);
    for (int32_t c = 0; c < 256; c++) {
        const int32_t s = c / 32;
        const int32_t low = block[4 + s / 2] >> s % 2 * 4 & 15;
        const int32_t high = load_u16(block + 2) >> 2 * s & 3;
        out[c] = d * (float)((low | high << 4) - 32) *
                 (float)iq4_nl_values[nibble(block + 8 + 16 * s, c % 32)];
    }
}

/* ---- code books ---- */

static void grid_to_float(sl__format format, float *out, const uint8_t *bytes) {
    sl__grid_block block;
    sl__grid_block_decode(format, &block, bytes);
    for (int32_t c = 0; c < 256; c++) {
        const int32_t magnitude = (int32_t)(block.magnitudes[c / 8] >> c % 8 * 8 & 255);
        const int32_t part = c / 16;
        const float scale = block.d * (float)block.scale[part];
        out[c] = scale * (float)(bit(block.signs, c) ? -magnitude : magnitude);
    }
}

#define X(NAME, name, columns, bytes)                                                              \
    static void block_##name(float *out, const uint8_t *block) {                                   \
        grid_to_float(SL_FORMAT_##NAME, out, block);                                               \
    }
SL_GRID_FORMATS(X)
#undef X

/* ---- the table ---- */

static const struct {
    const char *name;
    int32_t columns, bytes; /* of one block of one row */
    int quantised;
    block_fn *to_float;
} formats[SL_PANEL_FORMATS] = {
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = {#NAME, columns, bytes, 0, block_##name},
    SL_FLOAT_FORMATS(X)
#undef X
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = {#NAME, columns, bytes, 1, block_##name},
        SL_QUANT_FORMATS(X)
#undef X
            [SL_FORMAT_INT8] = {"INT8", 1, 1, 0, block_int8},
};

const char *sl__format_name(sl__format format) {
    return formats[format].name;
}

int sl__format_is_quantised(sl__format format) {
    return formats[format].quantised;
}

int32_t sl__format_block(sl__format format) {
    return formats[format].columns;
}

size_t sl__format_row_bytes(sl__format format, int32_t n_in) {
    SL_DCHECK(n_in % formats[format].columns == 0);
    return (size_t)(n_in / formats[format].columns) * (size_t)formats[format].bytes;
}

size_t sl__format_panel_bytes(sl__format format, int32_t n_in) {
    return SL_PANEL_ROWS * sl__format_row_bytes(format, n_in);
}

void sl__row_to_float(sl__format format, float *out, const uint8_t *row, int32_t n_in) {
    const int32_t columns = formats[format].columns, bytes = formats[format].bytes;
    for (int32_t c = 0; c < n_in; c += columns, row += bytes)
        formats[format].to_float(out + c, row);
}

/* ---- scales ---- */

/* Halves of a block that scale it: so many, from byte `at` on. */
static const struct {
    uint8_t at, n;
} halves[SL_FORMATS] = {
    [SL_FORMAT_Q8_0] = {0, 1},    [SL_FORMAT_Q4_0] = {0, 1},   [SL_FORMAT_Q4_1] = {0, 2},
    [SL_FORMAT_Q5_0] = {0, 1},    [SL_FORMAT_Q5_1] = {0, 2},   [SL_FORMAT_IQ4_NL] = {0, 1},
    [SL_FORMAT_Q2_K] = {80, 2},   [SL_FORMAT_Q3_K] = {108, 1}, [SL_FORMAT_Q4_K] = {0, 2},
    [SL_FORMAT_Q5_K] = {0, 2},    [SL_FORMAT_Q6_K] = {208, 1}, [SL_FORMAT_IQ4_XS] = {0, 1},
    [SL_FORMAT_IQ2_XXS] = {0, 1}, [SL_FORMAT_IQ2_XS] = {0, 1}, [SL_FORMAT_IQ2_S] = {0, 1},
    [SL_FORMAT_IQ3_XXS] = {0, 1}, [SL_FORMAT_IQ3_S] = {0, 1},
};

static int is_bad_scale(sl__format format, const uint8_t *block) {
    if (format == SL_FORMAT_MXFP4) return block[0] == 255;
    int bad = 0;
    for (int32_t i = 0; i < halves[format].n; i++)
        bad |= (load_u16(block + halves[format].at + 2 * i) & 0x7c00u) == 0x7c00u;
    return bad;
}

int32_t sl__row_bad_scale(sl__format format, const uint8_t *row, int32_t n_in) {
    if (!formats[format].quantised) return -1;
    const int32_t blocks = n_in / formats[format].columns;
    for (int32_t b = 0; b < blocks; b++)
        if (is_bad_scale(format, row + (size_t)b * (size_t)formats[format].bytes)) return b;
    return -1;
}

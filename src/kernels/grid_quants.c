/* grid_quants.c - from code books to bytes, eight numbers at a time. */
#include "kernels/grid_quants.h"

#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"

static uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static int8_t odd(uint32_t half) {
    return (int8_t)(2 * half + 1);
}

/* Scales of two 16s each, in the nibbles of eight bytes. */
static void nibble_scales(sl__grid_block *out, const uint8_t *bytes) {
    for (int32_t i = 0; i < 16; i++)
        out->scale[i] = odd((uint32_t)bytes[i / 2] >> 4 * (i % 2) & 15u);
}

/* Signs and scale of 32 numbers in one word. */
static void word_signs(sl__grid_block *out, int32_t i, uint32_t word) {
    for (int32_t k = 0; k < 4; k++)
        out->signs[4 * i + k] = sl__grid_signs[word >> 7 * k & 127u];
    out->scale[2 * i] = out->scale[2 * i + 1] = odd(word >> 28);
}

static uint64_t two_fours(uint32_t first, uint32_t second) {
    return first | (uint64_t)second << 32;
}

static void decode_iq2_xxs(sl__grid_block *out, const uint8_t *block) {
    for (int32_t i = 0; i < 8; i++) {
        const uint8_t *word = block + 2 + 8 * i;
        for (int32_t k = 0; k < 4; k++)
            out->magnitudes[4 * i + k] = sl__grid_iq2_xxs[word[k]];
        word_signs(out, i, load_u32(word + 4));
    }
    out->d *= 0.125f;
}

static void decode_iq2_xs(sl__grid_block *out, const uint8_t *block) {
    for (int32_t i = 0; i < 32; i++) {
        const uint32_t word = load_u16(block + 2 + 2 * i);
        out->magnitudes[i] = sl__grid_iq2_xs[word & 511u];
        out->signs[i] = sl__grid_signs[word >> 9];
    }
    nibble_scales(out, block + 66);
    out->d *= 0.125f;
}

static void decode_iq2_s(sl__grid_block *out, const uint8_t *block) {
    for (int32_t i = 0; i < 32; i++) {
        const uint32_t high = (uint32_t)block[66 + i / 4] >> 2 * (i % 4) & 3u;
        out->magnitudes[i] = sl__grid_iq2_s[block[2 + i] | high << 8];
        out->signs[i] = block[34 + i];
    }
    nibble_scales(out, block + 74);
    out->d *= 0.125f;
}

static void decode_iq3_xxs(sl__grid_block *out, const uint8_t *block) {
    const uint8_t *q = block + 2;
    for (int32_t i = 0; i < 32; i++)
        out->magnitudes[i] = two_fours(sl__grid_iq3_xxs[q[2 * i]], sl__grid_iq3_xxs[q[2 * i + 1]]);
    for (int32_t i = 0; i < 8; i++)
        word_signs(out, i, load_u32(block + 66 + 4 * i));
    out->d *= 0.25f;
}

static void decode_iq3_s(sl__grid_block *out, const uint8_t *block) {
    const uint8_t *q = block + 2, *high = block + 66;
    for (int32_t i = 0; i < 32; i++) {
        const uint32_t bits = (uint32_t)high[i / 4] >> 2 * (i % 4);
        out->magnitudes[i] = two_fours(sl__grid_iq3_s[q[2 * i] | (bits & 1u) << 8],
                                       sl__grid_iq3_s[q[2 * i + 1] | (bits & 2u) << 7]);
        out->signs[i] = block[74 + i];
    }
    for (int32_t i = 0; i < 16; i++)
        out->scale[i] = odd((uint32_t)block[106 + i / 4] >> 4 * (i / 2 % 2) & 15u);
}

void sl__grid_block_decode(sl__format format, sl__grid_block *out, const uint8_t *block) {
    out->d = sl__half_to_float(load_u16(block));
    switch (format) {
    case SL_FORMAT_IQ2_XXS:
        decode_iq2_xxs(out, block);
        break;
    case SL_FORMAT_IQ2_XS:
        decode_iq2_xs(out, block);
        break;
    case SL_FORMAT_IQ2_S:
        decode_iq2_s(out, block);
        break;
    case SL_FORMAT_IQ3_XXS:
        decode_iq3_xxs(out, block);
        break;
    case SL_FORMAT_IQ3_S:
        decode_iq3_s(out, block);
        break;
    default:
        SL_UNREACHABLE("a format with a code book");
    }
}

#define EACH_BYTE 0x0101010101010101u

void sl__grid_unit_decode(sl__format format, sl__grid_unit *out, const uint8_t *unit) {
    const size_t bytes = sl__format_row_bytes(format, 256);
    for (int32_t r = 0; r < SL_PANEL_ROWS; r++) {
        sl__grid_block block;
        sl__grid_block_decode(format, &block, unit + (size_t)r * bytes);
        out->d[r] = block.d;
        for (int32_t i = 0; i < 16; i++)
            out->sub.scale[i * SL_PANEL_ROWS + r] = block.scale[i];
        for (int32_t i = 0; i < 32; i++) { /* 64 - m, plus 2 m where positive: no byte carries */
            const uint64_t m = block.magnitudes[i], negative = sl__grid_masks[block.signs[i]];
            const uint64_t eight = SL_GRID_BIAS * EACH_BYTE - m + (2 * m & ~negative);
            uint8_t *two_groups = out->quants + 2 * i * 64 + 4 * r;
            memcpy(two_groups, &eight, 4);
            memcpy(two_groups + 64, (const uint8_t *)&eight + 4, 4);
        }
    }
}

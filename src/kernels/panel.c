/* panel.c - packing rows into panels.
 *
 * Quantised blocks go three ways: the scales side by side, with their bits as in the
 * file; quants that lie in the file as a panel wants them, four bytes at a time; and all
 * others by way of words, four columns' quants in a byte each, from which the planes are
 * put together, again four columns at a time. */
#include "kernels/panel.h"

#include <string.h>

#include "base/base.h"
#include "kernels/quants.h"

static uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
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

/* ---- pieces of a block, for one of the 16 rows ---- */

/* Values of `size` bytes one after another, as columns of 16. */
static inline uint8_t *put_values(uint8_t *out, int32_t r, const uint8_t *values, size_t size,
                                  int32_t n) {
    for (int32_t i = 0; i < n; i++, out += SL_PANEL_ROWS * size)
        memcpy(out + (size_t)r * size, values + (size_t)i * size, size);
    return out;
}

/* Groups that are in the file as in the panel. */
static inline uint8_t *put_groups(uint8_t *out, int32_t r, const uint8_t *quants, int32_t n) {
    return put_values(out, r, quants, 4, n);
}

/* Planes of 32 columns, from words: byte j of word g is the quant of column 4g + j. */
static void put_word(uint8_t *plane, int32_t g, int32_t r, uint32_t word) {
    memcpy(plane + (g * SL_PANEL_ROWS + r) * 4, &word, sizeof word);
}

static uint8_t *put_nibbles(uint8_t *out, int32_t r, const uint32_t words[8]) {
    for (int32_t g = 0; g < 4; g++)
        put_word(out, g, r, (words[g] & 0x0f0f0f0fu) | (words[g + 4] & 0x0f0f0f0fu) << 4);
    return out + 256;
}

/* Bits `at`, `at` + 1 of each quant. */
static uint8_t *put_crumbs(uint8_t *out, int32_t r, const uint32_t words[8], int32_t at) {
    for (int32_t h = 0; h < 2; h++) {
        uint32_t plane = 0;
        for (int32_t f = 0; f < 4; f++)
            plane |= (words[4 * h + f] >> at & 0x03030303u) << 2 * f;
        put_word(out, h, r, plane);
    }
    return out + 128;
}

/* Bit `at` of each quant. */
static uint8_t *put_bits(uint8_t *out, int32_t r, const uint32_t words[8], int32_t at) {
    uint32_t plane = 0;
    for (int32_t g = 0; g < 8; g++)
        plane |= (words[g] >> at & 0x01010101u) << g;
    put_word(out, 0, r, plane);
    return out + 64;
}

/* ---- blocks of 32 ---- */

/* Four bits, one per byte, of bits 4g .. 4g + 3. */
static uint32_t spread_bits(uint32_t bits, int32_t g) {
    const uint32_t four = bits >> (4 * g) & 15u;
    return (four | four << 7 | four << 14 | four << 21) & 0x01010101u;
}

static void pack_fifth_bits(uint8_t *out, int32_t r, const uint8_t *high) {
    uint32_t words[8];
    for (int32_t g = 0; g < 8; g++)
        words[g] = spread_bits(load_u32(high), g);
    (void)put_bits(out, r, words, 0);
}

/* ---- blocks of 256 ---- */

/* Words of 256 columns, `bits` bits of them: as packed() in formats.c. */
static void add_packed(uint32_t words[64], const uint8_t *bytes, int32_t bits, int32_t at) {
    const int32_t fields = 8 / bits;
    const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    for (int32_t run = 0; run < 8; run++)
        for (int32_t g = 0; g < 8; g++) {
            const uint32_t four = load_u32(bytes + run / fields * 32 + 4 * g);
            words[8 * run + g] |= (four >> run % fields * bits & mask) << at;
        }
}

static void pack_q2_k(uint8_t *out, int32_t r, const uint8_t *block) {
    uint32_t words[64] = {0};
    add_packed(words, block + 16, 2, 0);
    out = put_values(out, r, block + 80, 2, 2);
    out = put_values(out, r, block, 1, 16);
    for (int32_t b = 0; b < 8; b++)
        out = put_crumbs(out, r, words + 8 * b, 0);
}

static void pack_q3_k(uint8_t *out, int32_t r, const uint8_t *block) {
    uint32_t words[64] = {0};
    add_packed(words, block + 32, 2, 0);
    add_packed(words, block, 1, 2);
    out = put_values(out, r, block + 108, 2, 1);
    out = put_values(out, r, block + 96, 1, 12);
    for (int32_t b = 0; b < 8; b++) {
        out = put_crumbs(out, r, words + 8 * b, 0);
        out = put_bits(out, r, words + 8 * b, 2);
    }
}

static void pack_q4_k(uint8_t *out, int32_t r, const uint8_t *block) {
    uint32_t words[64] = {0};
    add_packed(words, block + 16, 4, 0);
    out = put_values(out, r, block, 2, 2);
    out = put_values(out, r, block + 4, 1, 12);
    for (int32_t b = 0; b < 8; b++)
        out = put_nibbles(out, r, words + 8 * b);
}

static void pack_q5_k(uint8_t *out, int32_t r, const uint8_t *block) {
    uint32_t words[64] = {0};
    add_packed(words, block + 48, 4, 0);
    add_packed(words, block + 16, 1, 4);
    out = put_values(out, r, block, 2, 2);
    out = put_values(out, r, block + 4, 1, 12);
    for (int32_t b = 0; b < 8; b++) {
        out = put_nibbles(out, r, words + 8 * b);
        out = put_bits(out, r, words + 8 * b, 4);
    }
}

/* Low bits: in each half of 128 columns, columns c and c + 64 share a byte. */
static void pack_q6_k(uint8_t *out, int32_t r, const uint8_t *block) {
    uint32_t words[64];
    for (int32_t half = 0; half < 2; half++)
        for (int32_t g = 0; g < 16; g++) {
            const uint32_t both = load_u32(block + 64 * half + 4 * g);
            words[32 * half + g] = both & 0x0f0f0f0fu;
            words[32 * half + 16 + g] = both >> 4 & 0x0f0f0f0fu;
        }
    add_packed(words, block + 128, 2, 4);
    out = put_values(out, r, block + 208, 2, 1);
    out = put_values(out, r, block + 192, 1, 16);
    for (int32_t b = 0; b < 8; b++) {
        out = put_nibbles(out, r, words + 8 * b);
        out = put_crumbs(out, r, words + 8 * b, 4);
    }
}

static void pack_iq4_xs(uint8_t *out, int32_t r, const uint8_t *block) {
    out = put_values(out, r, block, 2, 1);
    out = put_values(out, r, block + 4, 1, 4);
    out = put_values(out, r, block + 2, 1, 2);
    (void)put_groups(out, r, block + 8, 32);
}

static void pack_block(sl__format format, uint8_t *out, int32_t r, const uint8_t *block) {
    switch (format) {
    case SL_FORMAT_Q8_0:
        out = put_values(out, r, block, 2, 1);
        (void)put_groups(out, r, block + 2, 8);
        break;
    case SL_FORMAT_Q4_0:
    case SL_FORMAT_IQ4_NL:
        out = put_values(out, r, block, 2, 1);
        (void)put_groups(out, r, block + 2, 4);
        break;
    case SL_FORMAT_Q4_1:
        out = put_values(out, r, block, 2, 2);
        (void)put_groups(out, r, block + 4, 4);
        break;
    case SL_FORMAT_Q5_0:
        out = put_values(out, r, block, 2, 1);
        out = put_groups(out, r, block + 6, 4);
        pack_fifth_bits(out, r, block + 2);
        break;
    case SL_FORMAT_Q5_1:
        out = put_values(out, r, block, 2, 2);
        out = put_groups(out, r, block + 8, 4);
        pack_fifth_bits(out, r, block + 4);
        break;
    case SL_FORMAT_MXFP4:
        out = put_values(out, r, block, 1, 1);
        (void)put_groups(out, r, block + 1, 4);
        break;
    case SL_FORMAT_Q2_K:
        pack_q2_k(out, r, block);
        break;
    case SL_FORMAT_Q3_K:
        pack_q3_k(out, r, block);
        break;
    case SL_FORMAT_Q4_K:
        pack_q4_k(out, r, block);
        break;
    case SL_FORMAT_Q5_K:
        pack_q5_k(out, r, block);
        break;
    case SL_FORMAT_Q6_K:
        pack_q6_k(out, r, block);
        break;
    case SL_FORMAT_IQ4_XS:
        pack_iq4_xs(out, r, block);
        break;
    default: { /* a code book */
        const size_t bytes = sl__format_row_bytes(format, 256);
        memcpy(out + (size_t)r * bytes, block, bytes);
    }
    }
}

void sl__panel_pack(sl__format format, uint8_t *panel, const uint8_t *rows, int32_t n_rows,
                    int32_t n_in) {
    SL_DCHECK(n_rows >= 1 && n_rows <= SL_PANEL_ROWS);
    const size_t panel_bytes = sl__format_panel_bytes(format, n_in);
    if (n_rows < SL_PANEL_ROWS) memset(panel, 0, panel_bytes);
    const int32_t columns = sl__format_block(format), blocks = n_in / columns;
    const size_t row_bytes = panel_bytes / SL_PANEL_ROWS, bytes = row_bytes / (size_t)blocks;
    if (!sl__format_is_quantised(format)) {
        pack_values(panel, rows, n_rows, n_in, bytes);
        return;
    }
    for (int32_t b = 0; b < blocks; b++)
        for (int32_t r = 0; r < n_rows; r++)
            pack_block(format, panel + (size_t)b * SL_PANEL_ROWS * bytes, r,
                       rows + (size_t)r * row_bytes + (size_t)b * bytes);
}

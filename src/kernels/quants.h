/* quants.h - what the products of all tables share about quantised formats.
 *
 * Private to src/kernels. Everything here is a constant or static inline: the files that
 * include it are compiled for different instruction sets. */
#ifndef SL_QUANTS_H
#define SL_QUANTS_H

#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

/* Where things lie in the panel of one block of the file (16 rows), see panel.h. */
typedef struct sl__layout {
    int16_t columns; /* 32 or 256                                                */
    int16_t head;    /* bytes of scales                                          */
    int16_t quants;  /* bytes of the planes of 32 columns                        */
    int16_t bias;    /* a stored quant q (or table value) means q - bias         */
} sl__layout;

static const sl__layout sl__layouts[SL_FORMATS] = {
    [SL_FORMAT_Q8_0] = {32, 32, 512, 128}, /* after its sign bit is flipped */
    [SL_FORMAT_Q4_0] = {32, 32, 256, 8},
    [SL_FORMAT_Q4_1] = {32, 64, 256, 0},
    [SL_FORMAT_Q5_0] = {32, 32, 320, 16},
    [SL_FORMAT_Q5_1] = {32, 64, 320, 0},
    [SL_FORMAT_IQ4_NL] = {32, 32, 256, 128}, /* the table below */
    [SL_FORMAT_MXFP4] = {32, 16, 256, 12},   /* the table below */
    [SL_FORMAT_Q2_K] = {256, 320, 128, 0},
    [SL_FORMAT_Q3_K] = {256, 224, 192, 4},
    [SL_FORMAT_Q4_K] = {256, 256, 256, 0},
    [SL_FORMAT_Q5_K] = {256, 256, 320, 0},
    [SL_FORMAT_Q6_K] = {256, 288, 384, 32},
    [SL_FORMAT_IQ4_XS] = {256, 128, 256, 128},
/* Code books (grid_quants.h): the whole block is what scales it, 64 the bias. */
#define X(NAME, name, columns, bytes)                                                              \
    [SL_FORMAT_##NAME] = {columns, SL_PANEL_ROWS * (bytes), 0, 64},
    SL_GRID_FORMATS(X)
#undef X
};

/* Values of the sixteen nibbles. MXFP4's are twice those of its E2M1 numbers. */
#define SL_IQ4_NL_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define SL_MXFP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* Formats with minima: a number is scale * quant - min. */
static inline int sl__format_has_min(sl__format f) {
    return f == SL_FORMAT_Q4_1 || f == SL_FORMAT_Q5_1 || f == SL_FORMAT_Q2_K ||
           f == SL_FORMAT_Q4_K || f == SL_FORMAT_Q5_K;
}

/* Formats with code books. */
static inline int sl__format_has_grid(sl__format f) {
#define X(NAME, name, columns, bytes) f == SL_FORMAT_##NAME ||
    return SL_GRID_FORMATS(X) 0;
#undef X
}

/* Formats with two sub-scales per 32 columns. */
static inline int sl__format_has_halves(sl__format f) {
    return f == SL_FORMAT_Q2_K || f == SL_FORMAT_Q3_K || f == SL_FORMAT_Q6_K ||
           sl__format_has_grid(f);
}

/* ---- sub-scales of a block of 256 columns ---- */

/* [sub-block of 32 or 16 columns][16 rows] */
typedef struct sl__sub_scales {
    int8_t scale[16 * SL_PANEL_ROWS], min[16 * SL_PANEL_ROWS];
} sl__sub_scales;

/* From twelve bytes per row: scales and minima of eight, six bits each. */
static inline void sl__unpack_q4_k(sl__sub_scales *restrict out, const uint8_t *restrict p) {
    for (int i = 0; i < 64; i++) {
        const uint8_t scale = p[i], min = p[64 + i], low = p[128 + i];
        out->scale[i] = (int8_t)(scale & 63);
        out->min[i] = (int8_t)(min & 63);
        out->scale[64 + i] = (int8_t)((low & 15) | (scale >> 6) << 4);
        out->min[64 + i] = (int8_t)(low >> 4 | (min >> 6) << 4);
    }
}

/* From twelve bytes per row: sixteen scales of six bits. */
static inline void sl__unpack_q3_k(sl__sub_scales *restrict out, const uint8_t *restrict p) {
    for (int i = 0; i < 64; i++) {
        const uint8_t a = p[i], b = p[64 + i], high = p[128 + i];
        out->scale[i] = (int8_t)(((a & 15) | (high & 3) << 4) - 32);
        out->scale[64 + i] = (int8_t)(((b & 15) | (high >> 2 & 3) << 4) - 32);
        out->scale[128 + i] = (int8_t)((a >> 4 | (high >> 4 & 3) << 4) - 32);
        out->scale[192 + i] = (int8_t)((b >> 4 | (high >> 6) << 4) - 32);
    }
}

static inline void sl__unpack_q2_k(sl__sub_scales *restrict out, const uint8_t *restrict p) {
    for (int i = 0; i < 256; i++) {
        out->scale[i] = (int8_t)(p[i] & 15);
        out->min[i] = (int8_t)(p[i] >> 4);
    }
}

/* From four bytes of low bits and two of high ones per row: eight scales. */
static inline void sl__unpack_iq4_xs(sl__sub_scales *restrict out, const uint8_t *restrict p) {
    for (int s = 0; s < 8; s++) {
        const uint8_t *low = p + 16 * (s / 2), *high = p + 64 + 16 * (s / 4);
        for (int j = 0; j < SL_PANEL_ROWS; j++)
            out->scale[16 * s + j] =
                (int8_t)(((low[j] >> 4 * (s & 1) & 15) | (high[j] >> 2 * (s & 3) & 3) << 4) - 32);
    }
}

static inline void sl__unpack_scales(sl__format f, sl__sub_scales *out, const uint8_t *unit) {
    if (f == SL_FORMAT_Q4_K || f == SL_FORMAT_Q5_K) sl__unpack_q4_k(out, unit + 64);
    if (f == SL_FORMAT_Q3_K) sl__unpack_q3_k(out, unit + 32);
    if (f == SL_FORMAT_Q2_K) sl__unpack_q2_k(out, unit + 64);
    if (f == SL_FORMAT_Q6_K) memcpy(out->scale, unit + 32, sizeof out->scale);
    if (f == SL_FORMAT_IQ4_XS) sl__unpack_iq4_xs(out, unit + 32);
}

/* ---- the products of each table ---- */

#define X(NAME, name, columns, bytes)                                                              \
    sl__matmul_fn sl__matmul_##name##_scalar, sl__matmul_##name##_avx2,                            \
        sl__matmul_##name##_avx2_asking, sl__matmul_##name##_avxvnni,                              \
        sl__matmul_##name##_avxvnni_asking, sl__matmul_##name##_avxvnni_vl,                        \
        sl__matmul_##name##_avxvnni_vl_asking, sl__matmul_##name##_avx512,                         \
        sl__matmul_##name##_avx512_asking, sl__matmul_##name##_neon;
SL_QUANT_FORMATS(X)
#undef X

#endif

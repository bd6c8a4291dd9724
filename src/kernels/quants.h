/* quants.h - what the products of all tables share about quantised formats.
 *
 * Private to src/kernels. Everything here is a constant or static inline: the files that
 * include it are compiled for different instruction sets. */
#ifndef SL_QUANTS_H
#define SL_QUANTS_H

#include <stdint.h>

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
    [SL_FORMAT_Q4_0] = {32, 32, 256, 8},     [SL_FORMAT_Q4_1] = {32, 64, 256, 0},
    [SL_FORMAT_Q5_0] = {32, 32, 320, 16},    [SL_FORMAT_Q5_1] = {32, 64, 320, 0},
    [SL_FORMAT_IQ4_NL] = {32, 32, 256, 128}, /* the table below */
    [SL_FORMAT_MXFP4] = {32, 16, 256, 12},   /* the table below */
};

/* Values of the sixteen nibbles. MXFP4's are twice those of its E2M1 numbers. */
#define SL_IQ4_NL_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define SL_MXFP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* Formats whose blocks have a minimum: a number is scale * quant - min. */
static inline int sl__format_has_min(sl__format f) {
    return f == SL_FORMAT_Q4_1 || f == SL_FORMAT_Q5_1;
}

/* ---- the products of each table ---- */

#define X(NAME, name, columns, bytes)                                                              \
    sl__matmul_fn sl__matmul_##name##_scalar, sl__matmul_##name##_avx2, sl__matmul_##name##_avx512;
SL_QUANT_FORMATS(X)
#undef X

#endif

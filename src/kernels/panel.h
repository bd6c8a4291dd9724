/* panel.h - weight formats, and the panel: the one layout kernels read.
 *
 * A matrix of n_out rows by n_in columns is cut into panels of 16 output rows. A
 * panel holds its columns in order, the 16 rows side by side, so that one vector
 * register holds the same column (or four columns) of 16 outputs and every output
 * sums its products in column order: no horizontal sums, and the same bits on every
 * instruction set.
 *
 * Float formats: per column, 16 values. Quantised formats: per block of the file (32 or
 * 256 columns), first what scales it, 16 rows side by side, then per 32 columns the
 * quants in planes. A plane is a run of groups, a group is [16 rows][4 bytes]:
 *
 *     bytes    8 groups: byte j of group g is column 4g + j
 *     nibbles  4 groups: byte j of group g: columns 4g + j (low) and 16 + 4g + j (high)
 *     crumbs   2 groups: byte j of group h: columns 16h + 4f + j in bits 2f, 2f + 1
 *     bits     1 group:  byte j: columns 4f + j in bit f
 *
 *              columns  scales, 16 rows side by side                 quants
 *     Q8_0       32     half d                                       bytes
 *     Q4_0       32     half d                                       nibbles
 *     Q4_1       32     half d | half m                              nibbles
 *     Q5_0       32     half d                                       nibbles, bits
 *     Q5_1       32     half d | half m                              nibbles, bits
 *     IQ4_NL     32     half d                                       nibbles
 *     MXFP4      32     byte e                                       nibbles
 *     Q2_K      256     half d | half dmin | 16 bytes                crumbs
 *     Q3_K      256     half d | 12 bytes                            crumbs, bits
 *     Q4_K      256     half d | half dmin | 12 bytes                nibbles
 *     Q5_K      256     half d | half dmin | 12 bytes                nibbles, bits
 *     Q6_K      256     half d | 16 bytes                            nibbles, crumbs
 *     IQ4_XS    256     half d | 4 bytes (low) | 2 bytes (high)      nibbles
 *
 * IQ2 and IQ3 formats: per block of the file, the 16 rows' blocks one after another.
 *
 * INT8 is no file's: 16 plain numbers a column, for the values of the cache (model/kv.h).
 *
 * What the numbers mean is said in docs/numbers.md. A panel takes exactly the bytes its
 * 16 rows take in the file. Rows missing from the last panel are zero bytes. */
#ifndef SL_PANEL_H
#define SL_PANEL_H

#include <stddef.h>
#include <stdint.h>

#define SL_PANEL_ROWS 16
#define SL_Q_BLOCK 32 /* columns of a block of activations */

/* X(NAME, name, columns, bytes): a file's block, by the names of its tensor types. */
#define SL_FLOAT_FORMATS(X)                                                                        \
    X(F32, f32, 1, 4)                                                                              \
    X(F16, f16, 1, 2)                                                                              \
    X(BF16, bf16, 1, 2)
#define SL_GRID_FORMATS(X)                                                                         \
    X(IQ2_XXS, iq2_xxs, 256, 66)                                                                   \
    X(IQ2_XS, iq2_xs, 256, 74)                                                                     \
    X(IQ2_S, iq2_s, 256, 82)                                                                       \
    X(IQ3_XXS, iq3_xxs, 256, 98)                                                                   \
    X(IQ3_S, iq3_s, 256, 110)
#define SL_PLANE_FORMATS(X)                                                                        \
    X(Q8_0, q8_0, 32, 34)                                                                          \
    X(Q4_0, q4_0, 32, 18)                                                                          \
    X(Q4_1, q4_1, 32, 20)                                                                          \
    X(Q5_0, q5_0, 32, 22)                                                                          \
    X(Q5_1, q5_1, 32, 24)                                                                          \
    X(IQ4_NL, iq4_nl, 32, 18)                                                                      \
    X(MXFP4, mxfp4, 32, 17)                                                                        \
    X(Q2_K, q2_k, 256, 84)                                                                         \
    X(Q3_K, q3_k, 256, 110)                                                                        \
    X(Q4_K, q4_k, 256, 144)                                                                        \
    X(Q5_K, q5_k, 256, 176)                                                                        \
    X(Q6_K, q6_k, 256, 210)                                                                        \
    X(IQ4_XS, iq4_xs, 256, 136)
#define SL_QUANT_FORMATS(X) SL_PLANE_FORMATS(X) SL_GRID_FORMATS(X)
#define SL_FORMAT_MAP(X) SL_FLOAT_FORMATS(X) SL_QUANT_FORMATS(X)

typedef enum sl__format {
#define X(NAME, name, columns, bytes) SL_FORMAT_##NAME,
    SL_FORMAT_MAP(X)
#undef X
        SL_FORMAT_INT8
} sl__format;
enum {
    SL_FORMATS = SL_FORMAT_INT8, /* of files */
    SL_PANEL_FORMATS             /* and INT8 */
};

/* "Q8_0" */
const char *sl__format_name(sl__format format);

/* What a product with this format multiplies by: float rows, or rows quantised to
 * 8 bits in blocks of 32 (act.h). */
int sl__format_is_quantised(sl__format format);

/* Columns per block (1, 32 or 256); n_in must be a multiple. */
int32_t sl__format_block(sl__format format);

/* Bytes of one row, and of one panel of 16 rows, with n_in columns. */
size_t sl__format_row_bytes(sl__format format, int32_t n_in);
size_t sl__format_panel_bytes(sl__format format, int32_t n_in);

/* Write the panel of n_rows (1 .. 16) rows that lie row_bytes apart, as in a file.
 * panel [sl__format_panel_bytes], any alignment on both sides. */
void sl__panel_pack(sl__format format, uint8_t *panel, const uint8_t *rows, int32_t n_rows,
                    int32_t n_in);

/* One row as stored in a file, to floats: out [n_in]. */
void sl__row_to_float(sl__format format, float *out, const uint8_t *row, int32_t n_in);

/* First block of such a row with a scale (d, m or dmin) that is infinite or NaN, as which
 * MXFP4's exponent 255 counts (OCP MX 1.0, 5.4.1); or -1. Float formats have no scales: -1. */
int32_t sl__row_bad_scale(sl__format format, const uint8_t *row, int32_t n_in);

#endif

/* panel.h - weight formats, and the panel: the one layout kernels read.
 *
 * A matrix of n_out rows by n_in columns is cut into panels of 16 output rows. A
 * panel holds its columns in order, the 16 rows side by side, so that one vector
 * register holds the same column (or four columns) of 16 outputs and every output
 * sums its products in column order: no horizontal sums, and the same bits on every
 * instruction set.
 *
 *     F32, F16, BF16  per column:        16 values
 *     Q8_0            per 32 columns:    16 half scales, then 8 groups of [16 rows][4 bytes]
 *     Q4_0            per 32 columns:    16 half scales, then 4 groups of [16 rows][4 bytes];
 *                                        byte j of group g: columns 4g + j (low nibble)
 *                                        and 16 + 4g + j (high nibble)
 *
 * A panel takes exactly the bytes its 16 rows take in the file. Rows missing from the
 * last panel are zero. */
#ifndef SL_PANEL_H
#define SL_PANEL_H

#include <stddef.h>
#include <stdint.h>

#define SL_PANEL_ROWS 16
#define SL_Q_BLOCK 32 /* columns that share a scale, in weights and in activations */

typedef enum sl__format {
    SL_FORMAT_F32,
    SL_FORMAT_F16,
    SL_FORMAT_BF16,
    SL_FORMAT_Q8_0,
    SL_FORMAT_Q4_0,
} sl__format;
enum { SL_FORMATS = SL_FORMAT_Q4_0 + 1 };

/* What a product with this format multiplies by: float rows, or rows quantised to
 * 8 bits in blocks of 32 (act.h). */
int sl__format_is_quantised(sl__format format);

/* Columns per block (1 or 32); n_in must be a multiple. */
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

#endif

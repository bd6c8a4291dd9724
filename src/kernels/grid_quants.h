/* grid_quants.h - the IQ2 and IQ3 formats: eight numbers are an entry of a code book and
 * eight signs.
 *
 * Private to src/kernels. Their panels are the 16 rows' blocks one after another, and
 * every table multiplies what this decodes from them: a panel of bytes with sub-scales
 * per 16 columns, small enough for the first-level cache. */
#ifndef SL_GRID_QUANTS_H
#define SL_GRID_QUANTS_H

#include "kernels/quants.h"

extern const uint64_t sl__grid_iq2_xxs[256], sl__grid_iq2_xs[512], sl__grid_iq2_s[1024];
extern const uint32_t sl__grid_iq3_xxs[256], sl__grid_iq3_s[512];
extern const uint8_t sl__grid_signs[128];  /* seven stored signs: all eight */
extern const uint64_t sl__grid_masks[256]; /* eight signs: 0xff bytes where negative */

/* One block of 256 numbers: number c is d * scale[c / 16] * (+-) byte c % 8 of
 * magnitudes[c / 8], negative if bit c % 8 of signs[c / 8] is set. */
typedef struct sl__grid_block {
    uint64_t magnitudes[32]; /* each 1 .. 62 */
    uint8_t signs[32];
    int8_t scale[16]; /* odd, 1 .. 31 */
    float d;
} sl__grid_block;

void sl__grid_block_decode(sl__format format, sl__grid_block *out, const uint8_t *block);

enum { SL_GRID_BIAS = 64 };

/* The panel of a block of the file: eight planes of bytes (panel.h), 64 more than what
 * they mean, and what scales them. */
typedef struct sl__grid_unit {
    uint8_t quants[8 * 512];
    sl__sub_scales sub;
    float d[SL_PANEL_ROWS];
} sl__grid_unit;

void sl__grid_unit_decode(sl__format format, sl__grid_unit *out, const uint8_t *unit);

#endif

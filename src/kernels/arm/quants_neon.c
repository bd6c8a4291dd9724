/* quants_neon.c - products with quantised weights, NEON with dot product: a register holds
 * four columns of four outputs, a quarter of a panel.
 *
 * Part of the table in kernels_neon.c, built with its flags. The order of operations is
 * quants_scalar.c's. SDOT multiplies signed by signed bytes and sums four columns of each
 * output in 32 bits, which is what a group of a panel is made for: quants become what they
 * mean as they are decoded, and no bias is left to take out. */
#include "kernels/grid_quants.h"

#include <arm_neon.h>

#include "base/base.h"
#include "kernels/walk.h"

/* Stands for all formats with code books once they are decoded. */
#define GRID SL_FORMAT_IQ2_XXS

enum { QUARTER = 4, QUARTERS = SL_PANEL_ROWS / QUARTER, GROUPS = SL_Q_BLOCK / 4 };

/* ---- quants: group g (columns 4g .. 4g + 3) of a block, a quarter of a panel ---- */

ALWAYS_INLINE uint8x16_t shift_right(uint8x16_t v, const int n) {
    return vshlq_u8(v, vdupq_n_s8((int8_t)-n));
}

ALWAYS_INLINE uint8x16_t shift_left(uint8x16_t v, const int n) {
    return vshlq_u8(v, vdupq_n_s8((int8_t)n));
}

ALWAYS_INLINE uint8x16_t nibbles(const uint8_t *plane, const int g) {
    const uint8x16_t both = vld1q_u8(plane + 64 * (g & 3));
    return g < 4 ? vandq_u8(both, vdupq_n_u8(15)) : shift_right(both, 4);
}

ALWAYS_INLINE uint8x16_t crumbs(const uint8_t *plane, const int g) {
    return vandq_u8(shift_right(vld1q_u8(plane + 64 * (g / 4)), 2 * (g % 4)), vdupq_n_u8(3));
}

ALWAYS_INLINE uint8x16_t bits(const uint8_t *plane, const int g) {
    return vandq_u8(shift_right(vld1q_u8(plane), g), vdupq_n_u8(1));
}

ALWAYS_INLINE int8x16_t without(uint8x16_t v, const int bias) {
    return vsubq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8((int8_t)bias));
}

ALWAYS_INLINE int8x16_t look_up(const int8_t *values, uint8x16_t indices) {
    return vqtbl1q_s8(vld1q_s8(values), indices);
}

ALWAYS_INLINE int8x16_t group(const sl__format f, const uint8_t *q, const int g) {
    static const int8_t iq4_nl[16] = {SL_IQ4_NL_VALUES}, mxfp4[16] = {SL_MXFP4_VALUES};
    switch (f) {
    case SL_FORMAT_Q8_0:
        return vld1q_s8((const int8_t *)q + 64 * g);
    case GRID:
        return without(vld1q_u8(q + 64 * g), SL_GRID_BIAS);
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_Q5_K:
        return without(vorrq_u8(nibbles(q, g), shift_left(bits(q + 256, g), 4)),
                       sl__layouts[f].bias);
    case SL_FORMAT_Q2_K:
        return vreinterpretq_s8_u8(crumbs(q, g));
    case SL_FORMAT_Q3_K:
        return without(vorrq_u8(crumbs(q, g), shift_left(bits(q + 128, g), 2)),
                       sl__layouts[f].bias);
    case SL_FORMAT_Q6_K:
        return without(vorrq_u8(nibbles(q, g), shift_left(crumbs(q + 256, g), 4)),
                       sl__layouts[f].bias);
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
        return look_up(iq4_nl, nibbles(q, g));
    case SL_FORMAT_MXFP4:
        return look_up(mxfp4, nibbles(q, g));
    default:
        return without(nibbles(q, g), sl__layouts[f].bias);
    }
}

/* ---- scales ---- */

ALWAYS_INLINE float32x4_t load_halves(const uint8_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* 2^(e - 128), as sl__e8m0_half_to_float(). */
ALWAYS_INLINE float32x4_t load_exponents(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const uint16x8_t wide = vmovl_u8(vcreate_u8(four));
    const int32x4_t e = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
    const int32x4_t normal = vshlq_n_s32(vsubq_s32(e, vdupq_n_s32(1)), 23);
    const int32x4_t tiny = vshlq_s32(vdupq_n_s32(0x00200000), e);
    return vreinterpretq_f32_s32(vbslq_s32(vcltq_s32(e, vdupq_n_s32(2)), tiny, normal));
}

ALWAYS_INLINE int32x4_t load_sub(const int8_t *sub, int32_t i, int quarter) {
    uint32_t four;
    memcpy(&four, sub + i * SL_PANEL_ROWS + QUARTER * quarter, sizeof four);
    return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four))));
}

/* What scales a unit (a block of the file), four outputs at a time. */
typedef struct unit_scales {
    float32x4_t d[QUARTERS], min[QUARTERS];
    const sl__sub_scales *sub;
} unit_scales;

ALWAYS_INLINE void load_unit(const sl__format f, unit_scales *u, const uint8_t *unit) {
    for (int quarter = 0; quarter < QUARTERS; quarter++) {
        u->d[quarter] = f == SL_FORMAT_MXFP4 ? load_exponents(unit + QUARTER * quarter)
                                             : load_halves(unit + 2 * QUARTER * quarter);
        u->min[quarter] = sl__format_has_min(f) ? load_halves(unit + 32 + 2 * QUARTER * quarter)
                                                : vdupq_n_f32(0.0f);
        if (sl__layouts[f].columns == SL_Q_BLOCK) /* these files hold what is added */
            u->min[quarter] = vnegq_f32(u->min[quarter]);
    }
}

/* What scales a quarter of a panel of block s of a unit. */
typedef struct block_scales {
    float32x4_t scale, min;
    int32x4_t sub[2], sub_min[2]; /* of each half of the columns, in formats with halves */
} block_scales;

ALWAYS_INLINE void load_block(const sl__format f, block_scales *out, const unit_scales *u,
                              int32_t s, int quarter) {
    out->scale = u->d[quarter];
    out->min = u->min[quarter];
    if (sl__format_has_halves(f)) {
        for (int h = 0; h < 2; h++) {
            out->sub[h] = load_sub(u->sub->scale, 2 * s + h, quarter);
            if (sl__format_has_min(f)) out->sub_min[h] = load_sub(u->sub->min, 2 * s + h, quarter);
        }
    } else if (sl__layouts[f].columns > SL_Q_BLOCK) {
        out->scale = vmulq_f32(out->scale, vcvtq_f32_s32(load_sub(u->sub->scale, s, quarter)));
        if (sl__format_has_min(f))
            out->min = vmulq_f32(out->min, vcvtq_f32_s32(load_sub(u->sub->min, s, quarter)));
    }
}

/* ---- products ---- */

/* Columns 16 h .. 16 h + 15 of a block. */
ALWAYS_INLINE int32x4_t dot_half(int32x4_t sum, const int8x16_t *w, const int8_t *x) {
    const int8x16_t columns = vld1q_s8(x);
    sum = vdotq_laneq_s32(sum, w[0], columns, 0);
    sum = vdotq_laneq_s32(sum, w[1], columns, 1);
    sum = vdotq_laneq_s32(sum, w[2], columns, 2);
    return vdotq_laneq_s32(sum, w[3], columns, 3);
}

ALWAYS_INLINE void multiply_block(const sl__format f, const int n, float32x4_t *acc,
                                  const uint8_t *q, const block_scales *s, const act_rows *a,
                                  int32_t b) {
    const int32x4_t zero = vdupq_n_s32(0);
    int8x16_t w[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        w[g] = group(f, q, g);
    for (int r = 0; r < n; r++) {
        const int8_t *x = a->q[r] + b * SL_Q_BLOCK;
        const float row_scale = a->scales[r][b];
        const float32x4_t scale = vmulq_n_f32(s->scale, row_scale);
        if (!sl__format_has_halves(f)) {
            const int32x4_t dots = dot_half(dot_half(zero, w, x), w + 4, x + 16);
            acc[r] = vfmaq_f32(acc[r], vcvtq_f32_s32(dots), scale);
            if (sl__format_has_min(f)) acc[r] = vfmaq_n_f32(acc[r], s->min, a->shifts[r][b]);
            continue;
        }
        const int32x4_t dots = vmlaq_s32(vmulq_s32(dot_half(zero, w, x), s->sub[0]),
                                         dot_half(zero, w + 4, x + 16), s->sub[1]);
        acc[r] = vfmaq_f32(acc[r], vcvtq_f32_s32(dots), scale);
        if (!sl__format_has_min(f)) continue;
        const int16_t *minus_sums = a->minus_sums[r] + 2 * b;
        const int32x4_t mins =
            vmlaq_n_s32(vmulq_n_s32(s->sub_min[0], minus_sums[0]), s->sub_min[1], minus_sums[1]);
        acc[r] = vfmaq_f32(acc[r], vcvtq_f32_s32(mins), vmulq_n_f32(s->min, row_scale));
    }
}

/* f is constant where this is compiled, also for the code books, which share one. */
ALWAYS_INLINE void multiply(const sl__format f, sl__format file_format, const int n,
                            const uint8_t *panels, int32_t n_in, int32_t n_panels,
                            const void *const *x, float *const *y, int32_t at) {
    const sl__layout l = sl__layouts[f];
    act_rows a;
    act_rows_of(&a, x, n_in, n);
    const uint8_t *unit = panels;
    sl__grid_unit grid;
    sl__sub_scales sub;
    unit_scales u = {.sub = f == GRID ? &grid.sub : &sub};
    for (int32_t p = 0; p < n_panels; p++) {
        float32x4_t acc[QUARTERS][SL_KERNEL_ROWS];
        for (int quarter = 0; quarter < QUARTERS; quarter++)
            for (int r = 0; r < n; r++)
                acc[quarter][r] = vdupq_n_f32(0.0f);
        for (int32_t b = 0; b < n_in / SL_Q_BLOCK;) {
            prefetch(walk_of(false, n), unit, sl__layouts[file_format].head);
            if (f == GRID) {
                sl__grid_unit_decode(file_format, &grid, unit);
                for (int quarter = 0; quarter < QUARTERS; quarter++)
                    u.d[quarter] = vld1q_f32(grid.d + QUARTER * quarter);
            } else {
                load_unit(f, &u, unit);
                if (l.columns > SL_Q_BLOCK) sl__unpack_scales(f, &sub, unit);
            }
            unit += sl__layouts[file_format].head;
            for (int32_t s = 0; s < l.columns / SL_Q_BLOCK; s++, b++, unit += l.quants) {
                const uint8_t *quants = f == GRID ? grid.quants + 512 * s : unit;
                prefetch(walk_of(false, n), unit, l.quants);
                for (int quarter = 0; quarter < QUARTERS; quarter++) {
                    block_scales scales;
                    load_block(f, &scales, &u, s, quarter);
                    multiply_block(f, n, acc[quarter], quants + 16 * quarter, &scales, &a, b);
                }
            }
        }
        for (int quarter = 0; quarter < QUARTERS; quarter++)
            for (int r = 0; r < n; r++)
                vst1q_f32(y[r] + at + p * SL_PANEL_ROWS + QUARTER * quarter, acc[quarter][r]);
    }
}

ALWAYS_INLINE void matmul(const sl__format f, const int n, const uint8_t *panels, int32_t n_in,
                          int32_t n_panels, const void *const *x, float *const *y, int32_t at) {
    multiply(f, f, n, panels, n_in, n_panels, x, y, at);
}

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_neon, matmul, SL_FORMAT_##NAME)
SL_PLANE_FORMATS(X)
#undef X

GRID_PRODUCTS

#define X(NAME, name, columns, bytes)                                                              \
    MATMUL(void, sl__matmul_##name##_neon, matmul_grid, SL_FORMAT_##NAME)
SL_GRID_FORMATS(X)
#undef X

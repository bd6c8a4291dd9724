/* quants_256.h - weights and activations as products in registers of 256 bits see them: four
 * columns of eight outputs, half a panel.
 *
 * Private to the tables for AVX2 and AVX-VNNI, which share their source. Each includes this,
 * says how bytes are multiplied (block_dots), then includes products_256.h:
 *
 *     SIGNED_BYTES      1: quants of eight bits keep their sign, 0: all are unsigned
 *     KEEP_SUB(sub)     the form in which block_dots wants sub-scales, eight int32 */
#ifndef SL_QUANTS_256_H
#define SL_QUANTS_256_H

#include "kernels/grid_quants.h"

#include <immintrin.h>
#include <stdbool.h>

#include "base/base.h"
#include "kernels/walk.h"

/* Stands for all formats with code books once they are decoded. */
#define GRID SL_FORMAT_IQ2_XXS

enum {
    HALF = 8, /* outputs in one register */
    TILE_ROWS = 4,
    CHUNK_BLOCKS = 8, /* of 32 columns */
};

/* Every loop over rows, halves and groups. Left to itself gcc keeps some as loops. */
#define UNROLL _Pragma("GCC unroll 8")

/* Eight sums fit into registers and leave room for what they are made of, if the compiler
 * neither adds the products of all groups in a tree, as gcc does, nor keeps the float sums of
 * a tile in registers as well. */
#define IN_ORDER(v) __asm__("" : "+x"(v))
#define IN_MEMORY(v) __asm__("" : "+m"(v))
#define FORGET(offset) __asm__("" : "+r"(offset)) /* what was loaded from there */

/* ---- quants: group g (columns 4g .. 4g + 3) of a block, half a panel ---- */

ALWAYS_INLINE __m256i load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

ALWAYS_INLINE __m256i nibbles(const uint8_t *plane, const int g) {
    const __m256i both = load(plane + 64 * (g & 3));
    return _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
}

/* Crumb of group g, as bits `at`, `at` + 1. */
ALWAYS_INLINE __m256i crumbs(const uint8_t *plane, const int g, const int at) {
    const __m256i all = load(plane + 64 * (g / 4));
    const int down = 2 * (g % 4) - at;
    return _mm256_and_si256(down >= 0 ? _mm256_srli_epi16(all, down)
                                      : _mm256_slli_epi16(all, -down),
                            _mm256_set1_epi8((char)(3 << at)));
}

/* Bit g of the plane's bytes, as bit `at`. */
ALWAYS_INLINE __m256i bits(const uint8_t *plane, const int g, const int at) {
    const __m256i all = load(plane);
    return _mm256_and_si256(at >= g ? _mm256_slli_epi16(all, at - g)
                                    : _mm256_srli_epi16(all, g - at),
                            _mm256_set1_epi8((char)(1 << at)));
}

/* Formats whose quants keep a sign, instead of a bias. */
ALWAYS_INLINE int is_signed(const sl__format f) {
    return SIGNED_BYTES && sl__layouts[f].bias == 128;
}

ALWAYS_INLINE int bias_of(const sl__format f) {
    return is_signed(f) ? 0 : sl__layouts[f].bias;
}

ALWAYS_INLINE __m256i group(const sl__format f, const uint8_t *q, const int g) {
    const __m128i bias = _mm_set1_epi8((char)bias_of(f));
    const __m128i iq4_nl = _mm_add_epi8(_mm_setr_epi8(SL_IQ4_NL_VALUES), bias);
    const __m128i mxfp4 = _mm_add_epi8(_mm_setr_epi8(SL_MXFP4_VALUES), bias);
    switch (f) {
    case SL_FORMAT_Q8_0:
        return _mm256_xor_si256(load(q + 64 * g), _mm256_set1_epi8((char)bias_of(f)));
    case SL_FORMAT_Q5_0:
    case SL_FORMAT_Q5_1:
    case SL_FORMAT_Q5_K:
        return _mm256_or_si256(nibbles(q, g), bits(q + 256, g, 4));
    case SL_FORMAT_Q2_K:
        return crumbs(q, g, 0);
    case SL_FORMAT_Q3_K:
        return _mm256_or_si256(crumbs(q, g, 0), bits(q + 128, g, 2));
    case SL_FORMAT_Q6_K:
        return _mm256_or_si256(nibbles(q, g), crumbs(q + 256, g, 4));
    case SL_FORMAT_IQ4_NL:
    case SL_FORMAT_IQ4_XS:
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(iq4_nl), nibbles(q, g));
    case SL_FORMAT_MXFP4:
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(mxfp4), nibbles(q, g));
    default:
        return nibbles(q, g);
    }
}

/* ---- chunks ---- */

/* What scales up to 256 columns of a panel, per block and output, and their quants. */
typedef struct chunk {
    float scale[CHUNK_BLOCKS][SL_PANEL_ROWS], min[CHUNK_BLOCKS][SL_PANEL_ROWS];
    int32_t sub[CHUNK_BLOCKS][2][SL_PANEL_ROWS]; /* sub-scales of both halves of a block  */
    int32_t biases[CHUNK_BLOCKS][SL_PANEL_ROWS]; /* pairs, for the row's two minus_sums   */
    int32_t mins[CHUNK_BLOCKS][SL_PANEL_ROWS];   /* pairs                                 */
    int32_t bias;                                /* a pair of biases                      */
    int32_t n_blocks, stride;                    /* bytes from block to block             */
    bool fresh;                                  /* no tile has been multiplied yet       */
    walk_kind kind;
    const uint8_t *quants; /* planes of the panel, or bytes         */
    sl__grid_unit unit;    /* its quants are the bytes              */
} chunk;

ALWAYS_INLINE __m256 load_halves(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* 2^(e - 128), as sl__e8m0_half_to_float(). */
ALWAYS_INLINE __m256 load_exponents(const uint8_t *p) {
    const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
}

ALWAYS_INLINE __m256i load_sub(const int8_t *sub, int32_t i, int half) {
    return _mm256_cvtepi8_epi32(
        _mm_loadl_epi64((const __m128i *)(sub + i * SL_PANEL_ROWS + HALF * half)));
}

/* Two integers per lane as two halves of it. */
ALWAYS_INLINE __m256i pair(__m256i low, __m256i high) {
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}

ALWAYS_INLINE void store(void *p, __m256i v) {
    _mm256_storeu_si256((__m256i *)p, v);
}

/* Block b, in formats whose blocks have a scale, and perhaps a summand, of their own. */
ALWAYS_INLINE void load_block(const sl__format f, chunk *c, int32_t b) {
    const uint8_t *unit = c->quants + b * c->stride - sl__layouts[f].head;
    UNROLL
    for (int half = 0; half < 2; half++) {
        const __m256 d = f == SL_FORMAT_MXFP4 ? load_exponents(unit + HALF * half)
                                              : load_halves(unit + 2 * HALF * half);
        _mm256_storeu_ps(c->scale[b] + HALF * half, d);
        if (sl__format_has_min(f)) /* the sign: these files hold what is added */
            _mm256_storeu_ps(
                c->min[b] + HALF * half,
                _mm256_xor_ps(load_halves(unit + 32 + 2 * HALF * half), _mm256_set1_ps(-0.0f)));
    }
}

/* Eight blocks under one scale: half a panel, from sub-scales in bytes. */
ALWAYS_INLINE void load_sub_scales(const sl__format f, chunk *c, const sl__sub_scales *sub,
                                   __m256 d, __m256 dmin, const int half) {
    const int at = HALF * half;
    for (int32_t b = 0; b < CHUNK_BLOCKS; b++) {
        if (!sl__format_has_halves(f)) {
            const __m256 s = _mm256_cvtepi32_ps(load_sub(sub->scale, b, half));
            _mm256_storeu_ps(c->scale[b] + at, _mm256_mul_ps(d, s));
            if (!sl__format_has_min(f)) continue;
            const __m256 m = _mm256_cvtepi32_ps(load_sub(sub->min, b, half));
            _mm256_storeu_ps(c->min[b] + at, _mm256_mul_ps(dmin, m));
            continue;
        }
        const __m256i sub0 = load_sub(sub->scale, 2 * b, half);
        const __m256i sub1 = load_sub(sub->scale, 2 * b + 1, half);
        _mm256_storeu_ps(c->scale[b] + at, d);
        store(c->sub[b][0] + at, KEEP_SUB(sub0));
        store(c->sub[b][1] + at, KEEP_SUB(sub1));
        if (bias_of(f))
            store(c->biases[b] + at,
                  _mm256_mullo_epi16(_mm256_set1_epi16((short)bias_of(f)), pair(sub0, sub1)));
        if (!sl__format_has_min(f)) continue;
        _mm256_storeu_ps(c->min[b] + at, dmin);
        store(c->mins[b] + at,
              pair(load_sub(sub->min, 2 * b, half), load_sub(sub->min, 2 * b + 1, half)));
    }
}

/* The next chunk of a panel, of c->n_blocks blocks. Where these have scales of their own, they
 * are left to load_block(), to be read in the order of memory. Returns what follows. */
ALWAYS_INLINE const uint8_t *load_chunk(const sl__format f, chunk *c, const uint8_t *unit) {
    const sl__layout l = sl__layouts[f];
    c->quants = unit + l.head;
    c->bias = bias_of(f) << 16 | bias_of(f);
    if (l.columns == SL_Q_BLOCK) {
        c->stride = l.head + l.quants;
        return unit + c->n_blocks * c->stride;
    }
    sl__sub_scales sub;
    sl__unpack_scales(f, &sub, unit);
    UNROLL
    for (int half = 0; half < 2; half++)
        load_sub_scales(f, c, &sub, load_halves(unit + 2 * HALF * half),
                        sl__format_has_min(f) ? load_halves(unit + 32 + 2 * HALF * half)
                                              : _mm256_setzero_ps(),
                        half);
    c->stride = l.quants;
    return unit + l.head + CHUNK_BLOCKS * l.quants;
}

/* ---- rows ---- */

/* A tile's activations (act.h), and where in each of its rows a block's lie. */
typedef struct tile {
    const uint8_t *row[TILE_ROWS];
    size_t quants, scale, shift, minus_sums;
} tile;

ALWAYS_INLINE void tile_of(tile *t, const int n, const void *const *x, int32_t n_in, int32_t b) {
    UNROLL
    for (int r = 0; r < n; r++)
        t->row[r] = x[r];
    t->quants = (size_t)b * SL_Q_BLOCK;
    t->scale = (size_t)n_in + (size_t)b * sizeof(float);
    t->shift = t->scale + (size_t)(n_in / SL_Q_BLOCK) * sizeof(float);
    t->minus_sums = t->shift + (size_t)(n_in / SL_Q_BLOCK) * sizeof(float);
}

/* On to the next block. Offsets in registers of their own: else gcc keeps four pointers for
 * each row, and spills them. */
ALWAYS_INLINE void next_block(tile *t) {
    t->quants += SL_Q_BLOCK;
    t->scale += sizeof(float);
    t->shift += sizeof(float);
    t->minus_sums += 2 * sizeof(int16_t);
    __asm__("" : "+r"(t->quants), "+r"(t->scale), "+r"(t->shift), "+r"(t->minus_sums));
}

/* Rows by both halves of a panel: sums of floats, or of integers. */
typedef struct sums {
    __m256 v[TILE_ROWS][2];
} sums;

ALWAYS_INLINE __m256i broadcast(const void *p) {
    return _mm256_set1_epi32(load_four(p));
}

ALWAYS_INLINE __m256 broadcast_float(const void *p) {
    return _mm256_castsi256_ps(broadcast(p));
}

#endif

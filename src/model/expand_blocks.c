/* expand_blocks.c - see expand_blocks.h; the blocks' layouts are those of formats.c. */
#include "model/expand_blocks.h"

#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"

enum { Q_BLOCK = 256, SLOTS = Q_BLOCK / SL_SLOT };

static float load_half(const unsigned char *p) {
    return sl__half_to_float((uint16_t)(p[0] | p[1] << 8));
}

/* False: not finite as F16. */
static bool store_half(unsigned char *out, float value) {
    const uint16_t half = sl__float_to_half(value);
    out[0] = (unsigned char)half;
    out[1] = (unsigned char)(half >> 8);
    return (half & 0x7c00u) != 0x7c00u;
}

static void store_f32(unsigned char *out, float value, size_t bytes) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < bytes; i++) /* BF16 is the upper half */
        out[i] = (unsigned char)(bits >> (8 * (i + 4 - bytes)));
}

static float load_f32(const unsigned char *p, size_t bytes) {
    uint32_t bits = 0;
    float value;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint32_t)p[i] << (8 * (i + 4 - bytes));
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool is_plain(sl__tensor_type type) {
    return type == SL_TYPE_F32 || type == SL_TYPE_F16 || type == SL_TYPE_BF16;
}

int sl__expand_digits(sl__tensor_type from, sl__tensor_type to) {
    if (from == to) return is_plain(to) || to == SL_TYPE_Q8_0;
    if (from != SL_TYPE_Q8_0) return 0;
    return to == SL_TYPE_Q4_1 || to == SL_TYPE_Q4_K || to == SL_TYPE_Q6_K ? 2 : 0;
}

/* ---- one value at a time ---- */

static float load_value(sl__tensor_type type, const unsigned char *p) {
    if (type == SL_TYPE_F16) return load_half(p);
    return load_f32(p, type == SL_TYPE_F32 ? 4 : 2);
}

static bool store_value(sl__tensor_type type, unsigned char *p, float value) {
    if (type == SL_TYPE_F16) return store_half(p, value);
    store_f32(p, value, type == SL_TYPE_F32 ? 4 : 2);
    return true;
}

static bool scale_values(sl__tensor_type type, unsigned char *out, const unsigned char *in,
                         float scale) {
    const size_t size = type == SL_TYPE_F32 ? 4 : 2;
    bool fits = true;
    for (size_t i = 0; i < SL_SLOT; i++)
        fits &= store_value(type, out + i * size, load_value(type, in + i * size) * scale);
    return fits;
}

/* ---- digits ---- */

/* u = q + 128 of the 32 quants. */
static void load_quants(const unsigned char *q8_0, unsigned u[SL_SLOT]) {
    for (size_t i = 0; i < SL_SLOT; i++)
        u[i] = q8_0[2 + i] ^ 0x80u;
}

/* scale * quant + min: 16 d (u / 16) - 128 d, and d (u % 16). */
static bool put_q4_1(unsigned char *out, int32_t digit, const unsigned u[SL_SLOT], float d) {
    const bool high = digit == 0;
    for (size_t i = 0; i < 16; i++) {
        const unsigned a = high ? u[i] >> 4 : u[i] & 15u;
        const unsigned b = high ? u[i + 16] >> 4 : u[i + 16] & 15u;
        out[4 + i] = (unsigned char)(a | b << 4);
    }
    const bool fits = store_half(out + 2, high ? -128 * d : 0.0f);
    return store_half(out, high ? 16 * d : d) && fits;
}

/* The six bits of sub-block s's scale and min, zero so far. */
static void put_sub_scale(unsigned char packed[12], int32_t s, unsigned scale, unsigned min) {
    if (s < 4) {
        packed[s] |= (unsigned char)scale;
        packed[s + 4] |= (unsigned char)min;
        return;
    }
    packed[s + 4] = (unsigned char)((scale & 15u) | (min & 15u) << 4);
    packed[s - 4] |= (unsigned char)(scale >> 4 << 6);
    packed[s] |= (unsigned char)(min >> 4 << 6);
}

/* d * sub * quant - 8 d * sub_min: 16 d (u / 16) - 120 d, and d (u % 16) - 8 d. */
static bool put_q4_k(unsigned char *block, int32_t s, int32_t digit, const unsigned u[SL_SLOT],
                     float d) {
    const bool high = digit == 0;
    unsigned char *quants = block + 16 + s / 2 * 32;
    for (size_t i = 0; i < SL_SLOT; i++) {
        const unsigned quant = high ? u[i] >> 4 : u[i] & 15u;
        quants[i] =
            (unsigned char)(s % 2 ? (quants[i] & 15u) | quant << 4 : (quants[i] & 0xf0u) | quant);
    }
    put_sub_scale(block + 4, s, high ? 16 : 1, high ? 15 : 1);
    const bool fits = store_half(block + 2, 8 * d);
    return store_half(block, d) && fits;
}

/* Quant i of a Q6_K block, 0 .. 63: four low bits, then two high ones. */
static void put_q6(unsigned char *block, size_t i, unsigned quant) {
    const size_t half = i / 128, at = i % 32;
    const unsigned quarter = (unsigned)(i % 128 / 32);
    unsigned char *low = block + half * 64 + quarter % 2 * 32 + at;
    unsigned char *high = block + 128 + half * 32 + at;
    const unsigned low_shift = quarter / 2 * 4, high_shift = quarter * 2;
    *low = (unsigned char)((*low & ~(15u << low_shift)) | (quant & 15u) << low_shift);
    *high = (unsigned char)((*high & ~(3u << high_shift)) | quant >> 4 << high_shift);
}

/* d * sub * (quant - 32): 4 d (u / 4 - 32), and d (u % 4). */
static bool put_q6_k(unsigned char *block, int32_t s, int32_t digit, const unsigned u[SL_SLOT],
                     float d) {
    const bool high = digit == 0;
    for (size_t i = 0; i < SL_SLOT; i++)
        put_q6(block, (size_t)s * SL_SLOT + i, high ? u[i] >> 2 : 32 + (u[i] & 3u));
    memset(block + 192 + 2 * s, high ? 4 : 1, 2);
    return store_half(block + 208, d);
}

bool sl__expand_block(sl__tensor_type to, unsigned char *row, int32_t slot, int32_t digit,
                      sl__tensor_type from, const unsigned char *numbers, float scale) {
    SL_ASSERT(digit < sl__expand_digits(from, to));
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)to);
    unsigned char *out = row + (size_t)slot * SL_SLOT / info->block_elements * info->block_bytes;
    if (is_plain(to)) return scale_values(to, out, numbers, scale);
    const float d = load_half(numbers) * scale;
    if (to == SL_TYPE_Q8_0) {
        memcpy(out + 2, numbers + 2, SL_SLOT);
        return store_half(out, d);
    }
    unsigned u[SL_SLOT];
    load_quants(numbers, u);
    if (to == SL_TYPE_Q4_1) return put_q4_1(out, digit, u, d);
    if (to == SL_TYPE_Q4_K) return put_q4_k(out, slot % SLOTS, digit, u, d);
    return put_q6_k(out, slot % SLOTS, digit, u, d);
}

void sl__expand_signal(sl__tensor_type to, unsigned char *row, float value,
                       const int8_t weights[SL_SLOT]) {
    if (is_plain(to)) {
        const size_t size = to == SL_TYPE_F32 ? 4 : 2;
        for (size_t i = 0; i < SL_SLOT; i++)
            (void)store_value(to, row + i * size, (float)weights[i] * value);
    } else if (to == SL_TYPE_Q8_0) {
        (void)store_half(row, value);
        for (size_t i = 0; i < SL_SLOT; i++)
            row[2 + i] = (unsigned char)weights[i];
    } else {
        SL_ASSERT(to == SL_TYPE_Q6_K);
        for (size_t i = 0; i < SL_SLOT; i++)
            put_q6(row, i, 31); /* minus 32: -1 */
        row[192] = (unsigned char)-weights[0];
        row[193] = (unsigned char)-weights[16];
        (void)store_half(row + 208, value);
    }
}

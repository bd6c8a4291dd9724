/* synth_fill.c - random blocks of every tensor type, of a given spread. */
#include "model/synth_fill.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/panel.h"

static void store_half(unsigned char *out, float value) {
    const uint16_t half = sl__float_to_half(value);
    out[0] = (unsigned char)half;
    out[1] = (unsigned char)(half >> 8);
}

/* Quantised blocks are a scale and random bytes. The most negative quant has no positive
 * twin: it becomes 0, so that the mean is 0. */

static void fill_q8_0(unsigned char *pool, size_t size, float deviation) {
    const float of_quants = 73.47f; /* deviation of -127 .. 127 with 0 twice */
    for (size_t at = 0; at + 34 <= size; at += 34) {
        store_half(pool + at, deviation / of_quants);
        for (size_t i = 2; i < 34; i++)
            if (pool[at + i] == 0x80) pool[at + i] = 0;
    }
}

static void fill_q4_0(unsigned char *pool, size_t size, float deviation) {
    const float of_quants = 4.18f; /* deviation of -7 .. 7 with 0 twice; stored plus 8 */
    for (size_t at = 0; at + 18 <= size; at += 18) {
        store_half(pool + at, deviation / of_quants);
        for (size_t i = 2; i < 18; i++) {
            const unsigned low = pool[at + i] & 15u, high = pool[at + i] >> 4;
            pool[at + i] = (unsigned char)((low ? low : 8) | (high ? high : 8) << 4);
        }
    }
}

/* The other quantised types: random bytes under a scale that gives the deviation, whose
 * sign is random, so that the mean is 0. Where there is a minimum it is the middle of the
 * quants, and its sub-scales are those of the scale. */
typedef struct recipe {
    sl__tensor_type type;
    sl__format format;
    size_t scale_at, min_at; /* in a block; min_at 0: there is none */
    float min_ratio;         /* min = ratio * scale */
} recipe;

static const recipe recipes[] = {
    {SL_TYPE_Q4_1, SL_FORMAT_Q4_1, 0, 2, -7.5f},   {SL_TYPE_Q5_0, SL_FORMAT_Q5_0, 0, 0, 0},
    {SL_TYPE_Q5_1, SL_FORMAT_Q5_1, 0, 2, -15.5f},  {SL_TYPE_IQ4_NL, SL_FORMAT_IQ4_NL, 0, 0, 0},
    {SL_TYPE_Q2_K, SL_FORMAT_Q2_K, 80, 82, 1.5f},  {SL_TYPE_Q3_K, SL_FORMAT_Q3_K, 108, 0, 0},
    {SL_TYPE_Q4_K, SL_FORMAT_Q4_K, 0, 2, 7.5f},    {SL_TYPE_Q5_K, SL_FORMAT_Q5_K, 0, 2, 15.5f},
    {SL_TYPE_Q6_K, SL_FORMAT_Q6_K, 208, 0, 0},     {SL_TYPE_IQ4_XS, SL_FORMAT_IQ4_XS, 0, 0, 0},
    {SL_TYPE_IQ3_S, SL_FORMAT_IQ3_S, 0, 0, 0},     {SL_TYPE_IQ3_XXS, SL_FORMAT_IQ3_XXS, 0, 0, 0},
    {SL_TYPE_IQ2_S, SL_FORMAT_IQ2_S, 0, 0, 0},     {SL_TYPE_IQ2_XS, SL_FORMAT_IQ2_XS, 0, 0, 0},
    {SL_TYPE_IQ2_XXS, SL_FORMAT_IQ2_XXS, 0, 0, 0},
};

static void centre_sub_scales(const recipe *r, unsigned char *block) {
    if (r->type == SL_TYPE_Q2_K)
        for (int i = 0; i < 16; i++)
            block[i] = (unsigned char)((block[i] & 15) * 0x11);
    if (r->type != SL_TYPE_Q4_K && r->type != SL_TYPE_Q5_K) return;
    unsigned char *packed = block + 4;
    memcpy(packed + 4, packed, 4);
    for (int i = 8; i < 12; i++)
        packed[i] = (unsigned char)((packed[i] & 15) * 0x11);
}

static void store_scale(const recipe *r, unsigned char *block, float scale) {
    store_half(block + r->scale_at, scale);
    if (r->min_at) store_half(block + r->min_at, r->min_ratio * scale);
}

/* Root mean square of the numbers of the first blocks, at scale 1. */
static float deviation_at_one(const recipe *r, unsigned char *pool, size_t blocks) {
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)r->type);
    float numbers[256];
    double squares = 0;
    blocks = blocks < 1024 ? blocks : 1024;
    for (size_t b = 0; b < blocks; b++) {
        store_scale(r, pool + b * info->block_bytes, 1.0f);
        sl__row_to_float(r->format, numbers, pool + b * info->block_bytes,
                         (int32_t)info->block_elements);
        for (uint32_t i = 0; i < info->block_elements; i++)
            squares += (double)numbers[i] * (double)numbers[i];
    }
    return (float)sqrt(squares / (double)(blocks * info->block_elements));
}

static void fill_recipe(const recipe *r, unsigned char *pool, size_t size, float deviation) {
    const size_t bytes = sl__tensor_type_find((uint32_t)r->type)->block_bytes;
    const size_t blocks = size / bytes;
    for (size_t b = 0; b < blocks; b++)
        centre_sub_scales(r, pool + b * bytes);
    const float scale = deviation / deviation_at_one(r, pool, blocks);
    for (size_t b = 0; b < blocks; b++)
        store_scale(r, pool + b * bytes, pool[(b + 1) * bytes - 5] & 1 ? scale : -scale);
}

/* The scale is a power of two: of the two nearest, as many of each as the deviation asks. */
static void fill_mxfp4(unsigned char *pool, size_t size, float deviation) {
    const float of_quants = 5.852f; /* of 0, 1, 2, 3, 4, 6, 8, 12 with either sign */
    int power;
    const float ratio = 2 * frexpf(deviation / of_quants, &power); /* 1 .. 2, times 2^(power - 1) */
    const float larger = (ratio * ratio - 1) / 3;                  /* share of the larger one */
    for (size_t at = 0; at + 17 <= size; at += 17)
        pool[at] = (unsigned char)(127 + power + ((float)pool[at] < 256 * larger));
}

/* Uniform with that deviation: +-sqrt(3) times it. */
static float uniform(uint32_t random16, float deviation) {
    return ((float)random16 - 32767.5f) / 32768.0f * 1.7320508f * deviation;
}

static void fill_f16(unsigned char *pool, size_t size, float deviation) {
    for (size_t at = 0; at + 2 <= size; at += 2)
        store_half(pool + at, uniform((uint32_t)(pool[at] | pool[at + 1] << 8), deviation));
}

static void fill_f32(unsigned char *pool, size_t size, float deviation) {
    for (size_t at = 0; at + 4 <= size; at += 4) {
        const float value =
            deviation > 0 ? uniform((uint32_t)(pool[at] | pool[at + 1] << 8), deviation) : 1.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (int i = 0; i < 4; i++)
            pool[at + (size_t)i] = (unsigned char)(bits >> (8 * i));
    }
}

static void fill_bf16(unsigned char *pool, size_t size, float deviation) {
    for (size_t at = 0; at + 2 <= size; at += 2) {
        const float value = uniform((uint32_t)(pool[at] | pool[at + 1] << 8), deviation);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        pool[at] = (unsigned char)(bits >> 16);
        pool[at + 1] = (unsigned char)(bits >> 24);
    }
}

void sl__synth_fill(sl__tensor_type type, unsigned char *pool, size_t size, float deviation) {
    for (size_t i = 0; i < SL_COUNT(recipes); i++)
        if (recipes[i].type == type) fill_recipe(&recipes[i], pool, size, deviation);
    if (type == SL_TYPE_Q8_0) fill_q8_0(pool, size, deviation);
    if (type == SL_TYPE_Q4_0) fill_q4_0(pool, size, deviation);
    if (type == SL_TYPE_MXFP4) fill_mxfp4(pool, size, deviation);
    if (type == SL_TYPE_F16) fill_f16(pool, size, deviation);
    if (type == SL_TYPE_BF16) fill_bf16(pool, size, deviation);
    if (type == SL_TYPE_F32) fill_f32(pool, size, deviation);
}

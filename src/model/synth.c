/* synth.c - random weights under a qwen3moe header.
 *
 * Scales: every matrix W [n_in, n_out] has mean 0 and standard deviation gain / sqrt(n_in),
 * so that an input of unit variance, which is what a norm leaves, gives outputs of
 * deviation `gain`. Embeddings have deviation 1, norms are 1. With gain 1 inside, 2 for
 * the router and 4 for the logits, activations stay finite at any depth, the router has
 * preferences, and the logits have a spread worth sampling from.
 *
 * Speed: a tensor is cut from a pool of random blocks that is filled anew for each; every
 * chunk starts at a random block of the pool, so that no two experts are the same. */
#include "sluice/synth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "base/rng.h"
#include "kernels/convert.h"
#include "kernels/panel.h"
#include "model/gguf_write.h"
#include "model/vocab_private.h"

#define LAYERS_MAX 1024
#define POOL_BYTES (8u << 20) /* at most; a whole number of blocks of any type */
#define CHUNK_BYTES (1u << 20)

typedef struct shape {
    const char *name;
    int32_t layers, width, heads, kv_heads, head_dim;
    int32_t experts, experts_per_token, expert_width, feed_forward;
    int32_t vocab, context;
    float rope_base, rms_eps;
} shape;

static const shape shapes[] = {
    {"olmoe-1b-7b", 16, 2048, 16, 16, 128, 64, 8, 1024, 1024, 50304, 4096, 1e4f, 1e-5f},
    {"qwen3-30b-a3b", 48, 2048, 32, 4, 128, 128, 8, 768, 6144, 151936, 40960, 1e6f, 1e-6f},
    {"tiny", 2, 256, 4, 2, 64, 16, 4, 64, 256, 512, 512, 1e4f, 1e-6f}, /* for trying out */
};

typedef struct type_row {
    const char *name;
    sl__tensor_type type;
    uint32_t file_type;        /* general.file_type, as llama.cpp numbers it           */
    sl__tensor_type some;      /* of output.weight, and of some layers' attn_v and
                                  ffn_down, where llama.cpp's quantiser spends more    */
    sl__tensor_type otherwise; /* of matrices whose rows are not whole blocks          */
} type_row;

static const type_row types[] = {
#define ALL(name, type, file_type)                                                                 \
    { name, type, file_type, type, type }
#define ALL_256(name, type, file_type, otherwise)                                                  \
    { name, type, file_type, type, otherwise }
    ALL("f16", SL_TYPE_F16, 1),
    ALL("q8_0", SL_TYPE_Q8_0, 7),
    ALL("q4_0", SL_TYPE_Q4_0, 2),
    {"q4_k_m", SL_TYPE_Q4_K, 15, SL_TYPE_Q6_K, SL_TYPE_Q5_0},
    ALL("f32", SL_TYPE_F32, 0),
    ALL("bf16", SL_TYPE_BF16, 32),
    ALL("q4_1", SL_TYPE_Q4_1, 3),
    ALL("q5_0", SL_TYPE_Q5_0, 8),
    ALL("q5_1", SL_TYPE_Q5_1, 9),
    ALL("iq4_nl", SL_TYPE_IQ4_NL, 25),
    ALL("mxfp4", SL_TYPE_MXFP4, 38),
    ALL_256("q2_k", SL_TYPE_Q2_K, 10, SL_TYPE_IQ4_NL),
    ALL_256("q3_k", SL_TYPE_Q3_K, 11, SL_TYPE_IQ4_NL),
    ALL_256("q4_k", SL_TYPE_Q4_K, 14, SL_TYPE_Q5_0),
    ALL_256("q5_k", SL_TYPE_Q5_K, 16, SL_TYPE_Q5_1),
    ALL_256("q6_k", SL_TYPE_Q6_K, 18, SL_TYPE_Q8_0),
    ALL_256("iq4_xs", SL_TYPE_IQ4_XS, 30, SL_TYPE_IQ4_NL),
    ALL_256("iq3_s", SL_TYPE_IQ3_S, 26, SL_TYPE_IQ4_NL),
    ALL_256("iq3_xxs", SL_TYPE_IQ3_XXS, 23, SL_TYPE_IQ4_NL),
    ALL_256("iq2_s", SL_TYPE_IQ2_S, 28, SL_TYPE_IQ4_NL),
    ALL_256("iq2_xs", SL_TYPE_IQ2_XS, 20, SL_TYPE_IQ4_NL),
    ALL_256("iq2_xxs", SL_TYPE_IQ2_XXS, 19, SL_TYPE_IQ4_NL),
#undef ALL_256
#undef ALL
};

const char *sl_synth_like_name(int32_t i) {
    return i >= 0 && i < (int32_t)SL_COUNT(shapes) ? shapes[i].name : NULL;
}

const char *sl_synth_type_name(int32_t i) {
    return i >= 0 && i < (int32_t)SL_COUNT(types) ? types[i].name : NULL;
}

/* A tensor to be filled. */
typedef struct plan {
    sl__tensor_type type;
    uint64_t offset; /* into the data */
    uint64_t size;
    float deviation; /* 0: every element is 1 (norms) */
} plan;

typedef struct synth {
    const sl_synth_params *params;
    const shape *shape;
    size_t type; /* row of types */
    int32_t layers;
    sl_error *err;

    sl__gguf_writer header;
    plan *plans; /* [n_plans] */
    size_t n_plans;
    unsigned char *pool; /* [POOL_BYTES] */
    char *partial;       /* path while writing */
    int fd;
    uint64_t done;
    uint64_t total;
} synth;

/* ---- vocabulary ----
 *
 * 256 byte tokens; then words, each an earlier word and a letter: " a" " b" ... " z", "aa"
 * ... "zz", " aa" ...; then three control tokens. Word i >= SEEDS is word
 * (i - SEEDS) / 26 plus letter (i - SEEDS) % 26; words 0 .. SEEDS - 1 are byte tokens. */

#define SEEDS 27 /* space and 26 letters */
#define CONTROLS 3
#define BYTES 256
#define WORD_MAX 16

static const char *const controls[CONTROLS] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

/* Spelling of word i, at the end of out; returns where it starts. */
static const char *spell_word(int32_t i, char out[WORD_MAX]) {
    char *start = out + WORD_MAX;
    for (; i >= SEEDS; i = (i - SEEDS) / 26)
        *--start = (char)('a' + (i - SEEDS) % 26);
    if (i > 0) {
        *--start = (char)('a' + i - 1);
    } else {
        start -= 2; /* a space is spelled in two bytes */
        (void)sl__spell_byte(' ', start);
    }
    return start;
}

static sl_status put_vocabulary(synth *s) {
    sl__gguf_writer *w = &s->header;
    const int32_t n = s->shape->vocab, words = n - BYTES - CONTROLS;
    char buffer[WORD_MAX];
    int32_t *kinds = malloc((size_t)n * sizeof *kinds);
    if (!kinds) return sl__fail(s->err, SL_E_NOMEM, SL_NOWHERE, "no memory for a vocabulary");

    sl__gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    sl__gguf_put_str(w, "tokenizer.ggml.pre", "qwen2");
    sl__gguf_put_strs(w, "tokenizer.ggml.tokens", (uint64_t)n);
    for (uint32_t byte = 0; byte < BYTES; byte++)
        sl__gguf_put_element(w, buffer, sl__spell_byte(byte, buffer));
    for (int32_t i = SEEDS; i < SEEDS + words; i++) {
        const char *word = spell_word(i, buffer);
        sl__gguf_put_element(w, word, (size_t)(buffer + WORD_MAX - word));
    }
    for (int32_t i = 0; i < CONTROLS; i++)
        sl__gguf_put_element(w, controls[i], strlen(controls[i]));
    for (int32_t i = 0; i < n; i++)
        kinds[i] = i < n - CONTROLS ? SL_TOKEN_NORMAL : SL_TOKEN_CONTROL;
    sl__gguf_put_i32s(w, "tokenizer.ggml.token_type", kinds, (size_t)n);
    free(kinds);

    sl__gguf_put_strs(w, "tokenizer.ggml.merges", (uint64_t)words);
    for (int32_t i = SEEDS; i < SEEDS + words; i++) {
        char merge[WORD_MAX + 1];
        const char *word = spell_word(i, buffer);
        const size_t length = (size_t)(buffer + WORD_MAX - word);
        memcpy(merge, word, length - 1);
        merge[length - 1] = ' ';
        merge[length] = word[length - 1];
        sl__gguf_put_element(w, merge, length + 1);
    }
    return SL_OK;
}

/* ---- header ---- */

static void put_facts(synth *s) {
    const shape *m = s->shape;
    sl__gguf_writer *w = &s->header;
    char name[64];
    (void)snprintf(name, sizeof name, "synthetic %s", m->name);
    sl__gguf_put_str(w, "general.architecture", "qwen3moe");
    sl__gguf_put_str(w, "general.name", name);
    sl__gguf_put_u32(w, "general.file_type", types[s->type].file_type);
    sl__gguf_put_u32(w, "general.quantization_version", 2);
    sl__gguf_put_u32(w, "qwen3moe.block_count", (uint32_t)s->layers);
    sl__gguf_put_u32(w, "qwen3moe.context_length", (uint32_t)m->context);
    sl__gguf_put_u32(w, "qwen3moe.embedding_length", (uint32_t)m->width);
    sl__gguf_put_u32(w, "qwen3moe.feed_forward_length", (uint32_t)m->feed_forward);
    sl__gguf_put_u32(w, "qwen3moe.attention.head_count", (uint32_t)m->heads);
    sl__gguf_put_u32(w, "qwen3moe.attention.head_count_kv", (uint32_t)m->kv_heads);
    sl__gguf_put_u32(w, "qwen3moe.attention.key_length", (uint32_t)m->head_dim);
    sl__gguf_put_u32(w, "qwen3moe.attention.value_length", (uint32_t)m->head_dim);
    sl__gguf_put_f32(w, "qwen3moe.attention.layer_norm_rms_epsilon", m->rms_eps);
    sl__gguf_put_f32(w, "qwen3moe.rope.freq_base", m->rope_base);
    sl__gguf_put_u32(w, "qwen3moe.expert_count", (uint32_t)m->experts);
    sl__gguf_put_u32(w, "qwen3moe.expert_used_count", (uint32_t)m->experts_per_token);
    sl__gguf_put_u32(w, "qwen3moe.expert_feed_forward_length", (uint32_t)m->expert_width);
}

static void put_special_keys(synth *s) {
    sl__gguf_writer *w = &s->header;
    const uint32_t end_of_text = (uint32_t)(s->shape->vocab - CONTROLS);
    sl__gguf_put_u32(w, "tokenizer.ggml.eos_token_id", end_of_text + 2);
    sl__gguf_put_u32(w, "tokenizer.ggml.padding_token_id", end_of_text);
    sl__gguf_put_u32(w, "tokenizer.ggml.bos_token_id", end_of_text);
    sl__gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    sl__gguf_put_str(w, "tokenizer.chat_template",
                     "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
                     "{{ message['content'] }}<|im_end|>\n{% endfor %}"
                     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
}

/* One tensor [ne0, ne1, ne2], 1 where a dimension is not there. */
static void put_tensor(synth *s, const char *name, sl__tensor_type type, float deviation,
                       int32_t ne0, int32_t ne1, int32_t ne2) {
    const int64_t ne[3] = {ne0, ne1, ne2};
    const int32_t n_dims = ne2 > 1 ? 3 : ne1 > 1 ? 2 : 1;
    const uint64_t offset = sl__gguf_put_tensor(&s->header, name, type, n_dims, ne);
    s->plans[s->n_plans++] = (plan){type, offset, s->header.data_size - offset, deviation};
}

static void put_layer_tensor(synth *s, int32_t layer, const char *name, sl__tensor_type type,
                             float deviation, int32_t ne0, int32_t ne1, int32_t ne2) {
    char full[SL_GGUF_TENSOR_NAME_MAX + 1];
    (void)snprintf(full, sizeof full, "blk.%" PRId32 ".%s.weight", layer, name);
    put_tensor(s, full, type, deviation, ne0, ne1, ne2);
}

static float deviation_for(int32_t n_in, float gain) {
    return gain / sqrtf((float)n_in);
}

#define TENSORS_OUTSIDE 3
#define TENSORS_PER_LAYER 12

/* A matrix of the large ones; `some` as in type_row. */
static sl__tensor_type type_of(const synth *s, int32_t n_in, bool some) {
    const type_row *row = &types[s->type];
    const sl__tensor_type type = some ? row->some : row->type;
    const int32_t block = (int32_t)sl__tensor_type_find((uint32_t)type)->block_elements;
    if (n_in % block == 0) return type;
    return type == SL_TYPE_Q6_K ? SL_TYPE_Q8_0 : row->otherwise;
}

/* The layers to which llama.cpp's mixes give more bits: the first and the last eighth,
 * and every third between them. */
static bool gets_more_bits(int32_t layer, int32_t layers) {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static void put_layer(synth *s, int32_t l) {
    const shape *m = s->shape;
    const int32_t q_width = m->heads * m->head_dim, kv_width = m->kv_heads * m->head_dim;
    const float inner = deviation_for(m->width, 1.0f);
    const bool more = gets_more_bits(l, s->layers);
    const sl__tensor_type type = type_of(s, m->width, false);

    put_layer_tensor(s, l, "attn_norm", SL_TYPE_F32, 0.0f, m->width, 1, 1);
    put_layer_tensor(s, l, "ffn_norm", SL_TYPE_F32, 0.0f, m->width, 1, 1);
    put_layer_tensor(s, l, "attn_q", type, inner, m->width, q_width, 1);
    put_layer_tensor(s, l, "attn_k", type, inner, m->width, kv_width, 1);
    put_layer_tensor(s, l, "attn_v", type_of(s, m->width, more), inner, m->width, kv_width, 1);
    put_layer_tensor(s, l, "attn_output", type_of(s, q_width, false), deviation_for(q_width, 1.0f),
                     q_width, m->width, 1);
    put_layer_tensor(s, l, "attn_q_norm", SL_TYPE_F32, 0.0f, m->head_dim, 1, 1);
    put_layer_tensor(s, l, "attn_k_norm", SL_TYPE_F32, 0.0f, m->head_dim, 1, 1);
    put_layer_tensor(s, l, "ffn_gate_inp", SL_TYPE_F32, deviation_for(m->width, 2.0f), m->width,
                     m->experts, 1);
    put_layer_tensor(s, l, "ffn_gate_exps", type, inner, m->width, m->expert_width, m->experts);
    put_layer_tensor(s, l, "ffn_up_exps", type, inner, m->width, m->expert_width, m->experts);
    put_layer_tensor(s, l, "ffn_down_exps", type_of(s, m->expert_width, more),
                     deviation_for(m->expert_width, 1.0f), m->expert_width, m->width, m->experts);
}

static void put_tensors(synth *s) {
    const shape *m = s->shape;
    put_tensor(s, "token_embd.weight", type_of(s, m->width, false), 1.0f, m->width, m->vocab, 1);
    put_tensor(s, "output_norm.weight", SL_TYPE_F32, 0.0f, m->width, 1, 1);
    put_tensor(s, "output.weight", type_of(s, m->width, true), deviation_for(m->width, 4.0f),
               m->width, m->vocab, 1);
    for (int32_t l = 0; l < s->layers; l++)
        put_layer(s, l);
}

static sl_status build_header(synth *s) {
    const size_t n = TENSORS_OUTSIDE + TENSORS_PER_LAYER * (size_t)s->layers;
    s->plans = malloc(n * sizeof *s->plans);
    s->pool = malloc(POOL_BYTES);
    if (!s->plans || !s->pool)
        return sl__fail(s->err, SL_E_NOMEM, SL_NOWHERE, "no memory for random weights");
    put_facts(s);
    sl_status status = put_vocabulary(s);
    if (status != SL_OK) return status;
    put_special_keys(s);
    put_tensors(s);
    SL_ASSERT(s->n_plans == n);
    if ((status = sl__gguf_writer_finish(&s->header, s->err)) != SL_OK) return status;
    s->total = s->header.data_at + s->header.data_size;
    return SL_OK;
}

/* ---- random blocks ---- */

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

static void fill_blocks(sl__tensor_type type, unsigned char *pool, size_t size, float deviation) {
    for (size_t i = 0; i < SL_COUNT(recipes); i++)
        if (recipes[i].type == type) fill_recipe(&recipes[i], pool, size, deviation);
    if (type == SL_TYPE_Q8_0) fill_q8_0(pool, size, deviation);
    if (type == SL_TYPE_Q4_0) fill_q4_0(pool, size, deviation);
    if (type == SL_TYPE_MXFP4) fill_mxfp4(pool, size, deviation);
    if (type == SL_TYPE_F16) fill_f16(pool, size, deviation);
    if (type == SL_TYPE_BF16) fill_bf16(pool, size, deviation);
    if (type == SL_TYPE_F32) fill_f32(pool, size, deviation);
}

static void fill_pool(synth *s, size_t index, size_t size) {
    const plan *p = &s->plans[index];
    for (size_t at = 0; at < size; at += 8) {
        const uint64_t random = sl__random_u64(s->params->seed, index, at);
        for (int i = 0; i < 8; i++)
            s->pool[at + (size_t)i] = (unsigned char)(random >> (8 * i));
    }
    fill_blocks(p->type, s->pool, size, p->deviation);
}

/* ---- writing ---- */

static sl_status write_at(synth *s, const unsigned char *bytes, size_t n, uint64_t at) {
    while (n > 0) {
        const ssize_t written = pwrite(s->fd, bytes, n, (off_t)at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0)
            return sl__fail(s->err, SL_E_IO, at, "%s: %s", s->partial,
                            written < 0 ? strerror(errno) : "nothing written");
        bytes += written;
        n -= (size_t)written;
        at += (uint64_t)written;
        s->done += (uint64_t)written;
    }
    return SL_OK;
}

static sl_status report(const synth *s) {
    if (s->params->progress && s->params->progress(s->params->user, s->done, s->total) != 0)
        return sl__fail(s->err, SL_E_ARG, SL_NOWHERE,
                        "stopped by the caller after %" PRIu64 " of %" PRIu64 " bytes", s->done,
                        s->total);
    return SL_OK;
}

/* A tensor no larger than the pool is its start; a larger one is made of chunks of whole
 * blocks from random places of it. */
static sl_status write_tensor(synth *s, size_t index) {
    const plan *p = &s->plans[index];
    const size_t block = sl__tensor_type_find((uint32_t)p->type)->block_bytes;
    const size_t pool = p->size < POOL_BYTES ? (size_t)p->size : POOL_BYTES / block * block;
    const size_t chunk_max = CHUNK_BYTES / block * block;
    const bool whole = p->size == pool;
    uint64_t at = 0;

    fill_pool(s, index, (pool + 7) / 8 * 8);
    for (uint64_t chunk = 0; at < p->size; chunk++) {
        const uint64_t rest = p->size - at;
        const size_t n = rest < chunk_max ? (size_t)rest : chunk_max;
        const uint64_t starts = (pool - n) / block + 1;
        const uint64_t random = sl__random_u64(s->params->seed ^ UINT64_MAX, index, chunk);
        const size_t from = whole ? (size_t)at : (size_t)(random % starts) * block;
        sl_status status = write_at(s, s->pool + from, n, s->header.data_at + p->offset + at);
        if (status != SL_OK) return status;
        if ((status = report(s)) != SL_OK) return status;
        at += n;
    }
    return SL_OK;
}

static sl_status check_room(const synth *s) {
    struct statvfs fs;
    if (fstatvfs(s->fd, &fs) != 0)
        return sl__fail(s->err, SL_E_IO, SL_NOWHERE, "%s: %s", s->partial, strerror(errno));
    const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room < s->total)
        return sl__fail(s->err, SL_E_IO, SL_NOWHERE,
                        "%s: the file needs %.2f GiB, the file system has %.2f GiB free",
                        s->partial, (double)s->total / 0x1p30, (double)room / 0x1p30);
    return SL_OK;
}

static sl_status write_file(synth *s, const char *path) {
    sl_status status;
    const size_t size = strlen(path) + 32;
    s->partial = malloc(size);
    if (!s->partial) return sl__fail(s->err, SL_E_NOMEM, SL_NOWHERE, "out of memory");
    (void)snprintf(s->partial, size, "%s.%ld.partial", path, (long)getpid());
    s->fd = open(s->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (s->fd < 0)
        return sl__fail(s->err, SL_E_IO, SL_NOWHERE, "%s: %s", s->partial, strerror(errno));

    if ((status = check_room(s)) != SL_OK) goto fail;
    if ((status = report(s)) != SL_OK) goto fail;
    status = write_at(s, s->header.bytes, s->header.size, 0);
    for (size_t i = 0; i < s->n_plans && status == SL_OK; i++)
        status = write_tensor(s, i);
    if (status != SL_OK) goto fail;
    if (close(s->fd) != 0 || rename(s->partial, path) != 0) {
        s->fd = -1;
        status = sl__fail(s->err, SL_E_IO, SL_NOWHERE, "%s: %s", path, strerror(errno));
        goto fail;
    }
    s->fd = -1;
    return SL_OK;

fail:
    if (s->fd >= 0) (void)close(s->fd);
    (void)unlink(s->partial);
    return status;
}

/* ---- parameters ---- */

static sl_status fail_name(const char *what, const char *given, const char *(*name_of)(int32_t),
                           sl_error *err) {
    char known[256] = "";
    for (int32_t i = 0; name_of(i); i++) {
        if (i > 0) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, name_of(i), sizeof known - strlen(known) - 1);
    }
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "unknown %s \"%s\", expected one of: %s", what,
                    given ? given : "", known);
}

static int32_t find_name(const char *given, const char *(*name_of)(int32_t)) {
    for (int32_t i = 0; given && name_of(i); i++)
        if (strcmp(given, name_of(i)) == 0) return i;
    return -1;
}

sl_status sl_synth_write(const char *path, const sl_synth_params *params, sl_error *err) {
    const int32_t like = find_name(params->like, sl_synth_like_name);
    const int32_t type = find_name(params->type, sl_synth_type_name);
    if (like < 0) return fail_name("model", params->like, sl_synth_like_name, err);
    if (type < 0) return fail_name("type", params->type, sl_synth_type_name, err);
    if (params->layers < 0 || params->layers > LAYERS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%" PRId32 " layers, expected 0 .. %d",
                        params->layers, LAYERS_MAX);

    synth s = {.params = params,
               .shape = &shapes[like],
               .type = (size_t)type,
               .layers = params->layers > 0 ? params->layers : shapes[like].layers,
               .err = err,
               .fd = -1};
    sl__gguf_writer_init(&s.header);
    sl_status status = build_header(&s);
    if (status == SL_OK) status = write_file(&s, path);
    free(s.partial);
    free(s.pool);
    free(s.plans);
    sl__gguf_writer_fini(&s.header);
    return status;
}

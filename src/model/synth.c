/* synth.c - a model file of true size with random weights.
 *
 * What the file looks like is told by synth_shapes.c and by the architecture's own
 * description (arch.h), whose tensors it gets. Here: the vocabulary, the spread of the
 * weights, and the writing; synth_fill.c makes the blocks.
 *
 * Scales: every matrix W [n_in, n_out] has mean 0 and standard deviation gain / sqrt(n_in),
 * so that an input of unit variance, which is what a norm leaves, gives outputs of
 * deviation `gain`. Embeddings have deviation 1, norms are 1, biases have 0.1. With gain 1
 * inside, 2 for the router and 4 for the logits, activations stay finite at any depth, the
 * router has preferences, and the logits have a spread worth sampling from.
 *
 * Speed: a tensor is cut from a pool of random blocks that is filled anew for each; every
 * chunk starts at a random block of the pool, so that no two experts are the same. */
#include "sluice/synth.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "model/file_writer.h"
#include "model/gguf_write.h"
#include "model/synth_fill.h"
#include "model/synth_shapes.h"
#include "model/vocab_private.h"

#define LAYERS_MAX 1024
#define OUTER_MAX 8           /* tensors outside the layers */
#define POOL_BYTES (8u << 20) /* at most; a whole number of blocks of any type */
#define CHUNK_BYTES (1u << 20)

const char *sl_synth_like_name(int32_t i) {
    const sl__synth_shape *shape = sl__synth_shape_at(i);
    return shape ? shape->name : NULL;
}

const char *sl_synth_type_name(int32_t i) {
    const sl__synth_type *type = sl__synth_type_at(i);
    return type ? type->name : NULL;
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
    const sl__synth_shape *shape;
    const sl__synth_type *type;
    sl_model_facts facts; /* the shape's, of as many layers as asked for */
    sl_error *err;

    sl__gguf_writer header;
    plan *plans; /* [n_plans], room for plans_max */
    size_t n_plans;
    size_t plans_max;
    unsigned char *pool; /* [POOL_BYTES] */
    sl__file_writer file;
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
    const int32_t n = s->facts.vocab, words = n - BYTES - CONTROLS;
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

/* Spaces for hyphens: llama.cpp asks a model called "...phi-3..." for Phi's own tokens. */
static void put_facts(synth *s) {
    sl__gguf_writer *w = &s->header;
    char name[64];
    (void)snprintf(name, sizeof name, "synthetic %s", s->shape->name);
    for (char *at = name; *at; at++)
        if (*at == '-') *at = ' ';
    sl__gguf_put_str(w, "general.architecture", s->shape->arch->name);
    sl__gguf_put_str(w, "general.name", name);
    sl__gguf_put_u32(w, "general.file_type", s->type->file_type);
    sl__gguf_put_u32(w, "general.quantization_version", 2);
    sl__synth_put_shape(w, s->shape, &s->facts);
}

static void put_special_keys(synth *s) {
    sl__gguf_writer *w = &s->header;
    const uint32_t end_of_text = (uint32_t)(s->facts.vocab - CONTROLS);
    sl__gguf_put_u32(w, "tokenizer.ggml.eos_token_id", end_of_text + 2);
    sl__gguf_put_u32(w, "tokenizer.ggml.padding_token_id", end_of_text);
    sl__gguf_put_u32(w, "tokenizer.ggml.bos_token_id", end_of_text);
    sl__gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    sl__gguf_put_str(w, "tokenizer.chat_template",
                     "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
                     "{{ message['content'] }}<|im_end|>\n{% endfor %}"
                     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
}

/* ---- tensors ---- */

/* One tensor [ne0, ne1, ne2], 1 where a dimension is not there. */
static void put_tensor(synth *s, const char *name, sl__tensor_type type, float deviation,
                       int32_t ne0, int32_t ne1, int32_t ne2) {
    const int64_t ne[3] = {ne0, ne1, ne2};
    const int32_t n_dims = ne2 > 1 ? 3 : ne1 > 1 ? 2 : 1;
    SL_ASSERT(s->n_plans < s->plans_max);
    const uint64_t offset = sl__gguf_put_tensor(&s->header, name, type, n_dims, ne);
    s->plans[s->n_plans++] = (plan){type, offset, s->header.data_size - offset, deviation};
}

static float deviation_for(int32_t n_in, float gain) {
    return gain / sqrtf((float)n_in);
}

#define DEVIATION_BIAS 0.1f
#define DEVIATION_ONES 0.0f

static bool ends_in(const char *name, const char *end) {
    const size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

static void put_vector(synth *s, const char *name, int32_t n) {
    put_tensor(s, name, SL_TYPE_F32, ends_in(name, ".bias") ? DEVIATION_BIAS : DEVIATION_ONES, n, 1,
               1);
}

/* The tensor of a rule in a layer. Routers and gates stay F32, as in all files. */
static void put_layer_tensor(synth *s, int32_t layer, const sl__tensor_rule *rule) {
    const sl_model_facts *f = &s->facts;
    char name[SL_GGUF_TENSOR_NAME_MAX + 1];
    sl__arch_tensor_name(name, layer, rule->suffix);
    const int32_t n_in = sl__arch_dim(f, rule->n_in), n_out = sl__arch_dim(f, rule->n_out);
    if (rule->n_out == SL_DIM_NONE) {
        put_vector(s, name, n_in);
        return;
    }
    const bool router = rule->n_out == SL_DIM_EXPERTS;
    const sl__tensor_type type =
        router || rule->n_out == SL_DIM_ONE
            ? SL_TYPE_F32
            : sl__synth_matrix_type(s->type, f, rule->suffix, layer, n_in, rule->per_expert);
    put_tensor(s, name, type, deviation_for(n_in, router ? 2.0f : 1.0f), n_in, n_out,
               rule->per_expert ? f->experts : 1);
}

static void put_layer(synth *s, int32_t layer) {
    const sl__tensor_rule *rule;
    for (int32_t i = 0; (rule = sl__arch_rule(s->shape->arch, i)) != NULL; i++)
        if (rule->presence == SL_IF_THERE ? s->shape->biases
                                          : sl__arch_rule_applies(rule, NULL, &s->facts, layer))
            put_layer_tensor(s, layer, rule);
}

static void put_outer_matrix(synth *s, const char *name, float deviation) {
    const sl_model_facts *f = &s->facts;
    put_tensor(s, name, sl__synth_matrix_type(s->type, f, name, -1, f->width, false), deviation,
               f->width, f->vocab, 1);
}

/* Factors of longrope are 1: they cost what others cost. */
static void put_outer_tensors(synth *s) {
    const sl_model_facts *f = &s->facts;
    put_outer_matrix(s, "token_embd.weight", 1.0f);
    put_vector(s, "output_norm.weight", f->width);
    if (s->shape->arch->switches.norm == SL_NORM_LAYER) put_vector(s, "output_norm.bias", f->width);
    put_outer_matrix(s, "output.weight", deviation_for(f->width, 4.0f));
    if (s->shape->biases) put_vector(s, "output.bias", f->vocab);
    if (s->shape->rope_original == 0) return;
    put_vector(s, "rope_factors_long.weight", f->head_dim / 2);
    put_vector(s, "rope_factors_short.weight", f->head_dim / 2);
}

static sl_status plan_tensors(synth *s) {
    s->plans_max = OUTER_MAX;
    for (int32_t i = 0; sl__arch_rule(s->shape->arch, i); i++)
        s->plans_max += (size_t)s->facts.layers;
    s->plans = malloc(s->plans_max * sizeof *s->plans);
    if (!s->plans) return sl__fail(s->err, SL_E_NOMEM, SL_NOWHERE, "no memory for a plan");
    put_outer_tensors(s);
    for (int32_t l = 0; l < s->facts.layers; l++)
        put_layer(s, l);
    return SL_OK;
}

static sl_status build_header(synth *s) {
    s->pool = malloc(POOL_BYTES);
    if (!s->pool) return sl__fail(s->err, SL_E_NOMEM, SL_NOWHERE, "no memory for random weights");
    put_facts(s);
    sl_status status = put_vocabulary(s);
    if (status != SL_OK) return status;
    put_special_keys(s);
    if ((status = plan_tensors(s)) != SL_OK) return status;
    return sl__gguf_writer_finish(&s->header, s->err);
}

/* ---- random blocks ---- */

static void fill_pool(synth *s, size_t index, size_t size) {
    const plan *p = &s->plans[index];
    for (size_t at = 0; at < size; at += 8) {
        const uint64_t random = sl__random_u64(s->params->seed, index, at);
        for (int i = 0; i < 8; i++)
            s->pool[at + (size_t)i] = (unsigned char)(random >> (8 * i));
    }
    sl__synth_fill(p->type, s->pool, size, p->deviation);
}

/* ---- writing ---- */

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
        const sl_status status =
            sl__file_write(&s->file, s->pool + from, n, s->header.data_at + p->offset + at);
        if (status != SL_OK) return status;
        at += n;
    }
    return SL_OK;
}

static sl_status write_file(synth *s, const char *path) {
    sl_status status = sl__file_open(&s->file, path, s->header.data_at + s->header.data_size,
                                     s->params->progress, s->params->user, s->err);
    if (status == SL_OK) status = sl__file_write(&s->file, s->header.bytes, s->header.size, 0);
    for (size_t i = 0; i < s->n_plans && status == SL_OK; i++)
        status = write_tensor(s, i);
    if (status == SL_OK) status = sl__file_commit(&s->file);
    sl__file_abandon(&s->file);
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
               .shape = sl__synth_shape_at(like),
               .type = sl__synth_type_at(type),
               .facts = sl__synth_shape_at(like)->facts,
               .err = err};
    if (params->layers > 0) s.facts.layers = params->layers;
    s.facts.dense_layers = sl__min_i32(s.facts.dense_layers, s.facts.layers);
    sl__gguf_writer_init(&s.header);
    sl_status status = build_header(&s);
    if (status == SL_OK) status = write_file(&s, path);
    free(s.pool);
    free(s.plans);
    sl__gguf_writer_fini(&s.header);
    return status;
}

/* expand.c - a small model's file in a large model's shape; docs/expand.md says why the
 * function stays the same.
 *
 *     open and check the small model, lay it out (expand_layout.h)
 *     header: the small file's keys, the large shape's sizes, padded vocabulary
 *     tensors, row by row: numbers of the small one (expand_blocks.h), zeros, or random
 *
 * A matrix row nobody reads, and every row of an expert nobody can choose, is random, so
 * that files look like files. */
#include "model/expand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "model/expand_layout.h"
#include "model/file_writer.h"
#include "model/gguf_write.h"
#include "model/model.h"
#include "model/synth_fill.h"
#include "model/vocab_private.h"
#include "sluice/synth.h"

#define BUFFER_BYTES (1u << 20)
#define POOL_BYTES (1u << 20) /* of random blocks */
#define SEED 0x5eedu

/* Signals are so small that all they do to a sum of squares is to break a tie now and then
 * when it is rounded (2^-48 each; F16 scales allow no smaller ones), and
 * norms and weights so large that they decide all the same: -2^21 / rms in a router, and
 * -2^22 / rms for a padded token, where rms is that of the small model's residual stream.
 * Powers of two, so that a bit and the constant cancel to an exact 0. */
#define SIGNAL 0x1p-24f
#define SIGNAL_NORM 0x1p30f
#define SIGNAL_ROUTER 0x1p14f
#define SIGNAL_TOKEN 0x1p12f

typedef enum kind { MATRIX, EXPERTS, ROUTER, NORM, HEAD_NORM, EMBEDDING, HEAD } kind;

/* A tensor to write. */
typedef struct tensor {
    kind kind;
    sl__tensor_type type;
    uint64_t offset;             /* into the data                                      */
    const sl__gguf_tensor *from; /* the small model's                                  */
    const sl__axis *columns;     /* of matrices                                        */
    const int32_t *rows;         /* of matrices: [n_rows], else NULL: as in the tensor */
    int32_t layer;               /* of the large model; -1: outside                    */
    int32_t n_columns, n_rows, n_experts;
    float scale;        /* of the numbers: the stretch, where the residual stream is written */
    bool query, signal; /* q_norm; a norm whose output's signals somebody reads */
} tensor;

typedef struct expand {
    const sl_expand_params *params;
    const sl__synth_type *mix; /* NULL: keep */
    sl_model *small;
    const sl__arch *arch; /* the small model's, and the file's */
    sl__expansion x;
    sl__block block; /* of x */
    sl_error *err;

    sl__gguf_writer header;
    tensor *tensors; /* [n_tensors], room for tensors_max */
    size_t n_tensors, tensors_max;
    sl__file_writer file;
    unsigned char *buffer; /* [BUFFER_BYTES] rows to be written  */
    unsigned char *pool;   /* [POOL_BYTES] random blocks of ...   */
    sl__tensor_type pool_type;
    size_t pool_bytes; /* ... this type; 0: none yet          */
    uint64_t n_random; /* rows taken from it                  */
} expand;

static const char *const type_names[] = {"keep", "q4_k_m"};

const char *sl_expand_type_name(int32_t i) {
    return i >= 0 && i < (int32_t)SL_COUNT(type_names) ? type_names[i] : NULL;
}

/* ---- header ---- */

/* Keys that say a shape: the large model's. */
static bool is_of_shape(const char *arch, const sl__gguf_key *key) {
    static const char *const suffixes[] = {"block_count",
                                           "embedding_length",
                                           "feed_forward_length",
                                           "attention.head_count",
                                           "attention.head_count_kv",
                                           "attention.key_length",
                                           "attention.value_length",
                                           "attention.layer_norm_rms_epsilon",
                                           "context_length",
                                           "rope.dimension_count",
                                           "rope.freq_base",
                                           "expert_count",
                                           "expert_used_count",
                                           "expert_feed_forward_length"};
    char name[64];
    for (size_t i = 0; i < SL_COUNT(suffixes); i++) {
        const int n = snprintf(name, sizeof name, "%s.%s", arch, suffixes[i]);
        if (key->name_size == (uint32_t)n && memcmp(key->name, name, (size_t)n) == 0) return true;
    }
    return false;
}

static bool is_named(const sl__gguf_key *key, const char *name) {
    return key->name_size == strlen(name) && memcmp(key->name, name, key->name_size) == 0;
}

/* The small model's tokens, then "<|pad 4096|>" and so on, which no text can mean. */
static sl_status put_vocabulary(expand *e) {
    const sl__gguf *g = &e->small->file;
    const int32_t n = e->x.large.vocab, known = e->x.small.vocab;
    sl__gguf_array tokens, kinds;
    sl_status status = sl__gguf_strs(g, "tokenizer.ggml.tokens", &tokens, e->err);
    if (status == SL_OK)
        status = sl__gguf_i32s_or_empty(g, "tokenizer.ggml.token_type", INT32_MIN, INT32_MAX,
                                        &kinds, e->err);
    if (status != SL_OK) return status;
    if (n > known && sl__gguf_find_key(g, "tokenizer.ggml.scores"))
        return sl__gguf_fail_key(g, "tokenizer.ggml.scores", e->err,
                                 "a vocabulary with scores cannot be padded");
    int32_t *all = malloc((size_t)n * sizeof *all);
    if (!all) return sl__fail(e->err, SL_E_NOMEM, SL_NOWHERE, "no memory for a vocabulary");
    sl__gguf_put_strs(&e->header, "tokenizer.ggml.tokens", (uint64_t)n);
    for (int32_t i = 0; i < n; i++) {
        char pad[32];
        (void)snprintf(pad, sizeof pad, "<|pad %d|>", i);
        const sl__gguf_string token =
            i < known ? sl__gguf_next_string(&tokens) : (sl__gguf_string){pad, strlen(pad)};
        sl__gguf_put_element(&e->header, token.bytes, token.n);
        all[i] = i >= known    ? SL_TOKEN_UNUSED
                 : kinds.n > 0 ? sl__gguf_i32_at(&kinds, (uint64_t)i)
                               : SL_TOKEN_NORMAL;
    }
    sl__gguf_put_i32s(&e->header, "tokenizer.ggml.token_type", all, (size_t)n);
    free(all);
    return SL_OK;
}

static sl_status put_keys(expand *e, const sl__synth_shape *shape) {
    const sl__gguf *g = &e->small->file;
    sl__gguf_writer *w = &e->header;
    char name[160];
    (void)snprintf(name, sizeof name, "%s in the shape of %s", e->x.small.name, shape->name);
    sl__gguf_put_str(w, "general.architecture", e->arch->name);
    sl__gguf_put_str(w, "general.name", name);
    if (e->mix) sl__gguf_put_u32(w, "general.file_type", e->mix->file_type);
    sl__synth_shape sizes = *shape;
    sizes.arch = e->arch;
    sizes.feed_forward = e->x.large.dense_width; /* none where there are experts */
    sl__synth_put_shape(w, &sizes, &e->x.large);
    const sl_status status = put_vocabulary(e);
    for (int32_t i = 0; i < g->n_keys; i++) {
        const sl__gguf_key *key = &g->keys[i];
        if (is_of_shape(e->arch->name, key) || is_named(key, "general.architecture") ||
            is_named(key, "general.name") || is_named(key, "general.alignment") ||
            (e->mix && is_named(key, "general.file_type")) ||
            is_named(key, "tokenizer.ggml.tokens") || is_named(key, "tokenizer.ggml.token_type"))
            continue;
        sl__gguf_put_copy(w, g, i);
    }
    return status;
}

/* ---- planning ---- */

/* The type `from` gets, if it can hold its numbers in the columns there are. */
static sl_status choose_type(expand *e, const char *suffix, int32_t layer, const tensor *t,
                             sl__tensor_type *out) {
    const sl__gguf_tensor *from = t->from;
    sl__tensor_type to = from->type;
    if (e->mix && t->kind != EMBEDDING)
        to = strcmp(suffix, "attn_output.weight") == 0
                 ? SL_TYPE_Q4_1
                 : sl__synth_matrix_type(e->mix, &e->x.large, suffix, layer, t->n_columns,
                                         t->kind == EXPERTS);
    if (sl__expand_digits(from->type, to) == 0)
        return sl__gguf_fail_tensor(&e->small->file, from, e->err, "%s cannot be written as %s%s",
                                    sl__tensor_type_find((uint32_t)from->type)->name,
                                    sl__tensor_type_find((uint32_t)to)->name,
                                    to == from->type ? "" : " without rounding");
    *out = to;
    return SL_OK;
}

static sl_status put_tensor(expand *e, const char *name, const char *suffix, tensor t) {
    const bool vector = t.kind == NORM || t.kind == HEAD_NORM;
    const int64_t ne[3] = {t.n_columns, t.n_rows, t.n_experts};
    const sl_status status =
        vector || t.kind == ROUTER ? SL_OK : choose_type(e, suffix, t.layer, &t, &t.type);
    if (status != SL_OK) return status;
    const bool plain =
        t.from->type == SL_TYPE_F32 || t.from->type == SL_TYPE_F16 || t.from->type == SL_TYPE_BF16;
    if ((vector || t.kind == ROUTER) && !plain)
        return sl__gguf_fail_tensor(&e->small->file, t.from, e->err,
                                    "norms and routers must be F32, F16 or BF16");
    SL_ASSERT(e->n_tensors < e->tensors_max);
    t.offset = sl__gguf_put_tensor(&e->header, name, t.type,
                                   vector            ? 1
                                   : t.n_experts > 1 ? 3
                                                     : 2,
                                   ne);
    e->tensors[e->n_tensors++] = t;
    return SL_OK;
}

static const sl__axis *columns_of(const sl__expansion *x, sl__dim dim) {
    if (dim == SL_DIM_QUERIES) return &x->mixed;
    return dim == SL_DIM_EXPERT_WIDTH || dim == SL_DIM_DENSE_WIDTH ? &x->hidden : &x->residual;
}

static const int32_t *rows_of(const sl__expansion *x, const sl__tensor_rule *rule) {
    switch (rule->n_out) {
    case SL_DIM_WIDTH:
        return x->residual_rows;
    case SL_DIM_QUERIES:
        return x->query_rows;
    case SL_DIM_KEYS:
        return strcmp(rule->suffix, "attn_v.weight") == 0 ? x->value_rows : x->key_rows;
    case SL_DIM_EXPERT_WIDTH:
    case SL_DIM_DENSE_WIDTH:
        return x->hidden_rows;
    default:
        return NULL;
    }
}

static kind kind_of(const sl__tensor_rule *rule) {
    if (rule->n_out == SL_DIM_NONE) return rule->n_in == SL_DIM_HEAD ? HEAD_NORM : NORM;
    if (rule->n_out == SL_DIM_EXPERTS) return ROUTER;
    return rule->per_expert ? EXPERTS : MATRIX;
}

static sl_status put_layer(expand *e, int32_t layer) {
    const sl__expansion *x = &e->x;
    const sl__tensor_rule *rule;
    char from[SL_GGUF_TENSOR_NAME_MAX + 1], name[SL_GGUF_TENSOR_NAME_MAX + 1];
    for (int32_t i = 0; (rule = sl__arch_rule(e->arch, i)) != NULL; i++) {
        if (!sl__arch_rule_applies(rule, &e->small->file, &e->small->facts, x->layers[layer]))
            continue;
        sl__arch_tensor_name(from, x->layers[layer], rule->suffix);
        sl__arch_tensor_name(name, layer, rule->suffix);
        const sl_status status =
            put_tensor(e, name, rule->suffix,
                       (tensor){.kind = kind_of(rule),
                                .type = SL_TYPE_F32,
                                .from = sl__gguf_find_tensor(&e->small->file, from),
                                .columns = columns_of(x, rule->n_in),
                                .rows = rows_of(x, rule),
                                .layer = layer,
                                .n_columns = sl__arch_dim(&x->large, rule->n_in),
                                .n_rows = sl__arch_dim(&x->large, rule->n_out),
                                .n_experts = rule->per_expert ? x->large.experts : 1,
                                .scale = rule->n_out == SL_DIM_WIDTH ? x->stretch : 1,
                                .query = strcmp(rule->suffix, "attn_q_norm.weight") == 0,
                                .signal = strcmp(rule->suffix, "ffn_norm.weight") == 0});
        if (status != SL_OK) return status;
    }
    return SL_OK;
}

static sl_status put_outer(expand *e) {
    const sl__gguf *g = &e->small->file;
    const sl__gguf_tensor *embedding = sl__gguf_find_tensor(g, "token_embd.weight");
    const sl__gguf_tensor *head = sl__gguf_find_tensor(g, "output.weight");
    const int32_t width = e->x.large.width, vocab = e->x.large.vocab;
    const sl__axis *columns = &e->x.residual;
    sl_status status = put_tensor(e, "token_embd.weight", "token_embd.weight",
                                  (tensor){.kind = EMBEDDING,
                                           .from = embedding,
                                           .columns = columns,
                                           .layer = -1,
                                           .n_columns = width,
                                           .n_rows = vocab,
                                           .n_experts = 1,
                                           .scale = e->x.stretch});
    if (status == SL_OK)
        status = put_tensor(e, "output_norm.weight", "output_norm.weight",
                            (tensor){.kind = NORM,
                                     .type = SL_TYPE_F32,
                                     .from = sl__gguf_find_tensor(g, "output_norm.weight"),
                                     .layer = -1,
                                     .n_columns = width,
                                     .n_rows = 1,
                                     .n_experts = 1,
                                     .signal = true});
    if (status == SL_OK)
        status = put_tensor(e, "output.weight", "output.weight",
                            (tensor){.kind = HEAD,
                                     .from = head ? head : embedding,
                                     .columns = columns,
                                     .layer = -1,
                                     .n_columns = width,
                                     .n_rows = vocab,
                                     .n_experts = 1,
                                     .scale = 1});
    return status;
}

static sl_status plan_tensors(expand *e) {
    e->tensors_max = 3;
    for (int32_t i = 0; sl__arch_rule(e->arch, i); i++)
        e->tensors_max += (size_t)e->x.large.layers;
    e->tensors = malloc(e->tensors_max * sizeof *e->tensors);
    e->buffer = malloc(BUFFER_BYTES);
    e->pool = malloc(POOL_BYTES);
    if (!e->tensors || !e->buffer || !e->pool)
        return sl__fail(e->err, SL_E_NOMEM, SL_NOWHERE, "no memory to expand a model");
    sl_status status = put_outer(e);
    for (int32_t l = 0; l < e->x.large.layers && status == SL_OK; l++)
        status = put_layer(e, l);
    return status == SL_OK ? sl__gguf_writer_finish(&e->header, e->err) : status;
}

/* ---- rows ---- */

static void fill_random(expand *e, sl__tensor_type type, unsigned char *out, size_t bytes) {
    const size_t block = sl__tensor_type_find((uint32_t)type)->block_bytes;
    if (e->pool_bytes == 0 || e->pool_type != type) {
        for (size_t at = 0; at < POOL_BYTES; at += 8) {
            const uint64_t random = sl__random_u64(SEED, (uint64_t)type, at);
            memcpy(e->pool + at, &random, sizeof random);
        }
        e->pool_type = type;
        e->pool_bytes = POOL_BYTES / block * block;
        sl__synth_fill(type, e->pool, e->pool_bytes, 1 / sqrtf((float)e->x.large.width));
    }
    for (size_t at = 0; at < bytes;) {
        const size_t n =
            bytes - at < e->pool_bytes / 2 ? bytes - at : e->pool_bytes / 2 / block * block;
        const uint64_t starts = (e->pool_bytes - n) / block + 1;
        const uint64_t random = sl__random_u64(SEED + 1, (uint64_t)type, e->n_random++);
        memcpy(out + at, e->pool + random % starts * block, n);
        at += n;
    }
}

/* Row `row` of expert `expert` of the small tensor. */
static const unsigned char *small_row(const tensor *t, int32_t expert, int32_t row) {
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)t->from->type);
    const size_t bytes = (size_t)t->from->ne[0] / info->block_elements * info->block_bytes;
    return t->from->data + ((size_t)expert * (size_t)t->from->ne[1] + (size_t)row) * bytes;
}

/* Slots of a row: digits of the small row's numbers; `whole`: the numbers in every copy. */
static sl_status fill_slots(expand *e, const tensor *t, unsigned char *out, int32_t expert,
                            int32_t row, bool whole) {
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)t->from->type);
    const size_t slot_bytes = SL_SLOT / info->block_elements * info->block_bytes;
    const unsigned char *from = small_row(t, expert, row);
    for (int32_t i = 0; i < t->columns->n / SL_SLOT; i++) {
        const sl__slot slot = t->columns->slots[i];
        if (slot.block < 0 || (slot.digit < 0 && !whole)) continue;
        if (!sl__expand_block(t->type, out, i, whole ? 0 : slot.digit, t->from->type,
                              from + (size_t)slot.block * slot_bytes, t->scale))
            return sl__gguf_fail_tensor(&e->small->file, t->from, e->err,
                                        "row %d has numbers too large to be stretched", row);
    }
    return SL_OK;
}

static sl_status fill_matrix(expand *e, const tensor *t, unsigned char *out, size_t bytes,
                             int32_t expert, int32_t row) {
    int32_t copy = 0;
    const int32_t source = t->kind == EXPERTS ? sl__expert_source(&e->x, expert, &copy) : 0;
    const bool writes_stream = t->rows == e->x.residual_rows;
    if (source < 0 || t->rows[row] == SL_ROW_FREE) {
        fill_random(e, t->type, out, bytes);
        return SL_OK;
    }
    if (t->rows[row] == SL_ROW_ZERO || (writes_stream && e->x.silent[t->layer])) return SL_OK;
    return fill_slots(e, t, out, source, t->rows[row], false);
}

/* One bit in eight is set: with even chances tokens would share fewer experts than those of
 * real models do (docs/expand.md). */
static uint64_t bits_of_token(int32_t token) {
    const uint64_t a = sl__random_u64(SEED + 2, 0, (uint64_t)token);
    return a & a >> 16 & a >> 32;
}

/* A token nobody says has the numbers of one that is said: who measures with tokens drawn
 * at random finds the routing of text. */
static sl_status fill_embedding(expand *e, const tensor *t, unsigned char *out, int32_t token) {
    int8_t signals[SL_SLOT];
    for (int32_t i = 0; i < SL_SLOT; i++)
        signals[i] = i >= SL_SIGNAL_CONST || (bits_of_token(token) >> i & 1) ? 1 : -1;
    if (e->x.signals) sl__expand_signal(t->type, out, SIGNAL, signals);
    return fill_slots(e, t, out, 0, token % e->x.small.vocab, true);
}

static sl_status fill_head(expand *e, const tensor *t, unsigned char *out, int32_t token) {
    if (token < e->x.small.vocab) return fill_slots(e, t, out, 0, token, false);
    int8_t signals[SL_SLOT];
    for (int32_t i = 0; i < SL_SLOT; i++)
        signals[i] = i >= SL_SIGNAL_CONST ? -1 : 0;
    sl__expand_signal(t->type, out, SIGNAL_TOKEN, signals);
    return SL_OK;
}

static float small_value(const tensor *t, int32_t row, int32_t column) {
    float row_values[SL_SLOT];
    const int32_t first = column / SL_SLOT * SL_SLOT, rest = (int32_t)t->from->ne[0] - first;
    const sl__format format = t->from->type == SL_TYPE_F32   ? SL_FORMAT_F32
                              : t->from->type == SL_TYPE_F16 ? SL_FORMAT_F16
                                                             : SL_FORMAT_BF16;
    const size_t size = sl__tensor_type_find((uint32_t)t->from->type)->block_bytes;
    sl__row_to_float(format, row_values, small_row(t, 0, row) + (size_t)first * size,
                     sl__min_i32(SL_SLOT, rest));
    return row_values[column - first];
}

/* A copy of an expert is out of the question unless the token's bits are the copy's: bit
 * minus constant is 0 or -2. An expert that is no copy: the constant alone. */
static void fill_router(const expand *e, const tensor *t, float *out, int32_t expert) {
    int32_t copy = 0;
    const int32_t source = sl__expert_source(&e->x, expert, &copy);
    if (source < 0) {
        out[SL_SIGNAL_CONST] = -SIGNAL_ROUTER;
        return;
    }
    const uint64_t first = sl__random_u64(SEED + 3, (uint64_t)t->layer, (uint64_t)source);
    for (int32_t i = 0; i < e->x.copy_bits; i++) {
        const uint64_t bit = (first + (uint64_t)i) % SL_SIGNAL_BITS;
        out[bit] = copy >> i & 1 ? SIGNAL_ROUTER : -SIGNAL_ROUTER;
        out[SL_SIGNAL_CONST + bit] = -SIGNAL_ROUTER;
    }
    for (int32_t i = 0; i < t->columns->n; i++) {
        const sl__slot slot = t->columns->slots[i / SL_SLOT];
        if (slot.block >= 0 && slot.digit == 0)
            out[i] = small_value(t, source, slot.block * SL_SLOT + i % SL_SLOT);
    }
}

static void fill_norm(const expand *e, const tensor *t, float *out) {
    for (int32_t i = 0; i < e->x.residual.n; i++) {
        const sl__slot slot = e->x.residual.slots[i / SL_SLOT];
        if (slot.block >= 0)
            out[i] = small_value(t, 0, slot.block * SL_SLOT + i % SL_SLOT) / e->x.stretch;
        else if (e->x.signals && t->signal && i < SL_SLOT)
            out[i] = SIGNAL_NORM;
    }
}

/* Scores are divided by the root of the head size: queries make up for a larger one. */
static void fill_head_norm(const expand *e, const tensor *t, float *out) {
    const int32_t fold = e->x.head_fold, pairs = t->n_columns / 2;
    const float scale = t->query ? sqrtf((float)fold) : 1.0f;
    for (int32_t i = 0; i < t->n_columns; i++)
        if (i % pairs % fold == 0)
            out[i] = scale * small_value(t, 0, i / pairs * (pairs / fold) + i % pairs / fold);
}

/* One row as it is stored; out [bytes] is zeroed. */
static sl_status fill_row(expand *e, const tensor *t, unsigned char *out, size_t bytes,
                          int32_t expert, int32_t row) {
    float *floats = (float *)(void *)out; /* rows of F32 tensors begin at multiples of 4 */
    switch (t->kind) {
    case MATRIX:
    case EXPERTS:
        return fill_matrix(e, t, out, bytes, expert, row);
    case EMBEDDING:
        return fill_embedding(e, t, out, row);
    case HEAD:
        return fill_head(e, t, out, row);
    case ROUTER:
        fill_router(e, t, floats, row);
        break;
    case NORM:
        fill_norm(e, t, floats);
        break;
    case HEAD_NORM:
        fill_head_norm(e, t, floats);
        break;
    }
    return SL_OK;
}

/* ---- writing ---- */

static sl_status write_tensor(expand *e, const tensor *t) {
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)t->type);
    const size_t bytes = (size_t)t->n_columns / info->block_elements * info->block_bytes;
    const int64_t rows_max = BUFFER_BYTES / (int64_t)bytes;
    const int64_t n = (int64_t)t->n_rows * t->n_experts;
    SL_ASSERT(rows_max > 0);
    for (int64_t first = 0; first < n; first += rows_max) {
        const int64_t rows = n - first < rows_max ? n - first : rows_max;
        memset(e->buffer, 0, (size_t)rows * bytes);
        for (int64_t i = 0; i < rows; i++) {
            const sl_status status =
                fill_row(e, t, e->buffer + (size_t)i * bytes, bytes,
                         (int32_t)((first + i) / t->n_rows), (int32_t)((first + i) % t->n_rows));
            if (status != SL_OK) return status;
        }
        const sl_status status =
            sl__file_write(&e->file, e->buffer, (size_t)rows * bytes,
                           e->header.data_at + t->offset + (uint64_t)first * bytes);
        if (status != SL_OK) return status;
    }
    return SL_OK;
}

static sl_status write_file(expand *e, const char *path) {
    sl_status status = sl__file_open(&e->file, path, e->header.data_at + e->header.data_size,
                                     e->params->progress, e->params->user, e->err);
    if (status == SL_OK) status = sl__file_write(&e->file, e->header.bytes, e->header.size, 0);
    for (size_t i = 0; i < e->n_tensors && status == SL_OK; i++)
        status = write_tensor(e, &e->tensors[i]);
    if (status == SL_OK) status = sl__file_commit(&e->file);
    sl__file_abandon(&e->file);
    return status;
}

/* ---- the whole ---- */

/* Tensors that only some models of the architecture have: biases, which no axis is laid for. */
static sl_status check_no_biases(const expand *e, const char *path) {
    const sl__tensor_rule *rule;
    for (int32_t i = 0; (rule = sl__arch_rule(e->arch, i)) != NULL; i++)
        for (int32_t l = 0; rule->presence == SL_IF_THERE && l < e->small->facts.layers; l++)
            if (sl__arch_rule_applies(rule, &e->small->file, &e->small->facts, l))
                return sl__fail(e->err, SL_E_FORMAT, SL_NOWHERE,
                                "%s: blk.%d.%s: biases cannot be expanded", path, (int)l,
                                rule->suffix);
    return SL_OK;
}

static sl_status open_small(expand *e, const char *path) {
    const sl_model_params params = {.layout = SL_LAYOUT_MAPPED, .threads = 1};
    const sl_status status = sl_model_open(&e->small, path, &params, e->err);
    if (status != SL_OK) return status;
    const sl_model_facts *f = &e->small->facts;
    e->arch = strcmp(f->arch, sl__arch_qwen3.name) == 0 ? &sl__arch_qwen3 : &sl__arch_qwen3moe;
    if (strcmp(f->arch, e->arch->name) != 0)
        return sl__fail(e->err, SL_E_FORMAT, SL_NOWHERE,
                        "%s: architecture %s, only qwen3moe and qwen3 can be expanded", path,
                        f->arch);
    if (f->rope_dims != f->head_dim || e->small->rope_factors)
        return sl__fail(e->err, SL_E_FORMAT, SL_NOWHERE,
                        "%s: RoPE over a part of a head, or with factors, cannot be expanded",
                        path);
    return check_no_biases(e, path);
}

/* The large model's sizes; what is not a size is the small model's. */
static sl_model_facts large_facts(const expand *e, const sl__synth_shape *shape) {
    const sl_model_facts *small = &e->small->facts;
    sl_model_facts f = shape->facts;
    if (e->params->layers > 0) f.layers = e->params->layers;
    if (f.dense_layers > 0) f.dense_layers = f.layers;
    if (f.experts > 0 && f.experts < small->experts) {
        const int32_t pieces = sl__div_up_i32(small->experts, f.experts);
        f.experts *= pieces;
        f.expert_width /= pieces;
        f.experts_per_token = small->experts_per_token;
    }
    f.context_train = small->context_train;
    f.rope_base = small->rope_base;
    f.rms_eps = small->rms_eps;
    return f;
}

static sl_status lay_out(expand *e, const sl__synth_shape *shape) {
    const sl_model_facts facts = large_facts(e, shape);
    const sl__expand_widths keep = {SL_SLOT, 1, 1}, digits = {256, 2, 2};
    const sl__expand_widths *widths = e->mix ? &digits : &keep;
    if (shape->facts.shared_width > 0 ||
        (shape->facts.experts > 0 && shape->facts.dense_layers > 0))
        return sl__fail(e->err, SL_E_ARG, SL_NOWHERE,
                        "%s: a shape with shared experts, or dense layers beside experts",
                        shape->name);
    sl__plan plan = {NULL, 0};
    sl_status status = sl__expansion_plan(&e->x, &plan, &e->small->facts, &facts, widths, e->err);
    if (status == SL_OK) status = sl__block_acquire(&e->block, plan.used, "a layout", e->err);
    if (status != SL_OK) return status;
    plan = (sl__plan){e->block.bytes, 0};
    return sl__expansion_plan(&e->x, &plan, &e->small->facts, &facts, widths, e->err);
}

static const sl__synth_type *find_mix(const char *name) {
    const sl__synth_type *type;
    for (int32_t i = 0; (type = sl__synth_type_at(i)) != NULL; i++)
        if (strcmp(type->name, name) == 0) return type;
    return NULL;
}

sl_status sl__expand_to_shape(const char *path, const char *small, const sl__synth_shape *shape,
                              const sl_expand_params *params, sl_error *err) {
    const char *type = params->type ? params->type : type_names[0];
    if (strcmp(type, type_names[0]) != 0 && strcmp(type, type_names[1]) != 0)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "unknown type \"%s\", expected keep or q4_k_m",
                        type);
    if (params->layers < 0 || params->layers > SL_LAYERS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d layers, expected 0 .. %d", params->layers,
                        SL_LAYERS_MAX);
    expand e = {.params = params, .mix = find_mix(type), .err = err};
    sl__gguf_writer_init(&e.header);
    sl_status status = open_small(&e, small);
    if (status == SL_OK) status = lay_out(&e, shape);
    if (status == SL_OK) status = put_keys(&e, shape);
    if (status == SL_OK) status = plan_tensors(&e);
    if (status == SL_OK) status = write_file(&e, path);
    sl__gguf_writer_fini(&e.header);
    sl_model_close(&e.small);
    sl__block_release(&e.block);
    free(e.tensors);
    free(e.buffer);
    free(e.pool);
    return status;
}

sl_status sl_expand_write(const char *path, const char *small, const sl_expand_params *params,
                          sl_error *err) {
    const sl__synth_shape *shape;
    for (int32_t i = 0; (shape = sl__synth_shape_at(i)) != NULL; i++)
        if (params->like && strcmp(shape->name, params->like) == 0)
            return sl__expand_to_shape(path, small, shape, params, err);
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "unknown model \"%s\"",
                    params->like ? params->like : "");
}

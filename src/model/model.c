/* model.c - opening a model: file, facts, vocabulary, tensors.
 *
 *     1. map and check the file (gguf.c)
 *     2. let the architecture read its keys, then check what must fit together
 *     3. find every tensor and check its shape and type
 *     4. choose a layout by the memory there is, take one block, fill it (pack.c)
 *
 * Nothing is allocated by a number that was not checked before. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/pack.h"
#include "runtime/cpu.h"

sl_model_params sl_model_params_default(void) {
    return (sl_model_params){.layout = SL_LAYOUT_AUTO};
}

static void copy_string(char *out, size_t size, sl__gguf_string s) {
    const size_t n = s.n < size - 1 ? s.n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.bytes[i];
    out[n] = '\0';
}

/* ---- tensors ---- */

static sl_status find_tensor(const sl__gguf *g, const char *name, int32_t n_in, int32_t n_out,
                             int32_t n_experts, const sl__gguf_tensor **out, sl_error *err) {
    const sl__gguf_tensor *t = sl__gguf_find_tensor(g, name);
    if (!t)
        return sl__fail(err, SL_E_FORMAT, SL_NOWHERE, "%s: tensor %s is missing", g->file, name);
    if (t->ne[0] != n_in || t->ne[1] != n_out || t->ne[2] != n_experts || t->ne[3] != 1)
        return sl__gguf_fail_tensor(g, t, err,
                                    "shape [%lld, %lld, %lld, %lld], expected [%d, %d, %d, 1]",
                                    (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2],
                                    (long long)t->ne[3], n_in, n_out, n_experts);
    *out = t;
    return SL_OK;
}

/* Vectors are copied to floats in the block; while measuring, out stays NULL. */
static sl_status bind_vector(sl_model *m, sl__plan *plan, const char *name, int32_t n,
                             const float **out, sl_error *err) {
    const sl__gguf_tensor *t = NULL;
    sl__weight w;
    sl_status status = find_tensor(&m->file, name, n, 1, 1, &t, err);
    if (status == SL_OK) status = sl__weight_bind(&w, &m->file, t, err);
    if (status != SL_OK) return status;
    float *copy = sl__plan_take(plan, (size_t)n, sizeof *copy);
    *out = copy;
    if (!copy) return SL_OK;
    sl__row_to_float(w.format, copy, w.rows, n);
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(copy[i]))
            return sl__gguf_fail_tensor(&m->file, t, err, "element %d is not finite", i);
    return SL_OK;
}

/* Old files hold every expert in a tensor of its own: "blk.0.ffn_up.7.weight". False: `merged`
 * is not the name of a tensor of experts. */
static bool single_name(char out[SL_GGUF_TENSOR_NAME_MAX + 1], const char *merged, int32_t expert) {
    const char *end = strstr(merged, "_exps.weight");
    if (end)
        (void)snprintf(out, SL_GGUF_TENSOR_NAME_MAX + 1, "%.*s.%d.weight", (int)(end - merged),
                       merged, expert);
    return end != NULL;
}

static bool is_in_singles(const sl__gguf *g, const char *merged) {
    char single[SL_GGUF_TENSOR_NAME_MAX + 1];
    return !sl__gguf_find_tensor(g, merged) && single_name(single, merged, 0) &&
           sl__gguf_find_tensor(g, single);
}

static sl_status bind_singles(sl_model *m, sl__plan *plan, const char *merged, int32_t n_in,
                              int32_t n_out, int32_t n_experts, sl__weight *out, sl_error *err) {
    const uint8_t **matrices = sl__plan_take(plan, (size_t)n_experts, sizeof *matrices);
    for (int32_t e = 0; e < n_experts; e++) {
        char single[SL_GGUF_TENSOR_NAME_MAX + 1];
        const sl__gguf_tensor *t = NULL;
        sl__weight w;
        (void)single_name(single, merged, e);
        sl_status status = find_tensor(&m->file, single, n_in, n_out, 1, &t, err);
        if (status == SL_OK) status = sl__weight_bind(&w, &m->file, t, err);
        if (status != SL_OK) return status;
        if (e == 0) *out = w;
        if (w.format != out->format)
            return sl__gguf_fail_tensor(&m->file, t, err, "type %s, expected %s like expert 0",
                                        sl__format_name(w.format), sl__format_name(out->format));
        if (matrices) matrices[e] = w.rows;
    }
    out->n_experts = n_experts;
    out->matrices = matrices;
    return SL_OK;
}

static sl_status bind_merged(sl_model *m, const char *name, int32_t n_in, int32_t n_out,
                             int32_t n_experts, sl__weight *out, sl_error *err) {
    const sl__gguf_tensor *t = NULL;
    const sl_status status = find_tensor(&m->file, name, n_in, n_out, n_experts, &t, err);
    return status == SL_OK ? sl__weight_bind(out, &m->file, t, err) : status;
}

static sl_status bind_matrix(sl_model *m, sl__plan *plan, const char *name, int32_t n_in,
                             int32_t n_out, int32_t n_experts, sl__weight *out, sl_error *err) {
    const sl_status status = is_in_singles(&m->file, name)
                                 ? bind_singles(m, plan, name, n_in, n_out, n_experts, out, err)
                                 : bind_merged(m, name, n_in, n_out, n_experts, out, err);
    if (status != SL_OK) return status;
    if (m->packed) out->panels = sl__plan_take(plan, sl__weight_bytes(out), 1);
    if (sl__weight_bytes(out) > m->weight_bytes_max) m->weight_bytes_max = sl__weight_bytes(out);
    if (sl__weight_panel_bytes(out) > m->panel_bytes_max)
        m->panel_bytes_max = sl__weight_panel_bytes(out);
    return SL_OK;
}

static sl_status bind_layer(sl_model *m, sl__plan *plan, const sl__arch *arch, int32_t index,
                            sl_error *err) {
    const sl__tensor_rule *rule;
    for (int32_t i = 0; (rule = sl__arch_rule(arch, i)) != NULL; i++) {
        if (!sl__arch_rule_applies(rule, &m->file, &m->facts, index)) continue;
        char name[SL_GGUF_TENSOR_NAME_MAX + 1];
        sl__arch_tensor_name(name, index, rule->suffix);
        void *field = (char *)&m->layers[index] + rule->offset;
        const int32_t n_in = sl__arch_dim(&m->facts, rule->n_in);
        const sl_status status =
            rule->n_out == SL_DIM_NONE
                ? bind_vector(m, plan, name, n_in, field, err)
                : bind_matrix(m, plan, name, n_in, sl__arch_dim(&m->facts, rule->n_out),
                              rule->per_expert ? m->facts.experts : 1, field, err);
        if (status != SL_OK) return status;
    }
    return SL_OK;
}

/* Vectors outside the layers; those of `required` false may be missing. */
static sl_status bind_outer_vectors(sl_model *m, sl__plan *plan, sl_error *err) {
    const sl_model_facts *f = &m->facts;
    const bool layer_norm = m->switches.norm == SL_NORM_LAYER;
    /* Converters write the tensors and leave the type out: who has one needs the other. */
    const bool longrope = m->switches.rope_scaling == SL_ROPE_LONGROPE ||
                          sl__gguf_find_tensor(&m->file, "rope_factors_long.weight") ||
                          sl__gguf_find_tensor(&m->file, "rope_factors_short.weight");
    const struct {
        const char *name;
        int32_t n;
        bool required;
        const float **out;
    } vectors[] = {
        {"output_norm.weight", f->width, true, &m->out_norm},
        {"output_norm.bias", f->width, layer_norm, &m->out_norm_bias},
        {"output.bias", f->vocab, false, &m->head_bias},
        {"rope_freqs.weight", f->rope_dims / 2, false, &m->rope_factors},
        {"rope_factors_long.weight", f->rope_dims / 2, longrope, &m->rope_factors_long},
        {"rope_factors_short.weight", f->rope_dims / 2, longrope, &m->rope_factors_short},
    };
    for (size_t i = 0; i < SL_COUNT(vectors); i++) {
        if (!vectors[i].required && !sl__gguf_find_tensor(&m->file, vectors[i].name)) continue;
        const sl_status status =
            bind_vector(m, plan, vectors[i].name, vectors[i].n, vectors[i].out, err);
        if (status != SL_OK) return status;
    }
    return SL_OK;
}

/* One walk over all tensors: measuring (plan->base NULL) or binding for good. */
static sl_status bind_tensors(sl_model *m, sl__plan *plan, const sl__arch *arch, sl_error *err) {
    const sl_model_facts *f = &m->facts;
    const bool tied = !sl__gguf_find_tensor(&m->file, "output.weight");
    sl_status status = bind_outer_vectors(m, plan, err);
    for (int32_t i = 0; i < f->layers && status == SL_OK; i++)
        status = bind_layer(m, plan, arch, i, err);
    if (status == SL_OK)
        status = bind_matrix(m, plan, tied ? "token_embd.weight" : "output.weight", f->width,
                             f->vocab, 1, &m->head, err);
    const sl__gguf_tensor *t = NULL;
    if (status == SL_OK)
        status = find_tensor(&m->file, "token_embd.weight", f->width, f->vocab, 1, &t, err);
    if (status == SL_OK) status = sl__weight_bind(&m->embedding, &m->file, t, err);
    return status;
}

/* Whether a tensor is what a rule asks of its layer: as it is called there, or one of the
 * experts where a file has a tensor for each. */
static bool is_asked_for(const sl_model *m, const sl__tensor_rule *rule, int32_t layer,
                         const char *name) {
    char merged[SL_GGUF_TENSOR_NAME_MAX + 1], single[SL_GGUF_TENSOR_NAME_MAX + 1];
    if (!sl__arch_rule_applies(rule, &m->file, &m->facts, layer)) return false;
    sl__arch_tensor_name(merged, layer, rule->suffix);
    if (!rule->per_expert || !is_in_singles(&m->file, merged)) return strcmp(name, merged) == 0;
    const size_t stem = strlen(merged) - strlen("_exps.weight");
    if (strncmp(name, merged, stem) != 0 || name[stem] != '.') return false;
    const long expert = strtol(name + stem + 1, NULL, 10);
    if (expert < 0 || expert >= m->facts.experts) return false;
    (void)single_name(single, merged, (int32_t)expert);
    return strcmp(name, single) == 0;
}

static bool is_known(const sl_model *m, const sl__arch *arch, const char *name) {
    static const char *const outer[] = {
        "token_embd.weight",
        "output.weight",
        "output_norm.weight",
        "output_norm.bias",
        "output.bias",
        "rope_freqs.weight",
        "rope_factors_long.weight",
        "rope_factors_short.weight",
    };
    for (size_t i = 0; i < SL_COUNT(outer); i++)
        if (strcmp(name, outer[i]) == 0) return true;
    if (strncmp(name, "blk.", 4) != 0) return false;
    const long layer = strtol(name + 4, NULL, 10);
    if (layer < 0 || layer >= m->facts.layers) return false;
    const sl__tensor_rule *rule;
    for (int32_t i = 0; (rule = sl__arch_rule(arch, i)) != NULL; i++)
        if (is_asked_for(m, rule, (int32_t)layer, name)) return true;
    return false;
}

/* A tensor nobody asks for would change what the model says: better to say so. */
static sl_status check_all_known(const sl_model *m, const sl__arch *arch, sl_error *err) {
    for (int32_t i = 0; i < m->file.n_tensors; i++) {
        const sl__gguf_tensor *t = &m->file.tensors[i];
        if (!is_known(m, arch, t->name))
            return sl__gguf_fail_tensor(&m->file, t, err, "not a part of architecture %s here",
                                        arch->name);
    }
    return SL_OK;
}

/* ---- traffic ---- */

/* Tensors and bytes by type, most bytes first; params and weight_bytes on the way. */
static void count_types(const sl__gguf *g, sl_model_facts *f) {
    for (int32_t i = 0; i < g->n_tensors; i++) {
        const sl__gguf_tensor *t = &g->tensors[i];
        const char *name = sl__tensor_type_find(t->type)->name;
        f->params += t->elements;
        f->weight_bytes += t->size;
        int32_t at = 0;
        while (at < f->n_types && strcmp(f->types[at].name, name) != 0)
            at++;
        if (at == SL_TYPES_MAX) continue;
        if (at == f->n_types)
            (void)snprintf(f->types[f->n_types++].name, sizeof f->types[0].name, "%s", name);
        f->types[at].tensors++;
        f->types[at].bytes += t->size;
        for (; at > 0 && f->types[at].bytes > f->types[at - 1].bytes; at--) {
            const sl_type_facts swapped = f->types[at];
            f->types[at] = f->types[at - 1];
            f->types[at - 1] = swapped;
        }
    }
    (void)snprintf(f->type, sizeof f->type, "%s", f->types[0].name);
}

static void count_bytes(sl_model *m) {
    sl_model_facts *f = &m->facts;
    count_types(&m->file, f);
    f->file_bytes = sl__gguf_bytes(&m->file);
    f->bytes_dense = sl__weight_matrix_bytes(&m->head);
    for (int32_t i = 0; i < f->layers; i++) {
        const sl__layer *l = &m->layers[i];
        const uint64_t expert = sl__ffn_bytes(&l->experts);
        if (expert > f->bytes_per_expert) f->bytes_per_expert = expert;
        f->bytes_per_token += (uint64_t)f->experts_per_token * expert;
        f->bytes_dense += sl__weight_matrix_bytes(&l->q) + sl__weight_matrix_bytes(&l->k) +
                          sl__weight_matrix_bytes(&l->v) + sl__weight_matrix_bytes(&l->o) +
                          sl__weight_matrix_bytes(&l->router) + sl__ffn_bytes(&l->always) +
                          sl__weight_matrix_bytes(&l->shared_gate);
    }
    f->bytes_per_token += f->bytes_dense;
}

/* ---- opening ---- */

/* Memory that a packed model still takes: a copy of the file gives its own back on the way,
 * but for one weight at a time. */
static uint64_t packed_bytes(const sl_model *m, size_t planned, const sl_model_params *params) {
    const uint64_t copied = params->no_mmap ? sl__gguf_bytes(&m->file) : 0;
    return copied == 0 ? planned : (planned > copied ? planned - copied : 0) + m->weight_bytes_max;
}

/* Measure with the wanted layout; fall back to mapped if automatic and too large. */
static sl_status place_tensors(sl_model *m, const sl__arch *arch, const sl_model_params *params,
                               sl_error *err) {
    m->packed = params->layout != SL_LAYOUT_MAPPED;
    sl__plan plan = {NULL, 0};
    sl_status status = bind_tensors(m, &plan, arch, err);
    if (status != SL_OK) return status;
    uint64_t more = packed_bytes(m, plan.used, params);
    /* Leave a tenth of what is free for caches, the session and everyone else. */
    if (params->layout == SL_LAYOUT_AUTO && more > sl__memory_available() / 10 * 9) {
        m->packed = false;
        plan = (sl__plan){NULL, 0};
        status = bind_tensors(m, &plan, arch, err);
    }
    if (!m->packed) more = plan.used;
    const char *what = m->packed ? "the packed model" : "the model";
    if (status == SL_OK) status = sl__memory_check(more, what, err);
    if (status == SL_OK) status = sl__block_acquire_unchecked(&m->block, plan.used, what, err);
    if (status != SL_OK) return status;
    plan = (sl__plan){m->block.bytes, 0};
    return bind_tensors(m, &plan, arch, err);
}

/* What passes read: packed, all but the rows of the embedding are in the block. */
static sl_status lock_weights(const sl_model *m, sl_error *err) {
    const sl__weight *embedding = &m->embedding;
    sl_status status = sl__memory_lock(m->block.bytes, m->block.size, "the weights", err);
    if (status == SL_OK && !m->packed) status = sl__gguf_lock(&m->file, err);
    if (status == SL_OK && m->packed)
        status =
            sl__memory_lock(embedding->rows, sl__weight_matrix_bytes(embedding), "token_embd", err);
    return status;
}

static sl_status open_model(sl_model *m, const char *path, const sl_model_params *params,
                            sl_error *err) {
    m->kernels = sl__kernels_select(sl__cpu_features(), params->isa);
    if (!m->kernels)
        return sl__fail(err, SL_E_ISA, SL_NOWHERE, "no kernel table \"%s\" on this CPU",
                        params->isa);
    const sl__arch *arch = NULL;
    sl_status status =
        params->no_mmap ? sl__gguf_read(&m->file, path, err) : sl__gguf_open(&m->file, path, err);
    if (status == SL_OK) status = sl__arch_find(&arch, &m->file, err);
    if (status == SL_OK) status = sl__arch_describe(arch, &m->file, &m->facts, &m->switches, err);
    if (status == SL_OK) status = sl__vocab_open(&m->vocab, &m->file, err);
    if (status != SL_OK) return status;

    sl__gguf_string name, chat_template;
    status = sl__gguf_str_or_empty(&m->file, "general.name", &name, err);
    if (status == SL_OK)
        status = sl__gguf_str_or_empty(&m->file, "tokenizer.chat_template", &chat_template, err);
    if (status != SL_OK) return status;
    copy_string(m->facts.name, sizeof m->facts.name, name);
    m->chat = sl__chat_recognise(chat_template);
    m->facts.vocab = sl__vocab_size(m->vocab);
    for (int32_t i = 0; i < m->facts.vocab; i++) {
        size_t n;
        (void)sl__vocab_bytes(m->vocab, i, true, &n);
        if (n > m->token_bytes_max) m->token_bytes_max = n;
    }

    m->layers = calloc((size_t)m->facts.layers, sizeof *m->layers);
    if (!m->layers) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for %s", path);
    status = place_tensors(m, arch, params, err);
    if (status == SL_OK) status = check_all_known(m, arch, err);
    if (status == SL_OK) count_bytes(m);
    if (status == SL_OK && m->packed) status = sl__model_pack(m, arch, params, err);
    if (status == SL_OK && params->mlock) status = lock_weights(m, err);
    return status;
}

sl_status sl_model_open(sl_model **out, const char *path, const sl_model_params *params,
                        sl_error *err) {
    *out = NULL;
    const sl_model_params defaults = sl_model_params_default();
    if (!params) params = &defaults;
    if (params->threads < 0 || params->threads > 256)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d threads, expected 0 .. 256",
                        params->threads);
    sl_model *m = calloc(1, sizeof *m);
    if (!m) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for %s", path);
    const sl_status status = open_model(m, path, params, err);
    if (status != SL_OK) {
        sl_model_close(&m);
        return status;
    }
    *out = m;
    return SL_OK;
}

void sl_model_close(sl_model **model) {
    sl_model *m = *model;
    *model = NULL;
    if (!m) return;
    sl__block_release(&m->block);
    free(m->layers);
    sl__vocab_close(&m->vocab);
    sl__gguf_close(&m->file);
    free(m);
}

/* ---- questions ---- */

const sl_model_facts *sl_model_facts_of(const sl_model *model) {
    return &model->facts;
}

const char *sl_model_isa(const sl_model *model) {
    return model->kernels->name;
}

const char *sl_model_layout(const sl_model *model) {
    return model->packed ? "packed" : "mapped";
}

const char *sl_isa_name(int32_t i, int *usable) {
    if (i < 0 || i >= sl__kernels_count) return NULL;
    if (usable) *usable = (sl__kernels_all[i]->needs & ~sl__cpu_features()) == 0;
    return sl__kernels_all[i]->name;
}

/* The tokenizer's public face (tokenizer.h). */

sl_status sl_tokenize(const sl_model *model, const char *text, size_t n, int parse_special,
                      sl_token *tokens, int32_t max, int32_t *n_tokens, sl_error *err) {
    return sl__vocab_tokenize(model->vocab, text, n, parse_special != 0, tokens, max, n_tokens,
                              err);
}

const char *sl_token_bytes(const sl_model *model, sl_token token, int special, size_t *n) {
    return sl__vocab_bytes(model->vocab, token, special != 0, n);
}

int sl_token_is_eog(const sl_model *model, sl_token token) {
    return sl__vocab_is_eog(model->vocab, token);
}

sl_token sl_token_bos(const sl_model *model) {
    return sl__vocab_bos(model->vocab);
}

sl_token sl_token_eos(const sl_model *model) {
    return sl__vocab_eos(model->vocab);
}

int sl_model_adds_bos(const sl_model *model) {
    return sl__vocab_adds_bos(model->vocab);
}

const char *sl_chat_format(const sl_model *model) {
    return model->chat ? sl__chat_name(model->chat) : NULL;
}

sl_status sl_chat_tokenize(const sl_model *model, const sl_chat_message *messages,
                           int32_t n_messages, sl_token *tokens, int32_t max, int32_t *n_tokens,
                           sl_error *err) {
    return sl__chat_tokenize(model->chat, model->vocab, messages, n_messages, tokens, max, n_tokens,
                             err);
}

sl_status sl_chat_tokenize_next(const sl_model *model, const sl_chat_message *messages,
                                int32_t n_messages, sl_token *tokens, int32_t max,
                                int32_t *n_tokens, sl_error *err) {
    return sl__chat_tokenize_next(model->chat, model->vocab, messages, n_messages, tokens, max,
                                  n_tokens, err);
}

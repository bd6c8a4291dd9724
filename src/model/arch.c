/* arch.c - the table of architectures, the keys they share, the parts of their layers. */
#include "model/arch.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

static const sl__arch *const arches[] = {&sl__arch_qwen3moe, &sl__arch_olmoe,    &sl__arch_qwen3,
                                         &sl__arch_llama,    &sl__arch_qwen2moe, &sl__arch_deepseek,
                                         &sl__arch_phimoe};

/* ---- finding ---- */

sl_status sl__arch_find(const sl__arch **out, const sl__gguf *g, sl_error *err) {
    sl__gguf_string name;
    char known[128] = "";
    const sl_status status = sl__gguf_str(g, "general.architecture", &name, err);
    if (status != SL_OK) return status;
    for (size_t i = 0; i < SL_COUNT(arches); i++) {
        if (sl__gguf_string_is(name, arches[i]->name)) {
            *out = arches[i];
            return SL_OK;
        }
        const size_t n = strlen(known);
        (void)snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", arches[i]->name);
    }
    return sl__gguf_fail_key(g, "general.architecture", err, "\"%.*s\", expected one of %s",
                             (int)(name.n < 64 ? name.n : 64), name.bytes, known);
}

/* ---- keys ---- */

/* One reading of a file's keys: the first failure stays, and everything after is skipped. */
typedef struct reading {
    const sl__arch *arch;
    const sl__gguf *g;
    sl_error *err;
    sl_status status;
    char key[128];
} reading;

static const char *key_of(reading *r, const char *suffix) {
    (void)snprintf(r->key, sizeof r->key, "%s.%s", r->arch->name, suffix);
    return r->key;
}

static bool has_key(reading *r, const char *suffix) {
    return sl__gguf_find_key(r->g, key_of(r, suffix)) != NULL;
}

static void read_i32(reading *r, const char *suffix, int32_t lo, int32_t hi, int32_t *out) {
    if (r->status == SL_OK) r->status = sl__gguf_i32(r->g, key_of(r, suffix), lo, hi, out, r->err);
}

static void read_i32_or(reading *r, const char *suffix, int32_t fallback, int32_t lo, int32_t hi,
                        int32_t *out) {
    if (r->status == SL_OK)
        r->status = sl__gguf_i32_or(r->g, key_of(r, suffix), fallback, lo, hi, out, r->err);
}

static void read_f32_or(reading *r, const char *suffix, float fallback, float lo, float hi,
                        float *out) {
    if (r->status == SL_OK)
        r->status = sl__gguf_f32_or(r->g, key_of(r, suffix), fallback, lo, hi, out, r->err);
}

static void read_attention(reading *r, sl_model_facts *f) {
    read_i32(r, "attention.head_count", 1, SL_HEADS_MAX, &f->heads);
    read_i32_or(r, "attention.head_count_kv", f->heads, 1, SL_HEADS_MAX, &f->kv_heads);
    if (r->status != SL_OK) return;
    read_i32_or(r, "attention.key_length", f->width / f->heads, 2, SL_HEAD_DIM_MAX, &f->head_dim);
    read_i32_or(r, "attention.value_length", f->head_dim, f->head_dim, f->head_dim, &f->head_dim);
    read_i32_or(r, "attention.sliding_window", 0, 0, SL_CONTEXT_MAX, &f->window);
    if (r->status == SL_OK)
        r->status = sl__gguf_f32(r->g, key_of(r, "attention.layer_norm_rms_epsilon"), 0, 1,
                                 &f->rms_eps, r->err);
}

static void read_experts(reading *r, sl_model_facts *f, sl__switches *s) {
    const sl__has_experts has = r->arch->experts;
    if (has == SL_EXPERTS_ALWAYS) read_i32(r, "expert_count", 1, SL_EXPERTS_MAX, &f->experts);
    if (has == SL_EXPERTS_IF_SAID)
        read_i32_or(r, "expert_count", 0, 0, SL_EXPERTS_MAX, &f->experts);
    if (r->status != SL_OK) return;
    f->dense_layers = f->layers;
    if (f->experts > 0) {
        read_i32(r, "expert_used_count", 1, SL_EXPERTS_PER_TOKEN_MAX, &f->experts_per_token);
        read_i32(r,
                 has_key(r, "expert_feed_forward_length") ? "expert_feed_forward_length"
                                                          : "feed_forward_length",
                 1, SL_WIDTH_MAX, &f->expert_width);
        f->dense_layers = 0;
        if (r->arch->leading_dense)
            read_i32_or(r, "leading_dense_block_count", 0, 0, f->layers, &f->dense_layers);
        read_f32_or(r, "expert_weights_scale", 1, 0, 1e6f, &s->expert_scale);
        if (s->expert_scale == 0) s->expert_scale = 1; /* written for "none" */
        if (r->status == SL_OK)
            r->status = sl__gguf_bool_or(r->g, key_of(r, "expert_weights_norm"),
                                         s->renormalise_experts, &s->renormalise_experts, r->err);
    }
    if (f->dense_layers > 0) read_i32(r, "feed_forward_length", 1, SL_WIDTH_MAX, &f->dense_width);
    if (r->status != SL_OK || !r->arch->shared) return;
    if (has_key(r, "expert_shared_feed_forward_length")) {
        read_i32(r, "expert_shared_feed_forward_length", 1, SL_WIDTH_MAX, &f->shared_width);
    } else {
        int32_t count = 0;
        read_i32(r, "expert_shared_count", 0, SL_WIDTH_MAX / f->expert_width, &count);
        f->shared_width = count * f->expert_width;
    }
}

static void read_rope_scaling(reading *r, const sl_model_facts *f, sl__switches *s) {
    static const struct {
        const char *name;
        sl__rope_scaling scaling;
    } kinds[] = {{"none", SL_ROPE_PLAIN},
                 {"linear", SL_ROPE_LINEAR},
                 {"yarn", SL_ROPE_YARN},
                 {"longrope", SL_ROPE_LONGROPE}};
    sl__gguf_string type;
    if (r->status == SL_OK)
        r->status = sl__gguf_str_or_empty(r->g, key_of(r, "rope.scaling.type"), &type, r->err);
    read_f32_or(r, "rope.scale_linear", 1, 0, 1e6f, &s->rope_factor); /* the older name */
    read_f32_or(r, "rope.scaling.factor", s->rope_factor, 0, 1e6f, &s->rope_factor);
    if (s->rope_factor == 0) s->rope_factor = 1; /* written for "none" */
    read_i32_or(r, "rope.scaling.original_context_length", f->context_train, 1, SL_CONTEXT_MAX,
                &s->rope_context);
    read_f32_or(r, "rope.scaling.attn_factor", 1, 1e-3f, 1e3f, &s->rope_amplitude);
    float yarn_amplitude = 1;
    read_f32_or(r, "rope.scaling.yarn_attn_factor", 1, 1e-3f, 1e3f, &yarn_amplitude);
    s->rope_amplitude *= yarn_amplitude; /* llama.cpp multiplies them, too */
    read_f32_or(r, "rope.scaling.yarn_beta_fast", 32, 1e-3f, 1e6f, &s->yarn_fast);
    read_f32_or(r, "rope.scaling.yarn_beta_slow", 1, 1e-3f, 1e6f, &s->yarn_slow);
    if (r->status != SL_OK) return;
    s->rope_scaling = SL_ROPE_LINEAR; /* what a factor without a type means */
    if (type.n == 0) return;
    for (size_t i = 0; i < SL_COUNT(kinds); i++)
        if (sl__gguf_string_is(type, kinds[i].name)) {
            s->rope_scaling = kinds[i].scaling;
            return;
        }
    r->status = sl__gguf_fail_key(r->g, key_of(r, "rope.scaling.type"), r->err,
                                  "\"%.*s\", expected none, linear, yarn or longrope",
                                  (int)(type.n < 64 ? type.n : 64), type.bytes);
}

/* Keys of other models that would change the numbers and that no architecture here obeys:
 * better refused than passed over. Each has a value that says "as usual". */
static void refuse_unobeyed(reading *r, const sl_model_facts *f, const sl__switches *s) {
    const float yarn = s->rope_scaling == SL_ROPE_YARN ? 1 : 0;
    const struct {
        const char *suffix;
        float usual, also;
    } numbers[] = {
        {"attention.clamp_kqv", 0, 0},
        {"attention.max_alibi_bias", 0, 0},
        {"attention.scale", 1 / sqrtf((float)f->head_dim), 0},
        {"attn_logit_softcapping", 0, 0},
        {"router_logit_softcapping", 0, 0},
        {"final_logit_softcapping", 0, 0},
        {"logit_scale", 1, 0},
        {"residual_scale", 1, 0},
        {"embedding_scale", 1, 0},
        {"rope.scaling.yarn_ext_factor", yarn, -1},
        {"rope.scaling.yarn_log_multiplier", 0, 0},
    };
    static const struct {
        const char *suffix;
        int32_t usual; /* 0 is, too */
    } counts[] = {
        {"expert_gating_func", 1}, /* a softmax */
        {"expert_group_count", 1},        {"moe_every_n_layers", 1},
        {"interleave_moe_layer_step", 1}, {"attention.sliding_window_pattern", 1},
    };
    for (size_t i = 0; i < SL_COUNT(numbers) && r->status == SL_OK; i++) {
        const float usual = numbers[i].usual;
        float value = usual;
        read_f32_or(r, numbers[i].suffix, usual, -FLT_MAX, FLT_MAX, &value);
        if (fabsf(value - usual) <= 1e-5f * fabsf(usual) || value == numbers[i].also) continue;
        if (r->status == SL_OK)
            r->status = sl__gguf_fail_key(r->g, r->key, r->err, "%g is not supported, only %g",
                                          (double)value, (double)usual);
    }
    for (size_t i = 0; i < SL_COUNT(counts) && r->status == SL_OK; i++) {
        int32_t value = 0;
        read_i32_or(r, counts[i].suffix, 0, INT32_MIN, INT32_MAX, &value);
        if (r->status == SL_OK && value != 0 && value != counts[i].usual)
            r->status = sl__gguf_fail_key(r->g, r->key, r->err, "%d is not supported, only %d",
                                          value, counts[i].usual);
    }
    bool causal = true;
    if (r->status == SL_OK)
        r->status = sl__gguf_bool_or(r->g, key_of(r, "attention.causal"), true, &causal, r->err);
    if (r->status == SL_OK && !causal)
        r->status = sl__gguf_fail_key(r->g, r->key, r->err, "false is not supported");
}

static void check_facts(reading *r, const sl_model_facts *f) {
    if (r->status != SL_OK) return;
    if (f->heads % f->kv_heads != 0)
        r->status = sl__gguf_fail_key(r->g, key_of(r, "attention.head_count_kv"), r->err,
                                      "%d attention heads are not a multiple of %d key/value heads",
                                      f->heads, f->kv_heads);
    else if (f->rope_dims % 2 != 0)
        r->status =
            sl__gguf_fail_key(r->g, key_of(r, "rope.dimension_count"), r->err,
                              "%d, expected an even number (RoPE turns pairs)", f->rope_dims);
    else if (f->experts_per_token > f->experts)
        r->status = sl__gguf_fail_key(r->g, key_of(r, "expert_used_count"), r->err,
                                      "%d experts per token of %d experts", f->experts_per_token,
                                      f->experts);
}

sl_status sl__arch_describe(const sl__arch *arch, const sl__gguf *g, sl_model_facts *f,
                            sl__switches *switches, sl_error *err) {
    reading r = {.arch = arch, .g = g, .err = err, .status = SL_OK};
    *switches = arch->switches;
    (void)snprintf(f->arch, sizeof f->arch, "%s", arch->name);
    read_i32(&r, "block_count", 1, SL_LAYERS_MAX, &f->layers);
    read_i32(&r, "context_length", 1, SL_CONTEXT_MAX, &f->context_train);
    read_i32(&r, "embedding_length", 1, SL_WIDTH_MAX, &f->width);
    read_attention(&r, f);
    read_experts(&r, f, switches);
    read_f32_or(&r, "rope.freq_base", 10000, 1, 1e12f, &f->rope_base);
    read_i32_or(&r, "rope.dimension_count", f->head_dim, 2, f->head_dim, &f->rope_dims);
    read_rope_scaling(&r, f, switches);
    refuse_unobeyed(&r, f, switches);
    check_facts(&r, f);
    return r.status;
}

/* ---- parts ---- */

#define LAYER(field) offsetof(sl__layer, field)
#define VECTOR(suffix, field, n, presence)                                                         \
    { suffix, LAYER(field), n, SL_DIM_NONE, presence, false }
#define MATRIX(suffix, field, n_in, n_out, presence)                                               \
    { suffix, LAYER(field), n_in, n_out, presence, false }
#define EXPERT(suffix, field, n_in, n_out)                                                         \
    { suffix, LAYER(field), n_in, n_out, SL_IN_EXPERTS, true }
#define PART(name) const sl__part sl__part_##name = {name, (int32_t)SL_COUNT(name)}

static const sl__tensor_rule attention[] = {
    VECTOR("attn_norm.weight", attn_norm, SL_DIM_WIDTH, SL_IN_ALL),
    MATRIX("attn_q.weight", q, SL_DIM_WIDTH, SL_DIM_QUERIES, SL_IN_ALL),
    MATRIX("attn_k.weight", k, SL_DIM_WIDTH, SL_DIM_KEYS, SL_IN_ALL),
    MATRIX("attn_v.weight", v, SL_DIM_WIDTH, SL_DIM_KEYS, SL_IN_ALL),
    MATRIX("attn_output.weight", o, SL_DIM_QUERIES, SL_DIM_WIDTH, SL_IN_ALL),
    VECTOR("ffn_norm.weight", ffn_norm, SL_DIM_WIDTH, SL_IN_ALL),
};
PART(attention);

static const sl__tensor_rule norm_biases[] = {
    VECTOR("attn_norm.bias", attn_norm_bias, SL_DIM_WIDTH, SL_IN_ALL),
    VECTOR("ffn_norm.bias", ffn_norm_bias, SL_DIM_WIDTH, SL_IN_ALL),
};
PART(norm_biases);

static const sl__tensor_rule qkv_biases[] = {
    VECTOR("attn_q.bias", q_bias, SL_DIM_QUERIES, SL_IN_ALL),
    VECTOR("attn_k.bias", k_bias, SL_DIM_KEYS, SL_IN_ALL),
    VECTOR("attn_v.bias", v_bias, SL_DIM_KEYS, SL_IN_ALL),
};
PART(qkv_biases);

static const sl__tensor_rule maybe_biases[] = {
    VECTOR("attn_q.bias", q_bias, SL_DIM_QUERIES, SL_IF_THERE),
    VECTOR("attn_k.bias", k_bias, SL_DIM_KEYS, SL_IF_THERE),
    VECTOR("attn_v.bias", v_bias, SL_DIM_KEYS, SL_IF_THERE),
    VECTOR("attn_output.bias", o_bias, SL_DIM_WIDTH, SL_IF_THERE),
};
PART(maybe_biases);

static const sl__tensor_rule head_norms[] = {
    VECTOR("attn_q_norm.weight", q_norm, SL_DIM_HEAD, SL_IN_ALL),
    VECTOR("attn_k_norm.weight", k_norm, SL_DIM_HEAD, SL_IN_ALL),
};
PART(head_norms);

static const sl__tensor_rule row_norms[] = {
    VECTOR("attn_q_norm.weight", q_norm, SL_DIM_QUERIES, SL_IN_ALL),
    VECTOR("attn_k_norm.weight", k_norm, SL_DIM_KEYS, SL_IN_ALL),
};
PART(row_norms);

static const sl__tensor_rule dense[] = {
    MATRIX("ffn_gate.weight", always.gate, SL_DIM_WIDTH, SL_DIM_DENSE_WIDTH, SL_IN_DENSE),
    MATRIX("ffn_up.weight", always.up, SL_DIM_WIDTH, SL_DIM_DENSE_WIDTH, SL_IN_DENSE),
    MATRIX("ffn_down.weight", always.down, SL_DIM_DENSE_WIDTH, SL_DIM_WIDTH, SL_IN_DENSE),
};
PART(dense);

static const sl__tensor_rule experts[] = {
    MATRIX("ffn_gate_inp.weight", router, SL_DIM_WIDTH, SL_DIM_EXPERTS, SL_IN_EXPERTS),
    EXPERT("ffn_gate_exps.weight", experts.gate, SL_DIM_WIDTH, SL_DIM_EXPERT_WIDTH),
    EXPERT("ffn_up_exps.weight", experts.up, SL_DIM_WIDTH, SL_DIM_EXPERT_WIDTH),
    EXPERT("ffn_down_exps.weight", experts.down, SL_DIM_EXPERT_WIDTH, SL_DIM_WIDTH),
};
PART(experts);

static const sl__tensor_rule shared[] = {
    MATRIX("ffn_gate_shexp.weight", always.gate, SL_DIM_WIDTH, SL_DIM_SHARED_WIDTH, SL_IN_EXPERTS),
    MATRIX("ffn_up_shexp.weight", always.up, SL_DIM_WIDTH, SL_DIM_SHARED_WIDTH, SL_IN_EXPERTS),
    MATRIX("ffn_down_shexp.weight", always.down, SL_DIM_SHARED_WIDTH, SL_DIM_WIDTH, SL_IN_EXPERTS),
};
PART(shared);

static const sl__tensor_rule shared_gate[] = {
    MATRIX("ffn_gate_inp_shexp.weight", shared_gate, SL_DIM_WIDTH, SL_DIM_ONE, SL_IN_EXPERTS),
};
PART(shared_gate);

const sl__tensor_rule *sl__arch_rule(const sl__arch *arch, int32_t i) {
    for (int32_t p = 0; p < SL_ARCH_PARTS_MAX && arch->parts[p]; p++) {
        if (i < arch->parts[p]->n_rules) return &arch->parts[p]->rules[i];
        i -= arch->parts[p]->n_rules;
    }
    return NULL;
}

int32_t sl__arch_dim(const sl_model_facts *f, sl__dim dim) {
    switch (dim) {
    case SL_DIM_WIDTH:
        return f->width;
    case SL_DIM_HEAD:
        return f->head_dim;
    case SL_DIM_QUERIES:
        return f->heads * f->head_dim;
    case SL_DIM_KEYS:
        return f->kv_heads * f->head_dim;
    case SL_DIM_EXPERTS:
        return f->experts;
    case SL_DIM_EXPERT_WIDTH:
        return f->expert_width;
    case SL_DIM_SHARED_WIDTH:
        return f->shared_width;
    case SL_DIM_DENSE_WIDTH:
        return f->dense_width;
    case SL_DIM_ONE:
    case SL_DIM_NONE:
        break;
    }
    return 1;
}

uint64_t sl__ffn_bytes(const sl__ffn *ffn) {
    if (ffn->up.n_out == 0) return 0;
    return sl__weight_matrix_bytes(&ffn->gate) + sl__weight_matrix_bytes(&ffn->up) +
           sl__weight_matrix_bytes(&ffn->down);
}

void sl__arch_tensor_name(char out[SL_GGUF_TENSOR_NAME_MAX + 1], int32_t index,
                          const char *suffix) {
    (void)snprintf(out, SL_GGUF_TENSOR_NAME_MAX + 1, "blk.%d.%s", index, suffix);
}

bool sl__arch_rule_applies(const sl__tensor_rule *rule, const sl__gguf *g,
                           const sl_model_facts *facts, int32_t index) {
    char name[SL_GGUF_TENSOR_NAME_MAX + 1];
    switch (rule->presence) {
    case SL_IN_ALL:
        return true;
    case SL_IN_EXPERTS: /* no shared experts, no matrices of theirs */
        return index >= facts->dense_layers && sl__arch_dim(facts, rule->n_in) > 0 &&
               sl__arch_dim(facts, rule->n_out) > 0;
    case SL_IN_DENSE:
        return index < facts->dense_layers;
    case SL_IF_THERE:
        break;
    }
    sl__arch_tensor_name(name, index, rule->suffix);
    return sl__gguf_find_tensor(g, name) != NULL;
}

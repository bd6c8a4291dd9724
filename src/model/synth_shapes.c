/* synth_shapes.c - published sizes of models, and the types of llama.cpp's mixes.
 *
 * Sizes are those of the models' config.json. Three have the header of another architecture
 * than their own: OLMoE, because ik_llama.cpp knows none, gpt-oss, because this engine
 * knows none (sinks, biases and windows are left out), and tiny is nobody's. */
#include "model/synth_shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

static const sl__synth_shape shapes[] = {
    {.name = "olmoe-1b-7b",
     .arch = &sl__arch_qwen3moe,
     .facts = {.layers = 16,
               .width = 2048,
               .heads = 16,
               .kv_heads = 16,
               .head_dim = 128,
               .experts = 64,
               .experts_per_token = 8,
               .expert_width = 1024,
               .vocab = 50304,
               .context_train = 4096,
               .rope_base = 1e4f,
               .rms_eps = 1e-5f},
     .feed_forward = 1024},
    {.name = "qwen3-30b-a3b",
     .arch = &sl__arch_qwen3moe,
     .facts = {.layers = 48,
               .width = 2048,
               .heads = 32,
               .kv_heads = 4,
               .head_dim = 128,
               .experts = 128,
               .experts_per_token = 8,
               .expert_width = 768,
               .vocab = 151936,
               .context_train = 40960,
               .rope_base = 1e6f,
               .rms_eps = 1e-6f},
     .feed_forward = 6144},
    {.name = "mixtral-8x7b",
     .arch = &sl__arch_llama,
     .facts = {.layers = 32,
               .width = 4096,
               .heads = 32,
               .kv_heads = 8,
               .head_dim = 128,
               .experts = 8,
               .experts_per_token = 2,
               .expert_width = 14336,
               .vocab = 32000,
               .context_train = 32768,
               .rope_base = 1e6f,
               .rms_eps = 1e-5f},
     .feed_forward = 14336},
    {.name = "gpt-oss-20b",
     .arch = &sl__arch_qwen3moe,
     .facts = {.layers = 24,
               .width = 2880,
               .heads = 64,
               .kv_heads = 8,
               .head_dim = 64,
               .experts = 32,
               .experts_per_token = 4,
               .expert_width = 2880,
               .vocab = 201088,
               .context_train = 131072,
               .rope_base = 150000.0f,
               .rms_eps = 1e-5f},
     .feed_forward = 2880},
    {.name = "qwen1.5-moe",
     .arch = &sl__arch_qwen2moe,
     .facts = {.layers = 24,
               .width = 2048,
               .heads = 16,
               .kv_heads = 16,
               .head_dim = 128,
               .experts = 60,
               .experts_per_token = 4,
               .expert_width = 1408,
               .shared_width = 5632,
               .vocab = 151936,
               .context_train = 8192,
               .rope_base = 1e6f,
               .rms_eps = 1e-6f},
     .feed_forward = 5632},
    {.name = "phi-3.5-moe",
     .arch = &sl__arch_phimoe,
     .facts = {.layers = 32,
               .width = 4096,
               .heads = 32,
               .kv_heads = 8,
               .head_dim = 128,
               .experts = 16,
               .experts_per_token = 2,
               .expert_width = 6400,
               .vocab = 32064,
               .context_train = 131072,
               .rope_base = 1e4f,
               .rms_eps = 1e-5f},
     .feed_forward = 6400,
     .rope_original = 4096,
     .biases = true},
    {.name = "deepseek-moe-16b",
     .arch = &sl__arch_deepseek,
     .facts = {.layers = 28,
               .width = 2048,
               .heads = 16,
               .kv_heads = 16,
               .head_dim = 128,
               .experts = 64,
               .experts_per_token = 6,
               .expert_width = 1408,
               .shared_width = 2816,
               .dense_layers = 1,
               .dense_width = 10944,
               .vocab = 102400,
               .context_train = 4096,
               .rope_base = 1e4f,
               .rms_eps = 1e-6f},
     .feed_forward = 10944,
     .shared_count = 2},
    {.name = "qwen3-8b",
     .arch = &sl__arch_qwen3,
     .facts = {.layers = 36,
               .width = 4096,
               .heads = 32,
               .kv_heads = 8,
               .head_dim = 128,
               .dense_layers = 36,
               .dense_width = 12288,
               .vocab = 151936,
               .context_train = 40960,
               .rope_base = 1e6f,
               .rms_eps = 1e-6f},
     .feed_forward = 12288},
    {.name = "tiny",
     .arch = &sl__arch_qwen3moe,
     .facts = {.layers = 2,
               .width = 256,
               .heads = 4,
               .kv_heads = 2,
               .head_dim = 64,
               .experts = 16,
               .experts_per_token = 4,
               .expert_width = 64,
               .vocab = 512,
               .context_train = 512,
               .rope_base = 1e4f,
               .rms_eps = 1e-6f},
     .feed_forward = 256},
    {.name = "tiny-512", /* rows of whole blocks of every type everywhere */
     .arch = &sl__arch_qwen3moe,
     .facts = {.layers = 2,
               .width = 512,
               .heads = 8,
               .kv_heads = 4,
               .head_dim = 64,
               .experts = 8,
               .experts_per_token = 2,
               .expert_width = 512,
               .vocab = 4096,
               .context_train = 2048,
               .rope_base = 1e4f,
               .rms_eps = 1e-6f},
     .feed_forward = 512},
};

const sl__synth_shape *sl__synth_shape_at(int32_t i) {
    return i >= 0 && i < (int32_t)SL_COUNT(shapes) ? &shapes[i] : NULL;
}

/* ---- keys ---- */

typedef struct keys {
    sl__gguf_writer *w;
    const char *arch;
    char name[96];
} keys;

static const char *key_of(keys *k, const char *suffix) {
    (void)snprintf(k->name, sizeof k->name, "%s.%s", k->arch, suffix);
    return k->name;
}

static void put_i32(keys *k, const char *suffix, int32_t value) {
    sl__gguf_put_u32(k->w, key_of(k, suffix), (uint32_t)value);
}

static void put_f32(keys *k, const char *suffix, float value) {
    sl__gguf_put_f32(k->w, key_of(k, suffix), value);
}

static void put_experts(keys *k, const sl__synth_shape *shape, const sl_model_facts *f) {
    if (f->experts == 0) return;
    put_i32(k, "expert_count", f->experts);
    put_i32(k, "expert_used_count", f->experts_per_token);
    put_i32(k, "expert_feed_forward_length", f->expert_width);
    if (shape->shared_count > 0)
        put_i32(k, "expert_shared_count", shape->shared_count);
    else if (f->shared_width > 0)
        put_i32(k, "expert_shared_feed_forward_length", f->shared_width);
    if (!shape->arch->leading_dense) return;
    put_i32(k, "leading_dense_block_count", f->dense_layers);
    put_f32(k, "expert_weights_scale", 1.0f);
}

static void put_longrope(keys *k, const sl__synth_shape *shape, const sl_model_facts *f) {
    const double factor = (double)f->context_train / (double)shape->rope_original;
    const double amplitude = sqrt(1 + log(factor) / log((double)shape->rope_original));
    sl__gguf_put_str(k->w, key_of(k, "rope.scaling.type"), "longrope");
    put_i32(k, "rope.scaling.original_context_length", shape->rope_original);
    put_f32(k, "rope.scaling.attn_factor", (float)amplitude);
}

void sl__synth_put_shape(sl__gguf_writer *w, const sl__synth_shape *shape,
                         const sl_model_facts *f) {
    keys k = {.w = w, .arch = shape->arch->name};
    put_i32(&k, "block_count", f->layers);
    put_i32(&k, "context_length", f->context_train);
    put_i32(&k, "embedding_length", f->width);
    put_i32(&k, "feed_forward_length", shape->feed_forward);
    put_i32(&k, "attention.head_count", f->heads);
    put_i32(&k, "attention.head_count_kv", f->kv_heads);
    put_i32(&k, "attention.key_length", f->head_dim);
    put_i32(&k, "attention.value_length", f->head_dim);
    put_f32(&k, "attention.layer_norm_rms_epsilon", f->rms_eps);
    put_i32(&k, "rope.dimension_count", f->head_dim);
    put_f32(&k, "rope.freq_base", f->rope_base);
    if (shape->rope_original > 0) put_longrope(&k, shape, f);
    put_experts(&k, shape, f);
}

/* ---- types ---- */

static const sl__synth_type types[] = {
    {"f16", SL_TYPE_F16, 1, SL_MIX_NONE},
    {"q8_0", SL_TYPE_Q8_0, 7, SL_MIX_NONE},
    {"q4_0", SL_TYPE_Q4_0, 2, SL_MIX_NONE},
    {"q4_k_m", SL_TYPE_Q4_K, 15, SL_MIX_K_M},
    {"q5_k_m", SL_TYPE_Q5_K, 17, SL_MIX_K_M},
    {"mxfp4_moe", SL_TYPE_MXFP4, 38, SL_MIX_MXFP4_MOE},
    {"f32", SL_TYPE_F32, 0, SL_MIX_NONE},
    {"bf16", SL_TYPE_BF16, 32, SL_MIX_NONE},
    {"q4_1", SL_TYPE_Q4_1, 3, SL_MIX_NONE},
    {"q5_0", SL_TYPE_Q5_0, 8, SL_MIX_NONE},
    {"q5_1", SL_TYPE_Q5_1, 9, SL_MIX_NONE},
    {"iq4_nl", SL_TYPE_IQ4_NL, 25, SL_MIX_NONE},
    {"mxfp4", SL_TYPE_MXFP4, 38, SL_MIX_NONE},
    {"q2_k", SL_TYPE_Q2_K, 10, SL_MIX_NONE},
    {"q3_k", SL_TYPE_Q3_K, 11, SL_MIX_NONE},
    {"q4_k", SL_TYPE_Q4_K, 14, SL_MIX_NONE},
    {"q5_k", SL_TYPE_Q5_K, 16, SL_MIX_NONE},
    {"q6_k", SL_TYPE_Q6_K, 18, SL_MIX_NONE},
    {"iq4_xs", SL_TYPE_IQ4_XS, 30, SL_MIX_NONE},
    {"iq3_s", SL_TYPE_IQ3_S, 26, SL_MIX_NONE},
    {"iq3_xxs", SL_TYPE_IQ3_XXS, 23, SL_MIX_NONE},
    {"iq2_s", SL_TYPE_IQ2_S, 28, SL_MIX_NONE},
    {"iq2_xs", SL_TYPE_IQ2_XS, 20, SL_MIX_NONE},
    {"iq2_xxs", SL_TYPE_IQ2_XXS, 19, SL_MIX_NONE},
};

const sl__synth_type *sl__synth_type_at(int32_t i) {
    return i >= 0 && i < (int32_t)SL_COUNT(types) ? &types[i] : NULL;
}

/* The layers to which llama.cpp's mixes give more bits: the first and the last eighth,
 * and every third between them. */
static bool gets_more_bits(int32_t layer, int32_t layers) {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

/* Q4_K_M and Q5_K_M (llama_tensor_get_type_impl in llama.cpp's llama-quant.cpp). */
static sl__tensor_type k_m_type(sl__tensor_type type, const sl_model_facts *f, const char *suffix,
                                int32_t layer) {
    const bool is_value = strcmp(suffix, "attn_v.weight") == 0;
    if (strcmp(suffix, "output.weight") == 0) return SL_TYPE_Q6_K;
    if (f->experts == 8) { /* Mixtral: attention is a small part */
        if (is_value || strcmp(suffix, "attn_k.weight") == 0) return SL_TYPE_Q8_0;
        if (strcmp(suffix, "attn_output.weight") == 0) return SL_TYPE_Q5_K;
    }
    const bool sensitive = is_value || strncmp(suffix, "ffn_down", 8) == 0;
    return sensitive && gets_more_bits(layer, f->layers) ? SL_TYPE_Q6_K : type;
}

static sl__tensor_type mixed_type(const sl__synth_type *type, const sl_model_facts *facts,
                                  const char *suffix, int32_t layer, bool per_expert) {
    switch (type->mix) {
    case SL_MIX_K_M:
        return k_m_type(type->type, facts, suffix, layer);
    case SL_MIX_MXFP4_MOE:
        return per_expert ? SL_TYPE_MXFP4 : SL_TYPE_Q8_0;
    case SL_MIX_NONE:
        break;
    }
    return type->type;
}

sl__tensor_type sl__synth_matrix_type(const sl__synth_type *type, const sl_model_facts *facts,
                                      const char *suffix, int32_t layer, int32_t n_in,
                                      bool per_expert) {
    const sl__tensor_type wanted = mixed_type(type, facts, suffix, layer, per_expert);
    if (n_in % (int32_t)sl__tensor_type_find((uint32_t)wanted)->block_elements == 0) return wanted;
    switch (wanted) {
    case SL_TYPE_Q4_K:
        return SL_TYPE_Q5_0;
    case SL_TYPE_Q5_K:
        return SL_TYPE_Q5_1;
    case SL_TYPE_Q6_K:
        return SL_TYPE_Q8_0;
    default:
        return SL_TYPE_IQ4_NL;
    }
}

/* arch_qwen3moe.c - Qwen3-MoE (Qwen3-30B-A3B and its family).
 *
 *     x += O attention(rope(norm(Q x')), rope(norm(K x')), V x')     x' = norm(x)
 *     x += sum over the top k experts of p_e down_e(silu(gate_e x") * up_e x")  x" = norm(x)
 *
 * Grouped-query attention with an RMS norm on every query and key head, RoPE on halves
 * (NeoX pairing), softmax router over all experts, the chosen k renormalised. */
#include <stddef.h>

#include "base/base.h"
#include "model/arch.h"

static sl_status describe(const sl__gguf *g, sl_model_facts *f, sl__switches *switches,
                          sl_error *err) {
    *switches = (sl__switches){.qk_norm = true, .renormalise_experts = true};
    const struct {
        const char *key;
        int32_t lo, hi;
        int32_t *out;
    } keys[] = {
        {"qwen3moe.block_count", 1, SL_LAYERS_MAX, &f->layers},
        {"qwen3moe.context_length", 1, SL_CONTEXT_MAX, &f->context_train},
        {"qwen3moe.embedding_length", 1, SL_WIDTH_MAX, &f->width},
        {"qwen3moe.attention.head_count", 1, SL_HEADS_MAX, &f->heads},
        {"qwen3moe.attention.head_count_kv", 1, SL_HEADS_MAX, &f->kv_heads},
        {"qwen3moe.expert_count", 1, SL_EXPERTS_MAX, &f->experts},
        {"qwen3moe.expert_used_count", 1, SL_EXPERTS_PER_TOKEN_MAX, &f->experts_per_token},
        {"qwen3moe.expert_feed_forward_length", 1, SL_WIDTH_MAX, &f->expert_width},
    };
    for (size_t i = 0; i < SL_COUNT(keys); i++) {
        const sl_status status =
            sl__gguf_i32(g, keys[i].key, keys[i].lo, keys[i].hi, keys[i].out, err);
        if (status != SL_OK) return status;
    }
    sl_status status = sl__gguf_i32_or(g, "qwen3moe.attention.key_length", f->width / f->heads, 2,
                                       SL_HEAD_DIM_MAX, &f->head_dim, err);
    if (status == SL_OK)
        status = sl__gguf_i32_or(g, "qwen3moe.attention.value_length", f->head_dim, f->head_dim,
                                 f->head_dim, &f->head_dim, err);
    if (status == SL_OK)
        status =
            sl__gguf_f32(g, "qwen3moe.attention.layer_norm_rms_epsilon", 0, 1, &f->rms_eps, err);
    if (status == SL_OK)
        status = sl__gguf_f32_or(g, "qwen3moe.rope.freq_base", 10000, 1, 1e12f, &f->rope_base, err);
    return status;
}

#define LAYER(field) offsetof(sl__layer, field)
static const sl__tensor_rule rules[] = {
    {"attn_norm.weight", LAYER(attn_norm), SL_DIM_WIDTH, SL_DIM_NONE, false},
    {"attn_q.weight", LAYER(q), SL_DIM_WIDTH, SL_DIM_QUERIES, false},
    {"attn_k.weight", LAYER(k), SL_DIM_WIDTH, SL_DIM_KEYS, false},
    {"attn_v.weight", LAYER(v), SL_DIM_WIDTH, SL_DIM_KEYS, false},
    {"attn_q_norm.weight", LAYER(q_norm), SL_DIM_HEAD, SL_DIM_NONE, false},
    {"attn_k_norm.weight", LAYER(k_norm), SL_DIM_HEAD, SL_DIM_NONE, false},
    {"attn_output.weight", LAYER(o), SL_DIM_QUERIES, SL_DIM_WIDTH, false},
    {"ffn_norm.weight", LAYER(ffn_norm), SL_DIM_WIDTH, SL_DIM_NONE, false},
    {"ffn_gate_inp.weight", LAYER(router), SL_DIM_WIDTH, SL_DIM_EXPERTS, false},
    {"ffn_gate_exps.weight", LAYER(gate), SL_DIM_WIDTH, SL_DIM_EXPERT_WIDTH, true},
    {"ffn_up_exps.weight", LAYER(up), SL_DIM_WIDTH, SL_DIM_EXPERT_WIDTH, true},
    {"ffn_down_exps.weight", LAYER(down), SL_DIM_EXPERT_WIDTH, SL_DIM_WIDTH, true},
};
#undef LAYER

const sl__arch sl__arch_qwen3moe = {
    .name = "qwen3moe", .describe = describe, .rules = rules, .n_rules = (int32_t)SL_COUNT(rules)};

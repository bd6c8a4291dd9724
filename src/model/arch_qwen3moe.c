/* arch_qwen3moe.c - Qwen3-MoE (Qwen3-30B-A3B and its family).
 *
 * Grouped-query attention with an RMS norm on every query and key head, RoPE on halves,
 * softmax router over all experts, the chosen k renormalised. */
#include "model/arch.h"

const sl__arch sl__arch_qwen3moe = {
    .name = "qwen3moe",
    .experts = SL_EXPERTS_ALWAYS,
    .switches = {.qk_norm = SL_QK_NORM_HEAD, .renormalise_experts = true},
    .parts = {&sl__part_attention, &sl__part_maybe_biases, &sl__part_head_norms, &sl__part_experts},
};

/* arch_qwen2moe.c - Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B).
 *
 * Biases on Q, K and V, RoPE on halves, softmax router without renormalisation, and one
 * shared expert whose weight is the sigmoid of its own gate. */
#include "model/arch.h"

const sl__arch sl__arch_qwen2moe = {
    .name = "qwen2moe",
    .experts = SL_EXPERTS_ALWAYS,
    .shared = true,
    .parts = {&sl__part_attention, &sl__part_qkv_biases, &sl__part_experts, &sl__part_shared,
              &sl__part_shared_gate},
};

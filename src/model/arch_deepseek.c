/* arch_deepseek.c - DeepSeekMoE (deepseek-moe-16b; not the latent attention of V2 and V3).
 *
 * Llama's attention; the first leading_dense_block_count layers have a feed-forward, the
 * others a softmax router without renormalisation (times expert_weights_scale) and
 * expert_shared_count shared experts (0: none), which are one feed-forward that many times as
 * wide. */
#include "model/arch.h"

const sl__arch sl__arch_deepseek = {
    .name = "deepseek",
    .experts = SL_EXPERTS_ALWAYS,
    .leading_dense = true,
    .shared = true,
    .switches = {.rope_pairs = SL_ROPE_NEIGHBOURS},
    .parts = {&sl__part_attention, &sl__part_maybe_biases, &sl__part_dense, &sl__part_experts,
              &sl__part_shared},
};

/* arch_olmoe.c - OLMoE (OLMoE-1B-7B and its family).
 *
 * Full attention with one RMS norm over all query heads of a row and one over all its key
 * heads, RoPE on halves, softmax router; the chosen weights stay as the softmax gave them
 * unless the file says expert_weights_norm. */
#include "model/arch.h"

const sl__arch sl__arch_olmoe = {
    .name = "olmoe",
    .experts = SL_EXPERTS_ALWAYS,
    .switches = {.qk_norm = SL_QK_NORM_ROW},
    .parts = {&sl__part_attention, &sl__part_maybe_biases, &sl__part_row_norms, &sl__part_experts},
};

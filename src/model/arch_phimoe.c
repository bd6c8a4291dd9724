/* arch_phimoe.c - Phi-3.5-MoE.
 *
 * LayerNorm with biases, biases on the projections and the vocabulary product, RoPE on
 * halves with longrope factors, and SparseMixer's weights for the chosen two. */
#include "model/arch.h"

const sl__arch sl__arch_phimoe = {
    .name = "phimoe",
    .experts = SL_EXPERTS_ALWAYS,
    .switches = {.norm = SL_NORM_LAYER, .router = SL_ROUTER_SPARSEMIXER},
    .parts = {&sl__part_attention, &sl__part_norm_biases, &sl__part_maybe_biases,
              &sl__part_experts},
};

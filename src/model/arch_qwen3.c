/* arch_qwen3.c - Qwen3, dense (0.6B to 32B): the drafters' family.
 *
 * As qwen3moe (arch_qwen3moe.c), with a feed-forward in the experts' place. */
#include "model/arch.h"

const sl__arch sl__arch_qwen3 = {
    .name = "qwen3",
    .experts = SL_EXPERTS_NEVER,
    .switches = {.qk_norm = SL_QK_NORM_HEAD},
    .parts = {&sl__part_attention, &sl__part_maybe_biases, &sl__part_head_norms, &sl__part_dense},
};

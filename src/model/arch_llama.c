/* arch_llama.c - Llama 1 to 3, Mistral, and with experts Mixtral.
 *
 * Grouped-query attention, RoPE on neighbours (files hold Q and K permuted for it),
 * scaled by rope_freqs.weight in Llama 3.1 and later. With expert_count > 0 the
 * feed-forward is a softmax router's choice, renormalised. A sliding window is honoured
 * where the file has the key (llama.cpp leaves it unread for this architecture). */
#include "model/arch.h"

const sl__arch sl__arch_llama = {
    .name = "llama",
    .experts = SL_EXPERTS_IF_SAID,
    .switches = {.rope_pairs = SL_ROPE_NEIGHBOURS, .renormalise_experts = true},
    .parts = {&sl__part_attention, &sl__part_maybe_biases, &sl__part_dense, &sl__part_experts},
};

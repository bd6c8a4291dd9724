/* spm.c - SentencePiece BPE ("llama"): text without special tokens to ids.
 *
 *  1. The text starts as its characters; a byte that is no part of valid UTF-8 is one.
 *  2. Of all neighbours that make a token, the pair whose token has the highest score,
 *     leftmost first, becomes it, until no two do. Nothing is cut into words: a token may
 *     hold several, and a space is a character like others. O(n log n).
 *  3. A character that is no token is its bytes' tokens, "<0xE4>".
 *
 * Files write a space as U+2581; tokens are kept with the spaces they stand for. So a
 * U+2581 in a text is its three bytes here and comes back as what it was; in llama.cpp it
 * becomes a space. Everything else, valid UTF-8 given, has llama.cpp's ids. */
#include <string.h>

#include "base/base.h"
#include "model/vocab_encoder.h"

/* Order of finite floats, highest first, as integers. */
static uint32_t order_of_score(float score) {
    uint32_t bits;
    const float positive_zero = score + 0.0f; /* -0 and 0 are equal */
    memcpy(&bits, &positive_zero, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

/* Offer the token that a node and its right neighbour make, if there is one. */
static void offer(sl__encoder *e, const char *text, int32_t left) {
    if (left < 0 || e->nodes[left].next < 0) return;
    const sl__encoder_node *node = &e->nodes[left];
    const size_t n = (size_t)node->n + e->nodes[node->next].n;
    const sl_token token = sl__vocab_find_ordinary(e->vocab, text + node->at, n);
    if (token < 0) return;
    const uint64_t order = order_of_score(e->vocab->scores[token]);
    sl__encoder_push(e, (sl__candidate){order << 32 | (uint32_t)left, n});
}

/* Neighbours stay neighbours until one is merged, and then it grows or dies. */
static bool is_current(const sl__encoder *e, const sl__candidate *c) {
    const sl__encoder_node *left = &e->nodes[sl__candidate_place(c)];
    return left->n > 0 && left->next >= 0 && (uint64_t)left->n + e->nodes[left->next].n == c->what;
}

static int32_t split_characters(sl__encoder *e, const char *text, size_t n) {
    int32_t count = 0;
    for (size_t at = 0; at < n; count++) {
        const size_t valid = sl__valid_character((const unsigned char *)text + at, n - at);
        const size_t length = valid > 0 ? valid : 1;
        e->nodes[count] =
            (sl__encoder_node){-1, count - 1, count + 1, (uint32_t)at, (uint32_t)length};
        at += length;
    }
    e->nodes[count - 1].next = -1;
    return count;
}

static void emit_node(sl__encoder *e, const char *text, const sl__encoder_node *node) {
    const sl_token token = sl__vocab_find_ordinary(e->vocab, text + node->at, node->n);
    if (token >= 0) {
        sl__encoder_emit(e, token);
        return;
    }
    for (size_t i = 0; i < node->n; i++)
        sl__encoder_emit(e, e->vocab->byte_tokens[(unsigned char)text[node->at + i]]);
}

static sl_status encode(sl__encoder *e, const char *text, size_t n) {
    const sl_status status = sl__encoder_reserve(e, n);
    if (status != SL_OK) return status;
    const int32_t count = split_characters(e, text, n);
    e->heap_size = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        offer(e, text, i);

    while (e->heap_size > 0) {
        const sl__candidate best = sl__encoder_pop(e);
        if (!is_current(e, &best)) continue;
        const int32_t at = sl__candidate_place(&best);
        sl__encoder_node *left = &e->nodes[at], *right = &e->nodes[left->next];
        left->n += right->n;
        left->next = right->next;
        right->n = 0;
        if (left->next >= 0) e->nodes[left->next].prev = at;
        offer(e, text, left->prev);
        offer(e, text, at);
    }
    for (int32_t i = 0; i >= 0; i = e->nodes[i].next)
        emit_node(e, text, &e->nodes[i]);
    return SL_OK;
}

sl_status sl__spm_encode(sl__encoder *e, const char *text, size_t n, bool space_before) {
    if (!space_before) return encode(e, text, n);
    const sl_status status = sl__encoder_reserve_scratch(e, n + 1);
    if (status != SL_OK) return status;
    e->scratch[0] = ' ';
    memcpy(e->scratch + 1, text, n);
    return encode(e, e->scratch, n + 1);
}

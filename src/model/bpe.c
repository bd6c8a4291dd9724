/* bpe.c - byte-level BPE: text without special tokens to ids.
 *
 *  1. The pre-tokenizer cuts the text into words; merges stay inside one.
 *  2. Where the vocabulary is of that kind, a word that is a token is that token.
 *  3. A word starts as its bytes' tokens; the merge of lowest rank, leftmost first, is
 *     applied until none is left. O(n log n).
 *
 *         l  o  w  e  r        heap: (lo, rank 5) (er, rank 7) ...
 *         lo .. w  e  r        a merged node keeps its left place; the right one dies
 */
#include <string.h>

#include "base/base.h"
#include "model/vocab_encoder.h"

#define DEAD (-1) /* token of a node that was merged into its left neighbour */

/* Offer the merge of a node with its right neighbour, if there is one. */
static void offer(sl__encoder *e, int32_t left) {
    if (left < 0 || e->nodes[left].next < 0) return;
    const sl__merge *merge =
        sl__merge_slot(e->vocab, e->nodes[left].token, e->nodes[e->nodes[left].next].token);
    if (merge->left >= 0)
        sl__encoder_push(e, (sl__candidate){(uint64_t)(uint32_t)merge->rank << 32 | (uint32_t)left,
                                            (uint64_t)(merge - e->vocab->merges)});
}

static bool is_current(const sl__encoder *e, const sl__merge *merge, int32_t place) {
    const sl__encoder_node *left = &e->nodes[place];
    return left->token == merge->left && left->next >= 0 &&
           e->nodes[left->next].token == merge->right;
}

static sl_status encode_word(sl__encoder *e, const char *word, size_t n) {
    const sl__vocab *v = e->vocab;
    if (v->whole_words) {
        const sl_token whole = sl__vocab_find_ordinary(v, word, n);
        if (whole >= 0) {
            sl__encoder_emit(e, whole);
            return SL_OK;
        }
    }
    const sl_status status = sl__encoder_reserve(e, n);
    if (status != SL_OK) return status;
    const int32_t count = (int32_t)n;
    for (int32_t i = 0; i < count; i++)
        e->nodes[i] = (sl__encoder_node){.token = v->byte_tokens[(unsigned char)word[i]],
                                         .prev = i - 1,
                                         .next = i + 1 < count ? i + 1 : -1};
    e->heap_size = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        offer(e, i);

    while (e->heap_size > 0) {
        const sl__candidate best = sl__encoder_pop(e);
        const sl__merge *merge = &v->merges[best.what];
        const int32_t at = sl__candidate_place(&best);
        if (!is_current(e, merge, at)) continue;
        sl__encoder_node *left = &e->nodes[at], *right = &e->nodes[left->next];
        left->token = merge->result;
        left->next = right->next;
        right->token = DEAD;
        if (left->next >= 0) e->nodes[left->next].prev = at;
        offer(e, left->prev);
        offer(e, at);
    }
    for (int32_t i = 0; i >= 0; i = e->nodes[i].next)
        sl__encoder_emit(e, e->nodes[i].token);
    return SL_OK;
}

/* The text with U+FFFD for each byte that has no token. SL_OK or SL_E_NOMEM. */
static sl_status replace_lacking(sl__encoder *e, const char **text, size_t *n) {
    static const char replacement[3] = "\xef\xbf\xbd";
    size_t lacking = 0, used = 0;
    for (size_t i = 0; i < *n; i++)
        lacking += e->vocab->byte_tokens[(unsigned char)(*text)[i]] < 0;
    if (lacking == 0) return SL_OK;
    const sl_status status = sl__encoder_reserve_scratch(e, *n + 2 * lacking);
    if (status != SL_OK) return status;
    for (size_t i = 0; i < *n; i++) {
        if (e->vocab->byte_tokens[(unsigned char)(*text)[i]] >= 0) {
            e->scratch[used++] = (*text)[i];
        } else {
            memcpy(e->scratch + used, replacement, sizeof replacement);
            used += sizeof replacement;
        }
    }
    *text = e->scratch;
    *n = used;
    return SL_OK;
}

sl_status sl__bpe_encode(sl__encoder *e, const char *text, size_t n) {
    size_t length = 0;
    sl_status status = SL_OK;
    if (!e->cutter) status = sl__cutter_open(&e->cutter, e->vocab->pre, e->err);
    if (status == SL_OK && e->vocab->lacks_bytes) status = replace_lacking(e, &text, &n);
    if (status != SL_OK) return status;
    if ((status = sl__cutter_start(e->cutter, text, n, e->err)) != SL_OK) return status;
    for (size_t pos = 0; pos < n; pos += length) {
        if ((status = sl__cutter_next(e->cutter, &length, e->err)) != SL_OK) return status;
        if ((status = encode_word(e, text + pos, length)) != SL_OK) return status;
    }
    return SL_OK;
}

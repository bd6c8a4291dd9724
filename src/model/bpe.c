/* bpe.c - from text to tokens.
 *
 *  1. Special tokens are cut out: longest spelling first, wherever it stands in the
 *     text; ties go to the lower id, then to the earlier place (llama.cpp's order).
 *  2. What lies between them is cut into words by the pre-tokenizer.
 *  3. A word starts as its bytes' tokens; the merge of lowest rank, leftmost first, is
 *     applied until none is left. A heap holds the merges that neighbours allow; an entry
 *     whose neighbours have changed since is skipped when it comes up. O(n log n).
 *
 *         l  o  w  e  r        heap: (lo, rank 5) (er, rank 7) ...
 *         lo .. w  e  r        a merged node keeps its left place; the right one dies
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/vocab_private.h"

#define DEAD (-1) /* token of a node that was merged into its left neighbour */

typedef struct node {
    sl_token token;
    int32_t prev; /* index, or -1 */
    int32_t next;
} node;

typedef struct candidate {
    uint64_t order; /* rank, then place of the left node */
    const sl__merge *merge;
} candidate;

/* A special token found in the text. */
typedef struct match {
    size_t at;
    size_t n;
    sl_token token;
} match;

typedef struct encoder {
    const sl__vocab *vocab;
    sl_error *err;

    sl_token *tokens; /* [max], the caller's */
    int32_t max;
    int32_t count; /* tokens so far, also past max */

    sl__cutter *cutter;
    node *nodes;     /* [word_max]     */
    candidate *heap; /* [2 * word_max] */
    size_t word_max;
    size_t heap_size;

    match *matches;
    size_t n_matches;
    size_t matches_max;
} encoder;

static sl_status out_of_memory(const encoder *e) {
    return sl__fail(e->err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
}

static void emit(encoder *e, sl_token token) {
    if (e->count < e->max) e->tokens[e->count] = token;
    e->count++;
}

/* ---- the heap of merges ---- */

static uint32_t place(const candidate *c) {
    return (uint32_t)c->order;
}

static void push(encoder *e, candidate added) {
    size_t i = e->heap_size++;
    for (; i > 0 && added.order < e->heap[(i - 1) / 2].order; i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = added;
}

static candidate pop(encoder *e) {
    const candidate top = e->heap[0], last = e->heap[--e->heap_size];
    size_t i = 0;
    for (size_t child = 1; child < e->heap_size; child = 2 * i + 1) {
        if (child + 1 < e->heap_size && e->heap[child + 1].order < e->heap[child].order) child++;
        if (last.order <= e->heap[child].order) break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

/* Offer the merge of a node with its right neighbour, if there is one. */
static void offer(encoder *e, int32_t left) {
    if (left < 0 || e->nodes[left].next < 0) return;
    const sl__merge *merge =
        sl__merge_slot(e->vocab, e->nodes[left].token, e->nodes[e->nodes[left].next].token);
    if (merge->left >= 0)
        push(e, (candidate){(uint64_t)(uint32_t)merge->rank << 32 | (uint32_t)left, merge});
}

static bool is_current(const encoder *e, const candidate *c) {
    const node *left = &e->nodes[place(c)];
    return left->token == c->merge->left && left->next >= 0 &&
           e->nodes[left->next].token == c->merge->right;
}

/* ---- words ---- */

/* Room for a word of n bytes. A word of n nodes has at most n - 1 candidates at first,
 * and each of its at most n - 1 merges takes one from the heap and adds at most two. */
static sl_status reserve_word(encoder *e, size_t n) {
    if (n <= e->word_max) return SL_OK;
    size_t word_max = e->word_max > 0 ? e->word_max : 64;
    while (word_max < n)
        word_max *= 2;
    free(e->nodes);
    free(e->heap);
    e->word_max = 0;
    e->nodes = malloc(word_max * sizeof *e->nodes);
    e->heap = malloc(2 * word_max * sizeof *e->heap);
    if (!e->nodes || !e->heap) return out_of_memory(e);
    e->word_max = word_max;
    return SL_OK;
}

static sl_status encode_word(encoder *e, const char *word, size_t n) {
    const sl_status status = reserve_word(e, n);
    if (status != SL_OK) return status;
    const int32_t count = (int32_t)n;
    for (int32_t i = 0; i < count; i++)
        e->nodes[i] = (node){e->vocab->byte_tokens[(unsigned char)word[i]], i - 1,
                             i + 1 < count ? i + 1 : -1};
    e->heap_size = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        offer(e, i);

    while (e->heap_size > 0) {
        const candidate best = pop(e);
        if (!is_current(e, &best)) continue;
        const int32_t at = (int32_t)place(&best);
        node *left = &e->nodes[at], *right = &e->nodes[left->next];
        left->token = best.merge->result;
        left->next = right->next;
        right->token = DEAD;
        if (left->next >= 0) e->nodes[left->next].prev = at;
        offer(e, left->prev);
        offer(e, at);
    }
    for (int32_t i = 0; i >= 0; i = e->nodes[i].next)
        emit(e, e->nodes[i].token);
    return SL_OK;
}

static sl_status encode_plain(encoder *e, const char *text, size_t n) {
    size_t length = 0;
    if (n == 0) return SL_OK;
    sl_status status = sl__cutter_start(e->cutter, text, n, e->err);
    if (status != SL_OK) return status;
    for (size_t pos = 0; pos < n; pos += length) {
        if ((status = sl__cutter_next(e->cutter, &length, e->err)) != SL_OK) return status;
        if ((status = encode_word(e, text + pos, length)) != SL_OK) return status;
    }
    return SL_OK;
}

/* ---- special tokens ---- */

static sl_status add_match(encoder *e, match found) {
    if (e->n_matches == e->matches_max) {
        const size_t max = e->matches_max > 0 ? 2 * e->matches_max : 64;
        match *grown = realloc(e->matches, max * sizeof *grown);
        if (!grown) return out_of_memory(e);
        e->matches = grown;
        e->matches_max = max;
    }
    e->matches[e->n_matches++] = found;
    return SL_OK;
}

/* Specials [from, to) agree in their first `depth` bytes: move from to the first one with
 * byte `next` there, or to `to`. All are longer than depth. */
static size_t first_with(const sl__special *specials, size_t from, size_t to, size_t depth,
                         unsigned char next) {
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if ((unsigned char)specials[middle].bytes[depth] < next)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Every special token that starts at text[at]. The sorted table is walked as a trie: the
 * range of spellings that agree with the text so far shrinks byte by byte, and one that
 * ends here comes first in it. control_end: where a control token may reach, at most. */
static sl_status match_at(encoder *e, const char *text, size_t n, size_t at, size_t control_end) {
    const sl__special *specials = e->vocab->specials;
    size_t from = 0, to = e->vocab->n_specials;
    for (size_t depth = 0; from < to && at + depth < n; depth++) {
        const unsigned char next = (unsigned char)text[at + depth];
        from = first_with(specials, from, to, depth, next);
        if (next < 255) to = first_with(specials, from, to, depth, (unsigned char)(next + 1));
        for (; from < to && specials[from].n == depth + 1; from++) {
            if (specials[from].control && at + depth + 1 > control_end) continue;
            const sl_status status = add_match(e, (match){at, depth + 1, specials[from].token});
            if (status != SL_OK) return status;
        }
    }
    return SL_OK;
}

/* Matches in a text made of pieces. Control tokens must lie inside one piece that allows
 * them; user-defined ones may lie anywhere. */
static sl_status find_matches(encoder *e, const char *text, size_t n, const sl__text_piece *pieces,
                              size_t n_pieces) {
    size_t end = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        const size_t start = end;
        end += pieces[p].n;
        if (!pieces[p].parse_special && !e->vocab->has_user_defined) continue;
        for (size_t at = start; at < end; at++) {
            const sl_status status = match_at(e, text, n, at, pieces[p].parse_special ? end : 0);
            if (status != SL_OK) return status;
        }
    }
    return SL_OK;
}

static int longest_first(const void *left, const void *right) {
    const match *a = left, *b = right;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    if (a->token != b->token) return a->token < b->token ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static int by_place(const void *left, const void *right) {
    const match *a = left, *b = right;
    return (a->at > b->at) - (a->at < b->at);
}

/* Keep the matches that do not overlap an earlier one in the order of rule 1; then sort
 * them by place. A later match is never longer than the one it overlaps, so one of its
 * ends lies in it. */
static sl_status choose_matches(encoder *e, size_t n) {
    if (e->n_matches == 0) return SL_OK;
    bool *taken = calloc(n, sizeof *taken);
    if (!taken) return out_of_memory(e);
    size_t kept = 0;
    qsort(e->matches, e->n_matches, sizeof *e->matches, longest_first);
    for (size_t i = 0; i < e->n_matches; i++) {
        const match m = e->matches[i];
        if (taken[m.at] || taken[m.at + m.n - 1]) continue;
        memset(taken + m.at, true, m.n);
        e->matches[kept++] = m;
    }
    e->n_matches = kept;
    qsort(e->matches, kept, sizeof *e->matches, by_place);
    free(taken);
    return SL_OK;
}

static sl_status encode(encoder *e, const char *text, size_t n, const sl__text_piece *pieces,
                        size_t n_pieces) {
    size_t pos = 0;
    sl_status status = sl__cutter_open(&e->cutter, e->vocab->pre, e->err);
    if (status != SL_OK) return status;
    if ((status = find_matches(e, text, n, pieces, n_pieces)) != SL_OK) return status;
    if ((status = choose_matches(e, n)) != SL_OK) return status;

    for (size_t i = 0; i < e->n_matches; i++) {
        const match m = e->matches[i];
        if ((status = encode_plain(e, text + pos, m.at - pos)) != SL_OK) return status;
        emit(e, m.token);
        pos = m.at + m.n;
    }
    return encode_plain(e, text + pos, n - pos);
}

/* ---- calls ---- */

static sl_status encode_all(const sl__vocab *vocab, const char *text, size_t n,
                            const sl__text_piece *pieces, size_t n_pieces, sl_token *tokens,
                            int32_t max, int32_t *n_tokens, sl_error *err) {
    encoder e = {.vocab = vocab, .err = err, .tokens = tokens, .max = max};
    const sl_status status = encode(&e, text, n, pieces, n_pieces);
    sl__cutter_close(&e.cutter);
    free(e.nodes);
    free(e.heap);
    free(e.matches);
    *n_tokens = status == SL_OK ? e.count : 0;
    return status;
}

static sl_status fail_length(sl_error *err) {
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "the text is longer than %d bytes",
                    SL_VOCAB_TEXT_MAX);
}

sl_status sl__vocab_tokenize(const sl__vocab *vocab, const char *text, size_t n, bool parse_special,
                             sl_token *tokens, int32_t max, int32_t *n_tokens, sl_error *err) {
    const sl__text_piece piece = {text, n, parse_special};
    *n_tokens = 0;
    if (n == 0) return SL_OK;
    if (n > SL_VOCAB_TEXT_MAX) return fail_length(err);
    return encode_all(vocab, text, n, &piece, 1, tokens, max, n_tokens, err);
}

sl_status sl__vocab_tokenize_pieces(const sl__vocab *vocab, const sl__text_piece *pieces,
                                    size_t n_pieces, sl_token *tokens, int32_t max,
                                    int32_t *n_tokens, sl_error *err) {
    size_t n = 0;
    *n_tokens = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        if (pieces[p].n > SL_VOCAB_TEXT_MAX - n) return fail_length(err);
        n += pieces[p].n;
    }
    if (n == 0) return SL_OK;
    char *text = malloc(n);
    if (!text) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
    n = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        if (pieces[p].n > 0) memcpy(text + n, pieces[p].text, pieces[p].n);
        n += pieces[p].n;
    }
    const sl_status status =
        encode_all(vocab, text, n, pieces, n_pieces, tokens, max, n_tokens, err);
    free(text);
    return status;
}

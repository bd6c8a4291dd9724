/* ngram.c - one hash table per length: n-gram -> where it last ended.
 *
 *     tokens   a b c a b          newest n-gram of length 2: "a b", ends at 4
 *     table    "a b" -> 1         occurred before, ended at 1: draft "c a b c a b ..."
 *                                 and now "a b" -> 4
 *
 * A table holds positions only; a slot is compared with the text itself, so a hash
 * collision costs a probe and never gives a wrong match. A text of `context` tokens
 * has at most that many distinct n-grams, so a table is at most half full.
 *
 * Pairs and triples of tokens are also counted, so that a node can say how many of the
 * earlier occurrences of the two tokens before it went on with it.
 *
 * Looking up and recording an n-gram is one probe, made when its last token is
 * observed. So the answer is ready before anybody asks, and drafting is copying. */
#include "spec/ngram.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"

#define EMPTY (-1)

static void reset(sl__drafter *self);
static void observe(sl__drafter *self, const sl_token *tokens, int32_t n);
static sl__draft propose(sl__drafter *self, int32_t max, sl__draft_node *nodes);

static uint32_t table_slots(int32_t context) {
    uint32_t slots = 2;
    while (slots < 2 * (uint32_t)context)
        slots *= 2;
    return slots;
}

static void check_shape(int32_t context, int32_t min, int32_t max) {
    SL_ASSERT(context >= 1 && context <= 1 << 28);
    SL_ASSERT(min >= 1 && min <= max && max <= SL_NGRAM_LENGTH_MAX);
}

size_t sl__ngram_bytes(int32_t context, int32_t min, int32_t max) {
    check_shape(context, min, max);
    const size_t tokens = (size_t)context * sizeof(sl_token);
    const size_t table = (size_t)table_slots(context) * sizeof(int32_t);
    return tokens + (size_t)(max - min + 1 + 4) * table;
}

void sl__ngram_init(sl__ngram *ngram, void *memory, int32_t context, int32_t min, int32_t max) {
    check_shape(context, min, max);
    ngram->drafter = (sl__drafter){"ngram-simple", reset, observe, propose, NULL, NULL};
    ngram->context = context;
    ngram->min = min;
    ngram->max = max;
    ngram->slots = table_slots(context);
    ngram->tokens = memory;
    ngram->tables = (int32_t *)memory + context;
    ngram->pairs = ngram->tables + (size_t)(max - min + 1) * ngram->slots;
    ngram->triples = ngram->pairs + (size_t)2 * ngram->slots;
    reset(&ngram->drafter);
}

static void reset(sl__drafter *self) {
    sl__ngram *g = (sl__ngram *)(void *)self;
    const size_t tables = (size_t)(g->max - g->min + 1 + 4) * g->slots; /* all of them */
    for (size_t i = 0; i < tables; i++)
        g->tables[i] = EMPTY;
    g->n_tokens = 0;
    g->match = 0;
    g->match_end = EMPTY;
}

/* Record that the newest n-gram of a length ends at `end`; returns where its previous
 * occurrence ended, or EMPTY. */
static int32_t replace_end(sl__ngram *g, int32_t length, uint64_t hash, int32_t end) {
    int32_t *table = g->tables + (size_t)(length - g->min) * g->slots;
    const uint32_t mask = g->slots - 1;
    const size_t bytes = (size_t)length * sizeof(sl_token);
    const sl_token *newest = g->tokens + end + 1 - length;

    for (uint32_t slot = (uint32_t)hash & mask;; slot = (slot + 1) & mask) {
        const int32_t before = table[slot];
        if (before == EMPTY || memcmp(g->tokens + before + 1 - length, newest, bytes) == 0) {
            table[slot] = end;
            return before;
        }
    }
}

static uint64_t hash_next(uint64_t hash, sl_token token) {
    return sl__mix64(hash + UINT64_C(0x9e3779b97f4a7c15) + (uint32_t)token);
}

/* The counter of `length` tokens, newest first in key, or the free one to begin with. */
static int32_t *counter_of(const sl__ngram *g, int32_t length, const sl_token *key) {
    int32_t *table = length == 2 ? g->pairs : g->triples;
    const uint32_t mask = g->slots - 1;
    uint64_t hash = 0;
    for (int32_t i = 0; i < length; i++)
        hash = hash_next(hash, key[i]);
    for (uint32_t slot = (uint32_t)hash & mask;; slot = (slot + 1) & mask) {
        int32_t *counter = table + (size_t)2 * slot;
        if (counter[0] == EMPTY) return counter;
        const sl_token *at = g->tokens + counter[0];
        if (at[0] == key[0] && at[-1] == key[1] && (length == 2 || at[-2] == key[2]))
            return counter;
    }
}

static void count_newest(sl__ngram *g, int32_t length, int32_t end) {
    if (end + 1 < length) return;
    const sl_token key[3] = {g->tokens[end], g->tokens[end - 1],
                             length == 3 ? g->tokens[end - 2] : 0};
    int32_t *counter = counter_of(g, length, key);
    counter[1] = counter[0] == EMPTY ? 1 : counter[1] + 1;
    counter[0] = end;
}

static int32_t count_of(const sl__ngram *g, int32_t length, const sl_token *key) {
    const int32_t *counter = counter_of(g, length, key);
    return counter[0] == EMPTY ? 0 : counter[1];
}

static void push(sl__ngram *g, sl_token token) {
    const int32_t end = g->n_tokens++;
    const int32_t longest = sl__min_i32(g->max, end + 1);
    uint64_t hash = 0;

    g->tokens[end] = token;
    g->match = 0;
    for (int32_t length = 1; length <= longest; length++) {
        hash = hash_next(hash, g->tokens[end + 1 - length]);
        if (length < g->min) continue;
        const int32_t before = replace_end(g, length, hash, end);
        if (before == EMPTY) continue; /* longer ones are new too, but must be recorded */
        g->match = length;
        g->match_end = before;
    }
    count_newest(g, 2, end);
    count_newest(g, 3, end);
}

static void observe(sl__drafter *self, const sl_token *tokens, int32_t n) {
    sl__ngram *g = (sl__ngram *)(void *)self;
    SL_ASSERT(n >= 0 && n <= g->context - g->n_tokens);
    for (int32_t i = 0; i < n; i++)
        push(g, tokens[i]);
}

/* How the text went on after the two tokens before each node. The newest pair of the
 * text has been counted, but nothing came after it yet. */
static void count_agreement(const sl__ngram *g, int32_t n, sl__draft_node *nodes) {
    if (g->n_tokens < 2) return;
    const sl_token newest[2] = {g->tokens[g->n_tokens - 1], g->tokens[g->n_tokens - 2]};
    sl_token key[3] = {0, newest[0], newest[1]};
    for (int32_t i = 0; i < n; i++) {
        const bool last = key[1] == newest[0] && key[2] == newest[1];
        key[0] = nodes[i].token;
        nodes[i].seen = count_of(g, 2, key + 1) - last;
        nodes[i].agreed = count_of(g, 3, key);
        key[2] = key[1];
        key[1] = key[0];
    }
}

/* The draft reads on after the earlier occurrence. Where it reaches the end of the
 * known text it reads its own beginning: the text has just repeated itself at the
 * distance between the two occurrences, and the best guess is that it will go on. */
static sl__draft propose(sl__drafter *self, int32_t max, sl__draft_node *nodes) {
    const sl__ngram *g = (const sl__ngram *)(const void *)self;
    if (g->match == 0 || max <= 0) return (sl__draft){0, 0};

    const int32_t from = g->match_end + 1;
    const int32_t known = g->n_tokens - from; /* >= 1: the occurrence ended earlier */
    /* Rule of succession: the occurrence foretold `match` tokens and was never wrong. */
    const float confidence = (float)(g->match + 1) / (float)(g->match + 2);

    for (int32_t i = 0; i < max; i++) {
        nodes[i].token = i < known ? g->tokens[from + i] : nodes[i - known].token;
        nodes[i].parent = i - 1;
        nodes[i].confidence = confidence;
        nodes[i].seen = nodes[i].agreed = 0;
    }
    count_agreement(g, max, nodes);
    return (sl__draft){max, g->match};
}

/* suffix.c - a suffix automaton that grows with the text and counts.
 *
 *     text  a b c a b d a b     state {ab, b}: count 3, followed 2 (by c, by d)
 *                               best: d, the latest of two equals: draft "d a b d a b ..."
 *
 * The automaton has one state for each set of substrings that end at the same places, at
 * most two per token of text and three edges, all in three arrays. Edges are found by hash
 * of (state, token) and listed by state, so that a state can be copied when it splits.
 *
 * Counting would touch every suffix of the text at each token; as no context longer than
 * SL_SUFFIX_MATCH_MAX is ever asked for, the walk along the links begins there. A state
 * that splits leaves its counts to the copy: both had the same places until now. Hence
 *
 *     count, followed, best are exact for every substring of at most SL_SUFFIX_MATCH_MAX
 *     tokens (count: one more),
 *
 * which tests/unit/test_suffix.c holds against plain counting. */
#include "spec/suffix.h"

#include "base/base.h"
#include "base/hash.h"

#define NONE (-1)

static void reset(sl__drafter *self);
static void observe(sl__drafter *self, const sl_token *tokens, int32_t n);
static sl__draft propose(sl__drafter *self, int32_t max, sl__draft_node *nodes);

static uint32_t table_slots(int32_t context) {
    uint32_t slots = 8;
    while (slots < 4 * (uint32_t)context) /* 3 edges per token: at most three quarters full */
        slots *= 2;
    return slots;
}

size_t sl__suffix_bytes(int32_t context) {
    SL_ASSERT(context >= 1 && context <= 1 << 24);
    return (size_t)2 * (size_t)context * sizeof(sl__suffix_state) +
           (size_t)3 * (size_t)context * sizeof(sl__suffix_edge) +
           (size_t)table_slots(context) * sizeof(int32_t);
}

void sl__suffix_init(sl__suffix *s, void *memory, int32_t context, int32_t min) {
    SL_ASSERT(context >= 1 && context <= 1 << 24);
    SL_ASSERT(min >= 1 && min <= SL_SUFFIX_MATCH_MAX);
    s->drafter = (sl__drafter){"suffix", reset, observe, propose, NULL, NULL};
    s->context = context;
    s->min = min;
    s->slots = table_slots(context);
    s->states = memory;
    s->edges = (sl__suffix_edge *)(void *)(s->states + (size_t)2 * (size_t)context);
    s->table = (int32_t *)(void *)(s->edges + (size_t)3 * (size_t)context);
    reset(&s->drafter);
}

/* ---- states and edges -------------------------------------------------------- */

static int32_t add_state(sl__suffix *s, int32_t length, int32_t link) {
    SL_ASSERT(s->n_states < 2 * s->context);
    s->states[s->n_states] =
        (sl__suffix_state){.length = length, .link = link, .best = NONE, .edges = NONE};
    return s->n_states++;
}

static void reset(sl__drafter *self) {
    sl__suffix *s = (sl__suffix *)(void *)self;
    for (uint32_t i = 0; i < s->slots; i++)
        s->table[i] = NONE;
    s->n_tokens = s->n_states = s->n_edges = 0;
    s->newest[0] = s->newest[1] = NONE;
    s->last = s->cur = add_state(s, 0, NONE); /* the root: the empty substring */
    s->cur_length = 0;
}

/* Where the edge (from, token) is in the table, or belongs. */
static int32_t *slot_of(const sl__suffix *s, int32_t from, sl_token token) {
    const uint32_t mask = s->slots - 1;
    const uint64_t hash = sl__mix64((uint64_t)(uint32_t)from << 32 | (uint32_t)token);
    for (uint32_t at = (uint32_t)hash & mask;; at = (at + 1) & mask) {
        const int32_t edge = s->table[at];
        if (edge == NONE || (s->edges[edge].from == from && s->edges[edge].token == token))
            return &s->table[at];
    }
}

/* The state after (from, token), or NONE. */
static int32_t follow(const sl__suffix *s, int32_t from, sl_token token) {
    const int32_t edge = *slot_of(s, from, token);
    return edge == NONE ? NONE : s->edges[edge].to;
}

/* Set or add an edge. */
static void lead(sl__suffix *s, int32_t from, sl_token token, int32_t to) {
    int32_t *slot = slot_of(s, from, token);
    if (*slot == NONE) {
        SL_ASSERT(s->n_edges < 3 * s->context);
        *slot = s->n_edges++;
        s->edges[*slot] = (sl__suffix_edge){from, to, token, s->states[from].edges};
        s->states[from].edges = *slot;
    }
    s->edges[*slot].to = to;
}

/* The state of the longest suffix of `state` that has at most `length` tokens. */
static int32_t shorten(const sl__suffix *s, int32_t state, int32_t length) {
    while (state != 0 && s->states[s->states[state].link].length >= length)
        state = s->states[state].link;
    return state;
}

/* ---- growing ----------------------------------------------------------------- */

/* Substrings of `state` of at most `length` tokens now end where the others do not: give
 * them a state of their own. Edges from `p` upwards that led to `state` lead there. */
static int32_t split(sl__suffix *s, int32_t state, int32_t length, int32_t p, sl_token token) {
    const int32_t copy = add_state(s, length, s->states[state].link);
    const sl__suffix_state *from = &s->states[state];
    s->states[copy].count = from->count;
    s->states[copy].followed = from->followed;
    s->states[copy].best = from->best;
    s->states[copy].best_count = from->best_count;
    for (int32_t e = from->edges; e != NONE; e = s->edges[e].next)
        lead(s, copy, s->edges[e].token, s->edges[e].to);
    s->states[state].link = copy;
    for (; p != NONE && follow(s, p, token) == state; p = s->states[p].link)
        lead(s, p, token, copy);
    return copy;
}

/* Blumer et al.: make the automaton of the text that of the text and one more token. */
static void grow(sl__suffix *s, sl_token token) {
    const int32_t grown = add_state(s, s->n_tokens + 1, 0);
    int32_t p = s->last;
    for (; p != NONE && follow(s, p, token) == NONE; p = s->states[p].link)
        lead(s, p, token, grown);
    if (p != NONE) {
        const int32_t q = follow(s, p, token);
        const int32_t length = s->states[p].length + 1;
        s->states[grown].link = s->states[q].length == length ? q : split(s, q, length, p, token);
    }
    s->last = grown;
    s->n_tokens++;
}

static void push(sl__suffix *s, sl_token token) {
    for (int32_t x = s->cur; x != NONE; x = s->states[x].link)
        s->states[x].followed++;
    grow(s, token);
    s->cur = shorten(s, s->cur, s->cur_length); /* it may have been split */
    const int32_t next = follow(s, s->cur, token);
    for (int32_t x = next; x != NONE; x = s->states[x].link)
        s->states[x].count++;
    for (int32_t x = s->cur; x != NONE; x = s->states[x].link) {
        const int32_t count = s->states[follow(s, x, token)].count;
        if (count < s->states[x].best_count) continue;
        s->states[x].best = token;
        s->states[x].best_count = count;
    }
    s->cur_length = sl__min_i32(s->cur_length + 1, SL_SUFFIX_MATCH_MAX);
    s->cur = shorten(s, next, s->cur_length);
    s->newest[1] = s->newest[0];
    s->newest[0] = token;
}

static void observe(sl__drafter *self, const sl_token *tokens, int32_t n) {
    sl__suffix *s = (sl__suffix *)(void *)self;
    SL_ASSERT(n >= 0 && n <= s->context - s->n_tokens);
    for (int32_t i = 0; i < n; i++)
        push(s, tokens[i]);
}

/* ---- drafting ---------------------------------------------------------------- */

/* How the text went on after the two tokens before a node. */
static void count_agreement(const sl__suffix *s, const sl_token before[2], sl__draft_node *node) {
    int32_t state = before[1] == NONE ? NONE : follow(s, 0, before[1]);
    if (state != NONE) state = follow(s, state, before[0]);
    node->seen = state == NONE ? 0 : s->states[state].followed;
    if (state != NONE) state = follow(s, state, node->token);
    node->agreed = state == NONE ? 0 : s->states[state].count;
}

static sl__draft propose(sl__drafter *self, int32_t max, sl__draft_node *nodes) {
    const sl__suffix *s = (const sl__suffix *)(const void *)self;
    sl_token before[2] = {s->newest[0], s->newest[1]};
    sl__draft draft = {0, 0};
    int32_t state = s->cur, length = s->cur_length;
    while (draft.n_nodes < max) {
        while (state != 0 && s->states[state].followed == 0) { /* only the text's end: shorter */
            state = s->states[state].link;
            length = s->states[state].length;
        }
        if (length < s->min) break;
        const sl__suffix_state *x = &s->states[state];
        sl__draft_node *node = &nodes[draft.n_nodes];
        *node = (sl__draft_node){.token = x->best,
                                 .parent = draft.n_nodes - 1,
                                 .confidence = (float)x->best_count / (float)(x->followed + 1)};
        count_agreement(s, before, node);
        if (draft.n_nodes++ == 0) draft.match = length;
        length = sl__min_i32(length + 1, SL_SUFFIX_MATCH_MAX);
        state = shorten(s, follow(s, state, x->best), length);
        before[1] = before[0];
        before[0] = node->token;
    }
    return draft;
}

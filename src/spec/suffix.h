/* suffix.h - what usually followed this context, however long it is?
 *
 * Every substring of prompt and output is known with its count: the longest suffix of the
 * text that occurred before is found, and its most frequent continuation is drafted, token
 * by token, each from the longest context that has one. Prompt lookup (ngram.h) copies what
 * followed last time; this drafts what followed most often, and goes on from elsewhere where
 * the copied passage ends.
 *
 * (Oliaro et al., "SuffixDecoding", arXiv 2411.04975: frequency-scored continuations of a
 * suffix tree; Blumer et al. 1985 for the automaton that replaces the tree.) */
#ifndef SL_SUFFIX_H
#define SL_SUFFIX_H

#include <stddef.h>
#include <stdint.h>

#include "spec/drafter.h"

#define SL_SUFFIX_MATCH_MAX 24 /* contexts longer than this are not told apart */

/* A set of substrings that end at the same places; the longest has `length` tokens, the
 * shortest one more than the longest of `link`. */
typedef struct sl__suffix_state {
    int32_t length;
    int32_t link;       /* the state of the longest proper suffix that ends elsewhere too */
    int32_t count;      /* how often the substrings occurred                              */
    int32_t followed;   /* of those, with something after them                            */
    sl_token best;      /* what came after them most often, the latest among equals       */
    int32_t best_count; /* how often                                                      */
    int32_t edges;      /* list of its edges, or -1                                       */
} sl__suffix_state;

typedef struct sl__suffix_edge { /* a substring of `from`, then token: one of `to` */
    int32_t from, to;
    sl_token token;
    int32_t next; /* in from's list */
} sl__suffix_edge;

typedef struct sl__suffix {
    sl__drafter drafter; /* first: a pointer to one is a pointer to the other           */
    int32_t context;     /* tokens it can hold                                          */
    int32_t min;         /* shortest context to draft from                              */
    int32_t n_tokens, n_states, n_edges;
    sl_token newest[2];       /* newest first                                                */
    int32_t last;             /* state of the whole text                                     */
    int32_t cur, cur_length;  /* state of its suffix of at most SL_SUFFIX_MATCH_MAX tokens   */
    uint32_t slots;           /* a power of two >= 4 context                                 */
    sl__suffix_state *states; /* [2 context]                                                 */
    sl__suffix_edge *edges;   /* [3 context]                                                 */
    int32_t *table;           /* [slots] hash of (from, token) -> edge, or -1                */
} sl__suffix;

/* Bytes of memory for a request of up to `context` tokens, 120 .. 136 per token.
 * 1 <= context <= 2^24 is asserted. */
size_t sl__suffix_bytes(int32_t context);

/* Build a drafter in memory [sl__suffix_bytes()], 8-aligned and owned by the caller, who
 * keeps it while the drafter is used. It drafts from contexts of at least `min` tokens,
 * 1 .. SL_SUFFIX_MATCH_MAX. Nothing to release, no allocation ever. */
void sl__suffix_init(sl__suffix *suffix, void *memory, int32_t context, int32_t min);

/* drafter.observe: asserts that the tokens fit the context. Amortised O(SL_SUFFIX_MATCH_MAX)
 * per token, in practice a handful of probes: only states along the suffix links of the
 * newest token change, and a context has few of those.
 * drafter.propose: a chain; sl__draft.match is the length of the context its first token
 * follows. Confidence is the continuation's share of what followed the node's context, with
 * one more thing that might have followed. */

#endif

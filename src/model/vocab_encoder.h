/* vocab_encoder.h - the state of one call that tokenises, for the files that share it.
 *
 *     vocab_tokenize.c  special tokens, the calls        bpe.c, spm.c  what lies between
 *
 * Both models merge neighbours, best first: a heap holds the merges that neighbours allow,
 * ordered by (rank or score, place). An entry whose neighbours have changed since is
 * skipped when it comes up. */
#ifndef SL_VOCAB_ENCODER_H
#define SL_VOCAB_ENCODER_H

#include "model/vocab_private.h"

typedef struct sl__encoder_node {
    sl_token token; /* BPE: of this node, or -1 when merged into its left neighbour */
    int32_t prev;   /* index, or -1 */
    int32_t next;
    uint32_t at; /* SPM: place in the text            */
    uint32_t n;  /* SPM: bytes; 0 when merged         */
} sl__encoder_node;

typedef struct sl__candidate {
    uint64_t order; /* goodness, then place of the left node: lowest first */
    uint64_t what;  /* which merge: enough to see whether it still applies */
} sl__candidate;

typedef struct sl__encoder {
    const sl__vocab *vocab;
    sl_error *err;

    sl_token *tokens; /* [max], the caller's */
    int32_t max;
    int32_t count; /* tokens so far, also past max */

    sl__cutter *cutter; /* BPE */
    char *scratch;      /* [scratch_max] a text that is not quite the given one */
    size_t scratch_max;
    sl__encoder_node *nodes; /* [nodes_max]     */
    sl__candidate *heap;     /* [2 * nodes_max] */
    size_t nodes_max;
    size_t heap_size;
} sl__encoder;

/* Text without special tokens, n > 0. SL_E_NOMEM, or SL_E_ARG if it cannot be cut. */
SL_MUST_USE sl_status sl__bpe_encode(sl__encoder *e, const char *text, size_t n);
SL_MUST_USE sl_status sl__spm_encode(sl__encoder *e, const char *text, size_t n, bool space_before);

/* Room for n nodes. n nodes have at most n - 1 candidates at first, and each of the at
 * most n - 1 merges takes one from the heap and adds at most two. */
SL_MUST_USE sl_status sl__encoder_reserve(sl__encoder *e, size_t n);

/* Room for n bytes of scratch; what it held is lost. */
SL_MUST_USE sl_status sl__encoder_reserve_scratch(sl__encoder *e, size_t n);

static inline void sl__encoder_emit(sl__encoder *e, sl_token token) {
    if (e->count < e->max) e->tokens[e->count] = token;
    e->count++;
}

/* ---- the heap of merges ---- */

static inline int32_t sl__candidate_place(const sl__candidate *c) {
    return (int32_t)(uint32_t)c->order;
}

static inline void sl__encoder_push(sl__encoder *e, sl__candidate added) {
    size_t i = e->heap_size++;
    for (; i > 0 && added.order < e->heap[(i - 1) / 2].order; i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = added;
}

static inline sl__candidate sl__encoder_pop(sl__encoder *e) {
    const sl__candidate top = e->heap[0], last = e->heap[--e->heap_size];
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

#endif

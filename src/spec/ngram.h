/* ngram.h - prompt lookup: what followed the last time the text looked like this?
 *
 * The newest n tokens are searched in prompt and output for the longest n in
 * ngram_max .. ngram_min that occurred before; the tokens after its most recent
 * earlier occurrence are the draft. Costs nothing to train, and is right where
 * output copies: edits, extraction, quoting, tables.
 *
 * (Saxena, "Prompt Lookup Decoding", 2023; llama.cpp calls it ngram-simple.) */
#ifndef SL_NGRAM_H
#define SL_NGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "spec/drafter.h"

#define SL_NGRAM_LENGTH_MAX 16

typedef struct sl__ngram {
    sl__drafter drafter; /* first: a pointer to one is a pointer to the other          */
    int32_t context;     /* tokens it can hold                                         */
    int32_t min, max;    /* lengths of n-grams                                         */
    int32_t n_tokens;
    sl_token *tokens;  /* [context]                                                  */
    uint32_t slots;    /* of one table, a power of two >= 2 * context                */
    int32_t *tables;   /* [max - min + 1][slots]: where an n-gram last ended, or -1  */
    int32_t *pairs;    /* [slots][2]: where two tokens last ended, or -1; how often  */
    int32_t *triples;  /* [slots][2]: the same of three                              */
    int32_t match;     /* longest length whose newest n-gram occurred before, or 0   */
    int32_t match_end; /* where that occurrence ended                                */
} sl__ngram;

/* Bytes of memory for a request of up to `context` tokens: about
 * 4 context + 8..16 context per length and 32..64 context for counting. 1 <= min <= max <=
 * SL_NGRAM_LENGTH_MAX and 1 <= context <= 2^28 are asserted. */
size_t sl__ngram_bytes(int32_t context, int32_t min, int32_t max);

/* Build a drafter in memory [sl__ngram_bytes()], 8-aligned and owned by the caller,
 * who keeps it while the drafter is used. Nothing to release, no allocation ever. */
void sl__ngram_init(sl__ngram *ngram, void *memory, int32_t context, int32_t min, int32_t max);

/* drafter.observe: asserts that the tokens fit the context. O(max) per token, all
 * lengths together, whatever the length of the text.
 * drafter.propose: a chain; sl__draft.match is the length found. O(max nodes). Every node
 * says how the text went on after the two tokens before it (seen, agreed): one earlier
 * occurrence, or many of one mind, or a draft that was picked among several. */

#endif

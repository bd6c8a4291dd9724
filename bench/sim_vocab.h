/* sim_vocab.h - text to tokens for recordings, from a GGUF file or a tiktoken list.
 *
 *     FILE.gguf              a model or a vocabulary, tokenised as the engine does
 *     NAME.tiktoken[.gz]     "base64 rank" lines, with Qwen's pre-tokenizer pattern
 *
 * Errors are one line in a caller's buffer, as everywhere in slp_sim. */
#ifndef SIM_VOCAB_H
#define SIM_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/status.h"

typedef struct sim_vocab sim_vocab;

/* SL_OK and *out (release with sim_vocab_close), or *out = NULL and err filled. */
SL_MUST_USE sl_status sim_vocab_open(sim_vocab **out, const char *path, sl_error *err);
void sim_vocab_close(sim_vocab *vocab); /* NULL is fine */

/* Tokens of text [n]; written up to max, *n_tokens is how many there are. Markup is text
 * like any other: recordings hold what a model wrote. */
SL_MUST_USE sl_status sim_vocab_tokenize(sim_vocab *vocab, const char *text, size_t n,
                                         int32_t *tokens, int32_t max, int32_t *n_tokens,
                                         sl_error *err);

#endif

/* vocab.h - the tokens of a model: text to ids and back.
 *
 *     text -> special tokens cut out -> words, merges by rank      -> ids    BPE ("gpt2")
 *                                    -> characters, merges by score -> ids    SPM ("llama")
 *
 * Any bytes have ids and come back unchanged:
 *     BPE  decode(encode(x)) == x. (Some vocabularies have no token for C0, C1 and F5 ..
 *          FF, bytes that valid UTF-8 never has: each comes back as U+FFFD.)
 *     SPM  decode(encode(x)) == x; with add_space_prefix (the usual), " " before each
 *          stretch of x that starts it or follows a special token. (In a vocabulary
 *          without byte tokens the unknown token stands in for what it cannot say.)
 * Special tokens that take white space along (Phi-3's) lose it, where they are parsed.
 *
 * A vocabulary is read-only after opening; every call may run on any number of threads.
 * It keeps nothing of the file it was read from.
 *
 * vocab.c and vocab_special.c build and look up, vocab_tokenize.c cuts special tokens out,
 * bpe.c and spm.c tokenise the rest, pretokenizer.h cuts text into words. */
#ifndef SL_VOCAB_H
#define SL_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gguf.h"
#include "sluice/tokenizer.h"

#define SL_VOCAB_TOKENS_MAX (1 << 22)
#define SL_VOCAB_TEXT_MAX (1 << 30) /* bytes in one call */

typedef struct sl__vocab sl__vocab;

/* Build the vocabulary of a file. SL_OK and *out (release with sl__vocab_close), or
 * *out = NULL and
 *   SL_E_FORMAT  damaged, or a tokenizer that is not supported: err says which are
 *   SL_E_NOMEM */
SL_MUST_USE sl_status sl__vocab_open(sl__vocab **out, const sl__gguf *g, sl_error *err);

/* Release and set to NULL. NULL is fine. */
void sl__vocab_close(sl__vocab **vocab);

int32_t sl__vocab_size(const sl__vocab *vocab);

/* Contracts of sl_tokenize(), sl_token_bytes() and their neighbours in tokenizer.h. */
SL_MUST_USE sl_status sl__vocab_tokenize(const sl__vocab *vocab, const char *text, size_t n,
                                         bool parse_special, sl_token *tokens, int32_t max,
                                         int32_t *n_tokens, sl_error *err);

/* A piece of one text. Control tokens are recognised inside a piece that allows it and
 * never across two; words and merges go on across pieces, as if they were one text. */
typedef struct sl__text_piece {
    const char *text;
    size_t n;
    bool parse_special;
    bool brings_space; /* a space that it has where the tokenizer would put one is that one */
} sl__text_piece;

/* As sl__vocab_tokenize() of the pieces' concatenation. */
SL_MUST_USE sl_status sl__vocab_tokenize_pieces(const sl__vocab *vocab,
                                                const sl__text_piece *pieces, size_t n_pieces,
                                                sl_token *tokens, int32_t max, int32_t *n_tokens,
                                                sl_error *err);

const char *sl__vocab_bytes(const sl__vocab *vocab, sl_token token, bool special, size_t *n);
bool sl__vocab_is_eog(const sl__vocab *vocab, sl_token token);
sl_token sl__vocab_bos(const sl__vocab *vocab);
sl_token sl__vocab_eos(const sl__vocab *vocab);
bool sl__vocab_adds_bos(const sl__vocab *vocab);
bool sl__vocab_adds_eos(const sl__vocab *vocab);
bool sl__vocab_adds_space(const sl__vocab *vocab); /* before a text */

/* Every end-of-generation token, ascending; borrowed. */
const sl_token *sl__vocab_eogs(const sl__vocab *vocab, int32_t *n);

#endif

/* vocab_build.h - what the files that build a vocabulary share while they do.
 *
 *     vocab.c          order of the work, bytes of tokens, merges
 *     vocab_special.c  tokens that end, begin or structure text */
#ifndef SL_VOCAB_BUILD_H
#define SL_VOCAB_BUILD_H

#include "model/gguf.h"
#include "model/vocab_private.h"

#define SL_BYTE_CHARACTERS 324 /* bytes are spelled in U+0000 .. U+0143 */

/* Needed while loading only. */
typedef struct sl__vocab_builder {
    sl__vocab *vocab;
    const sl__gguf *g;
    sl__gguf_string *spellings;          /* [n_tokens] as in the file                 */
    int32_t *slots;                      /* [n_slots] by spelling; an id, or -1       */
    size_t n_slots;                      /* power of two, >= 2 * n_tokens             */
    size_t spelling_max;                 /* bytes of the longest                      */
    char *joined;                        /* [spelling_max] scratch: a merge's result  */
    int16_t byte_of[SL_BYTE_CHARACTERS]; /* the byte a character spells, or -1        */
    sl_error *err;
} sl__vocab_builder;

sl_status sl__vocab_out_of_memory(const sl__vocab_builder *b);

/* The token spelled so in the file, or -1. */
sl_token sl__vocab_find_spelling(const sl__vocab_builder *b, const char *bytes, size_t n);

/* End-of-generation tokens; may change what kind a token is, so before the next. */
SL_MUST_USE sl_status sl__vocab_find_eogs(sl__vocab_builder *b);

/* The tokens that are matched before words, and what white space they take along. */
SL_MUST_USE sl_status sl__vocab_find_specials(sl__vocab_builder *b);

/* bos, and whether prompts begin and end with special tokens. */
SL_MUST_USE sl_status sl__vocab_read_ends(sl__vocab_builder *b);

#endif

/* pretokenizer.h - cutting text into the words that BPE merges stay inside.
 *
 * A pre-tokenizer is a regular expression, or several, each applied to the pieces of the
 * one before; the matches, and the gaps between them, are the words. Which one a
 * vocabulary was trained with is a name in the file; names and their patterns are a row
 * of the table in pretokenizer.c.
 *
 * Text may be any bytes. A byte that is not part of valid UTF-8 is matched as a symbol:
 * neither letter, number nor space. Words are ranges of the original bytes. */
#ifndef SL_PRETOKENIZER_H
#define SL_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "sluice/status.h"

typedef struct sl__pretokenizer sl__pretokenizer; /* read-only, any number of threads */

/* The pre-tokenizer of that name. SL_OK and *out, or *out = NULL and SL_E_FORMAT (no
 * such row; err lists them) or SL_E_NOMEM. */
SL_MUST_USE sl_status sl__pretokenizer_open(sl__pretokenizer **out, const char *name, size_t n,
                                            sl_error *err);
void sl__pretokenizer_close(sl__pretokenizer **pre);

/* What else goes with the name: a word that is a token is not built from merges; a prompt
 * starts with BOS unless the file says otherwise. */
bool sl__pretokenizer_whole_words(const sl__pretokenizer *pre);
bool sl__pretokenizer_adds_bos(const sl__pretokenizer *pre);

/* The i-th supported name, or NULL past the last. */
const char *sl__pretokenizer_name(size_t i);

typedef struct sl__cutter sl__cutter; /* one thread's use of a pre-tokenizer */

SL_MUST_USE sl_status sl__cutter_open(sl__cutter **out, const sl__pretokenizer *pre, sl_error *err);
void sl__cutter_close(sl__cutter **cutter);

/* Begin with a text, borrowed until the last word. SL_OK or SL_E_NOMEM. */
SL_MUST_USE sl_status sl__cutter_start(sl__cutter *cutter, const char *text, size_t n,
                                       sl_error *err);

/* Length of the next word, 0 when there is none left. The words, in order, are the
 * text. SL_OK; SL_E_NOMEM, or SL_E_ARG if the matcher gave up (its limits are far above
 * what the patterns need). */
SL_MUST_USE sl_status sl__cutter_next(sl__cutter *cutter, size_t *length, sl_error *err);

/* Length of the valid UTF-8 character at text[0 .. n), n > 0, or 0. */
size_t sl__valid_character(const unsigned char *text, size_t n);

#endif

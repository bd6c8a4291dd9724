/* chat.h - chat formats: which one a template is, and how messages look in it.
 *
 * Templates are Jinja programs; they are not run. A format is recognised by markers
 * in the template's text, as llama.cpp does, and written in chat.c as a row of strings.
 * docs/tokenizers.md lists the formats. */
#ifndef SL_CHAT_H
#define SL_CHAT_H

#include "model/gguf.h"
#include "model/vocab.h"
#include "sluice/tokenizer.h"

typedef struct sl__chat_format sl__chat_format; /* static rows of a table in chat.c */

/* The format whose markers all appear in the template, or whose name the template is; or
 * NULL. */
const sl__chat_format *sl__chat_recognise(sl__gguf_string chat_template);

/* "chatml" */
const char *sl__chat_name(const sl__chat_format *format);

/* Contract of sl_chat_tokenize(); format may be NULL (SL_E_ARG). */
SL_MUST_USE sl_status sl__chat_tokenize(const sl__chat_format *format, const sl__vocab *vocab,
                                        const sl_chat_message *messages, int32_t n_messages,
                                        sl_token *tokens, int32_t max, int32_t *n_tokens,
                                        sl_error *err);

/* Contract of sl_chat_tokenize_next(); format may be NULL (SL_E_ARG). */
SL_MUST_USE sl_status sl__chat_tokenize_next(const sl__chat_format *format, const sl__vocab *vocab,
                                             const sl_chat_message *messages, int32_t n_messages,
                                             sl_token *tokens, int32_t max, int32_t *n_tokens,
                                             sl_error *err);

#endif

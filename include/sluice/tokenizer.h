/* tokenizer.h - text to token ids and back, and chat messages to a prompt.
 *
 * The vocabulary belongs to the model; every call here is read-only on it and
 * may run on any number of threads at once. */
#ifndef SLUICE_TOKENIZER_H
#define SLUICE_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t sl_token;

/* Tokenise n bytes of text (any bytes; no terminator needed).
 *
 *   parse_special  non-zero: the spelling of a control token becomes that token.
 *                  Zero for text a user typed: "<|im_end|>" is then plain text.
 *   tokens [max]   written up to max; may be NULL when max is 0
 *   n_tokens       how many the whole text has, also when it is more than max
 *
 * No BOS is added. SentencePiece vocabularies put a space before the text and behind every
 * special token in it, unless the file says otherwise (tokenizer.ggml.add_space_prefix):
 * the tokens' bytes have that space, too, and so does the first word a model says (see
 * own_text in generate.h). Returns SL_OK; SL_E_ARG if the text is longer than 2^30 bytes;
 * SL_E_NOMEM. Time: O(n log n). Allocates temporaries. */
SL_API SL_MUST_USE sl_status sl_tokenize(const sl_model *model, const char *text, size_t n,
                                         int parse_special, sl_token *tokens, int32_t max,
                                         int32_t *n_tokens, sl_error *err);

/* The bytes of one token: *n of them, not terminated, possibly part of a UTF-8
 * character. Borrowed from the model. Control tokens give their spelling only if
 * special is non-zero, else zero bytes. Asserts that the id is in [0, vocab). */
SL_API const char *sl_token_bytes(const sl_model *model, sl_token token, int special, size_t *n);

/* Non-zero if the token ends generation (end of turn, end of text). */
SL_API int sl_token_is_eog(const sl_model *model, sl_token token);

/* Ids the file names, or -1. */
SL_API sl_token sl_token_bos(const sl_model *model);
SL_API sl_token sl_token_eos(const sl_model *model);

/* Non-zero if a prompt of this model starts with BOS (tokenizer.ggml.add_bos_token). */
SL_API int sl_model_adds_bos(const sl_model *model);

typedef struct sl_chat_message {
    const char *role; /* "system", "user" or "assistant" */
    const char *text; /* UTF-8, terminated               */
} sl_chat_message;

/* Name of the chat format the file's template was recognised as ("chatml"), or
 * NULL when the file has no template or an unknown one. */
SL_API const char *sl_chat_format(const sl_model *model);

/* Tokenise a conversation through the model's chat format, ready for the
 * assistant's answer. Markup becomes control tokens, message text never does.
 * tokens, max and n_tokens as in sl_tokenize(). SL_E_ARG if the format is unknown
 * or a role is not one of the three. */
SL_API SL_MUST_USE sl_status sl_chat_tokenize(const sl_model *model,
                                              const sl_chat_message *messages, int32_t n_messages,
                                              sl_token *tokens, int32_t max, int32_t *n_tokens,
                                              sl_error *err);

/* Tokenise messages that follow an answer: what ends the assistant's message, then these,
 * ready for the next answer. Behind the tokens of sl_chat_tokenize() and those of the
 * answer (without the end-of-generation token) they carry the conversation on, so that only
 * they are new to a session. Otherwise as sl_chat_tokenize(). */
SL_API SL_MUST_USE sl_status sl_chat_tokenize_next(const sl_model *model,
                                                   const sl_chat_message *messages,
                                                   int32_t n_messages, sl_token *tokens,
                                                   int32_t max, int32_t *n_tokens, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* prompt.h - text and messages to the tokens of a prompt. */
#ifndef SL_CLI_PROMPT_H
#define SL_CLI_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/tokenizer.h"

typedef struct cli_prompt {
    sl_token *tokens; /* [n], room for one more before them; release with cli_prompt_free() */
    int32_t n;
} cli_prompt;

/* A text that is continued as it is; control tokens may be spelled in it, or a script could
 * not write markup of its own. */
int cli_prompt_raw(cli_prompt *out, const sl_model *model, const char *name, const char *text,
                   size_t n);

/* A conversation through the model's chat format; messages are plain text. */
int cli_prompt_chat(cli_prompt *out, const sl_model *model, const char *name,
                    const sl_chat_message *messages, int32_t n_messages);

/* Messages behind an answer (sl_chat_tokenize_next()). */
int cli_prompt_next(cli_prompt *out, const sl_model *model, const char *name,
                    const sl_chat_message *messages, int32_t n_messages);

/* All three: CLI_OK, or an exit code after one line on stderr that begins with name; out can
 * be freed either way. The first two begin with BOS where the model wants one and the text
 * has none. */

/* Put a token in front. */
void cli_prompt_prepend(cli_prompt *p, sl_token token);

void cli_prompt_free(cli_prompt *p);

#endif

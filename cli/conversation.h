/* conversation.h - turns of one chat in one session.
 *
 *     session  | system, turn 1, answer 1 | turn 2, answer 2 |
 *              evaluated once              only this is new
 *
 * The cache stays between turns. The tokens of an answer stay what the model chose: they
 * are never read back from its text. So an answer is the one a fresh session would give
 * that read all tokens before it at once. */
#ifndef SL_CLI_CONVERSATION_H
#define SL_CLI_CONVERSATION_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/generate.h"

typedef struct cli_conversation {
    sl_session *session;        /* borrowed, as the next two */
    sl_generate_params *params; /* with the callbacks        */
    const char *system;         /* or NULL                   */
    sl_token pending;           /* of the newest answer, not in the session yet; or -1 */
    bool begun;
    bool has_stats;
    sl_generate_stats stats; /* of the newest answer */
} cli_conversation;

cli_conversation cli_conversation_begin(sl_session *session, sl_generate_params *params,
                                        const char *system);

/* Forget everything that was said. */
void cli_conversation_reset(cli_conversation *c);

/* Say text as the user and generate the answer. CLI_OK, or an exit code after one line on
 * stderr: the turn does not fit into what is left of the context, or the library failed.
 * If no answer begins (that, or an interruption while reading), nothing was said. */
int cli_conversation_say(cli_conversation *c, const char *text);

#endif

/* conversation.c - what is new, in front of the model. */
#include "conversation.h"

#include "cmd.h"
#include "message.h"
#include "prompt.h"

cli_conversation cli_conversation_begin(sl_session *session, sl_generate_params *params,
                                        const char *system) {
    params->own_text = 1;
    return (cli_conversation){
        .session = session, .params = params, .system = system, .pending = -1};
}

void cli_conversation_reset(cli_conversation *c) {
    sl_session_rewind(c->session, 0);
    c->pending = -1;
    c->begun = false;
}

static int read_turn(const cli_conversation *c, const char *text, cli_prompt *turn) {
    const sl_model *model = sl_session_model(c->session);
    sl_chat_message messages[2];
    int32_t n = 0;
    if (!c->begun && c->system) messages[n++] = (sl_chat_message){"system", c->system};
    messages[n++] = (sl_chat_message){"user", text};
    const int code = c->begun ? cli_prompt_next(turn, model, "your turn", messages, n)
                              : cli_prompt_chat(turn, model, "your turn", messages, n);
    if (code == CLI_OK && c->pending >= 0) cli_prompt_prepend(turn, c->pending);
    return code;
}

/* An answer needs room for one token at least. */
static int check_room(const cli_conversation *c, const cli_prompt *turn) {
    const int32_t context = sl_session_context(c->session);
    const int32_t taken = sl_session_length(c->session);
    if (turn->n < context - taken) return CLI_OK;
    cli_complain("the context is full: %d of its %d tokens are taken, your turn needs %d and the "
                 "answer more; /reset begins anew, -c makes room for more",
                 (int)taken, (int)context, (int)turn->n);
    return CLI_FAILED;
}

int cli_conversation_say(cli_conversation *c, const char *text) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    cli_prompt turn;
    int code = read_turn(c, text, &turn);
    if (code == CLI_OK) code = check_room(c, &turn);
    if (code == CLI_OK) {
        const int32_t before = sl_session_length(c->session);
        const sl_status status =
            sl_generate(c->session, turn.tokens, turn.n, c->params, &c->stats, &err);
        c->has_stats = true;
        if (status != SL_OK) code = cli_complain_status(NULL, status, &err);
        if (c->stats.tokens == 0 && c->stats.stop != SL_STOP_EOG) {
            sl_session_rewind(c->session, before);
        } else {
            c->begun = true;
            c->pending = c->stats.pending;
        }
    }
    cli_prompt_free(&turn);
    return code;
}

/* complete.c - one question to a model through the public API, streamed.
 *
 *     complete MODEL.gguf "What is the capital of France?"
 *
 * Speculation needs nothing said: the defaults draft by prompt lookup and let the
 * ledger policy decide how many drafted tokens each pass verifies. */
#include <stdio.h>
#include <stdlib.h>

#include "sluice/generate.h"

static int on_text(void *user, const char *bytes, size_t n) {
    (void)user;
    (void)fwrite(bytes, 1, n, stdout);
    return fflush(stdout); /* non-zero would stop the request */
}

/* The user's turn in the model's own chat format: *tokens, to be freed. */
static sl_status read_prompt(const sl_model *model, const char *text, sl_token **tokens, int32_t *n,
                             sl_error *err) {
    const sl_chat_message turn = {"user", text};
    sl_status status = sl_chat_tokenize(model, &turn, 1, NULL, 0, n, err); /* count */
    if (status != SL_OK) return status;
    const int32_t max = *n;
    *tokens = malloc((size_t)max * sizeof **tokens);
    if (!*tokens) abort();
    return sl_chat_tokenize(model, &turn, 1, *tokens, max, n, err);
}

int main(int argc, char **argv) {
    sl_model *model = NULL;
    sl_session *session = NULL;
    sl_token *prompt = NULL;
    int32_t n_prompt = 0;
    sl_generate_stats stats;
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sl_generate_params params = sl_generate_params_default();
    params.max_tokens = 256;
    params.sampling.seed = 1;
    params.on_text = on_text;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: complete MODEL.gguf PROMPT\n");
        return 2;
    }
    sl_status status = sl_model_open(&model, argv[1], NULL, &err);
    if (status == SL_OK) status = sl_session_open(&session, model, NULL, &err);
    if (status == SL_OK) status = read_prompt(model, argv[2], &prompt, &n_prompt, &err);
    if (status == SL_OK) status = sl_generate(session, prompt, n_prompt, &params, &stats, &err);
    if (status == SL_OK)
        (void)printf("\n-- %d tokens in %d passes\n", (int)stats.tokens, (int)stats.passes);
    else
        (void)fprintf(stderr, "complete: %s\n", err.text);

    free(prompt);
    sl_session_close(&session);
    sl_model_close(&model);
    return status == SL_OK ? 0 : 1;
}

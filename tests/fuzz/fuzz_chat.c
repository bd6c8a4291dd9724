/* fuzz_chat.c - any bytes as a chat template and the messages of a conversation: a format or
 * none; tokens as many as were counted, and no control token that a message's text brought.
 *
 * The template ends at a zero byte, and so does each message's text; roles take turns. */
#include "fuzz.h"

#include <string.h>

#include "model/chat.h"
#include "model/vocab_private.h"

enum { MESSAGES_MAX = 6, FIRST_CONTROL = 4093 /* of the embedded model */ };

static const sl__vocab *open_once(void) {
    static sl__vocab *vocab; /* closed with the process */
    sl__gguf g;
    sl_error err = {0};
    if (vocab) return vocab;
    if (sl__gguf_open(&g, SL_MODEL_FILE, &err) != SL_OK ||
        sl__vocab_open(&vocab, &g, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    sl__gguf_close(&g);
    return vocab;
}

typedef sl_status tokenizer(const sl__chat_format *format, const sl__vocab *vocab,
                            const sl_chat_message *messages, int32_t n_messages, sl_token *tokens,
                            int32_t max, int32_t *n_tokens, sl_error *err);

/* How many control tokens the conversation has. */
static int32_t controls(tokenizer *tokenize, const sl__chat_format *format,
                        const sl_chat_message *messages, int32_t n) {
    int32_t count = 0, n_tokens = 0, again = 0;
    sl_error err = {0};
    const sl_status status = tokenize(format, open_once(), messages, n, NULL, 0, &n_tokens, &err);
    if (!format || n < 1) {
        FUZZ_CHECK(status == SL_E_ARG && err.text[0] != '\0' && n_tokens == 0);
        return 0;
    }
    FUZZ_CHECK(status == SL_OK && n_tokens >= 0);
    sl_token *tokens = malloc(((size_t)n_tokens + 1) * sizeof *tokens);
    FUZZ_CHECK(tokens);
    FUZZ_CHECK(tokenize(format, open_once(), messages, n, tokens, n_tokens, &again, &err) == SL_OK);
    FUZZ_CHECK(again == n_tokens);
    for (int32_t i = 0; i < n_tokens; i++)
        count += tokens[i] >= FIRST_CONTROL;
    free(tokens);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const roles[] = {"system", "user", "assistant"};
    sl_chat_message messages[MESSAGES_MAX], plain[MESSAGES_MAX];
    char *text = malloc(size + 1);
    int32_t n = 0;
    FUZZ_CHECK(text);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    const char *at = text + strlen(text), *end = text + size;
    const sl__chat_format *format = sl__chat_recognise((sl__gguf_string){text, strlen(text)});
    FUZZ_CHECK(!format || sl__chat_name(format)[0] != '\0');
    for (; at < end && n < MESSAGES_MAX; at += strlen(at), n++) {
        at++;
        messages[n] = (sl_chat_message){roles[n > 0 ? 1 + (n + 1) % 2 : 0], at};
        plain[n] = (sl_chat_message){messages[n].role, "x"};
    }
    FUZZ_CHECK(controls(sl__chat_tokenize, format, messages, n) ==
               controls(sl__chat_tokenize, format, plain, n));
    FUZZ_CHECK(controls(sl__chat_tokenize_next, format, messages, n) ==
               controls(sl__chat_tokenize_next, format, plain, n));
    free(text);
    return 0;
}

/* chat.c - the table of chat formats, and messages as pieces of one text. */
#include "model/chat.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define MARKERS_MAX 4
#define ROLES_MAX 3

struct sl__chat_format {
    const char *name;
    const char *markers[MARKERS_MAX]; /* all of them are in the template */
    struct {
        const char *role;
        const char *before; /* a message, with everything around it */
        const char *after;
    } roles[ROLES_MAX];
    const char *answer; /* what the assistant's answer is appended to */
};

static const sl__chat_format formats[] = {
    {
        .name = "chatml",
        .markers = {"<|im_start|>", "<|im_end|>"},
        .roles = {{"system", "<|im_start|>system\n", "<|im_end|>\n"},
                  {"user", "<|im_start|>user\n", "<|im_end|>\n"},
                  {"assistant", "<|im_start|>assistant\n", "<|im_end|>\n"}},
        .answer = "<|im_start|>assistant\n",
    },
};

static bool contains(sl__gguf_string text, const char *part) {
    const size_t n = strlen(part);
    for (size_t at = 0; at + n <= text.n; at++)
        if (memcmp(text.bytes + at, part, n) == 0) return true;
    return false;
}

const sl__chat_format *sl__chat_recognise(sl__gguf_string chat_template) {
    for (size_t f = 0; f < SL_COUNT(formats); f++) {
        bool all = true;
        for (size_t m = 0; m < MARKERS_MAX && formats[f].markers[m]; m++)
            all = all && contains(chat_template, formats[f].markers[m]);
        if (all) return &formats[f];
    }
    return NULL;
}

const char *sl__chat_name(const sl__chat_format *format) {
    return format->name;
}

static sl__text_piece markup(const char *text) {
    return (sl__text_piece){text, strlen(text), true, true};
}

/* Three pieces for one message; false if its role is not in the format. */
static bool write_message(const sl__chat_format *format, const sl_chat_message *message,
                          sl__text_piece pieces[3]) {
    for (size_t r = 0; r < ROLES_MAX && format->roles[r].role; r++) {
        if (strcmp(format->roles[r].role, message->role) != 0) continue;
        pieces[0] = markup(format->roles[r].before);
        pieces[1] = (sl__text_piece){message->text, strlen(message->text), false, false};
        pieces[2] = markup(format->roles[r].after);
        return true;
    }
    return false;
}

sl_status sl__chat_tokenize(const sl__chat_format *format, const sl__vocab *vocab,
                            const sl_chat_message *messages, int32_t n_messages, sl_token *tokens,
                            int32_t max, int32_t *n_tokens, sl_error *err) {
    *n_tokens = 0;
    if (!format)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "the model has no chat template, or one of an unknown format");
    if (n_messages < 1)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%" PRId32 " messages, expected at least 1",
                        n_messages);
    const size_t n_pieces = 3 * (size_t)n_messages + 1;
    sl__text_piece *pieces = malloc(n_pieces * sizeof *pieces);
    if (!pieces) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");

    sl_status status = SL_OK;
    for (int32_t i = 0; i < n_messages && status == SL_OK; i++)
        if (!write_message(format, &messages[i], pieces + 3 * (size_t)i))
            status = sl__fail(err, SL_E_ARG, SL_NOWHERE,
                              "message %" PRId32 " has role \"%s\", expected \"system\", \"user\" "
                              "or \"assistant\"",
                              i, messages[i].role);
    pieces[n_pieces - 1] = markup(format->answer);
    if (status == SL_OK)
        status = sl__vocab_tokenize_pieces(vocab, pieces, n_pieces, tokens, max, n_tokens, err);
    free(pieces);
    return status;
}

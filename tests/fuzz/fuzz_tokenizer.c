/* fuzz_tokenizer.c - any bytes through the embedded model's vocabulary and back.
 *
 * The first byte says whether special tokens are parsed, the second where the text is cut
 * in two pieces of which only the first may hold control tokens. */
#include "fuzz.h"

#include <string.h>

#include "model/vocab.h"

enum { CONTROL_FIRST = 4093 }; /* ids of the embedded model from here on are control tokens */

static const sl__vocab *embedded(void) {
    static sl__vocab *vocab; /* opened once, closed with the process */
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

/* The tokens' bytes, joined, are the text; a control token never reaches past `control`. */
static void check_tokens(const sl__vocab *vocab, const sl_token *tokens, int32_t n_tokens,
                         const char *text, size_t n, size_t control) {
    size_t pos = 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        size_t length = 0;
        const char *bytes = sl__vocab_bytes(vocab, tokens[i], true, &length);
        FUZZ_CHECK(length > 0 && length <= n - pos && memcmp(bytes, text + pos, length) == 0);
        pos += length;
        FUZZ_CHECK(tokens[i] < CONTROL_FIRST || pos <= control);
    }
    FUZZ_CHECK(pos == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const sl__vocab *vocab = embedded();
    int32_t n_tokens = 0;
    if (size < 2) return 0;
    const bool special = data[0] & 1;
    const size_t n = size - 2, cut = n > 0 ? data[1] % (n + 1) : 0;
    const char *text = (const char *)data + 2;
    sl_token *tokens = malloc((n + 1) * sizeof *tokens);
    FUZZ_CHECK(tokens);

    FUZZ_CHECK(sl__vocab_tokenize(vocab, text, n, special, tokens, (int32_t)n, &n_tokens, NULL) ==
               SL_OK);
    FUZZ_CHECK(n_tokens >= 0 && (size_t)n_tokens <= n);
    check_tokens(vocab, tokens, n_tokens, text, n, special ? n : 0);

    const sl__text_piece pieces[] = {{text, cut, special, false},
                                     {text + cut, n - cut, false, false}};
    FUZZ_CHECK(sl__vocab_tokenize_pieces(vocab, pieces, 2, tokens, (int32_t)n, &n_tokens, NULL) ==
               SL_OK);
    FUZZ_CHECK(n_tokens >= 0 && (size_t)n_tokens <= n);
    check_tokens(vocab, tokens, n_tokens, text, n, special ? cut : 0);
    free(tokens);
    return 0;
}

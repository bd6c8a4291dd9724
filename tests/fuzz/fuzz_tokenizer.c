/* fuzz_tokenizer.c - any bytes through vocabularies of every kind and back.
 *
 * The first byte says which vocabulary and whether special tokens are parsed, the second
 * where the text is cut in two pieces of which only the first may hold control tokens:
 *     '0' the embedded model's     '2' SPM     '4' SPM with the space before text
 *     '6', '8', ... BPE with the next pre-tokenizer; the odd ones parse special tokens */
#include "fuzz.h"

#include <string.h>

#include "model/gguf_write.h"
#include "model/vocab_private.h"

/* Ids from first_special on are cut out before words, from first_control on only where
 * special tokens are parsed. */
typedef struct target {
    sl__vocab *vocab;
    sl_token first_special;
    sl_token first_control;
    bool space_before;
} target;

enum { TARGETS_MAX = 80 };

static void open_embedded(target *t) {
    sl__gguf g;
    sl_error err = {0};
    if (sl__gguf_open(&g, SL_MODEL_FILE, &err) != SL_OK ||
        sl__vocab_open(&t->vocab, &g, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    sl__gguf_close(&g);
    t->first_special = t->first_control = 4093;
}

static const struct {
    const char *spelling; /* a space is " " */
    int32_t kind;
    int32_t score;
} more_tokens[] = {
    {"e", SL_TOKEN_NORMAL, -9},           {"th", SL_TOKEN_NORMAL, -1},
    {"the", SL_TOKEN_NORMAL, -2},         {" the", SL_TOKEN_NORMAL, -3},
    {"  ", SL_TOKEN_NORMAL, 5},           {" ", SL_TOKEN_NORMAL, -9},
    {"\xe4\xb8\xad", SL_TOKEN_NORMAL, 0}, {"::", SL_TOKEN_USER_DEFINED, 0},
    {"</s>", SL_TOKEN_CONTROL, 0},        {"<|im_end|>", SL_TOKEN_CONTROL, 0},
};
enum { MORE = sizeof more_tokens / sizeof *more_tokens, MORE_ORDINARY = 7, BYTES = 256 };

/* "▁" for a space, or byte-level characters. */
static void put_spelling(sl__gguf_writer *w, const char *text, int32_t kind, bool spm) {
    char spelling[64];
    size_t n = 0;
    for (; *text; text++) {
        if (kind != SL_TOKEN_NORMAL || (spm && *text != ' ')) {
            spelling[n++] = *text;
        } else if (spm) {
            memcpy(spelling + n, "\xe2\x96\x81", 3);
            n += 3;
        } else {
            n += sl__spell_byte((unsigned char)*text, spelling + n);
        }
    }
    sl__gguf_put_element(w, spelling, n);
}

/* Bytes, then more_tokens; for BPE without its single bytes, which would come twice. */
static void put_tokens(sl__gguf_writer *w, target *t, bool spm) {
    int32_t kinds[BYTES + MORE] = {0}, scores[BYTES + MORE] = {0}, n = 0;
    int32_t skipped = 0;
    for (int i = 0; i < MORE; i++)
        skipped += !spm && strlen(more_tokens[i].spelling) == 1;
    sl__gguf_put_strs(w, "tokenizer.ggml.tokens", (uint64_t)(BYTES + MORE - skipped));
    for (uint32_t byte = 0; byte < BYTES; byte++) {
        char spelling[8];
        size_t size = 6;
        (void)snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
        if (!spm) size = sl__spell_byte(byte, spelling);
        sl__gguf_put_element(w, spelling, size);
        kinds[n++] = spm ? SL_TOKEN_BYTE : SL_TOKEN_NORMAL;
    }
    for (int i = 0; i < MORE; i++) {
        if (!spm && strlen(more_tokens[i].spelling) == 1) continue;
        put_spelling(w, more_tokens[i].spelling, more_tokens[i].kind, spm);
        if (i == MORE_ORDINARY) t->first_special = n;
        if (i == MORE_ORDINARY + 1) t->first_control = n;
        scores[n] = more_tokens[i].score;
        kinds[n++] = more_tokens[i].kind;
    }
    sl__gguf_put_i32s(w, "tokenizer.ggml.token_type", kinds, (size_t)n);
    if (spm) sl__gguf_put_i32s(w, "tokenizer.ggml.scores", scores, (size_t)n);
}

/* pre: of BPE; NULL: SPM. */
static void open_built(target *t, const char *pre, bool space_before) {
    sl__gguf_writer w;
    sl__gguf g;
    sl__gguf_writer_init(&w);
    sl__gguf_put_str(&w, "tokenizer.ggml.model", pre ? "gpt2" : "llama");
    put_tokens(&w, t, !pre);
    if (pre) {
        sl__gguf_put_str(&w, "tokenizer.ggml.pre", pre);
        sl__gguf_put_strs(&w, "tokenizer.ggml.merges", 3);
        sl__gguf_put_element(&w, "t h", 3);
        sl__gguf_put_element(&w, "th e", 4);
        sl__gguf_put_element(&w, "\xc4\xa0 the", 6);
    }
    sl__gguf_put_bool(&w, "tokenizer.ggml.add_space_prefix", space_before);
    t->space_before = space_before;
    FUZZ_CHECK(sl__gguf_writer_finish(&w, NULL) == SL_OK);
    FUZZ_CHECK(sl__gguf_parse(&g, w.bytes, w.size, "built", NULL) == SL_OK);
    FUZZ_CHECK(sl__vocab_open(&t->vocab, &g, NULL) == SL_OK);
    sl__gguf_close(&g);
    sl__gguf_writer_fini(&w);
}

static const target *target_of(uint8_t choice) {
    static target targets[TARGETS_MAX]; /* each opened once, closed with the process */
    size_t n_targets = 3;
    while (n_targets < TARGETS_MAX && sl__pretokenizer_name(n_targets - 3))
        n_targets++;
    target *t = &targets[(size_t)((choice >> 1) ^ ('0' >> 1)) % n_targets];
    const size_t i = (size_t)(t - targets);
    if (!t->vocab && i == 0) open_embedded(t);
    if (!t->vocab) open_built(t, i < 3 ? NULL : sl__pretokenizer_name(i - 3), i == 2);
    return t;
}

/* The tokens' bytes, joined, are the text, but for the spaces before it and after special
 * tokens; a control token never reaches past `control`. */
static void check_tokens(const target *t, const sl_token *tokens, int32_t n_tokens,
                         const char *text, size_t n, size_t control) {
    size_t pos = 0;
    bool fresh = true;
    for (int32_t i = 0; i < n_tokens; i++) {
        size_t length = 0;
        const char *bytes = sl__vocab_bytes(t->vocab, tokens[i], true, &length);
        const bool special = tokens[i] >= t->first_special;
        FUZZ_CHECK(length > 0);
        if (t->space_before && fresh && !special) {
            FUZZ_CHECK(bytes[0] == ' ');
            bytes++;
            length--;
        }
        FUZZ_CHECK(length <= n - pos && memcmp(bytes, text + pos, length) == 0);
        pos += length;
        fresh = special;
        FUZZ_CHECK(tokens[i] < t->first_control || pos <= control);
    }
    FUZZ_CHECK(pos == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int32_t n_tokens = 0;
    if (size < 2) return 0;
    const target *t = target_of(data[0]);
    const bool special = data[0] & 1;
    const size_t n = size - 2, cut = n > 0 ? data[1] % (n + 1) : 0, max = 2 * n + 1;
    const char *text = (const char *)data + 2;
    sl_token *tokens = malloc(max * sizeof *tokens);
    FUZZ_CHECK(tokens);

    FUZZ_CHECK(sl__vocab_tokenize(t->vocab, text, n, special, tokens, (int32_t)max, &n_tokens,
                                  NULL) == SL_OK);
    FUZZ_CHECK(n_tokens >= 0 && (size_t)n_tokens <= max);
    check_tokens(t, tokens, n_tokens, text, n, special ? n : 0);

    const sl__text_piece pieces[] = {{text, cut, special, false},
                                     {text + cut, n - cut, false, false}};
    FUZZ_CHECK(sl__vocab_tokenize_pieces(t->vocab, pieces, 2, tokens, (int32_t)max, &n_tokens,
                                         NULL) == SL_OK);
    FUZZ_CHECK(n_tokens >= 0 && (size_t)n_tokens <= max);
    check_tokens(t, tokens, n_tokens, text, n, special ? cut : 0);
    free(tokens);
    return 0;
}

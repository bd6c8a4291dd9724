/* fuzz_gguf.c - any bytes as a model file: an error that says something, or a file whose
 * every key can be read and whose every tensor byte is there, and a vocabulary that
 * gives back what it is given. */
#include "fuzz.h"

#include <string.h>

#include "model/gguf.h"
#include "model/vocab_private.h"

static void check_error(sl_status status, const sl_error *err) {
    FUZZ_CHECK(err->code == status && err->text[0] != '\0');
    FUZZ_CHECK(strlen(err->text) < sizeof err->text);
}

/* Every getter on one key: each may refuse it, none may crash. */
static void read_key(const sl__gguf *g, const sl__gguf_key *key) {
    char name[SL_GGUF_KEY_NAME_MAX + 1];
    int32_t number = 0;
    float real = 0;
    bool flag = false;
    sl__gguf_string text;
    sl__gguf_array array;
    memcpy(name, key->name, key->name_size);
    name[key->name_size] = '\0';
    FUZZ_CHECK(sl__gguf_find_key(g, name) == key);

    (void)!sl__gguf_i32(g, name, INT32_MIN, INT32_MAX, &number, NULL);
    (void)!sl__gguf_f32(g, name, -1e30f, 1e30f, &real, NULL);
    (void)!sl__gguf_bool_or(g, name, false, &flag, NULL);
    if (sl__gguf_str(g, name, &text, NULL) == SL_OK) FUZZ_CHECK(text.n <= g->size);
    if (sl__gguf_strs(g, name, &array, NULL) == SL_OK)
        while (array.n > 0)
            FUZZ_CHECK(sl__gguf_next_string(&array).n <= g->size);
    if (sl__gguf_i32s_or_empty(g, name, -5, 1000000, &array, NULL) == SL_OK)
        for (uint64_t i = 0; i < array.n; i++)
            FUZZ_CHECK(sl__gguf_i32_at(&array, i) >= -5);
    if (sl__gguf_f32s_or_empty(g, name, &array, NULL) == SL_OK)
        for (uint64_t i = 0; i < array.n; i++)
            FUZZ_CHECK(sl__gguf_f32_at(&array, i) > -1e39);
}

static void read_tensor(const sl__gguf *g, const sl__gguf_tensor *t) {
    FUZZ_CHECK(sl__gguf_find_tensor(g, t->name) == t);
    FUZZ_CHECK(t->size > 0 && t->at + t->size <= g->size && t->at >= g->data_at);
    FUZZ_CHECK(t->data == g->bytes + t->at);
}

/* Where vocab.h promises decode(encode(x)) == x for any bytes, special tokens included. */
static bool is_inverse(const sl__vocab *vocab) {
    bool inverse = vocab->model == SL_VOCAB_BPE && !vocab->lacks_bytes;
    for (size_t i = 0; i < vocab->n_specials; i++)
        inverse = inverse && !vocab->specials[i].eats_right;
    return inverse;
}

static void use_vocabulary(const sl__gguf *g, const uint8_t *data, size_t size) {
    enum { TEXT_MAX = 256, TOKENS_MAX = 3 * TEXT_MAX + 1 };
    sl_error err = {0};
    sl__vocab *vocab = NULL;
    sl_token tokens[TOKENS_MAX];
    int32_t n_tokens = 0;
    const size_t n = size < TEXT_MAX ? size : TEXT_MAX;
    const sl_status status = sl__vocab_open(&vocab, g, &err);
    if (status != SL_OK) {
        check_error(status, &err);
        return;
    }
    FUZZ_CHECK(sl__vocab_tokenize(vocab, (const char *)data, n, true, tokens, TOKENS_MAX, &n_tokens,
                                  NULL) == SL_OK);
    FUZZ_CHECK(n_tokens >= 0 && n_tokens <= TOKENS_MAX);
    const bool inverse = is_inverse(vocab);
    size_t pos = 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        size_t length = 0;
        const char *bytes = sl__vocab_bytes(vocab, tokens[i], true, &length);
        if (!inverse) continue;
        FUZZ_CHECK(length <= n - pos && memcmp(bytes, data + pos, length) == 0);
        pos += length;
    }
    FUZZ_CHECK(pos == n || !inverse);
    sl__vocab_close(&vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl__gguf g;
    sl_error err = {0};
    const sl_status status = sl__gguf_parse(&g, data, size, "fuzz", &err);
    if (status != SL_OK) {
        check_error(status, &err);
        return 0;
    }
    for (int32_t i = 0; i < g.n_keys; i++)
        read_key(&g, &g.keys[i]);
    for (int32_t i = 0; i < g.n_tensors; i++)
        read_tensor(&g, &g.tensors[i]);
    use_vocabulary(&g, data, size);
    sl__gguf_close(&g);
    return 0;
}

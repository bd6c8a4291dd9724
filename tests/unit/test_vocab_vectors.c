/* test_vocab_vectors.c - llama.cpp's own tokenizer texts through many vocabularies.
 *
 *     test_vocab_vectors [FOLDER]
 *
 * A folder holds texts.inp, the texts with a line "__ggml_vocab_test__" between them, and
 * for each vocabulary NAME.gguf and NAME.ids, whose line i are the ids of text i. The one
 * in the repository holds reduced vocabularies (tools/reduce_vocab.py); a folder of whole
 * ones can be named. Fails if a pattern, the order of merges, the fallback to bytes or the
 * special tokens differ from the models' own tokenizers in one id. */
#include "check.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/vocab.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

enum { TEXTS_MAX = 64, TOKENS_MAX = 1024, NAMES_MAX = 64 };

static const char *folder = SL_TEST_DATA "/golden/vocab";

typedef struct file_text {
    char *bytes; /* terminated */
    size_t n;
} file_text;

static file_text read_file(const char *name) {
    char path[4096];
    file_text text = {NULL, 0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    text.n = (size_t)ftell(file);
    rewind(file);
    text.bytes = malloc(text.n + 1);
    assert_non_null(text.bytes);
    assert_int_equal(fread(text.bytes, 1, text.n, file), text.n);
    text.bytes[text.n] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

/* Ids in one line, which `*line` is moved past. */
static int32_t read_ids(char **line, sl_token ids[TOKENS_MAX]) {
    int32_t n = 0;
    char *end = *line + strcspn(*line, "\n");
    const bool more = *end == '\n';
    *end = '\0';
    for (char *at = *line;; n++) {
        char *after;
        const long id = strtol(at, &after, 10);
        if (after == at) break;
        assert_true(n < TOKENS_MAX);
        ids[n] = (sl_token)id;
        at = after;
    }
    *line = more ? end + 1 : end;
    return n;
}

static sl__vocab *open_vocab(const char *name) {
    char path[4096];
    sl__gguf g;
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    sl_status status = sl__gguf_open(&g, path, &err);
    if (status == SL_OK) status = sl__vocab_open(&vocab, &g, &err);
    sl__gguf_close(&g);
    if (status != SL_OK) print_error("%s\n", err.text);
    return vocab;
}

/* The tokens' bytes, joined, are the text, or the text with a space before it. */
static bool comes_back(const sl__vocab *vocab, const sl_token *tokens, int32_t n_tokens,
                       const char *text, size_t n) {
    static char joined[1 << 16];
    size_t used = 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        size_t length = 0;
        const char *bytes = sl__vocab_bytes(vocab, tokens[i], true, &length);
        if (length > sizeof joined - used) return false;
        memcpy(joined + used, bytes, length);
        used += length;
    }
    if (used == n + 1 && joined[0] == ' ') return memcmp(joined + 1, text, n) == 0;
    return used == n && memcmp(joined, text, n) == 0;
}

/* How many texts have other ids than expected, or do not come back. */
static int count_differences(const char *name, const file_text *inputs, int *n_texts) {
    char ids_name[256];
    int differences = 0;
    (void)snprintf(ids_name, sizeof ids_name, "%s.ids", name);
    sl__vocab *vocab = open_vocab(name);
    if (!vocab) return 1;
    file_text lines = read_file(ids_name);
    char *line = lines.bytes;
    const char *text = inputs->bytes;
    *n_texts = 0;
    for (bool last = false; !last; ++*n_texts) {
        static sl_token expected[TOKENS_MAX], tokens[TOKENS_MAX];
        int32_t n_tokens = 0;
        const char *end = strstr(text, SEPARATOR);
        last = !end;
        const size_t n = end ? (size_t)(end - text) : strlen(text);
        const int32_t n_expected = read_ids(&line, expected);
        assert_int_equal(
            sl__vocab_tokenize(vocab, text, n, false, tokens, TOKENS_MAX, &n_tokens, NULL), SL_OK);
        const bool same =
            n_tokens == n_expected &&
            (n_tokens == 0 || memcmp(tokens, expected, (size_t)n_tokens * sizeof *tokens) == 0);
        if (!same || !comes_back(vocab, tokens, n_tokens, text, n)) {
            int32_t at = 0;
            while (at < n_tokens && at < n_expected && tokens[at] == expected[at])
                at++;
            print_error("%s, text %d: %d ids, expected %d; they part at %d: \"%.*s\"\n", name,
                        *n_texts, n_tokens, n_expected, at, (int)n, text);
            differences++;
        }
        text = end ? end + strlen(SEPARATOR) : text;
    }
    free(lines.bytes);
    sl__vocab_close(&vocab);
    return differences;
}

static int by_name(const void *left, const void *right) {
    return strcmp(left, right);
}

/* Fails as the head of this file says. */
static void ids_are_those_of_the_models_own_tokenizers(void **state) {
    static char names[NAMES_MAX][256];
    size_t n_names = 0;
    int differences = 0;
    (void)state;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (const struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".gguf") != 0) continue;
        assert_true(n_names < NAMES_MAX);
        (void)snprintf(names[n_names++], sizeof names[0], "%.*s", (int)(dot - entry->d_name),
                       entry->d_name);
    }
    assert_int_equal(closedir(entries), 0);
    assert_true(n_names > 0);
    qsort(names, n_names, sizeof names[0], by_name);
    file_text inputs = read_file("texts.inp");
    for (size_t i = 0; i < n_names; i++) {
        int n_texts = 0;
        const int wrong = count_differences(names[i], &inputs, &n_texts);
        print_message("%-20s %d of %d texts\n", names[i], n_texts - wrong, n_texts);
        differences += wrong;
    }
    free(inputs.bytes);
    assert_int_equal(differences, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_the_models_own_tokenizers),
    };
    if (argc == 2) folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

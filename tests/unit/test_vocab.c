/* test_vocab.c - the tokenizer against llama.cpp's ids, and its promises on any bytes. */
#include "check.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "gguf_bytes.h"
#include "model/pretokenizer.h"
#include "model/vocab.h"

#define GOLDEN SL_TEST_DATA "/golden/tokens_1000.jsonl"

/* Opened once: the embedded model's vocabulary. */
static sl__vocab *embedded;

static int open_embedded(void **state) {
    sl__gguf g;
    sl_error err = {0};
    (void)state;
    if (sl__gguf_open(&g, SL_MODEL_FILE, &err) != SL_OK ||
        sl__vocab_open(&embedded, &g, &err) != SL_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    sl__gguf_close(&g); /* the vocabulary keeps nothing of the file */
    return 0;
}

static int close_embedded(void **state) {
    (void)state;
    sl__vocab_close(&embedded);
    return 0;
}

/* ---- small vocabularies ---- */

/* What put_vocabulary() writes, plus keys that `more` (may be NULL) puts. */
static sl_status build(sl__vocab **out, const extra_token *extra, size_t n_extra,
                       const char *const *merges, size_t n_merges, void (*more)(sl__gguf_writer *),
                       sl_error *err) {
    sl__gguf_writer w;
    sl__gguf g;
    sl__gguf_writer_init(&w);
    put_vocabulary(&w, extra, n_extra, merges, n_merges);
    if (more) more(&w);
    gguf_bytes file = finish_bytes(&w);
    sl_status status = sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", err);
    if (status == SL_OK) status = sl__vocab_open(out, &g, err);
    sl__gguf_close(&g);
    free(file.bytes);
    return status;
}

/* As build(), of any keys. */
static sl__vocab *finish_good(sl__gguf_writer *w) {
    sl__gguf g;
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    gguf_bytes file = finish_bytes(w);
    assert_int_equal(sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", NULL), SL_OK);
    if (sl__vocab_open(&vocab, &g, &err) != SL_OK) fail_msg("%s", err.text);
    sl__gguf_close(&g);
    free(file.bytes);
    return vocab;
}

static sl__vocab *build_spm(const scored_token *extra, size_t n_extra,
                            void (*more)(sl__gguf_writer *)) {
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    put_spm_vocabulary(&w, extra, n_extra);
    if (more) more(&w);
    return finish_good(&w);
}

static sl__vocab *build_good(const extra_token *extra, size_t n_extra, const char *const *merges,
                             size_t n_merges) {
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    if (build(&vocab, extra, n_extra, merges, n_merges, NULL, &err) != SL_OK)
        fail_msg("%s", err.text);
    return vocab;
}

/* Ids of text as "1 2 3", in a static buffer. */
static const char *ids_of(const sl__vocab *vocab, const char *text, bool special) {
    static char out[256];
    sl_token tokens[64];
    int32_t n = 0;
    size_t used = 0;
    assert_int_equal(sl__vocab_tokenize(vocab, text, strlen(text), special, tokens, 64, &n, NULL),
                     SL_OK);
    assert_in_range(n, 0, 64);
    out[0] = '\0';
    for (int32_t i = 0; i < n; i++)
        used +=
            (size_t)snprintf(out + used, sizeof out - used, "%s%d", i > 0 ? " " : "", tokens[i]);
    return out;
}

/* Tokenise an exact heap copy and compare the tokens' bytes, joined, with the text. */
static void check_round_trip(const sl__vocab *vocab, const void *text, size_t n, bool special,
                             uint64_t label) {
    unsigned char *copy = exact_copy(text, n);
    sl_token *tokens = malloc((n + 1) * sizeof *tokens);
    int32_t count = 0;
    size_t pos = 0;
    assert_non_null(tokens);
    CHECK_CASE(sl__vocab_tokenize(vocab, (const char *)copy, n, special, tokens, (int32_t)n + 1,
                                  &count, NULL) == SL_OK,
               "%llu", (unsigned long long)label);
    CHECK_CASE(count >= 0 && (size_t)count <= n + 1, "%llu", (unsigned long long)label);
    for (int32_t i = 0; i < count; i++) {
        size_t length = 0;
        const char *bytes = sl__vocab_bytes(vocab, tokens[i], special, &length);
        CHECK_CASE(length <= n - pos && memcmp(copy + pos, bytes, length) == 0, "%llu at %zu",
                   (unsigned long long)label, pos);
        pos += length;
    }
    CHECK_CASE(pos == n, "%llu: %zu of %zu bytes", (unsigned long long)label, pos, n);
    free(tokens);
    free(copy);
}

/* Cut a text and compare its words, cut at "|". */
static void check_words(const char *name, const char *text, const char *expected) {
    char words[128];
    size_t used = 0, pos = 0, length = 0;
    sl__pretokenizer *pre = NULL;
    sl__cutter *cutter = NULL;
    assert_int_equal(sl__pretokenizer_open(&pre, name, strlen(name), NULL), SL_OK);
    assert_int_equal(sl__cutter_open(&cutter, pre, NULL), SL_OK);
    assert_int_equal(sl__cutter_start(cutter, text, strlen(text), NULL), SL_OK);
    for (;; pos += length) {
        assert_int_equal(sl__cutter_next(cutter, &length, NULL), SL_OK);
        if (length == 0) break;
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%.*s", pos > 0 ? "|" : "",
                                 (int)length, text + pos);
    }
    assert_int_equal(pos, strlen(text));
    CHECK_CASE(strcmp(words, expected) == 0, "%s: \"%s\", expected \"%s\"", name, words, expected);
    sl__cutter_close(&cutter);
    sl__pretokenizer_close(&pre);
}

/* ---- tests ---- */

/* Fails if the pattern, the merge order, or the special tokens differ from llama.cpp's in
 * any of 1,000 texts. */
static void ids_are_those_of_llama_cpp(void **state) {
    (void)state;
    int lines = 0;
    json_error_t error;
    FILE *file = fopen(GOLDEN, "rb");
    assert_non_null(file);
    json_t *head = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
    assert_non_null(head);
    for (;; lines++) {
        json_t *row = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
        if (!row) break;
        sl_token tokens[2048];
        int32_t n = 0;
        const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
        const bool special = json_is_true(json_object_get(row, "special"));
        const char *bytes = json_string_value(text);
        assert_int_equal(sl__vocab_tokenize(embedded, bytes, json_string_length(text), special,
                                            tokens, 2048, &n, NULL),
                         SL_OK);
        CHECK_CASE((size_t)n == json_array_size(ids), "line %d: %s", lines + 2, bytes);
        for (int32_t i = 0; i < n; i++)
            CHECK_CASE(tokens[i] == json_integer_value(json_array_get(ids, (size_t)i)),
                       "line %d, token %d: %s", lines + 2, i, bytes);
        json_decref(row);
    }
    assert_int_equal(lines, json_integer_value(json_object_get(head, "lines")));
    json_decref(head);
    assert_int_equal(fclose(file), 0);
}

/* Fails if an alternative of the pattern goes, a class is PCRE2's and not Unicode's (U+180E
 * is no space), or a byte of an overlong or cut character counts as a letter. */
static void text_is_cut_into_the_words_of_the_pattern(void **state) {
    static const struct {
        const char *text, *words; /* cut at "|" */
    } rows[] = {
        {"It's WE'LL", "It|'s| WE|'LL"},
        {"a1234 b", "a|1|2|3|4| b"},
        {"x  y   z", "x| | y|  | z"},
        {"end. \n\n  next", "end|.| \n\n| | next"},
        {"f(x)?\n{", "f|(x|)?\n|{"},
        {"tab\tt  ", "tab|\tt|  "},
        {"m\xc2\xa0n", "m|\xc2\xa0n"},
        {"a \xe1\x9a\x80\xe1\x9a\x80z", "a| \xe1\x9a\x80|\xe1\x9a\x80z"},
        {" \xe1\xa0\x8e.", " \xe1\xa0\x8e."},
        {"a\xe0\x81\x81z", "a|\xe0\x81\x81|z"},
        {"a\xe4\xb8z", "a|\xe4\xb8|z"},
        {"a\xe4\xb8\xadz", "a\xe4\xb8\xadz"},
        {"\xffz\xff", "\xffz|\xff"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++)
        check_words("qwen2", rows[i].text, rows[i].words);
}

/* Fails if a row has another row's pattern, a pattern is missing, or a later pattern sees
 * past the end of its piece. Cut so by the pre-tokenizers of Hugging Face's tokenizers. */
static void every_pattern_cuts_in_its_own_way(void **state) {
    static const struct {
        const char *pre, *text, *words;
    } rows[] = {
        {"gpt-2", "It's 2026:  OK?\n", "It|'s| 2026|:| | OK|?|\n"},
        {"mpt", "WE'LL  go", "WE|'|LL| | go"},
        {"olmo", "(a)\n\n b", "(|a|)|\n\n| b"},
        {"llama-bpe", "It'S 12345 a\xc3\xa9.\n\nB", "It|'S| |123|45| a\xc3\xa9|.\n\n|B"},
        {"llama-v3", "1234", "123|4"},
        {"dbrx", "1234 $x", "123|4| $|x"},
        {"chatglm-bpe", "1234", "123|4"},
        {"deepseek-r1-qwen", "12", "1|2"},
        {"qwen35", "e\xcc\x81z 12", "e\xcc\x81z| |1|2"},
        {"qwen2", "e\xcc\x81z", "e|\xcc\x81z"},
        {"gpt-4o", "HTTPServer's iPhone 1234 a/b//\n", "HTTPServer's| i|Phone| |123|4| a|/b|//\n"},
        {"llama4", "don't 1234", "don't| |123|4"},
        {"tekken", "don't 12 iPhone", "don|'t| |1|2| i|Phone"},
        {"deepseek-llm", "Hi \xd0\x9c\xd0\xb8 12\n\xe4\xb8\xad!  ",
         "Hi| \xd0\x9c\xd0\xb8| |12|\n|\xe4\xb8\xad|!|  "},
        {"deepseek-llm", "  \xe4\xb8\xad", "  |\xe4\xb8\xad"},
        {"deepseek-coder", "f(x) 12\n", "f|(|x|)| |1|2|\n"},
        {"deepseek-v3", "(Hi 1234\xe4\xb8\xad\xe3\x81\x82z. ",
         "(Hi| |123|4|\xe4\xb8\xad\xe3\x81\x82|z|.| "},
        {"bailingmoe", "a12\n\nb", "a|1|2|\n\n|b"},
        {"seed-coder", "a!\n\nb", "a|!|\n\n|b"},
        {"starcoder", "a 12 b", "a| |1|2| b"},
        {"falcon", "a-b 12345 `x`", "a|-|b| |123|45| |`|x|`"},
        {"default", "a-b 12345", "a|-|b| |123|45"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++)
        check_words(rows[i].pre, rows[i].text, rows[i].words);
}

enum { LENGTH_MAX = 200 };

/* Bytes, or characters, words and markup with bytes between; their number returned. */
static size_t random_text(check_random *r, bool bytes_only, unsigned char text[LENGTH_MAX + 16]) {
    static const char *const parts[] = {
        "<|im_end|>",   "<|im_",    "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
        "\xed\xa0\x80", "\xc0\x80", "the ",         "  \n",
        "'ll",          "\xe4",     "\xe2\x96\x81", "12345",
        "HTTPs"};
    size_t n = 0;
    const size_t length = (size_t)check_below(r, LENGTH_MAX);
    while (n < length) {
        if (bytes_only || check_below(r, 2)) {
            text[n++] = (unsigned char)check_u64(r);
        } else {
            const char *part = parts[check_below(r, (int32_t)SL_COUNT(parts))];
            while (*part)
                text[n++] = (unsigned char)*part++;
        }
    }
    return n;
}

/* Fails if invalid UTF-8, NUL or a cut character changes a byte, or is read past. */
static void any_bytes_come_back_unchanged(void **state) {
    check_random r = {5, 0};
    (void)state;
    for (uint64_t round = 0; round < 3000; round++) {
        unsigned char text[LENGTH_MAX + 16];
        const size_t n = random_text(&r, round % 3 == 0, text);
        check_round_trip(embedded, text, n, round % 2 == 0, round);
    }
}

/* A text of runs that tempt a pattern into quadratic time; 64 KiB each. */
static void check_long_runs(const sl__vocab *vocab, size_t size) {
    static const char *const units[] = {
        "a", " ", "\n",         " \n", "<|im_start|",  "\xff", "\xcc\x81",
        "1", "'", "<|im_end|>", "A",   "\xe4\xb8\xad", "  x",  "\xc3\xa9"};
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t u = 0; u < SL_COUNT(units); u++) {
        const size_t unit = strlen(units[u]), n = size / unit * unit;
        for (size_t i = 0; i < n; i += unit)
            memcpy(text + i, units[u], unit);
        check_round_trip(vocab, text, n, true, u);
        text[n - 1] = '1'; /* a run that does not end the text */
        check_round_trip(vocab, text, n, true, u);
    }
    free(text);
}

/* Fails if a long run of anything takes quadratic time, overflows a limit or a stack. */
static void long_runs_are_no_problem(void **state) {
    (void)state;
    check_long_runs(embedded, 1 << 20);
}

/* Fails if some pattern loses, doubles or reads past a byte, or is quadratic. */
static void any_bytes_come_back_with_every_pre_tokenizer(void **state) {
    check_random r = {6, 0};
    (void)state;
    for (size_t i = 0; sl__pretokenizer_name(i); i++) {
        sl__gguf_writer w;
        sl__gguf_writer_init(&w);
        put_bpe_vocabulary(&w, sl__pretokenizer_name(i), NULL, 0, NULL, 0);
        sl__vocab *vocab = finish_good(&w);
        for (uint64_t round = 0; round < 100; round++) {
            unsigned char text[LENGTH_MAX + 16];
            const size_t n = random_text(&r, round % 3 == 0, text);
            check_round_trip(vocab, text, n, true, i * 1000 + round);
        }
        check_long_runs(vocab, 1 << 15);
        sl__vocab_close(&vocab);
    }
}

/* Fails if a control token's spelling becomes the token where it must not, or does not
 * where it must. */
static void control_tokens_in_user_text_stay_text(void **state) {
    int32_t n = 0;
    sl_token tokens[32];
    (void)state;
    assert_string_equal(ids_of(embedded, "<|im_start|>", true), "4094");
    assert_string_equal(ids_of(embedded, "<|im_start|><|im_end|>", true), "4094 4095");
    assert_int_equal(sl__vocab_tokenize(embedded, "a<|im_end|>b", 12, false, tokens, 32, &n, NULL),
                     SL_OK);
    for (int32_t i = 0; i < n; i++)
        assert_in_range(tokens[i], 0, 4092); /* the three control tokens are 4093 .. 4095 */
}

/* Fails if max bounds the count instead of the writing, or NULL needs to be writable. */
static void the_count_does_not_depend_on_the_room(void **state) {
    static const char text[] = "one two three four five";
    sl_token all[64], some[3] = {-1, -1, -1};
    int32_t n_all = 0, n_some = 0, n_none = 0;
    (void)state;
    const size_t n = strlen(text);
    assert_int_equal(sl__vocab_tokenize(embedded, text, n, false, all, 64, &n_all, NULL), SL_OK);
    assert_int_equal(sl__vocab_tokenize(embedded, text, n, false, some, 2, &n_some, NULL), SL_OK);
    assert_int_equal(sl__vocab_tokenize(embedded, text, n, false, NULL, 0, &n_none, NULL), SL_OK);
    assert_int_equal(n_some, n_all);
    assert_int_equal(n_none, n_all);
    assert_memory_equal(some, all, 2 * sizeof *some);
    assert_int_equal(some[2], -1);
    assert_int_equal(sl__vocab_tokenize(embedded, NULL, 0, false, NULL, 0, &n_none, NULL), SL_OK);
    assert_int_equal(n_none, 0);
    assert_int_equal(
        sl__vocab_tokenize(embedded, text, ((size_t)1 << 30) + 1, false, NULL, 0, &n_none, NULL),
        SL_E_ARG);
}

/* Fails if pieces are tokenised apart, or a control token forms across two of them. */
static void pieces_are_one_text_but_for_control_tokens(void **state) {
    static const sl__text_piece pieces[] = {
        {"<|im_start|>user\n", 17, true, false}, {"\n  hello wor", 12, false, false},
        {"ld <|im_", 8, false, false},           {"end|>", 5, true, false},
        {"<|im_end|>", 10, true, false},
    };
    sl_token joined[64], apart[64];
    int32_t n_joined = 0, n_apart = 0, n = 0;
    (void)state;
    assert_int_equal(
        sl__vocab_tokenize_pieces(embedded, pieces, SL_COUNT(pieces), joined, 64, &n_joined, NULL),
        SL_OK);
    /* control tokens stand alone, so what lies between them can be tokenised by itself */
    static const char middle[] = "user\n\n  hello world <|im_end|>";
    apart[n_apart++] = 4094;
    assert_int_equal(
        sl__vocab_tokenize(embedded, middle, strlen(middle), false, apart + 1, 60, &n, NULL),
        SL_OK);
    n_apart += n;
    apart[n_apart++] = 4095;
    assert_int_equal(n_joined, n_apart);
    assert_memory_equal(joined, apart, (size_t)n_apart * sizeof *apart);
}

/* Fails if the leftmost match beats the longest, ties do not go to the lower id, or a
 * user-defined token needs parse_special. Ids: a 97, b 98, c 99, d 100, e 101. */
static void the_longest_special_token_wins_wherever_it_stands(void **state) {
    static const extra_token extra[] = {{"abc", SL_TOKEN_USER_DEFINED},
                                        {"bcde", SL_TOKEN_CONTROL},
                                        {"cd", SL_TOKEN_USER_DEFINED},
                                        {"ab", SL_TOKEN_USER_DEFINED}};
    (void)state;
    sl__vocab *vocab = build_good(extra, SL_COUNT(extra), NULL, 0);
    assert_string_equal(ids_of(vocab, "abcde", true), "97 257");
    assert_string_equal(ids_of(vocab, "abcde", false), "256 100 101");
    assert_string_equal(ids_of(vocab, "abcd", true), "256 100");
    assert_string_equal(ids_of(vocab, "cdab", false), "258 259");
    assert_string_equal(ids_of(vocab, "bcdebcde", true), "257 257");
    assert_string_equal(ids_of(vocab, "bcd", true), "98 258");
    sl__vocab_close(&vocab);
}

/* Fails if rank is not the first criterion or place the second, or a merge that a
 * neighbour made impossible is applied. */
static void merges_apply_by_rank_then_from_the_left(void **state) {
    static const extra_token extra[] = {{"bc", 1}, {"ab", 1}, {"aa", 1}, {"abab", 1}, {"aab", 1}};
    static const char *const merges[] = {"b c", "a b", "a a", "ab ab", "a ab", "a a"};
    (void)state;
    sl__vocab *vocab = build_good(extra, SL_COUNT(extra), merges, SL_COUNT(merges));
    assert_string_equal(ids_of(vocab, "abc", false), "97 256");
    assert_string_equal(ids_of(vocab, "aaa", false), "258 97");
    assert_string_equal(ids_of(vocab, "ababab", false), "259 257");
    assert_string_equal(ids_of(vocab, "aab", false), "260");
    assert_string_equal(ids_of(vocab, "aabc", false), "258 256");
    assert_string_equal(ids_of(vocab, "aaab", false),
                        "258 257"); /* "a a" counts where it is first */
    sl__vocab_close(&vocab);
}

/* Fails if a kind shows bytes it must hide, or hides bytes it must show. */
static void token_bytes_follow_the_kind(void **state) {
    static const extra_token extra[] = {
        {"\xc4\xa0hi", SL_TOKEN_NORMAL},    {"<|x|>", SL_TOKEN_CONTROL},
        {"[PAD2]", SL_TOKEN_UNUSED},        {"\xc4\xa0hi ", SL_TOKEN_USER_DEFINED},
        {"<0xE4>", SL_TOKEN_BYTE},          {"", SL_TOKEN_NORMAL},
        {"\xe2\x96\x81z", SL_TOKEN_NORMAL},
    };
    static const struct {
        sl_token token;
        bool special;
        const char *bytes;
    } rows[] = {{256, false, " hi"},
                {257, false, ""},
                {257, true, "<|x|>"},
                {258, true, ""},
                {259, false, "\xc4\xa0hi "},
                {260, false, "\xe4"},
                {261, true, ""},
                {262, false, "\xe2\x96\x81z"}};
    (void)state;
    sl__vocab *vocab = build_good(extra, SL_COUNT(extra), NULL, 0);
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        size_t n = 0;
        const char *bytes = sl__vocab_bytes(vocab, rows[i].token, rows[i].special, &n);
        CHECK_CASE(n == strlen(rows[i].bytes) && memcmp(bytes, rows[i].bytes, n) == 0, "row %zu",
                   i);
    }
    sl__vocab_close(&vocab);
}

static void put_special_ids(sl__gguf_writer *w) {
    sl__gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 65);
    sl__gguf_put_u32(w, "tokenizer.ggml.eot_token_id", 66);
    sl__gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 257);
    sl__gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
}

/* Fails if a key or a control token's spelling is missed, an ordinary token's spelling
 * ends generation, or the set is not ascending. */
static void generation_ends_at_the_tokens_named_or_spelled_so(void **state) {
    static const extra_token extra[] = {{"<|endoftext|>", SL_TOKEN_USER_DEFINED},
                                        {"<|im_end|>", SL_TOKEN_CONTROL},
                                        {"</s>", SL_TOKEN_NORMAL}};
    static const sl_token expected[] = {65, 66, 256, 257};
    sl__vocab *vocab = NULL;
    int32_t n = 0;
    (void)state;
    assert_int_equal(build(&vocab, extra, SL_COUNT(extra), NULL, 0, put_special_ids, NULL), SL_OK);
    const sl_token *eogs = sl__vocab_eogs(vocab, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(eogs, expected, sizeof expected);
    assert_true(sl__vocab_is_eog(vocab, 65));
    assert_false(sl__vocab_is_eog(vocab, 258));
    assert_int_equal(sl__vocab_eos(vocab), 65);
    assert_int_equal(sl__vocab_bos(vocab), 257);
    assert_true(sl__vocab_adds_bos(vocab));
    /* a token that ends generation is markup, whatever the file called it */
    assert_string_equal(ids_of(vocab, "<|endoftext|>", true), "256");
    assert_int_equal(ids_of(vocab, "<|endoftext|>", false)[0], '6');
    sl__vocab_close(&vocab);

    assert_int_equal(sl__vocab_eos(embedded), 4095);
    assert_true(sl__vocab_is_eog(embedded, 4093));
    assert_false(sl__vocab_is_eog(embedded, 4094));
    assert_false(sl__vocab_adds_bos(embedded));
}

static void put_eos_out_of_range(sl__gguf_writer *w) {
    sl__gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 257);
}

static void put_bos_flag_only(sl__gguf_writer *w) {
    sl__gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
}

/* Fails if one of the properties that make encoding invertible goes unchecked. */
static void a_vocabulary_that_cannot_work_is_refused(void **state) {
    static const struct {
        const char *label;
        extra_token extra;
        const char *merge;
        void (*more)(sl__gguf_writer *);
        const char *expect;
    } rows[] = {
        /* clang-format off */
        {"good",             {"ab", SL_TOKEN_NORMAL}, "a b", NULL, NULL},
        {"duplicate token",  {"a", SL_TOKEN_NORMAL}, "a b", NULL, "element 256 \"a\" appears a second time"},
        {"no result",        {"ac", SL_TOKEN_NORMAL}, "a b", NULL, "merges at offset"},
        {"part is no token", {"ab", SL_TOKEN_NORMAL}, "ab bc", NULL, "part that is no token"},
        {"no space",         {"ab", SL_TOKEN_NORMAL}, "ab", NULL, "two parts"},
        {"empty part",       {"ab", SL_TOKEN_NORMAL}, "ab ", NULL, "two parts"},
        {"makes a control",  {"ab", SL_TOKEN_CONTROL}, "a b", NULL, "other bytes"},
        {"makes an unused",  {"ab", SL_TOKEN_UNUSED}, "a b", NULL, "other bytes"},
        {"makes plain text", {"\xc4\xa0" "a", SL_TOKEN_USER_DEFINED}, "\xc4\xa0 a", NULL, "other bytes"},
        {"bad byte token",   {"<0xG0>", SL_TOKEN_BYTE}, "a b", NULL, "byte token"},
        {"kind 7",           {"ab", 7}, "a b", NULL, "element 256 is 7, expected 0 .. 6"},
        {"eos 257 of 257",   {"ab", SL_TOKEN_NORMAL}, "a b", put_eos_out_of_range, "257, expected 0 .. 256"},
        {"bos without id",   {"ab", SL_TOKEN_NORMAL}, "a b", put_bos_flag_only, "bos_token_id"},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl__vocab *vocab = NULL;
        sl_error err = {0};
        const sl_status status =
            build(&vocab, &rows[i].extra, 1, &rows[i].merge, 1, rows[i].more, &err);
        CHECK_CASE(status == (rows[i].expect ? SL_E_FORMAT : SL_OK), "%s: %s", rows[i].label,
                   err.text);
        if (rows[i].expect)
            CHECK_CASE(strstr(err.text, rows[i].expect), "%s: %s", rows[i].label, err.text);
        CHECK_CASE((vocab == NULL) == (status != SL_OK), "%s", rows[i].label);
        sl__vocab_close(&vocab);
    }
}

static void put_no_prefix(sl__gguf_writer *w) {
    sl__gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
}

#define SPACE "\xe2\x96\x81"

/* Fails if the score is not the first criterion or place the second, a merged neighbour is
 * used twice, or bytes are not the last resort. Byte b is 3 + b. */
static void spm_merges_by_score_then_from_the_left(void **state) {
    static const scored_token extra[] = {{"a", SL_TOKEN_NORMAL, -9},  {"b", SL_TOKEN_NORMAL, -9},
                                         {"ab", SL_TOKEN_NORMAL, -3}, {"ba", SL_TOKEN_NORMAL, -2},
                                         {"aba", SL_TOKEN_NORMAL, 1}, {"aa", SL_TOKEN_NORMAL, 0},
                                         {SPACE, SL_TOKEN_NORMAL, -9}};
    (void)state;
    sl__vocab *vocab = build_spm(extra, SL_COUNT(extra), put_no_prefix);
    assert_string_equal(ids_of(vocab, "ab", false), "261");
    assert_string_equal(ids_of(vocab, "bab", false), "262 260"); /* ba before ab */
    assert_string_equal(ids_of(vocab, "aba", false), "263");     /* a ba, then both */
    assert_string_equal(ids_of(vocab, "aaa", false), "264 259"); /* from the left */
    assert_string_equal(ids_of(vocab, "ababa", false), "263 262");
    assert_string_equal(ids_of(vocab, "c\xc3\xa9", false), "102 198 172");
    assert_string_equal(ids_of(vocab, "a b", false), "259 265 260");
    assert_string_equal(ids_of(vocab, "", false), "");
    sl__vocab_close(&vocab);
}

/* Fails if the space is missing, doubled, or put where no text begins; or if a markup's
 * own space does not replace it. */
static void spm_puts_a_space_before_text(void **state) {
    static const scored_token extra[] = {{SPACE, SL_TOKEN_NORMAL, -9},
                                         {SPACE "a", SL_TOKEN_NORMAL, -1},
                                         {SPACE SPACE, SL_TOKEN_NORMAL, -2},
                                         {"[I]", SL_TOKEN_CONTROL, 0},
                                         {"a", SL_TOKEN_NORMAL, -9}};
    static const sl__text_piece pieces[] = {{"[I] ", 4, true, true}, {"a", 1, false, false}},
                                plain[] = {{"[I] ", 4, true, false}, {"a", 1, false, false}};
    sl_token tokens[8];
    int32_t n = 0;
    (void)state;
    sl__vocab *vocab = build_spm(extra, SL_COUNT(extra), NULL);
    assert_string_equal(ids_of(vocab, "a", true), "260");
    assert_string_equal(ids_of(vocab, " a", true), "259 260");
    assert_string_equal(ids_of(vocab, "a[I]a", true), "260 262 260");
    assert_string_equal(ids_of(vocab, "[I][I]", true), "262 262");
    assert_int_equal(sl__vocab_tokenize_pieces(vocab, pieces, 2, tokens, 8, &n, NULL), SL_OK);
    assert_int_equal(n, 2);
    assert_int_equal(tokens[1], 260);
    assert_int_equal(sl__vocab_tokenize_pieces(vocab, plain, 2, tokens, 8, &n, NULL), SL_OK);
    assert_int_equal(n, 3);
    assert_true(sl__vocab_adds_bos(vocab) && !sl__vocab_adds_eos(vocab));
    assert_int_equal(sl__vocab_bos(vocab), 1);
    assert_int_equal(sl__vocab_eos(vocab), 2);
    assert_true(sl__vocab_is_eog(vocab, 2));
    sl__vocab_close(&vocab);
}

/* Fails if a byte changes: invalid ones, U+2581 itself, spaces beside cut characters. */
static void any_bytes_come_back_from_spm(void **state) {
    static const scored_token extra[] = {
        {SPACE, SL_TOKEN_NORMAL, -9},         {"th", SL_TOKEN_NORMAL, -1},
        {"the", SL_TOKEN_NORMAL, -2},         {SPACE "the", SL_TOKEN_NORMAL, -3},
        {"e" SPACE, SL_TOKEN_NORMAL, -1},     {"t", SL_TOKEN_NORMAL, -9},
        {"\xe4\xb8\xad", SL_TOKEN_NORMAL, 0}, {"  ", SL_TOKEN_USER_DEFINED, 0},
        {"e", SL_TOKEN_NORMAL, -9},           {"<|im_end|>", SL_TOKEN_CONTROL, 0},
        {"[X]", SL_TOKEN_UNUSED, 0},          {"im", SL_TOKEN_UNUSED, 9}};
    check_random r = {7, 0};
    (void)state;
    sl__vocab *vocab = build_spm(extra, SL_COUNT(extra), put_no_prefix);
    for (uint64_t round = 0; round < 3000; round++) {
        unsigned char text[LENGTH_MAX + 16];
        const size_t n = random_text(&r, round % 3 == 0, text);
        check_round_trip(vocab, text, n, round % 2 == 0, round);
    }
    check_round_trip(vocab, "\xe2 \xe2\x96 " SPACE "x", 10, false, 9999);
    check_long_runs(vocab, 1 << 18);
    sl__vocab_close(&vocab);
}

static void put_unknown_only(sl__gguf_writer *w, bool unknown) {
    static const int32_t scores[] = {0, 0};
    const int32_t kinds[] = {unknown ? SL_TOKEN_UNKNOWN : SL_TOKEN_CONTROL, SL_TOKEN_NORMAL};
    sl__gguf_put_str(w, "tokenizer.ggml.model", "llama");
    sl__gguf_put_strs(w, "tokenizer.ggml.tokens", 2);
    sl__gguf_put_element(w, "<unk>", 5);
    sl__gguf_put_element(w, "a", 1);
    sl__gguf_put_i32s(w, "tokenizer.ggml.token_type", kinds, 2);
    sl__gguf_put_i32s(w, "tokenizer.ggml.scores", scores, 2);
}

/* Fails if a character without tokens vanishes where there are no byte tokens, or a
 * vocabulary that has neither is accepted. */
static void spm_without_bytes_has_the_unknown_token(void **state) {
    sl__gguf_writer w;
    sl__gguf g;
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    (void)state;
    sl__gguf_writer_init(&w);
    put_unknown_only(&w, true);
    put_no_prefix(&w);
    vocab = finish_good(&w);
    assert_string_equal(ids_of(vocab, "ab", false), "1 0");
    sl__vocab_close(&vocab);

    sl__gguf_writer_init(&w);
    put_unknown_only(&w, false);
    gguf_bytes file = finish_bytes(&w);
    assert_int_equal(sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", NULL), SL_OK);
    assert_int_equal(sl__vocab_open(&vocab, &g, &err), SL_E_FORMAT);
    assert_non_null(strstr(err.text, "neither a token for byte 0x00 nor one for the unknown"));
    sl__gguf_close(&g);
    free(file.bytes);
}

static void put_name_phi3(sl__gguf_writer *w) {
    sl__gguf_put_str(w, "general.name", "Phi 3.5 MoE Instruct");
}

/* Fails if white space is dropped before a token, after the three exceptions, past the next
 * special token, in other models, or where special tokens are not parsed. */
static void special_tokens_of_phi3_take_white_space_along(void **state) {
    static const scored_token extra[] = {{SPACE, SL_TOKEN_NORMAL, -9},
                                         {"a", SL_TOKEN_NORMAL, -9},
                                         {"<|end|>", SL_TOKEN_CONTROL, 0},
                                         {"<|endoftext|>", SL_TOKEN_CONTROL, 0}};
    (void)state;
    sl__vocab *phi3 = build_spm(extra, SL_COUNT(extra), put_name_phi3);
    assert_string_equal(ids_of(phi3, "a <|end|> \n\ta", true), "259 260 259 261 259 260");
    assert_string_equal(ids_of(phi3, "<|end|>\n<|end|>\n", true), "261 261");
    assert_string_equal(ids_of(phi3, "<|endoftext|>\n", true), "262 259 13");
    assert_string_equal(ids_of(phi3, "<s>\n", true), "1 259 13");
    sl__vocab_close(&phi3);
    sl__vocab *other = build_spm(extra, SL_COUNT(extra), NULL);
    assert_string_equal(ids_of(other, "<|end|>\n", true), "261 259 13");
    sl__vocab_close(&other);
}

/* Fails if harmony's markup can be typed by a user, is hidden in the output, or the end of
 * a message ends the turn. */
static void markup_of_harmony_is_shown_but_not_typed(void **state) {
    static const extra_token extra[] = {
        {"<|return|>", SL_TOKEN_CONTROL}, {"<|call|>", SL_TOKEN_CONTROL},
        {"<|end|>", SL_TOKEN_CONTROL},    {"<|channel|>", SL_TOKEN_CONTROL},
        {"<|start|>", SL_TOKEN_CONTROL},
    };
    static const sl_token expected[] = {256, 257};
    int32_t n = 0;
    size_t length = 0;
    (void)state;
    sl__vocab *vocab = build_good(extra, SL_COUNT(extra), NULL, 0);
    const sl_token *eogs = sl__vocab_eogs(vocab, &n);
    assert_int_equal(n, 2);
    assert_memory_equal(eogs, expected, sizeof expected);
    assert_string_equal(ids_of(vocab, "<|channel|>", true), "259");
    assert_int_equal(ids_of(vocab, "<|channel|>", false)[0], '6');
    (void)sl__vocab_bytes(vocab, 259, false, &length);
    assert_int_equal(length, 11);
    (void)sl__vocab_bytes(vocab, 258, false, &length);
    assert_int_equal(length, 7);
    (void)sl__vocab_bytes(vocab, 256, false, &length);
    assert_int_equal(length, 0);
    sl__vocab_close(&vocab);
    vocab = build_good(extra + 2, 3, NULL, 0); /* "<|end|>" alone is an end */
    assert_true(sl__vocab_is_eog(vocab, 256));
    sl__vocab_close(&vocab);
}

/* Fails if a word that is a token is built from merges, is found in other text than a
 * word, or in vocabularies that are not of that kind. */
static void whole_words_need_no_merges(void **state) {
    static const extra_token extra[] = {{"abc", 1}, {"ab", 1}, {"<|b|>", SL_TOKEN_CONTROL}};
    static const char *const merges[] = {"a b"};
    sl__gguf_writer w;
    (void)state;
    sl__gguf_writer_init(&w);
    put_bpe_vocabulary(&w, "llama-bpe", extra, SL_COUNT(extra), merges, 1);
    sl__vocab *vocab = finish_good(&w);
    assert_string_equal(ids_of(vocab, "abc", false), "256");
    assert_string_equal(ids_of(vocab, "abcd", false), "257 99 100");
    assert_false(sl__vocab_adds_bos(vocab)); /* usual, but there is none */
    sl__vocab_close(&vocab);
    vocab = build_good(extra, SL_COUNT(extra), merges, 1);
    assert_string_equal(ids_of(vocab, "abc", false), "257 99");
    sl__vocab_close(&vocab);
}

/* Fails if a tokenizer that is not implemented is guessed at, or the error does not say
 * what is. */
static void an_unsupported_tokenizer_is_named_with_the_supported_ones(void **state) {
    static const struct {
        const char *model, *pre, *expect;
    } rows[] = {{"bert", "qwen2", "\"bert\" is not supported, expected \"gpt2\""},
                {"gpt2", "kimi", "\"kimi\" is not supported; supported: gpt-2 qwen2 "},
                {"llama", NULL, "key tokenizer.ggml.tokens: missing"},
                {"gpt2", NULL, "key tokenizer.ggml.pre: missing"}};
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl__gguf_writer w;
        sl__gguf g;
        sl__vocab *vocab = NULL;
        sl_error err = {0};
        sl__gguf_writer_init(&w);
        sl__gguf_put_str(&w, "tokenizer.ggml.model", rows[i].model);
        if (rows[i].pre) sl__gguf_put_str(&w, "tokenizer.ggml.pre", rows[i].pre);
        gguf_bytes file = finish_bytes(&w);
        assert_int_equal(sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", NULL), SL_OK);
        CHECK_CASE(sl__vocab_open(&vocab, &g, &err) == SL_E_FORMAT, "row %zu", i);
        CHECK_CASE(strstr(err.text, rows[i].expect), "row %zu: %s", i, err.text);
        assert_null(vocab);
        sl__gguf_close(&g);
        free(file.bytes);
    }
}

static void *tokenize_many(void *argument) {
    uint64_t *hash = argument;
    for (int i = 0; i < 300; i++) {
        sl_token tokens[64];
        int32_t n = 0;
        static const char text[] = "Threads share one vocabulary; \xff they don't share scratch.";
        if (sl__vocab_tokenize(embedded, text, sizeof text - 1, true, tokens, 64, &n, NULL))
            return NULL;
        for (int32_t t = 0; t < n; t++)
            *hash = *hash * 31 + (uint64_t)tokens[t];
    }
    return argument;
}

/* Fails if tokenising writes to the vocabulary (a thread sanitizer sees it too). */
static void threads_may_share_a_vocabulary(void **state) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    uint64_t hashes[THREADS] = {0};
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, tokenize_many, &hashes[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
        assert_true(hashes[i] == hashes[0] && hashes[0] != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_llama_cpp),
        cmocka_unit_test(text_is_cut_into_the_words_of_the_pattern),
        cmocka_unit_test(every_pattern_cuts_in_its_own_way),
        cmocka_unit_test(any_bytes_come_back_unchanged),
        cmocka_unit_test(any_bytes_come_back_with_every_pre_tokenizer),
        cmocka_unit_test(long_runs_are_no_problem),
        cmocka_unit_test(control_tokens_in_user_text_stay_text),
        cmocka_unit_test(the_count_does_not_depend_on_the_room),
        cmocka_unit_test(pieces_are_one_text_but_for_control_tokens),
        cmocka_unit_test(the_longest_special_token_wins_wherever_it_stands),
        cmocka_unit_test(merges_apply_by_rank_then_from_the_left),
        cmocka_unit_test(token_bytes_follow_the_kind),
        cmocka_unit_test(generation_ends_at_the_tokens_named_or_spelled_so),
        cmocka_unit_test(a_vocabulary_that_cannot_work_is_refused),
        cmocka_unit_test(spm_merges_by_score_then_from_the_left),
        cmocka_unit_test(spm_puts_a_space_before_text),
        cmocka_unit_test(any_bytes_come_back_from_spm),
        cmocka_unit_test(spm_without_bytes_has_the_unknown_token),
        cmocka_unit_test(special_tokens_of_phi3_take_white_space_along),
        cmocka_unit_test(markup_of_harmony_is_shown_but_not_typed),
        cmocka_unit_test(whole_words_need_no_merges),
        cmocka_unit_test(an_unsupported_tokenizer_is_named_with_the_supported_ones),
        cmocka_unit_test(threads_may_share_a_vocabulary),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}

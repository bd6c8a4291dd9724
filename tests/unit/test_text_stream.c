/* test_text_stream.c - text cut anywhere, against the same text seen whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/rng.h"
#include "engine/text_stream.h"

enum { TEXT_MAX = 600 };

typedef struct output {
    char bytes[TEXT_MAX];
    size_t n;
    bool stopped;
} output;

static void append(output *out, sl__text text) {
    assert_true(out->n + text.n <= TEXT_MAX);
    memcpy(out->bytes + out->n, text.bytes, text.n);
    out->n += text.n;
}

/* Push text [n] in pieces of at most piece_max bytes, their sizes drawn from seed. */
static output stream(const char *text, size_t n, const char *const *stop, int32_t n_stop,
                     size_t piece_max, uint64_t seed) {
    output out = {.n = 0};
    sl__text_stream ts;
    const size_t capacity = sl__text_stream_bytes(piece_max);
    char *memory = malloc(capacity); /* exact: a sanitizer sees any byte too many */
    assert_non_null(memory);
    sl__text_stream_init(&ts, memory, capacity, stop, n_stop);
    for (size_t at = 0, i = 0; at < n; i++) {
        size_t piece = (size_t)(sl__random_u64(seed, 0, i) % (piece_max + 1));
        if (piece > n - at) piece = n - at;
        append(&out, sl__text_stream_push(&ts, text + at, piece));
        at += piece;
    }
    append(&out, sl__text_stream_finish(&ts));
    assert_int_equal(sl__text_stream_finish(&ts).n, 0);
    out.stopped = ts.stopped;
    free(memory);
    return out;
}

/* The definition: the stop string that ends first ends the text before it. */
static size_t twin_length(const char *text, size_t n, const char *const *stop, int32_t n_stop,
                          bool *stopped) {
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (int32_t i = 0; i < n_stop; i++) {
            const size_t bytes = strlen(stop[i]);
            if (bytes > longest && bytes <= end && memcmp(text + end - bytes, stop[i], bytes) == 0)
                longest = bytes;
        }
        if (longest > 0) {
            *stopped = true;
            return end - longest;
        }
    }
    *stopped = false;
    return n;
}

/* Fails if: a stop string across two pieces is missed, its beginning is shown, a held
 * beginning that came to nothing is lost, or a cut moves a byte. */
static void no_cut_changes_the_text(void **state) {
    (void)state;
    static const char *const alphabet[] = {
        "a",        "b",    "ab",   "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
        "\xE2\x82", "\xFF", "\x80", "\n"};
    static const char *const stops[][3] = {
        {"bab", "ab", NULL},
        {"ab", NULL, NULL},
        {"aab", "ba", NULL},
        {"aaaa", "abab", "b\n"},
        {"\xE2\x82\xAC", "a\xC3\xA9", "\n\n"},
        {"bbbbbbbbb", NULL, NULL},
        {"aba", "b", "ababa"},
    };
    int stopped_runs = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        char text[TEXT_MAX];
        size_t n = 0;
        const uint64_t letters = 2 + round % (SL_COUNT(alphabet) - 1);
        const uint64_t words = sl__random_u64(round, 1, 0) % 60;
        for (uint64_t i = 0; i < words; i++) {
            const char *word = alphabet[sl__random_u64(round, 2, i) % letters];
            for (size_t b = 0; word[b]; b++)
                text[n++] = word[b];
        }
        const char *const *stop = stops[round % SL_COUNT(stops)];
        int32_t n_stop = 0;
        while (n_stop < 3 && stop[n_stop])
            n_stop++;
        if (round % 5 == 0) n_stop = 0;

        bool stopped;
        const size_t want = twin_length(text, n, stop, n_stop, &stopped);
        stopped_runs += stopped;
        for (size_t piece = 1; piece <= 9; piece += 2) {
            const output out = stream(text, n, stop, n_stop, piece, round);
            assert_int_equal(out.stopped, stopped);
            assert_int_equal(out.n, want);
            assert_memory_equal(out.bytes, text, want);
        }
    }
    assert_true(stopped_runs > 1000 && stopped_runs < 2500);
}

/* What a terminal sees after each byte. Fails if: half a character is shown, or bytes
 * that can no longer become one are held. */
static void only_whole_characters_come_out(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *bytes;
        const char *ready; /* how many come out after each byte */
    } rows[] = {
        {"ascii", "abc", "111"},
        {"two bytes", "\xC3\xA9", "02"},
        {"three bytes", "\xE2\x82\xAC", "003"},
        {"four bytes", "\xF0\x9F\x98\x80", "0004"},
        {"two characters", "\xC3\xA9\xC3\xA9", "0202"},
        {"a lone continuation", "\x80z", "11"},
        {"never a lead byte", "\xFF\xC0\xC1\xF5", "1111"},
        {"cut by ascii", "\xE2\x82z", "003"},
        {"cut by a lead byte", "\xE2\x82\xC3\xA9", "0022"},
        {"overlong, three bytes", "\xE0\x9F\xBF", "021"},
        {"surrogate", "\xED\xA0\x80", "021"},
        {"beyond U+10FFFF", "\xF4\x90\x80\x80", "0211"},
        {"largest", "\xF4\x8F\xBF\xBF", "0004"},
        {"smallest of three", "\xE0\xA0\x80", "003"},
        {"before surrogates", "\xED\x9F\xBF", "003"},
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        char memory[SL_TEXT_HELD_MAX + 1];
        sl__text_stream ts;
        sl__text_stream_init(&ts, memory, sizeof memory, NULL, 0);
        for (size_t at = 0; rows[i].bytes[at]; at++) {
            const size_t n = sl__text_stream_push(&ts, rows[i].bytes + at, 1).n;
            if (n != (size_t)(rows[i].ready[at] - '0'))
                fail_msg("%s: %zu bytes after byte %zu", rows[i].name, n, at);
        }
        if (sl__text_stream_finish(&ts).n != 0) fail_msg("%s: bytes left", rows[i].name);
    }
}

static void half_a_character_comes_out_at_the_end(void **state) {
    (void)state;
    char memory[SL_TEXT_HELD_MAX + 4];
    sl__text_stream ts;
    sl__text_stream_init(&ts, memory, sizeof memory, NULL, 0);
    assert_int_equal(sl__text_stream_push(&ts, "a\xF0\x9F", 3).n, 1);
    const sl__text rest = sl__text_stream_finish(&ts);
    assert_int_equal(rest.n, 2);
    assert_memory_equal(rest.bytes, "\xF0\x9F", 2);
}

/* Fails if: more than the possible beginning of a stop string is held back. */
static void text_waits_only_while_it_could_be_a_stop_string(void **state) {
    (void)state;
    const char *const stop[] = {"<end>"};
    static const struct {
        const char *piece;
        const char *ready;
    } steps[] = {{"one ", "one "}, {"<e", ""}, {"m><", "<em>"},
                 {"<", "<"},       {"en", ""}, {"d> x", ""}};
    char memory[SL_TEXT_HELD_MAX + 16];
    sl__text_stream ts;
    sl__text_stream_init(&ts, memory, sizeof memory, stop, 1);
    for (size_t i = 0; i < SL_COUNT(steps); i++) {
        const sl__text text = sl__text_stream_push(&ts, steps[i].piece, strlen(steps[i].piece));
        assert_int_equal(text.n, strlen(steps[i].ready));
        assert_memory_equal(text.bytes, steps[i].ready, text.n);
    }
    assert_true(ts.stopped);
    assert_int_equal(sl__text_stream_push(&ts, "more", 4).n, 0);
    assert_int_equal(sl__text_stream_finish(&ts).n, 0);
}

/* Fails if: a limit is off by one, or the buffer is too small at its fullest. */
static void stop_strings_at_their_limits_work(void **state) {
    (void)state;
    static char longest[SL_STOP_BYTES_MAX + 1];
    const char *stop[SL_STOP_STRINGS_MAX];
    memset(longest, 'x', SL_STOP_BYTES_MAX);
    for (int i = 0; i < SL_STOP_STRINGS_MAX; i++)
        stop[i] = longest + i;

    char text[SL_STOP_BYTES_MAX + 10] = "\xE2\x82";
    memset(text + 2, 'x', SL_STOP_BYTES_MAX);
    /* One stop string only: the longest, one byte short of complete at the end. */
    output out = stream(text, SL_STOP_BYTES_MAX + 1, stop, 1, 7, 1);
    assert_false(out.stopped);
    assert_int_equal(out.n, SL_STOP_BYTES_MAX + 1);
    out = stream(text, SL_STOP_BYTES_MAX + 2, stop, 1, 7, 1);
    assert_true(out.stopped);
    assert_int_equal(out.n, 2);
    /* All of them: the shortest is completed first. */
    out = stream(text, SL_STOP_BYTES_MAX + 2, stop, SL_STOP_STRINGS_MAX, 7, 1);
    assert_true(out.stopped);
    assert_int_equal(out.n, 2);
}

/* Mutations: skip a space further on, or two; look at the first push only, though it was
 * empty; skip when nobody asked. */
static void only_the_first_byte_can_be_a_skipped_space(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {{" a b", "a b"}, {"  a", " a"}, {"a b", "a b"}, {" ", ""}, {"\n a", "\n a"}};
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        char memory[SL_TEXT_HELD_MAX + 1];
        sl__text_stream ts;
        output out = {.n = 0};
        sl__text_stream_init(&ts, memory, sizeof memory, NULL, 0);
        ts.skip_space = true;
        append(&out, sl__text_stream_push(&ts, "", 0)); /* a control token */
        for (const char *c = rows[i].text; *c; c++)
            append(&out, sl__text_stream_push(&ts, c, 1));
        append(&out, sl__text_stream_finish(&ts));
        assert_int_equal(out.n, strlen(rows[i].want));
        assert_memory_equal(out.bytes, rows[i].want, out.n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_changes_the_text),
        cmocka_unit_test(only_whole_characters_come_out),
        cmocka_unit_test(half_a_character_comes_out_at_the_end),
        cmocka_unit_test(text_waits_only_while_it_could_be_a_stop_string),
        cmocka_unit_test(stop_strings_at_their_limits_work),
        cmocka_unit_test(only_the_first_byte_can_be_a_skipped_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

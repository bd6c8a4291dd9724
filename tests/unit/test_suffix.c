/* test_suffix.c - the suffix drafter against counting occurrences one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/rng.h"
#include "spec/suffix.h"

enum { DRAFT_MAX = 20, CONTEXT = 150 };

static sl__draft propose(sl__suffix *s, int32_t max, sl__draft_node *nodes) {
    return s->drafter.propose(&s->drafter, max, nodes);
}

static void observe(sl__suffix *s, const sl_token *tokens, int32_t n) {
    s->drafter.observe(&s->drafter, tokens, n);
}

/* A drafter in heap memory of exactly the size asked for. */
static void *open_suffix(sl__suffix *s, int32_t context, int32_t min) {
    void *memory = malloc(sl__suffix_bytes(context));
    assert_non_null(memory);
    sl__suffix_init(s, memory, context, min);
    return memory;
}

/* ---- a twin that counts ------------------------------------------------------------ */

/* How often `key` [length] occurs in text [n] with something after it; *agreed, how often
 * with `next`. */
static int32_t followed(const sl_token *text, int32_t n, const sl_token *key, int32_t length,
                        sl_token next, int32_t *agreed) {
    int32_t seen = 0;
    *agreed = 0;
    for (int32_t i = 0; i + length < n; i++) {
        if (memcmp(text + i, key, (size_t)length * sizeof *key) != 0) continue;
        seen++;
        *agreed += text[i + length] == next;
    }
    return seen;
}

/* What followed `key` most often, the latest among equals. */
static sl_token most_frequent(const sl_token *text, int32_t n, const sl_token *key, int32_t length,
                              int32_t *count) {
    sl_token best = -1;
    *count = 0;
    for (int32_t i = 0; i + length < n; i++) { /* in order of the latest occurrence */
        int32_t agreed;
        if (memcmp(text + i, key, (size_t)length * sizeof *key) != 0) continue;
        (void)followed(text, n, key, length, text[i + length], &agreed);
        if (agreed < *count) continue;
        *count = agreed;
        best = text[i + length];
    }
    return best;
}

/* One drafted token after text [n] and a draft [done] behind it: the longest context with
 * a continuation, at most SL_SUFFIX_MATCH_MAX. Returns its length, or 0. */
static int32_t twin_node(const sl_token *text, int32_t n, int32_t done, int32_t min,
                         sl__draft_node *node) {
    const sl_token *end = text + n + done;
    for (int32_t length = sl__min_i32(n + done, SL_SUFFIX_MATCH_MAX); length >= min; length--) {
        int32_t count, agreed, seen = followed(text, n, end - length, length, -1, &agreed);
        if (seen == 0) continue;
        node->token = most_frequent(text, n, end - length, length, &count);
        node->confidence = (float)count / (float)(seen + 1);
        node->seen = node->agreed = 0;
        if (n + done >= 2) node->seen = followed(text, n, end - 2, 2, node->token, &node->agreed);
        return length;
    }
    return 0;
}

static void compare_with_twin(sl__suffix *s, sl_token *text, int32_t n, int32_t min, int32_t max) {
    sl__draft_node nodes[DRAFT_MAX], want;
    const sl__draft draft = propose(s, max, nodes);
    for (int32_t i = 0; i < max; i++) {
        const int32_t match = twin_node(text, n, i, min, &want);
        assert_int_equal(draft.n_nodes > i, match > 0);
        if (match == 0) return;
        if (i == 0) assert_int_equal(draft.match, match);
        assert_int_equal(nodes[i].token, want.token);
        assert_int_equal(nodes[i].parent, i - 1);
        assert_int_equal(nodes[i].seen, want.seen);
        assert_int_equal(nodes[i].agreed, want.agreed);
        assert_true(nodes[i].confidence == want.confidence);
        assert_true(nodes[i].confidence > 0 && nodes[i].confidence < 1);
        text[n + i] = nodes[i].token; /* as if the draft came true */
    }
}

/* Fails if: a count misses an occurrence or counts one twice, a state that splits leaves a
 * count behind, an older continuation wins a tie, or a shorter context is preferred. */
static void drafts_are_those_of_counting(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 120; round++) {
        const uint64_t alphabet = 1 + round % 6;
        const int32_t min = 1 + (int32_t)(round % 3);
        sl_token text[CONTEXT + DRAFT_MAX];
        sl__suffix s;
        void *memory = open_suffix(&s, CONTEXT, min);
        for (int32_t n = 1; n <= CONTEXT; n++) {
            const uint64_t r = sl__random_u64(round, 1, (uint64_t)n);
            text[n - 1] = (sl_token)(r % alphabet);
            /* long repeats, so that contexts reach the longest that is told apart */
            if (round % 2 && n > 50) text[n - 1] = text[n - 41];
            observe(&s, &text[n - 1], 1);
            compare_with_twin(&s, text, n, min, 1 + (int32_t)(r / 8 % DRAFT_MAX));
        }
        free(memory);
    }
}

/* Fails if: a call of observe looks at its last token only, or asking changes an answer. */
static void it_does_not_matter_how_tokens_arrive_or_who_asks(void **state) {
    (void)state;
    enum { N = 300 };
    sl_token text[N];
    sl__draft_node one[DRAFT_MAX], all[DRAFT_MAX];
    sl__suffix a, b;
    void *memory_a = open_suffix(&a, N, 1), *memory_b = open_suffix(&b, N, 1);
    for (uint64_t i = 0; i < N; i++)
        text[i] = (sl_token)(sl__random_u64(5, 0, i) % 4);
    for (int32_t i = 0; i < N; i++) {
        observe(&a, &text[i], 1);
        (void)propose(&a, 1 + i % DRAFT_MAX, one);
    }
    observe(&b, text, 7);
    observe(&b, text + 7, 0);
    observe(&b, text + 7, N - 7);
    assert_int_equal(propose(&a, DRAFT_MAX, one).n_nodes, DRAFT_MAX);
    assert_int_equal(propose(&b, DRAFT_MAX, all).n_nodes, DRAFT_MAX);
    for (int32_t i = 0; i < DRAFT_MAX; i++)
        assert_int_equal(one[i].token, all[i].token);
    assert_int_equal(propose(&b, 0, NULL).n_nodes, 0);
    free(memory_a);
    free(memory_b);
}

/* The picture in suffix.c, and the difference to prompt lookup. */
static void the_most_frequent_continuation_wins_over_the_latest(void **state) {
    (void)state;
    const sl_token text[] = {1, 2, 7, 1, 2, 7, 1, 2, 9, 1, 2};
    sl__draft_node nodes[4];
    sl__suffix s;
    void *memory = open_suffix(&s, 16, 1);
    observe(&s, text, (int32_t)SL_COUNT(text));
    const sl__draft draft = propose(&s, 4, nodes);
    assert_int_equal(draft.match, 2);
    assert_int_equal(nodes[0].token, 7);
    assert_true(nodes[0].confidence == 0.5f); /* 2 of 3, and one that might have been */
    assert_int_equal(nodes[0].seen, 3);
    assert_int_equal(nodes[0].agreed, 2);
    free(memory);
}

/* Fails if: reset keeps a state, an edge or the position in the automaton. */
static void a_reset_forgets_the_last_request(void **state) {
    (void)state;
    const sl_token text[] = {1, 2, 3, 1, 2};
    sl__draft_node nodes[4];
    sl__suffix s;
    void *memory = open_suffix(&s, 5, 2);
    for (int request = 0; request < 3; request++) {
        observe(&s, text, 2);
        assert_int_equal(propose(&s, 4, nodes).n_nodes, 0);
        observe(&s, text + 2, 3);
        assert_int_equal(propose(&s, 4, nodes).match, 2);
        s.drafter.reset(&s.drafter);
        assert_int_equal(propose(&s, 4, nodes).n_nodes, 0);
    }
    free(memory);
}

/* The texts with the most states and edges: asserts in suffix.c guard the arrays. */
static void every_text_of_a_full_context_fits(void **state) {
    (void)state;
    static const char *const kinds[] = {"abbb..b", "abb..bc", "aaa", "all distinct"};
    for (int32_t context = 1; context <= 1 << 12; context *= 2)
        for (size_t kind = 0; kind < SL_COUNT(kinds); kind++) {
            sl__suffix s;
            void *memory = open_suffix(&s, context, 1);
            for (int32_t i = 0; i < context; i++) {
                sl_token token = 1;
                if (kind < 2 && i == 0) token = 0;
                if (kind == 1 && i == context - 1) token = 2;
                if (kind == 3) token = i;
                observe(&s, &token, 1);
            }
            free(memory);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_are_those_of_counting),
        cmocka_unit_test(it_does_not_matter_how_tokens_arrive_or_who_asks),
        cmocka_unit_test(the_most_frequent_continuation_wins_over_the_latest),
        cmocka_unit_test(a_reset_forgets_the_last_request),
        cmocka_unit_test(every_text_of_a_full_context_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_ngram.c - prompt lookup against searching, and the walk that accepts drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/rng.h"
#include "spec/accept.h"
#include "spec/ngram.h"

enum { DRAFT_MAX = 24 };

static sl__draft propose(sl__ngram *g, int32_t max, sl__draft_node *nodes) {
    return g->drafter.propose(&g->drafter, max, nodes);
}

static void observe(sl__ngram *g, const sl_token *tokens, int32_t n) {
    g->drafter.observe(&g->drafter, tokens, n);
}

/* A drafter in heap memory of exactly the size asked for, so that a sanitizer sees any
 * byte too many. */
static void *open_ngram(sl__ngram *g, int32_t context, int32_t min, int32_t max) {
    void *memory = malloc(sl__ngram_bytes(context, min, max));
    assert_non_null(memory);
    sl__ngram_init(g, memory, context, min, max);
    return memory;
}

/* ---- a twin that searches ------------------------------------------------------- */

/* Longest length first, then the nearest earlier occurrence; returns the length and the
 * position after the occurrence. */
static int32_t twin_match(const sl_token *text, int32_t n, int32_t min, int32_t max,
                          int32_t *from) {
    for (int32_t length = max; length >= min; length--)
        for (int32_t start = n - length - 1; start >= 0; start--)
            if (memcmp(text + start, text + n - length, (size_t)length * sizeof text[0]) == 0) {
                *from = start + length;
                return length;
            }
    return 0;
}

/* Fails if: an older occurrence wins, a shorter length wins, an occurrence may not
 * overlap the suffix, a collision counts as a match, or a length misses a token. */
static void drafts_are_those_of_a_search(void **state) {
    (void)state;
    enum { CONTEXT = 160 };
    for (uint64_t round = 0; round < 400; round++) {
        const uint64_t alphabet = 1 + round % 7;
        const int32_t min = 1 + (int32_t)(round % 4);
        const int32_t max = min + (int32_t)(sl__random_u64(round, 1, 0) % 6);
        sl_token text[CONTEXT];
        sl__ngram g;
        void *memory = open_ngram(&g, CONTEXT, min, max);
        for (int32_t n = 1; n <= CONTEXT; n++) {
            sl__draft_node nodes[DRAFT_MAX];
            const int32_t k = 1 + (int32_t)(sl__random_u64(round, 2, (uint64_t)n) % DRAFT_MAX);
            text[n - 1] = (sl_token)(sl__random_u64(round, 3, (uint64_t)n) % alphabet);
            observe(&g, &text[n - 1], 1);

            int32_t from = 0;
            const int32_t match = twin_match(text, n, min, max, &from);
            const sl__draft draft = propose(&g, k, nodes);
            assert_int_equal(draft.match, match);
            assert_int_equal(draft.n_nodes, match ? k : 0);
            for (int32_t i = 0; i < draft.n_nodes; i++) {
                const int32_t known = n - from;
                const sl_token want = i < known ? text[from + i] : nodes[i - known].token;
                assert_int_equal(nodes[i].token, want);
                assert_int_equal(nodes[i].parent, i - 1);
                assert_true(nodes[i].confidence > 0 && nodes[i].confidence < 1);
            }
        }
        free(memory);
    }
}

/* Fails if: a call of observe looks at its last token only. */
static void it_does_not_matter_how_tokens_arrive(void **state) {
    (void)state;
    enum { N = 200 };
    sl_token text[N];
    sl__draft_node one[DRAFT_MAX], all[DRAFT_MAX];
    for (uint64_t i = 0; i < N; i++)
        text[i] = (sl_token)(sl__random_u64(5, 0, i) % 4);
    sl__ngram a, b;
    void *memory_a = open_ngram(&a, N, 2, 5);
    void *memory_b = open_ngram(&b, N, 2, 5);
    for (int32_t i = 0; i < N; i++)
        observe(&a, &text[i], 1);
    observe(&b, text, 7);
    observe(&b, text + 7, 0);
    observe(&b, text + 7, N - 7);
    assert_int_equal(propose(&a, DRAFT_MAX, one).n_nodes, DRAFT_MAX);
    assert_int_equal(propose(&b, DRAFT_MAX, all).n_nodes, DRAFT_MAX);
    for (int32_t i = 0; i < DRAFT_MAX; i++)
        assert_int_equal(one[i].token, all[i].token);
    free(memory_a);
    free(memory_b);
}

static void a_period_goes_on_past_the_end_of_the_text(void **state) {
    (void)state;
    const sl_token text[] = {9, 1, 2, 3, 1, 2, 3, 1, 2};
    const sl_token want[] = {3, 1, 2, 3, 1, 2, 3, 1};
    sl__draft_node nodes[SL_COUNT(want)];
    sl__ngram g;
    void *memory = open_ngram(&g, 16, 2, 4);
    observe(&g, text, (int32_t)SL_COUNT(text));
    const sl__draft draft = propose(&g, (int32_t)SL_COUNT(want), nodes);
    assert_int_equal(draft.match, 4);
    assert_int_equal(draft.n_nodes, SL_COUNT(want));
    for (size_t i = 0; i < SL_COUNT(want); i++)
        assert_int_equal(nodes[i].token, want[i]);
    free(memory);
}

/* Fails if: propose writes when asked for nothing, or changes what comes next. */
static void asking_changes_nothing(void **state) {
    (void)state;
    const sl_token text[] = {1, 2, 1, 2};
    sl__draft_node nodes[4] = {{0}};
    sl__ngram g;
    void *memory = open_ngram(&g, 8, 2, 2);
    observe(&g, text, 3);
    assert_int_equal(propose(&g, 4, nodes).n_nodes, 0); /* nothing matched yet */
    observe(&g, text + 3, 1);
    assert_int_equal(propose(&g, 0, NULL).n_nodes, 0);
    assert_int_equal(propose(&g, 1, nodes).n_nodes, 1);
    assert_int_equal(propose(&g, 4, nodes).n_nodes, 4);
    assert_int_equal(nodes[0].token, 1);
    assert_int_equal(nodes[1].token, 2);
    free(memory);
}

/* Fails if: reset keeps a table, the length or the last match. */
static void a_reset_forgets_the_last_request(void **state) {
    (void)state;
    const sl_token text[] = {1, 2, 3, 1, 2};
    sl__draft_node nodes[4];
    sl__ngram g;
    void *memory = open_ngram(&g, 5, 2, 3);
    for (int request = 0; request < 3; request++) {
        observe(&g, text, 2);
        assert_int_equal(propose(&g, 4, nodes).n_nodes, 0);
        observe(&g, text + 2, 3);
        assert_int_equal(propose(&g, 4, nodes).match, 2);
        g.drafter.reset(&g.drafter);
        assert_int_equal(propose(&g, 4, nodes).n_nodes, 0);
    }
    free(memory);
}

/* The table at its fullest: every n-gram distinct, the context used up. */
static void a_full_context_of_distinct_tokens_fits(void **state) {
    (void)state;
    enum { CONTEXT = 1 << 12 };
    sl__draft_node nodes[2];
    sl__ngram g;
    void *memory = open_ngram(&g, CONTEXT, 1, 3);
    for (sl_token i = 0; i < CONTEXT; i++)
        observe(&g, &i, 1);
    assert_int_equal(propose(&g, 2, nodes).n_nodes, 0);
    free(memory);
}

/* How often `pair` occurred in text [n] with something after it, and with `next` after it. */
static void twin_agreement(const sl_token *text, int32_t n, const sl_token *pair, sl_token next,
                           int32_t *seen, int32_t *agreed) {
    *seen = *agreed = 0;
    for (int32_t i = 2; i < n; i++) {
        if (text[i - 2] != pair[0] || text[i - 1] != pair[1]) continue;
        ++*seen;
        *agreed += text[i] == next;
    }
}

/* Fails if: the newest pair, which nothing follows yet, is counted; an occurrence is
 * missed; or a node is judged by another node's pair. */
static void nodes_say_how_the_text_went_on_after_their_pair(void **state) {
    (void)state;
    enum { CONTEXT = 120 };
    for (uint64_t round = 0; round < 60; round++) {
        const uint64_t alphabet = 1 + round % 5;
        sl_token text[CONTEXT + DRAFT_MAX];
        sl__ngram g;
        void *memory = open_ngram(&g, CONTEXT, 1 + (int32_t)(round % 3), 5);
        for (int32_t n = 1; n <= CONTEXT; n++) {
            sl__draft_node nodes[DRAFT_MAX];
            text[n - 1] = (sl_token)(sl__random_u64(round, 9, (uint64_t)n) % alphabet);
            observe(&g, &text[n - 1], 1);
            const sl__draft draft = propose(&g, DRAFT_MAX, nodes);
            for (int32_t i = 0; i < draft.n_nodes; i++) {
                int32_t seen = 0, agreed = 0;
                text[n + i] = nodes[i].token; /* as if the draft came true */
                if (n >= 2)
                    twin_agreement(text, n, text + n + i - 2, nodes[i].token, &seen, &agreed);
                assert_int_equal(nodes[i].seen, seen);
                assert_int_equal(nodes[i].agreed, agreed);
            }
        }
        free(memory);
    }
}

/* ---- accept ------------------------------------------------------------------------ */

typedef struct script { /* the target's choice after each row, and the rows asked for */
    const sl_token *choices;
    int32_t stop_row; /* the walk ends here, or -1 */
    int32_t asked[16];
    int32_t n_asked;
} script;

static bool scripted(void *user, int32_t row, sl_token *token) {
    script *s = user;
    s->asked[s->n_asked++] = row;
    *token = s->choices[row];
    return row != s->stop_row;
}

/* Fails if: a cousin with the right token is taken, a rejected node's child is, an
 * accepted leaf is not counted, or rows off the path are sampled. */
static void the_walk_follows_the_targets_choices(void **state) {
    (void)state;
    /*  root -- 0:a -- 1:b -- 2:c
     *      \      \-- 3:c -- 4:d
     *       \- 5:b -- 6:c          (7 repeats 5)
     *        \ 7:b                                        */
    enum { a = 10, b, c, d, x };
    const sl__draft_node tree[] = {{a, -1, 1, 0, 0}, {b, 0, 1, 0, 0}, {c, 1, 1, 0, 0},
                                   {c, 0, 1, 0, 0},  {d, 3, 1, 0, 0}, {b, -1, 1, 0, 0},
                                   {c, 5, 1, 0, 0},  {b, -1, 1, 0, 0}};
    static const struct {
        const char *name;
        sl_token choices[9]; /* by row */
        int32_t stop_row;
        int32_t path[5];
        int32_t n_path;
    } rows[] = {
        {"nothing fits", {x, b, c, x, d, x, c, x, x}, -1, {0}, 1},
        {"the long way", {a, b, c, x, x, x, x, x, x}, -1, {0, 1, 2, 3}, 4},
        {"second child", {a, c, x, x, d, x, x, x, x}, -1, {0, 1, 4, 5}, 4},
        {"second root child", {b, x, x, x, x, x, c, x, x}, -1, {0, 6, 7}, 3},
        {"first of two equals", {b, x, x, x, x, x, x, x, x}, -1, {0, 6}, 2},
        {"cousins do not count", {c, x, x, x, x, x, x, x, x}, -1, {0}, 1},
        {"stopped on the way", {a, b, c, x, x, x, x, x, x}, 1, {0, 1}, 2},
        {"stopped at the root", {a, b, c, x, x, x, x, x, x}, 0, {0}, 1},
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        script s = {.choices = rows[i].choices, .stop_row = rows[i].stop_row};
        int32_t path[SL_COUNT(tree) + 1];
        const int32_t n = sl__accept(tree, (int32_t)SL_COUNT(tree), scripted, &s, path);
        if (n != rows[i].n_path || s.n_asked != n ||
            memcmp(path, rows[i].path, (size_t)n * sizeof path[0]) != 0 ||
            memcmp(s.asked, path, (size_t)n * sizeof path[0]) != 0)
            fail_msg("%s", rows[i].name);
    }
}

static void without_a_draft_only_the_root_is_kept(void **state) {
    (void)state;
    const sl_token choice = 3;
    script s = {.choices = &choice, .stop_row = -1};
    int32_t path[1];
    assert_int_equal(sl__accept(NULL, 0, scripted, &s, path), 1);
    assert_int_equal(path[0], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_are_those_of_a_search),
        cmocka_unit_test(nodes_say_how_the_text_went_on_after_their_pair),
        cmocka_unit_test(it_does_not_matter_how_tokens_arrive),
        cmocka_unit_test(a_period_goes_on_past_the_end_of_the_text),
        cmocka_unit_test(asking_changes_nothing),
        cmocka_unit_test(a_reset_forgets_the_last_request),
        cmocka_unit_test(a_full_context_of_distinct_tokens_fits),
        cmocka_unit_test(the_walk_follows_the_targets_choices),
        cmocka_unit_test(without_a_draft_only_the_root_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

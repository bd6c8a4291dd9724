/* test_forward.c - what passes leave behind: commits, rewinds, refusals, budgets.
 *
 * That a row's bits depend on its own tokens only is test_company.c's. */
#include "company.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* ---- one model for the rest ---- */

static const char *small_model(void) {
    static char path[WORLD_PATH_MAX];
    if (!path[0]) {
        world_path(path, "small.gguf");
        tiny_write(&tiny_shapes[3], 99, path);
    }
    return path;
}

/* Rows: the next tokens of a chain, and beside them tokens that will be rejected. Row of
 * chain token i in path[i]; at most ROWS_MAX rows. */
static int32_t draw_draft(check_random *r, const sl_model *model, const sl_token *chain,
                          int32_t n_right, sl_row *rows, int32_t *path) {
    int32_t n = 0, right = 0;
    while (right < n_right) {
        if (n < ROWS_MAX - n_right && check_below(r, 2)) { /* wrong, below any earlier row */
            rows[n] = (sl_row){0, check_below(r, n + 1) - 1, 0};
            world_tokens(r, model, &rows[n].token, 1);
        } else {
            rows[n] = (sl_row){chain[right], right == 0 ? -1 : path[right - 1], 0};
            path[right++] = n;
        }
        n++;
    }
    rows[path[n_right - 1]].want_logits = 1;
    return n;
}

/* Mutations: do not move the accepted cells on commit; move them in descending order;
 * keep a rejected row's cell. */
static void rejected_branches_leave_no_trace(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    check_random r = {.seed = 31};
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 31);
    float *logits = floats(1, (size_t)ref.vocab), *kv = floats(1, ref.kv_floats);
    for (int32_t t = 0; t < world_share(20, 4); t++) {
        sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, SL_KV_F16, SL_KV_F16);
        for (int32_t done = 0; done < CHAIN;) {
            sl_row rows[ROWS_MAX];
            int32_t path[ROWS_MAX];
            const int32_t right = 1 + check_below(&r, sl__min_i32(9, CHAIN - done));
            const int32_t n = draw_draft(&r, model, ref.chain + done, right, rows, path);
            assert_int_equal(sl_session_forward(s, rows, n, logits, NULL, NULL, NULL), SL_OK);
            sl_session_commit(s, path, right);
            done += right;
            CHECK_CASE(same(logits, ref.chain_logits + (size_t)(done - 1) * (size_t)ref.vocab,
                            (size_t)ref.vocab),
                       "run %d: logits at %d", t, done);
        }
        for (int32_t i = 0; i < CHAIN; i++) {
            world_read_kv(s, i, kv);
            CHECK_CASE(same(kv, ref.chain_kv + (size_t)i * ref.kv_floats, ref.kv_floats),
                       "run %d: cache at %d", t, i);
        }
        sl_session_close(&s);
    }
    free(logits);
    free(kv);
    drop_reference(&ref);
    sl_model_close(&model);
}

/* Mutations: keep the length on rewind; let commit(0) or a new pass keep the old rows. */
static void rewinding_and_dropping_a_pass_go_back_exactly(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 32);
    check_random r = {.seed = 33};
    const size_t vocab = (size_t)ref.vocab;
    float *logits = floats(3, vocab);
    sl_session *s = world_session(model, TINY_CONTEXT, 1, 16, SL_KV_F16, SL_KV_F16);
    for (int32_t t = 0; t < 40; t++) {
        const int32_t keep = check_below(&r, sl_session_length(s) + 1);
        sl_session_rewind(s, keep);
        assert_int_equal(sl_session_length(s), keep);
        sl_row junk[3] = {{1, -1, 1}, {2, 0, 1}, {3, -1, 1}}; /* a pass nobody keeps */
        assert_int_equal(sl_session_forward(s, junk, 3, logits, NULL, NULL, NULL), SL_OK);
        if (t % 2) sl_session_commit(s, NULL, 0);
        assert_int_equal(sl_session_length(s), keep);
        const int32_t n = 1 + check_below(&r, CHAIN - keep > 20 ? 20 : CHAIN - keep);
        if (keep + n > CHAIN) continue;
        assert_int_equal(sl_session_eval(s, ref.chain + keep, n, logits, NULL), SL_OK);
        CHECK_CASE(same(logits, ref.chain_logits + (size_t)(keep + n - 1) * vocab, vocab),
                   "after a rewind to %d, %d tokens", keep, n);
        assert_memory_equal(sl_session_tokens(s), ref.chain, (size_t)(keep + n) * sizeof(sl_token));
    }
    sl_session_close(&s);
    free(logits);
    drop_reference(&ref);
    sl_model_close(&model);
}

/* ---- a cache in q8_0 ---- */

/* Layer 0's keys and values have seen no cache yet: the same numbers go into both. */
static void check_rounding(const sl_session *exact, const sl_session *rounded, int32_t position) {
    const sl_model_facts *f = sl_model_facts_of(sl_session_model(exact));
    const int32_t n = 2 * f->kv_heads * f->head_dim;
    float *want = floats(1, (size_t)n), *have = floats(1, (size_t)n);
    sl_session_read_kv(exact, 0, position, want);
    sl_session_read_kv(rounded, 0, position, have);
    for (int32_t at = 0; at < n; at += 32) {
        float max = 0, worst = 0;
        for (int32_t i = at; i < at + 32; i++) {
            max = fmaxf(max, fabsf(want[i]));
            worst = fmaxf(worst, fabsf(want[i] - have[i]));
        }
        CHECK_CASE(worst <= 0.501f * max / 127 + (at < n / 2 ? max / 2048 : 0) && worst > 0,
                   "position %d, block at %d: off by %g of %g", position, at, (double)worst,
                   (double)max);
    }
    free(want);
    free(have);
}

/* Mutations: a scale of the neighbouring block or cell; scales left behind by a move;
 * scales of keys taken for those of values. */
static void a_cache_in_q8_0_rounds_and_no_more(void **state) {
    (void)state;
    const tiny_shape shape = world_shape(SL_FORMAT_F32, 0);
    char path[WORLD_PATH_MAX];
    sl_token tokens[200];
    check_random r = {.seed = 36};
    world_path(path, "q8_0_cache.gguf");
    tiny_write(&shape, 36, path);
    sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
    sl_session *exact = world_session(model, TINY_CONTEXT, 1, 64, SL_KV_F32, SL_KV_F32);
    sl_session *rounded = world_session(model, TINY_CONTEXT, 1, 64, SL_KV_Q8_0, SL_KV_Q8_0);
    float *want = floats(1, TINY_VOCAB), *have = floats(1, TINY_VOCAB);
    world_tokens(&r, model, tokens, 200);
    assert_int_equal(sl_session_eval(exact, tokens, 200, want, NULL), SL_OK);
    assert_int_equal(sl_session_eval(rounded, tokens, 200, have, NULL), SL_OK);
    for (int32_t i = 0; i < 200; i += 13)
        check_rounding(exact, rounded, i);
    float largest = 0, worst = 0;
    for (int32_t i = 0; i < TINY_VOCAB; i++) {
        largest = fmaxf(largest, fabsf(want[i]));
        worst = fmaxf(worst, fabsf(want[i] - have[i]));
    }
    print_message("  logits differ by %.2g of the largest\n", (double)(worst / largest));
    assert_true(worst > 0 && worst < 0.003f * largest);
    sl_session_close(&exact);
    sl_session_close(&rounded);
    free(want);
    free(have);
    sl_model_close(&model);
}

/* Mutations: let q8_0 through (an assert ends the test); count an F16 cache's bytes. */
static void a_cache_in_q8_0_needs_whole_blocks_and_half_the_bytes(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED); /* heads of 40 */
    const sl_session_params one[] = {{16, 1, 4, SL_KV_Q8_0, SL_KV_F16},
                                     {16, 1, 4, SL_KV_F16, SL_KV_Q8_0}};
    for (size_t i = 0; i < SL_COUNT(one); i++) {
        sl_session *s;
        sl_error err = {0};
        assert_int_equal(sl_session_open(&s, model, &one[i], &err), SL_E_ARG);
        assert_non_null(strstr(err.text, "blocks of 32 dimensions"));
        assert_non_null(strstr(err.text, "heads have 40"));
        assert_null(s);
        assert_int_equal(sl_session_bytes(model, &one[i]), 0);
    }
    sl_model_close(&model);

    model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_MAPPED);
    const sl_model_facts *f = sl_model_facts_of(model);
    const size_t numbers = (size_t)f->layers * (size_t)f->kv_heads * (size_t)f->head_dim * 1024;
    sl_session_params params = {1024 - 16, 1, 16, SL_KV_F16, SL_KV_F16};
    const size_t halves = sl_session_bytes(model, &params);
    params.k_type = SL_KV_Q8_0;
    const size_t keys = sl_session_bytes(model, &params);
    params.v_type = SL_KV_Q8_0;
    assert_int_equal(halves - keys, 2 * numbers - numbers / 32 * 34);
    assert_int_equal(keys - sl_session_bytes(model, &params), 2 * numbers - numbers / 32 * 36);
    sl_model_close(&model);
}

/* ---- errors ---- */

typedef struct bad_pass {
    const char *name;
    sl_row rows[4];
    int32_t n_rows;
    sl_budget budget;
    sl_status status;
    const char *says; /* part of the message */
} bad_pass;

static const bad_pass bad_passes[] = {
    /* clang-format off */
    {"no rows",             {{1, -1, 0}}, 0, {SL_BUDGET_OFF, 0}, SL_E_ARG, "0 rows"},
    {"rows below zero",     {{1, -1, 0}}, -1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "-1 rows"},
    {"more than the batch", {{1, -1, 0}, {1, 0, 0}, {1, 1, 0}, {1, 2, 0}}, 4, {SL_BUDGET_OFF, 0}, SL_E_ARG, "4 rows"},
    {"token below zero",    {{1, -1, 0}, {-1, 0, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: token -1"},
    {"token past the end",  {{TINY_VOCAB, -1, 0}}, 1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 0: token 301"},
    {"parent below -1",     {{1, -1, 0}, {1, -2, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent -2"},
    {"its own parent",      {{1, -1, 0}, {1, 1, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent 1"},
    {"a later parent",      {{1, -1, 0}, {1, 2, 0}, {1, 0, 0}}, 3, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent 2"},
    {"a parent at row 0",   {{1, 0, 0}}, 1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 0: parent 0"},
    {"budget below k",      {{1, -1, 0}, {1, 0, 0}}, 2, {SL_BUDGET_SUBSTITUTE, 1}, SL_E_ARG, "budget 1"},
    {"budget above all",    {{1, -1, 0}, {1, 0, 0}}, 2, {SL_BUDGET_TRUNCATE, 6}, SL_E_ARG, "budget 6"},
    /* clang-format on */
};

/* Mutations: drop one of the checks (an assert or a crash then ends the test); let a
 * refused call touch the length or the rows that can be committed. */
static void a_bad_pass_is_refused_and_changes_nothing(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    const size_t vocab = (size_t)sl_model_facts_of(model)->vocab;
    float *before = floats(1, vocab), *after = floats(1, vocab);
    sl_session *s = world_session(model, 16, 1, 3, SL_KV_F16, SL_KV_F16);
    const sl_row good = {5, -1, 1};
    world_step(s, 7, NULL);
    assert_int_equal(sl_session_forward(s, &good, 1, before, NULL, NULL, NULL), SL_OK);
    for (size_t i = 0; i < SL_COUNT(bad_passes); i++) {
        const bad_pass *bad = &bad_passes[i];
        sl_error err = {0};
        CHECK_CASE(sl_session_forward(s, bad->rows, bad->n_rows, NULL, &bad->budget, NULL, &err) ==
                       bad->status,
                   "%s", bad->name);
        CHECK_CASE(err.code == bad->status && strstr(err.text, bad->says), "%s: \"%s\"", bad->name,
                   err.text);
        assert_int_equal(sl_session_length(s), 1);
        assert_int_equal(sl_session_forward(s, &good, 1, after, NULL, NULL, NULL), SL_OK);
        CHECK_CASE(same(before, after, vocab), "%s", bad->name);
    }
    sl_session_close(&s);
    free(before);
    free(after);
    sl_model_close(&model);
}

/* Mutations: leave out a check; count a session's path by rows of the pass; leave a refused
 * pass's rows to be committed (an assert then does not end a later commit). */
static void rows_of_several_sessions_are_checked_and_committed_apart(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_model *twin = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_session *a = world_session(model, 16, 1, 6, SL_KV_F16, SL_KV_F16);
    sl_session *b = world_session(model, 16, 2, 2, SL_KV_F32, SL_KV_F16);
    sl_session *narrow = world_session(model, 17, 1, 6, SL_KV_F16, SL_KV_F16);
    sl_session *stranger = world_session(twin, 16, 1, 6, SL_KV_F16, SL_KV_F16);
    const sl_row rows[] = {{1, -1, 0}, {2, -1, 0}, {3, 0, 0}, {4, 1, 0}, {5, 2, 0}};
    const struct {
        sl_session *sessions[2];
        int32_t n, of[5];
        const char *says;
    } bad[] = {
        {{a, b}, 0, {0}, "0 sessions"},
        {{a, b}, SL_PASS_SESSIONS_MAX + 1, {0}, "65 sessions"},
        {{a, a}, 2, {0}, "sessions 0 and 1 are the same"},
        {{a, narrow}, 2, {0}, "session 1 has a context of 17, expected session 0's, 16"},
        {{a, stranger}, 2, {0}, "session 1 is of another model"},
        {{a, b}, 2, {0, 1, 0, 2, 0}, "row 3: session 2"},
        {{a, b}, 2, {0, 1, 1, 1, 0}, "row 2: its parent 0 is another session's"},
        {{b, a}, 2, {0, 1, 0, 1, 0}, "5 rows, expected 1 .. 2"},
        {{a, b}, 2, {1, 0, 1, 0, 1}, "row 4: more than 2 rows of one session"},
    };
    for (size_t i = 0; i < SL_COUNT(bad); i++) {
        sl_error err = {0};
        CHECK_CASE(sl_sessions_forward(bad[i].sessions, bad[i].n, rows, bad[i].of, 5, NULL, NULL,
                                       &err) == SL_E_ARG,
                   "%s", bad[i].says);
        CHECK_CASE(strstr(err.text, bad[i].says) != NULL, "\"%s\"", err.text);
    }
    sl_session *both[] = {a, b};
    const int32_t of[] = {0, 1, 0, 1, 0}, first_two[] = {0, 1};
    assert_int_equal(sl_sessions_forward(both, 2, rows, of, 5, NULL, NULL, NULL), SL_OK);
    sl_session_commit(a, first_two, 2);
    sl_session_commit(b, first_two, 2);
    const sl_token want_a[] = {1, 3}, want_b[] = {2, 4};
    assert_memory_equal(sl_session_tokens(a), want_a, sizeof want_a);
    assert_memory_equal(sl_session_tokens(b), want_b, sizeof want_b);
    sl_session_close(&a);
    sl_session_close(&b);
    sl_session_close(&narrow);
    sl_session_close(&stranger);
    sl_model_close(&model);
    sl_model_close(&twin);
}

/* Mutation: raise SL_LOGIT_ROWS_MAX in the check alone. */
static void more_rows_than_can_have_logits_are_refused(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_row rows[SL_LOGIT_ROWS_MAX + 1];
    float *logits = floats(SL_LOGIT_ROWS_MAX + 1, TINY_VOCAB);
    sl_session *s = world_session(model, 128, 1, 128, SL_KV_F16, SL_KV_F16);
    for (int32_t i = 0; i <= SL_LOGIT_ROWS_MAX; i++)
        rows[i] = (sl_row){i, i - 1, 1};
    sl_error err = {0};
    assert_int_equal(sl_session_forward(s, rows, SL_LOGIT_ROWS_MAX + 1, logits, NULL, NULL, &err),
                     SL_E_ARG);
    assert_non_null(strstr(err.text, "want logits"));
    assert_int_equal(sl_session_forward(s, rows, SL_LOGIT_ROWS_MAX, logits, NULL, NULL, NULL),
                     SL_OK);
    sl_session_close(&s);
    free(logits);
    sl_model_close(&model);
}

/* Mutations: off by one in the room that is left; count rows instead of positions (a wide
 * tree fits where a chain does not). */
static void the_context_ends_where_it_says(void **state) {
    (void)state;
    enum { ROOM = 8 };
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_session *s = world_session(model, ROOM, 1, 16, SL_KV_F16, SL_KV_F16);
    sl_token tokens[ROOM + 1];
    sl_row rows[12];
    sl_error err = {0};
    check_random r = {.seed = 4};
    world_tokens(&r, model, tokens, ROOM + 1);
    assert_int_equal(sl_session_eval(s, tokens, ROOM + 1, NULL, &err), SL_E_CONTEXT);
    assert_int_equal(sl_session_length(s), 0);
    assert_int_equal(sl_session_eval(s, tokens, ROOM - 1, NULL, NULL), SL_OK);
    for (int32_t i = 0; i < 12; i++)
        rows[i] = (sl_row){i, -1, 0};
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, NULL), SL_OK);
    const int32_t last = 11;
    rows[11].parent = 10; /* one too deep */
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, &err), SL_E_CONTEXT);
    assert_int_equal(err.code, SL_E_CONTEXT);
    rows[11].parent = -1;
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, NULL), SL_OK);
    sl_session_commit(s, &last, 1);
    assert_int_equal(sl_session_length(s), ROOM);
    assert_int_equal(sl_session_forward(s, rows, 1, NULL, NULL, NULL, &err), SL_E_CONTEXT);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Mutations: leave out one of the checks; name the layer that noticed. */
static void a_number_that_is_not_finite_is_an_error_with_its_place(void **state) {
    static const struct {
        int32_t arch; /* of world_shape() */
        const char *poison, *says;
    } cases[] = {
        {0, "blk.1.ffn_gate_inp.weight", "layer 1, position 0: the router's output"},
        {0, "token_embd.weight", "position 1: the embedding"},
        {0, "blk.0.attn_q.weight", "layer 0, position 0: attention's output"},
        {0, "blk.1.attn_output.weight", "layer 1, position 0: attention's output"},
        {3, "blk.0.ffn_up.weight", "layer 0, position 0: the feed-forward's output"},
        {3, "blk.1.ffn_down.weight", "layer 1, position 2: the feed-forward's output"},
        {7, "blk.1.attn_v.weight", "layer 1, position 0: attention's output"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        tiny_shape shape = world_shape(SL_FORMAT_F32, cases[i].arch);
        char path[WORLD_PATH_MAX];
        float logits[TINY_VOCAB];
        shape.poison = cases[i].poison;
        world_path(path, "poison.gguf");
        tiny_write(&shape, 5, path);
        sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
        sl_session *s = world_session(model, 16, 1, 4, SL_KV_F16, SL_KV_F16);
        const sl_token tokens[3] = {1, 0, 3};
        sl_error err = {0};
        CHECK_CASE(sl_session_eval(s, tokens, 3, logits, &err) == SL_E_NUMBER, "%s",
                   cases[i].poison);
        CHECK_CASE(strncmp(err.text, cases[i].says, strlen(cases[i].says)) == 0 &&
                       strstr(err.text, "is not finite"),
                   "%s: \"%s\"", cases[i].poison, err.text);
        assert_int_equal(sl_session_length(s), 0);
        sl_session_close(&s);
        sl_model_close(&model);
    }
}

/* ---- budgets that must change nothing ---- */

/* Mutations: apply the budget to one-row passes; let B = all experts drop a tie. */
static void a_budget_of_all_experts_and_a_row_alone_are_exact(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 34);
    const size_t vocab = (size_t)ref.vocab;
    const sl_model_facts *facts = sl_model_facts_of(model);
    float *logits = floats(ROWS_MAX, vocab);
    sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, SL_KV_F16, SL_KV_F16);
    check_random r = {.seed = 35};
    assert_int_equal(sl_session_eval(s, ref.prefix, PREFIX, NULL, NULL), SL_OK);
    int32_t changed = 0;
    for (int32_t t = 0; t < 40; t++) {
        batch b;
        sl_pass_report report;
        draw_batch(&r, &ref, &b);
        sl_budget budget = {t % 2 ? SL_BUDGET_SUBSTITUTE : SL_BUDGET_TRUNCATE, facts->experts};
        assert_int_equal(sl_session_forward(s, b.rows, b.n, logits, &budget, &report, NULL), SL_OK);
        assert_float_equal(report.budget_mass, 1, 1e-12);
        const float *have = logits;
        for (int32_t i = 0; i < b.n; i++)
            if (b.rows[i].want_logits) {
                CHECK_CASE(same(have, ref.logits + (size_t)b.node_of[i] * vocab, vocab),
                           "B = N, row %d", i);
                have += vocab;
            }
        budget.experts = facts->experts_per_token; /* bites, unless the row is alone */
        b.rows[0].want_logits = 1;
        assert_int_equal(sl_session_forward(s, b.rows, b.n, logits, &budget, &report, NULL), SL_OK);
        assert_true(report.max_experts <= budget.experts);
        changed += !same(logits, ref.logits + (size_t)b.node_of[0] * vocab, vocab);
        assert_int_equal(sl_session_forward(s, b.rows, 1, logits, &budget, &report, NULL), SL_OK);
        CHECK_CASE(same(logits, ref.logits + (size_t)b.node_of[0] * vocab, vocab), "alone, B = k");
    }
    assert_true(changed > 0); /* the budget was really in force */
    sl_session_close(&s);
    free(logits);
    drop_reference(&ref);
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(rejected_branches_leave_no_trace),
    cmocka_unit_test(rewinding_and_dropping_a_pass_go_back_exactly),
    cmocka_unit_test(a_cache_in_q8_0_rounds_and_no_more),
    cmocka_unit_test(a_cache_in_q8_0_needs_whole_blocks_and_half_the_bytes),
    cmocka_unit_test(a_bad_pass_is_refused_and_changes_nothing),
    cmocka_unit_test(rows_of_several_sessions_are_checked_and_committed_apart),
    cmocka_unit_test(more_rows_than_can_have_logits_are_refused),
    cmocka_unit_test(the_context_ends_where_it_says),
    cmocka_unit_test(a_number_that_is_not_finite_is_an_error_with_its_place),
    cmocka_unit_test(a_budget_of_all_experts_and_a_row_alone_are_exact),
};

WORLD_MAIN(tests)

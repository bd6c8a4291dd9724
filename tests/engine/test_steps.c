/* test_steps.c - requests that take turns, and sessions that are copied, are none the worse. */
#include "engine_world.h"

#include <string.h>

enum { CONTEXT = 360, REQUESTS = 4, TOKENS = 60 };

static const char *const policies[REQUESTS] = {"off", "static:3", "cascade", "ledger:100%"};

static sl_generate_params params_of(int32_t i) {
    sl_generate_params params = sl_generate_params_default();
    params.max_tokens = TOKENS + 7 * i;
    params.ignore_eos = 1;
    params.sampling.temperature = i % 2 ? 0.7f : 0.0f;
    params.sampling.seed = 5;
    params.spec_policy = policies[i];
    return params;
}

static void compare(const sl_generate_stats *a, const sl_generate_stats *b) {
    assert_int_equal(a->tokens, b->tokens);
    assert_true(a->token_hash == b->token_hash && a->logits_hash == b->logits_hash);
    assert_int_equal(a->stop, b->stop);
    assert_int_equal(a->pending, b->pending);
}

/* Four requests on the threads of one, a pass at a time in random order. Fails if a request
 * keeps anything where another can reach it. */
static void requests_that_take_turns_write_what_they_write_alone(void **state) {
    (void)state;
    check_random r = {.seed = 91};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_error err = {0};
    sl_session *sessions[REQUESTS];
    sl_generation *generations[REQUESTS];
    sl_generate_params params[REQUESTS];
    sl_generate_stats alone[REQUESTS], turns[REQUESTS];
    static sl_token prompts[REQUESTS][CONTEXT];
    int32_t n[REQUESTS], left = REQUESTS, steps = 0;
    const sl_session_params beside = {.context = CONTEXT, .batch = 128};
    for (int32_t i = 0; i < REQUESTS; i++) {
        n[i] = world_prompt(model, 3 * i, prompts[i], CONTEXT - 2 * TOKENS, NULL);
        if (n[i] > CONTEXT - 2 * TOKENS) n[i] = CONTEXT - 2 * TOKENS;
        params[i] = params_of(i);
        sl_session *s = world_session(model, CONTEXT, 1, 128, SL_KV_F16, SL_KV_F16);
        assert_int_equal(sl_generate(s, prompts[i], n[i], &params[i], &alone[i], &err), SL_OK);
        sl_session_close(&s);
    }
    sessions[0] = world_session(model, CONTEXT, 2, 128, SL_KV_F16, SL_KV_F16);
    for (int32_t i = 0; i < REQUESTS; i++) {
        if (i > 0)
            assert_int_equal(
                sl_session_open_beside(&sessions[i], model, &beside, sessions[0], &err), SL_OK);
        assert_int_equal(sl_generation_open(&generations[i], sessions[i], prompts[i], n[i],
                                            &params[i], &turns[i], &err),
                         SL_OK);
    }
    while (left > 0) {
        const int32_t i = check_below(&r, REQUESTS);
        int done = 0;
        if (!generations[i]) continue;
        assert_int_equal(sl_generation_step(generations[i], &done, &err), SL_OK);
        steps++;
        if (!done) continue;
        compare(&alone[i], &turns[i]);
        sl_generation_close(&generations[i]);
        assert_null(generations[i]);
        left--;
    }
    assert_true(steps > TOKENS);
    for (int32_t i = REQUESTS - 1; i >= 0; i--)
        sl_session_close(&sessions[i]);
    sl_model_close(&model);
}

static void a_request_closed_early_was_ended_by_the_caller(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_session *s = world_session(model, CONTEXT, 1, 128, SL_KV_F16, SL_KV_F16);
    sl_token prompt[CONTEXT];
    const int32_t n = world_prompt(model, 1, prompt, CONTEXT / 2, NULL);
    const sl_generate_params params = params_of(0);
    sl_generate_stats stats;
    sl_generation *g;
    sl_error err = {0};
    int done = 1;
    assert_int_equal(sl_generation_open(&g, s, prompt, n, &params, &stats, &err), SL_OK);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(sl_generation_step(g, &done, &err), SL_OK);
    assert_int_equal(done, 0);
    sl_generation_close(&g);
    assert_int_equal(stats.stop, SL_STOP_CALLER);
    assert_int_equal(stats.tokens, 4);
    assert_int_equal(sl_generation_open(&g, s, prompt, 0, &params, &stats, &err), SL_E_ARG);
    assert_null(g);
    sl_generation_close(&g);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Fails if a part of the cache stays behind: the copy goes on with other logits. */
static void a_copied_session_goes_on_as_the_first_would(void **state) {
    (void)state;
    static const sl_kv_type types[] = {SL_KV_F16, SL_KV_F32, SL_KV_Q8_0};
    check_random r = {.seed = 92};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    const int32_t vocab = sl_model_facts_of(model)->vocab;
    static float want[1 << 16], have[1 << 16];
    assert_true(vocab <= 1 << 16);
    sl_error err = {0};
    for (int32_t t = 0; t < 3; t++) {
        sl_token tokens[100];
        world_tokens(&r, model, tokens, 100);
        sl_session *from = world_session(model, 200, 1, 64, types[t], types[t]);
        sl_session *to = world_session(model, 130, 2, 32, types[t], types[t]);
        assert_int_equal(sl_session_eval(from, tokens, 90, NULL, &err), SL_OK);
        assert_int_equal(sl_session_eval(to, tokens + 50, 40, NULL, &err), SL_OK); /* to go */
        assert_int_equal(sl_session_copy(to, from, &err), SL_OK);
        assert_int_equal(sl_session_length(to), 90);
        assert_memory_equal(sl_session_tokens(to), tokens, 90 * sizeof *tokens);
        assert_int_equal(sl_session_eval(from, tokens + 90, 10, want, &err), SL_OK);
        assert_int_equal(sl_session_eval(to, tokens + 90, 10, have, &err), SL_OK);
        assert_memory_equal(want, have, (size_t)vocab * sizeof *want);

        sl_session *small = world_session(model, 99, 1, 32, types[t], types[t]);
        sl_session *other = world_session(model, 200, 1, 32, types[t], types[(t + 1) % 3]);
        assert_int_equal(sl_session_copy(small, from, &err), SL_E_CONTEXT);
        assert_int_equal(sl_session_copy(other, from, &err), SL_E_ARG);
        sl_session_close(&other);
        sl_session_close(&small);
        sl_session_close(&to);
        sl_session_close(&from);
    }
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(requests_that_take_turns_write_what_they_write_alone),
    cmocka_unit_test(a_request_closed_early_was_ended_by_the_caller),
    cmocka_unit_test(a_copied_session_goes_on_as_the_first_would),
};

WORLD_MAIN(tests)

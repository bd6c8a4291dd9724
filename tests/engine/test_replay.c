/* test_replay.c - a recorded text in place of the sampler's: its tokens come out, whatever
 * the logits say, and all that is measured on the way is real. */
#include "engine_world.h"

#include <string.h>

#include "base/hash.h"

enum { CONTEXT = 400, TOKENS = 120 };

static const char *const POLICIES[] = {"off", "static:1", "static:4", "cascade", "ledger:100%"};
enum { N_POLICIES = sizeof POLICIES / sizeof POLICIES[0] };

static sl_generate_stats generate(const sl_model *model, const sl_token *prompt, int32_t n_prompt,
                                  const sl_generate_params *params) {
    sl_generate_stats stats;
    sl_error err = {0};
    sl_session *s = world_session(model, CONTEXT, 1, 128, SL_KV_F16, SL_KV_F16);
    CHECK_CASE(sl_generate(s, prompt, n_prompt, params, &stats, &err) == SL_OK, "%s", err.text);
    sl_session_close(&s);
    return stats;
}

static uint64_t hash_of(const sl_token *tokens, int32_t n) {
    uint64_t hash = SL_HASH_SEED;
    for (int32_t i = 0; i < n; i++)
        hash = sl__hash_bytes(hash, &tokens[i], sizeof tokens[i]);
    return hash;
}

/* A text that repeats itself, which the model would not write by itself. */
static void looping_text(check_random *r, const sl_model *model, sl_token *out, int32_t n) {
    enum { PERIOD = 17 };
    world_tokens(r, model, out, PERIOD);
    for (int32_t i = PERIOD; i < n; i++)
        out[i] = check_below(r, 20) == 0 ? out[check_below(r, PERIOD)] : out[i - PERIOD];
}

/* Fails if the sampler's choice reaches the text, or drafts are not judged by the replay. */
static void the_recorded_tokens_come_out_under_every_policy(void **state) {
    (void)state;
    check_random r = {.seed = 51};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_token prompt[40], text[TOKENS];
    world_tokens(&r, model, prompt, 40);
    looping_text(&r, model, text, TOKENS);
    uint64_t logits = 0;
    for (int32_t i = 0; i < N_POLICIES; i++) {
        sl_generate_params params = sl_generate_params_default();
        params.spec_policy = POLICIES[i];
        params.replay = text;
        params.n_replay = TOKENS;
        const sl_generate_stats stats = generate(model, prompt, 40, &params);
        assert_int_equal(stats.tokens, TOKENS);
        assert_int_equal(stats.stop, SL_STOP_LENGTH);
        assert_true(stats.token_hash == hash_of(text, TOKENS));
        if (i == 0) logits = stats.logits_hash;
        assert_true(stats.logits_hash == logits);
        if (i == 1 || i == 2) assert_true(stats.accepted > TOKENS / 8); /* others go by time */
    }
    sl_model_close(&model);
}

static void replaying_what_the_model_wrote_changes_nothing(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_token prompt[CONTEXT], written[CONTEXT];
    const int32_t n = world_prompt(model, 0, prompt, CONTEXT / 2, NULL);
    sl_generate_params params = sl_generate_params_default();
    params.ignore_eos = 1;
    params.spec_policy = "static:4"; /* decisions that do not depend on time */
    params.max_tokens = TOKENS;
    sl_error err = {0};
    sl_generate_stats stats;
    sl_session *s = world_session(model, CONTEXT, 1, 128, SL_KV_F16, SL_KV_F16);
    assert_int_equal(sl_generate(s, prompt, n, &params, &stats, &err), SL_OK);
    assert_int_equal(sl_session_length(s), n + TOKENS - 1); /* the newest is not evaluated */
    memcpy(written, sl_session_tokens(s) + n, (TOKENS - 1) * sizeof *written);
    sl_session_close(&s);

    params.max_tokens = -1;
    params.replay = written;
    params.n_replay = TOKENS - 1;
    const sl_generate_stats again = generate(model, prompt, n, &params);
    params.replay = NULL;
    params.max_tokens = TOKENS - 1;
    const sl_generate_stats plain = generate(model, prompt, n, &params);
    assert_true(again.token_hash == plain.token_hash);
    assert_true(again.logits_hash == plain.logits_hash);
    assert_int_equal(again.passes, plain.passes);
    sl_model_close(&model);
}

static void max_tokens_and_a_token_that_ends_the_turn_cut_a_replay(void **state) {
    (void)state;
    check_random r = {.seed = 52};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_token prompt[20], text[TOKENS];
    world_tokens(&r, model, prompt, 20);
    looping_text(&r, model, text, TOKENS);
    sl_generate_params params = sl_generate_params_default();
    params.replay = text;
    params.n_replay = TOKENS;
    params.max_tokens = 33;
    assert_int_equal(generate(model, prompt, 20, &params).tokens, 33);
    params.max_tokens = -1;
    for (sl_token t = 0; t < sl_model_facts_of(model)->vocab; t++)
        if (sl_token_is_eog(model, t)) text[50] = t;
    const sl_generate_stats stats = generate(model, prompt, 20, &params);
    assert_int_equal(stats.tokens, 50);
    assert_int_equal(stats.stop, SL_STOP_EOG);
    params.n_replay = 0;
    assert_int_equal(generate(model, prompt, 20, &params).tokens, 0);
    sl_model_close(&model);
}

static void a_token_outside_the_vocabulary_is_named(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    const sl_token text[] = {1, 2, sl_model_facts_of(model)->vocab};
    sl_generate_params params = sl_generate_params_default();
    sl_error err = {0};
    params.replay = text;
    params.n_replay = 3;
    assert_int_equal(sl_generate_check(model, &params, &err), SL_E_ARG);
    assert_non_null(strstr(err.text, "token 3 of 3"));
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_recorded_tokens_come_out_under_every_policy),
    cmocka_unit_test(replaying_what_the_model_wrote_changes_nothing),
    cmocka_unit_test(max_tokens_and_a_token_that_ends_the_turn_cut_a_replay),
    cmocka_unit_test(a_token_outside_the_vocabulary_is_named),
};

WORLD_MAIN(tests)

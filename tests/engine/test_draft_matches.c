/* test_draft_matches.c - what drafting could have brought is what drafting brings. */
#include "engine_world.h"

#include <string.h>

enum { TOKENS = 160, KNOWN = 30, K = 6, CONTEXT = 400 };

static void repeating_text(check_random *r, const sl_model *model, sl_token *out) {
    enum { PERIOD = 19 };
    world_tokens(r, model, out, PERIOD);
    for (int32_t i = PERIOD; i < TOKENS; i++)
        out[i] = check_below(r, 15) == 0 ? out[check_below(r, PERIOD)] : out[i - PERIOD];
}

typedef struct walk {
    const uint8_t *matches;
    int32_t at; /* tokens out */
    int32_t checked, accepted;
} walk;

static void compare_iteration(void *user, const sl_iteration *record) {
    walk *w = user;
    if (record->drafted == K) {
        const int32_t most = w->matches[w->at];
        CHECK_CASE(record->accepted == (most < K ? most : K),
                   "%d tokens out: %d accepted, %d match", w->at, record->accepted, most);
        w->checked++;
        w->accepted += record->accepted;
    }
    w->at += record->accepted + 1;
}

/* Replayed under static:K, every iteration accepts what was foretold. Fails if the text is
 * off by one, or the drafters see what they cannot know. */
static void a_replay_accepts_what_was_foretold(void **state) {
    (void)state;
    check_random r = {.seed = 71};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_token text[TOKENS];
    uint8_t matches[TOKENS];
    static const sl_spec_type types[] = {SL_SPEC_NGRAM, SL_SPEC_SUFFIX};
    for (int32_t i = 0; i < 2; i++) {
        repeating_text(&r, model, text);
        sl_error err = {0};
        sl_generate_stats stats;
        walk w = {.matches = matches, .at = 1};
        sl_generate_params params = sl_generate_params_default();
        params.spec_types[0] = types[i];
        params.n_spec_types = 1;
        params.spec_policy = "static:6";
        params.ngram_min = 2;
        params.replay = text + KNOWN;
        params.n_replay = TOKENS - KNOWN;
        params.on_iteration = compare_iteration;
        params.user = &w;
        assert_int_equal(sl_draft_matches(model, &params, text, TOKENS, KNOWN, K, matches, &err),
                         SL_OK);
        sl_session *s = world_session(model, CONTEXT, 1, 128, SL_KV_F16, SL_KV_F16);
        CHECK_CASE(sl_generate(s, text, KNOWN, &params, &stats, &err) == SL_OK, "%s", err.text);
        sl_session_close(&s);
        assert_true(w.checked > 10 && w.accepted > 3 * w.checked);
    }
    sl_model_close(&model);
}

static void a_second_drafter_can_only_help(void **state) {
    (void)state;
    check_random r = {.seed = 72};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    sl_token text[TOKENS];
    uint8_t one[TOKENS], both[TOKENS], none[TOKENS];
    sl_error err = {0};
    sl_generate_params params = sl_generate_params_default();
    repeating_text(&r, model, text);
    assert_int_equal(sl_draft_matches(model, &params, text, TOKENS, 0, 15, one, &err), SL_OK);
    params.spec_types[1] = SL_SPEC_SUFFIX;
    params.n_spec_types = 2;
    assert_int_equal(sl_draft_matches(model, &params, text, TOKENS, 0, 15, both, &err), SL_OK);
    params.n_spec_types = 0;
    assert_int_equal(sl_draft_matches(model, &params, text, TOKENS, 0, 15, none, &err), SL_OK);
    int32_t sums[3] = {0};
    for (int32_t i = 0; i < TOKENS; i++) {
        assert_true(both[i] >= one[i] && one[i] <= TOKENS - i);
        sums[0] += none[i], sums[1] += one[i], sums[2] += both[i];
    }
    assert_int_equal(sums[0], 0);
    assert_true(sums[1] > TOKENS && sums[2] >= sums[1]);
    sl_model_close(&model);
}

static void counts_that_make_no_sense_are_refused(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_AUTO);
    const sl_token text[4] = {1, 2, 3, 4};
    uint8_t matches[4];
    sl_error err = {0};
    const sl_generate_params p = sl_generate_params_default();
    assert_int_equal(sl_draft_matches(model, &p, text, 4, 5, 1, matches, &err), SL_E_ARG);
    assert_int_equal(sl_draft_matches(model, &p, text, 4, 2, 0, matches, &err), SL_E_ARG);
    assert_int_equal(sl_draft_matches(model, &p, text, 4, 2, SL_DRAFT_MAX + 1, matches, &err),
                     SL_E_ARG);
    assert_int_equal(sl_draft_matches(model, &p, text, 4, 4, 1, matches, &err), SL_OK);
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_replay_accepts_what_was_foretold),
    cmocka_unit_test(a_second_drafter_can_only_help),
    cmocka_unit_test(counts_that_make_no_sense_are_refused),
};

WORLD_MAIN(tests)

/* test_draft_model.c - a small model that drafts: in step with the text, with the target's
 * noise, and only where it speaks the same tokens. */
#include "engine_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/draft_model.h"
#include "model/expand.h"

enum { CONTEXT = 512, N_MAX = 320 };

static const float temperatures[] = {0.0f, 0.7f, 1.3f};

/* A drafter on a session of its own, all its memory on the heap. */
typedef struct drafting {
    sl__draft_model draft;
    sl_session *session;
    sl_sampling sampling;
} drafting;

static drafting *begin(const sl_model *model, int32_t context, float temperature, uint64_t seed) {
    const int32_t vocab = sl_model_facts_of(model)->vocab;
    drafting *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->session = world_session(model, context, 1, 64, SL_KV_F16, SL_KV_F16);
    d->sampling = sl_sampling_default();
    d->sampling.temperature = temperature;
    d->sampling.seed = seed;
    d->draft = (sl__draft_model){.session = d->session,
                                 .sampling = &d->sampling,
                                 .text_max = CONTEXT,
                                 .text = malloc((CONTEXT + SL_DRAFT_MAX) * sizeof(sl_token)),
                                 .vocab = vocab,
                                 .logits = malloc((size_t)vocab * sizeof(float)),
                                 .scratch = malloc(sl_sample_scratch_bytes(vocab))};
    assert_true(d->draft.text && d->draft.logits && d->draft.scratch);
    sl__draft_model_init(&d->draft);
    return d;
}

static void end(drafting *d) {
    sl_session_close(&d->session);
    free(d->draft.text);
    free(d->draft.logits);
    free(d->draft.scratch);
    free(d);
}

static sl__draft propose(drafting *d, int32_t max, sl__draft_node *nodes) {
    return d->draft.drafter.propose(&d->draft.drafter, max, nodes);
}

static void observe(drafting *d, const sl_token *tokens, int32_t n) {
    d->draft.drafter.observe(&d->draft.drafter, tokens, n);
}

/* The target's own text after a prompt, plainly: prompt and text to tokens. */
static int32_t write_text(const sl_model *model, int32_t prompt, float temperature, uint64_t seed,
                          sl_token *tokens, int32_t *n_prompt) {
    sl_generate_params params = sl_generate_params_default();
    sl_generate_stats stats;
    sl_token whole[1024];
    params.spec_policy = "off";
    params.sampling.temperature = temperature;
    params.sampling.seed = seed;
    params.max_tokens = 60;
    *n_prompt = sl__min_i32(world_prompt(model, prompt, whole, 1024, NULL), N_MAX - 70);
    memcpy(tokens, whole, (size_t)*n_prompt * sizeof *tokens);
    sl_session *s = world_session(model, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
    assert_int_equal(sl_generate(s, tokens, *n_prompt, &params, &stats, NULL), SL_OK);
    const int32_t n = sl_session_length(s);
    memcpy(tokens, sl_session_tokens(s), (size_t)n * sizeof *tokens);
    sl_session_close(&s);
    return n;
}

/* ---- with the target's noise ---------------------------------------------------------- */

/* Mutations: draft with other noise, another position, without penalties or bans; leave
 * a rejected token in the cache. */
static void a_model_that_drafts_for_itself_is_always_right(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    for (int32_t i = 0; i < world_share(12, 3); i++) {
        sl_generate_params params = sl_generate_params_default();
        sl_generate_stats stats;
        sl_token prompt[1024];
        params.n_spec_types = 1;
        params.spec_types[0] = SL_SPEC_DRAFT;
        params.spec_policy = "static:4";
        params.max_tokens = 40;
        params.ignore_eos = i % 2;
        params.sampling.temperature = temperatures[i % 3];
        params.sampling.seed = (uint64_t)i;
        if (i % 2) params.sampling.repeat_penalty = 1.3f;
        const int32_t n = world_prompt(model, i, prompt, 1024, NULL);
        sl_session *s = world_session(model, n + 64, 1, 64, SL_KV_F16, SL_KV_F16);
        const sl_session_params same = {.context = n + 64, .batch = 64};
        assert_int_equal(sl_session_open_beside(&params.draft_session, model, &same, s, NULL),
                         SL_OK);
        assert_int_equal(sl_generate(s, prompt, n, &params, &stats, NULL), SL_OK);
        /* Only where the text ends is a draft cut short. */
        CHECK_CASE(stats.drafted - stats.accepted <= 3, "prompt %d: %lld of %lld", i,
                   (long long)stats.accepted, (long long)stats.drafted);
        CHECK_CASE(stats.tokens <= 2 || stats.accepted > 0, "prompt %d", i);
        sl_session_close(&params.draft_session);
        sl_session_close(&s);
    }
    sl_model_close(&model);
}

/* How many of the text's tokens the drafter guesses, each from the true text before it. */
static void count_guesses(drafting *d, const sl_token *tokens, int32_t n_prompt, int32_t n,
                          int32_t *right, double *sure_right, double *sure_wrong) {
    sl__draft_node node;
    observe(d, tokens, n_prompt);
    for (int32_t i = n_prompt; i < n; i++) {
        if (propose(d, 1, &node).n_nodes == 1) {
            const bool hit = node.token == tokens[i];
            *right += hit;
            *(hit ? sure_right : sure_wrong) += (double)node.confidence;
        }
        observe(d, &tokens[i], 1);
    }
}

/* Mutation: draft with a seed of its own; give wrong guesses more confidence than right ones. */
static void shared_noise_makes_two_models_choose_alike(void **state) {
    (void)state;
    if (world_is_slow()) skip();
    sl_model *target = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    sl_model *small = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    for (int32_t t = 0; t < 3; t++) {
        int32_t total = 0, right[2] = {0, 0};
        double sure_right[2] = {0, 0}, sure_wrong[2] = {0, 0};
        for (int32_t i = 0; i < (world_is_full() ? 200 : 40); i++) {
            sl_token tokens[N_MAX];
            int32_t n_prompt;
            const int32_t prompt = i * 7 % world_n_prompts();
            const int32_t n =
                write_text(target, prompt, temperatures[t], (uint64_t)i, tokens, &n_prompt);
            total += n - n_prompt;
            for (int32_t other = 0; other < 2; other++) {
                drafting *d = begin(small, CONTEXT, temperatures[t], (uint64_t)(i + 1000 * other));
                count_guesses(d, tokens, n_prompt, n, &right[other], &sure_right[other],
                              &sure_wrong[other]);
                end(d);
            }
        }
        const double shared = (double)right[0] / total, own = (double)right[1] / total;
        print_message("  temperature %.1f: %d tokens, %.3f guessed with the target's noise, "
                      "%.3f with other noise\n",
                      (double)temperatures[t], total, shared, own);
        if (t == 0) assert_int_equal(right[0], right[1]); /* no noise at all */
        if (t > 0) assert_true(shared > own + 0.03);
        assert_true(sure_right[0] / right[0] > sure_wrong[0] / (total - right[0]) + 0.1);
    }
    sl_model_close(&small);
    sl_model_close(&target);
}

/* ---- in step ---------------------------------------------------------------------------- */

static void assert_same_draft(drafting *a, drafting *b, int32_t max) {
    sl__draft_node one[16], two[16];
    const sl__draft first = propose(a, max, one), second = propose(b, max, two);
    assert_int_equal(first.n_nodes, second.n_nodes);
    for (int32_t i = 0; i < first.n_nodes; i++) {
        assert_int_equal(one[i].token, two[i].token);
        assert_true(one[i].confidence == two[i].confidence);
        assert_true(one[i].confidence > 0 && one[i].confidence < 1);
        assert_int_equal(one[i].parent, i - 1);
    }
}

/* One drafts at every step, one follows, one does neither until asked. Mutations: keep a
 * rejected token; evaluate the newest token twice; take a stale row of logits. */
static void drafts_do_not_depend_on_what_was_drafted_before(void **state) {
    (void)state;
    sl_model *small = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    check_random r = {.seed = 5};
    for (int32_t round = 0; round < world_share(6, 2); round++) {
        sl_token tokens[200];
        sl__draft_node nodes[16];
        const float temperature = temperatures[round % 3];
        world_tokens(&r, small, tokens, 200);
        drafting *busy = begin(small, CONTEXT, temperature, 3);
        drafting *following = begin(small, CONTEXT, temperature, 3);
        drafting *lazy = begin(small, CONTEXT, temperature, 3);
        int32_t n = 0;
        while (n < 200) {
            int32_t more = 1 + check_below(&r, 9);
            more = sl__min_i32(more, 200 - n);
            /* Sometimes a part of the draft comes true. */
            if (n > 0) {
                const sl__draft draft = propose(busy, 1 + check_below(&r, 8), nodes);
                const int32_t come_true = check_below(&r, draft.n_nodes + 1);
                for (int32_t i = 0; i < come_true && i < more; i++)
                    tokens[n + i] = nodes[i].token;
            }
            observe(busy, tokens + n, more);
            observe(following, tokens + n, more);
            observe(lazy, tokens + n, more);
            n += more;
            following->draft.drafter.follow(&following->draft.drafter);
            assert_true(following->draft.drafter.behind(&following->draft.drafter) <= 1);
            assert_same_draft(busy, busy, 5);
            if (check_below(&r, 3) == 0) assert_same_draft(busy, following, 6);
            if (check_below(&r, 9) == 0) assert_same_draft(busy, lazy, 4);
        }
        assert_same_draft(busy, lazy, 8);
        end(busy);
        end(following);
        end(lazy);
    }
    sl_model_close(&small);
}

/* Mutation: run past the end of the draft's own context, or stop drafting there. */
static void a_text_longer_than_the_context_is_followed_through_a_window(void **state) {
    (void)state;
    sl_model *small = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    check_random r = {.seed = 6};
    for (int32_t context = 1; context <= 40; context += context < 4 ? 1 : 9) {
        sl_token tokens[200];
        sl__draft_node nodes[16];
        int32_t drafted = 0;
        drafting *d = begin(small, context, 0.7f, 1);
        world_tokens(&r, small, tokens, 200);
        for (int32_t i = 0; i < 200; i++) {
            observe(d, &tokens[i], 1);
            if (i % 3 == 0) drafted += propose(d, 1 + check_below(&r, 16), nodes).n_nodes;
            if (i % 5 == 0) d->draft.drafter.follow(&d->draft.drafter);
        }
        assert_false(d->draft.broken);
        if (context > 1) assert_true(drafted > 20);
        end(d);
    }
    sl_model_close(&small);
}

/* Mutations: count a short draft; go on past an unsure token or a stop sign. */
static void a_draft_ends_where_it_is_told_to(void **state) {
    (void)state;
    sl_model *small = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    sl_token prompt[1024];
    sl__draft_node nodes[16];
    const int32_t n = world_chat(small, "Tell me a bedtime story with a ribbon.", prompt, 1024);
    drafting *d = begin(small, CONTEXT, 0, 0);
    observe(d, prompt, n);
    assert_int_equal(propose(d, 12, nodes).n_nodes, 12);
    int32_t sure = 0;
    while (sure < 12 && nodes[sure].confidence >= 0.8f)
        sure++;
    assert_true(sure < 12);
    d->draft.p_min = 0.8f;
    assert_int_equal(propose(d, 12, nodes).n_nodes, sure);
    d->draft.n_min = sure + 1;
    assert_int_equal(propose(d, 12, nodes).n_nodes, 0);
    assert_int_equal(propose(d, 0, NULL).n_nodes, 0);
    end(d);
    sl_model_close(&small);
}

/* ---- vocabularies of different sizes ------------------------------------------------------ */

/* The embedded model with 904 tokens more, which stand for no text. */
static sl_model *padded_model(void) {
    static const sl__synth_shape padded = {.name = "padded",
                                           .facts = {.layers = 6,
                                                     .width = 1024,
                                                     .heads = 4,
                                                     .kv_heads = 2,
                                                     .head_dim = 128,
                                                     .experts = 64,
                                                     .experts_per_token = 8,
                                                     .expert_width = 64,
                                                     .vocab = 5000}};
    char path[WORLD_PATH_MAX];
    const sl_expand_params expand = {.type = "keep"};
    sl_error err = {0};
    world_path(path, "padded.gguf");
    if (sl__expand_to_shape(path, SL_MODEL_FILE, &padded, &expand, &err) != SL_OK)
        fail_msg("%s", err.text);
    sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
    assert_int_equal(unlink(path), 0);
    return model;
}

static sl_generate_stats generate(const sl_model *target, const sl_model *draft,
                                  sl_generate_params params) {
    sl_token prompt[1024];
    sl_generate_stats stats;
    sl_error err = {0};
    const int32_t n = sl__min_i32(world_prompt(target, 0, prompt, 1024, NULL), N_MAX);
    sl_session *s = world_session(target, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
    if (draft) {
        params.draft_session = world_session(draft, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
        params.spec_types[0] = SL_SPEC_DRAFT;
        params.n_spec_types = 1;
        params.spec_policy = "static:3";
    }
    if (sl_generate(s, prompt, n, &params, &stats, &err) != SL_OK) fail_msg("%s", err.text);
    sl_session_close(&params.draft_session);
    sl_session_close(&s);
    return stats;
}

/* Fails if tokens that only one of the models has are drafted, read beyond the smaller one's
 * logits, or keep the two apart. */
static void tokens_only_one_model_has_do_not_keep_it_from_drafting(void **state) {
    (void)state;
    sl_model *small = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    sl_model *other = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    sl_model *padded = padded_model();
    const sl_logit_bias biases[] = {{4500, 5.0f}, {4999, -INFINITY}};
    for (size_t t = 0; t < SL_COUNT(temperatures); t++) {
        sl_generate_params params = sl_generate_params_default();
        params.max_tokens = 60;
        params.sampling.temperature = temperatures[t];
        params.sampling.bias = biases;
        params.sampling.n_bias = t == 1 ? 2 : 0;
        params.sampling.presence_penalty = t == 2 ? 0.1f : 0;
        params.spec_policy = "off";
        const sl_generate_stats plain = generate(padded, NULL, params);
        const sl_generate_stats drafted = generate(padded, small, params);
        assert_true(drafted.accepted > 5);
        assert_int_equal(plain.token_hash, drafted.token_hash);
        assert_int_equal(plain.logits_hash, drafted.logits_hash);
        params.sampling.n_bias = 0; /* now the model that drafts has more tokens */
        const sl_generate_stats twin = generate(other, padded, params);
        CHECK_CASE(twin.accepted > 5 && twin.accepted * 10 > twin.drafted * 8, "%d of %d kept",
                   (int)twin.accepted, (int)twin.drafted);
    }
    sl_model_close(&small);
    sl_model_close(&other);
    sl_model_close(&padded);
}

/* ---- errors ------------------------------------------------------------------------------ */

static void what_cannot_draft_is_refused_by_name(void **state) {
    (void)state;
    char path[WORLD_PATH_MAX];
    sl_error err = {.text = ""};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_MAPPED);
    world_path(path, "stranger.gguf");
    tiny_write(&tiny_shapes[0], 1, path);
    sl_model *stranger = world_open(path, NULL, SL_LAYOUT_MAPPED);
    sl_session *s = world_session(model, 64, 1, 16, SL_KV_F16, SL_KV_F16);
    sl_generate_params params = sl_generate_params_default();
    sl_generate_stats stats;
    const sl_token prompt[] = {1, 2, 3};
    params.spec_types[0] = SL_SPEC_DRAFT;
    assert_int_equal(sl_generate(s, prompt, 3, &params, &stats, &err), SL_E_ARG);
    assert_non_null(strstr(err.text, "expected a draft model"));
    params.draft_session = world_session(stranger, 64, 1, 16, SL_KV_F16, SL_KV_F16);
    assert_int_equal(sl_generate(s, prompt, 3, &params, &stats, &err), SL_E_ARG);
    assert_non_null(strstr(err.text, "another vocabulary: token "));
    sl_session_close(&params.draft_session);
    params.draft_session = s;
    assert_int_equal(sl_generate(s, prompt, 3, &params, &stats, &err), SL_E_ARG);
    assert_non_null(strstr(err.text, "session of its own"));
    params.spec_types[0] = (sl_spec_type)SL_SPEC_TYPES;
    assert_int_equal(sl_generate_check(model, &params, &err), SL_E_ARG);
    params.spec_types[0] = params.spec_types[1] = SL_SPEC_SUFFIX;
    params.n_spec_types = 2;
    assert_int_equal(sl_generate_check(model, &params, &err), SL_E_ARG);
    assert_non_null(strstr(err.text, "suffix is named twice"));
    sl_session_close(&s);
    sl_model_close(&stranger);
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_model_that_drafts_for_itself_is_always_right),
    cmocka_unit_test(shared_noise_makes_two_models_choose_alike),
    cmocka_unit_test(drafts_do_not_depend_on_what_was_drafted_before),
    cmocka_unit_test(a_text_longer_than_the_context_is_followed_through_a_window),
    cmocka_unit_test(a_draft_ends_where_it_is_told_to),
    cmocka_unit_test(tokens_only_one_model_has_do_not_keep_it_from_drafting),
    cmocka_unit_test(what_cannot_draft_is_refused_by_name),
};

WORLD_MAIN(tests)

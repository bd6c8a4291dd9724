/* test_same_bytes.c - speculation changes the time, never the text.
 *
 * A case is a request (prompt, temperature, seed, limits). It is generated plainly once, on
 * one thread and the best table; then under several drafters and policies, numbers of threads
 * and tables. Text, tokens, logits of the emitted positions and the reason to stop must be
 * the same, byte for byte. At the end the totals must show that drafting really happened. */
#include "engine_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { CONTEXT = 640, PROMPT_MAX = 480, TEXT_MAX = 8192 };

/* ---- requests ---- */

static const char *const copying[] = {
    "Repeat the text above word for word: red blue green. red blue green. red blue green. "
    "one two three four five six seven eight nine ten. one two three four five six seven.",
    "List the names again. Anna, Ben, Carla, David, Emil, Frida, Georg, Hanna, Ivan, Julia. "
    "Anna, Ben, Carla, David, Emil, Frida, Georg, Hanna, Ivan, Julia.",
    "def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b\n\n"
    "Rename add to plus and print the code again.",
};

typedef struct request {
    sl_token prompt[PROMPT_MAX];
    int32_t n_prompt;
    int32_t context;
    const char *stop[2];
    sl_generate_params params; /* but for the way to speculate */
} request;

typedef struct result {
    char text[TEXT_MAX];
    size_t n;
    int32_t calls;
    sl_generate_stats stats;
} result;

typedef struct totals {
    int64_t runs, tokens, drafted, accepted, stops[SL_STOP_ERROR + 1];
    int64_t by_k[SL_DRAFT_MAX + 1]; /* passes by drafted rows */
    int64_t drafted_by[SL_SPEC_TYPES], accepted_by[SL_SPEC_TYPES];
} totals;

static int keep_text(void *user, const char *bytes, size_t n) {
    result *r = user;
    assert_true(n > 0 && r->n + n <= sizeof r->text);
    memcpy(r->text + r->n, bytes, n);
    r->n += n;
    r->calls++;
    return 0;
}

static const char *const stop_strings[] = {"the", " and", "\n", "ed", "e ", ", ", "."};

/* Prompts by turns: copying ones, those of the data set. All else at random. */
static void draw_request(check_random *r, const sl_model *model, int32_t i, request *q) {
    static const float temperatures[] = {0.0f, 0.7f, 1.3f};
    *q = (request){.context = CONTEXT, .params = sl_generate_params_default()};
    sl_token prompt[1024];
    do {
        q->n_prompt =
            i % 4 == 0 ? world_chat(model, copying[check_below(r, (int32_t)SL_COUNT(copying))],
                                    prompt, 1024)
                       : world_prompt(model, check_below(r, world_n_prompts()), prompt, 1024, NULL);
    } while (q->n_prompt > (world_is_slow() ? PROMPT_MAX / 4 : PROMPT_MAX));
    memcpy(q->prompt, prompt, (size_t)q->n_prompt * sizeof *prompt);
    q->params.sampling.temperature = temperatures[i % 3];
    q->params.sampling.seed = check_u64(r);
    q->params.max_tokens = 1 + check_below(r, world_is_slow() ? 50 : 120);
    q->params.ignore_eos = check_below(r, 3) == 0;
    if (check_below(r, 5) == 0) { /* the context ends first */
        q->context = q->n_prompt + check_below(r, 60);
        q->params.max_tokens = check_below(r, 2) ? -1 : 500;
        q->params.ignore_eos = 1;
    }
    if (check_below(r, 4) == 0) {
        q->params.n_stop = 1 + check_below(r, 2);
        for (int32_t s = 0; s < q->params.n_stop; s++)
            q->stop[s] = stop_strings[check_below(r, (int32_t)SL_COUNT(stop_strings))];
        q->params.stop = q->stop;
    }
    if (check_below(r, 4) == 0) {
        q->params.sampling.top_k = 1 + check_below(r, 20);
        q->params.sampling.min_p = 0;
    }
}

/* ---- ways to speculate ---- */

typedef struct way {
    char policy[16];
    sl_spec_type types[SL_SPEC_SOURCES_MAX];
    int32_t n_types;
    sl_model *draft; /* of SL_SPEC_DRAFT, and the tokens its session holds */
    int32_t draft_context;
    int32_t draft_max, ngram_min, ngram_max;
    sl_budget budget;
    int32_t threads;
    const char *isa; /* NULL: the best table */
} way;

static const way plain = {"off", {SL_SPEC_NGRAM},    1, NULL, 0, -1, 2,
                          5,     {SL_BUDGET_OFF, 0}, 1, NULL};

/* One to three drafters in any order. The draft model follows long texts through a window. */
static void draw_drafters(check_random *r, sl_model *draft, way *w) {
    sl_spec_type all[] = {SL_SPEC_NGRAM, SL_SPEC_SUFFIX, SL_SPEC_DRAFT};
    for (int32_t i = 2; i > 0; i--) {
        const int32_t j = check_below(r, i + 1);
        const sl_spec_type swap = all[i];
        all[i] = all[j];
        all[j] = swap;
    }
    memcpy(w->types, all, sizeof all);
    w->n_types = check_below(r, 2) ? 1 : 2 + check_below(r, 2);
    w->draft = draft;
    w->draft_context = check_below(r, 3) == 0 ? 1 + check_below(r, 100) : CONTEXT;
}

/* number 0 .. 15: static:K for K = 1 .. 16; then cascade, ledger and others. */
static way draw_way(check_random *r, int32_t number, const sl_model_facts *facts, sl_model *draft) {
    way w = plain;
    (void)snprintf(w.policy, sizeof w.policy, "cascade");
    if (number < 16) (void)snprintf(w.policy, sizeof w.policy, "static:%d", number + 1);
    if (number == 17) w.draft_max = check_below(r, 9);
    if (number == 18) { /* many rows, found by one token */
        (void)snprintf(w.policy, sizeof w.policy, "static:%d", 17 + check_below(r, 48));
        w.ngram_min = 1;
    }
    if (number == 19) { /* a budget that bites, but never on one row */
        (void)snprintf(w.policy, sizeof w.policy, "off");
        w.budget = (sl_budget){SL_BUDGET_SUBSTITUTE, facts->experts_per_token};
    }
    if (number >= 20) /* by the book, and with a loss allowed that keeps it drafting */
        (void)snprintf(w.policy, sizeof w.policy, number == 20 ? "ledger" : "ledger:100%%");
    if (number < 19 && check_below(r, 5) == 0) /* a budget that allows everything */
        w.budget = (sl_budget){check_below(r, 2) ? SL_BUDGET_SUBSTITUTE : SL_BUDGET_TRUNCATE,
                               facts->experts};
    if (check_below(r, 4) == 0) {
        w.ngram_min = 1 + check_below(r, 3);
        w.ngram_max = w.ngram_min + check_below(r, 6);
    }
    draw_drafters(r, draft, &w);
    w.threads = 1 + (check_below(r, 3) == 0);
    return w;
}

static void run(const request *q, const way *w, const sl_model *model, result *out) {
    sl_generate_params params = q->params;
    sl_error err = {0};
    *out = (result){.n = 0};
    memcpy(params.spec_types, w->types, sizeof w->types);
    params.n_spec_types = w->n_types;
    params.spec_policy = w->policy;
    params.draft_max = w->draft_max;
    params.ngram_min = w->ngram_min;
    params.ngram_max = w->ngram_max;
    params.budget = w->budget;
    params.on_text = keep_text;
    params.user = out;
    sl_session *s = world_session(model, q->context, w->threads, 128, SL_KV_F16, SL_KV_F16);
    if (w->draft) {
        const sl_session_params draft = {.context = w->draft_context};
        assert_int_equal(sl_session_open_beside(&params.draft_session, w->draft, &draft, s, NULL),
                         SL_OK);
    }
    CHECK_CASE(sl_generate(s, q->prompt, q->n_prompt, &params, &out->stats, &err) == SL_OK, "%s",
               err.text);
    sl_session_close(&params.draft_session);
    sl_session_close(&s);
}

static void compare(const result *want, const result *have, const way *w, int32_t number) {
    const sl_generate_stats *a = &want->stats, *b = &have->stats;
    CHECK_CASE(a->tokens == b->tokens && a->stop == b->stop, "request %d, %s: %d %s, %d %s", number,
               w->policy, a->tokens, sl_stop_reason_name(a->stop), b->tokens,
               sl_stop_reason_name(b->stop));
    CHECK_CASE(a->token_hash == b->token_hash, "request %d, %s: tokens", number, w->policy);
    CHECK_CASE(a->logits_hash == b->logits_hash, "request %d, %s: logits", number, w->policy);
    CHECK_CASE(want->n == have->n && memcmp(want->text, have->text, want->n) == 0,
               "request %d, %s: \"%.*s\" and \"%.*s\"", number, w->policy, (int)want->n, want->text,
               (int)have->n, have->text);
    CHECK_CASE(b->rows == b->passes + b->drafted && b->accepted <= b->drafted &&
                   have->calls <= b->tokens + 1,
               "request %d, %s: counts", number, w->policy);
    CHECK_CASE(b->lossy == (w->budget.mode != SL_BUDGET_OFF), "request %d: lossy", number);
}

static void add_up(totals *t, const result *r) {
    t->runs++;
    t->tokens += r->stats.tokens;
    t->drafted += r->stats.drafted;
    t->accepted += r->stats.accepted;
    t->stops[r->stats.stop]++;
    for (int32_t i = 0; i < SL_SPEC_TYPES; i++) {
        t->drafted_by[i] += r->stats.drafted_by[i];
        t->accepted_by[i] += r->stats.accepted_by[i];
    }
    for (int32_t k = 0; k <= SL_DRAFT_MAX; k++)
        t->by_k[k] += r->stats.k_histogram[k];
}

static void tell(const totals *t) {
    print_message("  %lld runs, %lld tokens, %lld drafted, %lld accepted; stopped by",
                  (long long)t->runs, (long long)t->tokens, (long long)t->drafted,
                  (long long)t->accepted);
    for (int32_t i = 0; i < SL_STOP_ERROR; i++)
        print_message(" %s %lld", sl_stop_reason_name((sl_stop_reason)i), (long long)t->stops[i]);
    print_message("\n");
    for (int32_t i = 1; i < SL_SPEC_TYPES; i++)
        print_message("  %s: %lld of %lld accepted\n", sl_spec_type_name((sl_spec_type)i),
                      (long long)t->accepted_by[i], (long long)t->drafted_by[i]);
}

/* Each request under n_ways ways; the ways follow one another from request to request. */
static totals try_requests(const sl_model *model, int32_t n_requests, int32_t n_ways,
                           uint64_t seed) {
    enum { WAYS = 22 };
    check_random r = {.seed = seed};
    totals t = {0};
    sl_model *draft = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    request *q = malloc(sizeof *q);
    result *want = malloc(sizeof *want), *have = malloc(sizeof *have);
    assert_true(q && want && have);
    for (int32_t i = 0, next = 0; i < n_requests; i++) {
        draw_request(&r, model, i, q);
        run(q, &plain, model, want);
        assert_int_equal(want->stats.drafted, 0);
        for (int32_t j = 0; j < n_ways; j++) {
            const way w = draw_way(&r, next++ % WAYS, sl_model_facts_of(model), draft);
            run(q, &w, model, have);
            compare(want, have, &w, i);
            add_up(&t, have);
        }
    }
    sl_model_close(&draft);
    free(q);
    free(want);
    free(have);
    return t;
}

/* Mutations: draw the sampler's noise once per pass; accept a draft by its probability;
 * emit past a stop string, a limit or the context inside a draft; commit one row too many. */
static void the_text_is_the_same_with_and_without_speculation(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    const int32_t n = world_is_full() ? 600 : world_share(44, 5);
    const totals t = try_requests(model, n, world_is_full() ? 20 : world_is_slow() ? 4 : 7, 1);
    tell(&t);
    /* The test is worth nothing unless drafts were made, kept and thrown away, at every
     * length, and requests ended in every way. */
    assert_true(t.drafted >= t.runs && t.accepted > 0 && t.drafted > t.accepted);
    if (t.runs < 250) {
        sl_model_close(&model);
        return; /* too few to promise the rest */
    }
    assert_true(t.drafted >= 20 * t.runs && t.accepted >= 5 * t.runs);
    for (int32_t i = 1; i < SL_SPEC_TYPES; i++)
        CHECK_CASE(t.accepted_by[i] > 0 && t.drafted_by[i] > t.accepted_by[i], "drafter %s",
                   sl_spec_type_name((sl_spec_type)i));
    for (int32_t k = 0; k <= 16; k++)
        CHECK_CASE(t.by_k[k] > 0, "no pass with %d drafted rows", k);
    CHECK_CASE(t.stops[SL_STOP_EOG] > 0 && t.stops[SL_STOP_STRING] > 0 &&
                   t.stops[SL_STOP_LENGTH] > 0 && t.stops[SL_STOP_CONTEXT] > 0,
               "every reason to stop");
    sl_model_close(&model);
}

/* Mutations: give one table another order of operations; split a sum among threads. */
static void the_text_is_the_same_on_every_table_and_any_number_of_threads(void **state) {
    (void)state;
    static const int32_t threads[] = {1, 2, 3, 8};
    sl_model *best = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    request *q = malloc(sizeof *q);
    result *want = malloc(sizeof *want), *have = malloc(sizeof *have);
    assert_true(q && want && have);
    const char *isa;
    totals t = {0};
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++) {
        const bool slow = strcmp(isa, "scalar") == 0 && !world_is_full();
        sl_model *model = world_open(SL_MODEL_FILE, isa, SL_LAYOUT_AUTO);
        check_random r = {.seed = 2};
        for (int32_t n = 0; n < (world_is_full() ? 12 : slow ? 1 : 3); n++) {
            draw_request(&r, best, 4 * n, q); /* copying, temperature 0, 0.7, 1.3 */
            q->context = CONTEXT;
            q->params.max_tokens = slow ? 24 : 40;
            q->params.n_stop = 0;
            run(q, &plain, best, want);
            for (size_t j = slow ? 1 : 0; j < (slow ? 2 : SL_COUNT(threads)); j++) {
                way w = plain;
                (void)snprintf(w.policy, sizeof w.policy, "static:%d", 3 + (int)j);
                w.threads = threads[j];
                if (w.threads > world_threads_max()) continue;
                run(q, &w, model, have);
                compare(want, have, &w, n);
                add_up(&t, have);
            }
        }
        sl_model_close(&model);
    }
    tell(&t);
    assert_true(t.drafted > 0 && t.accepted > 0);
    free(q);
    free(want);
    free(have);
    sl_model_close(&best);
}

/* Penalties that bite while drafts are still accepted, and biases on tokens of the prompt. */
static void draw_adjustments(check_random *r, int32_t number, request *q, sl_logit_bias bias[8]) {
    sl_sampling *s = &q->params.sampling;
    static const int32_t windows[] = {64, 8, -1, 3};
    if (number % 3 != 1) {
        s->repeat_last_n = windows[number % 4];
        s->repeat_penalty = number % 2 ? 1.05f : 1.3f;
        s->frequency_penalty = number % 2 ? 0.02f : 0.3f;
        s->presence_penalty = number % 2 ? 0.05f : 0.6f;
    }
    if (number % 3 != 0) {
        s->bias = bias;
        s->n_bias = 8;
        for (int32_t i = 0; i < 8; i++)
            bias[i] = (sl_logit_bias){q->prompt[check_below(r, q->n_prompt)],
                                      i < 2 ? -INFINITY : (float)(check_below(r, 50) - 25) / 10};
    }
}

/* Mutations: count penalties over the committed tokens alone, or over all drafted rows
 * instead of the row's ancestors; forget the prompt of a session that goes on. */
static void penalties_look_at_a_rows_own_ancestors(void **state) {
    (void)state;
    static const char *const policies[] = {"static:1", "static:3", "static:8",   "static:16",
                                           "cascade",  "ledger",   "ledger:100%"};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    request *q = malloc(sizeof *q);
    result *want = malloc(sizeof *want), *have = malloc(sizeof *have);
    assert_true(q && want && have);
    check_random r = {.seed = 5};
    totals t = {0};
    int32_t changed = 0;
    const int32_t n = world_is_full() ? 120 : world_share(12, 3);
    for (int32_t i = 0; i < n; i++) {
        sl_logit_bias bias[8];
        draw_request(&r, model, 4 * i, q); /* copying, temperature 0, 0.7, 1.3 by turns */
        q->context = CONTEXT;
        q->params.max_tokens = world_is_slow() ? 40 : 100;
        q->params.ignore_eos = 1;
        q->params.n_stop = 0;
        run(q, &plain, model, have);
        draw_adjustments(&r, i / 3, q, bias);
        run(q, &plain, model, want);
        changed += want->stats.token_hash != have->stats.token_hash;
        for (size_t j = world_is_slow() ? (size_t)i % 4 : 0; j < SL_COUNT(policies);
             j += world_is_slow() ? 3 : 1) {
            way w = plain;
            (void)snprintf(w.policy, sizeof w.policy, "%s", policies[j]);
            w.ngram_min = 1;
            run(q, &w, model, have);
            compare(want, have, &w, i);
            add_up(&t, have);
        }
    }
    tell(&t);
    CHECK_CASE(changed >= n / 2, "only %d of %d texts changed", changed, n);
    assert_true(t.drafted > 5 * t.runs && t.accepted > t.runs);
    free(q);
    free(want);
    free(have);
    sl_model_close(&model);
}

/* A budget that bites is lossy, says so, and still gives one text for one request.
 * Mutations: ignore the budget; report no loss; count one-row passes in the mass. */
static void a_budget_is_named_lossy_and_repeatable(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    request *q = malloc(sizeof *q);
    result *first = malloc(sizeof *first), *second = malloc(sizeof *second);
    assert_true(q && first && second);
    check_random r = {.seed = 3};
    draw_request(&r, model, 0, q);
    q->context = CONTEXT;
    q->params.max_tokens = 60;
    q->params.n_stop = 0;
    for (int32_t mode = SL_BUDGET_SUBSTITUTE; mode <= SL_BUDGET_TRUNCATE; mode++) {
        way w = plain;
        (void)snprintf(w.policy, sizeof w.policy, "static:5");
        w.budget = (sl_budget){(sl_budget_mode)mode, 10};
        run(q, &w, model, first);
        w.threads = 2;
        run(q, &w, model, second);
        compare(first, second, &w, mode);
        assert_true(first->stats.lossy && first->stats.drafted > 0);
        assert_true(first->stats.budget_mass > 0.3 && first->stats.budget_mass < 1);
        assert_true(first->stats.experts_per_layer_pass <= 10);
    }
    free(q);
    free(first);
    free(second);
    sl_model_close(&model);
}

/* Mutation: start the drafter or the positions anew in a session that is not empty. */
static void a_session_that_goes_on_gives_the_bytes_of_one_prompt(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    request *q = malloc(sizeof *q);
    result *want = malloc(sizeof *want), *have = malloc(sizeof *have);
    assert_true(q && want && have);
    check_random r = {.seed = 4};
    for (int32_t i = 0; i < world_share(12, 2); i++) {
        draw_request(&r, model, i, q);
        if (i % 2) q->params.sampling.repeat_penalty = 1.3f;
        way w = plain;
        (void)snprintf(w.policy, sizeof w.policy, "static:4");
        run(q, &w, model, want);
        const int32_t before = check_below(&r, q->n_prompt);
        sl_session *s =
            world_session(model, q->context, 1, 1 + check_below(&r, 64), SL_KV_F16, SL_KV_F16);
        if (before > 0) assert_int_equal(sl_session_eval(s, q->prompt, before, NULL, NULL), SL_OK);
        *have = (result){.n = 0};
        q->params.spec_policy = w.policy;
        q->params.on_text = keep_text;
        q->params.user = have;
        assert_int_equal(sl_generate(s, q->prompt + before, q->n_prompt - before, &q->params,
                                     &have->stats, NULL),
                         SL_OK);
        compare(want, have, &w, i);
        sl_session_close(&s);
    }
    free(q);
    free(want);
    free(have);
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_text_is_the_same_with_and_without_speculation),
    cmocka_unit_test(the_text_is_the_same_on_every_table_and_any_number_of_threads),
    cmocka_unit_test(penalties_look_at_a_rows_own_ancestors),
    cmocka_unit_test(a_budget_is_named_lossy_and_repeatable),
    cmocka_unit_test(a_session_that_goes_on_gives_the_bytes_of_one_prompt),
};

WORLD_MAIN(tests)

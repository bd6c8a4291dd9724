/* test_allocation.c - no allocation and no sleep in the steady state, and what happens
 * when memory is refused.
 *
 * The program is linked with --wrap for everything that gets memory, so that each call
 * from the library can be counted or refused; calls inside libc are not seen. */
#include "engine_world.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/base.h"
#include "runtime/cpu.h"

/* ---- the wrapped functions ---- */

static atomic_int calls;            /* of any function below                        */
static atomic_int refuse_at = -1;   /* the call, counted from 0, that gets nothing */
static atomic_int refuse_all_after; /* also refuse every later one                 */

static bool granted(void) {
    const int n = atomic_fetch_add(&calls, 1), at = atomic_load(&refuse_at);
    return at < 0 || n < at || (n > at && !atomic_load(&refuse_all_after));
}

static void start_counting(int refuse, bool all_after) {
    atomic_store(&calls, 0);
    atomic_store(&refuse_all_after, all_after);
    atomic_store(&refuse_at, refuse);
}

static int stop_counting(void) {
    atomic_store(&refuse_at, -1);
    return atomic_load(&calls);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void __real_free(void *p);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n) {
    return granted() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size) {
    return granted() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t n) {
    return granted() ? __real_realloc(p, n) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t n) {
    return granted() ? __real_aligned_alloc(alignment, n) : NULL;
}

void __wrap_free(void *p) {
    if (p && atomic_load(&refuse_at) < 0) atomic_fetch_add(&calls, 1);
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    if (granted()) return __real_mmap(at, n, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* ---- the steady state ---- */

/* Calls seen between the first piece of text and the last. */
typedef struct window {
    int pieces, calls_inside;
} window;

static int watch(void *user, const char *bytes, size_t n) {
    window *w = user;
    (void)bytes;
    (void)n;
    w->calls_inside = stop_counting();
    if (w->pieces++ == 0) {
        start_counting(-1, false);
        w->calls_inside = 0;
    }
    return 0;
}

/* Mutation: allocate (or free) anything in sl_session_forward, the sampler, the drafter,
 * the policy or the text stream. */
static void nothing_is_allocated_between_the_first_text_and_the_last(void **state) {
    (void)state;
    static const char *const policies[] = {"off", "static:5", "cascade", "ledger"};
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    sl_model *draft = world_open(SL_DRAFT_FILE, NULL, SL_LAYOUT_PACKED);
    sl_token prompt[1024];
    const int32_t n = world_chat(model,
                                 "Repeat the text above: red blue green. red blue green. red "
                                 "blue green. red blue green.",
                                 prompt, 1024);
    for (size_t i = 0; i < 2 * SL_COUNT(policies); i++) {
        window w = {0, 0};
        sl_generate_params params = sl_generate_params_default();
        sl_generate_stats stats;
        params.spec_policy = policies[i / 2];
        params.n_spec_types = SL_SPEC_SOURCES_MAX;
        params.spec_types[0] = i % 2 ? SL_SPEC_DRAFT : SL_SPEC_SUFFIX;
        params.spec_types[1] = SL_SPEC_NGRAM;
        params.spec_types[2] = i % 2 ? SL_SPEC_SUFFIX : SL_SPEC_DRAFT;
        params.max_tokens = world_share(100, 20);
        params.ignore_eos = 1;
        params.sampling.temperature = i % 2 ? 0 : 0.9f;
        params.sampling.repeat_penalty = 1.05f;
        params.sampling.repeat_last_n = -1;
        params.sampling.bias = &(const sl_logit_bias){5, 0.5f};
        params.sampling.n_bias = 1;
        params.budget.mode = i % 2 ? SL_BUDGET_OFF : SL_BUDGET_SUBSTITUTE;
        params.budget.experts = 12;
        params.on_text = watch;
        params.user = &w;
        sl_session *s = world_session(model, 512, 1 + (int32_t)(i % 2), 64, SL_KV_F16, SL_KV_F16);
        const sl_session_params beside = {.context = 512, .batch = 64};
        assert_int_equal(sl_session_open_beside(&params.draft_session, draft, &beside, s, NULL),
                         SL_OK);
        assert_int_equal(sl_generate(s, prompt, n, &params, &stats, NULL), SL_OK);
        sl_session_close(&params.draft_session);
        sl_session_close(&s);
        CHECK_CASE(w.pieces > 10, "%s: %d pieces of text", params.spec_policy, w.pieces);
        CHECK_CASE(w.calls_inside == 0, "%s: %d calls", params.spec_policy, w.calls_inside);
    }
    sl_model_close(&draft);
    sl_model_close(&model);
}

/* The wrappers do count: opening a session takes memory. */
static void the_counter_counts(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_MAPPED);
    start_counting(-1, false);
    sl_session *s = world_session(model, 64, 2, 16, SL_KV_F16, SL_KV_F16);
    const int n = stop_counting();
    assert_true(n >= 3); /* the session, its block, its pool */
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Mutation: allocate scratch in a pass, a commit, a rewind or an eval. */
static void passes_of_any_shape_allocate_nothing(void **state) {
    (void)state;
    check_random r = {.seed = 1};
    for (int32_t layout = SL_LAYOUT_PACKED; layout <= SL_LAYOUT_MAPPED; layout++) {
        sl_model *model = world_open(SL_MODEL_FILE, NULL, (sl_weight_layout)layout);
        sl_session *s = world_session(model, 256, 2, 64, SL_KV_F16, SL_KV_F32);
        float *logits = malloc(64 * (size_t)sl_model_facts_of(model)->vocab * sizeof *logits);
        sl_token tokens[100];
        assert_non_null(logits);
        world_tokens(&r, model, tokens, 100);
        world_step(s, 1, NULL); /* every worker has started, and freed what it started from */
        start_counting(-1, false);
        for (int32_t pass = 0; pass < world_share(30, 5); pass++) {
            sl_row rows[64];
            const int32_t n = 1 + check_below(&r, 64), first = 0;
            const sl_budget budget = {SL_BUDGET_TRUNCATE, 16};
            for (int32_t i = 0; i < n; i++)
                rows[i] = (sl_row){tokens[i], check_below(&r, i + 1) - 1, i % 2};
            if (sl_session_length(s) > 100) sl_session_rewind(s, 3);
            assert_int_equal(
                sl_session_forward(s, rows, n, logits, pass % 2 ? &budget : NULL, NULL, NULL),
                SL_OK);
            sl_session_commit(s, &first, 1);
            sl_error err = {.text = ""};
            CHECK_CASE(sl_session_eval(s, tokens, n, NULL, &err) == SL_OK, "pass %d: %s", pass,
                       err.text);
        }
        assert_int_equal(stop_counting(), 0);
        free(logits);
        sl_session_close(&s);
        sl_model_close(&model);
    }
}

/* A pass makes no blocking system call: the number of times this process gave up its core
 * of its own accord stays put. With as many threads as cores a worker sleeps only if
 * another program took a core, hence the slack there. Mutation: sleep in every barrier. */
static void passes_do_not_give_up_the_core(void **state) {
    (void)state;
    enum { PASSES = 200 };
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    for (int32_t threads = 1; threads <= sl__min_i32(2, sl__cpu_cores()); threads++) {
        struct rusage before, after;
        sl_session *s = world_session(model, PASSES + 8, threads, 4, SL_KV_F16, SL_KV_F16);
        world_step(s, 1, NULL);
        assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
        for (int32_t i = 0; i < PASSES; i++)
            world_step(s, 1 + i, NULL);
        assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
        const long sleeps = after.ru_nvcsw - before.ru_nvcsw;
        print_message("  %d threads: %ld voluntary switches in %d passes\n", threads, sleeps,
                      PASSES);
        if (threads == 1 && !world_is_slow()) /* ThreadSanitizer has a thread that sleeps */
            assert_true(sleeps <= 2);
        sl_session_close(&s);
    }
    sl_model_close(&model);
}

/* ---- memory that is refused ---- */

/* Open, generate and close with the n-th call refused. False: nothing was refused, the
 * run had fewer calls. */
static bool run_with_refusal(const char *path, int n, bool all_after, sl_weight_layout layout) {
    sl_model *model = NULL;
    sl_session *s = NULL;
    sl_error err = {.text = ""};
    const sl_model_params model_params = {.layout = layout, .threads = 2};
    const sl_session_params session_params = {.context = 64, .threads = 2, .batch = 16};
    sl_generate_params params = sl_generate_params_default();
    sl_generate_stats stats;
    static const sl_token prompt[] = {1, 2, 3, 1, 2, 3, 1, 2};
    params.max_tokens = 8;
    params.spec_policy = "static:3";
    params.stop = (const char *const[]){"zzzz"};
    params.n_stop = 1;
    start_counting(n, all_after);
    sl_status status = sl_model_open(&model, path, &model_params, &err);
    if (status == SL_OK) status = sl_session_open(&s, model, &session_params, &err);
    if (status == SL_OK)
        status = sl_generate(s, prompt, (int32_t)SL_COUNT(prompt), &params, &stats, &err);
    const bool refused = stop_counting() > n;
    /* A refusal may be survived (a second try, a smaller wish); if not, it is named. */
    if (status != SL_OK) {
        CHECK_CASE(refused, "refusal %d: %s", n, err.text);
        CHECK_CASE(status == SL_E_NOMEM || (status == SL_E_IO && strstr(err.text, "cannot map")),
                   "refusal %d: %d, %s", n, status, err.text);
        CHECK_CASE(err.code == status && err.text[0] != '\0', "refusal %d: no message", n);
    }
    if (!model) assert_null(s);
    sl_session_close(&s);
    sl_model_close(&model);
    return refused;
}

/* Mutations: use a pointer before looking at it; leave something behind on a failure path
 * (the address sanitizer's leak check); name it another error. */
static void each_refused_allocation_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    char path[WORLD_PATH_MAX];
    world_path(path, "tiny.gguf");
    tiny_write(&tiny_shapes[3], 3, path);
    for (int32_t layout = SL_LAYOUT_AUTO; layout <= SL_LAYOUT_MAPPED; layout++)
        for (int all_after = 0; all_after < (world_is_slow() ? 1 : 2); all_after++) {
            int n = 0;
            while (run_with_refusal(path, n, all_after, (sl_weight_layout)layout))
                n++;
            assert_true(n > 20);
            if (!all_after) print_message("  %d allocations refused one by one\n", n);
        }
}

/* The same with the embedded model's vocabulary, at a sample of the calls. */
static void the_embedded_model_survives_refusals_too(void **state) {
    (void)state;
    if (world_is_slow()) skip();
    for (int n = 0; run_with_refusal(SL_MODEL_FILE, n, false, SL_LAYOUT_MAPPED); n++)
        assert_true(n < 10000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_counter_counts),
    cmocka_unit_test(nothing_is_allocated_between_the_first_text_and_the_last),
    cmocka_unit_test(passes_of_any_shape_allocate_nothing),
    cmocka_unit_test(passes_do_not_give_up_the_core),
    cmocka_unit_test(each_refused_allocation_is_an_error_and_leaks_nothing),
    cmocka_unit_test(the_embedded_model_survives_refusals_too),
};

WORLD_MAIN(tests)

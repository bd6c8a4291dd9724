/* test_eval.c - scores of `sluice bench --spec` from runs that are made up, so that every
 * answer is known. */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { REQUESTS = 6, ARMS = 5, ROUNDS = 3, TOKENS = 101 };

typedef struct world {
    eval_workload workload;
    eval_request requests[REQUESTS];
    eval_cell cells[ROUNDS * REQUESTS * ARMS];
    int32_t done[REQUESTS];
    uint8_t matches[REQUESTS * TOKENS];
    eval_run run;
} world;

static const char *const TASKS[] = {"code", "math", "extraction"};

static eval_cell *cell(world *w, int32_t round, int32_t request, int32_t arm) {
    return &w->cells[(round * REQUESTS + request) * ARMS + arm];
}

/* Two requests of each task. Plain takes 1 and 3 seconds (2 in the mean); static:K takes
 * 2 / K. The rounds differ by 10% up and down around that. */
static void make_world(world *w) {
    *w = (world){.workload = {.n_tasks = 3, .requests = w->requests, .n = REQUESTS}};
    for (int32_t t = 0; t < 3; t++)
        (void)snprintf(w->workload.tasks[t], EVAL_NAME_MAX, "%s", TASKS[t]);
    w->run = (eval_run){.workload = &w->workload,
                        .params = {.max_tokens = TOKENS},
                        .n_arms = ARMS,
                        .rounds = ROUNDS,
                        .cells = w->cells,
                        .done = w->done};
    for (int32_t a = 2; a < ARMS; a++)
        w->run.arms[a].fixed_k = a - 1;
    for (int32_t i = 0; i < REQUESTS; i++) {
        w->requests[i].task = i % 3;
        w->done[i] = ROUNDS;
        for (int32_t r = 0; r < ROUNDS; r++) {
            for (int32_t a = 0; a < ARMS; a++) {
                const double seconds = a == 0 ? 1 : a == 1 ? 3 : 2.0 / (a - 1);
                *cell(w, r, i, a) = (eval_cell){.seconds = seconds * (0.9 + 0.1 * ((r + i) % 3)),
                                                .tokens = TOKENS,
                                                .passes = TOKENS - 1};
            }
        }
    }
}

static void add_time(eval_run *run, int32_t k, float seconds, int32_t n) {
    eval_times *t = &run->times[k];
    t->seconds = realloc(t->seconds, (size_t)(t->n + n) * sizeof *t->seconds);
    assert_non_null(t->seconds);
    for (int32_t i = 0; i < n; i++)
        t->seconds[t->n++] = seconds;
}

static void free_times(eval_run *run) {
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        free(run->times[k].seconds);
}

/* Fails if a mean is taken instead of the median, or one plain arm instead of both. */
static void a_speedup_is_of_medians_against_both_plain_arms(void **state) {
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    cell(w, 2, 0, 3)->seconds = 50; /* one round was disturbed */
    cell(w, 2, 0, 4)->seconds = 50;
    const eval_score one = eval_score_of(&w->run, 2, 1u << 0);
    assert_float_equal(one.speedup, 1.0, 1e-12);
    assert_float_equal(eval_score_of(&w->run, 0, UINT32_MAX).speedup, 2.0, 1e-12);
    assert_float_equal(eval_score_of(&w->run, 4, 1u << 1).speedup, 3.0, 1e-12);
    assert_int_equal(one.requests, 2);
    assert_true(eval_score_of(&w->run, 4, 1u << 0).speedup > 2.5);
    assert_int_equal(eval_best_static(&w->run), 4);
    free(w);
}

static void requests_that_were_not_finished_do_not_count(void **state) {
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    w->done[0] = 0;
    w->done[1] = 1;
    assert_int_equal(eval_score_of(&w->run, 2, 1u << 0).requests, 1);
    assert_true(isnan(eval_request_speedup(&w->run, 2, 0)));
    for (int32_t i = 0; i < REQUESTS; i++)
        w->done[i] = 0;
    assert_true(isnan(eval_score_of(&w->run, 2, UINT32_MAX).speedup));
    assert_true(isnan(eval_mean_speedup(&w->run, 2)));
    free(w);
}

/* Fails if short requests hide or stand in for the long ones' worst. */
static void the_worst_request_is_a_long_one_if_there_is_any(void **state) {
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    for (int32_t r = 0; r < ROUNDS; r++) {
        cell(w, r, 4, 2)->seconds = 4; /* half as fast */
        cell(w, r, 5, 2)->seconds = 20;
        for (int32_t a = 0; a < ARMS; a++)
            cell(w, r, 5, a)->tokens = 40;
    }
    assert_float_equal(eval_score_of(&w->run, 2, UINT32_MAX).worst, 0.5, 1e-12);
    assert_float_equal(eval_score_of(&w->run, 2, 1u << 2).worst, 1.0, 1e-12);
    free(w);
}

static void times_between_measured_ones_lie_on_a_line(void **state) {
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    assert_true(isnan(eval_iteration_seconds(&w->run, 0)));
    add_time(&w->run, 0, 9.0f, 1);
    add_time(&w->run, 0, 1.0f, 2);
    add_time(&w->run, 4, 3.0f, 3);
    eval_sort_times(&w->run);
    assert_float_equal(eval_iteration_seconds(&w->run, 0), 1.0, 1e-9);
    assert_float_equal(eval_iteration_seconds(&w->run, 1), 1.5, 1e-9);
    assert_float_equal(eval_iteration_seconds(&w->run, 4), 3.0, 1e-9);
    assert_float_equal(eval_iteration_seconds(&w->run, 9), 3.0, 1e-9);
    free_times(&w->run);
    free(w);
}

/* Every sequence of K, tried. */
static double brute_force(const eval_run *run, const uint8_t *matches, int32_t at, int32_t n) {
    if (at >= n) return 0;
    double best = INFINITY;
    for (int32_t k = 0; k <= 4; k++) {
        const int32_t right = k < matches[at] ? k : matches[at];
        const double rest = brute_force(run, matches, at + 1 + right, n);
        best = fmin(best, eval_iteration_seconds(run, k) + rest);
    }
    return best;
}

/* Fails if the oracle may use what the drafter did not propose, or misses a better way. */
static void the_oracle_is_the_best_of_all_sequences(void **state) {
    (void)state;
    enum { SHORT = 9 };
    check_random random = {.seed = 9};
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    static const float seconds[] = {1.0f, 1.3f, 1.7f, 1.8f, 2.6f};
    for (int32_t k = 0; k < 5; k++)
        add_time(&w->run, k, seconds[k], 1);
    eval_sort_times(&w->run);
    assert_true(isnan(eval_oracle(&w->run, 1))); /* not known yet */
    w->run.matches = w->matches;
    for (int32_t trial = 0; trial < 50; trial++) {
        double plain = 0, best = 0;
        for (int32_t i = 0; i < REQUESTS; i++) {
            uint8_t *matches = w->matches + i * TOKENS;
            cell(w, 0, i, 0)->tokens = SHORT;
            for (int32_t at = 0; at < SHORT; at++)
                matches[at] = (uint8_t)check_below(&random, 5);
            if (i % 3 != 1) continue;
            plain += SHORT - 1;
            best += brute_force(&w->run, matches, 1, SHORT);
        }
        assert_float_equal(eval_oracle(&w->run, 1u << 1), (float)(plain / best), 1e-6f);
    }
    /* Fails if a K that was never timed is taken to cost what the largest one costs. */
    memset(w->matches, 4, sizeof w->matches);
    const double known = eval_oracle(&w->run, 1u << 1);
    memset(w->matches, 7, sizeof w->matches);
    assert_float_equal(eval_oracle(&w->run, 1u << 1), (float)known, 1e-6f);
    free_times(&w->run);
    free(w);
}

/* Passes of static:K cost what the medians say, and bring what the speed-up says: then
 * utility predicts perfectly; a speed-up of its own lowers R^2. */
static void r_squared_is_one_if_utility_is_the_speedup(void **state) {
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    make_world(w);
    for (int32_t k = 0; k <= 3; k++)
        add_time(&w->run, k, 2.0f / (TOKENS - 1) * (k > 0 ? 1.0f / (float)k : 1.0f), 1);
    for (int32_t i = 0; i < ROUNDS * REQUESTS * ARMS; i++) {
        const int32_t a = i % ARMS;
        w->cells[i].by_k[a < 2 ? 0 : a - 1] = TOKENS - 1;
        if (a < 2) w->cells[i].seconds = 2;
    }
    eval_sort_times(&w->run);
    for (int32_t i = 0; i < ROUNDS * REQUESTS * ARMS; i++)
        if (i % ARMS >= 2) w->cells[i].seconds = 2.0 / (i % ARMS - 1);
    assert_float_equal(eval_r_squared(&w->run, false), 1.0, 1e-5);
    assert_float_equal(eval_r_squared(&w->run, true), 1.0, 1e-5);
    for (int32_t r = 0; r < ROUNDS; r++)
        for (int32_t i = 0; i < REQUESTS; i += 3)
            cell(w, r, i, 4)->seconds *= 2;
    assert_true(eval_r_squared(&w->run, false) < 0.9);
    free_times(&w->run);
    free(w);
}

static void mixes_are_made_of_the_tasks_that_are_there(void **state) {
    (void)state;
    eval_group groups[EVAL_GROUPS_MAX];
    eval_workload w = {.n_tasks = 2, .tasks = {"chat", "math"}};
    assert_int_equal(eval_groups(&w, groups), 3);
    assert_string_equal(groups[2].name, "all");
    w = (eval_workload){.n_tasks = 4, .tasks = {"code", "chat", "math", "extraction"}};
    assert_int_equal(eval_groups(&w, groups), 4 + 3 + 2);
    assert_string_equal(groups[4].name, "code+math");
    assert_int_equal(groups[4].tasks, 1 | 4);
    assert_int_equal(groups[7].tasks, 1 | 4 | 8);
    assert_int_equal(groups[8].tasks, 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_speedup_is_of_medians_against_both_plain_arms),
        cmocka_unit_test(requests_that_were_not_finished_do_not_count),
        cmocka_unit_test(the_worst_request_is_a_long_one_if_there_is_any),
        cmocka_unit_test(times_between_measured_ones_lie_on_a_line),
        cmocka_unit_test(the_oracle_is_the_best_of_all_sequences),
        cmocka_unit_test(r_squared_is_one_if_utility_is_the_speedup),
        cmocka_unit_test(mixes_are_made_of_the_tasks_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

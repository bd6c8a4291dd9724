/* test_budget.c - MoE-Spec's choice of experts against a second implementation that
 * ranks by counting, on random and on tied probabilities ("Fails if" names the
 * change each test is there to catch). */
#include "policy_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the second implementation --------------------------------------------- */

/* How many of value[0 .. n) come before e: larger, or equal with a lower index. */
static int32_t rank_of(const double *value, int32_t n, int32_t e) {
    int32_t rank = 0;
    for (int32_t j = 0; j < n; j++)
        rank += value[j] > value[e] || (value[j] == value[e] && j < e);
    return rank;
}

typedef struct layer {
    int32_t rows, experts, k;
    float *probs;      /* [rows][experts] */
    uint8_t *allowed;  /* [experts]       */
    int32_t *selected; /* [rows][k]       */
} layer;

static void expect_selection(const layer *l, const float *weights, slp_budget budget,
                             slp_budget_report *report) {
    const int32_t n = l->experts;
    double *s = calloc((size_t)n, sizeof(*s)), *row = calloc((size_t)n, sizeof(*row));
    int32_t *before = calloc((size_t)n, sizeof(*before)),
            *after = calloc((size_t)n, sizeof(*after));
    double mass = 0, kept = 0, total = 0, total_allowed = 0;

    for (int32_t t = 0; t < l->rows; t++)
        for (int32_t e = 0; e < n; e++)
            s[e] += (weights ? (double)weights[t] : 1.0) * (double)l->probs[t * n + e];
    for (int32_t e = 0; e < n; e++)
        l->allowed[e] = budget.mode == SLP_BUDGET_OFF || rank_of(s, n, e) < budget.experts;

    memset(report, 0, sizeof(*report));
    for (int32_t t = 0; t < l->rows; t++) {
        int32_t lost = 0;
        for (int32_t e = 0; e < n; e++)
            row[e] = (double)l->probs[t * n + e];
        for (int32_t e = 0; e < n; e++) {
            total += row[e];
            total_allowed += l->allowed[e] * row[e];
            const int32_t rank = rank_of(row, n, e);
            if (rank >= l->k) continue;
            before[e] = 1;
            mass += row[e];
            kept += l->allowed[e] ? row[e] : 0;
            lost += !l->allowed[e];
            l->selected[t * l->k + rank] = l->allowed[e] ? e : -1;
        }
        if (budget.mode == SLP_BUDGET_SUBSTITUTE) {
            for (int32_t e = 0; e < n; e++)
                if (!l->allowed[e]) row[e] = -1; /* behind every probability */
            for (int32_t e = 0; e < n; e++)
                if (rank_of(row, n, e) < l->k) l->selected[t * l->k + rank_of(row, n, e)] = e;
        }
        for (int32_t i = 0; i < l->k; i++)
            if (l->selected[t * l->k + i] >= 0) after[l->selected[t * l->k + i]] = 1;
        report->flips += lost;
        report->rows_flipped += lost > 0;
    }
    report->mass_kept = mass > 0 ? kept / mass : 1;
    report->mass_allowed = total > 0 ? total_allowed / total : 1;
    for (int32_t e = 0; e < n; e++) {
        report->union_before += before[e];
        report->union_after += after[e];
    }
    free(s);
    free(row);
    free(before);
    free(after);
}

/* ---- random layers --------------------------------------------------------- */

/* Heap blocks of the exact size, so that the address sanitizer sees any excess. */
static layer layer_new(int32_t rows, int32_t experts, int32_t k) {
    layer l = {rows, experts, k, NULL, NULL, NULL};
    l.probs = malloc((size_t)rows * (size_t)experts * sizeof(*l.probs));
    l.allowed = malloc((size_t)experts);
    l.selected = malloc((size_t)rows * (size_t)k * sizeof(*l.selected));
    assert_true(l.probs && l.allowed && l.selected);
    return l;
}

static void layer_free(layer *l) {
    free(l->probs);
    free(l->allowed);
    free(l->selected);
}

/* A softmax-like row: a few large, many small; `levels` > 0 makes ties. */
static void fill(layer *l, int32_t levels, uint64_t *seed) {
    for (int32_t t = 0; t < l->rows; t++) {
        double sum = 0;
        for (int32_t e = 0; e < l->experts; e++) {
            double v = exp(4 * random_unit(seed));
            if (levels > 0) v = (double)random_in(seed, 0, levels);
            l->probs[t * l->experts + e] = (float)v;
            sum += v;
        }
        for (int32_t e = 0; e < l->experts && levels == 0; e++)
            l->probs[t * l->experts + e] /= (float)sum;
    }
}

static void assert_matches(const layer *l, const float *weights, slp_budget budget) {
    layer want = layer_new(l->rows, l->experts, l->k);
    slp_budget_report have_report, want_report;
    memcpy(want.probs, l->probs, (size_t)l->rows * (size_t)l->experts * sizeof(*l->probs));
    expect_selection(&want, weights, budget, &want_report);
    assert_int_equal(slp_moespec_select(l->probs, weights, l->rows, l->experts, l->k, budget,
                                        l->allowed, l->selected, &have_report),
                     SLP_OK);
    assert_memory_equal(l->allowed, want.allowed, (size_t)l->experts);
    assert_memory_equal(l->selected, want.selected,
                        (size_t)l->rows * (size_t)l->k * sizeof(*l->selected));
    assert_true(fabs(have_report.mass_kept - want_report.mass_kept) < 1e-12);
    assert_true(fabs(have_report.mass_allowed - want_report.mass_allowed) < 1e-12);
    assert_int_equal(have_report.union_before, want_report.union_before);
    assert_int_equal(have_report.union_after, want_report.union_after);
    assert_int_equal(have_report.flips, want_report.flips);
    assert_int_equal(have_report.rows_flipped, want_report.rows_flipped);
    layer_free(&want);
}

/* Fails if a tie goes to the higher index anywhere, sums skip or weigh a row
 * wrongly, dropped slots move, or a figure of the report is off. */
static void random_layers_match_a_selection_that_ranks_by_counting(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 1500; i++) {
        const int32_t experts = random_in(&seed, 1, i % 100 == 0 ? SLP_EXPERTS_MAX : 24);
        const int32_t k = random_in(&seed, 1, experts < 10 ? experts : 10);
        layer l = layer_new(random_in(&seed, 1, 12), experts, k);
        slp_budget budget = {SLP_BUDGET_OFF, 0};
        float weights[12];
        budget.mode = (slp_budget_mode)random_in(&seed, 0, 2);
        budget.experts = random_in(&seed, k, experts);
        for (int t = 0; t < 12; t++)
            weights[t] = (float)random_in(&seed, 0, 2);
        fill(&l, i % 2 ? 3 : 0, &seed);
        assert_matches(&l, i % 3 ? NULL : weights, budget);
        layer_free(&l);
    }
}

/* ---- the two invariants ----------------------------------------------------- */

/* Fails if S is not led by the row's own probabilities, ties included. */
static void one_row_selects_its_exact_experts_under_any_budget(void **state) {
    (void)state;
    uint64_t seed = 12;
    for (int i = 0; i < 300; i++) {
        const int32_t k = random_in(&seed, 1, 8);
        layer l = layer_new(1, 32, k), exact = layer_new(1, 32, k);
        fill(&l, i % 2 ? 3 : 0, &seed);
        memcpy(exact.probs, l.probs, 32 * sizeof(float));
        slp_budget_report report;
        slp_budget budget = {SLP_BUDGET_OFF, 0};
        assert_int_equal(slp_moespec_select(exact.probs, NULL, 1, 32, k, budget, exact.allowed,
                                            exact.selected, NULL),
                         SLP_OK);
        for (budget.experts = k; budget.experts <= 32; budget.experts++) {
            budget.mode = budget.experts % 2 ? SLP_BUDGET_SUBSTITUTE : SLP_BUDGET_TRUNCATE;
            assert_int_equal(
                slp_moespec_select(l.probs, NULL, 1, 32, k, budget, l.allowed, l.selected, &report),
                SLP_OK);
            assert_memory_equal(l.selected, exact.selected, (size_t)k * sizeof(int32_t));
            assert_int_equal(report.flips, 0);
            assert_true(report.mass_kept == 1);
        }
        layer_free(&l);
        layer_free(&exact);
    }
}

/* Fails if a full budget forbids an expert or reorders a row. */
static void a_budget_of_all_experts_is_no_budget(void **state) {
    (void)state;
    uint64_t seed = 13;
    for (int i = 0; i < 100; i++) {
        layer off = layer_new(8, 16, 4), full = layer_new(8, 16, 4);
        slp_budget budget = {SLP_BUDGET_OFF, 0};
        fill(&off, i % 2 ? 3 : 0, &seed);
        memcpy(full.probs, off.probs, 8 * 16 * sizeof(float));
        assert_int_equal(
            slp_moespec_select(off.probs, NULL, 8, 16, 4, budget, off.allowed, off.selected, NULL),
            SLP_OK);
        budget.mode = i % 4 < 2 ? SLP_BUDGET_SUBSTITUTE : SLP_BUDGET_TRUNCATE;
        budget.experts = 16;
        assert_int_equal(slp_moespec_select(full.probs, NULL, 8, 16, 4, budget, full.allowed,
                                            full.selected, NULL),
                         SLP_OK);
        assert_memory_equal(off.allowed, full.allowed, 16);
        assert_memory_equal(off.selected, full.selected, 8 * 4 * sizeof(int32_t));
        layer_free(&off);
        layer_free(&full);
    }
}

/* ---- worked examples -------------------------------------------------------- */

/* Three rows, four experts, k = 2, B = 2; S = {0, 2} with s = 1.25 0.5 1.0 0.25. */
static const float example[3 * 4] = {
    0.625f, 0.25f, 0.125f, 0.0f,   /* exact 0 1 */
    0.5f,   0.0f,  0.375f, 0.125f, /* exact 0 2 */
    0.125f, 0.25f, 0.5f,   0.125f, /* exact 2 1 */
};

/* Fails if substitution does not go down the row's own order within S. */
static void substitution_takes_the_next_best_allowed_expert(void **state) {
    (void)state;
    const slp_budget budget = {SLP_BUDGET_SUBSTITUTE, 2};
    const int32_t want[6] = {0, 2, 0, 2, 2, 0};
    const uint8_t want_allowed[4] = {1, 0, 1, 0};
    uint8_t allowed[4];
    int32_t selected[6];
    slp_budget_report r;
    assert_int_equal(slp_moespec_select(example, NULL, 3, 4, 2, budget, allowed, selected, &r),
                     SLP_OK);
    assert_memory_equal(selected, want, sizeof(want));
    assert_memory_equal(allowed, want_allowed, sizeof(want_allowed));
    assert_int_equal(r.union_before, 3);
    assert_int_equal(r.union_after, 2);
    assert_int_equal(r.flips, 2);
    assert_int_equal(r.rows_flipped, 2);
    assert_true(r.mass_kept == (0.625 + 0.875 + 0.5) / (0.875 + 0.875 + 0.75));
    assert_true(r.mass_allowed == 2.25 / 3);
}

/* Fails if a dropped expert's slot is closed up or refilled. */
static void truncation_leaves_a_hole_where_an_expert_was(void **state) {
    (void)state;
    const slp_budget budget = {SLP_BUDGET_TRUNCATE, 2};
    const int32_t want[6] = {0, -1, 0, 2, 2, -1};
    uint8_t allowed[4];
    int32_t selected[6];
    assert_int_equal(slp_moespec_select(example, NULL, 3, 4, 2, budget, allowed, selected, NULL),
                     SLP_OK);
    assert_memory_equal(selected, want, sizeof(want));
}

/* Fails if weights are ignored: without row 0 and 1, S = {2, 1}. */
static void a_row_of_weight_zero_does_not_vote(void **state) {
    (void)state;
    const slp_budget budget = {SLP_BUDGET_SUBSTITUTE, 2};
    const float weights[3] = {0, 0, 1};
    const int32_t want[6] = {1, 2, 2, 1, 2, 1};
    uint8_t allowed[4];
    int32_t selected[6];
    assert_int_equal(slp_moespec_select(example, weights, 3, 4, 2, budget, allowed, selected, NULL),
                     SLP_OK);
    assert_memory_equal(selected, want, sizeof(want));
}

/* ---- bad input --------------------------------------------------------------- */

/* Fails if a range check is missing or off by one. */
static void arguments_out_of_range_are_refused_with_nothing_written(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t rows, experts, k, budget;
        int mode;
    } bad[] = {
        {"no rows", 0, 4, 2, 2, 1},
        {"too many rows", SLP_ROWS_MAX + 1, 4, 2, 2, 1},
        {"no k", 3, 4, 0, 2, 1},
        {"k above experts", 3, 4, 5, 5, 0},
        {"too many experts", 3, SLP_EXPERTS_MAX + 1, 2, 2, 1},
        {"budget below k", 3, 4, 2, 1, 1},
        {"budget above experts", 3, 4, 2, 5, 2},
        {"no such mode", 3, 4, 2, 2, 3},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t allowed[4] = {9, 9, 9, 9};
        int32_t selected[6] = {9, 9, 9, 9, 9, 9};
        const slp_budget budget = {(slp_budget_mode)bad[i].mode, bad[i].budget};
        if (slp_moespec_select(example, NULL, bad[i].rows, bad[i].experts, bad[i].k, budget,
                               allowed, selected, NULL) != SLP_E_ARG)
            fail_msg("accepted: %s", bad[i].name);
        assert_int_equal(allowed[0], 9);
        assert_int_equal(selected[0], 9);
    }
}

/* Fails if a comparison relies on a total order: a broken model must not make the
 * engine read an expert that does not exist. */
static void nan_and_infinity_still_give_distinct_experts_in_range(void **state) {
    (void)state;
    uint64_t seed = 14;
    for (int i = 0; i < 500; i++) {
        layer l = layer_new(4, 12, 3);
        slp_budget budget = {SLP_BUDGET_SUBSTITUTE, 0};
        budget.experts = random_in(&seed, 3, 12);
        fill(&l, 0, &seed);
        for (int j = 0; j < 48; j++) {
            const int32_t dice = random_in(&seed, 0, 5);
            if (dice < 3) l.probs[j] = dice == 0 ? NAN : dice == 1 ? INFINITY : -INFINITY;
        }
        assert_int_equal(
            slp_moespec_select(l.probs, NULL, 4, 12, 3, budget, l.allowed, l.selected, NULL),
            SLP_OK);
        for (int t = 0; t < 4; t++) {
            uint8_t seen[12] = {0};
            for (int j = 0; j < 3; j++) {
                const int32_t e = l.selected[t * 3 + j];
                assert_in_range(e, 0, 11);
                assert_int_equal(l.allowed[e], 1);
                assert_int_equal(seen[e]++, 0);
            }
        }
        layer_free(&l);
    }
}

/* ---- the option --------------------------------------------------------------- */

static const struct {
    const char *text;
    slp_status status;
    slp_budget_mode mode;
    int32_t experts;
    size_t at;
    const char *message;
} options[] = {
    {"off", SLP_OK, SLP_BUDGET_OFF, 0, 0, ""},
    {"moespec:32", SLP_OK, SLP_BUDGET_SUBSTITUTE, 32, 0, ""},
    {"moespec:8,substitute", SLP_OK, SLP_BUDGET_SUBSTITUTE, 8, 0, ""},
    {"moespec:64,truncate", SLP_OK, SLP_BUDGET_TRUNCATE, 64, 0, ""},
    {"moespec:7", SLP_E_ARG, 0, 0, 8, "moespec:B: expected a whole number in 8 .. 64"},
    {"moespec:65", SLP_E_ARG, 0, 0, 8, "moespec:B: expected a whole number in 8 .. 64"},
    {"moespec:99999999999999999999", SLP_E_ARG, 0, 0, 8,
     "moespec:B: expected a whole number in 8 .. 64"},
    {"moespec:", SLP_E_FORMAT, 0, 0, 8, "moespec:B: expected a whole number in 8 .. 64"},
    {"moespec:-8", SLP_E_FORMAT, 0, 0, 8, "moespec:B: expected a whole number in 8 .. 64"},
    {"moespec:32,trunc", SLP_E_FORMAT, 0, 0, 10,
     "moespec:B: expected ,substitute or ,truncate or nothing more"},
    {"moespec:32,truncate ", SLP_E_FORMAT, 0, 0, 19,
     "moespec:B: expected ,substitute or ,truncate or nothing more"},
    {"32", SLP_E_FORMAT, 0, 0, 0, "expected off or moespec:B[,substitute|truncate]"},
    {"", SLP_E_FORMAT, 0, 0, 0, "expected off or moespec:B[,substitute|truncate]"},
    {"offer", SLP_E_FORMAT, 0, 0, 0, "expected off or moespec:B[,substitute|truncate]"},
};

/* Fails if B may fall below k or exceed the experts, or an error touches *budget. */
static void budget_options_parse_or_say_what_was_expected_where(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        slp_budget budget = {SLP_BUDGET_TRUNCATE, 777};
        slp_error err;
        assert_int_equal(slp_budget_parse(options[i].text, 64, 8, &budget, &err),
                         options[i].status);
        assert_int_equal(slp_budget_parse(options[i].text, 64, 8, &budget, NULL),
                         options[i].status);
        assert_int_equal(err.code, options[i].status);
        assert_string_equal(err.text, options[i].message);
        assert_int_equal(err.at, options[i].at);
        assert_int_equal(budget.experts, options[i].status == SLP_OK ? options[i].experts : 777);
        if (options[i].status == SLP_OK) assert_int_equal(budget.mode, options[i].mode);
    }
    slp_budget budget;
    slp_error err;
    assert_int_equal(slp_budget_parse("off", 4, 5, &budget, &err), SLP_E_ARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_layers_match_a_selection_that_ranks_by_counting),
        cmocka_unit_test(one_row_selects_its_exact_experts_under_any_budget),
        cmocka_unit_test(a_budget_of_all_experts_is_no_budget),
        cmocka_unit_test(substitution_takes_the_next_best_allowed_expert),
        cmocka_unit_test(truncation_leaves_a_hole_where_an_expert_was),
        cmocka_unit_test(a_row_of_weight_zero_does_not_vote),
        cmocka_unit_test(arguments_out_of_range_are_refused_with_nothing_written),
        cmocka_unit_test(nan_and_infinity_still_give_distinct_experts_in_range),
        cmocka_unit_test(budget_options_parse_or_say_what_was_expected_where),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}

/* test_sampler.c - the sampler against sorting, counting and its own promises. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/rng.h"
#include "sluice/sampler.h"

enum { VOCAB_MAX = 400 };

static uint64_t scratch[VOCAB_MAX];

/* Deterministic stream of numbers for one test. */
typedef struct dice {
    uint64_t seed;
    uint64_t next;
} dice;

static uint64_t roll(dice *d, uint64_t sides) {
    return sl__random_u64(d->seed, 99, d->next++) % sides;
}

static double roll_open01(dice *d) {
    return sl__random_open01(d->seed, 98, d->next++);
}

/* ---- a twin that sorts ------------------------------------------------------ */

typedef struct candidate {
    float logit;
    int32_t id;
    double weight;
} candidate;

static int by_rank(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int is_banned(const sl_token *banned, int32_t n_banned, int32_t id) {
    for (int32_t i = 0; i < n_banned; i++)
        if (banned[i] == id) return 1;
    return 0;
}

/* The definition, filter after filter in llama.cpp's order, on a sorted list. */
static void twin_distribution(const float *logits, int32_t vocab, const sl_sampling *s,
                              const sl_token *banned, int32_t n_banned, double *p) {
    candidate c[VOCAB_MAX];
    int32_t n = 0;
    for (int32_t i = 0; i < vocab; i++)
        if (!is_banned(banned, n_banned, i)) c[n++] = (candidate){logits[i], i, 0};
    qsort(c, (size_t)n, sizeof c[0], by_rank);

    if (s->top_k > 0 && s->top_k < n) n = s->top_k;

    double sum = 0, head = 0;
    for (int32_t i = 0; i < n; i++)
        sum += c[i].weight = exp((double)c[i].logit - (double)c[0].logit);
    if (s->top_p < 1) {
        int32_t kept = 0;
        while (kept < n && head < (double)s->top_p * sum)
            head += c[kept++].weight;
        n = kept;
    }
    while (n > 1 && c[n - 1].weight < (double)s->min_p)
        n--;
    if (s->temperature == 0) n = 1;

    sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const double distance = (double)c[i].logit - (double)c[0].logit;
        sum += c[i].weight = s->temperature == 0 ? 1 : exp(distance / (double)s->temperature);
    }
    memset(p, 0, (size_t)vocab * sizeof p[0]);
    for (int32_t i = 0; i < n; i++)
        p[c[i].id] = c[i].weight / sum;
}

static sl_sampling roll_sampling(dice *d) {
    static const float temperatures[] = {0, 0.001f, 0.3f, 0.8f, 1, 1.7f};
    static const float top_ps[] = {1e-6f, 0.2f, 0.5f, 0.9f, 0.99f, 1};
    static const float min_ps[] = {0, 0.01f, 0.05f, 0.3f, 1};
    return (sl_sampling){
        .temperature = temperatures[roll(d, SL_COUNT(temperatures))],
        .top_k = (int32_t)roll(d, 60) - 5,
        .top_p = top_ps[roll(d, SL_COUNT(top_ps))],
        .min_p = min_ps[roll(d, SL_COUNT(min_ps))],
        .seed = roll(d, 1000),
    };
}

/* Half of the time on a coarse grid, where ties are everywhere. */
static void roll_logits(dice *d, float *logits, int32_t vocab) {
    const int coarse = (int)roll(d, 2);
    const double spread = 0.1 + 12 * roll_open01(d);
    for (int32_t i = 0; i < vocab; i++) {
        const double x = spread * (roll_open01(d) + roll_open01(d) - 1);
        logits[i] = (float)(coarse ? nearbyint(x) : x);
    }
}

static int32_t roll_bans(dice *d, sl_token *banned, int32_t vocab) {
    int32_t n = 0;
    const uint64_t one_in = 1 + roll(d, 20);
    for (int32_t i = 0; i < vocab - 1 && roll(d, 3) > 0; i++)
        if (roll(d, one_in) == 0) banned[n++] = i;
    return n;
}

/* Fails if: a tie goes to the higher id, top-p drops the token that crosses the mass,
 * top-p's mass is taken after min-p, a filter sees tempered logits, or a heap loses a
 * candidate. */
static void the_distribution_is_the_sorted_twins(void **state) {
    (void)state;
    dice d = {1, 0};
    for (int round = 0; round < 4000; round++) {
        float logits[VOCAB_MAX];
        sl_token banned[VOCAB_MAX];
        double have[VOCAB_MAX], want[VOCAB_MAX];
        const int32_t vocab = 1 + (int32_t)roll(&d, VOCAB_MAX);
        roll_logits(&d, logits, vocab);
        const int32_t n_banned = roll_bans(&d, banned, vocab);
        const sl_sampling s = roll_sampling(&d);

        assert_int_equal(
            sl_sample_distribution(logits, vocab, &s, banned, n_banned, scratch, have, NULL),
            SL_OK);
        twin_distribution(logits, vocab, &s, banned, n_banned, want);
        for (int32_t i = 0; i < vocab; i++) {
            assert_int_equal(have[i] > 0, want[i] > 0);
            assert_true(fabs(have[i] - want[i]) <= 1e-12);
        }

        sl_token token;
        assert_int_equal(
            sl_sample(logits, vocab, &s, round, banned, n_banned, scratch, &token, NULL), SL_OK);
        assert_true(token >= 0 && token < vocab && want[token] > 0);
    }
}

/* ---- draws -------------------------------------------------------------------- */

/* Pearson's statistic over the tokens with positive probability. */
static double chi_square(const double *p, const int32_t *count, int32_t vocab, int32_t draws,
                         int *degrees) {
    double sum = 0;
    *degrees = -1;
    for (int32_t i = 0; i < vocab; i++) {
        if (p[i] == 0) {
            assert_int_equal(count[i], 0);
            continue;
        }
        const double expected = p[i] * draws;
        sum += (count[i] - expected) * (count[i] - expected) / expected;
        ++*degrees;
    }
    return sum;
}

/* Fails if: the noise is not Gumbel's (-log u instead of -log(-log u)), temperature
 * multiplies, or the noise ignores the token or the position. */
static void draws_follow_the_distribution(void **state) {
    (void)state;
    enum { VOCAB = 24, DRAWS = 40000 };
    static const sl_sampling cases[] = {
        {1.0f, 0, 1.0f, 0, 1},
        {0.7f, 0, 1.0f, 0, 2},
        {1.3f, 0, 1.0f, 0, 3},
        {0.8f, 8, 1.0f, 0, 4},
        {0.8f, 0, 0.8f, 0, 5},
        {0.8f, 0, 1.0f, 0.1f, 6},
        {0.8f, 10, 0.9f, 0.05f, 7},
        {0.8f, 40, 0.95f, 0.05f, 42},
        {1.3f, 0, 0.99f, 0.01f, UINT64_MAX},
    };
    dice d = {2, 0};
    for (size_t c = 0; c < SL_COUNT(cases); c++) {
        float logits[VOCAB];
        double p[VOCAB];
        int32_t count[VOCAB] = {0};
        const sl_token banned[] = {3, 17};
        for (int32_t i = 0; i < VOCAB; i++)
            logits[i] = (float)(3 * roll_open01(&d));
        assert_int_equal(
            sl_sample_distribution(logits, VOCAB, &cases[c], banned, 2, scratch, p, NULL), SL_OK);
        for (int32_t position = 0; position < DRAWS; position++) {
            sl_token token;
            assert_int_equal(
                sl_sample(logits, VOCAB, &cases[c], position, banned, 2, scratch, &token, NULL),
                SL_OK);
            count[token]++;
        }
        int degrees;
        const double statistic = chi_square(p, count, VOCAB, DRAWS, &degrees);
        assert_true(degrees >= 3);
        assert_true(statistic < degrees + 4 * sqrt(2.0 * degrees)); /* 4 sigma */
    }
}

/* Neighbouring positions, and equal positions of neighbouring seeds, are independent.
 * Fails if: the key is seed + position, or any other sum of the two. */
static void draws_of_neighbours_are_independent(void **state) {
    (void)state;
    enum { VOCAB = 4, DRAWS = 20000 };
    const float logits[VOCAB] = {0, 0.5f, 0, 0.5f};
    double p[VOCAB], pairs[VOCAB * VOCAB];
    sl_sampling s = {1, 0, 1, 0, 11};
    assert_int_equal(sl_sample_distribution(logits, VOCAB, &s, NULL, 0, scratch, p, NULL), SL_OK);
    for (int i = 0; i < VOCAB * VOCAB; i++)
        pairs[i] = p[i / VOCAB] * p[i % VOCAB];

    static const struct {
        uint64_t seed_step;
        int32_t position_step;
    } neighbours[] = {{0, 1}, {1, 0}, {1, -1}, {1, 1}};
    for (size_t c = 0; c < SL_COUNT(neighbours); c++) {
        int32_t count[VOCAB * VOCAB] = {0};
        for (int32_t draw = 0; draw < DRAWS; draw++) {
            const int32_t position = 2 * draw + 1;
            sl_token a, b;
            s.seed = 11;
            assert_int_equal(sl_sample(logits, VOCAB, &s, position, NULL, 0, scratch, &a, NULL),
                             SL_OK);
            s.seed += neighbours[c].seed_step;
            assert_int_equal(sl_sample(logits, VOCAB, &s, position + neighbours[c].position_step,
                                       NULL, 0, scratch, &b, NULL),
                             SL_OK);
            count[a * VOCAB + b]++;
        }
        int degrees;
        const double statistic = chi_square(pairs, count, VOCAB * VOCAB, DRAWS, &degrees);
        assert_true(statistic < degrees + 4 * sqrt(2.0 * degrees));
    }
}

/* Fails if: anything is remembered between calls, or scratch is read before written. */
static void a_choice_depends_on_its_arguments_alone(void **state) {
    (void)state;
    enum { VOCAB = 300 };
    dice d = {3, 0};
    for (int round = 0; round < 300; round++) {
        float logits[VOCAB], other[VOCAB];
        sl_token first, unrelated, second;
        roll_logits(&d, logits, VOCAB);
        roll_logits(&d, other, VOCAB);
        const sl_sampling s = roll_sampling(&d), t = roll_sampling(&d);
        memset(scratch, 0, sizeof scratch);
        assert_int_equal(sl_sample(logits, VOCAB, &s, round, NULL, 0, scratch, &first, NULL),
                         SL_OK);
        assert_int_equal(sl_sample(other, VOCAB, &t, round + 1, NULL, 0, scratch, &unrelated, NULL),
                         SL_OK);
        memset(scratch, 0xA5, sizeof scratch);
        assert_int_equal(sl_sample(logits, VOCAB, &s, round, NULL, 0, scratch, &second, NULL),
                         SL_OK);
        assert_int_equal(first, second);
    }
}

/* Two models that share noise pick the same token more often than independent draws
 * would. Fails if: the noise depends on anything but seed, position and token. */
static void similar_logits_share_their_noise(void **state) {
    (void)state;
    enum { VOCAB = 50, DRAWS = 4000 };
    dice d = {4, 0};
    float target[VOCAB], draft[VOCAB];
    double p[VOCAB], independent = 0;
    const sl_sampling s = {1, 0, 1, 0, 5};
    for (int i = 0; i < VOCAB; i++) {
        target[i] = (float)(2 * roll_open01(&d));
        draft[i] = target[i] + (float)(0.2 * roll_open01(&d));
    }
    assert_int_equal(sl_sample_distribution(target, VOCAB, &s, NULL, 0, scratch, p, NULL), SL_OK);
    for (int i = 0; i < VOCAB; i++)
        independent += p[i] * p[i];
    int same = 0;
    for (int32_t position = 0; position < DRAWS; position++) {
        sl_token a, b;
        assert_int_equal(sl_sample(target, VOCAB, &s, position, NULL, 0, scratch, &a, NULL), SL_OK);
        assert_int_equal(sl_sample(draft, VOCAB, &s, position, NULL, 0, scratch, &b, NULL), SL_OK);
        same += a == b;
    }
    assert_true(same > DRAWS * 3 / 4);
    assert_true(independent < 0.1);
}

/* ---- edges ----------------------------------------------------------------------- */

static sl_token choose(const float *logits, int32_t vocab, sl_sampling s) {
    sl_token token;
    assert_int_equal(sl_sample(logits, vocab, &s, 7, NULL, 0, scratch, &token, NULL), SL_OK);
    return token;
}

/* Fails if: a filter with an extreme value keeps nothing, or numbers overflow. */
static void extreme_parameters_keep_the_best_token(void **state) {
    (void)state;
    enum { VOCAB = 5 };
    static const struct {
        const char *name;
        sl_sampling s;
    } rows[] = {
        {"argmax", {0, 0, 1, 0, 1}},
        {"top-k of one", {2, 1, 1, 0, 1}},
        {"tiny top-p", {2, 0, FLT_MIN, 0, 1}},
        {"min-p of one", {2, 0, 1, 1, 1}},
        {"tiny temperature", {1e-3f, 0, 1, 0, 1}},
        {"smallest temperature", {FLT_MIN, 0, 1, 0, 1}},
    };
    const float plain[VOCAB] = {1, 4, 2.5f, -3, 0};
    const float huge[VOCAB] = {-FLT_MAX, FLT_MAX, 1, 0, -1e30f};
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        if (choose(plain, VOCAB, rows[i].s) != 1 || choose(huge, VOCAB, rows[i].s) != 1)
            fail_msg("%s", rows[i].name);
    }
    double p[VOCAB];
    const sl_sampling hot = {FLT_MAX, 0, 1, 0, 1};
    assert_int_equal(sl_sample_distribution(plain, VOCAB, &hot, NULL, 0, scratch, p, NULL), SL_OK);
    for (int i = 0; i < VOCAB; i++)
        assert_true(fabs(p[i] - 0.2) < 1e-9);
}

/* Fails if: >= instead of > in argmax, or -0 sorts below 0. */
static void ties_go_to_the_lower_id(void **state) {
    (void)state;
    const float logits[] = {-1, -0.0f, 0, -0.0f, -5};
    assert_int_equal(choose(logits, 5, (sl_sampling){0, 0, 1, 0, 0}), 1);
    assert_int_equal(choose(logits, 5, (sl_sampling){1, 1, 1, 0, 0}), 1);
    assert_int_equal(choose(logits, 5, (sl_sampling){1, 0, 1e-9f, 0, 0}), 1);

    double p[5];
    const sl_sampling two = {1, 2, 1, 0, 0};
    assert_int_equal(sl_sample_distribution(logits, 5, &two, NULL, 0, scratch, p, NULL), SL_OK);
    assert_true(p[1] == 0.5 && p[2] == 0.5 && p[3] == 0);
}

/* Fails if: a banned best token still sets the scale of min-p, or wins argmax. */
static void banned_tokens_do_not_exist(void **state) {
    (void)state;
    const float logits[] = {0, 50, 1, 60, 0.5f};
    const sl_token banned[] = {1, 3};
    double p[5];
    sl_token token;
    sl_sampling s = {0, 0, 1, 0, 0};
    assert_int_equal(sl_sample(logits, 5, &s, 0, banned, 2, scratch, &token, NULL), SL_OK);
    assert_int_equal(token, 2);
    s = (sl_sampling){1, 0, 1, 0.5f, 0};
    assert_int_equal(sl_sample_distribution(logits, 5, &s, banned, 2, scratch, p, NULL), SL_OK);
    assert_true(p[0] == 0 && p[1] == 0 && p[2] > p[4] && p[3] == 0 && p[4] > 0);
}

static void banning_every_token_is_an_error(void **state) {
    (void)state;
    const float logits[] = {0, 1, 2};
    const sl_token banned[] = {0, 1, 2};
    static const sl_sampling cases[] = {{0, 0, 1, 0, 0}, {1, 0, 1, 0, 0}, {1, 2, 0.5f, 0.5f, 0}};
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        double p[3];
        sl_token token = 5;
        sl_error err = {SL_OK, 0, ""};
        assert_int_equal(sl_sample(logits, 3, &cases[i], 0, banned, 3, scratch, &token, &err),
                         SL_E_ARG);
        assert_int_equal(token, -1);
        assert_string_equal(err.text, "all 3 tokens are banned");
        assert_int_equal(sl_sample_distribution(logits, 3, &cases[i], banned, 3, scratch, p, &err),
                         SL_E_ARG);
        assert_true(p[0] == 0 && p[1] == 0 && p[2] == 0);
    }
}

/* Fails if: only candidates are checked, only the first filter looks, or -inf passes. */
static void numbers_that_are_not_finite_are_named(void **state) {
    (void)state;
    enum { VOCAB = 70 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const sl_sampling cases[] = {{0, 0, 1, 0, 0}, {1, 3, 0.9f, 0.1f, 0}};
    for (size_t b = 0; b < SL_COUNT(bad); b++) {
        for (int at = 0; at < VOCAB; at += 23) {
            float logits[VOCAB] = {0};
            char place[32];
            (void)snprintf(place, sizeof place, "token %d ", at);
            logits[at] = bad[b];
            for (size_t i = 0; i < SL_COUNT(cases); i++) {
                sl_token token;
                sl_error err = {SL_OK, 0, ""};
                assert_int_equal(
                    sl_sample(logits, VOCAB, &cases[i], 0, NULL, 0, scratch, &token, &err),
                    SL_E_NUMBER);
                assert_int_equal(err.code, SL_E_NUMBER);
                assert_non_null(strstr(err.text, place));
            }
        }
    }
}

static void parameters_out_of_range_are_named(void **state) {
    (void)state;
    static const struct {
        const char *name; /* "" if the row is fine */
        sl_sampling s;
    } rows[] = {
        {"", {0, 0, 1, 0, 0}},
        {"", {FLT_MAX, INT32_MIN, FLT_MIN, 1, UINT64_MAX}},
        {"temperature", {-0.1f, 0, 1, 0, 0}},
        {"temperature", {NAN, 0, 1, 0, 0}},
        {"temperature", {INFINITY, 0, 1, 0, 0}},
        {"top_p", {1, 0, 0, 0, 0}},
        {"top_p", {1, 0, 1.0001f, 0, 0}},
        {"top_p", {1, 0, NAN, 0, 0}},
        {"min_p", {1, 0, 1, -0.0001f, 0}},
        {"min_p", {1, 0, 1, 1.0001f, 0}},
        {"min_p", {1, 0, 1, NAN, 0}},
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {SL_OK, 0, ""};
        const sl_status want = rows[i].name[0] ? SL_E_ARG : SL_OK;
        assert_int_equal(sl_sampling_check(&rows[i].s, &err), want);
        assert_int_equal(err.code, want);
        assert_int_equal(strncmp(err.text, rows[i].name, strlen(rows[i].name)), 0);
    }
    const sl_sampling standard = sl_sampling_default();
    assert_int_equal(sl_sampling_check(&standard, NULL), SL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distribution_is_the_sorted_twins),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(draws_of_neighbours_are_independent),
        cmocka_unit_test(a_choice_depends_on_its_arguments_alone),
        cmocka_unit_test(similar_logits_share_their_noise),
        cmocka_unit_test(extreme_parameters_keep_the_best_token),
        cmocka_unit_test(ties_go_to_the_lower_id),
        cmocka_unit_test(banned_tokens_do_not_exist),
        cmocka_unit_test(banning_every_token_is_an_error),
        cmocka_unit_test(numbers_that_are_not_finite_are_named),
        cmocka_unit_test(parameters_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

enum { VOCAB_MAX = 400, BEFORE_MAX = 90, BIASES_MAX = 12 };

static void *scratch; /* allocated, so that each part has the type it is used as */

/* No penalties, no biases. */
#define PLAIN(t, k, p, m, s)                                                                       \
    { .temperature = (t), .top_k = (k), .top_p = (p), .min_p = (m), .seed = (s) }

/* A position with nothing known before it. */
static sl_sample_place alone_at(int32_t position) {
    return (sl_sample_place){.position = position};
}

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

/* How often the token occurs in the window. */
static int32_t occurrences(const sl_sampling *s, sl_sample_place place, int32_t id) {
    int32_t n = 0;
    for (int32_t back = 1; back <= place.n_before; back++)
        if (s->repeat_last_n < 0 || back <= s->repeat_last_n)
            n += place.before[place.n_before - back] == id;
    return n;
}

/* One logit after biases and penalties, by the formulas. */
static float twin_logit(float logit, int32_t id, const sl_sampling *s, sl_sample_place place) {
    const int32_t n = occurrences(s, place, id);
    for (int32_t b = 0; b < s->n_bias; b++)
        if (s->bias[b].token == id) logit += s->bias[b].bias;
    if (n == 0) return logit;
    if (s->repeat_penalty > 0)
        logit = logit <= 0 ? logit * s->repeat_penalty : logit / s->repeat_penalty;
    return logit - ((float)n * s->frequency_penalty + s->presence_penalty);
}

/* The definition, filter after filter in llama.cpp's order, on a sorted list. */
static void twin_distribution(const float *logits, int32_t vocab, const sl_sampling *s,
                              sl_sample_place place, const sl_token *banned, int32_t n_banned,
                              double *p) {
    candidate c[VOCAB_MAX];
    int32_t n = 0;
    for (int32_t i = 0; i < vocab; i++) {
        const float logit = twin_logit(logits[i], i, s, place);
        if (!is_banned(banned, n_banned, i) && isfinite(logit)) c[n++] = (candidate){logit, i, 0};
    }
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

/* Biases and penalties on a third of the rounds each; a window of up to BEFORE_MAX tokens,
 * few enough different ones that they repeat. */
static sl_sample_place roll_place(dice *d, int32_t vocab, sl_sampling *s, sl_token *before,
                                  sl_logit_bias *bias) {
    static const float penalties[] = {-0.7f, 0, 0.3f, 2};
    static const float repeats[] = {0, 0.8f, 1, 1.1f, 3};
    static const int32_t windows[] = {-1, 0, 1, 5, 64};
    const sl_sample_place place = {.position = (int32_t)roll(d, 5000),
                                   .before = before,
                                   .n_before = (int32_t)roll(d, BEFORE_MAX + 1)};
    const uint64_t different = 1 + roll(d, (uint64_t)vocab);
    for (int32_t i = 0; i < place.n_before; i++)
        before[i] = (sl_token)roll(d, different);
    if (roll(d, 3) == 0) {
        s->repeat_penalty = repeats[roll(d, SL_COUNT(repeats))];
        s->presence_penalty = penalties[roll(d, SL_COUNT(penalties))];
        s->frequency_penalty = penalties[roll(d, SL_COUNT(penalties))];
        s->repeat_last_n = windows[roll(d, SL_COUNT(windows))];
    }
    if (roll(d, 3) == 0) {
        s->bias = bias;
        s->n_bias = (int32_t)roll(d, BIASES_MAX + 1);
        for (int32_t i = 0; i < s->n_bias; i++) /* some of them twice */
            bias[i] = (sl_logit_bias){(sl_token)roll(d, (uint64_t)vocab),
                                      roll(d, 4) ? (float)(6 * roll_open01(d) - 3) : -INFINITY};
    }
    return place;
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
 * top-p's mass is taken after min-p, a filter sees tempered logits, a heap loses a
 * candidate, a penalty is given once for each occurrence, looks at the wrong end of the
 * window or comes before the biases, or a token with bias -inf is a candidate. */
static void the_distribution_is_the_sorted_twins(void **state) {
    (void)state;
    dice d = {1, 0};
    int nothing_left = 0;
    for (int round = 0; round < 6000; round++) {
        float logits[VOCAB_MAX];
        sl_token banned[VOCAB_MAX];
        double have[VOCAB_MAX], want[VOCAB_MAX];
        const int32_t vocab = 1 + (int32_t)roll(&d, VOCAB_MAX);
        roll_logits(&d, logits, vocab);
        const int32_t n_banned = roll_bans(&d, banned, vocab);
        sl_sampling s = roll_sampling(&d);
        sl_token before[BEFORE_MAX];
        sl_logit_bias bias[BIASES_MAX];
        const sl_sample_place place = roll_place(&d, vocab, &s, before, bias);

        twin_distribution(logits, vocab, &s, place, banned, n_banned, want);
        const sl_status status =
            sl_sample_distribution(logits, vocab, &s, place, banned, n_banned, scratch, have, NULL);
        if (status != SL_OK) { /* biases and bans together left nothing */
            assert_int_equal(status, SL_E_ARG);
            for (int32_t i = 0; i < vocab; i++)
                assert_true(is_banned(banned, n_banned, i) ||
                            !isfinite(twin_logit(0, i, &s, place)));
            nothing_left++;
            continue;
        }
        for (int32_t i = 0; i < vocab; i++) {
            assert_int_equal(have[i] > 0, want[i] > 0);
            assert_true(fabs(have[i] - want[i]) <= 1e-12);
        }

        sl_token token;
        assert_int_equal(
            sl_sample(logits, vocab, &s, place, banned, n_banned, scratch, &token, NULL), SL_OK);
        assert_true(token >= 0 && token < vocab && want[token] > 0);
    }
    assert_true(nothing_left < 100); /* small vocabularies only */
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
    static const sl_logit_bias bias[] = {{1, 1.5f}, {6, -1}, {8, 0.5f}, {11, -INFINITY}};
    static const sl_sampling cases[] = {
        PLAIN(1.0f, 0, 1.0f, 0, 1),
        PLAIN(0.7f, 0, 1.0f, 0, 2),
        PLAIN(1.3f, 0, 1.0f, 0, 3),
        PLAIN(0.8f, 8, 1.0f, 0, 4),
        PLAIN(0.8f, 0, 0.8f, 0, 5),
        PLAIN(0.8f, 0, 1.0f, 0.1f, 6),
        PLAIN(0.8f, 10, 0.9f, 0.05f, 7),
        PLAIN(0.8f, 40, 0.95f, 0.05f, 42),
        PLAIN(1.3f, 0, 0.99f, 0.01f, UINT64_MAX),
        {.temperature = 1, .top_p = 1, .seed = 8, .repeat_last_n = 6, .repeat_penalty = 1.5f},
        {.temperature = 0.8f,
         .top_k = 12,
         .top_p = 0.95f,
         .seed = 9,
         .repeat_last_n = -1,
         .repeat_penalty = 1.1f,
         .presence_penalty = 0.5f,
         .frequency_penalty = 0.4f,
         .bias = bias,
         .n_bias = SL_COUNT(bias)},
    };
    static const sl_token before[] = {5, 5, 8, 21, 5, 8, 0, 2, 21, 21};
    dice d = {2, 0};
    for (size_t c = 0; c < SL_COUNT(cases); c++) {
        float logits[VOCAB];
        double p[VOCAB];
        int32_t count[VOCAB] = {0};
        const sl_token banned[] = {3, 17};
        for (int32_t i = 0; i < VOCAB; i++)
            logits[i] = (float)(3 * roll_open01(&d));
        assert_int_equal(sl_sample_distribution(logits, VOCAB, &cases[c],
                                                (sl_sample_place){0, before, 10}, banned, 2,
                                                scratch, p, NULL),
                         SL_OK);
        for (int32_t position = 0; position < DRAWS; position++) {
            sl_token token;
            assert_int_equal(sl_sample(logits, VOCAB, &cases[c],
                                       (sl_sample_place){position, before, 10}, banned, 2, scratch,
                                       &token, NULL),
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
    sl_sampling s = PLAIN(1, 0, 1, 0, 11);
    assert_int_equal(
        sl_sample_distribution(logits, VOCAB, &s, alone_at(0), NULL, 0, scratch, p, NULL), SL_OK);
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
            assert_int_equal(
                sl_sample(logits, VOCAB, &s, alone_at(position), NULL, 0, scratch, &a, NULL),
                SL_OK);
            s.seed += neighbours[c].seed_step;
            assert_int_equal(sl_sample(logits, VOCAB, &s,
                                       alone_at(position + neighbours[c].position_step), NULL, 0,
                                       scratch, &b, NULL),
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
        sl_sampling s = roll_sampling(&d), t = roll_sampling(&d);
        sl_token before[BEFORE_MAX], other_before[BEFORE_MAX];
        sl_logit_bias bias[BIASES_MAX], other_bias[BIASES_MAX];
        const sl_sample_place place = roll_place(&d, VOCAB, &s, before, bias);
        const sl_sample_place other_place = roll_place(&d, VOCAB, &t, other_before, other_bias);
        memset(scratch, 0, sl_sample_scratch_bytes(VOCAB_MAX));
        assert_int_equal(sl_sample(logits, VOCAB, &s, place, NULL, 0, scratch, &first, NULL),
                         SL_OK);
        assert_int_equal(
            sl_sample(other, VOCAB, &t, other_place, NULL, 0, scratch, &unrelated, NULL), SL_OK);
        memset(scratch, 0xA5, sl_sample_scratch_bytes(VOCAB_MAX));
        assert_int_equal(sl_sample(logits, VOCAB, &s, place, NULL, 0, scratch, &second, NULL),
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
    const sl_sampling s = PLAIN(1, 0, 1, 0, 5);
    for (int i = 0; i < VOCAB; i++) {
        target[i] = (float)(2 * roll_open01(&d));
        draft[i] = target[i] + (float)(0.2 * roll_open01(&d));
    }
    assert_int_equal(
        sl_sample_distribution(target, VOCAB, &s, alone_at(0), NULL, 0, scratch, p, NULL), SL_OK);
    for (int i = 0; i < VOCAB; i++)
        independent += p[i] * p[i];
    int same = 0;
    for (int32_t position = 0; position < DRAWS; position++) {
        sl_token a, b;
        assert_int_equal(
            sl_sample(target, VOCAB, &s, alone_at(position), NULL, 0, scratch, &a, NULL), SL_OK);
        assert_int_equal(
            sl_sample(draft, VOCAB, &s, alone_at(position), NULL, 0, scratch, &b, NULL), SL_OK);
        same += a == b;
    }
    assert_true(same > DRAWS * 3 / 4);
    assert_true(independent < 0.1);
}

/* ---- edges ----------------------------------------------------------------------- */

static sl_token choose(const float *logits, int32_t vocab, sl_sampling s) {
    sl_token token;
    assert_int_equal(sl_sample(logits, vocab, &s, alone_at(7), NULL, 0, scratch, &token, NULL),
                     SL_OK);
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
        {"argmax", PLAIN(0, 0, 1, 0, 1)},
        {"top-k of one", PLAIN(2, 1, 1, 0, 1)},
        {"tiny top-p", PLAIN(2, 0, FLT_MIN, 0, 1)},
        {"min-p of one", PLAIN(2, 0, 1, 1, 1)},
        {"tiny temperature", PLAIN(1e-3f, 0, 1, 0, 1)},
        {"smallest temperature", PLAIN(FLT_MIN, 0, 1, 0, 1)},
    };
    const float plain[VOCAB] = {1, 4, 2.5f, -3, 0};
    const float huge[VOCAB] = {-FLT_MAX, FLT_MAX, 1, 0, -1e30f};
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        if (choose(plain, VOCAB, rows[i].s) != 1 || choose(huge, VOCAB, rows[i].s) != 1)
            fail_msg("%s", rows[i].name);
    }
    double p[VOCAB];
    const sl_sampling hot = PLAIN(FLT_MAX, 0, 1, 0, 1);
    assert_int_equal(
        sl_sample_distribution(plain, VOCAB, &hot, alone_at(0), NULL, 0, scratch, p, NULL), SL_OK);
    for (int i = 0; i < VOCAB; i++)
        assert_true(fabs(p[i] - 0.2) < 1e-9);
}

/* Fails if: >= instead of > in argmax, or -0 sorts below 0. */
static void ties_go_to_the_lower_id(void **state) {
    (void)state;
    const float logits[] = {-1, -0.0f, 0, -0.0f, -5};
    assert_int_equal(choose(logits, 5, (sl_sampling)PLAIN(0, 0, 1, 0, 0)), 1);
    assert_int_equal(choose(logits, 5, (sl_sampling)PLAIN(1, 1, 1, 0, 0)), 1);
    assert_int_equal(choose(logits, 5, (sl_sampling)PLAIN(1, 0, 1e-9f, 0, 0)), 1);

    double p[5];
    const sl_sampling two = PLAIN(1, 2, 1, 0, 0);
    assert_int_equal(
        sl_sample_distribution(logits, 5, &two, alone_at(0), NULL, 0, scratch, p, NULL), SL_OK);
    assert_true(p[1] == 0.5 && p[2] == 0.5 && p[3] == 0);
}

/* Fails if: a banned best token still sets the scale of min-p, or wins argmax. */
static void banned_tokens_do_not_exist(void **state) {
    (void)state;
    const float logits[] = {0, 50, 1, 60, 0.5f};
    const sl_token banned[] = {1, 3};
    double p[5];
    sl_token token;
    sl_sampling s = PLAIN(0, 0, 1, 0, 0);
    assert_int_equal(sl_sample(logits, 5, &s, alone_at(0), banned, 2, scratch, &token, NULL),
                     SL_OK);
    assert_int_equal(token, 2);
    s = (sl_sampling)PLAIN(1, 0, 1, 0.5f, 0);
    assert_int_equal(
        sl_sample_distribution(logits, 5, &s, alone_at(0), banned, 2, scratch, p, NULL), SL_OK);
    assert_true(p[0] == 0 && p[1] == 0 && p[2] > p[4] && p[3] == 0 && p[4] > 0);
}

static void banning_every_token_is_an_error(void **state) {
    (void)state;
    const float logits[] = {0, 1, 2};
    const sl_token banned[] = {0, 1, 2};
    static const sl_sampling cases[] = {PLAIN(0, 0, 1, 0, 0), PLAIN(1, 0, 1, 0, 0),
                                        PLAIN(1, 2, 0.5f, 0.5f, 0)};
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        double p[3];
        sl_token token = 5;
        sl_error err = {SL_OK, 0, ""};
        assert_int_equal(
            sl_sample(logits, 3, &cases[i], alone_at(0), banned, 3, scratch, &token, &err),
            SL_E_ARG);
        assert_int_equal(token, -1);
        assert_string_equal(err.text, "all 3 tokens are banned");
        assert_int_equal(
            sl_sample_distribution(logits, 3, &cases[i], alone_at(0), banned, 3, scratch, p, &err),
            SL_E_ARG);
        assert_true(p[0] == 0 && p[1] == 0 && p[2] == 0);
    }
}

/* Fails if: only candidates are checked, only the first filter looks, or -inf passes. */
static void numbers_that_are_not_finite_are_named(void **state) {
    (void)state;
    enum { VOCAB = 70 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const sl_sampling cases[] = {PLAIN(0, 0, 1, 0, 0), PLAIN(1, 3, 0.9f, 0.1f, 0)};
    for (size_t b = 0; b < SL_COUNT(bad); b++) {
        for (int at = 0; at < VOCAB; at += 23) {
            float logits[VOCAB] = {0};
            char place[32];
            (void)snprintf(place, sizeof place, "token %d ", at);
            logits[at] = bad[b];
            for (size_t i = 0; i < SL_COUNT(cases); i++) {
                sl_token token;
                sl_error err = {SL_OK, 0, ""};
                assert_int_equal(sl_sample(logits, VOCAB, &cases[i], alone_at(0), NULL, 0, scratch,
                                           &token, &err),
                                 SL_E_NUMBER);
                assert_int_equal(err.code, SL_E_NUMBER);
                assert_non_null(strstr(err.text, place));
            }
        }
    }
}

/* The window ends at the position and holds the newest tokens; a token that occurs in it is
 * penalised once, in llama.cpp's way. Fails if: the oldest tokens are taken, the repeat
 * penalty raises a negative logit, or the frequency counts outside the window. */
static void penalties_are_llama_cpps(void **state) {
    (void)state;
    const float logits[] = {2, 1, -1, 0, 0.5f, -2};
    const sl_token before[] = {5, 5, 0, 2, 2, 2, 1};
    const sl_sampling s = {.temperature = 1,
                           .top_p = 1,
                           .repeat_last_n = 5,
                           .repeat_penalty = 2,
                           .presence_penalty = 0.25f,
                           .frequency_penalty = 0.125f};
    const double want[] = {1 - 0.375, 0.5 - 0.375, -2 - 0.625, 0, 0.5, -2};
    double p[6];
    assert_int_equal(sl_sample_distribution(logits, 6, &s, (sl_sample_place){9, before, 7}, NULL, 0,
                                            scratch, p, NULL),
                     SL_OK);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(log(p[i] / p[4]) - (want[i] - want[4])) < 1e-9);
}

/* Fails if: a bias overflows into "never", or into a logit that beats every other by being
 * no number; or if a penalty makes "never" a number. */
static void huge_biases_and_penalties_stay_numbers(void **state) {
    (void)state;
    const float logits[] = {FLT_MAX, -FLT_MAX, 3, 0};
    const sl_logit_bias bias[] = {{0, FLT_MAX}, {1, -FLT_MAX}, {2, -INFINITY}, {2, 5}};
    const sl_token before[] = {0, 1, 2, 3, 1, 0};
    for (int sign = -1; sign <= 1; sign += 2) {
        const sl_sampling s = {.temperature = 1,
                               .top_p = 1,
                               .repeat_last_n = -1,
                               .repeat_penalty = FLT_MAX,
                               .presence_penalty = (float)sign * FLT_MAX,
                               .frequency_penalty = (float)sign * FLT_MAX,
                               .bias = bias,
                               .n_bias = 4};
        double p[4], sum = 0;
        assert_int_equal(sl_sample_distribution(logits, 4, &s, (sl_sample_place){6, before, 6},
                                                NULL, 0, scratch, p, NULL),
                         SL_OK);
        for (int i = 0; i < 4; i++)
            sum += p[i];
        assert_true(p[2] == 0 && fabs(sum - 1) < 1e-12);
    }
}

static void parameters_out_of_range_are_named(void **state) {
    (void)state;
    static const sl_logit_bias bias[] = {{9, -INFINITY}, {10, 1}, {-1, 1}, {3, INFINITY}, {3, NAN}};
    static const struct {
        const char *name; /* "" if the row is fine */
        sl_sampling s;
    } rows[] = {
        {"", PLAIN(0, 0, 1, 0, 0)},
        {"", PLAIN(FLT_MAX, INT32_MIN, FLT_MIN, 1, UINT64_MAX)},
        {"temperature", PLAIN(-0.1f, 0, 1, 0, 0)},
        {"temperature", PLAIN(NAN, 0, 1, 0, 0)},
        {"temperature", PLAIN(INFINITY, 0, 1, 0, 0)},
        {"top_p", PLAIN(1, 0, 0, 0, 0)},
        {"top_p", PLAIN(1, 0, 1.0001f, 0, 0)},
        {"top_p", PLAIN(1, 0, NAN, 0, 0)},
        {"min_p", PLAIN(1, 0, 1, -0.0001f, 0)},
        {"min_p", PLAIN(1, 0, 1, 1.0001f, 0)},
        {"min_p", PLAIN(1, 0, 1, NAN, 0)},
        {"repeat_penalty", {.top_p = 1, .repeat_penalty = -0.1f}},
        {"repeat_penalty", {.top_p = 1, .repeat_penalty = INFINITY}},
        {"repeat_penalty", {.top_p = 1, .repeat_penalty = NAN}},
        {"presence_penalty", {.top_p = 1, .presence_penalty = -INFINITY}},
        {"frequency_penalty", {.top_p = 1, .frequency_penalty = NAN}},
        {"", {.top_p = 1, .bias = &bias[0], .n_bias = 1}},
        {"logit bias of token 10: ", {.top_p = 1, .bias = &bias[1], .n_bias = 1}},
        {"logit bias of token -1: ", {.top_p = 1, .bias = &bias[2], .n_bias = 1}},
        {"logit bias of token 3 is inf", {.top_p = 1, .bias = &bias[3], .n_bias = 1}},
        {"logit bias of token 3 is nan", {.top_p = 1, .bias = &bias[4], .n_bias = 1}},
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {SL_OK, 0, ""};
        const sl_status want = rows[i].name[0] ? SL_E_ARG : SL_OK;
        assert_int_equal(sl_sampling_check(&rows[i].s, 10, &err), want);
        assert_int_equal(err.code, want);
        assert_int_equal(strncmp(err.text, rows[i].name, strlen(rows[i].name)), 0);
    }
    const sl_sampling standard = sl_sampling_default();
    assert_int_equal(sl_sampling_check(&standard, 10, NULL), SL_OK);
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
        cmocka_unit_test(penalties_are_llama_cpps),
        cmocka_unit_test(huge_biases_and_penalties_stay_numbers),
        cmocka_unit_test(parameters_out_of_range_are_named),
    };
    scratch = malloc(sl_sample_scratch_bytes(VOCAB_MAX));
    if (!scratch) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(scratch);
    return failed;
}

/* sampler.c - bias, penalties, ban, top-k, top-p, min-p, temperature, draw.
 *
 * Biases and penalties change a copy of the logits, where -inf means "never"; without them
 * there is no copy. Every filter keeps a head of the same order: higher logit first, ties to the
 * lower id. A candidate is one 64-bit key in that order, so that comparing candidates is comparing
 * integers, and the tie rule cannot be forgotten:
 *
 *     63            32 31             0
 *     [ ordered logit ][ ~id          ]      larger key = better candidate
 *
 * No list is ever sorted whole: top-k keeps the k best in a heap while scanning, and
 * top-p takes from a heap only the head it keeps. As top-p and min-p both keep heads,
 * their order does not matter once top-p's denominator is known; min-p goes first
 * here because it is one comparison and leaves little for the heap.
 *
 * The draw is the Gumbel-max trick: argmax of log p(i) + g(i), with g(i) standard
 * Gumbel noise, picks i with probability p(i). (Gumbel 1954; see also Maddison,
 * Tarlow, Minka, "A* sampling", 2014, section 2.) */
#include "sluice/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "spec/sampler.h"

sl_sampling sl_sampling_default(void) {
    return (sl_sampling){.temperature = 0.8f,
                         .top_k = 40,
                         .top_p = 0.95f,
                         .min_p = 0.05f,
                         .repeat_last_n = 64,
                         .repeat_penalty = 1};
}

static bool is_finite(float x) {
    return fabsf(x) <= FLT_MAX;
}

static sl_status check_penalties(const sl_sampling *s, sl_error *err) {
    const struct {
        const char *name;
        float value;
    } finite[] = {{"presence_penalty", s->presence_penalty},
                  {"frequency_penalty", s->frequency_penalty}};
    if (!(s->repeat_penalty >= 0 && is_finite(s->repeat_penalty)))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "repeat_penalty %g: expected a finite number >= 0 (1 switches it off)",
                        (double)s->repeat_penalty);
    for (size_t i = 0; i < SL_COUNT(finite); i++)
        if (!is_finite(finite[i].value))
            return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%s %g: expected a finite number",
                            finite[i].name, (double)finite[i].value);
    return SL_OK;
}

static sl_status check_biases(const sl_sampling *s, int32_t vocab, sl_error *err) {
    for (int32_t i = 0; i < s->n_bias; i++) {
        if (s->bias[i].token < 0 || s->bias[i].token >= vocab)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                            "logit bias of token %d: expected a token in 0 .. %d",
                            (int)s->bias[i].token, (int)vocab - 1);
        if (!is_finite(s->bias[i].bias) && s->bias[i].bias != -INFINITY)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                            "logit bias of token %d is %g: expected a finite number or -inf",
                            (int)s->bias[i].token, (double)s->bias[i].bias);
    }
    return SL_OK;
}

sl_status sl_sampling_check(const sl_sampling *s, int32_t vocab, sl_error *err) {
    if (!(s->temperature >= 0 && s->temperature <= FLT_MAX))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "temperature %g: expected a finite number >= 0",
                        (double)s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "top_p %g: expected a number > 0 and <= 1 (1 switches it off)",
                        (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "min_p %g: expected a number in 0 .. 1 (0 switches it off)",
                        (double)s->min_p);
    const sl_status status = check_penalties(s, err);
    return status == SL_OK ? check_biases(s, vocab, err) : status;
}

/* ---- biases and penalties ------------------------------------------------- */

typedef struct scratch_parts { /* of sl_sample_scratch_bytes() */
    uint64_t *keys;            /* [vocab] */
    float *adjusted;           /* [vocab] */
    int32_t *counts;           /* [vocab] */
} scratch_parts;

static scratch_parts divide_scratch(void *scratch, int32_t vocab) {
    uint64_t *keys = scratch;
    float *adjusted = (float *)(void *)(keys + vocab);
    return (scratch_parts){keys, adjusted, (int32_t *)(void *)(adjusted + vocab)};
}

/* Sums of finite numbers that overflow stop at the largest: infinity means "never". */
static float stay_finite(float x) {
    return fminf(fmaxf(x, -FLT_MAX), FLT_MAX);
}

static float penalised(float logit, int32_t count, const sl_sampling *s) {
    if (s->repeat_penalty > 0)
        logit = logit > 0 ? logit / s->repeat_penalty : logit * s->repeat_penalty;
    logit = stay_finite(logit);
    return stay_finite(logit - ((float)count * s->frequency_penalty + s->presence_penalty));
}

static void penalise(float *logits, const sl_sampling *s, const sl_token *window, int32_t n,
                     int32_t *counts) {
    for (int32_t i = 0; i < n; i++)
        counts[window[i]] = 0;
    for (int32_t i = 0; i < n; i++)
        counts[window[i]]++;
    for (int32_t i = 0; i < n; i++) {
        float *logit = &logits[window[i]];
        int32_t *count = &counts[window[i]];
        if (*count > 0 && *logit != -INFINITY) *logit = penalised(*logit, *count, s);
        *count = 0; /* once for each token */
    }
}

/* The logits to choose from: the model's own, or a copy with biases and penalties. */
static const float *adjust(const float *logits, int32_t vocab, const sl_sampling *s,
                           const sl_sample_place *place, const scratch_parts *scratch) {
    const bool penalties = (s->repeat_penalty > 0 && s->repeat_penalty != 1) ||
                           s->presence_penalty != 0 || s->frequency_penalty != 0;
    int32_t n = place->n_before;
    if (s->repeat_last_n >= 0) n = sl__min_i32(n, s->repeat_last_n);
    if (!penalties) n = 0;
    if (n == 0 && s->n_bias == 0) return logits;

    float *adjusted = scratch->adjusted;
    memcpy(adjusted, logits, (size_t)vocab * sizeof *logits);
    for (int32_t i = 0; i < s->n_bias; i++) {
        float *logit = &adjusted[s->bias[i].token];
        if (s->bias[i].bias == -INFINITY)
            *logit = -INFINITY;
        else if (*logit != -INFINITY)
            *logit = stay_finite(*logit + s->bias[i].bias);
    }
    penalise(adjusted, s, place->before + (place->n_before - n), n, scratch->counts);
    return adjusted;
}

/* ---- keys --------------------------------------------------------------- */

/* Floats in the order of unsigned integers: negative ones have all bits turned, the
 * others the sign bit. Adding 0 makes -0 the equal of 0. */
static uint64_t key_of(float logit, int32_t id) {
    uint32_t bits;
    logit += 0.0f;
    memcpy(&bits, &logit, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(0x80000000);
    return (uint64_t)bits << 32 | (uint32_t)~id;
}

static float key_logit(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float logit;
    bits ^= bits >> 31 ? UINT32_C(0x80000000) : UINT32_MAX;
    memcpy(&logit, &bits, sizeof logit);
    return logit;
}

static int32_t key_id(uint64_t key) {
    return (int32_t) ~(uint32_t)key;
}

/* ---- heap of keys, largest on top ---------------------------------------- */

static void sift_down(uint64_t *heap, int32_t n, int32_t at) {
    const uint64_t key = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= key) break;
        heap[at] = heap[child];
    }
    heap[at] = key;
}

static void make_heap(uint64_t *heap, int32_t n) {
    for (int32_t at = n / 2 - 1; at >= 0; at--)
        sift_down(heap, n, at);
}

/* ---- filters -------------------------------------------------------------- */

/* Steps through the ids that are not banned, in order. */
typedef struct allowed_ids {
    const float *logits;
    const sl_token *banned;
    int32_t n_banned;
    int32_t next_banned;
} allowed_ids;

static bool is_allowed(allowed_ids *a, int32_t id) {
    while (a->next_banned < a->n_banned && a->banned[a->next_banned] < id)
        a->next_banned++;
    if (a->next_banned < a->n_banned && a->banned[a->next_banned] == id) return false;
    return a->logits[id] != -INFINITY;
}

static sl_status check_finite(const float *logits, int32_t vocab, sl_error *err) {
    bool finite = true;
    for (int32_t i = 0; i < vocab; i++) /* without a branch: this is most of argmax */
        finite &= is_finite(logits[i]);
    if (finite) return SL_OK;

    int32_t bad = 0;
    while (is_finite(logits[bad]))
        bad++;
    return sl__fail(err, SL_E_NUMBER, SL_NOWHERE, "logit of token %d is %g", (int)bad,
                    (double)logits[bad]);
}

/* Best allowed token, or -1. */
static int32_t argmax(const float *logits, int32_t vocab, allowed_ids allowed) {
    int32_t best = -1;
    for (int32_t i = 0; i < vocab; i++)
        if ((best < 0 || logits[i] > logits[best]) && is_allowed(&allowed, i)) best = i;
    return best;
}

static int32_t collect_all(const float *logits, int32_t vocab, allowed_ids allowed,
                           uint64_t *keys) {
    int32_t n = 0;
    for (int32_t i = 0; i < vocab; i++)
        if (is_allowed(&allowed, i)) keys[n++] = key_of(logits[i], i);
    return n;
}

/* The k best. While scanning, the heap holds complements, so its top is the worst. */
static int32_t collect_top_k(const float *logits, int32_t vocab, allowed_ids allowed, int32_t k,
                             uint64_t *keys) {
    int32_t n = 0, i = 0;
    for (; i < vocab && n < k; i++)
        if (is_allowed(&allowed, i)) keys[n++] = ~key_of(logits[i], i);
    if (n > 0) {
        make_heap(keys, n);
        float worst = key_logit(~keys[0]);
        for (; i < vocab; i++) {
            if (logits[i] <= worst || !is_allowed(&allowed, i)) continue; /* ties: lower id */
            keys[0] = ~key_of(logits[i], i);
            sift_down(keys, n, 0);
            worst = key_logit(~keys[0]);
        }
    }
    for (int32_t j = 0; j < n; j++)
        keys[j] = ~keys[j];
    return n;
}

static int32_t keep_min_p(uint64_t *keys, int32_t n, float best, float min_p) {
    const double least = (double)best + log((double)min_p);
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if ((double)key_logit(keys[i]) >= least) keys[kept++] = keys[i];
    return kept;
}

/* Keep the smallest head that weighs at least `mass`, or everything if nothing does.
 * The head ends up behind the heap, which shrinks from the back; move it forward. */
static int32_t keep_mass(uint64_t *keys, int32_t n, float best, double mass) {
    int32_t heap = n;
    double sum = 0;

    make_heap(keys, n);
    while (heap > 0 && sum < mass) {
        const uint64_t top = keys[0];
        keys[0] = keys[--heap];
        if (heap > 0) sift_down(keys, heap, 0);
        keys[heap] = top;
        sum += exp((double)key_logit(top) - (double)best);
    }
    memmove(keys, keys + heap, (size_t)(n - heap) * sizeof keys[0]);
    return n - heap;
}

/* Candidates left by all filters, in no particular order but always the same one for
 * the same input; *best is their largest logit. */
static int32_t select_candidates(const float *logits, int32_t vocab, const sl_sampling *s,
                                 allowed_ids allowed, uint64_t *keys, float *best) {
    int32_t n = s->top_k > 0 && s->top_k < vocab
                    ? collect_top_k(logits, vocab, allowed, s->top_k, keys)
                    : collect_all(logits, vocab, allowed, keys);
    if (n == 0) return 0;

    *best = key_logit(keys[0]);
    for (int32_t i = 1; i < n; i++)
        *best = fmaxf(*best, key_logit(keys[i]));

    double mass = 0; /* of the candidates top-p looks at */
    if (s->top_p < 1)
        for (int32_t i = 0; i < n; i++)
            mass += exp((double)key_logit(keys[i]) - (double)*best);

    if (s->min_p > 0) n = keep_min_p(keys, n, *best, s->min_p);
    if (s->top_p < 1) n = keep_mass(keys, n, *best, (double)s->top_p * mass);
    return n;
}

/* ---- the two calls --------------------------------------------------------- */

size_t sl_sample_scratch_bytes(int32_t vocab) {
    return (size_t)vocab * (sizeof(uint64_t) + sizeof(float) + sizeof(int32_t));
}

static sl_status check_call(const float *logits, int32_t vocab, const sl_sampling *sampling,
                            const sl_token *banned, int32_t n_banned, sl_error *err) {
    SL_ASSERT(vocab > 0 && n_banned >= 0);
    for (int32_t i = 1; i < n_banned; i++)
        SL_ASSERT(banned[i - 1] < banned[i]);

    const sl_status status = sl_sampling_check(sampling, vocab, err);
    return status != SL_OK ? status : check_finite(logits, vocab, err);
}

static sl_status fail_all_banned(int32_t vocab, sl_error *err) {
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "all %d tokens are banned", (int)vocab);
}

/* Weight of the best among the allowed tokens, softmax at temperature 1. */
static float share_of_best(const float *logits, int32_t vocab, allowed_ids allowed, sl_token best) {
    double sum = 0;
    for (int32_t i = 0; i < vocab; i++)
        if (is_allowed(&allowed, i)) sum += exp((double)logits[i] - (double)logits[best]);
    return (float)(1 / sum);
}

sl_status sl__sample_sure(const float *logits, int32_t vocab, const sl_sampling *sampling,
                          sl_sample_place place, const sl_token *banned, int32_t n_banned,
                          void *scratch, sl_token *out, float *confidence, sl_error *err) {
    const scratch_parts parts = divide_scratch(scratch, vocab);
    *out = -1;
    const sl_status status = check_call(logits, vocab, sampling, banned, n_banned, err);
    if (status != SL_OK) return status;

    logits = adjust(logits, vocab, sampling, &place, &parts);
    const allowed_ids allowed = {logits, banned, n_banned, 0};
    if (sampling->temperature == 0) { /* every filter keeps the best */
        *out = argmax(logits, vocab, allowed);
        if (*out < 0) return fail_all_banned(vocab, err);
        if (confidence) *confidence = share_of_best(logits, vocab, allowed, *out);
        return SL_OK;
    }

    uint64_t *keys = parts.keys;
    float best = 0;
    const int32_t n = select_candidates(logits, vocab, sampling, allowed, keys, &best);
    if (n == 0) return fail_all_banned(vocab, err);

    const double temperature = (double)sampling->temperature;
    double best_score = 0, sum = 0; /* of exp(temperature * (score - best_score)) */
    for (int32_t i = 0; i < n; i++) {
        const int32_t id = key_id(keys[i]);
        const double u = sl__random_open01(sampling->seed, (uint64_t)place.position, (uint64_t)id);
        const double log_p = ((double)key_logit(keys[i]) - (double)best) / temperature;
        const double score = log_p - log(-log(u));
        if (*out < 0 || score > best_score || (score == best_score && id < *out)) {
            if (confidence) sum = sum * exp(temperature * (best_score - score)) + 1;
            *out = id;
            best_score = score;
        } else if (confidence) {
            sum += exp(temperature * (score - best_score));
        }
    }
    if (confidence) *confidence = (float)(1 / sum);
    return SL_OK;
}

sl_status sl_sample(const float *logits, int32_t vocab, const sl_sampling *sampling,
                    sl_sample_place place, const sl_token *banned, int32_t n_banned, void *scratch,
                    sl_token *out, sl_error *err) {
    return sl__sample_sure(logits, vocab, sampling, place, banned, n_banned, scratch, out, NULL,
                           err);
}

sl_status sl_sample_distribution(const float *logits, int32_t vocab, const sl_sampling *sampling,
                                 sl_sample_place place, const sl_token *banned, int32_t n_banned,
                                 void *scratch, double *probabilities, sl_error *err) {
    const scratch_parts parts = divide_scratch(scratch, vocab);
    memset(probabilities, 0, (size_t)vocab * sizeof probabilities[0]);
    const sl_status status = check_call(logits, vocab, sampling, banned, n_banned, err);
    if (status != SL_OK) return status;

    logits = adjust(logits, vocab, sampling, &place, &parts);
    const allowed_ids allowed = {logits, banned, n_banned, 0};
    if (sampling->temperature == 0) {
        const int32_t id = argmax(logits, vocab, allowed);
        if (id < 0) return fail_all_banned(vocab, err);
        probabilities[id] = 1;
        return SL_OK;
    }

    uint64_t *keys = parts.keys;
    float best = 0;
    const int32_t n = select_candidates(logits, vocab, sampling, allowed, keys, &best);
    if (n == 0) return fail_all_banned(vocab, err);

    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double *p = &probabilities[key_id(keys[i])];
        *p = exp(((double)key_logit(keys[i]) - (double)best) / sampling->temperature);
        sum += *p;
    }
    for (int32_t i = 0; i < n; i++)
        probabilities[key_id(keys[i])] /= sum;
    return SL_OK;
}

/* eval_score.c - sums, medians, intervals, and what an oracle would have reached. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

enum { SAMPLES = 1000, LONG_REQUEST = 100, HALVES = 2 };

/* ---- one request under one arm ---- */

static const eval_cell *cell_of(const eval_run *run, int32_t round, int32_t request, int32_t arm) {
    const size_t row = (size_t)round * (size_t)run->workload->n + (size_t)request;
    return &run->cells[row * (size_t)run->n_arms + (size_t)arm];
}

int eval_compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median decoding time over the finished rounds, of which there is one at least. */
static double seconds_of(const eval_run *run, int32_t request, int32_t arm) {
    double seconds[EVAL_ROUNDS_MAX];
    const int32_t n = run->done[request];
    for (int32_t r = 0; r < n; r++)
        seconds[r] = cell_of(run, r, request, arm)->seconds;
    qsort(seconds, (size_t)n, sizeof seconds[0], eval_compare_doubles);
    return (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
}

static double plain_seconds_of(const eval_run *run, int32_t request) {
    return (seconds_of(run, request, 0) + seconds_of(run, request, 1)) / EVAL_PLAIN;
}

/* Requests of one token have no iteration, and no speed. */
static bool counts(const eval_run *run, int32_t request) {
    return run->done[request] > 0 && cell_of(run, 0, request, 0)->passes > 0;
}

double eval_request_speedup(const eval_run *run, int32_t arm, int32_t request) {
    if (!counts(run, request)) return NAN;
    return plain_seconds_of(run, request) / seconds_of(run, request, arm);
}

int32_t eval_request_tokens(const eval_run *run, int32_t request) {
    return cell_of(run, 0, request, 0)->tokens;
}

/* ---- times of iterations ---- */

static int compare_floats(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double median_of(const eval_times *times) {
    return (times->seconds[(times->n - 1) / 2] + times->seconds[times->n / 2]) / 2;
}

void eval_sort_times(eval_run *run) {
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0)
            qsort(run->times[k].seconds, (size_t)run->times[k].n, sizeof(float), compare_floats);
}

double eval_iteration_seconds(const eval_run *run, int32_t k) {
    int32_t below = k, above = k;
    while (below >= 0 && run->times[below].n == 0)
        below--;
    while (above <= EVAL_K_MAX && run->times[above].n == 0)
        above++;
    if (below < 0 || above > EVAL_K_MAX) {
        const int32_t only = below < 0 ? above : below;
        return only < 0 || only > EVAL_K_MAX ? NAN : median_of(&run->times[only]);
    }
    const double from = median_of(&run->times[below]), to = median_of(&run->times[above]);
    return below == above ? from : from + (to - from) * (k - below) / (above - below);
}

/* ---- sums over requests ---- */

typedef struct sums {
    int32_t requests;
    double plain, seconds, draft; /* seconds                                     */
    double passes, tokens, drafted, accepted;
    double modelled; /* seconds, from the median times of its iterations */
    double worst, worst_long;
} sums;

static void add_cells(const eval_run *run, int32_t request, int32_t arm, sums *s) {
    const int32_t rounds = run->done[request];
    for (int32_t r = 0; r < rounds; r++) {
        const eval_cell *c = cell_of(run, r, request, arm);
        s->passes += (double)c->passes / rounds;
        s->tokens += (double)(c->tokens - 1) / rounds; /* the first comes from the prompt */
        s->drafted += (double)c->drafted / rounds;
        s->accepted += (double)c->accepted / rounds;
        s->draft += c->draft_seconds / rounds;
        for (int32_t k = 0; k <= EVAL_K_MAX; k++)
            if (c->by_k[k] > 0) s->modelled += c->by_k[k] * eval_iteration_seconds(run, k) / rounds;
    }
}

static void add_request(const eval_run *run, int32_t request, int32_t arm, sums *s) {
    const double speedup = eval_request_speedup(run, arm, request);
    s->requests++;
    s->plain += plain_seconds_of(run, request);
    s->seconds += seconds_of(run, request, arm);
    s->worst = fmin(s->worst, speedup);
    if (cell_of(run, 0, request, arm)->tokens >= LONG_REQUEST)
        s->worst_long = fmin(s->worst_long, speedup);
    add_cells(run, request, arm, s);
}

/* half: 0 or 1 for every second request, else all. */
static sums sum_up(const eval_run *run, int32_t arm, uint32_t tasks, int32_t half) {
    sums s = {.worst = INFINITY, .worst_long = INFINITY};
    for (int32_t i = 0; i < run->workload->n; i++) {
        if (!(tasks >> run->workload->requests[i].task & 1) || !counts(run, i)) continue;
        if (half < HALVES && i % HALVES != half) continue;
        add_request(run, i, arm, &s);
    }
    return s;
}

static double utility_of(const eval_run *run, const sums *s) {
    return s->tokens * eval_iteration_seconds(run, 0) / s->modelled;
}

/* ---- bootstrap ---- */

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
    uint64_t x = *state;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}

typedef struct pair {
    double plain, seconds;
} pair;

static double resample(const pair *pairs, int32_t n, uint64_t *random) {
    pair sum = {0, 0};
    for (int32_t i = 0; i < n; i++) {
        const pair *p = &pairs[next_random(random) % (uint64_t)n];
        sum.plain += p->plain;
        sum.seconds += p->seconds;
    }
    return sum.plain / sum.seconds;
}

/* The middle 95% of the speed-ups of resampled requests. */
static void interval(const eval_run *run, int32_t arm, uint32_t tasks, eval_score *score) {
    pair *pairs = malloc((size_t)run->workload->n * sizeof *pairs);
    double *samples = malloc(SAMPLES * sizeof *samples);
    uint64_t random = 0x5eed;
    int32_t n = 0;
    score->low = score->high = NAN;
    for (int32_t i = 0; pairs && samples && i < run->workload->n; i++) {
        if (tasks >> run->workload->requests[i].task & 1 && counts(run, i))
            pairs[n++] = (pair){plain_seconds_of(run, i), seconds_of(run, i, arm)};
    }
    if (n > 1) {
        for (int32_t i = 0; i < SAMPLES; i++)
            samples[i] = resample(pairs, n, &random);
        qsort(samples, SAMPLES, sizeof *samples, eval_compare_doubles);
        score->low = samples[SAMPLES / 40];
        score->high = samples[SAMPLES - 1 - SAMPLES / 40];
    }
    free(pairs);
    free(samples);
}

/* ---- scores ---- */

eval_score eval_score_of(const eval_run *run, int32_t arm, uint32_t tasks) {
    const sums s = sum_up(run, arm, tasks, HALVES);
    if (s.requests == 0) return (eval_score){.speedup = NAN, .worst = NAN, .low = NAN, .high = NAN};
    const sums plain = sum_up(run, 0, tasks, HALVES);
    eval_score score = {.requests = s.requests,
                        .speedup = s.plain / s.seconds,
                        .worst = isfinite(s.worst_long) ? s.worst_long : s.worst,
                        .tokens_per_pass = s.tokens / s.passes,
                        .cost = s.seconds / s.passes / (plain.seconds / plain.passes),
                        .utility = utility_of(run, &s),
                        .drafted = s.drafted / s.passes,
                        .accepted = s.drafted > 0 ? s.accepted / s.drafted : NAN,
                        .draft_share = s.draft / s.seconds};
    interval(run, arm, tasks, &score);
    return score;
}

/* exp of the mean of logarithms; NaN if nothing counts. */
typedef struct geometric {
    double logs;
    int32_t n;
} geometric;

static void mean_in(geometric *g, double value) {
    if (!isfinite(value)) return;
    g->logs += log(value);
    g->n++;
}

static double mean_of(const geometric *g) {
    return g->n > 0 ? exp(g->logs / g->n) : NAN;
}

double eval_mean_speedup(const eval_run *run, int32_t arm) {
    geometric g = {0, 0};
    for (int32_t t = 0; t < run->workload->n_tasks; t++) {
        const sums s = sum_up(run, arm, 1u << t, HALVES);
        if (s.requests > 0) mean_in(&g, s.plain / s.seconds);
    }
    return mean_of(&g);
}

int32_t eval_best_static(const eval_run *run) {
    int32_t best = -1;
    for (int32_t a = 0; a < run->n_arms; a++) {
        if (run->arms[a].fixed_k < 1) continue;
        if (best < 0 || eval_mean_speedup(run, a) > eval_mean_speedup(run, best)) best = a;
    }
    return best;
}

/* ---- oracle ---- */

/* Seconds of the best sequence of K <= k_max for one output of n tokens: best[i] is the time
 * left when i are out, and drafting more than what is right is never worth it. */
static double oracle_seconds(const double *seconds, int32_t k_max, const uint8_t *matches,
                             int32_t n, double *best) {
    best[n] = 0;
    for (int32_t i = n - 1; i >= 1; i--) {
        best[i] = INFINITY;
        for (int32_t k = 0; k <= matches[i] && k <= k_max && i + k < n; k++)
            best[i] = fmin(best[i], seconds[k] + best[i + k + 1]);
    }
    return best[1];
}

double eval_oracle(const eval_run *run, uint32_t tasks) {
    const int32_t room = run->params.max_tokens;
    double seconds[EVAL_K_MAX + 1], plain = 0, oracle = 0;
    double *best = malloc(((size_t)room + 2) * sizeof *best);
    int32_t k_max = EVAL_K_MAX; /* a larger K has no time that was measured */
    while (k_max > 0 && run->times[k_max].n == 0)
        k_max--;
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        seconds[k] = eval_iteration_seconds(run, k);
    for (int32_t i = 0; best && run->matches && i < run->workload->n; i++) {
        if (!(tasks >> run->workload->requests[i].task & 1) || !counts(run, i)) continue;
        const int32_t n = cell_of(run, 0, i, 0)->tokens;
        plain += (n - 1) * seconds[0];
        oracle += oracle_seconds(seconds, k_max, run->matches + (size_t)i * (size_t)room, n, best);
    }
    free(best);
    return oracle > 0 ? plain / oracle : NAN;
}

double eval_mean_oracle(const eval_run *run) {
    geometric g = {0, 0};
    for (int32_t t = 0; t < run->workload->n_tasks; t++)
        mean_in(&g, eval_oracle(run, 1u << t));
    return mean_of(&g);
}

/* ---- how well utility predicts ---- */

double eval_r_squared(const eval_run *run, bool held_out) {
    double n = 0, sum = 0, squares = 0, errors = 0;
    for (int32_t t = 0; t < run->workload->n_tasks; t++) {
        for (int32_t a = 1; a < run->n_arms; a++) {
            if (a >= EVAL_PLAIN && run->arms[a].fixed_k < 1) continue;
            const sums known = sum_up(run, a, 1u << t, held_out ? 0 : HALVES);
            const sums judged = sum_up(run, a, 1u << t, held_out ? 1 : HALVES);
            if (known.requests == 0 || judged.requests == 0) continue;
            const double speedup = judged.plain / judged.seconds;
            const double error = speedup - utility_of(run, &known);
            n++;
            sum += speedup;
            squares += speedup * speedup;
            errors += error * error;
        }
    }
    const double spread = squares - sum * sum / n;
    return n >= 3 && spread > 0 ? 1 - errors / spread : NAN;
}

/* ---- groups ---- */

int32_t eval_groups(const eval_workload *w, eval_group groups[EVAL_GROUPS_MAX]) {
    static const char *const mixed[] = {"code", "math", "extraction"}; /* of the paper */
    static const char *const names[] = {"code+math", "code+extraction", "math+extraction"};
    static const int pairs[][2] = {{0, 1}, {0, 2}, {1, 2}};
    uint32_t bits[3] = {0, 0, 0}, all = 0;
    int32_t n = 0;
    for (int32_t t = 0; t < w->n_tasks; t++) {
        eval_group *g = &groups[n++];
        memcpy(g->name, w->tasks[t], EVAL_NAME_MAX);
        g->tasks = 1u << t;
        all |= g->tasks;
        for (int i = 0; i < 3; i++)
            if (strcmp(w->tasks[t], mixed[i]) == 0) bits[i] = g->tasks;
    }
    for (int i = 0; i < 3; i++) {
        if (!bits[pairs[i][0]] || !bits[pairs[i][1]]) continue;
        groups[n].tasks = bits[pairs[i][0]] | bits[pairs[i][1]];
        (void)snprintf(groups[n++].name, EVAL_NAME_MAX, "%s", names[i]);
    }
    if (bits[0] && bits[1] && bits[2] && w->n_tasks > 3) {
        groups[n].tasks = bits[0] | bits[1] | bits[2];
        (void)snprintf(groups[n++].name, EVAL_NAME_MAX, "code+math+extraction");
    }
    if (w->n_tasks > 1) {
        groups[n].tasks = all;
        (void)snprintf(groups[n++].name, EVAL_NAME_MAX, "all");
    }
    return n;
}

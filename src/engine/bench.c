/* bench.c - the verification curve, measured. */
#include "sluice/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "runtime/bandwidth.h"
#include "runtime/clock.h"
#include "runtime/cpu.h"

enum { ROUNDS_MAX = 1000, PROMPT_ROUNDS = 3, BANDWIDTH_ROUNDS = 6, PARTS = 6 };

sl_status sl_bench_bandwidth(int32_t threads, uint64_t bytes, double *bytes_per_second,
                             sl_error *err) {
    if (threads == 0) threads = sl__cpu_cores();
    if (threads < 1 || threads > SL_THREADS_MAX || bytes < (UINT64_C(1) << 20) * (uint64_t)threads)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "bandwidth of %d threads over %llu bytes: expected 1 .. %d threads and a "
                        "MiB for each",
                        threads, (unsigned long long)bytes, SL_THREADS_MAX);
    sl__bandwidth bandwidth;
    *bytes_per_second = 0;
    const sl_status status = sl__bandwidth_open(&bandwidth, threads, bytes, err);
    if (status != SL_OK) return status;
    for (int32_t i = 0; i < BANDWIDTH_ROUNDS; i++) {
        const double measured = sl__bandwidth_measure(&bandwidth);
        if (measured > *bytes_per_second) *bytes_per_second = measured;
    }
    sl__bandwidth_close(&bandwidth);
    return SL_OK;
}

sl_bench_params sl_bench_params_default(void) {
    static const int32_t rows[] = {1, 2, 3, 4, 6, 8, 12, 16};
    return (sl_bench_params){.depth = 256,
                             .rounds = 7,
                             .rows = rows,
                             .n_rows = (int32_t)SL_COUNT(rows),
                             .prompt = 512,
                             .bandwidth_bytes = UINT64_C(1) << 30,
                             .seed = 1};
}

typedef struct sample {
    double part[PARTS]; /* seconds: total, attention, router, experts, head; then the
                           share of the round's read bandwidth */
} sample;

typedef struct bench {
    const sl_bench_params *params;
    sl_session *session;
    float *logits;   /* [most rows][vocab]             */
    sample *samples; /* [2][n_rows][rounds]            */
    sl__bandwidth bandwidth;
    uint64_t drawn; /* random tokens drawn so far     */
    int32_t vocab;
    int32_t batch; /* rows of the prompt's passes */
    int32_t done, total;
} bench;

static sl_token draw(bench *b) {
    return (sl_token)(sl__random_u64(b->params->seed, 0xbe4c, b->drawn++) % (uint64_t)b->vocab);
}

static void count_step(bench *b) {
    b->done++;
    if (b->params->progress) b->params->progress(b->params->user, b->done, b->total);
}

static sl_status pass(bench *b, int32_t n, bool same, sl_pass_report *report, sl_error *err) {
    sl_row rows[SL_LOGIT_ROWS_MAX];
    const sl_token first = draw(b);
    for (int32_t i = 0; i < n; i++)
        rows[i] = (sl_row){same || i == 0 ? first : draw(b), i - 1, 1};
    return sl_session_forward(b->session, rows, n, b->logits, NULL, report, err);
}

static sl_status eval_random(bench *b, int32_t n, sl_error *err) {
    sl_token tokens[SL_PASS_ROWS_MAX];
    for (int32_t done = 0; done < n;) {
        const int32_t step = sl__min_i32(n - done, b->batch);
        for (int32_t i = 0; i < step; i++)
            tokens[i] = draw(b);
        const bool last = done + step == n;
        const sl_status status =
            sl_session_eval(b->session, tokens, step, last ? b->logits : NULL, err);
        if (status != SL_OK) return status;
        done += step;
    }
    return SL_OK;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t n) {
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static sl_status measure_prompt(bench *b, double *tokens_per_second, sl_error *err) {
    double speed[PROMPT_ROUNDS];
    for (int32_t i = 0; i < PROMPT_ROUNDS; i++) {
        sl_session_rewind(b->session, 0);
        const uint64_t start = sl__now_ns();
        const sl_status status = eval_random(b, b->params->prompt, err);
        if (status != SL_OK) return status;
        speed[i] = (double)b->params->prompt / ((double)(sl__now_ns() - start) * 1e-9);
        count_step(b);
    }
    sl_session_rewind(b->session, 0);
    *tokens_per_second = median(speed, PROMPT_ROUNDS);
    return SL_OK;
}

/* One round of all points: a pass to warm up, a pass that counts. */
static sl_status measure_round(bench *b, int32_t round, sl_bench_result *result, sl_error *err) {
    const sl_bench_params *p = b->params;
    const double read = p->bandwidth_bytes > 0 ? sl__bandwidth_measure(&b->bandwidth) : 0;
    if (read > result->bandwidth) result->bandwidth = read;
    for (int32_t i = 0; i < 2 * p->n_rows; i++) {
        const bool same = i >= p->n_rows;
        const int32_t n = p->rows[i % p->n_rows];
        sl_bench_point *point = &(same ? result->same : result->random)[i % p->n_rows];
        sl_pass_report r;
        sl_status status = pass(b, n, same, &r, err);
        if (status == SL_OK) status = pass(b, n, same, &r, err);
        if (status != SL_OK) return status;
        const uint64_t ns[PARTS - 1] = {r.total_ns, r.attention_ns, r.router_ns, r.expert_ns,
                                        r.head_ns};
        double *part = b->samples[i * p->rounds + round].part;
        for (int32_t j = 0; j < PARTS - 1; j++)
            part[j] = (double)ns[j] * 1e-9;
        const double bytes = (double)(r.weight_bytes + r.kv_bytes);
        part[PARTS - 1] = read > 0 ? bytes / part[0] / read : 0;
        const double share = 1.0 / p->rounds;
        point->rows = n;
        point->weight_bytes += (double)r.weight_bytes * share;
        point->kv_bytes += (double)r.kv_bytes * share;
        point->experts_per_layer +=
            (double)r.experts * share / sl_model_facts_of(sl_session_model(b->session))->layers;
        count_step(b);
    }
    return SL_OK;
}

static void summarise(const bench *b, int32_t index, sl_bench_point *point) {
    const int32_t rounds = b->params->rounds;
    double values[PARTS][ROUNDS_MAX];
    for (int32_t round = 0; round < rounds; round++)
        for (int32_t part = 0; part < PARTS; part++)
            values[part][round] = b->samples[index * rounds + round].part[part];
    point->seconds = median(values[0], rounds);
    point->seconds_min = values[0][0]; /* sorted by now */
    point->seconds_max = values[0][rounds - 1];
    point->attention_seconds = median(values[1], rounds);
    point->router_seconds = median(values[2], rounds);
    point->expert_seconds = median(values[3], rounds);
    point->head_seconds = median(values[4], rounds);
    point->bandwidth_share = median(values[5], rounds);
}

static sl_status check_params(const sl_bench_params *p, int32_t *most, sl_error *err) {
    *most = 1;
    if (p->n_rows < 1 || p->n_rows > SL_BENCH_POINTS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d row counts, expected 1 .. %d", p->n_rows,
                        SL_BENCH_POINTS_MAX);
    for (int32_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i] < 1 || p->rows[i] > SL_LOGIT_ROWS_MAX)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d rows, expected 1 .. %d", p->rows[i],
                            SL_LOGIT_ROWS_MAX);
        *most = sl__max_i32(*most, p->rows[i]);
    }
    if (p->rounds < 1 || p->rounds > ROUNDS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d rounds, expected 1 .. %d", p->rounds,
                        ROUNDS_MAX);
    if (p->bandwidth_bytes > 0 && p->bandwidth_bytes < UINT64_C(1) << 28)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "bandwidth over %llu bytes, expected at least %d",
                        (unsigned long long)p->bandwidth_bytes, 1 << 28);
    if (p->batch < 0 || p->batch > SL_PASS_ROWS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "batch %d, expected 0 .. %d", p->batch,
                        SL_PASS_ROWS_MAX);
    if (p->depth < 0 || p->depth > 1 << 20 || p->prompt < 0 || p->prompt > 1 << 20)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "depth %d, prompt %d: expected 0 .. %d",
                        p->depth, p->prompt, 1 << 20);
    return SL_OK;
}

static sl_status run(bench *b, sl_bench_result *result, sl_error *err) {
    const sl_bench_params *p = b->params;
    sl_status status = SL_OK;
    if (p->prompt > 0) status = measure_prompt(b, &result->prompt_tokens_per_second, err);
    if (status == SL_OK && p->depth > 0) status = eval_random(b, p->depth, err);
    for (int32_t round = 0; round < p->rounds && status == SL_OK; round++)
        status = measure_round(b, round, result, err);
    for (int32_t i = 0; i < p->n_rows && status == SL_OK; i++) {
        summarise(b, i, &result->random[i]);
        summarise(b, p->n_rows + i, &result->same[i]);
    }
    return status;
}

sl_status sl_bench_curve(const sl_model *model, const sl_bench_params *p, sl_bench_result *result,
                         sl_error *err) {
    memset(result, 0, sizeof *result);
    int32_t most;
    sl_status status = check_params(p, &most, err);
    if (status != SL_OK) return status;
    const int32_t batch = p->batch > 0 ? p->batch : SL_PASS_ROWS_MAX;
    sl_session_params session_params = sl_session_params_default();
    session_params.context = sl__max_i32(p->depth + most, p->prompt);
    session_params.threads = p->threads;
    session_params.batch = sl__max_i32(batch, most);
    session_params.k_type = p->k_type;
    session_params.v_type = p->v_type;
    bench b = {.params = p,
               .vocab = sl_model_facts_of(model)->vocab,
               .batch = batch,
               .total = 2 * p->n_rows * p->rounds + (p->prompt > 0 ? PROMPT_ROUNDS : 0)};
    b.logits = malloc((size_t)most * (size_t)b.vocab * sizeof *b.logits);
    b.samples = calloc(2 * (size_t)p->n_rows * (size_t)p->rounds, sizeof *b.samples);
    if (!b.logits || !b.samples)
        status = sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for measurements");
    if (status == SL_OK) status = sl_session_open(&b.session, model, &session_params, err);
    if (status == SL_OK && p->bandwidth_bytes > 0)
        status = sl__bandwidth_open(&b.bandwidth, sl_session_threads(b.session), p->bandwidth_bytes,
                                    err);
    if (status == SL_OK) {
        result->threads = sl_session_threads(b.session);
        status = run(&b, result, err);
    }
    sl__bandwidth_close(&b.bandwidth);
    sl_session_close(&b.session);
    free(b.samples);
    free(b.logits);
    return status;
}

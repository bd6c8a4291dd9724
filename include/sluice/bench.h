/* bench.h - what the machine can read, and what passes cost on it.
 *
 * The number that judges a pass is bytes touched / time, against the read bandwidth of
 * the same machine measured in the same run (docs/performance.md). */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <stdint.h>

#include "sluice/model.h"
#include "sluice/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Read bandwidth of memory in bytes per second: best of several access patterns and
 * rounds over `bytes` (at least 1 GiB to be meaningful) on huge pages where the system
 * gives them. Takes about 20 x bytes / bandwidth. SL_E_NOMEM, SL_E_ARG. */
SL_API SL_MUST_USE sl_status sl_bench_bandwidth(int32_t threads, uint64_t bytes,
                                                double *bytes_per_second, sl_error *err);

#define SL_BENCH_POINTS_MAX 32

typedef struct sl_bench_params {
    int32_t threads;     /* 0 = one per core                                    */
    int32_t depth;       /* committed tokens below the rows; default 256        */
    int32_t rounds;      /* timed passes per point, medians are given; default 7 */
    const int32_t *rows; /* [n_rows] 1 .. SL_LOGIT_ROWS_MAX, first one is the base */
    int32_t n_rows;      /* 1 .. SL_BENCH_POINTS_MAX                            */
    int32_t prompt;      /* tokens of the prompt measurement, 0 = none; default 512 */
    int32_t batch;       /* rows of the prompt's passes, 1 .. SL_PASS_ROWS_MAX; 0 = 512 */
    sl_kv_type k_type, v_type;
    uint64_t bandwidth_bytes; /* read bandwidth measured in every round over so many bytes;
                                 0 = not; default 1 GiB, at least 256 MiB            */
    uint64_t seed;
    void (*progress)(void *user, int32_t done, int32_t total);
    void *user;
} sl_bench_params;

SL_API sl_bench_params sl_bench_params_default(void);

/* One point of the verification curve: a pass of `rows` rows that all want logits. */
typedef struct sl_bench_point {
    int32_t rows;
    double seconds, seconds_min, seconds_max; /* median, best and worst of the rounds    */
    double experts_per_layer;                 /* distinct, mean over layers and rounds   */
    double weight_bytes, kv_bytes;            /* touched, mean over rounds               */
    double bandwidth_share; /* bytes / seconds / the read bandwidth of the same round, median */
    double attention_seconds, router_seconds, expert_seconds, head_seconds; /* medians   */
} sl_bench_point;

typedef struct sl_bench_result {
    int32_t threads;
    double bandwidth; /* bytes per second read, best round; 0 if not asked for          */
    double prompt_tokens_per_second; /* median of 3, 0 if not asked for                 */
    sl_bench_point random[SL_BENCH_POINTS_MAX]; /* rows of random tokens               */
    sl_bench_point same[SL_BENCH_POINTS_MAX];   /* rows that repeat one token          */
} sl_bench_result;

/* Measure the verification curve: rounds go over all points in turn, so that a machine
 * whose speed drifts drifts for all alike. SL_E_ARG names the field; SL_E_NOMEM. */
SL_API SL_MUST_USE sl_status sl_bench_curve(const sl_model *model, const sl_bench_params *params,
                                            sl_bench_result *result, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

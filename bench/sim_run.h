/* sim_run.h - one policy, or an oracle, on one recorded request.
 *
 * Time is counted twice: as the policy saw it, with noise, and as the curve says, without.
 * Results are the latter, so that two policies are compared by their decisions and not by
 * their luck. One unit is the time of a plain iteration. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim_curve.h"
#include "sim_recording.h"
#include "sluice_policy.h"

enum { SIM_POLICY_NAME_MAX = 48 };

/* A policy as named on the command line: "ledger", "static:3", "cascade@2". A number after
 * @ is the shortest match that counts as a draft. */
typedef struct sim_policy {
    char name[SIM_POLICY_NAME_MAX];
    slp_config config;
    int32_t match_min;
} sim_policy;

/* draft_max: most rows that ledger may verify; cascade keeps its own limit of 7. */
SL_MUST_USE sl_status sim_policy_parse(sim_policy *policy, const char *text, int32_t draft_max,
                                       sl_error *err);

typedef struct sim_result {
    double plain_time, time; /* in plain iterations                                 */
    int64_t iterations, drafted, accepted;
    int32_t k_passes[SIM_DRAFT_MAX + 1]; /* passes that verified [K] tokens             */
    int64_t tested; /* iterations that ran to learn something: starts, refreshes, tests */
} sim_result;

/* The draft at a point as the policy sees it, of at most `propose` nodes, 0 .. SIM_DRAFT_MAX:
 * nodes [propose] is written; returns how many. */
int32_t sim_draft_at(const sim_point *point, int32_t match_min, int32_t propose,
                     slp_draft_node *nodes);

/* What verifying k of n drafted nodes gives at output token `at`; no times. */
slp_step sim_step_at(const sim_request *request, int32_t at, int32_t k, int32_t n);

/* Time of the pass at a point that verifies k tokens: by rows, or where the point knows its
 * experts 1 + expert_share (experts(k) / experts(0) - 1) + row_cost k. */
double sim_pass_time(const sim_curve *curve, const sim_point *point, int32_t k);

/* prior (nullable): what earlier requests taught ledger; learns from this one. */
sim_result sim_run(const sim_policy *policy, const sim_request *request, const sim_curve *curve,
                   const sim_noise *noise, uint64_t index, slp_prior *prior);

/* Always K = k, drafts of matches >= match_min. */
double sim_static_time(const sim_request *request, const sim_curve *curve, int32_t k,
                       int32_t match_min);

/* The least time any choice of K <= k_max per iteration could take, knowing the output. */
double sim_oracle_time(const sim_request *request, const sim_curve *curve, int32_t k_max);

#endif

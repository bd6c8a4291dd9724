/* sim_batch.c - see sim_batch.h. */
#include "sim_batch.h"

#include <string.h>

#include "base/base.h"
#include "sim_table.h"

#define PLAIN_NS 1e6 /* of a pass over one row; only ratios matter */
#define NO_LIMIT 1e300

_Static_assert(SIM_BATCH_MAX *(SIM_DRAFT_MAX + 1) <= SIM_ROWS_MAX, "every pass has its cost");
_Static_assert(SIM_BATCH_MAX *SIM_DRAFT_MAX <= SLP_POOL_NODES_MAX, "every draft is a candidate");

/* A request in the pass. */
typedef struct seat {
    union {
        uint64_t align;
        char bytes[SLP_CONTROLLER_BYTES_MAX];
    } mem;
    slp_controller *ctl; /* in mem */
    const sim_request *request;
    int32_t at;              /* output tokens so far           */
    double time, plain_time; /* see sim_batch_result.worst     */
    int32_t n, k;            /* nodes drafted; and in the pass */
} seat;

typedef struct batch {
    const sim_policy *policy;
    const sim_recordings *recordings;
    const sim_curve *curve;
    slp_prior *prior;
    size_t next; /* the first request that waits */
    int32_t n;   /* seats taken                  */
    seat seats[SIM_BATCH_MAX];
    double row_ns[SIM_ROWS_MAX + 1]; /* the curve, in ns */
    sim_batch_result result;
} batch;

/* ---- seats ---------------------------------------------------------------------------- */

/* False if nobody waits. Requests of a single token have no pass. */
static bool begin_next(batch *b, seat *s) {
    while (b->next < b->recordings->n) {
        const sim_request *q = &b->recordings->requests[b->next++];
        if (q->output_tokens < 2) continue;
        s->request = q;
        s->at = 1;
        s->time = s->plain_time = 0;
        s->ctl = slp_controller_init(s->mem.bytes, sizeof s->mem.bytes, &b->policy->config);
        SL_ASSERT(s->ctl);
        slp_controller_use(s->ctl, b->prior);
        return true;
    }
    return false;
}

static void end(batch *b, const seat *s) {
    const double speedup = s->plain_time / s->time;
    sim_batch_result *r = &b->result;
    if (b->prior) slp_prior_learn(b->prior, s->ctl);
    if (speedup < r->worst) r->worst = speedup;
    if (s->request->output_tokens >= SIM_LONG_TOKENS && speedup < r->worst_long)
        r->worst_long = speedup;
}

/* The last seat moves to an empty one: a controller is bytes, and may be copied. */
static void close_seat(batch *b, int32_t i) {
    seat *s = &b->seats[i];
    b->n--;
    if (i == b->n) return;
    *s = b->seats[b->n];
    s->ctl = (slp_controller *)(void *)s->mem.bytes;
}

/* ---- decisions ------------------------------------------------------------------------- */

static void decide_alone(const batch *b, seat *s) {
    slp_draft_node nodes[SIM_DRAFT_MAX];
    s->n = sim_draft_at(&s->request->points[s->at], b->policy->match_min,
                        sl__min_i32(slp_next(s->ctl).propose, SIM_DRAFT_MAX), nodes);
    const slp_draft draft = {nodes, s->n, 0};
    s->k = sl__min_i32(slp_plan_draft(s->ctl, &draft).draft_tokens, s->n);
}

/* After decide_alone() of all, which showed the controllers their drafts. */
static void decide_together(batch *b, bool bound) {
    slp_pool_request requests[SIM_BATCH_MAX];
    slp_pool_node nodes[SIM_BATCH_MAX * SIM_DRAFT_MAX];
    uint8_t chosen[SIM_BATCH_MAX * SIM_DRAFT_MAX];
    slp_pool_report report;
    int32_t n = 0;
    for (int32_t i = 0; i < b->n; i++) {
        double chance[SLP_DRAFT_TOKENS_MAX];
        seat *s = &b->seats[i];
        const int32_t of_seat = slp_draft_chances(s->ctl, chance);
        for (int32_t j = 0; j < of_seat; j++, n++)
            nodes[n] = (slp_pool_node){i, j > 0 ? n - 1 : -1, chance[j], NULL};
        requests[i].room_ns = bound ? slp_pool_room(s->ctl, b->row_ns[b->n]) : NO_LIMIT;
        requests[i].experts = NULL;
        s->k = 0;
    }
    const slp_pool pool = {requests, nodes, b->n, n, b->row_ns, 0, 0};
    const slp_status planned = slp_pool_plan(&pool, chosen, &report);
    SL_ASSERT(planned == SLP_OK);
    for (int32_t i = 0; i < n; i++)
        b->seats[nodes[i].request].k += chosen[i];
    for (int32_t i = 0; i < b->n; i++) {
        const slp_grant grant = {b->seats[i].k, report.pass_ns, report.plain_ns};
        const slp_status granted = slp_plan_grant(b->seats[i].ctl, &grant);
        SL_ASSERT(granted == SLP_OK);
    }
}

/* ---- passes ---------------------------------------------------------------------------- */

/* The request's part of a pass: true where that was its last. */
static bool observe(batch *b, seat *s, double time, double plain_time, double noise) {
    slp_step step = sim_step_at(s->request, s->at, s->k, s->n);
    step.pass_ns = (uint64_t)(time * noise * PLAIN_NS);
    const slp_status observed = slp_observe(s->ctl, &step);
    SL_ASSERT(observed == SLP_OK);
    s->at += step.emitted;
    s->time += time;
    s->plain_time += step.emitted * plain_time;
    b->result.tokens += step.emitted;
    return s->at >= s->request->output_tokens;
}

static void run_pass(batch *b, sim_sharing sharing, const sim_noise *noise) {
    int32_t rows = b->n;
    for (int32_t i = 0; i < b->n; i++)
        decide_alone(b, &b->seats[i]);
    if (sharing != SIM_ALONE) decide_together(b, sharing == SIM_POOL);
    for (int32_t i = 0; i < b->n; i++)
        rows += b->seats[i].k;
    const double time = b->curve->cost[rows], plain_time = b->curve->cost[b->n];
    const double factor = sim_noise_factor(noise, 0, (uint64_t)b->result.passes);
    b->result.time += time;
    b->result.rows += rows;
    b->result.passes++;
    for (int32_t i = b->n; i-- > 0;) { /* from the end: a closed seat gets one that is done */
        seat *s = &b->seats[i];
        if (!observe(b, s, time, plain_time, factor)) continue;
        end(b, s);
        if (!begin_next(b, s)) close_seat(b, i);
    }
}

sim_batch_result sim_batch_run(const sim_policy *policy, sim_sharing sharing,
                               const sim_recordings *recordings, int32_t width,
                               const sim_curve *curve, const sim_noise *noise, slp_prior *prior) {
    static batch b; /* too large for the stack */
    memset(&b, 0, sizeof b);
    b.policy = policy;
    b.recordings = recordings;
    b.curve = curve;
    b.prior = prior;
    b.result.worst = b.result.worst_long = NO_LIMIT;
    for (int32_t rows = 0; rows <= SIM_ROWS_MAX; rows++)
        b.row_ns[rows] = PLAIN_NS * curve->cost[rows];
    while (b.n < width && begin_next(&b, &b.seats[b.n]))
        b.n++;
    while (b.n > 0)
        run_pass(&b, sharing, noise);
    if (b.result.worst >= NO_LIMIT) b.result.worst = 1;
    if (b.result.worst_long >= NO_LIMIT) b.result.worst_long = 1;
    return b.result;
}

/* controller.h - what a controller is made of, and what a policy implements.
 *
 *     slp_observe() -- checks, clamps, counts --> policy->observe() --> ctl->plan
 *     slp_next()    <-------------------------------------------------- ctl->plan
 *
 * controller.c owns the statistics and the step's validity, a policy owns the
 * plan. Internal; hosts see sluice_policy.h only. */
#ifndef SLUICE_POLICY_CONTROLLER_H
#define SLUICE_POLICY_CONTROLLER_H

#include "sluice_policy.h"

/* Iterations at one K within a test phase. */
typedef struct slp__trial {
    int32_t iterations;
    int32_t drafts; /* iterations with a non-empty draft */
    double emitted;
    double ns;
} slp__trial;

/* State of the cascade policy; see the state machine in cascade.c. Utilities are
 * indexed by K; NO_UTILITY (negative) where there is none. */
typedef struct slp__cascade {
    /* t_plain: the latest plain times since the last refresh, as a ring */
    double plain_ring[SLP_PLAIN_ITERATIONS_MAX];
    int32_t plain_samples; /* since the last refresh, saturating at plain_iterations */
    int32_t plain_slot;    /* where the next one goes                                */
    int64_t plain_age;     /* iterations since the last refresh                      */

    double latest[SLP_DRAFT_TOKENS_MAX + 1]; /* history: utility of the latest trial at K */

    /* the running test */
    double tried[SLP_DRAFT_TOKENS_MAX + 1];
    slp__trial trial;
    int32_t trials;    /* completed in this test                    */
    int32_t direction; /* of the hill climb: +1, -1; 0 before it began */
    double previous;   /* utility of the trial before               */

    /* the running set or off phase, or the last one */
    int32_t set_k;
    int32_t set_iterations; /* S of the phase                  */
    int32_t set_done;       /* iterations of it that have run  */
    int32_t off_next;       /* S of the next off phase         */
    slp_reason set_reason;  /* the rule that led to it         */
} slp__cascade;

/* ---- ledger (ledger.c, acceptance.c, cost.c) ------------------------------ */

enum {
    SLP__CLASSES = 30, /* kinds of draft nodes, see acceptance.c              */
    SLP__DEPTHS = 6,   /* 1, 2, 3, 4, 5-6, 7 and more                         */
    SLP__ROWS = SLP_DRAFT_TOKENS_MAX + 1,
    SLP__PLAIN_TIMES = 16 /* remembered for t_plain                           */
};

/* How often a kind of node was right. Evidence fades, so these are no integers. */
typedef struct slp__cell {
    float hits, trials; /* 0 <= hits <= trials */
} slp__cell;

typedef struct slp__accept {
    slp__cell cell[SLP_DRAFTERS_MAX][SLP__CLASSES][SLP__DEPTHS];
} slp__accept;

enum { SLP__SHIFTS = 9 }; /* odd: the middle one is none */

/* How much easier than usual is this request's text just now: chances that the odds of all
 * kinds of nodes are those of the pool times shift_step^(i - 4). Sum 1. */
typedef struct slp__shift {
    double belief[SLP__SHIFTS];
} slp__shift;

/* Time of a pass over r rows: a measured correction of a built-in shape, see cost.c. */
typedef struct slp__cost {
    float correction[SLP__ROWS + 1]; /* [rows]                         */
    float passes[SLP__ROWS + 1];     /* how many stand behind it       */
} slp__cost;

/* What is known of a drafter whose drafts take time, in plain iterations; see sources.c. */
typedef struct slp__paid {
    double token_time; /* of one drafted token                                     */
    double row_time;   /* of one token to catch up with                            */
    double tokens;     /* of a draft, on average                                   */
    double worth[2];   /* what a draft gained over the others: [1] where they promised
                          something, [0] where not                                 */
} slp__paid;

struct slp_prior {
    uint32_t magic, version;
    double plain_ns; /* of the latest request, 0 = unknown */
    slp__accept accept;
    slp__cost cost;
    slp__paid paid[SLP_DRAFTERS_MAX];
};

typedef struct slp__ledger {
    slp__accept pool; /* what earlier requests saw, as the prior had it */
    slp__accept mine; /* what this one saw                              */
    slp__shift shift;
    slp__cost cost;
    uint16_t ran[SLP__ROWS + 1]; /* passes of this request, by rows     */
    double plain_time[SLP__PLAIN_TIMES];
    int32_t plain_times, plain_slot;
    int64_t plain_age; /* iterations since the last plain one           */
    double elapsed_ns;

    /* the draft of this iteration, or of the last one */
    int32_t asked; /* slp_plan_draft() was called in this iteration     */
    int32_t drafter, n_nodes;
    uint8_t node_class[SLP_DRAFT_TOKENS_MAX];
    double expected_ratio; /* of the planned pass                       */
    double gain;           /* of the planned pass, in tokens of plain decoding */
    int32_t shared;        /* slp_plan_grant() was called: plain_ns is that of its pass */

    slp__paid paid[SLP_DRAFTERS_MAX];
    int32_t asked_for;     /* the offer whose draft is being made, or -1      */
    double paid_ns;        /* spent on drafts of this iteration, so far       */
    double paid_before_ns; /* the same of the iteration before, for its trace */
    double spent_ns;       /* on drafts made to find out what they are worth  */
} slp__ledger;

struct slp_controller {
    slp_config cfg;
    slp_plan plan; /* of the coming iteration */
    slp_stats stats;
    double drafting_emitted; /* over iterations with K > 0 and t_plain known:  */
    double drafting_plains;  /* tokens, and time in units of t_plain            */
    union {
        slp__cascade cascade;
        slp__ledger ledger;
    } u;
};

/* A policy. Both functions leave ctl->plan as the plan of the next iteration;
 * stats.plain_ns is theirs to write, the rest of stats is the controller's. */
typedef struct slp__policy {
    const char *name;
    void (*init)(slp_controller *ctl);
    /* step is valid for ctl->plan and its times are clamped; total_ns > 0. NULL if
     * the plan never changes. */
    void (*observe)(slp_controller *ctl, const slp_step *step, double total_ns);
    /* Sound offers [n], at least one. NULL: the first draft that is not empty. */
    void (*offers)(slp_controller *ctl, const slp_offer *offers, int32_t n, slp_choice *choice);
    /* A grant whose times are sound. NULL: at most what is planned. */
    slp_status (*grant)(slp_controller *ctl, const slp_grant *grant);
} slp__policy;

void slp__cascade_init(slp_controller *ctl);
void slp__cascade_observe(slp_controller *ctl, const slp_step *step, double total_ns);

void slp__ledger_init(slp_controller *ctl);
void slp__ledger_offers(slp_controller *ctl, const slp_offer *offers, int32_t n,
                        slp_choice *choice);
slp_status slp__ledger_grant(slp_controller *ctl, const slp_grant *grant);
void slp__ledger_observe(slp_controller *ctl, const slp_step *step, double total_ns);
void slp__ledger_plain(slp_controller *ctl, double ns); /* a first guess at t_plain */

#endif /* SLUICE_POLICY_CONTROLLER_H */

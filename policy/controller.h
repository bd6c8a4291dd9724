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

struct slp_controller {
    slp_config cfg;
    slp_plan plan; /* of the coming iteration */
    slp_stats stats;
    double drafting_emitted; /* over iterations with K > 0 and t_plain known:  */
    double drafting_plains;  /* tokens, and time in units of t_plain            */
    slp__cascade cascade;
};

/* A policy. Both functions leave ctl->plan as the plan of the next iteration;
 * stats.plain_ns is theirs to write, the rest of stats is the controller's. */
typedef struct slp__policy {
    const char *name;
    void (*init)(slp_controller *ctl);
    /* step is valid for ctl->plan and its times are clamped; total_ns > 0. NULL if
     * the plan never changes. */
    void (*observe)(slp_controller *ctl, const slp_step *step, double total_ns);
} slp__policy;

void slp__cascade_init(slp_controller *ctl);
void slp__cascade_observe(slp_controller *ctl, const slp_step *step, double total_ns);

#endif /* SLUICE_POLICY_CONTROLLER_H */

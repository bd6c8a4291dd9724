/* policy_world.h - a machine and a text to run a controller on, in numbers.
 *
 * Every iteration at K > 0 has the utility the test asks for, exactly: all drafts
 * are accepted and the pass takes emitted * plain_ns / utility[K]. */
#ifndef SLUICE_TEST_POLICY_WORLD_H
#define SLUICE_TEST_POLICY_WORLD_H

#include "sluice_policy.h"

typedef struct policy_world {
    uint64_t plain_ns;
    double utility[SLP_DRAFT_TOKENS_MAX + 1]; /* [0] is unread */
    int drafts_nothing;                       /* every draft is empty: plain time, one token */
} policy_world;

/* Controller memory of the right size and alignment. */
typedef union policy_memory {
    uint64_t align;
    char bytes[SLP_CONTROLLER_BYTES_MAX];
} policy_memory;

/* Every K has the same utility; one token takes 1000 ns. */
policy_world world_of(double utility);
slp_step world_step(const policy_world *world, const slp_plan *plan);
void world_run(const policy_world *world, slp_controller *ctl, int iterations);

/* Run until the plan leaves its phase; how many iterations that took. */
int world_run_phase(const policy_world *world, slp_controller *ctl);

slp_config cascade_config(void);
slp_controller *cascade_begin(policy_memory *mem, const slp_config *cfg);

slp_stats stats_of(const slp_controller *ctl);

/* SplitMix64; test data only. */
uint64_t random_u64(uint64_t *state);
int32_t random_in(uint64_t *state, int32_t min, int32_t max); /* inclusive */
double random_unit(uint64_t *state);                          /* [0, 1) */

/* cmocka's header needs these four first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif /* SLUICE_TEST_POLICY_WORLD_H */

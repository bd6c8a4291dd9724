/* policy_world.c - see policy_world.h. */
#include "policy_world.h"

#include <string.h>

policy_world world_of(double utility) {
    policy_world world;
    memset(&world, 0, sizeof(world));
    world.plain_ns = 1000;
    for (int k = 1; k <= SLP_DRAFT_TOKENS_MAX; k++)
        world.utility[k] = utility;
    return world;
}

slp_step world_step(const policy_world *world, const slp_plan *plan) {
    slp_step step;
    memset(&step, 0, sizeof(step));
    step.drafted = world->drafts_nothing ? 0 : plan->draft_tokens;
    step.accepted = step.drafted;
    step.emitted = step.accepted + 1;
    step.rows = step.drafted + 1;
    step.experts = 8 * step.rows;
    step.pass_ns = world->plain_ns;
    if (step.drafted > 0)
        step.pass_ns =
            (uint64_t)((double)world->plain_ns * step.emitted / world->utility[plan->draft_tokens] +
                       0.5);
    return step;
}

void world_run(const policy_world *world, slp_controller *ctl, int iterations) {
    for (int i = 0; i < iterations; i++) {
        const slp_plan plan = slp_next(ctl);
        const slp_step step = world_step(world, &plan);
        assert_int_equal(slp_observe(ctl, &step), SLP_OK);
    }
}

int world_run_phase(const policy_world *world, slp_controller *ctl) {
    const slp_phase phase = slp_next(ctl).phase;
    int iterations = 0;
    for (; slp_next(ctl).phase == phase && iterations < SLP_PHASE_ITERATIONS_MAX; iterations++)
        world_run(world, ctl, 1);
    return iterations;
}

slp_config cascade_config(void) {
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = SLP_POLICY_CASCADE;
    return cfg;
}

slp_controller *cascade_begin(policy_memory *mem, const slp_config *cfg) {
    slp_controller *ctl = slp_controller_init(mem->bytes, sizeof(mem->bytes), cfg);
    assert_non_null(ctl);
    return ctl;
}

slp_stats stats_of(const slp_controller *ctl) {
    slp_stats stats;
    slp_controller_stats(ctl, &stats);
    return stats;
}

uint64_t random_u64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int32_t random_in(uint64_t *state, int32_t min, int32_t max) {
    const uint64_t span = (uint64_t)((int64_t)max - min + 1);
    return (int32_t)(min + (int64_t)(random_u64(state) % span));
}

double random_unit(uint64_t *state) {
    return (double)(random_u64(state) >> 11) / 9007199254740992.0;
}

/* sim_synthetic.h - made-up requests, hostile ones among them, and the ledger's promise.
 *
 * A scenario is a seed: acceptance (constant, drifting, switching, bursty, or set by an
 * adversary who knows the plan), machine (clean, noisy, heavy-tailed, drifting), cost curve,
 * length, draft lengths and e are drawn from it. */
#ifndef SIM_SYNTHETIC_H
#define SIM_SYNTHETIC_H

#include <stdint.h>

enum { SIM_TEXTS = 5, SIM_MACHINES = 4 };

typedef struct sim_scenario_result {
    int text, machine;  /* index of its kind                                          */
    double speedup;     /* plain time with the same noise / time                      */
    double loss, bound; /* worst moment of the request, in plain iterations: what was
                           lost, and what docs/policy.md promises there               */
    int broken;         /* the bound was exceeded at some moment                      */
} sim_scenario_result;

const char *sim_text_name(int text);
const char *sim_machine_name(int machine);

sim_scenario_result sim_scenario_run(uint64_t seed, uint64_t index);

#endif

/* embed_policy.c - Cascade's controller in an engine of one line: each drafted token is
 * accepted with chance 0.8 and makes the pass 20% longer. Which K does it settle on? */
#include <stdio.h>
#include <stdlib.h>

#include "sluice_policy.h"

int main(void) {
    union {
        uint64_t align;
        char bytes[SLP_CONTROLLER_BYTES_MAX];
    } memory; /* one controller per request, nothing to free */
    slp_config cfg;
    slp_config_defaults(&cfg);
    if (slp_policy_parse("cascade", &cfg, NULL) != SLP_OK) return 1;
    slp_controller *ctl = slp_controller_init(memory.bytes, sizeof memory, &cfg);
    if (!ctl) return 1;

    srand(1);
    for (int i = 0; i < 300; i++) {
        const int k = slp_next(ctl).draft_tokens;
        slp_step step = {.drafted = k, .rows = k + 1, .pass_ns = (uint64_t)(1000 + 200 * k)};
        while (step.accepted < k && rand() % 10 < 8)
            step.accepted++;
        step.emitted = step.accepted + 1;
        if (slp_observe(ctl, &step) != SLP_OK) return 1;
    }
    slp_stats stats;
    slp_controller_stats(ctl, &stats);
    printf("K = %d, %.2f times as fast as plain decoding while drafting\n",
           (int)stats.set_draft_tokens, stats.utility_mean);
    return 0;
}

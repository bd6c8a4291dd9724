/* embed_policy.c - the ledger policy in an engine of one line: a drafter offers eight tokens
 * and says how sure it is; each row makes the pass 20% longer. How many are verified, and
 * what does that bring? Build: cc examples/embed_policy.c policy/(all).c -Ipolicy */
#include <stdio.h>
#include <stdlib.h>

#include "sluice_policy.h"

enum { OFFERED = 8, ITERATIONS = 2000 };

static int chance(float p) {
    return (float)rand() / (float)RAND_MAX < p;
}

int main(void) {
    union {
        uint64_t align;
        char bytes[SLP_CONTROLLER_BYTES_MAX];
    } memory; /* one controller per request, nothing to free */
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.draft_tokens_max = OFFERED;
    if (slp_policy_parse("ledger:1%", &cfg, NULL) != SLP_OK) return 1;
    slp_controller *ctl = slp_controller_init(memory.bytes, sizeof memory, &cfg);
    if (!ctl) return 1;

    srand(1);
    int rows[OFFERED + 1] = {0};
    double plain = 0, spent = 0;
    for (int i = 0; i < ITERATIONS; i++) {
        /* Draft: now the drafter is sure, now it is not. */
        slp_draft_node nodes[OFFERED] = {{0}};
        const float sure = i / 50 % 2 ? 0.9f : 0.2f;
        for (int n = 0; n < OFFERED; n++)
            nodes[n].confidence = sure;
        const slp_draft draft = {nodes, slp_next(ctl).propose, 0};
        const int k = slp_plan_draft(ctl, &draft).draft_tokens;

        /* Verify: as sure as it said. */
        slp_step step = {.drafted = k, .rows = k + 1, .pass_ns = (uint64_t)(1000 + 200 * k)};
        while (step.accepted < k && chance(sure))
            step.accepted++;
        step.emitted = step.accepted + 1;
        if (step.accepted == k && k < draft.n_nodes) { /* the token after it tells more */
            step.shadow_compared = 1;
            step.shadow_matched = chance(sure);
        }
        if (slp_observe(ctl, &step) != SLP_OK) return 1;
        rows[k]++;
        plain += 1000.0 * step.emitted;
        spent += (double)step.pass_ns;
    }
    printf("iterations by rows verified:");
    for (int k = 0; k <= OFFERED; k++)
        printf(" %d", rows[k]);
    printf("\n%.2f times as fast as plain decoding\n", plain / spent);
    return 0;
}

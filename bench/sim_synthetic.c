/* sim_synthetic.c - see sim_synthetic.h.
 *
 * The promise, as checked after every iteration, with times as the clock measured them:
 *
 *     sum over iterations with K > 0 of (time - tokens * t_plain)
 *         <= e * (elapsed + 100 t_plain) + (time - expected time of the last such pass)
 *            + stutters
 *
 * t_plain is the controller's own, as it was when each iteration was charged. */
#include "sim_synthetic.h"

#include <math.h>

#include "base/base.h"
#include "base/rng.h"
#include "sluice_policy.h"

enum { CONSTANT, DRIFTING, SWITCHING, BURSTY, ADVERSARIAL };
enum { CLEAN, NOISY, HEAVY_TAILED, SLOWING };

const char *sim_text_name(int text) {
    static const char *const names[SIM_TEXTS] = {"constant", "drifting", "switching", "bursty",
                                                 "adversarial"};
    return names[text];
}

const char *sim_machine_name(int machine) {
    static const char *const names[SIM_MACHINES] = {"clean", "noisy", "heavy-tailed", "drifting"};
    return names[machine];
}

typedef struct world {
    uint64_t seed, draws;
    int text, machine;
    double chance, other_chance; /* of a node; the other state's         */
    double row_cost, bend;       /* of a pass: 1 + row_cost * k^bend     */
    int32_t length, draft_max;
    double plain_ns;
} world;

static double draw(world *w) {
    return sl__random_open01(w->seed, 1, w->draws++);
}

static double between(world *w, double low, double high) {
    return low + (high - low) * draw(w);
}

static world world_of(uint64_t seed, uint64_t index) {
    world w = {.seed = sl__random_u64(seed, 2, index)};
    w.text = (int)(index % SIM_TEXTS);
    w.machine = (int)(index / SIM_TEXTS % SIM_MACHINES);
    w.chance = draw(&w);
    w.other_chance = draw(&w);
    w.row_cost = between(&w, 0.01, 1.2);
    w.bend = between(&w, 0.4, 1);
    w.length = (int32_t)between(&w, 10, 1000);
    w.draft_max = 1 + (int32_t)between(&w, 0, 63);
    w.plain_ns = pow(10, between(&w, 3, 8));
    return w;
}

/* ---- text ------------------------------------------------------------------------- */

/* Chance that a drafted node is right, at output token `at`. */
static double chance_at(world *w, int32_t at) {
    const double along = (double)at / w->length;
    switch (w->text) {
    case DRIFTING:
        return w->chance + along * (w->other_chance - w->chance);
    case SWITCHING:
        return at / 50 % 2 ? w->chance : w->other_chance;
    case BURSTY:
        return at % 40 < 8 ? 0.97 : 0.1 * w->chance;
    default:
        return w->chance;
    }
}

/* How many of n nodes are right. The adversary lets every draft come true that is not
 * verified, to lure, and none that is, to punish; now and then he lets one pass. */
static int32_t matched_of(world *w, int32_t at, int32_t n, int32_t verified) {
    int32_t matched = 0;
    if (w->text == ADVERSARIAL && draw(w) > 0.1) return verified > 0 ? 0 : n;
    while (matched < n && draw(w) < chance_at(w, at))
        matched++;
    return matched;
}

static slp_draft draft_of(world *w, int32_t propose, slp_draft_node *nodes) {
    int32_t n = draw(w) < 0.2 ? 0 : 1 + (int32_t)(draw(w) * propose);
    if (n > propose) n = propose;
    const int32_t match = 1 + (int32_t)(6 * draw(w)), seen = (int32_t)(4 * draw(w));
    for (int32_t i = 0; i < n; i++)
        nodes[i] = (slp_draft_node){match, seen, (int32_t)((seen + 0.99) * draw(w)), 0};
    return (slp_draft){nodes, n, 0};
}

/* ---- machine ---------------------------------------------------------------------- */

/* What the machine makes of a time at output token `at`: the same for plain decoding. */
static double slowness(world *w, int32_t at) {
    const double noise = 1 + 0.1 * (draw(w) + draw(w) - 1);
    switch (w->machine) {
    case NOISY:
        return noise;
    case HEAVY_TAILED:
        return noise * (draw(w) < 0.01 ? 3 + 7 * draw(w) : 1);
    case SLOWING: /* one half of the request on a machine half as fast */
        return noise * (at > w->length / 3 && at < w->length * 5 / 6 ? 2 : 1);
    default:
        return 1;
    }
}

/* ---- one request ------------------------------------------------------------------ */

sim_scenario_result sim_scenario_run(uint64_t seed, uint64_t index) {
    static const int32_t losses[] = {0, 5, 10, 20, 100};
    union {
        uint64_t align;
        char bytes[SLP_CONTROLLER_BYTES_MAX];
    } mem;
    slp_draft_node nodes[SLP_DRAFT_TOKENS_MAX];
    world w = world_of(seed, index);
    sim_scenario_result r = {.text = w.text, .machine = w.machine, .loss = -1e300};
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = SLP_POLICY_LEDGER;
    cfg.draft_tokens_max = w.draft_max;
    cfg.ledger.loss_max_permille = losses[index / (SIM_TEXTS * SIM_MACHINES) % SL_COUNT(losses)];
    const double e = cfg.ledger.loss_max_permille / 1000.0;
    slp_controller *ctl = slp_controller_init(mem.bytes, sizeof mem.bytes, &cfg);
    SL_ASSERT(ctl);

    double loss = 0, elapsed = 0, plain = 0, overrun = 0;
    for (int32_t at = 1; at < w.length;) {
        slp_stats before, after;
        const slp_draft draft = draft_of(&w, slp_next(ctl).propose, nodes);
        const slp_plan plan = slp_plan_draft(ctl, &draft);
        slp_controller_stats(ctl, &before);
        const int32_t k = sl__min_i32(plan.draft_tokens, draft.n_nodes);
        const int32_t matched = matched_of(&w, at, draft.n_nodes, k);
        const double slow = slowness(&w, at) * w.plain_ns;
        const double cost = k > 0 ? 1 + w.row_cost * pow(k, w.bend) : 1;
        slp_step step = {.drafted = k, .accepted = sl__min_i32(matched, k), .rows = k + 1};
        step.emitted = sl__min_i32(step.accepted + 1, w.length - at);
        step.pass_ns = (uint64_t)(cost * slow) + 1;
        if (step.accepted == k && k < draft.n_nodes) {
            step.shadow_compared = 1;
            step.shadow_matched = matched > k;
        }
        const slp_status observed = slp_observe(ctl, &step);
        SL_ASSERT(observed == SLP_OK);
        slp_controller_stats(ctl, &after);
        const double time = (double)step.pass_ns;
        elapsed += time;
        plain += step.emitted * slow;
        if (k > 0) {
            loss += time - step.emitted * before.plain_ns;
            overrun = time > before.expected_ns ? time - before.expected_ns : 0;
            overrun -= after.stutter_ns - before.stutter_ns;
        }
        /* t_plain may have become shorter since: then the limit did, after the fact */
        const double t = after.plain_ns > before.plain_ns ? after.plain_ns : before.plain_ns;
        const double bound = e * (elapsed + 100 * t) + overrun + after.stutter_ns;
        if (k > 0 && loss > bound * (1 + 1e-9)) r.broken = 1;
        if (k > 0 && loss / t > r.loss) {
            r.loss = loss / t;
            r.bound = bound / t;
        }
        at += step.emitted;
    }
    r.speedup = plain / elapsed;
    return r;
}

/* test_sensitivity.c - no constant of the ledger is a lucky number.
 *
 * Each constant of ledger_constants.h is halved and doubled, alone, and the ledger runs the same
 * made-up recordings: texts that copy and stop copying, easy and hard requests, drafts of several
 * kinds, two cost curves, 5% noise on what is measured. Gains are counted without noise. The
 * policy's sources are built into this test with SLP__TUNABLE, so that slp__k is defined here. */
#include "ledger_constants.h"

#include "policy_world.h"

#include <math.h>
#include <string.h>

enum { REQUESTS = 200, TOKENS_MAX = 500, NODES = 15, PLAIN_NS = 1000000 };

static const slp__constants as_shipped = {
#define X(name, value) value,
    SLP__CONSTANTS_MAP(X)
#undef X
};
slp__constants slp__k;

/* ---- recordings ---------------------------------------------------------------------- */

/* The draft after a token, and how much of it comes out. */
typedef struct point {
    slp_draft_node nodes[NODES];
    int32_t n, matched;
} point;

typedef struct recording {
    point points[TOKENS_MAX];
    int32_t tokens;
} recording;

static recording recordings[REQUESTS];

/* A copy is found by a long match and mostly right. Elsewhere a draft rests on one or two
 * tokens, and how likely it is depends on the match, on what followed before, and on the
 * request: ease -0.6 .. 0.2. In a trap copies are only begun. */
static point point_of(uint64_t *seed, int copying, int32_t copied, double ease, int trap) {
    point p;
    memset(&p, 0, sizeof(p));
    if (random_unit(seed) > (copying ? 0.95 : 0.6)) return p;
    p.n = random_in(seed, copying ? 8 : 1, NODES);
    const int32_t match = copying ? 1 + copied : random_in(seed, 1, 2);
    int right = 1;
    for (int32_t i = 0; i < p.n; i++) {
        const int32_t seen = random_in(seed, 0, copying ? 2 : 4);
        const int32_t agreed = copying ? seen : random_in(seed, 0, seen);
        const double share = seen > 0 ? (double)agreed / seen : 0.3;
        const double chance =
            copying ? (trap ? 0.1 : 0.94) : 0.1 * match + 0.45 * share + ease - 0.05 * (i > 0);
        p.nodes[i] = (slp_draft_node){match < 5 ? match : 5, seen, agreed, 0};
        right = right && random_unit(seed) < chance;
        p.matched += right;
    }
    return p;
}

static int record(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int r = 0; r < REQUESTS; r++) {
        recording *out = &recordings[r];
        const double ease = 0.8 * random_unit(&seed) - 0.6;
        const int trap = r % 10 == 9;
        const double starts = 0.03 * random_unit(&seed), ends = 0.01 + 0.1 * random_unit(&seed);
        int copying = 0;
        int32_t copied = 0;
        out->tokens = random_in(&seed, 100, TOKENS_MAX);
        for (int32_t at = 0; at < out->tokens; at++) {
            copying = random_unit(&seed) < (copying ? 1 - ends : starts);
            copied = copying ? copied + 1 : 0;
            out->points[at] = point_of(&seed, copying, copied, ease, trap);
        }
    }
    return 0;
}

/* ---- requests ------------------------------------------------------------------------ */

typedef struct gains {
    double mean;   /* plain time / time, geometric mean of the curves */
    double worst;  /* of a request                                     */
    double excess; /* of the loss over its bound, in plain iterations: at most 0 if it holds */
    int64_t rows;  /* verified: who decides otherwise verifies others  */
} gains;

/* Time of a pass in plain iterations: close to "target" and "dense" of docs/policy.md. */
static double pass_time(int curve, int32_t k) {
    return k == 0 ? 1 : 1 + (curve == 0 ? 0.28 * pow(k, 0.75) : 0.017 * k);
}

static slp_step step_of(const recording *r, int32_t at, int32_t k) {
    const point *p = &r->points[at];
    slp_step step;
    memset(&step, 0, sizeof(step));
    step.drafted = k;
    step.accepted = k < p->matched ? k : p->matched;
    step.emitted = step.accepted + 1 < r->tokens - at ? step.accepted + 1 : r->tokens - at;
    step.shadow_compared = step.accepted == k && k < p->n;
    step.shadow_matched = step.shadow_compared && p->matched > k;
    return step;
}

/* One request. Returns its time in plain iterations; the bound is that of docs/policy.md,
 * section 5, with the constants as they are now. */
static double run(const recording *r, int curve, uint64_t seed, slp_prior *prior, gains *g) {
    policy_memory mem;
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = SLP_POLICY_LEDGER;
    cfg.draft_tokens_max = NODES;
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    slp_controller_use(ctl, prior);
    const double e = cfg.ledger.loss_max_permille / 1000.0;
    double time = 0, elapsed = 0, loss = 0;
    for (int32_t at = 0; at < r->tokens;) {
        const slp_draft draft = {r->points[at].nodes, r->points[at].n, 0};
        const slp_plan plan = slp_plan_draft(ctl, &draft);
        const slp_stats before = stats_of(ctl);
        slp_step step = step_of(r, at, plan.draft_tokens);
        const double cost = pass_time(curve, step.drafted);
        const double noise = 1 + 0.05 * sqrt(3.0) * (2 * random_unit(&seed) - 1);
        step.pass_ns = (uint64_t)(cost * noise * PLAIN_NS);
        assert_int_equal(slp_observe(ctl, &step), SLP_OK);
        time += cost;
        at += step.emitted;
        g->rows += step.drafted;
        const double ns = (double)step.pass_ns;
        elapsed += ns;
        if (step.drafted == 0) continue;
        loss += ns - step.emitted * before.plain_ns;
        const double stutter = stats_of(ctl).stutter_ns;
        double overrun = ns > before.expected_ns ? ns - before.expected_ns : 0;
        overrun += before.stutter_ns; /* all stutters but this one, which is in it */
        if (overrun < stutter) overrun = stutter;
        const double bound = e * (elapsed + slp__k.grace_tokens * before.plain_ns) + overrun;
        const double excess = (loss - bound) / before.plain_ns;
        if (excess > g->excess) g->excess = excess;
    }
    slp_prior_learn(prior, ctl);
    return time;
}

static gains run_all(void) {
    gains g = {1, 1e9, -1e9, 0};
    for (int curve = 0; curve < 2; curve++) {
        union {
            uint64_t align;
            char bytes[SLP_PRIOR_BYTES_MAX];
        } mem;
        slp_prior *prior = slp_prior_init(mem.bytes, sizeof(mem.bytes));
        double plain = 0, time = 0;
        for (int r = 0; r < REQUESTS; r++) {
            const double t = run(&recordings[r], curve, (uint64_t)r + 1, prior, &g);
            plain += recordings[r].tokens;
            time += t;
            if (recordings[r].tokens / t < g.worst) g.worst = recordings[r].tokens / t;
        }
        g.mean *= sqrt(plain / time);
    }
    return g;
}

/* ---- constants ------------------------------------------------------------------------ */

typedef struct constant {
    const char *name;
    size_t offset;
} constant;

static const constant constants[] = {
#define X(name, value) {#name, offsetof(slp__constants, name)},
    SLP__CONSTANTS_MAP(X)
#undef X
};

enum { CONSTANTS = sizeof(constants) / sizeof(constants[0]) };

/* How far the mean may move when a constant is halved or doubled. Pessimism trades the mean for
 * the worst request, so it is the one that is felt. */
static double tolerance_of(const constant *c) {
    return strcmp(c->name, "pessimism") == 0 ? 0.03 : 0.01;
}

static gains run_with(const constant *c, double factor) {
    slp__k = as_shipped;
    double value;
    memcpy(&value, (const char *)&as_shipped + c->offset, sizeof(value));
    value *= factor;
    memcpy((char *)&slp__k + c->offset, &value, sizeof(value));
    const gains g = run_all();
    slp__k = as_shipped;
    return g;
}

/* Fails if: the gain hangs on one constant's exact value, or the bound on any. */
static void no_constant_is_a_lucky_number(void **state) {
    (void)state;
    slp__k = as_shipped;
    const gains shipped = run_all();
    print_message("    as shipped: mean %.4f, worst %.4f, %lld rows\n", shipped.mean, shipped.worst,
                  (long long)shipped.rows);
    assert_true(shipped.excess <= 1e-6);
    for (int i = 0; i < CONSTANTS; i++)
        for (int doubled = 0; doubled <= 1; doubled++) {
            const gains g = run_with(&constants[i], doubled ? 2 : 0.5);
            const double moved = g.mean / shipped.mean - 1;
            print_message("    %-16s %s: mean %+.2f%%, worst %.4f, %+lld rows\n", constants[i].name,
                          doubled ? "x 2  " : "x 0.5", 100 * moved, g.worst,
                          (long long)(g.rows - shipped.rows));
            assert_true(fabs(moved) < tolerance_of(&constants[i]));
            assert_true(g.worst > 0.975);
            assert_true(g.excess <= 1e-6);
        }
}

/* Fails if: the test above could not see a bad constant, or one decides nothing any more. */
static void a_bad_constant_is_seen(void **state) {
    (void)state;
    slp__k = as_shipped;
    const gains shipped = run_all();
    int seen = 0;
    for (int i = 0; i < CONSTANTS; i++) {
        const gains g = run_with(&constants[i], 0.02);
        const double moved = g.mean / shipped.mean - 1;
        print_message("    %-16s x 0.02: mean %+.2f%%\n", constants[i].name, 100 * moved);
        assert_true(g.rows != shipped.rows);
        assert_true(g.excess <= 1e-6); /* whatever they are, the bound holds */
        seen += fabs(moved) >= tolerance_of(&constants[i]);
    }
    assert_true(seen >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_constant_is_a_lucky_number),
        cmocka_unit_test(a_bad_constant_is_seen),
    };
    return cmocka_run_group_tests_name("sensitivity", tests, record, NULL);
}

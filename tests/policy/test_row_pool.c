/* test_row_pool.c - several requests in one pass: which of their nodes get a row. */
#include "policy_world.h"

#include <stdint.h>
#include <string.h>

enum { NODES = 10, REQUESTS = 3, ROWS = NODES + REQUESTS + 1 };
#define NO_LIMIT 1e300

/* A small random pool: chains and trees, rows of any price, experts or none. */
typedef struct pool_world {
    slp_pool pool;
    slp_pool_request requests[REQUESTS];
    slp_pool_node nodes[NODES];
    double row_ns[ROWS];
    uint64_t experts[NODES + REQUESTS];
} pool_world;

static double pool_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void make_pool(pool_world *w, uint64_t seed, int with_experts) {
    uint64_t s = seed * 2 + 1;
    memset(w, 0, sizeof(*w));
    w->pool.requests = w->requests;
    w->pool.nodes = w->nodes;
    w->pool.row_ns = w->row_ns;
    w->pool.n_requests = 1 + (int32_t)(pool_random(&s) * REQUESTS);
    w->pool.n_nodes = (int32_t)(pool_random(&s) * (NODES + 1));
    for (int32_t r = 1; r < ROWS; r++)
        w->row_ns[r] = w->row_ns[r - 1] + pool_random(&s) * (r == 1 ? 3 : 1) + 0.01;
    for (int i = 0; i < NODES + REQUESTS; i++)
        for (int draws = 0; draws < 4; draws++)
            w->experts[i] |= (uint64_t)1 << (int)(pool_random(&s) * 16);
    for (int32_t r = 0; r < REQUESTS; r++) {
        w->requests[r].room_ns = pool_random(&s) < 0.5 ? NO_LIMIT : 4 * pool_random(&s);
        w->requests[r].experts = with_experts ? &w->experts[NODES + r] : NULL;
    }
    for (int32_t i = 0; i < w->pool.n_nodes; i++) {
        slp_pool_node *node = &w->nodes[i];
        const int32_t parent = (int32_t)(pool_random(&s) * (i + 1)) - 1;
        node->parent = parent;
        node->request = parent >= 0 ? w->nodes[parent].request
                                    : (int32_t)(pool_random(&s) * w->pool.n_requests);
        node->chance = pool_random(&s);
        node->experts = with_experts ? &w->experts[i] : NULL;
    }
    if (with_experts) {
        w->pool.expert_words = 1;
        w->pool.expert_ns = 0.2 * pool_random(&s);
    }
}

static int bits(uint64_t x) {
    int n = 0;
    for (; x; x &= x - 1)
        n++;
    return n;
}

/* What a set of nodes is worth, straight from the definition; -1 if it is not allowed. */
static double worth(const pool_world *w, uint32_t set) {
    double tokens = 0, survival[NODES] = {0};
    uint64_t roots = 0, all;
    int32_t rows = w->pool.n_requests;
    for (int32_t r = 0; r < w->pool.n_requests; r++)
        roots |= w->requests[r].experts ? *w->requests[r].experts : 0;
    all = roots;
    for (int32_t i = 0; i < w->pool.n_nodes; i++) {
        const int32_t parent = w->nodes[i].parent;
        survival[i] = w->nodes[i].chance * (parent >= 0 ? survival[parent] : 1);
        if (!(set >> i & 1)) continue;
        if (parent >= 0 && !(set >> parent & 1)) return -1;
        tokens += survival[i];
        all |= w->nodes[i].experts ? *w->nodes[i].experts : 0;
        rows++;
    }
    const double plain = w->row_ns[w->pool.n_requests] + w->pool.expert_ns * bits(roots);
    const double extra = w->row_ns[rows] + w->pool.expert_ns * bits(all) - plain;
    for (int32_t r = 0; r < w->pool.n_requests; r++)
        if (set && extra > w->requests[r].room_ns) return -1;
    return tokens - w->pool.n_requests * extra / plain;
}

static double best_worth(const pool_world *w) {
    double best = 0;
    for (uint32_t set = 0; set < (uint32_t)1 << w->pool.n_nodes; set++)
        if (worth(w, set) > best) best = worth(w, set);
    return best;
}

static double planned_worth(const pool_world *w) {
    uint8_t chosen[NODES + 1];
    slp_pool_report report;
    uint32_t set = 0;
    assert_int_equal(slp_pool_plan(&w->pool, chosen, &report), SLP_OK);
    for (int32_t i = 0; i < w->pool.n_nodes; i++)
        set |= (uint32_t)chosen[i] << i;
    assert_int_equal(report.rows, w->pool.n_requests + bits(set));
    const double value = worth(w, set);
    assert_true(value >= 0); /* closed under parents, within every room, never a loss */
    const double net =
        report.tokens - w->pool.n_requests * (report.pass_ns - report.plain_ns) / report.plain_ns;
    assert_true(net > value - 1e-9 && net < value + 1e-9);
    return value;
}

/* Fails if: a request's nodes compete among themselves only, the search stops at the first
 * node that does not pay, or a room is read as anything but the least. */
static void without_experts_no_set_of_nodes_is_better(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        pool_world w;
        make_pool(&w, seed, 0);
        const double planned = planned_worth(&w), best = best_worth(&w);
        assert_true(planned > best - 1e-9);
    }
}

/* Fails if: an expert is charged twice or never, or the greedy choice ignores overlap. */
static void with_experts_little_is_lost_against_every_set(void **state) {
    double planned = 0, best = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        pool_world w;
        make_pool(&w, seed, 1);
        planned += planned_worth(&w);
        best += best_worth(&w);
    }
    assert_true(best > 100);
    assert_true(planned > 0.97 * best);
}

/* Fails if: experts of the roots are counted as the node's. */
static void a_node_whose_experts_the_roots_read_is_cheap(void **state) {
    pool_world w;
    uint8_t chosen[2];
    (void)state;
    make_pool(&w, 1, 1);
    w.pool.n_requests = 1;
    w.pool.n_nodes = 2;
    w.pool.expert_ns = 0.1;
    w.requests[0].room_ns = NO_LIMIT;
    w.row_ns[1] = 1, w.row_ns[2] = 1.01, w.row_ns[3] = 1.02;
    w.experts[NODES] = 0x0f;
    w.experts[0] = 0x0f, w.experts[1] = 0xf0;
    for (int i = 0; i < 2; i++) {
        w.nodes[i].request = 0;
        w.nodes[i].parent = -1;
        w.nodes[i].chance = 0.2;
        w.nodes[i].experts = &w.experts[i];
    }
    assert_int_equal(slp_pool_plan(&w.pool, chosen, NULL), SLP_OK);
    assert_int_equal(chosen[0], 1);
    assert_int_equal(chosen[1], 0);
}

/* Fails if: rows of one request may cost another more than it can bear. */
static void one_request_without_room_is_kept_waiting_by_nobody(void **state) {
    pool_world w;
    uint8_t chosen[1];
    (void)state;
    make_pool(&w, 1, 0);
    w.pool.n_requests = 2;
    w.pool.n_nodes = 1;
    w.row_ns[2] = 1, w.row_ns[3] = 1.1;
    w.nodes[0] = (slp_pool_node){0, -1, 0.9, NULL};
    w.requests[0].room_ns = w.requests[1].room_ns = NO_LIMIT;
    assert_int_equal(slp_pool_plan(&w.pool, chosen, NULL), SLP_OK);
    assert_int_equal(chosen[0], 1);
    w.requests[1].room_ns = 0.05;
    assert_int_equal(slp_pool_plan(&w.pool, chosen, NULL), SLP_OK);
    assert_int_equal(chosen[0], 0);
}

/* Fails if: a number out of range is used instead of refused. */
static void numbers_out_of_range_are_refused(void **state) {
    uint8_t chosen[NODES + 1];
    pool_world w;
    (void)state;
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        make_pool(&w, 3, 1);                                                                       \
        w.pool.n_requests = 2, w.pool.n_nodes = 2;                                                 \
        w.nodes[0] = (slp_pool_node){0, -1, 0.5, NULL};                                            \
        w.nodes[1] = (slp_pool_node){0, 0, 0.5, NULL};                                             \
        assert_int_equal(slp_pool_plan(&w.pool, chosen, NULL), SLP_OK);                            \
        change;                                                                                    \
        assert_int_equal(slp_pool_plan(&w.pool, chosen, NULL), SLP_E_ARG);                         \
    } while (0)
    REFUSED(w.pool.n_requests = 0);
    REFUSED(w.pool.n_requests = SLP_POOL_REQUESTS_MAX + 1);
    REFUSED(w.pool.n_nodes = SLP_POOL_NODES_MAX + 1);
    REFUSED(w.pool.expert_words = SLP_POOL_EXPERT_WORDS_MAX + 1);
    REFUSED(w.pool.expert_ns = -1);
    REFUSED(w.row_ns[2] = 0);
    REFUSED(w.nodes[1].parent = 1);
    REFUSED(w.nodes[1].parent = -2);
    REFUSED(w.nodes[1].request = 1);
    REFUSED(w.nodes[0].request = 2);
    REFUSED(w.nodes[0].chance = 1.5);
#undef REFUSED
}

/* Fails if: the chances are not those the ledger decided by, or other policies have any. */
static void the_chances_of_a_draft_can_be_asked_for(void **state) {
    policy_memory mem;
    slp_config cfg;
    slp_draft_node nodes[3];
    double chance[SLP_DRAFT_TOKENS_MAX];
    const slp_draft draft = {nodes, 3, 0};
    (void)state;
    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < 3; i++)
        nodes[i].match = 5, nodes[i].seen = nodes[i].agreed = 3;
    slp_config_defaults(&cfg);
    cfg.policy = SLP_POLICY_LEDGER;
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    assert_int_equal(slp_draft_chances(ctl, chance), 0);
    (void)slp_plan_draft(ctl, &draft);
    assert_int_equal(slp_draft_chances(ctl, chance), 3);
    for (int i = 0; i < 3; i++)
        assert_true(chance[i] > 0.3 && chance[i] < 1);
    cfg.policy = SLP_POLICY_CASCADE;
    ctl = cascade_begin(&mem, &cfg);
    (void)slp_plan_draft(ctl, &draft);
    assert_int_equal(slp_draft_chances(ctl, chance), 0);
}

/* ---- grants --------------------------------------------------------------------------- */

enum { OFFERED = 7 };

static slp_controller *begin_shared(policy_memory *mem, const char *policy) {
    slp_config cfg;
    slp_config_defaults(&cfg);
    assert_int_equal(slp_policy_parse(policy, &cfg, NULL), SLP_OK);
    return cascade_begin(mem, &cfg);
}

static void show_draft(slp_controller *ctl) {
    slp_draft_node nodes[OFFERED];
    for (int i = 0; i < OFFERED; i++)
        nodes[i] = (slp_draft_node){5, 2, 2, 0};
    const slp_draft draft = {nodes, OFFERED, 0};
    slp_plan_draft(ctl, &draft);
}

static slp_status observe_shared(slp_controller *ctl, int32_t k, int32_t accepted, double ns) {
    slp_step step;
    memset(&step, 0, sizeof(step));
    step.drafted = k;
    step.accepted = accepted;
    step.emitted = accepted + 1;
    step.pass_ns = (uint64_t)ns;
    return slp_observe(ctl, &step);
}

/* Fails if: more rows than the controller would choose alone are refused, more than the draft
 * has are not, or nonsense changes anything. */
static void a_grant_replaces_the_plan_of_a_ledger(void **state) {
    (void)state;
    policy_memory mem;
    slp_controller *ctl = begin_shared(&mem, "ledger");
    const slp_grant early = {1, 1500, 1000}, good = {5, 1500, 1000},
                    over = {OFFERED + 1, 1500, 1000}, below = {5, 900, 1000}, none = {5, 1500, 0},
                    negative = {-1, 1500, 1000};
    assert_int_equal(slp_plan_grant(ctl, &early), SLP_E_ARG); /* no draft was shown */
    show_draft(ctl);
    assert_int_equal(slp_plan_grant(ctl, &over), SLP_E_ARG);
    assert_int_equal(slp_plan_grant(ctl, &below), SLP_E_ARG);
    assert_int_equal(slp_plan_grant(ctl, &none), SLP_E_ARG);
    assert_int_equal(slp_plan_grant(ctl, &negative), SLP_E_ARG);
    assert_int_equal(slp_next(ctl).reason, SLP_REASON_PLAIN_UNKNOWN);
    assert_int_equal(slp_plan_grant(ctl, &good), SLP_OK);
    assert_int_equal(slp_next(ctl).draft_tokens, 5);
    assert_int_equal(slp_next(ctl).reason, SLP_REASON_SHARED);
    assert_int_equal(observe_shared(ctl, 6, 0, 1500), SLP_E_ARG);
    assert_int_equal(observe_shared(ctl, 5, 5, 1500), SLP_OK);
    assert_true(stats_of(ctl).loss_ns == 1500 - 6 * 1000);
    assert_int_equal(slp_plan_grant(ctl, &early), SLP_E_ARG); /* the draft was used up */
}

/* Fails if: other policies are granted rows they did not plan, or refused fewer. */
static void other_policies_may_only_be_granted_less(void **state) {
    (void)state;
    policy_memory mem;
    slp_controller *ctl = begin_shared(&mem, "static:3");
    const slp_grant less = {2, 1500, 1000}, more = {4, 1500, 1000};
    show_draft(ctl);
    assert_int_equal(slp_plan_grant(ctl, &more), SLP_E_ARG);
    assert_int_equal(slp_plan_grant(ctl, &less), SLP_OK);
    assert_int_equal(slp_next(ctl).draft_tokens, 3);
    assert_int_equal(observe_shared(ctl, 2, 0, 1500), SLP_OK);
    assert_true(slp_pool_room(ctl, 1000) > 1e200);
}

/* Fails if: the time others took is not booked, or a pass over roots alone is. */
static void a_request_without_rows_is_charged_with_the_wait(void **state) {
    (void)state;
    policy_memory mem;
    slp_controller *ctl = begin_shared(&mem, "ledger");
    const slp_grant longer = {0, 1400, 1000}, roots = {0, 1000, 1000};
    show_draft(ctl);
    assert_true(slp_pool_room(ctl, 1000) == 1000); /* 1% of a hundred */
    assert_int_equal(slp_plan_grant(ctl, &longer), SLP_OK);
    assert_int_equal(observe_shared(ctl, 0, 0, 1300), SLP_OK); /* luck is not credited */
    assert_true(stats_of(ctl).loss_ns == 400);
    assert_true(slp_pool_room(ctl, 1000) == 0.01 * (1300 + 100 * 1000) - 400);
    show_draft(ctl);
    assert_int_equal(slp_plan_grant(ctl, &roots), SLP_OK);
    assert_int_equal(observe_shared(ctl, 0, 0, 5000), SLP_OK); /* plain decoding stutters too */
    assert_true(stats_of(ctl).loss_ns == 400);
}

/* Fails if: the time of a shared pass is taken for the time of a request alone, in the request
 * or in the next one. */
static void a_shared_pass_says_nothing_of_a_request_alone(void **state) {
    (void)state;
    policy_memory mem;
    union {
        uint64_t align;
        char bytes[SLP_PRIOR_BYTES_MAX];
    } prior_mem;
    slp_prior *prior = slp_prior_init(prior_mem.bytes, sizeof(prior_mem.bytes));
    slp_controller *ctl = begin_shared(&mem, "ledger");
    const slp_grant shared = {0, 9000, 8000};
    show_draft(ctl);
    assert_int_equal(observe_shared(ctl, 0, 0, 1000), SLP_OK);
    show_draft(ctl);
    assert_int_equal(slp_plan_grant(ctl, &shared), SLP_OK);
    assert_int_equal(observe_shared(ctl, 0, 0, 9000), SLP_OK);
    slp_prior_learn(prior, ctl);
    show_draft(ctl);
    assert_true(stats_of(ctl).plain_ns == 1000);
    ctl = begin_shared(&mem, "ledger");
    slp_controller_use(ctl, prior);
    assert_true(stats_of(ctl).plain_ns == 1000);
}

/* Fails if: room that was respected does not bound the loss: a request that never gets a row,
 * and others that take all the time it allows. */
static void room_that_is_kept_bounds_the_loss_of_one_that_waits(void **state) {
    (void)state;
    policy_memory mem;
    slp_controller *ctl = begin_shared(&mem, "ledger");
    double elapsed = 0;
    for (int i = 0; i < 2000; i++) {
        show_draft(ctl);
        const double room = slp_pool_room(ctl, 1000), extra = room > 1 ? room : 0;
        const slp_grant grant = {0, 1000 + extra, 1000};
        assert_int_equal(slp_plan_grant(ctl, &grant), SLP_OK);
        assert_int_equal(observe_shared(ctl, 0, 0, grant.pass_ns), SLP_OK);
        elapsed += grant.pass_ns;
        assert_true(elapsed - 1000.0 * (i + 1) <= 0.01 * (elapsed + 100 * 1000) + 1);
    }
    assert_true(elapsed > 1.005 * 1000 * 2000); /* and was used */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_experts_no_set_of_nodes_is_better),
        cmocka_unit_test(with_experts_little_is_lost_against_every_set),
        cmocka_unit_test(a_node_whose_experts_the_roots_read_is_cheap),
        cmocka_unit_test(one_request_without_room_is_kept_waiting_by_nobody),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(the_chances_of_a_draft_can_be_asked_for),
        cmocka_unit_test(a_grant_replaces_the_plan_of_a_ledger),
        cmocka_unit_test(other_policies_may_only_be_granted_less),
        cmocka_unit_test(a_request_without_rows_is_charged_with_the_wait),
        cmocka_unit_test(a_shared_pass_says_nothing_of_a_request_alone),
        cmocka_unit_test(room_that_is_kept_bounds_the_loss_of_one_that_waits),
    };
    return cmocka_run_group_tests_name("row_pool", tests, NULL, NULL);
}

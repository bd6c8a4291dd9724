/* test_sources.c - several drafters: whose draft is verified, and when one that takes time
 * is made at all. */
#include "policy_world.h"

#include <stdlib.h>
#include <string.h>

enum { PLAIN_NS = 1000000, NODES = 4 };

/* Two drafters of NODES nodes each: the first is free and offers something in `hits` of 10
 * iterations, the second takes token_ns per token. right[i]: all nodes of drafter i come
 * true, or none. */
typedef struct two_drafters {
    int right[2];
    int hits;
    uint64_t token_ns;
    double row_cost;
    slp_draft_node nodes[2][SLP_DRAFT_TOKENS_MAX];
    int64_t asked, chosen[2], iterations;
    double elapsed, plain; /* ns; of plain decoding for the same tokens */
} two_drafters;

static slp_config ledger_of(const char *policy) {
    slp_config cfg;
    slp_config_defaults(&cfg);
    assert_int_equal(slp_policy_parse(policy, &cfg, NULL), SLP_OK);
    return cfg;
}

static void fill(slp_draft_node *nodes, int paid) {
    for (int i = 0; i < SLP_DRAFT_TOKENS_MAX; i++) {
        nodes[i].match = paid ? 0 : 3;
        nodes[i].seen = nodes[i].agreed = 0;
        nodes[i].confidence = paid ? 0.8f : 0;
    }
}

static two_drafters two_world(int free_right, int paid_right, int hits, uint64_t token_ns) {
    two_drafters w;
    memset(&w, 0, sizeof(w));
    w.right[0] = free_right;
    w.right[1] = paid_right;
    w.hits = hits;
    w.token_ns = token_ns;
    w.row_cost = 0.2;
    fill(w.nodes[0], 0);
    fill(w.nodes[1], 1);
    return w;
}

static void one_iteration(two_drafters *w, slp_controller *ctl) {
    slp_offer offers[2];
    slp_choice choice;
    slp_step step;
    memset(offers, 0, sizeof(offers));
    memset(&step, 0, sizeof(step));
    for (int i = 0; i < 2; i++) {
        offers[i].draft.nodes = w->nodes[i];
        offers[i].draft.drafter = i;
    }
    offers[0].draft.n_nodes = w->iterations % 10 < w->hits ? NODES : 0;
    offers[1].paid = 1;
    offers[1].behind = 1;
    slp_plan plan = slp_plan_offers(ctl, offers, 2, &choice);
    if (choice.ask > 0) {
        assert_int_equal(choice.offer, 1);
        assert_false(offers[1].made);
        offers[1].draft.n_nodes = choice.ask < NODES ? choice.ask : NODES;
        offers[1].made = 1;
        offers[1].ns = w->token_ns * (uint64_t)offers[1].draft.n_nodes;
        step.draft_ns = offers[1].ns;
        w->asked++;
        plan = slp_plan_offers(ctl, offers, 2, &choice);
        assert_int_equal(choice.ask, 0);
    }
    const int c = choice.offer, n = offers[c].draft.n_nodes;
    assert_true(plan.draft_tokens <= n);
    step.drafted = plan.draft_tokens;
    step.accepted = w->right[c] ? step.drafted : 0;
    step.emitted = step.accepted + 1;
    step.rows = step.drafted + 1;
    step.pass_ns = (uint64_t)(PLAIN_NS * (1 + step.drafted * w->row_cost));
    step.shadow_compared = step.accepted == step.drafted && step.drafted < n;
    step.shadow_matched = step.shadow_compared && w->right[c];
    assert_int_equal(slp_observe(ctl, &step), SLP_OK);
    for (int i = 0; i < 2; i++) { /* up to the first wrong node, or the last known token */
        int known = offers[i].draft.n_nodes < step.emitted ? offers[i].draft.n_nodes : step.emitted;
        if (!w->right[i] && known > 1) known = 1;
        if (i != c) slp_observe_draft(ctl, &offers[i].draft, known, w->right[i] ? known : 0);
    }
    w->chosen[c] += step.drafted > 0;
    w->iterations++;
    w->elapsed += (double)(step.pass_ns + step.draft_ns);
    w->plain += (double)step.emitted * PLAIN_NS;
}

static void run(two_drafters *w, slp_controller *ctl, int iterations) {
    for (int i = 0; i < iterations; i++)
        one_iteration(w, ctl);
}

/* ---- without a model of acceptance -------------------------------------------------- */

/* Fails if: a draft behind an empty one is ignored, a paid one is made though an earlier one
 * has something, or one is made twice. */
static void other_policies_take_the_first_draft_that_is_there(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = ledger_of("static:3");
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    slp_draft_node nodes[3];
    slp_offer offers[2];
    slp_choice choice;
    memset(nodes, 0, sizeof(nodes));
    memset(offers, 0, sizeof(offers));
    offers[0].draft.nodes = offers[1].draft.nodes = nodes;
    offers[1].draft.drafter = 1;
    offers[1].paid = 1;
    assert_int_equal(slp_plan_offers(ctl, offers, 2, &choice).draft_tokens, 3);
    assert_int_equal(choice.offer, 1);
    assert_int_equal(choice.ask, 3);
    offers[1].made = 1;
    offers[1].draft.n_nodes = 2;
    (void)slp_plan_offers(ctl, offers, 2, &choice);
    assert_int_equal(choice.offer, 1);
    assert_int_equal(choice.ask, 0);
    offers[0].draft.n_nodes = 1;
    (void)slp_plan_offers(ctl, offers, 2, &choice);
    assert_int_equal(choice.offer, 0);
    offers[1].made = offers[1].draft.n_nodes = 0;
    (void)slp_plan_offers(ctl, offers, 2, &choice);
    assert_int_equal(choice.offer, 0);
    assert_int_equal(choice.ask, 0);
    assert_int_equal(slp_draft_goes_on(ctl, 1, nodes, 1), 1);
}

/* ---- ledger -------------------------------------------------------------------------- */

/* Fails if: the order of the offers decides, or a drafter that is not chosen is not judged
 * by what came out. */
static void the_draft_that_promises_most_is_verified(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = ledger_of("ledger");
    two_drafters w = two_world(0, 1, 10, 20000);
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    run(&w, ctl, 300);
    memset(w.chosen, 0, sizeof(w.chosen));
    run(&w, ctl, 100);
    assert_true(w.chosen[1] > 80 && w.chosen[0] < 5);
    w.right[0] = 1; /* now the free one is right too, and the other dear */
    w.token_ns = 150000;
    run(&w, ctl, 200);
    memset(w.chosen, 0, sizeof(w.chosen));
    w.asked = 0;
    run(&w, ctl, 100);
    assert_true(w.chosen[0] > 80);
    assert_true(w.asked < 20);
}

/* Fails if: drafting time is left out of the decision. */
static void a_draft_is_made_where_it_is_worth_its_time(void **state) {
    (void)state;
    static const struct {
        int right;
        uint64_t token_ns;
        int64_t least, most; /* drafts made in 200 iterations */
    } rows[] = {
        {1, 50000, 170, 200}, /* 4 tokens for 0.2 + 0.8 plain times */
        {1, 900000, 0, 12},   /* 4 tokens for 3.6 + 0.8             */
        {0, 50000, 0, 12},    /* nothing for 0.2                    */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        policy_memory mem;
        const slp_config cfg = ledger_of("ledger");
        two_drafters w = two_world(0, rows[i].right, 0, rows[i].token_ns);
        slp_controller *ctl = cascade_begin(&mem, &cfg);
        run(&w, ctl, 400);
        w.asked = 0;
        run(&w, ctl, 200);
        if (w.asked < rows[i].least || w.asked > rows[i].most)
            fail_msg("row %d: %d drafts", (int)i, (int)w.asked);
    }
}

/* Fails if: drafts are never made again once they were not worth it. */
static void a_drafter_that_becomes_right_is_found_again(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = ledger_of("ledger");
    two_drafters w = two_world(0, 0, 0, 50000);
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    run(&w, ctl, 500);
    w.right[1] = 1;
    run(&w, ctl, 1500);
    w.asked = 0;
    run(&w, ctl, 100);
    assert_true(w.asked > 80);
}

/* Fails if: time spent on drafts is not loss, or is spent without asking the ledger.
 * Drafters that change their mind at random, drafts of any price. */
static void drafting_stays_within_the_bound(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t r = seed;
        policy_memory mem;
        const slp_config cfg = ledger_of(seed % 2 ? "ledger" : "ledger:3%");
        const double e = cfg.ledger.loss_max_permille / 1000.0;
        const uint64_t token_ns = (uint64_t)random_in(&r, 1000, 600000);
        two_drafters w = two_world(0, 1, random_in(&r, 0, 10), token_ns);
        slp_controller *ctl = cascade_begin(&mem, &cfg);
        /* An overrun: a pass, and a draft dearer than it was ever seen to be. */
        const double overrun = (double)PLAIN_NS * (NODES * w.row_cost) + NODES * (double)token_ns;
        for (int i = 0; i < 600; i++) {
            if (random_in(&r, 0, 30) == 0) w.right[0] = random_in(&r, 0, 1);
            if (random_in(&r, 0, 30) == 0) w.right[1] = random_in(&r, 0, 1);
            if (seed % 3 == 0) w.right[1] = i < 100; /* a trap */
            one_iteration(&w, ctl);
            const double limit = e * (w.elapsed + 100 * (double)PLAIN_NS) + overrun;
            if (w.elapsed - w.plain > limit * 1.0001)
                fail_msg("seed %d, iteration %d: lost %.0f of %.0f", (int)seed, i,
                         w.elapsed - w.plain, limit);
        }
    }
}

/* Fails if: an offer out of range is read, or more than SLP_DRAFTERS_MAX are. */
static void offers_out_of_range_count_as_empty(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = ledger_of("ledger");
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    slp_draft_node nodes[SLP_DRAFT_TOKENS_MAX];
    slp_offer offer;
    slp_choice choice;
    fill(nodes, 0);
    memset(&offer, 0, sizeof(offer));
    for (int i = 0; i < 6; i++) {
        offer.draft.nodes = i == 0 ? NULL : nodes;
        offer.draft.n_nodes = i == 1 ? -1 : i == 2 ? SLP_DRAFT_TOKENS_MAX : 2;
        offer.draft.drafter = i == 3 ? SLP_DRAFTERS_MAX : 0;
        offer.paid = i == 4 || i == 5; /* not made, but with nodes; an impossible lag */
        offer.made = i == 5;
        offer.behind = i == 5 ? -1 : 0;
        (void)slp_plan_offers(ctl, &offer, 1, &choice);
        assert_int_equal(slp_plan_offers(ctl, &offer, 1, &choice).draft_tokens, 0);
        assert_int_equal(choice.offer, 0);
    }
    assert_int_equal(slp_plan_offers(ctl, &offer, SLP_DRAFTERS_MAX + 1, &choice).draft_tokens, 0);
    assert_int_equal(slp_plan_offers(ctl, NULL, 1, &choice).draft_tokens, 0);
    assert_int_equal(slp_draft_goes_on(ctl, -1, nodes, 1), 0);
    assert_int_equal(slp_draft_goes_on(ctl, 0, nodes, SLP_DRAFT_TOKENS_MAX), 0);
}

/* Fails if: a token is drafted behind nodes that hardly anything survives, or if a likely
 * draft is cut short. */
static void a_draft_grows_while_its_next_token_pays(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = ledger_of("ledger");
    two_drafters w = two_world(0, 1, 0, 20000);
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    run(&w, ctl, 300);
    assert_int_equal(slp_draft_goes_on(ctl, 1, w.nodes[1], 2), 1);
    two_drafters bad = two_world(0, 0, 0, 20000);
    ctl = cascade_begin(&mem, &cfg);
    run(&bad, ctl, 1500);
    assert_int_equal(slp_draft_goes_on(ctl, 1, bad.nodes[1], 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_policies_take_the_first_draft_that_is_there),
        cmocka_unit_test(the_draft_that_promises_most_is_verified),
        cmocka_unit_test(a_draft_is_made_where_it_is_worth_its_time),
        cmocka_unit_test(a_drafter_that_becomes_right_is_found_again),
        cmocka_unit_test(drafting_stays_within_the_bound),
        cmocka_unit_test(offers_out_of_range_count_as_empty),
        cmocka_unit_test(a_draft_grows_while_its_next_token_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

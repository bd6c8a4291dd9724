/* test_controller.c - what holds for every policy: configuration, options, memory,
 * which steps are accepted, what is counted, and that garbage changes none of it. */
#include "policy_world.h"

#include <math.h>
#include <string.h>

/* ---- configuration and options ---------------------------------------------- */

/* Fails if a default is invalid or differs from the documented one. */
static void the_defaults_are_valid_and_as_documented(void **state) {
    (void)state;
    slp_config cfg;
    slp_config_defaults(&cfg);
    assert_int_equal(slp_config_check(&cfg, NULL), SLP_OK);
    assert_int_equal(cfg.policy, SLP_POLICY_OFF);
    assert_int_equal(cfg.draft_tokens_max, 7);
    assert_int_equal(cfg.cascade.plain_iterations, 4);
    assert_int_equal(cfg.cascade.plain_refresh_iterations, 100);
    assert_int_equal(cfg.cascade.first_draft_tokens, 1);
    assert_int_equal(cfg.cascade.trial_iterations, 4);
    assert_int_equal(cfg.cascade.trials_max, 4);
    assert_int_equal(cfg.cascade.trial_drafts_min, 2);
    assert_int_equal(cfg.cascade.steady_permille, 100);
    assert_int_equal(cfg.cascade.climb_step, 1);
    assert_int_equal(cfg.cascade.set_iterations, 16);
    assert_int_equal(cfg.cascade.off_growth, 2);
    assert_int_equal(cfg.cascade.off_iterations_max, 1024);
    assert_int_equal(cfg.cascade.disable_at_any_k, 0);
    assert_int_equal(cfg.ledger.loss_max_permille, 10);
}

/* One row per field and side: what is just outside, and the error it must give. */
static const struct {
    size_t offset;
    int32_t bad;
    const char *message;
} out_of_range[] = {
#define ROW(field, bad, range)                                                                     \
    { offsetof(slp_config, field), bad, range }
    ROW(draft_tokens_max, -1, "draft_tokens_max: expected a whole number in 0 .. 64"),
    ROW(draft_tokens_max, 65, "draft_tokens_max: expected a whole number in 0 .. 64"),
    ROW(static_draft_tokens, -1, "static_draft_tokens: expected a whole number in 0 .. 64"),
    ROW(static_draft_tokens, 8, "static_draft_tokens: expected a whole number in 0 .. 7"),
    ROW(cascade.plain_iterations, 0, "plain_iterations: expected a whole number in 1 .. 16"),
    ROW(cascade.plain_iterations, 17, "plain_iterations: expected a whole number in 1 .. 16"),
    ROW(cascade.plain_refresh_iterations, -1,
        "plain_refresh_iterations: expected a whole number in 0 .. 1048576"),
    ROW(cascade.first_draft_tokens, 0, "first_draft_tokens: expected a whole number in 1 .. 64"),
    ROW(cascade.first_draft_tokens, 65, "first_draft_tokens: expected a whole number in 1 .. 64"),
    ROW(cascade.trial_iterations, 0, "trial_iterations: expected a whole number in 1 .. 64"),
    ROW(cascade.trial_iterations, 1, "trial_drafts_min: expected a whole number in 0 .. 1"),
    ROW(cascade.trials_max, 0, "trials_max: expected a whole number in 1 .. 64"),
    ROW(cascade.trial_drafts_min, 5, "trial_drafts_min: expected a whole number in 0 .. 4"),
    ROW(cascade.steady_permille, 1001, "steady_permille: expected a whole number in 0 .. 1000"),
    ROW(cascade.climb_step, 0, "climb_step: expected a whole number in 1 .. 64"),
    ROW(cascade.set_iterations, 0, "set_iterations: expected a whole number in 1 .. 1048576"),
    ROW(cascade.set_iterations, 1025,
        "off_iterations_max: expected a whole number in 1025 .. 1048576"),
    ROW(cascade.off_growth, 0, "off_growth: expected a whole number in 1 .. 16"),
    ROW(cascade.off_iterations_max, 15,
        "off_iterations_max: expected a whole number in 16 .. 1048576"),
    ROW(cascade.disable_at_any_k, 2, "disable_at_any_k: expected a whole number in 0 .. 1"),
    ROW(ledger.loss_max_permille, -1, "loss_max_permille: expected a whole number in 0 .. 1000"),
    ROW(ledger.loss_max_permille, 1001, "loss_max_permille: expected a whole number in 0 .. 1000"),
#undef ROW
};

/* Fails if a range is not checked, or an invalid configuration makes a controller. */
static void each_field_out_of_range_is_named_with_its_range(void **state) {
    (void)state;
    policy_memory mem;
    for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++) {
        slp_config cfg;
        slp_error err;
        slp_config_defaults(&cfg);
        memcpy((char *)&cfg + out_of_range[i].offset, &out_of_range[i].bad, sizeof(int32_t));
        assert_int_equal(slp_config_check(&cfg, &err), SLP_E_ARG);
        assert_int_equal(err.code, SLP_E_ARG);
        assert_string_equal(err.text, out_of_range[i].message);
        assert_int_equal(slp_controller_size(&cfg), 0);
        assert_null(slp_controller_init(mem.bytes, sizeof(mem.bytes), &cfg));
    }
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = (slp_policy)4;
    assert_int_equal(slp_config_check(&cfg, NULL), SLP_E_ARG);
}

#define POLICIES_EXPECTED "expected off, static:K, cascade[:OPTION,...] or ledger[:LOSS%]"
#define OPTIONS_EXPECTED "cascade: expected no-back-off, no-hill-climb or disable-at-any-k"

static const struct {
    const char *text;
    slp_status status;
    size_t at;
    const char *message;
    slp_policy policy;
    int32_t static_k, growth, trials, any_k;
} options[] = {
    {"off", SLP_OK, 0, "", SLP_POLICY_OFF, 0, 2, 4, 0},
    {"static:0", SLP_OK, 0, "", SLP_POLICY_STATIC, 0, 2, 4, 0},
    {"static:7", SLP_OK, 0, "", SLP_POLICY_STATIC, 7, 2, 4, 0},
    {"cascade", SLP_OK, 0, "", SLP_POLICY_CASCADE, 0, 2, 4, 0},
    {"cascade:no-back-off", SLP_OK, 0, "", SLP_POLICY_CASCADE, 0, 1, 4, 0},
    {"cascade:no-hill-climb", SLP_OK, 0, "", SLP_POLICY_CASCADE, 0, 2, 1, 0},
    {"cascade:disable-at-any-k,no-back-off", SLP_OK, 0, "", SLP_POLICY_CASCADE, 0, 1, 4, 1},
    {"static:8", SLP_E_ARG, 7, "static:K: expected a whole number in 0 .. 7", 0, 0, 0, 0, 0},
    {"static:", SLP_E_FORMAT, 7, "static:K: expected a whole number in 0 .. 7", 0, 0, 0, 0, 0},
    {"static:-1", SLP_E_FORMAT, 7, "static:K: expected a whole number in 0 .. 7", 0, 0, 0, 0, 0},
    {"static:18446744073709551617", SLP_E_ARG, 7, "static:K: expected a whole number in 0 .. 7", 0,
     0, 0, 0, 0},
    {"static:3x", SLP_E_FORMAT, 8, "static:K: expected nothing after K", 0, 0, 0, 0, 0},
    {"static", SLP_E_FORMAT, 0, POLICIES_EXPECTED, 0, 0, 0, 0, 0},
    {"", SLP_E_FORMAT, 0, POLICIES_EXPECTED, 0, 0, 0, 0, 0},
    {"off ", SLP_E_FORMAT, 0, POLICIES_EXPECTED, 0, 0, 0, 0, 0},
    {"Cascade", SLP_E_FORMAT, 0, POLICIES_EXPECTED, 0, 0, 0, 0, 0},
    {"cascades", SLP_E_FORMAT, 7, "expected cascade[:OPTION,...]", 0, 0, 0, 0, 0},
    {"cascade:", SLP_E_FORMAT, 8, OPTIONS_EXPECTED, 0, 0, 0, 0, 0},
    {"cascade:no-back-off,", SLP_E_FORMAT, 20, OPTIONS_EXPECTED, 0, 0, 0, 0, 0},
    {"cascade:no-back-offs", SLP_E_FORMAT, 19, "expected cascade[:OPTION,...]", 0, 0, 0, 0, 0},
    {"cascade:fast", SLP_E_FORMAT, 8, OPTIONS_EXPECTED, 0, 0, 0, 0, 0},
};

/* Fails if a bad option is accepted, misplaced, or changes the configuration. */
static void policy_options_parse_or_say_what_was_expected_where(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        slp_config cfg, before;
        slp_error err;
        slp_config_defaults(&cfg);
        before = cfg;
        assert_int_equal(slp_policy_parse(options[i].text, &cfg, &err), options[i].status);
        assert_int_equal(err.code, options[i].status);
        assert_string_equal(err.text, options[i].message);
        assert_int_equal(err.at, options[i].at);
        if (options[i].status != SLP_OK) {
            assert_memory_equal(&cfg, &before, sizeof(cfg));
            assert_int_equal(slp_policy_parse(options[i].text, &cfg, NULL), options[i].status);
            continue;
        }
        assert_int_equal(cfg.policy, options[i].policy);
        assert_int_equal(cfg.static_draft_tokens, options[i].static_k);
        assert_int_equal(cfg.cascade.off_growth, options[i].growth);
        assert_int_equal(cfg.cascade.trials_max, options[i].trials);
        assert_int_equal(cfg.cascade.disable_at_any_k, options[i].any_k);
        assert_int_equal(slp_config_check(&cfg, NULL), SLP_OK);
    }
}

/* Fails if a value has no name, or the declared numbers of values are wrong. */
static void every_policy_phase_and_reason_has_a_name_and_nothing_else_has(void **state) {
    (void)state;
    for (int i = 0; i < SLP_POLICIES; i++)
        assert_string_not_equal(slp_policy_name((slp_policy)i), "?");
    for (int i = 0; i < SLP_PHASES; i++)
        assert_string_not_equal(slp_phase_name((slp_phase)i), "?");
    for (int i = 0; i < SLP_REASONS; i++) {
        assert_string_not_equal(slp_reason_name((slp_reason)i), "?");
        assert_string_not_equal(slp_reason_text((slp_reason)i), "?");
    }
    assert_string_equal(slp_policy_name((slp_policy)SLP_POLICIES), "?");
    assert_string_equal(slp_phase_name((slp_phase)SLP_PHASES), "?");
    assert_string_equal(slp_reason_name((slp_reason)SLP_REASONS), "?");
    assert_string_equal(slp_reason_text((slp_reason)SLP_REASONS), "?");
}

#define LOSS_EXPECTED "ledger:LOSS%: expected a whole number in 0 .. 100"

static const struct {
    const char *text;
    int32_t permille; /* -1: refused */
    size_t at;
    const char *message;
} losses[] = {
    {"ledger", 10, 0, ""},
    {"ledger:0%", 0, 0, ""},
    {"ledger:0.5%", 5, 0, ""},
    {"ledger:2%", 20, 0, ""},
    {"ledger:100%", 1000, 0, ""},
    {"ledger:100.1%", -1, 7, "ledger:LOSS%: expected at most 100%"},
    {"ledger:101%", -1, 7, LOSS_EXPECTED},
    {"ledger:", -1, 7, LOSS_EXPECTED},
    {"ledger:-1%", -1, 7, LOSS_EXPECTED},
    {"ledger:1", -1, 8, "ledger:LOSS%: expected % and nothing more"},
    {"ledger:1%x", -1, 9, "ledger:LOSS%: expected % and nothing more"},
    {"ledger:1.25%", -1, 9, "ledger:LOSS%, its one decimal: expected a whole number in 0 .. 9"},
    {"ledgers", -1, 6, "expected ledger[:LOSS%]"},
};

/* Fails if a loss is misread by a power of ten, or a bad one is accepted. */
static void the_ledgers_loss_is_a_percentage_with_one_decimal(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
        slp_config cfg;
        slp_error err;
        slp_config_defaults(&cfg);
        const slp_status status = slp_policy_parse(losses[i].text, &cfg, &err);
        assert_int_equal(status == SLP_OK, losses[i].permille >= 0);
        assert_string_equal(err.text, losses[i].message);
        assert_int_equal(err.at, losses[i].at);
        if (status != SLP_OK) continue;
        assert_int_equal(cfg.policy, SLP_POLICY_LEDGER);
        assert_int_equal(cfg.ledger.loss_max_permille, losses[i].permille);
    }
}

/* ---- memory ------------------------------------------------------------------ */

/* Fails if size or alignment is not checked, or bytes past the size are touched. */
static void a_controller_needs_exactly_its_size_and_eight_byte_alignment(void **state) {
    (void)state;
    policy_memory mem;
    slp_config cfg = cascade_config();
    cfg.draft_tokens_max = SLP_DRAFT_TOKENS_MAX;
    const size_t size = slp_controller_size(&cfg);
    assert_in_range(size, 1, SLP_CONTROLLER_BYTES_MAX - 8);
    assert_null(slp_controller_init(mem.bytes, size - 1, &cfg));
    assert_null(slp_controller_init(mem.bytes + 4, size, &cfg));
    assert_null(slp_controller_init(NULL, size, &cfg));
    memset(mem.bytes, 0x5a, sizeof(mem.bytes));
    slp_controller *ctl = slp_controller_init(mem.bytes, size, &cfg);
    assert_non_null(ctl);
    const policy_world world = world_of(2.0);
    world_run(&world, ctl, 300);
    for (size_t i = size; i < sizeof(mem.bytes); i++)
        assert_int_equal(mem.bytes[i], 0x5a);
}

/* ---- off and static ----------------------------------------------------------- */

/* Fails if either policy ever changes its mind. */
static void off_and_static_always_plan_the_same(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(0.3);
    slp_config cfg;
    slp_config_defaults(&cfg);
    for (int32_t k = -1; k <= 7; k++) {
        cfg.policy = k < 0 ? SLP_POLICY_OFF : SLP_POLICY_STATIC;
        cfg.static_draft_tokens = k < 0 ? 0 : k;
        slp_controller *ctl = cascade_begin(&mem, &cfg);
        for (int i = 0; i < 100; i++, world_run(&world, ctl, 1)) {
            const slp_plan plan = slp_next(ctl);
            assert_int_equal(plan.draft_tokens, cfg.static_draft_tokens);
            assert_int_equal(plan.phase, k < 0 ? SLP_PHASE_OFF : SLP_PHASE_STATIC);
            assert_int_equal(plan.reason, SLP_REASON_POLICY);
        }
        assert_true(stats_of(ctl).utility_mean == 0); /* no plain time to compare with */
    }
}

/* ---- steps -------------------------------------------------------------------- */

static const struct {
    const char *name;
    slp_step step;
    slp_status status;
} steps[] = {
    /* with a plan of K = 3: drafted, accepted, emitted, rows, experts, times */
    {"full", {3, 3, 4, 4, 32, 1, 1, 1, 0, 0}, SLP_OK},
    {"nothing found", {0, 0, 1, 1, 8, 1, 1, 1, 0, 0}, SLP_OK},
    {"ended by the first token", {3, 2, 0, 4, 32, 1, 1, 1, 0, 0}, SLP_OK},
    {"rows and experts not counted", {3, 0, 1, 0, 0, 1, 1, 1, 0, 0}, SLP_OK},
    {"no time at all", {3, 0, 1, 4, 0, 0, 0, 0, 0, 0}, SLP_OK},
    {"endless time", {3, 0, 1, 4, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0}, SLP_OK},
    {"more drafted than planned", {4, 0, 1, 5, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"negative draft", {-1, 0, 1, 1, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"more accepted than drafted", {2, 3, 4, 4, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"negative accepted", {2, -1, 0, 3, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"more emitted than accepted + 1", {3, 1, 3, 4, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"negative emitted", {3, 1, -1, 4, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"fewer rows than the draft and its root", {3, 1, 2, 3, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"negative rows", {3, 1, 2, -4, 8, 1, 1, 1, 0, 0}, SLP_E_ARG},
    {"the next node was right too", {3, 3, 4, 4, 8, 1, 1, 1, 1, 1}, SLP_OK},
    {"the next node was wrong", {0, 0, 1, 1, 8, 1, 1, 1, 1, 0}, SLP_OK},
    {"a shadow behind a rejected node", {3, 2, 3, 4, 8, 1, 1, 1, 1, 0}, SLP_E_ARG},
    {"more shadow matched than compared", {3, 3, 4, 4, 8, 1, 1, 1, 1, 2}, SLP_E_ARG},
    {"negative shadow", {3, 3, 4, 4, 8, 1, 1, 1, 0, -1}, SLP_E_ARG},
    {"more shadow than any draft", {3, 3, 4, 4, 8, 1, 1, 1, 62, 0}, SLP_E_ARG},
    {"negative experts", {3, 1, 2, 4, -1, 1, 1, 1, 0, 0}, SLP_E_ARG},
};

/* Fails if a check is missing, or a refused step changes more than its count. */
static void a_step_that_contradicts_its_plan_is_refused_and_changes_nothing(void **state) {
    (void)state;
    policy_memory mem;
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = SLP_POLICY_STATIC;
    cfg.static_draft_tokens = 3;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        slp_controller *ctl = cascade_begin(&mem, &cfg);
        if (slp_observe(ctl, &steps[i].step) != steps[i].status) fail_msg("%s", steps[i].name);
        slp_stats want, have = stats_of(ctl);
        assert_int_equal(have.iterations, steps[i].status == SLP_OK);
        assert_int_equal(have.refused, steps[i].status != SLP_OK);
        if (steps[i].status == SLP_OK) continue;
        memset(&want, 0, sizeof(want));
        want.refused = 1;
        assert_memory_equal(&have, &want, sizeof(have));
    }
}

/* Fails if a sum is left out or the clamp is not applied before it. */
static void the_statistics_are_sums_over_the_accepted_steps(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = cascade_config();
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    const slp_step plain = {0, 0, 1, 1, 8, 0, 900, 100, 0, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(slp_observe(ctl, &plain), SLP_OK);
    const slp_step half = {1, 0, 1, 2, 16, 500, 1400, 100, 0, 0},
                   full = {1, 1, 2, 2, 16, 0, 900, 100, 0, 0};
    assert_int_equal(slp_observe(ctl, &half), SLP_OK);
    assert_true(stats_of(ctl).utility_step == 0.5);
    assert_int_equal(slp_observe(ctl, &full), SLP_OK);
    assert_true(stats_of(ctl).utility_step == 2.0);
    const slp_stats s = stats_of(ctl);
    assert_int_equal(s.iterations, 6);
    assert_int_equal(s.phase_iterations[SLP_PHASE_START], 4);
    assert_int_equal(s.phase_iterations[SLP_PHASE_TEST], 2);
    assert_int_equal(s.phase_ns[SLP_PHASE_START], 4000);
    assert_int_equal(s.phase_ns[SLP_PHASE_TEST], 3000);
    assert_int_equal(s.emitted, 7);
    assert_int_equal(s.drafted, 2);
    assert_int_equal(s.accepted, 1);
    assert_int_equal(s.tests, 1);
    assert_int_equal(s.trials, 0);
    assert_true(s.utility_mean == 1.0); /* 3 tokens in the time of 3 */

    const slp_step endless = {1, 0, 1, 2, 16, UINT64_MAX, 0, 0, 0, 0};
    assert_int_equal(slp_observe(ctl, &endless), SLP_OK);
    assert_true(stats_of(ctl).phase_ns[SLP_PHASE_TEST] == 3000 + SLP_STEP_NS_MAX);
}

/* Fails if plain iterations, whose utility is about 1, dilute the mean. */
static void the_mean_utility_leaves_plain_iterations_out(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world losing = world_of(0.5);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    world_run(&losing, ctl, 100);
    assert_true(stats_of(ctl).phase_iterations[SLP_PHASE_OFF] > 16);
    assert_true(stats_of(ctl).utility_mean == 0.5);
}

/* ---- garbage ------------------------------------------------------------------- */

static slp_config random_config(uint64_t *seed) {
    slp_config cfg;
    slp_config_defaults(&cfg);
    cfg.policy = (slp_policy)random_in(seed, 0, 3);
    cfg.draft_tokens_max = random_in(seed, 0, random_in(seed, 0, 1) ? 3 : 64);
    cfg.static_draft_tokens = random_in(seed, 0, cfg.draft_tokens_max);
    cfg.cascade.plain_iterations = random_in(seed, 1, 16);
    cfg.cascade.plain_refresh_iterations = random_in(seed, 0, 60);
    cfg.cascade.first_draft_tokens = random_in(seed, 1, 64);
    cfg.cascade.trial_iterations = random_in(seed, 1, 8);
    cfg.cascade.trials_max = random_in(seed, 1, 8);
    cfg.cascade.trial_drafts_min = random_in(seed, 0, cfg.cascade.trial_iterations);
    cfg.cascade.steady_permille = random_in(seed, 0, 1000);
    cfg.cascade.climb_step = random_in(seed, 1, 8);
    cfg.cascade.set_iterations = random_in(seed, 1, 20);
    cfg.cascade.off_growth = random_in(seed, 1, 16);
    cfg.cascade.off_iterations_max = random_in(seed, 20, 100);
    cfg.cascade.disable_at_any_k = random_in(seed, 0, 1);
    cfg.ledger.loss_max_permille = random_in(seed, 0, random_in(seed, 0, 1) ? 20 : 1000);
    return cfg;
}

/* Half of the numbers plausible, half anything at all. */
static slp_step random_step(uint64_t *seed, const slp_plan *plan) {
    slp_step s;
    s.drafted = random_in(seed, 0, plan->draft_tokens);
    s.accepted = random_in(seed, 0, s.drafted);
    s.emitted = random_in(seed, 0, s.accepted + 1);
    s.rows = s.drafted + 1;
    s.experts = random_in(seed, 0, 1000);
    s.draft_ns = random_u64(seed) >> random_in(seed, 0, 63);
    s.pass_ns = random_u64(seed) >> random_in(seed, 0, 63);
    s.other_ns = random_u64(seed) >> random_in(seed, 0, 63);
    s.shadow_compared = s.accepted == s.drafted && s.drafted < 64 ? random_in(seed, 0, 1) : 0;
    s.shadow_matched = random_in(seed, 0, s.shadow_compared);
    switch (random_in(seed, 0, 12)) {
    case 0:
        s.drafted = (int32_t)(uint32_t)random_u64(seed);
        break;
    case 1:
        s.accepted = (int32_t)(uint32_t)random_u64(seed);
        break;
    case 2:
        s.emitted = (int32_t)(uint32_t)random_u64(seed);
        break;
    case 3:
        s.rows = (int32_t)(uint32_t)random_u64(seed);
        break;
    case 4:
        s.experts = (int64_t)random_u64(seed);
        break;
    case 5:
        s.draft_ns = s.pass_ns = s.other_ns = 0;
        break;
    case 6:
        s.shadow_compared = (int32_t)(uint32_t)random_u64(seed);
        break;
    default:
        break;
    }
    return s;
}

/* A draft, good or not, half of the time. */
static void random_draft(uint64_t *seed, slp_controller *ctl) {
    slp_draft_node nodes[SLP_DRAFT_TOKENS_MAX + 1];
    slp_draft draft = {nodes, random_in(seed, -1, slp_next(ctl).propose + 1), 0};
    draft.drafter = random_in(seed, 0, 9) ? random_in(seed, 0, 3) : random_in(seed, -9, 9);
    if (draft.n_nodes > SLP_DRAFT_TOKENS_MAX + 1) draft.n_nodes = 0;
    for (int32_t i = 0; i < draft.n_nodes; i++) {
        nodes[i].match = random_in(seed, -1, 9);
        nodes[i].seen = random_in(seed, -1, 4);
        nodes[i].agreed = random_in(seed, -1, 5);
        nodes[i].confidence = (float)random_unit(seed) * 3 - 1;
        if (random_in(seed, 0, 20) == 0) nodes[i].confidence = NAN;
    }
    if (random_in(seed, 0, 1)) slp_plan_draft(ctl, random_in(seed, 0, 20) ? &draft : NULL);
}

static void assert_sound(const slp_controller *ctl, const slp_config *cfg) {
    const slp_plan plan = slp_next(ctl);
    const slp_stats s = stats_of(ctl);
    int64_t iterations = 0;
    assert_true(plan.draft_tokens >= 0 && plan.draft_tokens <= cfg->draft_tokens_max);
    assert_string_not_equal(slp_phase_name(plan.phase), "?");
    assert_string_not_equal(slp_reason_name(plan.reason), "?");
    assert_true((plan.phase == SLP_PHASE_TEST || plan.phase == SLP_PHASE_SET) ==
                (plan.draft_tokens > 0 && cfg->policy == SLP_POLICY_CASCADE));
    for (int p = 0; p < SLP_PHASES; p++)
        iterations += s.phase_iterations[p];
    assert_true(iterations == s.iterations);
    assert_true(s.accepted <= s.drafted && s.emitted <= s.accepted + s.iterations);
    assert_true(isfinite(s.plain_ns) && isfinite(s.utility_step) && isfinite(s.utility_trial) &&
                isfinite(s.utility_mean));
    assert_true(isfinite(s.loss_ns) && isfinite(s.loss_max_ns) && isfinite(s.expected_ns) &&
                isfinite(s.expected_tokens));
    assert_true(plan.propose >= plan.draft_tokens && plan.propose <= cfg->draft_tokens_max);
    assert_true(s.utility_step >= 0 && s.utility_trial >= 0 && s.utility_mean >= 0);
}

/* Fails if any input can push K out of range, break a count, or give a NaN. */
static void garbage_never_breaks_a_plan_or_a_statistic(void **state) {
    (void)state;
    uint64_t seed = 21;
    for (int run = 0; run < 200; run++) {
        policy_memory mem;
        const slp_config cfg = random_config(&seed);
        slp_controller *ctl = cascade_begin(&mem, &cfg);
        for (int i = 0; i < 600; i++) {
            random_draft(&seed, ctl);
            const slp_plan plan = slp_next(ctl);
            const slp_step step = random_step(&seed, &plan);
            const slp_status status = slp_observe(ctl, &step);
            assert_true(status == SLP_OK || status == SLP_E_ARG);
            assert_sound(ctl, &cfg);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_valid_and_as_documented),
        cmocka_unit_test(each_field_out_of_range_is_named_with_its_range),
        cmocka_unit_test(policy_options_parse_or_say_what_was_expected_where),
        cmocka_unit_test(the_ledgers_loss_is_a_percentage_with_one_decimal),
        cmocka_unit_test(every_policy_phase_and_reason_has_a_name_and_nothing_else_has),
        cmocka_unit_test(a_controller_needs_exactly_its_size_and_eight_byte_alignment),
        cmocka_unit_test(off_and_static_always_plan_the_same),
        cmocka_unit_test(a_step_that_contradicts_its_plan_is_refused_and_changes_nothing),
        cmocka_unit_test(the_statistics_are_sums_over_the_accepted_steps),
        cmocka_unit_test(the_mean_utility_leaves_plain_iterations_out),
        cmocka_unit_test(garbage_never_breaks_a_plan_or_a_statistic),
    };
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}

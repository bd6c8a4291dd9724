/* test_cascade.c - every rule of the state machine at the top of cascade.c, with
 * the change to the code that each test is there to catch ("Fails if"). */
#include "policy_world.h"

#include <math.h>
#include <string.h>

static void assert_plan(const slp_controller *ctl, int32_t k, slp_phase phase, slp_reason reason) {
    const slp_plan plan = slp_next(ctl);
    assert_int_equal(plan.draft_tokens, k);
    assert_string_equal(slp_phase_name(plan.phase), slp_phase_name(phase));
    assert_string_equal(slp_reason_name(plan.reason), slp_reason_name(reason));
}

/* A controller past its start phase, about to run its first trial. */
static slp_controller *begin_test(policy_memory *mem, const slp_config *cfg,
                                  const policy_world *world) {
    slp_controller *ctl = cascade_begin(mem, cfg);
    world_run(world, ctl, cfg->cascade.plain_iterations);
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_TEST);
    return ctl;
}

/* ---- rule 1: start -------------------------------------------------------- */

/* Fails if the mean becomes a minimum or a sum, or drafting time is counted. */
static void four_plain_iterations_give_the_plain_time_without_drafting(void **state) {
    (void)state;
    static const uint64_t pass_ns[4] = {1000, 2000, 3000, 1600};
    policy_memory mem;
    const slp_config cfg = cascade_config();
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    for (int i = 0; i < 4; i++) {
        assert_plan(ctl, 0, SLP_PHASE_START, SLP_REASON_PLAIN_UNKNOWN);
        assert_true(stats_of(ctl).plain_ns == 0);
        slp_step step = {0, 0, 1, 1, 8, 500, 0, 100, 0, 0};
        step.pass_ns = pass_ns[i];
        assert_int_equal(slp_observe(ctl, &step), SLP_OK);
    }
    assert_true(stats_of(ctl).plain_ns == 2000);
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_TEST);
}

/* ---- rule 2: where a test begins ------------------------------------------ */

/* Fails if the first K is not the configured one, or not lowered to the limit. */
static void the_first_test_tries_the_configured_k_within_the_limit(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.5);
    slp_config cfg = cascade_config();
    assert_plan(begin_test(&mem, &cfg, &world), 1, SLP_PHASE_TEST, SLP_REASON_FIRST);
    cfg.cascade.first_draft_tokens = 3;
    assert_plan(begin_test(&mem, &cfg, &world), 3, SLP_PHASE_TEST, SLP_REASON_FIRST);
    cfg.draft_tokens_max = 2;
    assert_plan(begin_test(&mem, &cfg, &world), 2, SLP_PHASE_TEST, SLP_REASON_FIRST);
}

/* Fails if a test starts at the last K used, or history keeps the best trial ever
 * of a K instead of the latest. */
static void a_later_test_starts_at_the_k_with_the_best_latest_utility(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    const slp_config cfg = cascade_config();
    world.utility[2] = 1.5;
    world.utility[3] = 0.8;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 12); /* trials of 1, 2, 3 */
    assert_plan(ctl, 2, SLP_PHASE_SET, SLP_REASON_BRACKETED);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_BEST);

    world.utility[2] = 1.1; /* now K = 1, at 1.25, was the better one */
    world_run_phase(&world, ctl);
    assert_plan(ctl, 2, SLP_PHASE_SET, SLP_REASON_BRACKETED);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 1, SLP_PHASE_TEST, SLP_REASON_BEST);
}

/* Fails if the comparison in best_k() lets an equal, larger K win. */
static void equal_utilities_prefer_the_smaller_k(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(2.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_STEADY);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 1, SLP_PHASE_TEST, SLP_REASON_BEST);
}

/* ---- rule 3: a trial ------------------------------------------------------ */

/* Fails if a trial is not exactly trial_iterations long. */
static void a_trial_lasts_the_configured_number_of_iterations(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    slp_config cfg = cascade_config();
    world.utility[2] = 2.0;
    cfg.cascade.trial_iterations = 5;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    for (int i = 0; i < 5; i++, world_run(&world, ctl, 1))
        assert_plan(ctl, 1, SLP_PHASE_TEST, SLP_REASON_FIRST);
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_UP);
}

/* Fails if empty drafts lose their tokens or their time, if a mean of ratios
 * replaces the ratio of sums, or if drafting is left out of the cost. */
static void a_trials_utility_is_a_ratio_of_sums_over_all_its_iterations(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    const slp_step full = {1, 1, 2, 2, 16, 200, 1200, 100, 0, 0};
    const slp_step empty = {0, 0, 1, 1, 8, 100, 900, 0, 0, 0};
    assert_int_equal(slp_observe(ctl, &full), SLP_OK);
    assert_int_equal(slp_observe(ctl, &empty), SLP_OK);
    assert_int_equal(slp_observe(ctl, &full), SLP_OK);
    assert_int_equal(slp_observe(ctl, &empty), SLP_OK);
    assert_true(stats_of(ctl).utility_trial == 6 * 1000.0 / (2 * 1500 + 2 * 1000));
}

/* Fails if a draft shorter than K is filed under its own length. */
static void a_clipped_draft_counts_for_the_planned_k(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    slp_config cfg = cascade_config();
    cfg.cascade.first_draft_tokens = 5;
    cfg.cascade.trials_max = 1;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    const slp_step clipped = {2, 2, 3, 3, 24, 0, 1500, 0, 0, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(slp_observe(ctl, &clipped), SLP_OK);
    assert_plan(ctl, 5, SLP_PHASE_SET, SLP_REASON_TRIALS_SPENT);
}

static void observe_trial(slp_controller *ctl, int drafts, int empties, uint64_t pass_ns) {
    const int32_t k = slp_next(ctl).draft_tokens;
    slp_step full = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, empty = {0, 0, 1, 1, 8, 0, 1000, 0, 0, 0};
    full.drafted = full.accepted = k;
    full.emitted = full.rows = k + 1;
    full.pass_ns = pass_ns;
    for (int i = 0; i < empties; i++)
        assert_int_equal(slp_observe(ctl, &empty), SLP_OK);
    for (int i = 0; i < drafts; i++)
        assert_int_equal(slp_observe(ctl, &full), SLP_OK);
}

/* Fails if the threshold moves by one, or such a trial reaches the history. */
static void a_trial_with_one_draft_of_four_says_nothing(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    const slp_config cfg = cascade_config();

    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    observe_trial(ctl, 1, 3, 9000);
    assert_true(stats_of(ctl).utility_trial == 0);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_NO_DRAFTS); /* the K before any choice */
    assert_int_equal(world_run_phase(&world, ctl), 16);
    assert_plan(ctl, 1, SLP_PHASE_TEST, SLP_REASON_FIRST);

    ctl = begin_test(&mem, &cfg, &world);
    observe_trial(ctl, 2, 2, 9000);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_ONE_LOSES);
}

/* Fails if silence is taken for a choice: it would switch on, or double S. */
static void an_off_phase_is_repeated_unchanged_after_a_silent_test(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = cascade_config();
    policy_world losing = world_of(0.5), silent = world_of(0.5);
    silent.drafts_nothing = 1;

    slp_controller *ctl = begin_test(&mem, &cfg, &losing);
    world_run_phase(&losing, ctl);
    assert_int_equal(world_run_phase(&losing, ctl), 16);
    world_run_phase(&losing, ctl);
    assert_int_equal(world_run_phase(&losing, ctl), 32);
    assert_int_equal(world_run_phase(&silent, ctl), 4);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_NO_DRAFTS);
    assert_int_equal(world_run_phase(&losing, ctl), 32);
    world_run_phase(&losing, ctl);
    assert_int_equal(world_run_phase(&losing, ctl), 64);
}

/* Fails if a silent trial throws away what the test's earlier trials showed. */
static void a_silent_later_trial_leaves_the_choice_to_the_earlier_ones(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    observe_trial(ctl, 4, 0, 4000); /* K = 1 at 0.5: off */
    world_run_phase(&world, ctl);
    observe_trial(ctl, 4, 0, 1000); /* K = 1 at 2.0 */
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_UP);
    observe_trial(ctl, 0, 4, 0);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_NO_DRAFTS);
}

/* Fails if rule 3b chooses by argmax instead of 0. */
static void k_one_below_one_switches_off_whatever_was_tried_before(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(0.5);
    slp_config cfg = cascade_config();
    cfg.cascade.first_draft_tokens = 3;
    world.utility[2] = 1.25;
    world.utility[1] = 0.8;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 12);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_ONE_LOSES);
}

/* Fails if "below" becomes "at most": at 1 exactly the climb goes on. */
static void k_one_at_exactly_one_is_no_loss_and_climbs(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.0);
    const slp_config cfg = cascade_config();
    world.utility[2] = 2.0;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run(&world, ctl, 4);
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_UP);
}

/* Fails if disable_at_any_k is ignored, or is on by default. */
static void any_k_below_one_switches_off_only_if_asked(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    slp_config cfg = cascade_config();
    world.utility[2] = 0.8;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_BRACKETED);
    cfg.cascade.disable_at_any_k = 1;
    ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_ANY_LOSES);
}

/* Fails if the base is the new utility, or the boundary is excluded. */
static void a_change_within_the_share_of_the_previous_utility_ends_the_test(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.cascade.steady_permille = 500;
    world.utility[2] = 3.0; /* moved by 1.0 = half of 2.0, all exact in binary */
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8);
    assert_plan(ctl, 2, SLP_PHASE_SET, SLP_REASON_STEADY);

    cfg.cascade.steady_permille = 499; /* a third of 3.0 would still be steady */
    ctl = begin_test(&mem, &cfg, &world);
    world_run(&world, ctl, 8);
    assert_plan(ctl, 3, SLP_PHASE_TEST, SLP_REASON_UP);

    cfg.cascade.steady_permille = 334; /* 2.0 to 1.5 is a quarter: a fall can be steady */
    world.utility[2] = 1.5;
    ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_STEADY);
}

/* Fails if the first trial is compared with anything: nothing emitted is not steady. */
static void the_first_trial_is_never_steady(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    slp_config cfg = cascade_config();
    cfg.cascade.first_draft_tokens = 3;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    const slp_step nothing = {3, 0, 0, 4, 32, 0, 1000, 0, 0, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(slp_observe(ctl, &nothing), SLP_OK);
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_DOWN);
}

/* Fails if the count of trials is off by one, or not the configured one. */
static void a_test_has_at_most_four_trials(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    slp_config cfg = cascade_config();
    for (int k = 2; k <= 7; k++)
        world.utility[k] = world.utility[k - 1] * 1.25;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 16);
    assert_plan(ctl, 4, SLP_PHASE_SET, SLP_REASON_TRIALS_SPENT);
    assert_int_equal(stats_of(ctl).trials, 4);

    cfg.cascade.trials_max = 1; /* the ablation without hill climbing */
    ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 4);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_TRIALS_SPENT);
}

/* ---- rule 4: the climb ---------------------------------------------------- */

/* Fails if the first direction does not look at 1, or a rise turns the climb. */
static void below_one_the_climb_goes_down_and_goes_on_while_it_rises(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(0.5);
    slp_config cfg = cascade_config();
    cfg.cascade.first_draft_tokens = 3;
    world.utility[2] = 0.8;
    world.utility[1] = 1.6;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run(&world, ctl, 4);
    assert_plan(ctl, 2, SLP_PHASE_TEST, SLP_REASON_DOWN);
    world_run(&world, ctl, 4);
    assert_plan(ctl, 1, SLP_PHASE_TEST, SLP_REASON_DOWN);
    world_run(&world, ctl, 4);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_EDGE); /* 0 is never trialled */
}

/* Fails if a fall does not turn the climb, or a K is trialled twice. */
static void a_fall_turns_the_climb_and_meets_what_was_tried(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(0.8);
    slp_config cfg = cascade_config();
    cfg.cascade.first_draft_tokens = 4;
    world.utility[3] = 0.5;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_BRACKETED); /* all below 1 */

    world.utility[4] = 2.0;
    world.utility[5] = 1.6;
    ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8);
    assert_plan(ctl, 4, SLP_PHASE_SET, SLP_REASON_BRACKETED);
}

/* Fails if K_max may be exceeded by one. */
static void the_climb_stops_at_the_largest_k(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    slp_config cfg = cascade_config();
    world.utility[2] = 2.0;
    cfg.draft_tokens_max = 2;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8);
    assert_plan(ctl, 2, SLP_PHASE_SET, SLP_REASON_EDGE);
    cfg.draft_tokens_max = 1;
    ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 4);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_EDGE);
}

/* Fails if the step is not the configured one. */
static void the_climb_moves_by_the_configured_step(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    slp_config cfg = cascade_config();
    cfg.cascade.climb_step = 3;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run(&world, ctl, 4);
    assert_plan(ctl, 4, SLP_PHASE_TEST, SLP_REASON_UP);
}

/* ---- rules 5 and 6: choosing, set and off phases -------------------------- */

/* Fails if K = 0 loses a tie at utility 1: speculation without gain. */
static void a_utility_of_exactly_one_is_not_worth_drafting(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(1.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_STEADY);
}

/* Fails if S is wrong, or the set phase runs another K than the chosen one. */
static void a_set_phase_runs_sixteen_iterations_of_the_chosen_k(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(1.25);
    const slp_config cfg = cascade_config();
    world.utility[2] = 2.0;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    for (int i = 0; i < 16; i++, world_run(&world, ctl, 1))
        assert_plan(ctl, 2, SLP_PHASE_SET, SLP_REASON_BRACKETED);
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_TEST);
    assert_int_equal(stats_of(ctl).set_draft_tokens, 2);
    assert_int_equal(stats_of(ctl).set_iterations, 16);
}

static void assert_off_phases(const slp_config *cfg, const int *lengths, int n) {
    policy_memory mem;
    const policy_world losing = world_of(0.5);
    slp_controller *ctl = begin_test(&mem, cfg, &losing);
    for (int i = 0; i < n; i++) {
        assert_int_equal(world_run_phase(&losing, ctl), 4);
        assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_ONE_LOSES);
        assert_int_equal(stats_of(ctl).set_iterations, lengths[i]);
        assert_int_equal(world_run_phase(&losing, ctl), lengths[i]);
    }
}

/* Fails if the first off phase is already doubled, doubling stops, the cap is
 * missed, or the ablation still grows. */
static void off_phases_double_up_to_their_cap(void **state) {
    (void)state;
    slp_config cfg = cascade_config();
    const int doubled[] = {16, 32, 64, 128, 256, 512, 1024, 1024};
    assert_off_phases(&cfg, doubled, 8);
    cfg.cascade.off_iterations_max = 40;
    const int capped[] = {16, 32, 40, 40};
    assert_off_phases(&cfg, capped, 4);
    cfg.cascade.off_growth = 1;
    const int constant[] = {16, 16, 16, 16};
    assert_off_phases(&cfg, constant, 4);
}

/* Fails if choosing a K > 0 leaves the back-off where it was. */
static void a_winning_test_resets_the_back_off(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world losing = world_of(0.5), winning = world_of(2.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &losing);
    for (int length = 16; length <= 64; length *= 2) {
        world_run_phase(&losing, ctl);
        assert_int_equal(world_run_phase(&losing, ctl), length);
    }
    world_run_phase(&winning, ctl);
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_SET);
    assert_int_equal(world_run_phase(&winning, ctl), 16);
    world_run_phase(&losing, ctl);
    assert_int_equal(world_run_phase(&losing, ctl), 16);
}

/* ---- rule 7: refresh ------------------------------------------------------ */

/* Fails if inserted iterations eat into S, or their mean is not used. */
static void a_set_phase_pauses_to_measure_plain_decoding_again(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 20;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    assert_int_equal(world_run_phase(&world, ctl), 8); /* age 8 */
    assert_int_equal(world_run_phase(&world, ctl), 12);
    assert_plan(ctl, 0, SLP_PHASE_REFRESH, SLP_REASON_PLAIN_STALE);
    world.plain_ns = 3000;
    assert_int_equal(world_run_phase(&world, ctl), 4);
    assert_true(stats_of(ctl).plain_ns == 3000);
    assert_plan(ctl, 1, SLP_PHASE_SET, SLP_REASON_STEADY);
    assert_int_equal(world_run_phase(&world, ctl), 4); /* 12 + 4 = S */
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_TEST);
}

/* Fails if plain times left over from an off phase count towards a refresh. */
static void a_pause_measures_anew_whatever_an_off_phase_measured(void **state) {
    (void)state;
    policy_memory mem;
    policy_world losing = world_of(0.5), winning = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 40;
    slp_controller *ctl = begin_test(&mem, &cfg, &losing);
    world_run_phase(&losing, ctl);
    world_run_phase(&losing, ctl); /* 4 + 16 iterations, plain times left over */
    assert_int_equal(world_run_phase(&winning, ctl), 8);
    assert_int_equal(world_run_phase(&winning, ctl), 12);
    winning.plain_ns = 3000;
    assert_int_equal(world_run_phase(&winning, ctl), 4);
    assert_true(stats_of(ctl).plain_ns == 3000);
}

/* Fails if a refresh breaks into a test: its trials would use two plain times. */
static void a_test_is_finished_before_plain_decoding_is_measured_again(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(2.0);
    const slp_config cfg = cascade_config();
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    for (int cycle = 0; cycle < 4; cycle++) { /* 24 iterations each: age 96 */
        assert_int_equal(world_run_phase(&world, ctl), 8);
        assert_int_equal(world_run_phase(&world, ctl), 16);
    }
    assert_int_equal(world_run_phase(&world, ctl), 8); /* through age 100 */
    assert_plan(ctl, 0, SLP_PHASE_REFRESH, SLP_REASON_PLAIN_STALE);
    assert_int_equal(world_run_phase(&world, ctl), 4);
    assert_int_equal(world_run_phase(&world, ctl), 16);
}

/* Fails if the next test begins on a plain time that came due with the phase. */
static void a_refresh_due_at_the_end_of_a_set_phase_precedes_the_test(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 24;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    assert_int_equal(world_run_phase(&world, ctl), 16);
    assert_plan(ctl, 0, SLP_PHASE_REFRESH, SLP_REASON_PLAIN_STALE);
    assert_int_equal(world_run_phase(&world, ctl), 4);
    assert_int_equal(slp_next(ctl).phase, SLP_PHASE_TEST);
}

/* Fails if an off phase inserts iterations, uses more than the last four times, or
 * does not refresh at all. */
static void an_off_phase_takes_the_plain_time_from_its_own_iterations(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(0.5);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 10;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl); /* age 4 */
    world_run(&world, ctl, 2);
    world.plain_ns = 3000;
    world_run(&world, ctl, 3);
    assert_true(stats_of(ctl).plain_ns == 1000);
    world_run(&world, ctl, 1); /* age 10; the last four took 3000 */
    assert_true(stats_of(ctl).plain_ns == 3000);
    assert_int_equal(stats_of(ctl).phase_iterations[SLP_PHASE_REFRESH], 0);
    assert_int_equal(world_run_phase(&world, ctl), 10);
}

/* Fails if fewer than plain_iterations samples are averaged. */
static void an_off_phase_waits_for_four_plain_times(void **state) {
    (void)state;
    policy_memory mem;
    policy_world world = world_of(0.5);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 5;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run_phase(&world, ctl);
    world.plain_ns = 3000;
    world_run(&world, ctl, 3); /* due since the first of them */
    assert_true(stats_of(ctl).plain_ns == 1000);
    world_run(&world, ctl, 1);
    assert_true(stats_of(ctl).plain_ns == 3000);
}

/* Fails if 0 means "always stale". */
static void a_refresh_interval_of_zero_means_never(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.cascade.plain_refresh_iterations = 0;
    slp_controller *ctl = begin_test(&mem, &cfg, &world);
    world_run(&world, ctl, 1000);
    assert_int_equal(stats_of(ctl).phase_iterations[SLP_PHASE_REFRESH], 0);
    assert_int_equal(stats_of(ctl).phase_iterations[SLP_PHASE_START], 4);
}

/* ---- odd hosts ------------------------------------------------------------ */

/* Fails if a division by a zero time is possible. */
static void a_clock_that_stands_still_gives_finite_utilities(void **state) {
    (void)state;
    policy_memory mem;
    const slp_config cfg = cascade_config();
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    for (int i = 0; i < 500; i++) {
        const slp_plan plan = slp_next(ctl);
        const slp_step step = {plan.draft_tokens, 0, 1, 0, 0, 0, 0, 0, 0, 0};
        assert_int_equal(slp_observe(ctl, &step), SLP_OK);
        const slp_stats stats = stats_of(ctl);
        assert_true(isfinite(stats.utility_step) && isfinite(stats.utility_trial) &&
                    isfinite(stats.utility_mean));
    }
    assert_true(stats_of(ctl).plain_ns == 1);
}

/* Fails if cascade with nothing to draft leaves plain decoding. */
static void with_no_draft_tokens_allowed_cascade_is_plain_decoding(void **state) {
    (void)state;
    policy_memory mem;
    const policy_world world = world_of(2.0);
    slp_config cfg = cascade_config();
    cfg.draft_tokens_max = 0;
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    for (int i = 0; i < 50; i++, world_run(&world, ctl, 1))
        assert_plan(ctl, 0, SLP_PHASE_OFF, SLP_REASON_POLICY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_plain_iterations_give_the_plain_time_without_drafting),
        cmocka_unit_test(the_first_test_tries_the_configured_k_within_the_limit),
        cmocka_unit_test(a_later_test_starts_at_the_k_with_the_best_latest_utility),
        cmocka_unit_test(equal_utilities_prefer_the_smaller_k),
        cmocka_unit_test(a_trial_lasts_the_configured_number_of_iterations),
        cmocka_unit_test(a_trials_utility_is_a_ratio_of_sums_over_all_its_iterations),
        cmocka_unit_test(a_clipped_draft_counts_for_the_planned_k),
        cmocka_unit_test(a_trial_with_one_draft_of_four_says_nothing),
        cmocka_unit_test(an_off_phase_is_repeated_unchanged_after_a_silent_test),
        cmocka_unit_test(a_silent_later_trial_leaves_the_choice_to_the_earlier_ones),
        cmocka_unit_test(k_one_below_one_switches_off_whatever_was_tried_before),
        cmocka_unit_test(k_one_at_exactly_one_is_no_loss_and_climbs),
        cmocka_unit_test(any_k_below_one_switches_off_only_if_asked),
        cmocka_unit_test(a_change_within_the_share_of_the_previous_utility_ends_the_test),
        cmocka_unit_test(the_first_trial_is_never_steady),
        cmocka_unit_test(a_test_has_at_most_four_trials),
        cmocka_unit_test(below_one_the_climb_goes_down_and_goes_on_while_it_rises),
        cmocka_unit_test(a_fall_turns_the_climb_and_meets_what_was_tried),
        cmocka_unit_test(the_climb_stops_at_the_largest_k),
        cmocka_unit_test(the_climb_moves_by_the_configured_step),
        cmocka_unit_test(a_utility_of_exactly_one_is_not_worth_drafting),
        cmocka_unit_test(a_set_phase_runs_sixteen_iterations_of_the_chosen_k),
        cmocka_unit_test(off_phases_double_up_to_their_cap),
        cmocka_unit_test(a_winning_test_resets_the_back_off),
        cmocka_unit_test(a_set_phase_pauses_to_measure_plain_decoding_again),
        cmocka_unit_test(a_pause_measures_anew_whatever_an_off_phase_measured),
        cmocka_unit_test(a_test_is_finished_before_plain_decoding_is_measured_again),
        cmocka_unit_test(a_refresh_due_at_the_end_of_a_set_phase_precedes_the_test),
        cmocka_unit_test(an_off_phase_takes_the_plain_time_from_its_own_iterations),
        cmocka_unit_test(an_off_phase_waits_for_four_plain_times),
        cmocka_unit_test(a_refresh_interval_of_zero_means_never),
        cmocka_unit_test(a_clock_that_stands_still_gives_finite_utilities),
        cmocka_unit_test(with_no_draft_tokens_allowed_cascade_is_plain_decoding),
    };
    return cmocka_run_group_tests_name("cascade", tests, NULL, NULL);
}

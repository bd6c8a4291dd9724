/* test_trace.c - traces come back as they were written, broken ones are refused at
 * the right place, and a replay notices any decision that differs. */
#include "policy_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER                                                                                     \
    "slp-trace 3 policy=cascade draft_tokens_max=7 static_draft_tokens=0 loss_max_permille=10 "    \
    "plain_iterations=4 plain_refresh_iterations=100 first_draft_tokens=1 trial_iterations=4 "     \
    "trials_max=4 trial_drafts_min=2 steady_permille=100 climb_step=1 set_iterations=16 "          \
    "off_growth=2 off_iterations_max=1024 disable_at_any_k=0"
#define UP_TO_UTILITY                                                                              \
    "i=12 k=3 phase=test reason=up drafted=3 accepted=1 emitted=2 rows=4 experts=120 "             \
    "draft_ns=1500 pass_ns=2000000 other_ns=7 plain_ns=1000000 utility="
#define NO_DRAFT " shadow_compared=0 shadow_matched=0 drafter=0 paid_ns=0 nodes=-"
#define RECORD UP_TO_UTILITY "0.999" NO_DRAFT

static slp_trace_record example_record(void) {
    const slp_trace_record record = {12,
                                     {3, SLP_PHASE_TEST, SLP_REASON_UP, 3},
                                     {3, 1, 2, 4, 120, 1500, 2000000, 7, 0, 0},
                                     1000000,
                                     0.9992,
                                     0,
                                     "",
                                     0};
    return record;
}

/* ---- lines ------------------------------------------------------------------- */

/* Fails if the format changes without its version. */
static void lines_are_written_as_documented(void **state) {
    (void)state;
    char line[SLP_TRACE_LINE_MAX];
    size_t length = 0;
    const slp_config cfg = cascade_config();
    slp_trace_record record = example_record();
    assert_int_equal(slp_trace_format_header(line, sizeof(line), &cfg, &length), SLP_OK);
    assert_string_equal(line, HEADER);
    assert_int_equal(length, strlen(HEADER));
    assert_int_equal(slp_trace_format_record(line, sizeof(line), &record, &length), SLP_OK);
    assert_string_equal(line, RECORD);
    assert_int_equal(length, strlen(RECORD));
    record.utility = 0.0004; /* rounds to nothing known */
    assert_int_equal(slp_trace_format_record(line, sizeof(line), &record, NULL), SLP_OK);
    assert_non_null(strstr(line, " utility=-"));
}

/* Fails if a field is swapped, narrowed or lost on the way. */
static void extreme_values_come_back_as_they_were_and_fit_the_line(void **state) {
    (void)state;
    char line[SLP_TRACE_LINE_MAX];
    size_t length;
    slp_trace_record want = {INT64_MAX,
                             {INT32_MAX, SLP_PHASE_REFRESH, SLP_REASON_TRIALS_SPENT, 0},
                             {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT64_MAX, UINT64_MAX,
                              UINT64_MAX - 1, UINT64_MAX - 2, INT32_MAX, INT32_MAX},
                             UINT64_MAX - 3,
                             1e14 + 0.125,
                             SLP_DRAFTERS_MAX - 1,
                             "",
                             UINT64_MAX - 4};
    for (int i = 0; i < SLP_DRAFT_TOKENS_MAX; i++)
        want.nodes[i] = (char)('A' + i % 30);
    slp_trace_record have;
    assert_int_equal(slp_trace_format_record(line, sizeof(line), &want, &length), SLP_OK);
    assert_int_equal(slp_trace_parse_record(line, length, &have, NULL), SLP_OK);
    assert_true(have.iteration == want.iteration);
    assert_memory_equal(&have.plan, &want.plan, sizeof(want.plan));
    assert_memory_equal(&have.step, &want.step, sizeof(want.step));
    assert_true(have.plain_ns == want.plain_ns);
    assert_true(have.utility == want.utility);
    assert_int_equal(have.drafter, want.drafter);
    assert_string_equal(have.nodes, want.nodes);
    assert_true(have.paid_ns == want.paid_ns);

    slp_config cfg = cascade_config(), back;
    cfg.draft_tokens_max = cfg.static_draft_tokens = 64;
    cfg.cascade.set_iterations = cfg.cascade.off_iterations_max = SLP_PHASE_ITERATIONS_MAX;
    cfg.cascade.steady_permille = 1000;
    cfg.cascade.trial_drafts_min = cfg.cascade.trial_iterations = 64;
    assert_int_equal(slp_trace_format_header(line, sizeof(line), &cfg, &length), SLP_OK);
    assert_int_equal(slp_trace_parse_header(line, length, &back, NULL), SLP_OK);
    assert_memory_equal(&back, &cfg, sizeof(cfg));
}

/* Fails if a byte past the buffer is written or a cut line is left behind. */
static void a_buffer_one_byte_short_is_refused_and_left_empty(void **state) {
    (void)state;
    const slp_trace_record record = example_record();
    const size_t needed = strlen(RECORD) + 1;
    for (size_t size = 0; size <= needed; size++) {
        char *exact = malloc(size ? size : 1); /* the address sanitizer guards the end */
        assert_non_null(exact);
        const slp_status status = slp_trace_format_record(exact, size, &record, NULL);
        assert_int_equal(status, size < needed ? SLP_E_SPACE : SLP_OK);
        if (size > 0 && size < needed) assert_int_equal(exact[0], '\0');
        free(exact);
    }
}

/* Fails if the writer lets pass what the reader would refuse. */
static void what_no_controller_produces_is_not_written(void **state) {
    (void)state;
    char line[SLP_TRACE_LINE_MAX];
    slp_trace_record bad[13];
    for (int i = 0; i < 13; i++)
        bad[i] = example_record();
    bad[0].iteration = -1;
    bad[1].plan.draft_tokens = -1;
    bad[2].plan.phase = (slp_phase)SLP_PHASES;
    bad[3].plan.reason = (slp_reason)SLP_REASONS;
    bad[4].step.drafted = -1;
    bad[5].step.experts = -1;
    bad[6].utility = NAN;
    bad[7].utility = INFINITY;
    bad[8].utility = -1;
    bad[9].drafter = SLP_DRAFTERS_MAX;
    bad[10].nodes[0] = ' ';
    memset(bad[11].nodes, 'A', sizeof(bad[11].nodes)); /* not terminated */
    bad[12].step.shadow_matched = -1;
    for (int i = 0; i < 13; i++) {
        assert_int_equal(slp_trace_format_record(line, sizeof(line), &bad[i], NULL), SLP_E_ARG);
        assert_string_equal(line, "");
    }
    slp_config cfg = cascade_config();
    cfg.cascade.climb_step = 0;
    assert_int_equal(slp_trace_format_header(line, sizeof(line), &cfg, NULL), SLP_E_ARG);
}

static const struct {
    const char *line;
    size_t at;
    const char *message;
} broken[] = {
    {"", 0, "expected 'i'"},
    {"i=", 2, "i: expected a whole number in 0 .. 9223372036854775807"},
    {"i=-1", 2, "i: expected a whole number in 0 .. 9223372036854775807"},
    {"i=9223372036854775808", 2, "i: expected a whole number in 0 .. 9223372036854775807"},
    {"i=1  k=2", 4, "expected 'k'"},
    {"i=1 k=2147483648", 6, "k: expected a whole number in 0 .. 2147483647"},
    {"i=1 k=2 phase=tes", 14, "expected the name of a phase"},
    {"i=1 k=2 phase=testing reason=up", 14, "expected the name of a phase"},
    {"i=1 k=2 phase=test reason=?", 26, "expected the name of a reason"},
    {"i=1 k=2 phase=test reason=up drafted=1 emitted=1", 39, "expected 'accepted'"},
    {UP_TO_UTILITY "x", 146, "utility: expected a whole number in 0 .. 1152921504606846"},
    {UP_TO_UTILITY "1", 147, "expected a point and three digits"},
    {UP_TO_UTILITY "1,500", 147, "expected a point and three digits"},
    {UP_TO_UTILITY "1.50", 150, "expected three decimal digits"},
    {UP_TO_UTILITY "1.5000", 151, "expected three decimal digits, not more"},
    {UP_TO_UTILITY "1152921504606846.976", 166, "number out of range"},
    {UP_TO_UTILITY "1.500 ", 152, "expected 'shadow_compared'"},
    {UP_TO_UTILITY "1.500" NO_DRAFT " ", 214, "expected the end of the line"},
    {UP_TO_UTILITY "1.500 shadow_compared=0 shadow_matched=0 drafter=4 paid_ns=0 nodes=-", 213,
     "drafter: no such one"},
    {UP_TO_UTILITY "1.500 shadow_compared=0 shadow_matched=0 drafter=0 paid_ns=0 nodes=", 213,
     "expected the kinds of drafted nodes"},
    {UP_TO_UTILITY "1.500 shadow_compared=0 shadow_matched=0 drafter=0 paid_ns=0 nodes=A_", 214,
     "expected the end of the line"},
};

/* Fails if a broken line passes, is blamed at the wrong byte, or is half stored. */
static void a_broken_record_is_refused_where_it_is_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        slp_trace_record record = example_record();
        slp_error err;
        assert_int_equal(
            slp_trace_parse_record(broken[i].line, strlen(broken[i].line), &record, &err),
            SLP_E_FORMAT);
        assert_int_equal(err.code, SLP_E_FORMAT);
        assert_int_equal(err.at, broken[i].at);
        assert_string_equal(err.text, broken[i].message);
        assert_int_equal(record.iteration, 12);
    }
}

/* Fails if a parser reads past the end or takes a prefix for the whole. */
static void every_prefix_of_a_line_and_any_tail_is_refused(void **state) {
    (void)state;
    const char *lines[] = {HEADER, RECORD};
    for (int which = 0; which < 2; which++) {
        const size_t whole = strlen(lines[which]);
        for (size_t n = 0; n <= whole + 1; n++) {
            slp_config cfg;
            slp_trace_record record;
            char *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, lines[which], n < whole ? n : whole);
            if (n > whole) exact[whole] = ' ';
            const slp_status status = which == 0 ? slp_trace_parse_header(exact, n, &cfg, NULL)
                                                 : slp_trace_parse_record(exact, n, &record, NULL);
            assert_int_equal(status, n == whole ? SLP_OK : SLP_E_FORMAT);
            free(exact);
        }
    }
}

/* Fails if a header is trusted without the checks of slp_config_check(). */
static void a_header_with_an_impossible_configuration_is_refused(void **state) {
    (void)state;
    char line[] = HEADER;
    slp_config cfg;
    slp_error err;
    memcpy(strstr(line, "climb_step=1"), "climb_step=0", 12);
    assert_int_equal(slp_trace_parse_header(line, strlen(line), &cfg, &err), SLP_E_ARG);
    assert_string_equal(err.text, "climb_step: expected a whole number in 1 .. 64");
    memcpy(line, "slp-trace 1", 11);
    assert_int_equal(slp_trace_parse_header(line, strlen(line), &cfg, &err), SLP_E_FORMAT);
    assert_int_equal(err.at, 0);
}

/* ---- replay -------------------------------------------------------------------- */

enum { ITERATIONS = 400, TRACE_MAX = (ITERATIONS + 1) * SLP_TRACE_LINE_MAX };

typedef struct trace {
    char *text;
    size_t length;
    size_t line[ITERATIONS + 1]; /* where record i begins; [ITERATIONS] = length */
} trace;

static void append(trace *t, size_t length, const char *end) {
    memcpy(t->text + t->length + length, end, strlen(end));
    t->length += length + strlen(end);
}

/* A run through every phase: drafts pay for a while, then do not, then again. */
static trace record_run(const char *end) {
    trace t;
    policy_memory mem;
    slp_config cfg = cascade_config();
    size_t length = 0;
    uint64_t seed = 5;
    memset(&t, 0, sizeof(t));
    t.text = malloc(TRACE_MAX);
    assert_non_null(t.text);
    slp_controller *ctl = cascade_begin(&mem, &cfg);
    assert_int_equal(slp_trace_format_header(t.text, SLP_TRACE_LINE_MAX, &cfg, &length), SLP_OK);
    append(&t, length, end);
    for (int i = 0; i < ITERATIONS; i++) {
        policy_world world = world_of(i / 100 % 2 ? 0.7 : 1.3);
        world.utility[2] += 0.3;
        world.plain_ns = (uint64_t)random_in(&seed, 900000, 1100000);
        const slp_plan plan = slp_next(ctl);
        const slp_step step = world_step(&world, &plan);
        assert_int_equal(slp_observe(ctl, &step), SLP_OK);
        const slp_trace_record record = slp_trace_record_of(ctl, &plan, &step);
        assert_int_equal(record.iteration, i);
        t.line[i] = t.length;
        assert_int_equal(
            slp_trace_format_record(t.text + t.length, SLP_TRACE_LINE_MAX, &record, &length),
            SLP_OK);
        append(&t, length, end);
    }
    t.line[ITERATIONS] = t.length;
    return t;
}

/* Fails if a decision depends on anything that a trace does not hold. */
static void a_replayed_run_makes_the_same_decisions(void **state) {
    (void)state;
    const char *ends[] = {"\n", "\r\n"};
    for (int i = 0; i < 2; i++) {
        trace t = record_run(ends[i]);
        slp_replay_report report;
        slp_error err;
        assert_non_null(strstr(t.text, "phase=off"));
        assert_non_null(strstr(t.text, "phase=set"));
        assert_int_equal(slp_replay(t.text, t.length, &report, &err), SLP_OK);
        assert_int_equal(report.mismatch, -1);
        assert_int_equal(report.iterations, ITERATIONS);
        const size_t no_last_end = t.length - strlen(ends[i]);
        assert_int_equal(slp_replay(t.text, no_last_end, &report, &err), SLP_OK);
        assert_int_equal(report.iterations, ITERATIONS);
        free(t.text);
    }
}

/* Fails if K, phase or reason is left out of the comparison. */
static void a_replay_names_the_first_decision_that_differs(void **state) {
    (void)state;
    trace t = record_run("\n");
    slp_replay_report report;
    char *phase = strstr(t.text + t.line[150], "phase=off");
    assert_non_null(phase);
    int64_t index = 150;
    while (t.text + t.line[index + 1] <= phase)
        index++;
    memcpy(phase, "phase=set", 9);
    assert_int_equal(slp_replay(t.text, t.length, &report, NULL), SLP_OK);
    assert_int_equal(report.mismatch, index);
    assert_int_equal(report.iterations, index + 1);
    assert_int_equal(report.recorded.phase, SLP_PHASE_SET);
    assert_int_equal(report.replayed.phase, SLP_PHASE_OFF);

    char *k = strstr(t.text + t.line[60], " k=");
    k[3] = '7';
    assert_int_equal(slp_replay(t.text, t.length, &report, NULL), SLP_OK);
    assert_int_equal(report.mismatch, 60);

    char *reason = strstr(t.text + t.line[4], "reason=first ");
    assert_non_null(reason);
    memcpy(reason, "reason=climb ", 13); /* no such reason */
    assert_int_equal(slp_replay(t.text, t.length, &report, NULL), SLP_E_FORMAT);
    assert_int_equal(report.iterations, 4);
    memcpy(reason, "reason=edge  ", 13); /* two spaces are no field end */
    assert_int_equal(slp_replay(t.text, t.length, &report, NULL), SLP_E_FORMAT);
    free(t.text);

    const char other[] =
        HEADER "\ni=0 k=0 phase=start reason=policy drafted=0 accepted=0 emitted=1 "
               "rows=1 experts=8 draft_ns=0 pass_ns=9 other_ns=0 plain_ns=0 "
               "utility=-" NO_DRAFT;
    assert_int_equal(slp_replay(other, sizeof(other) - 1, &report, NULL), SLP_OK);
    assert_int_equal(report.mismatch, 0);
}

/* Fails if records may be missing, or an error is placed within its line only. */
static void a_text_that_is_no_trace_is_refused_at_its_offset(void **state) {
    (void)state;
    trace t = record_run("\n");
    slp_replay_report report;
    slp_error err;
    assert_int_equal(slp_replay("", 0, &report, &err), SLP_E_FORMAT);
    assert_int_equal(slp_replay("\n", 1, &report, &err), SLP_E_FORMAT);

    const size_t hole = t.line[10], after = t.line[11];
    memmove(t.text + hole, t.text + after, t.length - after);
    t.length -= after - hole;
    assert_int_equal(slp_replay(t.text, t.length, &report, &err), SLP_E_FORMAT);
    assert_int_equal(err.at, hole);
    assert_string_equal(err.text, "a record is missing or out of order");
    assert_int_equal(report.iterations, 10);

    memcpy(t.text + t.line[3], "i=x", 3);
    assert_int_equal(slp_replay(t.text, t.length, &report, &err), SLP_E_FORMAT);
    assert_int_equal(err.at, t.line[3] + 2);

    char *drafted = strstr(t.text + t.line[2], "drafted=0");
    drafted[8] = '1'; /* in a plain iteration */
    assert_int_equal(slp_replay(t.text, t.length, &report, &err), SLP_E_FORMAT);
    assert_int_equal(err.at, t.line[2]);
    assert_string_equal(err.text, "the step contradicts its plan");
    free(t.text);
}

/* Fails if any damage to a trace can do worse than an error or a mismatch. */
static void damaged_traces_are_read_without_harm(void **state) {
    (void)state;
    trace t = record_run("\n");
    uint64_t seed = 31;
    for (int i = 0; i < 400; i++) {
        slp_replay_report report;
        const size_t n = (size_t)random_in(&seed, 1, (int32_t)t.line[40]);
        char *exact = malloc(n);
        assert_non_null(exact);
        memcpy(exact, t.text, n);
        for (int hits = random_in(&seed, 0, 3); hits > 0; hits--)
            exact[random_in(&seed, 0, (int32_t)n - 1)] = (char)random_in(&seed, 0, 127);
        const slp_status status = slp_replay(exact, n, &report, NULL);
        assert_true(status == SLP_OK || status == SLP_E_FORMAT || status == SLP_E_ARG);
        assert_in_range(report.iterations, 0, 41);
        free(exact);
    }
    free(t.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_written_as_documented),
        cmocka_unit_test(extreme_values_come_back_as_they_were_and_fit_the_line),
        cmocka_unit_test(a_buffer_one_byte_short_is_refused_and_left_empty),
        cmocka_unit_test(what_no_controller_produces_is_not_written),
        cmocka_unit_test(a_broken_record_is_refused_where_it_is_broken),
        cmocka_unit_test(every_prefix_of_a_line_and_any_tail_is_refused),
        cmocka_unit_test(a_header_with_an_impossible_configuration_is_refused),
        cmocka_unit_test(a_replayed_run_makes_the_same_decisions),
        cmocka_unit_test(a_replay_names_the_first_decision_that_differs),
        cmocka_unit_test(a_text_that_is_no_trace_is_refused_at_its_offset),
        cmocka_unit_test(damaged_traces_are_read_without_harm),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}

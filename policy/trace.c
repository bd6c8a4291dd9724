/* trace.c - the text of a run: one header line, one line per iteration (format
 * and contract in sluice_policy.h; feeding it back is in replay.c).
 *
 * Fields come in one fixed order, each " name=value", so a reader needs no
 * dictionary; what is written here is read back to the same values, utility to
 * 1/1000. */
#include "controller.h"
#include "policy_config.h"
#include "policy_text.h"

#include <string.h>

/* A kind of node as a letter: 'A' and the 29 characters after it. */
#define NODE_FIRST 'A'
#define NODE_LAST ('A' + SLP__CLASSES - 1)

#define UTILITY_MILLI_MAX ((uint64_t)1 << 60) /* far above any clamped time ratio */

/* ---- format -------------------------------------------------------------- */

/* "name=", after a space unless it opens the line. */
static void put_key(slp__writer *w, const char *name) {
    if (w->length > 0) slp__put_text(w, " ");
    slp__put_text(w, name);
    slp__put_text(w, "=");
}

static void put_field(slp__writer *w, const char *name, uint64_t value) {
    put_key(w, name);
    slp__put_number(w, value);
}

static void put_word(slp__writer *w, const char *name, const char *value) {
    put_key(w, name);
    slp__put_text(w, value);
}

static slp_status finish(slp__writer *w, size_t *length) {
    if (w->full) {
        if (w->size > 0) w->out[0] = '\0';
        return SLP_E_SPACE;
    }
    if (length) *length = w->length;
    return SLP_OK;
}

slp_status slp_trace_format_header(char *out, size_t size, const slp_config *cfg, size_t *length) {
    slp__writer w = slp__writer_on(out, size);
    if (slp_config_check(cfg, NULL) != SLP_OK) return SLP_E_ARG;

    slp__put_text(&w, "slp-trace 3");
    put_word(&w, "policy", slp_policy_name(cfg->policy));
    for (int i = 0; i < SLP__FIELDS; i++)
        put_field(&w, slp__fields[i].name, (uint64_t)slp__field_get(cfg, &slp__fields[i]));
    return finish(&w, length);
}

/* How many nodes, or -1 if the text is none that slp_trace_record_of() writes. */
static int32_t nodes_length(const char *nodes) {
    int32_t n = 0;
    while (n <= SLP_DRAFT_TOKENS_MAX && nodes[n] >= NODE_FIRST && nodes[n] <= NODE_LAST)
        n++;
    return n <= SLP_DRAFT_TOKENS_MAX && nodes[n] == '\0' ? n : -1;
}

static int record_is_sound(const slp_trace_record *r) {
    const slp_step *s = &r->step;
    if (r->drafter < 0 || r->drafter >= SLP_DRAFTERS_MAX || s->shadow_compared < 0 ||
        s->shadow_matched < 0 || nodes_length(r->nodes) < 0)
        return 0;
    return r->iteration >= 0 && r->plan.draft_tokens >= 0 && (int)r->plan.phase >= 0 &&
           (int)r->plan.phase < SLP_PHASES && (int)r->plan.reason >= 0 &&
           (int)r->plan.reason < SLP_REASONS && s->drafted >= 0 && s->accepted >= 0 &&
           s->emitted >= 0 && s->rows >= 0 && s->experts >= 0 && r->utility >= 0 &&
           r->utility < (double)UTILITY_MILLI_MAX / 1000; /* false for NaN */
}

slp_status slp_trace_format_record(char *out, size_t size, const slp_trace_record *record,
                                   size_t *length) {
    const slp_step *s = &record->step;
    slp__writer w = slp__writer_on(out, size);
    if (!record_is_sound(record)) return SLP_E_ARG;
    const uint64_t milli = (uint64_t)(record->utility * 1000 + 0.5);

    put_field(&w, "i", (uint64_t)record->iteration);
    put_field(&w, "k", (uint64_t)record->plan.draft_tokens);
    put_word(&w, "phase", slp_phase_name(record->plan.phase));
    put_word(&w, "reason", slp_reason_name(record->plan.reason));
    put_field(&w, "drafted", (uint64_t)s->drafted);
    put_field(&w, "accepted", (uint64_t)s->accepted);
    put_field(&w, "emitted", (uint64_t)s->emitted);
    put_field(&w, "rows", (uint64_t)s->rows);
    put_field(&w, "experts", (uint64_t)s->experts);
    put_field(&w, "draft_ns", s->draft_ns);
    put_field(&w, "pass_ns", s->pass_ns);
    put_field(&w, "other_ns", s->other_ns);
    put_field(&w, "plain_ns", record->plain_ns);
    put_key(&w, "utility");
    if (milli > 0)
        slp__put_milli(&w, milli);
    else
        slp__put_text(&w, "-");
    put_field(&w, "shadow_compared", (uint64_t)s->shadow_compared);
    put_field(&w, "shadow_matched", (uint64_t)s->shadow_matched);
    put_field(&w, "drafter", (uint64_t)record->drafter);
    put_field(&w, "paid_ns", record->paid_ns);
    put_word(&w, "nodes", record->nodes[0] ? record->nodes : "-");
    return finish(&w, length);
}

slp_trace_record slp_trace_record_of(const slp_controller *ctl, const slp_plan *plan,
                                     const slp_step *step) {
    slp_stats stats;
    slp_trace_record record;
    slp_controller_stats(ctl, &stats);
    memset(&record, 0, sizeof(record));
    record.iteration = stats.iterations - 1;
    if (ctl->cfg.policy == SLP_POLICY_LEDGER && ctl->cfg.draft_tokens_max > 0) {
        record.drafter = ctl->u.ledger.drafter;
        record.paid_ns = (uint64_t)ctl->u.ledger.paid_before_ns;
        for (int32_t i = 0; i < ctl->u.ledger.n_nodes; i++)
            record.nodes[i] = (char)(NODE_FIRST + ctl->u.ledger.node_class[i]);
    }
    record.plan = *plan;
    record.step = *step;
    record.plain_ns = (uint64_t)(stats.plain_ns + 0.5);
    record.utility = stats.utility_step;
    return record;
}

/* ---- parse --------------------------------------------------------------- */

static slp_status expect(slp__reader *r, const char *literal, slp_error *err) {
    if (slp__take(r, literal)) return SLP_OK;
    char text[64];
    slp__writer w = slp__writer_on(text, sizeof(text));
    slp__put_text(&w, "expected '");
    slp__put_text(&w, literal);
    slp__put_text(&w, "'");
    return slp__fail(err, SLP_E_FORMAT, r->at, text);
}

/* "name=", after a space unless it opens the line. */
static slp_status expect_key(slp__reader *r, const char *name, slp_error *err) {
    slp_status status = SLP_OK;
    if (r->at > 0) status = expect(r, " ", err);
    if (status == SLP_OK) status = expect(r, name, err);
    if (status == SLP_OK) status = expect(r, "=", err);
    return status;
}

/* In a line a number out of range is a format error like any other. */
static slp_status as_format(slp_status status, slp_error *err) {
    if (status == SLP_OK) return SLP_OK;
    if (err) err->code = SLP_E_FORMAT;
    return SLP_E_FORMAT;
}

static slp_status take_u64(slp__reader *r, const char *name, uint64_t max, uint64_t *value,
                           slp_error *err) {
    slp_status status = expect_key(r, name, err);
    if (status != SLP_OK) return status;
    return as_format(slp__take_number(r, name, 0, max, value, err), err);
}

static slp_status take_i32(slp__reader *r, const char *name, int32_t *value, slp_error *err) {
    uint64_t v = 0;
    const slp_status status = take_u64(r, name, INT32_MAX, &v, err);
    if (status == SLP_OK) *value = (int32_t)v;
    return status;
}

static slp_status take_i64(slp__reader *r, const char *name, int64_t *value, slp_error *err) {
    uint64_t v = 0;
    const slp_status status = take_u64(r, name, INT64_MAX, &v, err);
    if (status == SLP_OK) *value = (int64_t)v;
    return status;
}

/* The word up to the next space or the end: which of names(0 .. n)? -1 if none. */
static int take_word(slp__reader *r, const char *(*name)(int), int n) {
    size_t end = r->at;
    while (end < r->length && r->text[end] != ' ')
        end++;
    for (int i = 0; i < n; i++) {
        const char *candidate = name(i);
        if (strlen(candidate) != end - r->at) continue;
        if (slp__take(r, candidate)) return i;
    }
    return -1;
}

static const char *policy_name(int i) {
    return slp_policy_name((slp_policy)i);
}

static const char *phase_name(int i) {
    return slp_phase_name((slp_phase)i);
}

static const char *reason_name(int i) {
    return slp_reason_name((slp_reason)i);
}

slp_status slp_trace_parse_header(const char *line, size_t length, slp_config *cfg,
                                  slp_error *err) {
    slp__reader r = {line, length, 0};
    slp_config parsed;
    slp_status status;

    slp__error_clear(err);
    slp_config_defaults(&parsed);
    if ((status = expect(&r, "slp-trace 3", err)) != SLP_OK) return status;
    if ((status = expect_key(&r, "policy", err)) != SLP_OK) return status;
    const int policy = take_word(&r, policy_name, SLP_POLICIES);
    if (policy < 0)
        return slp__fail(err, SLP_E_FORMAT, r.at, "expected off, static, cascade or ledger");
    parsed.policy = (slp_policy)policy;
    for (int i = 0; i < SLP__FIELDS; i++) {
        int32_t value = 0;
        if ((status = take_i32(&r, slp__fields[i].name, &value, err)) != SLP_OK) return status;
        slp__field_set(&parsed, &slp__fields[i], value);
    }
    if (!slp__at_end(&r)) return slp__fail(err, SLP_E_FORMAT, r.at, "expected the end of the line");
    if ((status = slp_config_check(&parsed, err)) != SLP_OK) return status;
    *cfg = parsed;
    return SLP_OK;
}

static slp_status parse_plan(slp__reader *r, slp_plan *plan, slp_error *err) {
    slp_status status = take_i32(r, "k", &plan->draft_tokens, err);
    if (status != SLP_OK) return status;
    if ((status = expect_key(r, "phase", err)) != SLP_OK) return status;
    const int phase = take_word(r, phase_name, SLP_PHASES);
    if (phase < 0) return slp__fail(err, SLP_E_FORMAT, r->at, "expected the name of a phase");
    if ((status = expect_key(r, "reason", err)) != SLP_OK) return status;
    const int reason = take_word(r, reason_name, SLP_REASONS);
    if (reason < 0) return slp__fail(err, SLP_E_FORMAT, r->at, "expected the name of a reason");
    plan->phase = (slp_phase)phase;
    plan->reason = (slp_reason)reason;
    return SLP_OK;
}

static slp_status parse_step(slp__reader *r, slp_step *s, slp_error *err) {
    slp_status status;
    if ((status = take_i32(r, "drafted", &s->drafted, err)) != SLP_OK) return status;
    if ((status = take_i32(r, "accepted", &s->accepted, err)) != SLP_OK) return status;
    if ((status = take_i32(r, "emitted", &s->emitted, err)) != SLP_OK) return status;
    if ((status = take_i32(r, "rows", &s->rows, err)) != SLP_OK) return status;
    if ((status = take_i64(r, "experts", &s->experts, err)) != SLP_OK) return status;
    if ((status = take_u64(r, "draft_ns", UINT64_MAX, &s->draft_ns, err)) != SLP_OK) return status;
    if ((status = take_u64(r, "pass_ns", UINT64_MAX, &s->pass_ns, err)) != SLP_OK) return status;
    return take_u64(r, "other_ns", UINT64_MAX, &s->other_ns, err);
}

static slp_status parse_utility(slp__reader *r, double *utility, slp_error *err) {
    uint64_t milli = 0;
    slp_status status = expect_key(r, "utility", err);
    *utility = 0;
    if (status != SLP_OK || slp__take(r, "-")) return status;
    status = as_format(slp__take_milli(r, "utility", UTILITY_MILLI_MAX - 1, &milli, err), err);
    if (status == SLP_OK) *utility = (double)milli / 1000;
    return status;
}

static slp_status parse_draft(slp__reader *r, slp_trace_record *p, slp_error *err) {
    slp_status status;
    int32_t n = 0;
    if ((status = take_i32(r, "shadow_compared", &p->step.shadow_compared, err)) != SLP_OK ||
        (status = take_i32(r, "shadow_matched", &p->step.shadow_matched, err)) != SLP_OK ||
        (status = take_i32(r, "drafter", &p->drafter, err)) != SLP_OK ||
        (status = take_u64(r, "paid_ns", UINT64_MAX, &p->paid_ns, err)) != SLP_OK ||
        (status = expect_key(r, "nodes", err)) != SLP_OK)
        return status;
    if (p->drafter >= SLP_DRAFTERS_MAX)
        return slp__fail(err, SLP_E_FORMAT, r->at, "drafter: no such one");
    if (slp__take(r, "-")) return SLP_OK;
    while (!slp__at_end(r) && n < SLP_DRAFT_TOKENS_MAX && r->text[r->at] >= NODE_FIRST &&
           r->text[r->at] <= NODE_LAST)
        p->nodes[n++] = r->text[r->at++];
    if (n == 0) return slp__fail(err, SLP_E_FORMAT, r->at, "expected the kinds of drafted nodes");
    return SLP_OK;
}

slp_status slp_trace_parse_record(const char *line, size_t length, slp_trace_record *record,
                                  slp_error *err) {
    slp__reader r = {line, length, 0};
    slp_trace_record p;
    slp_status status;

    slp__error_clear(err);
    memset(&p, 0, sizeof(p));
    if ((status = take_i64(&r, "i", &p.iteration, err)) != SLP_OK) return status;
    if ((status = parse_plan(&r, &p.plan, err)) != SLP_OK) return status;
    if ((status = parse_step(&r, &p.step, err)) != SLP_OK) return status;
    if ((status = take_u64(&r, "plain_ns", UINT64_MAX, &p.plain_ns, err)) != SLP_OK) return status;
    if ((status = parse_utility(&r, &p.utility, err)) != SLP_OK) return status;
    if ((status = parse_draft(&r, &p, err)) != SLP_OK) return status;
    if (!slp__at_end(&r)) return slp__fail(err, SLP_E_FORMAT, r.at, "expected the end of the line");
    *record = p;
    return SLP_OK;
}

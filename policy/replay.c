/* replay.c - does a recorded run still decide the same? (trace.c has the format) */
#include "controller.h"
#include "ledger_parts.h"
#include "policy_text.h"

#include <string.h>

typedef struct line_reader {
    const char *text;
    size_t size;
    size_t next; /* where the next line begins */
} line_reader;

/* The next line without its end; 0 if there is none. */
static int next_line(line_reader *r, size_t *start, size_t *length) {
    if (r->next >= r->size) return 0;
    const char *begin = r->text + r->next;
    const char *end = (const char *)memchr(begin, '\n', r->size - r->next);
    size_t n = end ? (size_t)(end - begin) : r->size - r->next;

    *start = r->next;
    r->next += end ? n + 1 : n;
    if (n > 0 && begin[n - 1] == '\r') n--;
    *length = n;
    return 1;
}

/* A failure inside a line, at its place in the text. */
static slp_status in_text(slp_status status, size_t line, slp_error *err) {
    if (err) err->at += line;
    return status;
}

static int same_plan(const slp_plan *a, const slp_plan *b) {
    return a->draft_tokens == b->draft_tokens && a->phase == b->phase && a->reason == b->reason;
}

/* What the controller plans for the recorded draft. */
static slp_plan plan_again(slp_controller *ctl, const slp_trace_record *record) {
    uint8_t kinds[SLP_DRAFT_TOKENS_MAX];
    int32_t n = 0;
    if (ctl->cfg.policy != SLP_POLICY_LEDGER || ctl->cfg.draft_tokens_max == 0)
        return slp_next(ctl);
    for (; record->nodes[n] && n < ctl->cfg.draft_tokens_max; n++)
        kinds[n] = (uint8_t)(record->nodes[n] - 'A');
    ctl->u.ledger.paid_ns = (double)record->paid_ns;
    slp__ledger_plan(ctl, record->drafter, kinds, n);
    return slp_next(ctl);
}

slp_status slp_replay(const char *text, size_t size, slp_replay_report *report, slp_error *err) {
    line_reader lines = {text, size, 0};
    slp_controller ctl; /* about 12 KiB */
    slp_config cfg;
    slp_trace_record record;
    size_t start = 0, length = 0;

    slp__error_clear(err);
    memset(report, 0, sizeof(*report));
    report->mismatch = -1;
    if (!next_line(&lines, &start, &length))
        return slp__fail(err, SLP_E_FORMAT, 0, "empty trace: expected a header line");
    slp_status status = slp_trace_parse_header(text, length, &cfg, err);
    if (status != SLP_OK) return status;
    slp_controller_init(&ctl, sizeof(ctl), &cfg);

    while (next_line(&lines, &start, &length)) {
        status = slp_trace_parse_record(text + start, length, &record, err);
        if (status != SLP_OK) return in_text(status, start, err);
        if (record.iteration != report->iterations)
            return slp__fail(err, SLP_E_FORMAT, start, "a record is missing or out of order");
        report->recorded = record.plan;
        report->replayed = plan_again(&ctl, &record);
        if (!same_plan(&report->recorded, &report->replayed)) {
            report->mismatch = report->iterations++;
            return SLP_OK;
        }
        if (slp_observe(&ctl, &record.step) != SLP_OK)
            return slp__fail(err, SLP_E_FORMAT, start, "the step contradicts its plan");
        report->iterations++;
    }
    return SLP_OK;
}

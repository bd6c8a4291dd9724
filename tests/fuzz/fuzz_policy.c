/* fuzz_policy.c - any bytes as a trace of the policy library, and as what a user writes for a
 * policy or a budget: an error with a place in the text, or values in their ranges that come
 * out again as they went in; and a controller that survives any recorded run. */
#include "fuzz.h"

#include <string.h>

#include "sluice_policy.h"

static void check_error(slp_status status, const slp_error *err, size_t size) {
    if (status == SLP_OK) {
        FUZZ_CHECK(err->code == SLP_OK && err->text[0] == '\0');
    } else {
        FUZZ_CHECK(err->code == status && err->text[0] != '\0' && err->at <= size);
        FUZZ_CHECK(strlen(err->text) < sizeof err->text);
    }
}

static void try_header(const char *line, size_t n) {
    char first[SLP_TRACE_LINE_MAX], again[SLP_TRACE_LINE_MAX];
    slp_config cfg;
    slp_error err;
    size_t length;
    slp_status status = slp_trace_parse_header(line, n, &cfg, &err);
    check_error(status, &err, n);
    if (status != SLP_OK) return;
    FUZZ_CHECK(slp_config_check(&cfg, NULL) == SLP_OK);
    FUZZ_CHECK(slp_trace_format_header(first, sizeof first, &cfg, &length) == SLP_OK);
    FUZZ_CHECK(slp_trace_parse_header(first, length, &cfg, NULL) == SLP_OK);
    FUZZ_CHECK(slp_trace_format_header(again, sizeof again, &cfg, NULL) == SLP_OK);
    FUZZ_CHECK(strcmp(first, again) == 0);
}

static void try_record(const char *line, size_t n) {
    char first[SLP_TRACE_LINE_MAX], again[SLP_TRACE_LINE_MAX];
    slp_trace_record record;
    slp_error err;
    size_t length;
    slp_status status = slp_trace_parse_record(line, n, &record, &err);
    check_error(status, &err, n);
    if (status != SLP_OK) return;
    FUZZ_CHECK(slp_trace_format_record(first, sizeof first, &record, &length) == SLP_OK);
    FUZZ_CHECK(slp_trace_parse_record(first, length, &record, NULL) == SLP_OK);
    FUZZ_CHECK(slp_trace_format_record(again, sizeof again, &record, NULL) == SLP_OK);
    FUZZ_CHECK(strcmp(first, again) == 0);
}

static void try_options(const char *line, size_t n) {
    char text[128];
    slp_config cfg;
    slp_budget budget;
    slp_error err;
    if (n >= sizeof text || memchr(line, '\0', n)) return;
    memcpy(text, line, n);
    text[n] = '\0';
    slp_config_defaults(&cfg);
    slp_status status = slp_policy_parse(text, &cfg, &err);
    check_error(status, &err, n);
    FUZZ_CHECK(slp_config_check(&cfg, NULL) == SLP_OK);
    status = slp_budget_parse(text, 64, 8, &budget, &err);
    check_error(status, &err, n);
    FUZZ_CHECK(status != SLP_OK || budget.mode == SLP_BUDGET_OFF ||
               (budget.experts >= 8 && budget.experts <= 64));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    slp_replay_report report;
    slp_error err;
    const slp_status status = slp_replay(text, size, &report, &err);
    check_error(status, &err, size);
    FUZZ_CHECK(report.iterations >= 0 && report.mismatch < report.iterations);
    for (const char *at = text; at < end; at++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        try_header(at, (size_t)(stop - at));
        try_record(at, (size_t)(stop - at));
        try_options(at, (size_t)(stop - at));
        at = stop;
    }
    return 0;
}

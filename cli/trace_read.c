/* trace_read.c - see trace_read.h. */
#include "trace_read.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "input.h"
#include "message.h"

#define TRACE_MAX ((size_t)1 << 30)
#define NUMBER_MAX 1e18 /* of anything: 30 years in nanoseconds */

/* One line on its way to a step: the first failure stays. */
typedef struct line_reader {
    const char *file;
    size_t number; /* of the line, from 1 */
    const json_t *object;
    bool failed;
} line_reader;

static const json_t *member(line_reader *r, const char *name) {
    const json_t *value = json_object_get(r->object, name);
    if (value || r->failed) return value;
    cli_complain("%s, line %zu: no \"%s\", which every line of a trace has", r->file, r->number,
                 name);
    r->failed = true;
    return NULL;
}

static void fail_value(line_reader *r, const char *name, const char *expected) {
    if (!r->failed)
        cli_complain("%s, line %zu: \"%s\": expected %s", r->file, r->number, name, expected);
    r->failed = true;
}

static int32_t read_count(line_reader *r, const char *name) {
    const json_t *value = member(r, name);
    const json_int_t n = json_integer_value(value);
    if (value && json_is_integer(value) && n >= 0 && n <= INT32_MAX) return (int32_t)n;
    fail_value(r, name, "a whole number, 0 or more");
    return 0;
}

static double read_ns(line_reader *r, const char *name) {
    const json_t *value = member(r, name);
    const double ns = value ? json_number_value(value) : 0;
    if (value && json_is_number(value) && ns >= 0 && ns <= NUMBER_MAX) return ns;
    fail_value(r, name, "nanoseconds, 0 .. 1e18");
    return 0;
}

static double read_or_null(line_reader *r, const char *name) {
    const json_t *value = member(r, name);
    const double number = value ? json_number_value(value) : 0;
    if (value && json_is_number(value) && fabs(number) <= NUMBER_MAX) return number;
    if (!value || !json_is_null(value)) fail_value(r, name, "a number up to 1e18, or null");
    return NAN;
}

static void read_word(line_reader *r, const char *name, char out[CLI_TRACE_WORD]) {
    const json_t *value = member(r, name);
    const char *text = value ? json_string_value(value) : NULL;
    if (!text || strlen(text) >= CLI_TRACE_WORD) {
        fail_value(r, name, "a word");
        return;
    }
    (void)snprintf(out, CLI_TRACE_WORD, "%s", text);
}

/* Fields, then what must fit together. before: the step of the line above, or NULL. */
static void read_step(line_reader *r, cli_step *s, const cli_step *before) {
    const int32_t index = read_count(r, "iteration");
    s->position = read_count(r, "position");
    s->k = read_count(r, "k");
    s->drafted = read_count(r, "drafted");
    s->accepted = read_count(r, "accepted");
    s->match = read_count(r, "match");
    s->experts = read_count(r, "experts");
    read_word(r, "drafter", s->drafter);
    read_word(r, "phase", s->phase);
    read_word(r, "reason", s->reason);
    s->utility = read_or_null(r, "utility");
    s->draft_ns = read_ns(r, "draft_ns");
    s->pass_ns = read_ns(r, "pass_ns");
    s->other_ns = read_ns(r, "other_ns");
    s->plain_ns = read_ns(r, "plain_ns");
    s->loss_ns = read_or_null(r, "loss_ns");
    s->loss_max_ns = read_or_null(r, "loss_max_ns");
    s->expected_tokens = read_ns(r, "expected_tokens");
    s->expected_ns = read_ns(r, "expected_ns");
    if (r->failed) return;
    if ((size_t)index != r->number - 1) {
        cli_complain("%s, line %zu: iteration %d, expected %zu: lines are missing, or these are "
                     "several traces",
                     r->file, r->number, index, r->number - 1);
        r->failed = true;
    } else if (s->accepted > s->drafted) {
        fail_value(r, "accepted", "at most as many as were drafted");
    } else if (before && s->position != (int64_t)before->position + before->accepted + 1) {
        fail_value(r, "position", "the position where the line before ended");
    }
}

static bool parse_line(line_reader *r, const char *text, size_t n, cli_step *step,
                       const cli_step *before) {
    json_error_t err;
    json_t *object = json_loadb(text, n, 0, &err);
    r->object = object;
    if (!json_is_object(object)) {
        cli_complain("%s, line %zu: no record of a trace%s%s", r->file, r->number,
                     object ? "" : ": ", object ? "" : err.text);
        r->failed = true;
    } else {
        read_step(r, step, before);
    }
    json_decref(object);
    return !r->failed;
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = n > 0 && text[n - 1] != '\n';
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

static int parse_lines(cli_trace *trace, const char *name, const char *text, size_t n) {
    const char *at = text, *end = text + n;
    line_reader r = {.file = name};
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        r.number++;
        if (!stop) {
            cli_complain("%s, line %zu: cut off: the line does not end", r.file, r.number);
            return CLI_FAILED;
        }
        cli_step *step = &trace->steps[trace->n];
        if (!parse_line(&r, at, (size_t)(stop - at), step, trace->n > 0 ? step - 1 : NULL))
            return CLI_FAILED;
        trace->n++;
        at = stop + 1;
    }
    return CLI_OK;
}

int cli_trace_parse(cli_trace *trace, const char *name, const char *text, size_t n) {
    *trace = (cli_trace){.file = name};
    const size_t lines = count_lines(text, n);
    if (lines == 0) {
        cli_complain("%s: no lines: the trace of no iteration", name);
        return CLI_FAILED;
    }
    trace->steps = calloc(lines, sizeof *trace->steps);
    if (!trace->steps) {
        cli_complain("no memory for the %zu lines of %s", lines, name);
        return CLI_FAILED;
    }
    const int code = parse_lines(trace, name, text, n);
    if (code != CLI_OK) cli_trace_free(trace);
    return code;
}

int cli_trace_read(cli_trace *trace, const char *file) {
    cli_input in;
    *trace = (cli_trace){.file = file};
    int code = cli_input_file(&in, file, TRACE_MAX);
    if (code != CLI_OK) return code;
    code = cli_trace_parse(trace, in.name, in.text, in.n);
    cli_input_free(&in);
    return code;
}

void cli_trace_free(cli_trace *trace) {
    free(trace->steps);
    trace->steps = NULL;
    trace->n = 0;
}

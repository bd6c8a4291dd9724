/* trace_page.c - what the policy did, and why: one chart per question.
 *
 *     how many rows were verified, and kept      why: under the pointer
 *     what it brought                            utility, cost of a token, time saved
 *     what it knew                               acceptance, plain time, experts
 *     what it might have lost                    the ledger
 *
 * The x axis is the text: tokens emitted before an iteration. */
#include "trace_page.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "plot.h"
#include "sluice/generate.h"

enum { NOTE_MAX = 320, RECENT = 12 /* drafts in the moving acceptance */ };

/* One array per curve, all [n]. */
typedef struct curves {
    size_t n;
    double *x, *drafted, *accepted, *utility, *smooth, *token_ms, *plain_ms, *saved_ms, *kept,
        *match, *experts, *loss_ms, *loss_max_ms;
    char *texts;        /* [n][NOTE_MAX] */
    const char **notes; /* [n] into texts */
    double *block;      /* all the arrays above */
} curves;

enum { ARRAYS = 13 };

static bool take_curves(curves *c, size_t n) {
    double **const arrays[ARRAYS] = {&c->x,          &c->drafted,  &c->accepted, &c->utility,
                                     &c->smooth,     &c->token_ms, &c->plain_ms, &c->saved_ms,
                                     &c->kept,       &c->match,    &c->experts,  &c->loss_ms,
                                     &c->loss_max_ms};
    c->n = n;
    c->block = malloc(ARRAYS * n * sizeof *c->block);
    c->texts = calloc(n, NOTE_MAX);
    c->notes = malloc(n * sizeof *c->notes);
    if (!c->block || !c->texts || !c->notes) return false;
    for (size_t i = 0; i < ARRAYS; i++)
        *arrays[i] = c->block + i * n;
    return true;
}

static void free_curves(curves *c) {
    free(c->block);
    free(c->texts);
    free(c->notes);
}

/* Append to a note; what it has no room for is left out. */
static SL_PRINTF(2, 3) void add_to_note(char note[NOTE_MAX], const char *format, ...) {
    const size_t n = strlen(note);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(note + n, NOTE_MAX - n, format, args);
    va_end(args);
}

static void write_note(char out[NOTE_MAX], const cli_trace *t, size_t i) {
    const cli_step *s = &t->steps[i];
    out[0] = '\0';
    add_to_note(out, "iteration %zu, token %d: ", i, (int)(s->position - t->steps[0].position));
    if (s->drafted > 0)
        add_to_note(out, "verified %d by %s (match of %d), kept %d", (int)s->drafted, s->drafter,
                    (int)s->match, (int)s->accepted);
    else
        add_to_note(out, "verified none");
    add_to_note(out, ". %s: %s. %.1f ms", s->phase, sl_reason_text(s->reason),
                cli_step_ns(s) * 1e-6);
    if (s->drafted > 0 && s->expected_ns > 0)
        add_to_note(out, "; expected %.1f tokens in %.1f ms", s->expected_tokens,
                    s->expected_ns * 1e-6);
}

/* Share kept of the newest RECENT iterations that verified something, up to i. */
static double recent_kept(const cli_trace *t, size_t i) {
    double drafted = 0, kept = 0;
    int left = RECENT;
    for (size_t j = i + 1; j > 0 && left > 0; j--) {
        const cli_step *s = &t->steps[j - 1];
        if (s->drafted == 0) continue;
        drafted += s->drafted;
        kept += s->accepted;
        left--;
    }
    return drafted > 0 ? kept / drafted : NAN;
}

/* Of the newest RECENT iterations: tokens in units of plain decoding's rate. */
static double recent_utility(const cli_trace *t, size_t i) {
    const size_t first = i + 1 > RECENT ? i + 1 - RECENT : 0;
    double tokens = 0, ns = 0;
    for (size_t j = first; j <= i; j++) {
        tokens += cli_step_tokens(&t->steps[j]);
        ns += cli_step_ns(&t->steps[j]);
    }
    return t->steps[i].plain_ns > 0 ? tokens * t->steps[i].plain_ns / ns : NAN;
}

static void fill_curves(curves *c, const cli_trace *t) {
    double saved = 0;
    for (size_t i = 0; i < c->n; i++) {
        const cli_step *s = &t->steps[i];
        const double ns = cli_step_ns(s), tokens = cli_step_tokens(s);
        const bool known = s->plain_ns > 0;
        if (known && s->drafted > 0) saved += tokens * s->plain_ns - ns;
        c->x[i] = s->position - t->steps[0].position;
        c->drafted[i] = s->drafted;
        c->accepted[i] = s->accepted;
        c->utility[i] = known ? tokens * s->plain_ns / ns : NAN;
        c->smooth[i] = recent_utility(t, i);
        c->token_ms[i] = ns / tokens * 1e-6;
        c->plain_ms[i] = known ? s->plain_ns * 1e-6 : NAN;
        c->saved_ms[i] = saved * 1e-6;
        c->kept[i] = recent_kept(t, i);
        c->match[i] = s->match;
        c->experts[i] = s->experts;
        c->loss_ms[i] = s->loss_ns * 1e-6;
        c->loss_max_ms[i] = s->loss_max_ns * 1e-6;
        write_note(c->texts + i * NOTE_MAX, t, i);
        c->notes[i] = c->texts + i * NOTE_MAX;
    }
}

static slr_series series(const curves *c, const char *name, slr_mark mark, const double *y,
                         bool notes) {
    return (slr_series){.name = name,
                        .mark = mark,
                        .n = (int)c->n,
                        .x = c->x,
                        .y = y,
                        .notes = notes ? c->notes : NULL};
}

static void draw(FILE *out, const char *title, const char *y_label, double y_line,
                 const slr_series *all, int n) {
    const slr_axes axes = {
        .title = title, .x_label = "tokens emitted", .y_label = y_label, .y_line = y_line};
    slr_xy(out, &axes, all, n);
}

static void draw_charts(FILE *out, const curves *c) {
    const slr_series rows[] = {series(c, "verified", SLR_STEP, c->drafted, true),
                               series(c, "kept", SLR_POINTS, c->accepted, false)};
    const slr_series utility[] = {series(c, "one iteration", SLR_POINTS, c->utility, true),
                                  series(c, "the latest 12", SLR_LINE, c->smooth, false)};
    const slr_series cost[] = {series(c, "with drafts", SLR_POINTS, c->token_ms, true),
                               series(c, "plain", SLR_STEP, c->plain_ms, false)};
    const slr_series kept[] = {series(c, "the latest 12 drafts", SLR_STEP, c->kept, true)};
    const slr_series match[] = {series(c, "match", SLR_STEP, c->match, true)};
    const slr_series experts[] = {series(c, "experts", SLR_STEP, c->experts, true)};
    const slr_series saved[] = {series(c, "saved", SLR_LINE, c->saved_ms, true)};
    const slr_series ledger[] = {series(c, "loss", SLR_LINE, c->loss_ms, true),
                                 series(c, "limit", SLR_LINE, c->loss_max_ms, false)};
    draw(out, "Drafted tokens verified (K) and kept", "rows", 0, rows, 2);
    draw(out, "Utility: speed in units of plain decoding's", "times plain", 1, utility, 2);
    draw(out, "Time of a token", "ms", 0, cost, 2);
    draw(out, "Share of verified tokens that were kept", "share", 0, kept, 1);
    draw(out, "What drafts rest on: tokens that matched", "tokens", 0, match, 1);
    draw(out, "Distinct experts of a pass, all layers", "experts", 0, experts, 1);
    draw(out, "Time saved by drafts so far, as the policy knows it", "ms", 0, saved, 1);
    for (size_t i = 0; i < c->n; i++)
        if (isfinite(c->loss_ms[i])) {
            draw(out, "The ledger: time lost by verifying, below 0 gained", "ms", 0, ledger, 2);
            break;
        }
}

/* ---- why ---- */

/* Iterations in a row with the same number of rows, reason and phase. */
static size_t run_length(const cli_trace *t, size_t first) {
    const cli_step *a = &t->steps[first];
    size_t n = 1;
    for (; first + n < t->n; n++) {
        const cli_step *b = &t->steps[first + n];
        if (a->drafted != b->drafted || strcmp(a->reason, b->reason) != 0 ||
            strcmp(a->phase, b->phase) != 0)
            break;
    }
    return n;
}

static void list_changes(FILE *out, const cli_trace *t) {
    static const char *const heads[] = {"token", "passes",   "K",     "match", "kept",
                                        "ms",    "promised", "phase", "reason"};
    slr_heading(out, 2, "Every change of K");
    slr_paragraph(out, "Passes in a row with the same K and reason; match and promised tokens are "
                       "those of the first. A long match that kept its promises lately promises "
                       "more, and more rows pay.");
    slr_table_begin(out, heads, (int)(sizeof heads / sizeof heads[0]));
    for (size_t i = 0, n; i < t->n; i += n) {
        const cli_step *s = &t->steps[i];
        double kept = 0, ns = 0;
        n = run_length(t, i);
        for (size_t j = i; j < i + n; j++) {
            kept += t->steps[j].accepted;
            ns += cli_step_ns(&t->steps[j]);
        }
        slr_row_begin(out);
        slr_cell_number(out, s->position - t->steps[0].position, 0);
        slr_cell_number(out, (double)n, 0);
        slr_cell_number(out, s->drafted, 0);
        slr_cell_number(out, s->match, 0);
        slr_cell_number(out, kept, 0);
        slr_cell_number(out, ns * 1e-6, 1);
        slr_cell_number(out, s->drafted > 0 ? s->expected_tokens : NAN, 1);
        slr_cell(out, s->phase);
        slr_cell(out, sl_reason_text(s->reason));
        slr_row_end(out);
    }
    slr_table_end(out);
}

int cli_trace_page(FILE *out, const cli_trace *trace) {
    curves c = {0};
    if (!take_curves(&c, trace->n)) {
        free_curves(&c);
        cli_complain("no memory for a page of %zu iterations", trace->n);
        return CLI_FAILED;
    }
    fill_curves(&c, trace);
    slr_page_begin(out, trace->file);
    slr_paragraph(out, "One request of sluice. Points and steps say under the pointer what the "
                       "policy decided there, and why.");
    draw_charts(out, &c);
    list_changes(out, trace);
    slr_page_end(out);
    free_curves(&c);
    return CLI_OK;
}

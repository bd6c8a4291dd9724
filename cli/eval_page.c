/* eval_page.c - the scores as one HTML page with charts. */
#include <math.h>
#include <stdlib.h>

#include "eval.h"
#include "plot.h"
#include "units.h"

/* ---- speed-ups ---- */

/* Bars for arms [from, to) of the run, and the oracle beside the last ones. */
static void draw_arms(FILE *to, const eval_run *run, const char *title, const int32_t *arms,
                      int32_t n_arms, bool oracle) {
    eval_group groups[EVAL_GROUPS_MAX];
    const char *names[EVAL_GROUPS_MAX];
    double y[EVAL_ARMS_MAX + 1][EVAL_GROUPS_MAX], low[EVAL_ARMS_MAX][EVAL_GROUPS_MAX],
        high[EVAL_ARMS_MAX][EVAL_GROUPS_MAX];
    slr_series series[EVAL_ARMS_MAX + 1];
    const int32_t n = eval_groups(run->workload, groups);
    for (int32_t g = 0; g < n; g++) {
        names[g] = groups[g].name;
        for (int32_t a = 0; a < n_arms; a++) {
            const eval_score s = eval_score_of(run, arms[a], groups[g].tasks);
            y[a][g] = s.speedup, low[a][g] = s.low, high[a][g] = s.high;
        }
        y[n_arms][g] = eval_oracle(run, groups[g].tasks);
    }
    for (int32_t a = 0; a < n_arms; a++)
        series[a] = (slr_series){
            .name = run->arms[arms[a]].name, .n = n, .y = y[a], .low = low[a], .high = high[a]};
    series[n_arms] = (slr_series){.name = "oracle", .n = n, .y = y[n_arms]};
    const slr_axes axes = {.title = title, .y_label = "time of plain / time", .y_line = 1};
    slr_bars(to, &axes, names, n, series, n_arms + oracle);
}

static void draw_speedups(FILE *to, const eval_run *run) {
    int32_t fixed[EVAL_ARMS_MAX], chosen[EVAL_ARMS_MAX], n_fixed = 0, n_chosen = 0;
    const int32_t best = eval_best_static(run);
    chosen[n_chosen++] = 1;
    if (best >= 0) chosen[n_chosen++] = best;
    for (int32_t a = EVAL_PLAIN; a < run->n_arms; a++) {
        if (run->arms[a].fixed_k > 0)
            fixed[n_fixed++] = a;
        else
            chosen[n_chosen++] = a;
    }
    slr_heading(to, 2, "Speed-up over plain decoding");
    slr_paragraph(to,
                  "Bars start at plain decoding, the mean of two plain arms; \"plain again\" is "
                  "one of them: what it is off by is the machine's drift. Lines are 95% of "
                  "bootstrap samples of the requests.");
    draw_arms(to, run, "policies, beside the best fixed K", chosen, n_chosen,
              isfinite(eval_mean_oracle(run)));
    if (n_fixed > 0) draw_arms(to, run, "fixed K", fixed, n_fixed, false);
}

/* ---- requests, from the slowest to the fastest ---- */

static void draw_requests(FILE *to, const eval_run *run) {
    const int32_t n = run->workload->n;
    double *y = malloc((size_t)n * (size_t)run->n_arms * sizeof *y);
    slr_series series[EVAL_ARMS_MAX];
    int32_t shown = 0;
    for (int32_t a = 1; y && a < run->n_arms; a++) {
        if (run->arms[a].fixed_k > 0 && a != eval_best_static(run)) continue;
        double *values = y + (size_t)shown * (size_t)n;
        int32_t counted = 0;
        for (int32_t i = 0; i < n; i++) {
            const double speedup = eval_request_speedup(run, a, i);
            if (isfinite(speedup)) values[counted++] = speedup;
        }
        qsort(values, (size_t)counted, sizeof *values, eval_compare_doubles);
        series[shown++] =
            (slr_series){.name = run->arms[a].name, .mark = SLR_STEP, .n = counted, .y = values};
    }
    const slr_axes axes = {.title = "every request, from the slowest to the fastest",
                           .x_label = "requests",
                           .y_label = "time of plain / time",
                           .y_line = 1};
    slr_heading(to, 2, "Requests");
    slr_xy(to, &axes, series, shown);
    free(y);
}

/* ---- fixed K: what a pass brings and costs ---- */

enum { CURVES_MAX = EVAL_TASKS_MAX };

static void draw_curve(FILE *to, const eval_run *run, const char *title,
                       double (*value)(const eval_score *)) {
    double x[EVAL_ARMS_MAX], y[CURVES_MAX][EVAL_ARMS_MAX];
    slr_series series[CURVES_MAX];
    int32_t n = 0;
    for (int32_t a = 0; a < run->n_arms; a++) {
        if (run->arms[a].fixed_k < 1) continue;
        x[n] = run->arms[a].fixed_k;
        for (int32_t t = 0; t < run->workload->n_tasks; t++) {
            const eval_score s = eval_score_of(run, a, 1u << t);
            y[t][n] = value(&s);
        }
        n++;
    }
    for (int32_t t = 0; t < run->workload->n_tasks; t++)
        series[t] = (slr_series){.name = run->workload->tasks[t], .n = n, .x = x, .y = y[t]};
    slr_xy(to, &(slr_axes){.title = title, .x_label = "K", .height = 220}, series,
           run->workload->n_tasks);
}

static double tokens_per_pass(const eval_score *s) {
    return s->tokens_per_pass;
}

static double cost(const eval_score *s) {
    return s->cost;
}

static void draw_utility(FILE *to, const eval_run *run) {
    enum { POINTS_MAX = EVAL_TASKS_MAX * EVAL_ARMS_MAX };
    double *x = malloc(2 * (size_t)POINTS_MAX * sizeof *x), *y = x ? x + POINTS_MAX : NULL;
    int32_t n = 0;
    for (int32_t t = 0; x && t < run->workload->n_tasks; t++) {
        for (int32_t a = 1; a < run->n_arms; a++) {
            if (a >= EVAL_PLAIN && run->arms[a].fixed_k < 1) continue;
            const eval_score s = eval_score_of(run, a, 1u << t);
            x[n] = s.utility;
            y[n++] = s.speedup;
        }
    }
    char text[160];
    const double equal[] = {0.4, 3.0};
    const slr_series series[] = {{.name = "task and K", .mark = SLR_POINTS, .n = n, .x = x, .y = y},
                                 {.name = "equal", .n = 2, .x = equal, .y = equal}};
    slr_heading(to, 2, "Utility predicts the speed-up");
    (void)snprintf(text, sizeof text,
                   "R\xc2\xb2 = %.4f; utility of one half of the requests against the speed-up of "
                   "the other half: %.4f.",
                   eval_r_squared(run, false), eval_r_squared(run, true));
    slr_paragraph(to, text);
    slr_xy(to, &(slr_axes){.x_label = "utility", .y_label = "speed-up"}, series, 2);
    free(x);
}

/* ---- the page ---- */

static void write_head(FILE *to, const eval_run *run) {
    const sl_model_facts *f = sl_model_facts_of(run->model);
    char text[512];
    (void)snprintf(text, sizeof text, "%s (%s, %s, %s of weights), %d threads, %s kernels.",
                   f->name[0] ? f->name : f->arch, f->arch, f->type,
                   cli_bytes_text((double)f->weight_bytes).text, (int)run->threads,
                   sl_model_isa(run->model));
    slr_paragraph(to, text);
    if (run->different > 0) {
        (void)snprintf(text, sizeof text,
                       "DIFFERENT BYTES: %d runs did not emit what plain "
                       "decoding emits.",
                       (int)run->different);
        slr_paragraph(to, text);
    } else {
        slr_paragraph(to, "Tokens and logits of every run are those of plain decoding, bit for "
                          "bit.");
    }
}

static void write_table(FILE *to, const eval_run *run) {
    static const char *const heads[] = {"arm",           "mean over tasks",
                                        "worst request", "tokens/pass",
                                        "drafted/pass",  "of the oracle's gain, %"};
    slr_table_begin(to, heads, (int)(sizeof heads / sizeof heads[0]));
    for (int32_t a = 1; a < run->n_arms; a++) {
        const eval_score s = eval_score_of(run, a, UINT32_MAX);
        const double mean = eval_mean_speedup(run, a);
        slr_row_begin(to);
        slr_cell(to, run->arms[a].name);
        slr_cell_number(to, mean, 3);
        slr_cell_number(to, s.worst, 3);
        slr_cell_number(to, s.tokens_per_pass, 2);
        slr_cell_number(to, s.drafted, 2);
        slr_cell_number(to, 100 * (mean - 1) / (eval_mean_oracle(run) - 1), 0);
        slr_row_end(to);
    }
    slr_table_end(to);
}

void eval_print_page(FILE *to, const eval_run *run) {
    slr_page_begin(to, "Speculation, measured");
    write_head(to, run);
    draw_speedups(to, run);
    write_table(to, run);
    draw_requests(to, run);
    if (eval_best_static(run) >= 0) {
        slr_heading(to, 2, "What a pass brings and costs");
        draw_curve(to, run, "tokens per pass", tokens_per_pass);
        draw_curve(to, run, "time of a pass / time of a plain one", cost);
        draw_utility(to, run);
    }
    slr_page_end(to);
}

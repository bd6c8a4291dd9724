/* sim_html.c - the report as one page: speed-up by task, which K was used, and what a
 * policy leaves to those that know the future. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "plot.h"
#include "sim_table.h"

enum { COLUMNS_MAX = 40 };

static void print_table(const sim_table *t, FILE *out) {
    const char *heads[SIM_TASKS_MAX + 6];
    int n = 0;
    heads[n++] = "policy";
    for (int i = 0; i < t->n_tasks; i++)
        heads[n++] = t->tasks[i];
    heads[n++] = "mean";
    heads[n++] = "worst, >= 100 tokens";
    heads[n++] = "worst";
    heads[n++] = "tokens per iteration";
    heads[n++] = "testing, %";
    slr_table_begin(out, heads, n);
    for (int c = 0; c < t->report->n_policies + SIM_COLUMNS; c++) {
        const bool policy = c < t->report->n_policies;
        slr_row_begin(out);
        slr_cell(out, sim_table_name(t, c));
        for (int i = 0; i < t->n_tasks; i++)
            slr_cell_number(out, sim_table_speedup(t, c, i), 3);
        slr_cell_number(out, sim_table_speedup(t, c, -1), 3);
        slr_cell_number(out, sim_table_worst(t, c, SIM_LONG_TOKENS), 3);
        slr_cell_number(out, sim_table_worst(t, c, 0), 3);
        slr_cell_number(out, policy ? sim_table_etr(t, c) : NAN, 2);
        slr_cell_number(out, policy ? 100 * sim_table_tested(t, c) : NAN, 1);
        slr_row_end(out);
    }
    slr_table_end(out);
}

/* One group of bars per task and one for the mean; a bar per policy, and what hindsight
 * makes of them. */
static void plot_speedup(const sim_table *t, FILE *out) {
    static double y[COLUMNS_MAX][SIM_TASKS_MAX + 1];
    static const struct {
        int column;
        const char *name;
    } hindsight[] = {{SIM_FIXED, "best K"}, {SIM_BEST_EACH, "per request"}, {SIM_ORACLE, "oracle"}};
    const char *groups[SIM_TASKS_MAX + 1];
    slr_series series[COLUMNS_MAX];
    const int policies = t->report->n_policies, n = policies + (int)SL_COUNT(hindsight);
    for (int i = 0; i <= t->n_tasks; i++)
        groups[i] = i < t->n_tasks ? t->tasks[i] : "mean";
    for (int c = 0; c < n; c++) {
        const bool own = c < policies;
        const int column = own ? c : policies + hindsight[c - policies].column;
        for (int i = 0; i <= t->n_tasks; i++)
            y[c][i] = sim_table_speedup(t, column, i < t->n_tasks ? i : -1);
        series[c] = (slr_series){.name = own ? sim_table_name(t, c) : hindsight[c - policies].name,
                                 .n = t->n_tasks + 1,
                                 .y = y[c]};
    }
    const slr_axes axes = {.title = "Speed-up over plain decoding",
                           .y_label = "plain time / time",
                           .height = 320,
                           .y_line = 1};
    slr_bars(out, &axes, groups, t->n_tasks + 1, series, n);
}

static void plot_k(const sim_table *t, FILE *out) {
    static double y[COLUMNS_MAX][SIM_DRAFT_MAX + 1];
    static const char *const names[SIM_DRAFT_MAX + 1] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
    slr_series series[COLUMNS_MAX];
    const int n = t->report->n_policies;
    for (int c = 0; c < n; c++) {
        double all = 0;
        memset(y[c], 0, sizeof y[c]);
        for (size_t i = 0; i < t->report->n; i++) {
            const sim_request_result *r = &t->report->requests[i];
            if (!sim_table_has(t->part, r)) continue;
            for (int k = 0; k <= SIM_DRAFT_MAX; k++)
                y[c][k] += r->policy[c].k_passes[k];
            all += (double)r->policy[c].iterations;
        }
        for (int k = 0; k <= SIM_DRAFT_MAX; k++)
            y[c][k] *= all > 0 ? 100 / all : 0;
        series[c] = (slr_series){.name = sim_table_name(t, c), .n = SIM_DRAFT_MAX + 1, .y = y[c]};
    }
    const slr_axes axes = {.title = "Tokens verified per iteration (K)",
                           .x_label = "K",
                           .y_label = "% of iterations",
                           .height = 300};
    slr_bars(out, &axes, names, SIM_DRAFT_MAX + 1, series, n);
}

/* Time beyond that of a choice made in hindsight, in percent of it, mean over tasks. */
static void plot_regret(const sim_table *t, FILE *out) {
    static double y[3][COLUMNS_MAX];
    static const char *const names[3] = {"against the best static K",
                                         "against the best K per request",
                                         "against the oracle per iteration"};
    const int against[3] = {SIM_FIXED, SIM_BEST_EACH, SIM_ORACLE};
    const char *groups[COLUMNS_MAX];
    slr_series series[3];
    const int n = t->report->n_policies;
    for (int c = 0; c < n; c++)
        groups[c] = sim_table_name(t, c);
    for (int s = 0; s < 3; s++) {
        for (int c = 0; c < n; c++)
            y[s][c] =
                100 * (sim_table_speedup(t, n + against[s], -1) / sim_table_speedup(t, c, -1) - 1);
        series[s] = (slr_series){.name = names[s], .n = n, .y = y[s]};
    }
    const slr_axes axes = {.title = "Regret (below 0: faster than the choice in hindsight)",
                           .y_label = "% more time",
                           .height = 300};
    slr_bars(out, &axes, groups, n, series, 3);
}

void sim_html_print(const sim_report *report, FILE *out) {
    char text[160];
    slr_page_begin(out, "Policies on recorded outputs");
    (void)snprintf(text, sizeof text,
                   "Cost curve %s. A speed-up is plain time / time over a task's requests; the "
                   "mean over tasks is geometric.",
                   report->curve);
    slr_paragraph(out, text);
    for (int p = 0; p < SIM_PARTS; p++) {
        const sim_table t = sim_table_of(report, (sim_part)p);
        if (t.n_tasks == 0) continue;
        slr_heading(out, 2, sim_part_names[p]);
        if (p == SIM_ALL) {
            plot_speedup(&t, out);
            plot_k(&t, out);
            plot_regret(&t, out);
        }
        print_table(&t, out);
    }
    slr_page_end(out);
}

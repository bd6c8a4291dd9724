/* sim_report.c - tables as text: markdown, csv, and json with one object per request.
 * What the columns are is worked out in sim_table.c; the page with charts is sim_html.c. */
#include "sim_report.h"

#include <jansson.h>
#include <string.h>

#include "sim_table.h"

/* ---- markdown ------------------------------------------------------------------------ */

static void print_md_table(const sim_table *t, FILE *out) {
    const int columns = t->report->n_policies + SIM_COLUMNS, fixed = t->report->n_policies;
    const double oracle = sim_table_speedup(t, fixed + SIM_ORACLE, -1);
    size_t n = 0;
    for (size_t i = 0; i < t->report->n; i++)
        n += sim_table_has(t->part, &t->report->requests[i]);
    fprintf(out, "### curve %s, %s: %zu requests\n\n", t->report->curve, sim_part_names[t->part],
            n);
    fprintf(out, "| policy |");
    for (int i = 0; i < t->n_tasks; i++)
        fprintf(out, " %s |", t->tasks[i]);
    fprintf(out,
            " mean | worst, >= %d tokens | worst | of oracle's gain | / static K |"
            " / static (match, K) | / K per request | testing |\n|---|",
            SIM_LONG_TOKENS);
    for (int i = 0; i < t->n_tasks + 8; i++)
        fprintf(out, "--:|");
    for (int c = 0; c < columns; c++) {
        const double s = sim_table_speedup(t, c, -1);
        fprintf(out, "\n| %s", sim_table_name(t, c));
        if (c == fixed + SIM_FIXED) fprintf(out, ": %d", t->fixed.k);
        if (c == fixed + SIM_FIXED_MATCH)
            fprintf(out, ": (%d, %d)", t->fixed_match.match + 1, t->fixed_match.k);
        fprintf(out, " |");
        for (int i = 0; i < t->n_tasks; i++)
            fprintf(out, " %.3f |", sim_table_speedup(t, c, i));
        fprintf(out, " %.3f | %.3f | %.3f | %.0f%% | %.3f | %.3f | %.3f | %.1f%% |", s,
                sim_table_worst(t, c, SIM_LONG_TOKENS), sim_table_worst(t, c, 0),
                oracle > 1 ? 100 * (s - 1) / (oracle - 1) : 0,
                s / sim_table_speedup(t, fixed + SIM_FIXED, -1),
                s / sim_table_speedup(t, fixed + SIM_FIXED_MATCH, -1),
                s / sim_table_speedup(t, fixed + SIM_BEST_EACH, -1), 100 * sim_table_tested(t, c));
    }
    fprintf(out, "\n\n");
}

/* ---- csv, json ------------------------------------------------------------------------ */

static void print_csv(const sim_report *report, FILE *out) {
    fprintf(out, "curve,part,policy,task,speedup,worst_long,worst,testing\n");
    for (int p = 0; p < SIM_PARTS; p++) {
        const sim_table t = sim_table_of(report, (sim_part)p);
        for (int c = 0; c < report->n_policies + SIM_COLUMNS; c++)
            for (int i = -1; i < t.n_tasks; i++) {
                fprintf(out, "%s,%s,\"%s\",%s,%.5f,", report->curve, sim_part_names[p],
                        sim_table_name(&t, c), i < 0 ? "mean" : t.tasks[i],
                        sim_table_speedup(&t, c, i));
                if (i < 0)
                    fprintf(out, "%.5f,%.5f,%.5f\n", sim_table_worst(&t, c, SIM_LONG_TOKENS),
                            sim_table_worst(&t, c, 0), sim_table_tested(&t, c));
                else
                    fprintf(out, ",,\n");
            }
    }
}

/* One line per request, so that anyone can make other tables. */
static void print_json(const sim_report *report, FILE *out) {
    for (size_t i = 0; i < report->n; i++) {
        const sim_request_result *r = &report->requests[i];
        json_t *line = json_pack(
            "{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "curve", report->curve, "task", r->request->task,
            "id", r->request->id, "prompt_tokens", r->request->prompt_tokens, "output_tokens",
            r->request->output_tokens, "best_k_time", r->best_k, "oracle_time", r->oracle);
        json_t *policies = json_object();
        for (int p = 0; p < report->n_policies; p++) {
            const sim_result *s = &r->policy[p];
            json_object_set_new(
                policies, report->policies[p].name,
                json_pack("{s:f, s:f, s:I, s:I, s:I, s:I}", "time", s->time, "speedup",
                          s->plain_time / s->time, "iterations", (json_int_t)s->iterations,
                          "drafted", (json_int_t)s->drafted, "accepted", (json_int_t)s->accepted,
                          "testing", (json_int_t)s->tested));
        }
        json_object_set_new(line, "policies", policies);
        json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(7));
        fputc('\n', out);
        json_decref(line);
    }
}

void sim_report_print(const sim_report *report, sim_format format, FILE *out) {
    if (format == SIM_CSV) {
        print_csv(report, out);
    } else if (format == SIM_JSON) {
        print_json(report, out);
    } else if (format == SIM_HTML) {
        sim_html_print(report, out);
    } else {
        for (int p = 0; p < SIM_PARTS; p++) {
            const sim_table t = sim_table_of(report, (sim_part)p);
            if (t.n_tasks > 0) print_md_table(&t, out);
        }
    }
}

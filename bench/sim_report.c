/* sim_report.c - see sim_report.h. */
#include "sim_report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { TASKS_MAX = 32, LONG_TOKENS = 100 };
#define LOOP_ORACLE 3.0 /* a request whose oracle is above this is a loop or a near-copy */

/* Which requests a table is about. */
typedef enum part { ALL, NO_LOOPS, SHORT, LONG, PARTS } part;
static const char *const part_names[PARTS] = {"all", "no-loops", "short", "long"};

static bool is_in(part p, const sim_request_result *r) {
    switch (p) {
    case NO_LOOPS:
        return (r->request->output_tokens - 1) / r->oracle <= LOOP_ORACLE;
    case SHORT:
        return r->request->output_tokens < LONG_TOKENS;
    case LONG:
        return r->request->output_tokens >= LONG_TOKENS;
    default:
        return true;
    }
}

/* ---- columns: what was tried on every request ---------------------------------------- */

/* Columns 0 .. n_policies - 1 are policies; then these. */
enum { COLUMN_FIXED, COLUMN_FIXED_MATCH, COLUMN_TASK_FIXED, COLUMN_BEST_K, COLUMN_ORACLE, COLUMNS };
static const char *const column_names[COLUMNS] = {"best static K", "best static (match, K)",
                                                  "best static (match, K) per task",
                                                  "best K per request", "oracle per iteration"};

typedef struct choice {
    int match, k;
} choice;

typedef struct table {
    const sim_report *report;
    part part;
    const char *tasks[TASKS_MAX];
    int n_tasks;
    choice fixed, fixed_match, per_task[TASKS_MAX];
} table;

static int task_of(const table *t, const sim_request *q) {
    for (int i = 0; i < t->n_tasks; i++)
        if (strcmp(t->tasks[i], q->task) == 0) return i;
    return -1;
}

static double time_in(const table *t, int column, int task, const sim_request_result *r) {
    const int n = t->report->n_policies;
    if (column < n) return r->policy[column].time;
    const choice fixed[] = {t->fixed, t->fixed_match, t->per_task[task]};
    switch (column - n) {
    case COLUMN_BEST_K:
        return r->best_k;
    case COLUMN_ORACLE:
        return r->oracle;
    default:
        return r->fixed[fixed[column - n].match][fixed[column - n].k];
    }
}

/* Plain time / time of a column, over one task (or all: -1 gives the geometric mean). */
static double speedup(const table *t, int column, int task) {
    double plain = 0, time = 0, logs = 0;
    if (task < 0) {
        for (int i = 0; i < t->n_tasks; i++)
            logs += log(speedup(t, column, i));
        return t->n_tasks > 0 ? exp(logs / t->n_tasks) : 1;
    }
    for (size_t i = 0; i < t->report->n; i++) {
        const sim_request_result *r = &t->report->requests[i];
        if (!is_in(t->part, r) || task_of(t, r->request) != task) continue;
        plain += r->request->output_tokens - 1;
        time += time_in(t, column, task, r);
    }
    return time > 0 ? plain / time : 1;
}

/* The fixed choice with the best speed-up on a task or on all (-1). */
static choice best_fixed(table *t, int matches, int task) {
    const choice kept = t->fixed;
    choice best = {0, 0};
    double most = 0;
    for (int m = 0; m < matches; m++)
        for (int k = 0; k <= SIM_BEST_K; k++) {
            t->fixed = (choice){m, k};
            const double s = speedup(t, t->report->n_policies + COLUMN_FIXED, task);
            if (s > most) {
                most = s;
                best = t->fixed;
            }
        }
    t->fixed = kept;
    return best;
}

static table table_of(const sim_report *report, part p) {
    table t = {.report = report, .part = p};
    for (size_t i = 0; i < report->n; i++)
        if (is_in(p, &report->requests[i]) && task_of(&t, report->requests[i].request) < 0 &&
            t.n_tasks < TASKS_MAX)
            t.tasks[t.n_tasks++] = report->requests[i].request->task;
    for (int i = 1; i < t.n_tasks; i++) /* by name */
        for (int j = i; j > 0 && strcmp(t.tasks[j - 1], t.tasks[j]) > 0; j--) {
            const char *swap = t.tasks[j];
            t.tasks[j] = t.tasks[j - 1];
            t.tasks[j - 1] = swap;
        }
    t.fixed_match = best_fixed(&t, SIM_BEST_MATCH, -1);
    for (int i = 0; i < t.n_tasks; i++)
        t.per_task[i] = best_fixed(&t, SIM_BEST_MATCH, i);
    t.fixed = best_fixed(&t, 1, -1);
    return t;
}

static const char *column_name(const table *t, int column) {
    const int n = t->report->n_policies;
    return column < n ? t->report->policies[column].name : column_names[column - n];
}

/* The slowest request of at least `tokens` tokens: plain / time. */
static double worst(const table *t, int column, int32_t tokens) {
    double least = 1e300;
    for (size_t i = 0; i < t->report->n; i++) {
        const sim_request_result *r = &t->report->requests[i];
        const int task = task_of(t, r->request);
        if (!is_in(t->part, r) || task < 0 || r->request->output_tokens < tokens) continue;
        const double s = (r->request->output_tokens - 1) / time_in(t, column, task, r);
        if (s < least) least = s;
    }
    return least < 1e300 ? least : 1;
}

static double tested(const table *t, int column) {
    int64_t iterations = 0, testing = 0;
    if (column >= t->report->n_policies) return 0;
    for (size_t i = 0; i < t->report->n; i++) {
        if (!is_in(t->part, &t->report->requests[i])) continue;
        iterations += t->report->requests[i].policy[column].iterations;
        testing += t->report->requests[i].policy[column].tested;
    }
    return iterations > 0 ? (double)testing / (double)iterations : 0;
}

/* ---- markdown ------------------------------------------------------------------------ */

static void print_md_table(const table *t, FILE *out) {
    const int columns = t->report->n_policies + COLUMNS, fixed = t->report->n_policies;
    const double oracle = speedup(t, fixed + COLUMN_ORACLE, -1);
    size_t n = 0;
    for (size_t i = 0; i < t->report->n; i++)
        n += is_in(t->part, &t->report->requests[i]);
    fprintf(out, "### curve %s, %s: %zu requests\n\n", t->report->curve, part_names[t->part], n);
    fprintf(out, "| policy |");
    for (int i = 0; i < t->n_tasks; i++)
        fprintf(out, " %s |", t->tasks[i]);
    fprintf(out,
            " mean | worst, >= %d tokens | worst | of oracle's gain | / static K |"
            " / static (match, K) | / K per request | testing |\n|---|",
            LONG_TOKENS);
    for (int i = 0; i < t->n_tasks + 8; i++)
        fprintf(out, "--:|");
    for (int c = 0; c < columns; c++) {
        const double s = speedup(t, c, -1);
        fprintf(out, "\n| %s", column_name(t, c));
        if (c == fixed + COLUMN_FIXED) fprintf(out, ": %d", t->fixed.k);
        if (c == fixed + COLUMN_FIXED_MATCH)
            fprintf(out, ": (%d, %d)", t->fixed_match.match + 1, t->fixed_match.k);
        fprintf(out, " |");
        for (int i = 0; i < t->n_tasks; i++)
            fprintf(out, " %.3f |", speedup(t, c, i));
        fprintf(out, " %.3f | %.3f | %.3f | %.0f%% | %.3f | %.3f | %.3f | %.1f%% |", s,
                worst(t, c, LONG_TOKENS), worst(t, c, 0),
                oracle > 1 ? 100 * (s - 1) / (oracle - 1) : 0,
                s / speedup(t, fixed + COLUMN_FIXED, -1),
                s / speedup(t, fixed + COLUMN_FIXED_MATCH, -1),
                s / speedup(t, fixed + COLUMN_BEST_K, -1), 100 * tested(t, c));
    }
    fprintf(out, "\n\n");
}

/* ---- csv, json ------------------------------------------------------------------------ */

static void print_csv(const sim_report *report, FILE *out) {
    fprintf(out, "curve,part,policy,task,speedup,worst_long,worst,testing\n");
    for (int p = 0; p < PARTS; p++) {
        const table t = table_of(report, (part)p);
        for (int c = 0; c < report->n_policies + COLUMNS; c++)
            for (int i = -1; i < t.n_tasks; i++) {
                fprintf(out, "%s,%s,\"%s\",%s,%.5f,", report->curve, part_names[p],
                        column_name(&t, c), i < 0 ? "mean" : t.tasks[i], speedup(&t, c, i));
                if (i < 0)
                    fprintf(out, "%.5f,%.5f,%.5f\n", worst(&t, c, LONG_TOKENS), worst(&t, c, 0),
                            tested(&t, c));
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
    } else {
        for (int p = 0; p < PARTS; p++) {
            const table t = table_of(report, (part)p);
            if (t.n_tasks > 0) print_md_table(&t, out);
        }
    }
}

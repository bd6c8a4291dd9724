/* sim_table.c - see sim_table.h. */
#include "sim_table.h"

#include <math.h>
#include <string.h>

#define LOOP_ORACLE 3.0 /* a request whose oracle is above this is a loop or a near-copy */

const char *const sim_part_names[SIM_PARTS] = {"all", "no-loops", "short", "long"};

bool sim_table_has(sim_part p, const sim_request_result *r) {
    switch (p) {
    case SIM_NO_LOOPS:
        return (r->request->output_tokens - 1) / r->oracle <= LOOP_ORACLE;
    case SIM_SHORT:
        return r->request->output_tokens < SIM_LONG_TOKENS;
    case SIM_LONG:
        return r->request->output_tokens >= SIM_LONG_TOKENS;
    default:
        return true;
    }
}

/* ---- columns: what was tried on every request ---------------------------------------- */

static const char *const column_names[SIM_COLUMNS] = {"best static K", "best static (match, K)",
                                                      "best static (match, K) per task",
                                                      "best K per request", "oracle per iteration"};

static int task_of(const sim_table *t, const sim_request *q) {
    for (int i = 0; i < t->n_tasks; i++)
        if (strcmp(t->tasks[i], q->task) == 0) return i;
    return -1;
}

double sim_table_time(const sim_table *t, int column, int task, const sim_request_result *r) {
    const int n = t->report->n_policies;
    if (column < n) return r->policy[column].time;
    const sim_choice fixed[] = {t->fixed, t->fixed_match, t->per_task[task]};
    switch (column - n) {
    case SIM_BEST_EACH:
        return r->best_k;
    case SIM_ORACLE:
        return r->oracle;
    default:
        return r->fixed[fixed[column - n].match][fixed[column - n].k];
    }
}

/* Plain time / time of a column, over one task (or all: -1 gives the geometric mean). */
double sim_table_speedup(const sim_table *t, int column, int task) {
    double plain = 0, time = 0, logs = 0;
    if (task < 0) {
        for (int i = 0; i < t->n_tasks; i++)
            logs += log(sim_table_speedup(t, column, i));
        return t->n_tasks > 0 ? exp(logs / t->n_tasks) : 1;
    }
    for (size_t i = 0; i < t->report->n; i++) {
        const sim_request_result *r = &t->report->requests[i];
        if (!sim_table_has(t->part, r) || task_of(t, r->request) != task) continue;
        plain += r->request->output_tokens - 1;
        time += sim_table_time(t, column, task, r);
    }
    return time > 0 ? plain / time : 1;
}

/* The fixed sim_choice with the best speed-up on a task or on all (-1). */
static sim_choice best_fixed(sim_table *t, int matches, int task) {
    const sim_choice kept = t->fixed;
    sim_choice best = {0, 0};
    double most = 0;
    for (int m = 0; m < matches; m++)
        for (int k = 0; k <= SIM_BEST_K; k++) {
            t->fixed = (sim_choice){m, k};
            const double s = sim_table_speedup(t, t->report->n_policies + SIM_FIXED, task);
            if (s > most) {
                most = s;
                best = t->fixed;
            }
        }
    t->fixed = kept;
    return best;
}

sim_table sim_table_of(const sim_report *report, sim_part p) {
    sim_table t = {.report = report, .part = p};
    for (size_t i = 0; i < report->n; i++)
        if (sim_table_has(p, &report->requests[i]) &&
            task_of(&t, report->requests[i].request) < 0 && t.n_tasks < SIM_TASKS_MAX)
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

const char *sim_table_name(const sim_table *t, int column) {
    const int n = t->report->n_policies;
    return column < n ? t->report->policies[column].name : column_names[column - n];
}

/* The slowest request of at least `tokens` tokens: plain / time. */
double sim_table_worst(const sim_table *t, int column, int32_t tokens) {
    double least = 1e300;
    for (size_t i = 0; i < t->report->n; i++) {
        const sim_request_result *r = &t->report->requests[i];
        const int task = task_of(t, r->request);
        if (!sim_table_has(t->part, r) || task < 0 || r->request->output_tokens < tokens) continue;
        const double s = (r->request->output_tokens - 1) / sim_table_time(t, column, task, r);
        if (s < least) least = s;
    }
    return least < 1e300 ? least : 1;
}

double sim_table_tested(const sim_table *t, int column) {
    int64_t iterations = 0, testing = 0;
    if (column >= t->report->n_policies) return 0;
    for (size_t i = 0; i < t->report->n; i++) {
        if (!sim_table_has(t->part, &t->report->requests[i])) continue;
        iterations += t->report->requests[i].policy[column].iterations;
        testing += t->report->requests[i].policy[column].tested;
    }
    return iterations > 0 ? (double)testing / (double)iterations : 0;
}

double sim_table_etr(const sim_table *t, int policy) {
    double tokens = 0, iterations = 0;
    for (size_t i = 0; i < t->report->n; i++) {
        const sim_request_result *r = &t->report->requests[i];
        if (!sim_table_has(t->part, r)) continue;
        tokens += r->request->output_tokens - 1;
        iterations += (double)r->policy[policy].iterations;
    }
    return iterations > 0 ? tokens / iterations : 1;
}

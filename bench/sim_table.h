/* sim_table.h - what the results of many requests come to: speed-up by task and column.
 *
 * A column is something that was tried on every request: the report's policies, in order,
 * and after them the choices known only in hindsight. */
#ifndef SIM_TABLE_H
#define SIM_TABLE_H

#include <stdbool.h>

#include "sim_report.h"

enum { SIM_TASKS_MAX = 32, SIM_LONG_TOKENS = 100 };

/* Which requests a table is about: all, all but loops and near-copies (oracle above 3x),
 * outputs of fewer than SIM_LONG_TOKENS tokens, the others. */
typedef enum sim_part { SIM_ALL, SIM_NO_LOOPS, SIM_SHORT, SIM_LONG, SIM_PARTS } sim_part;
extern const char *const sim_part_names[SIM_PARTS];

/* Columns after the policies. */
enum { SIM_FIXED, SIM_FIXED_MATCH, SIM_TASK_FIXED, SIM_BEST_EACH, SIM_ORACLE, SIM_COLUMNS };

typedef struct sim_choice {
    int match, k; /* shortest match - 1, and K */
} sim_choice;

typedef struct sim_table {
    const sim_report *report;
    sim_part part;
    const char *tasks[SIM_TASKS_MAX]; /* by name */
    int n_tasks;
    sim_choice fixed, fixed_match, per_task[SIM_TASKS_MAX];
} sim_table;

sim_table sim_table_of(const sim_report *report, sim_part part);
bool sim_table_has(sim_part part, const sim_request_result *r);
const char *sim_table_name(const sim_table *t, int column);

/* Plain time / time of a column over one task; task -1: the geometric mean over tasks. */
double sim_table_speedup(const sim_table *t, int column, int task);

/* Time of one request of a task, in plain iterations. */
double sim_table_time(const sim_table *t, int column, int task, const sim_request_result *r);

/* The slowest request of at least `tokens` tokens: plain / time. */
double sim_table_worst(const sim_table *t, int column, int32_t tokens);

/* Share of a policy's iterations that ran to learn something. */
double sim_table_tested(const sim_table *t, int column);

/* Tokens per iteration of a policy (ETR). */
double sim_table_etr(const sim_table *t, int policy);

#endif

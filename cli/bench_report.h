/* bench_report.h - what `sluice bench` found, as a page, as JSON and as a table. */
#ifndef SL_CLI_BENCH_REPORT_H
#define SL_CLI_BENCH_REPORT_H

#include <stdio.h>

#include "sluice/bench.h"
#include "sluice/model.h"

/* What was found with one number of threads at one depth. */
typedef struct cli_bench_report {
    const sl_model *model; /* borrowed, as params.rows */
    sl_bench_params params;
    sl_bench_result result;
    double bandwidth_one; /* bytes per second with one thread; 0: not measured */
} cli_bench_report;

/* Of reports b [n], n >= 1, all of one model.
 *
 * Markdown: the machine, the speeds, for each report one table for both kinds of rows. */
void cli_bench_markdown(FILE *to, const cli_bench_report *b, int32_t n);

/* One line per point, everything in SI units, the report's facts repeated on each. */
void cli_bench_csv(FILE *to, const cli_bench_report *b, int32_t n);

/* One object, or of several reports an array of them. CLI_OK, or CLI_FAILED if memory or
 * the disk ran out. */
int cli_bench_json(FILE *to, const cli_bench_report *b, int32_t n);

#endif

/* bench_report.h - what `sluice bench` found, as a page, as JSON and as a table. */
#ifndef SL_CLI_BENCH_REPORT_H
#define SL_CLI_BENCH_REPORT_H

#include <stdio.h>

#include "sluice/bench.h"
#include "sluice/model.h"

typedef struct cli_bench_report { /* borrowed */
    const sl_model *model;
    const sl_bench_params *params;
    const sl_bench_result *result;
    double bandwidth_one; /* bytes per second with one thread; 0: not measured */
} cli_bench_report;

/* Markdown: the machine, the speeds, one table for both kinds of rows. */
void cli_bench_markdown(FILE *to, const cli_bench_report *b);

/* One line per point, everything in SI units, the run's facts repeated on each. */
void cli_bench_csv(FILE *to, const cli_bench_report *b);

/* One object. CLI_OK, or CLI_FAILED if memory or the disk ran out. */
int cli_bench_json(FILE *to, const cli_bench_report *b);

#endif

/* summary.h - what a run did and what it cost, for people and for programs. */
#ifndef SL_CLI_SUMMARY_H
#define SL_CLI_SUMMARY_H

#include <stdint.h>
#include <stdio.h>

#include "sluice/generate.h"
#include "sluice/model.h"

typedef struct cli_run_facts { /* all borrowed */
    const sl_model *model;
    const sl_generate_params *params;
    const sl_generate_stats *stats;
    int32_t threads;
    int32_t context;
} cli_run_facts;

/* A dozen aligned lines. */
void cli_summary_print(FILE *to, const cli_run_facts *run);

/* One JSON object: everything in sl_generate_stats under its own name (numbers that do
 * not exist are null, hashes are strings of 16 hex digits, k_histogram ends with the
 * largest K that occurred), and what the run was: model, threads, isa, seed, policy.
 * CLI_OK, or CLI_FAILED if memory or the disk ran out. */
int cli_summary_json(FILE *to, const cli_run_facts *run);

#endif

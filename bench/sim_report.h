/* sim_report.h - results of all policies on all requests as tables. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdio.h>

#include "sim_run.h"

/* Oracles beside the policies, as columns of a request. */
enum { SIM_BEST_K = 8, SIM_BEST_MATCH = 3 };

typedef struct sim_request_result {
    const sim_request *request;
    sim_result *policy; /* [n_policies] */
    double best_k;      /* the best K <= SIM_BEST_K for this request, known in hindsight */
    double oracle;
    double fixed[SIM_BEST_MATCH][SIM_BEST_K + 1]; /* time of [shortest match - 1][K] */
} sim_request_result;

typedef struct sim_report {
    const char *curve;
    sim_policy *policies;
    int n_policies;
    sim_request_result *requests;
    size_t n;
} sim_report;

typedef enum sim_format { SIM_MD, SIM_CSV, SIM_JSON, SIM_HTML } sim_format;

/* Speed-ups are sums of plain time / sums of time over a task's requests; the mean over
 * tasks is geometric. */
void sim_report_print(const sim_report *report, sim_format format, FILE *out);

/* One page with the tables and charts, nothing beside it (sim_html.c). */
void sim_html_print(const sim_report *report, FILE *out);

#endif

/* sim_curve.h - what a pass costs in the simulator: a curve over rows, and noise on it. */
#ifndef SIM_CURVE_H
#define SIM_CURVE_H

#include <stdint.h>

#include "sluice/status.h"

enum { SIM_ROWS_MAX = 272, SIM_CURVE_POINTS_MAX = 64 };

typedef struct sim_curve {
    double cost[SIM_ROWS_MAX + 1]; /* [rows] in units of one row; [1] = 1; [0] unused */
    double expert_share; /* of a row's time that reading its experts takes; only used where
                            experts are known (sim_pass_time)                          */
    double row_cost;     /* of one more row beside its experts                          */
} sim_curve;

/* "target", "olmoe-bytes", "ik", "llama.cpp", "dense", or a csv file of "rows,time" lines in
 * any unit, rows ascending from 1 (a header line is skipped, more columns are ignored).
 * Linear between points, and beyond the last one as between the last two. */
SL_MUST_USE sl_status sim_curve_open(sim_curve *curve, const char *name, sl_error *err);

typedef struct sim_noise {
    double relative; /* standard deviation of a pass, relative: 0.05            */
    double tail;     /* share of passes that take three times as long: 0 or 0.01 */
    uint64_t seed;
} sim_noise;

/* The factor of pass `index` of request `request`: about 1, above 0.2. */
double sim_noise_factor(const sim_noise *noise, uint64_t request, uint64_t index);

#endif

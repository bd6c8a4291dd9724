/* sim_curve.c - see sim_curve.h. */
#include "sim_curve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "sim_text.h"

typedef struct knots {
    int32_t n;
    double rows[SIM_CURVE_POINTS_MAX], time[SIM_CURVE_POINTS_MAX];
} knots;

/* Measured or computed elsewhere; see docs/policy.md. */
static const struct {
    const char *name;
    knots knots;
} named[] = {
    {"target", {5, {1, 2, 4, 8, 16}, {1, 1.28, 1.66, 2.15, 3.2}}},
    {"olmoe-bytes", {5, {1, 2, 4, 8, 16}, {1, 1.45, 2.1, 2.9, 3.9}}},
    {"ik", {5, {1, 2, 4, 8, 16}, {1, 1.45, 2.22, 3.75, 6.6}}},
    {"llama.cpp", {5, {1, 2, 4, 8, 16}, {1, 1.62, 2.66, 5.18, 9.4}}},
    {"dense", {5, {1, 2, 4, 8, 16}, {1, 1.02, 1.05, 1.1, 1.25}}},
};

static void draw(sim_curve *curve, const knots *k) {
    curve->cost[0] = 0;
    for (int32_t rows = 1, i = 0; rows <= SIM_ROWS_MAX; rows++) {
        while (i + 2 < k->n && rows > k->rows[i + 1])
            i++;
        const double along = (rows - k->rows[i]) / (k->rows[i + 1] - k->rows[i]);
        curve->cost[rows] = (k->time[i] + along * (k->time[i + 1] - k->time[i])) / k->time[0];
    }
}

/* Of a line [n]: its first two numbers. strtod() by itself would go on in the next line. */
static bool read_knot(const char *line, size_t n, double *rows, double *time) {
    char *end, *stop;
    *rows = strtod(line, &end);
    if (end == line || *end != ',') return false;
    *time = strtod(end + 1, &stop);
    return stop > end + 1 && stop <= line + n && isfinite(*rows) && isfinite(*time) && *time > 0;
}

static bool is_header(const char *line) {
    char *end;
    (void)strtod(line, &end);
    return end == line;
}

static sl_status read_csv(knots *k, const char *path, sl_error *err) {
    char *text = NULL;
    size_t size = 0;
    sl_status status = sim_text_read(path, &text, &size, err);
    if (status != SL_OK) return status;
    k->n = 0;
    int line = 1;
    for (const char *at = text; status == SL_OK && *at; line++) {
        const size_t n = strcspn(at, "\n");
        double rows = 0, time = 0;
        if (n > 0 && *at != '\r' && !(line == 1 && is_header(at))) {
            const bool sound = read_knot(at, n, &rows, &time) && k->n < SIM_CURVE_POINTS_MAX;
            if (sound && (k->n == 0 ? rows == 1 : rows > k->rows[k->n - 1]))
                k->rows[k->n] = rows, k->time[k->n++] = time;
            else
                status = sl__fail(err, SL_E_FORMAT, 0,
                                  "%s:%d: expected rows,time; rows ascending from 1", path, line);
        }
        at += n;
        at += *at == '\n';
    }
    free(text);
    if (status == SL_OK && k->n < 2)
        status = sl__fail(err, SL_E_FORMAT, 0, "%s: a curve needs two points", path);
    return status;
}

/* Between and beyond points all right by themselves a pass may still cost nothing. */
static sl_status check_costs(const sim_curve *curve, const char *path, sl_error *err) {
    for (int32_t rows = 1; rows <= SIM_ROWS_MAX; rows++)
        if (!isfinite(curve->cost[rows]) || !(curve->cost[rows] > 0))
            return sl__fail(err, SL_E_FORMAT, 0,
                            "%s: the last two points give %d rows a time of %g times one row's, "
                            "expected more than 0",
                            path, (int)rows, curve->cost[rows]);
    return SL_OK;
}

sl_status sim_curve_open(sim_curve *curve, const char *name, sl_error *err) {
    for (size_t i = 0; i < SL_COUNT(named); i++)
        if (strcmp(name, named[i].name) == 0) {
            draw(curve, &named[i].knots);
            return SL_OK;
        }
    if (!strchr(name, '.') && !strchr(name, '/'))
        return sl__fail(err, SL_E_ARG, 0,
                        "curve \"%s\": expected target, olmoe-bytes, ik, llama.cpp, dense or a "
                        "csv file",
                        name);
    knots k;
    const sl_status status = read_csv(&k, name, err);
    if (status != SL_OK) return status;
    draw(curve, &k);
    return check_costs(curve, name, err);
}

/* Sum of four uniforms: bell-shaped, bounded at 3.46 standard deviations. */
static double bell(uint64_t seed, uint64_t stream, uint64_t index) {
    double sum = 0;
    for (uint64_t i = 0; i < 4; i++)
        sum += sl__random_open01(seed, stream, 4 * index + i) - 0.5;
    return sum * sqrt(3.0);
}

double sim_noise_factor(const sim_noise *noise, uint64_t request, uint64_t index) {
    const double factor = 1 + noise->relative * bell(noise->seed, 2 * request, index);
    const bool slow = sl__random_open01(noise->seed, 2 * request + 1, index) < noise->tail;
    return (factor > 0.2 ? factor : 0.2) * (slow ? 3 : 1);
}

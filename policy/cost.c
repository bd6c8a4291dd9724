/* cost.c - how long does a pass take, in plain iterations?
 *
 *     ratio(rows) = 1 + correction(rows) * (shape(rows) - 1)
 *
 * The shape is what reading the union of the rows' experts costs on a typical MoE; the
 * correction is measured. Where a number of rows was never run, its neighbours' corrections
 * speak for it, and where there is no neighbour either, the mean of all does: one cheap pass
 * makes every pass look cheaper, so that a dense model's rows are tried at once.
 *
 * Working in ratios takes the context term out: attention makes plain passes longer too,
 * and t_plain is the newest 16 of them. (docs/policy.md, section 2) */
#include "ledger_constants.h"
#include "ledger_parts.h"

/* ---- the time of a plain iteration ------------------------------------------------------ */

/* Mean of the middle of the latest times: a stutter is not in it, and a machine that has
 * become slower is half believed after 8. With few samples it leans to the shorter ones,
 * which makes speculation look dearer and the ledger stricter, never the reverse. */
double slp__plain_time(const double *times, int32_t n) {
    double sorted[SLP__PLAIN_TIMES];
    for (int32_t i = 0; i < n; i++) {
        int32_t j = i;
        for (; j > 0 && sorted[j - 1] > times[i]; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = times[i];
    }
    const int32_t from = n / 4, to = n - (n + 2) / 4;
    double sum = 0;
    for (int32_t i = from; i < to; i++)
        sum += sorted[i];
    return sum / (to - from);
}

/* ---- ratios ---------------------------------------------------------------------------- */

static double shape(int32_t rows) {
    static const double at_power[] = {1, 1.35, 1.85, 2.6, 4.0, 5.6, 7.5, 9.5}; /* 1, 2, 4 .. */
    int32_t i = 0;
    while ((2 << i) <= rows)
        i++;
    const double along = (double)(rows - (1 << i)) / (1 << i);
    return at_power[i] + along * (at_power[i + 1] - at_power[i]);
}

void slp__cost_init(slp__cost *cost) {
    for (int32_t r = 0; r <= SLP__ROWS; r++) {
        cost->correction[r] = 1;
        cost->passes[r] = 0;
    }
}

static double mean_correction(const slp__cost *cost) {
    double sum = slp__k.shape_passes, weight = slp__k.shape_passes;
    for (int32_t r = 2; r <= SLP__ROWS; r++) {
        sum += (double)cost->passes[r] * (double)cost->correction[r];
        weight += (double)cost->passes[r];
    }
    return sum / weight;
}

void slp__cost_curve(const slp__cost *cost, int32_t rows_max, double *out) {
    const double mean = mean_correction(cost);
    out[1] = 1;
    for (int32_t r = 2; r <= rows_max; r++) {
        double sum = slp__k.mean_passes * mean, weight = slp__k.mean_passes;
        for (int32_t j = 2; j <= SLP__ROWS; j++) {
            if (cost->passes[j] == 0.0f) continue;
            const double apart = (double)(r - j) * (r - j) / ((double)r * j);
            const double far = 1 + slp__k.nearness * apart;
            const double w = (double)cost->passes[j] / (far * far);
            sum += w * (double)cost->correction[j];
            weight += w;
        }
        out[r] = 1 + (shape(r) - 1) * sum / weight;
        if (out[r] < out[r - 1]) out[r] = out[r - 1]; /* more rows are never cheaper */
    }
}

/* A pass that took far longer or shorter than expected says so only in part: within a
 * band that narrows from a factor 2.25 to 1.25 as passes confirm each other. */
double slp__cost_learn(slp__cost *cost, int32_t rows, double ratio, double expected) {
    const double before = (double)cost->passes[rows];
    const double band = 1.25 + 1 / (before + 1);
    const double passes = before < slp__k.passes_max ? before + 1 : slp__k.passes_max;
    if (ratio > expected * band) ratio = expected * band;
    if (ratio < expected / band) ratio = expected / band;
    const double correction = (ratio - 1) / (shape(rows) - 1);
    cost->correction[rows] += (float)((correction - (double)cost->correction[rows]) / passes);
    cost->passes[rows] = (float)passes;
    return ratio;
}

void slp__cost_merge(slp__cost *all, const slp__cost *request, const uint16_t *ran) {
    for (int32_t r = 2; r <= SLP__ROWS; r++) {
        if (ran[r] == 0) continue;
        const double passes = (double)all->passes[r] + ran[r];
        const double from = (double)request->correction[r], to = (double)all->correction[r];
        all->correction[r] = (float)(to + (from - to) * ran[r] / passes);
        all->passes[r] = (float)(passes < slp__k.passes_max ? passes : slp__k.passes_max);
    }
}

/* budget.c - MoE-Spec's choice of experts for one layer of a verification pass
 * (arXiv 2602.16052; contract at slp_moespec_select()).
 *
 *     s[e] = sum over rows t of w[t] P[t][e]        what the pass wants
 *     S    = the B experts of largest s             what it may read
 *     row t: substitute  top k of P[t] within S
 *            truncate    (top k of P[t]), those outside S dropped
 *
 * Order is everything here: sums run over rows in row order, and every choice is
 * "strictly larger, else the lower index", so the result is a function of the
 * rows alone. */
#include "sluice_policy.h"

#include <string.h>

/* ids[0 .. n) = the n largest of value[0 .. count) among the allowed (NULL: all),
 * descending, ties to the lower index. At least n are allowed. Insertion: few
 * values ever enter, so it is close to one comparison per value. */
static void top(const double *value, int32_t count, const uint8_t *allowed, int32_t n,
                int32_t *ids) {
    int32_t filled = 0;
    for (int32_t e = 0; e < count; e++) {
        if (allowed && !allowed[e]) continue;
        if (filled == n && !(value[e] > value[ids[n - 1]])) continue;
        int32_t at = filled < n ? filled++ : n - 1;
        for (; at > 0 && value[e] > value[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = e;
    }
}

static void allow_largest(const float *probs, const float *weights, int32_t rows, int32_t experts,
                          int32_t budget, uint8_t *allowed) {
    double score[SLP_EXPERTS_MAX];
    int32_t ids[SLP_EXPERTS_MAX];

    for (int32_t e = 0; e < experts; e++)
        score[e] = 0;
    for (int32_t t = 0; t < rows; t++) {
        const double w = weights ? weights[t] : 1.0;
        for (int32_t e = 0; e < experts; e++)
            score[e] += w * probs[(size_t)t * (size_t)experts + (size_t)e];
    }
    top(score, experts, NULL, budget, ids);
    memset(allowed, 0, (size_t)experts);
    for (int32_t i = 0; i < budget; i++)
        allowed[ids[i]] = 1;
}

/* What the report is made from, summed over the rows. */
typedef struct tally {
    double mass, mass_allowed;   /* of all probabilities             */
    double exact, exact_allowed; /* of each row's exact top k        */
    int32_t flips, rows_flipped;
    uint8_t before[SLP_EXPERTS_MAX]; /* 1 = in some row's exact top k */
    uint8_t after[SLP_EXPERTS_MAX];  /* 1 = selected by some row      */
} tally;

static void select_row(const float *probs, int32_t experts, int32_t k, slp_budget_mode mode,
                       const uint8_t *allowed, int32_t *selected, tally *sum) {
    double row[SLP_EXPERTS_MAX];
    int32_t exact[SLP_EXPERTS_MAX];
    double mass = 0, mass_allowed = 0;
    int32_t lost = 0;

    for (int32_t e = 0; e < experts; e++) {
        row[e] = probs[e];
        mass += row[e];
        mass_allowed += allowed[e] ? row[e] : 0;
    }
    sum->mass += mass;
    sum->mass_allowed += mass_allowed;
    top(row, experts, NULL, k, exact);
    for (int32_t i = 0; i < k; i++) {
        const int32_t e = exact[i];
        sum->before[e] = 1;
        sum->exact += row[e];
        if (allowed[e])
            sum->exact_allowed += row[e];
        else
            lost++;
        selected[i] = allowed[e] ? e : -1;
    }
    if (lost > 0 && mode == SLP_BUDGET_SUBSTITUTE) top(row, experts, allowed, k, selected);
    for (int32_t i = 0; i < k; i++)
        if (selected[i] >= 0) sum->after[selected[i]] = 1;
    sum->flips += lost;
    sum->rows_flipped += lost > 0;
}

static int32_t count_set(const uint8_t *flag, int32_t n) {
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++)
        count += flag[i];
    return count;
}

static void write_report(const tally *sum, int32_t experts, slp_budget_report *report) {
    report->mass_kept = sum->exact > 0 ? sum->exact_allowed / sum->exact : 1;
    report->union_before = count_set(sum->before, experts);
    report->union_after = count_set(sum->after, experts);
    report->flips = sum->flips;
    report->rows_flipped = sum->rows_flipped;
    report->mass_allowed = sum->mass > 0 ? sum->mass_allowed / sum->mass : 1;
}

static int arguments_fit(int32_t rows, int32_t experts, int32_t k, slp_budget budget) {
    if (rows < 1 || rows > SLP_ROWS_MAX || k < 1 || k > experts || experts > SLP_EXPERTS_MAX)
        return 0;
    if (budget.mode == SLP_BUDGET_OFF) return 1;
    return (budget.mode == SLP_BUDGET_SUBSTITUTE || budget.mode == SLP_BUDGET_TRUNCATE) &&
           budget.experts >= k && budget.experts <= experts;
}

slp_status slp_moespec_select(const float *probs, const float *weights, int32_t rows,
                              int32_t experts, int32_t k, slp_budget budget, uint8_t *allowed,
                              int32_t *selected, slp_budget_report *report) {
    tally sum;

    if (!arguments_fit(rows, experts, k, budget)) return SLP_E_ARG;
    if (budget.mode == SLP_BUDGET_OFF)
        memset(allowed, 1, (size_t)experts);
    else
        allow_largest(probs, weights, rows, experts, budget.experts, allowed);

    memset(&sum, 0, sizeof(sum));
    for (int32_t t = 0; t < rows; t++, probs += experts, selected += k)
        select_row(probs, experts, k, budget.mode, allowed, selected, &sum);
    if (report) write_report(&sum, experts, report);
    return SLP_OK;
}

/* experts.c - the second half of a layer: x += sum over its experts of p_e expert_e(norm(x)).
 *
 *     norm | router product | select, group | gate up silu | down, weighted sum
 *
 * Rows are sorted into slots by the expert they chose:
 *
 *     group 0: expert 3  | slot 0: row 0 | slot 1: row 4 |
 *     group 1: expert 17 | slot 2: row 0 |
 *
 * so that each distinct expert's matrices are read once, for all its rows together. The
 * sum over a row's experts runs in router-rank order whatever the groups look like. */
#include <math.h>
#include <string.h>

#include "model/forward_private.h"
#include "runtime/clock.h"

void sl__expert_plan(sl__forward *f, sl__plan *plan) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t n = f->limits.rows_max;
    const size_t rows = (size_t)n, experts = (size_t)facts->experts;
    const size_t slots = rows * (size_t)facts->experts_per_token;
    f->router = sl__plan_take(plan, rows * experts, sizeof *f->router);
    f->router_rows = sl__row_pointers(plan, f->router, n, experts);
    f->selected = sl__plan_take(plan, slots, sizeof *f->selected);
    f->expert_weight = sl__plan_take(plan, slots, sizeof *f->expert_weight);
    f->slot_of = sl__plan_take(plan, slots, sizeof *f->slot_of);
    f->slot_row = sl__plan_take(plan, slots, sizeof *f->slot_row);
    f->group_expert = sl__plan_take(plan, experts, sizeof *f->group_expert);
    f->group_first = sl__plan_take(plan, experts + 1, sizeof *f->group_first);
    f->expert_count = sl__plan_take(plan, experts, sizeof *f->expert_count);
    sl__rows_plan(&f->hidden, plan, (int32_t)slots, facts->expert_width);
    f->expert_out = sl__plan_take(plan, slots * (size_t)facts->width, sizeof *f->expert_out);
    f->expert_out_rows =
        sl__row_pointers(plan, f->expert_out, (int32_t)slots, (size_t)facts->width);
}

/* ---- router ---- */

/* The k largest probabilities, largest first, ties to the lower id: insertion into a
 * sorted list, whose order equal newcomers never change. */
static void select_top(const float *p, int32_t n, int32_t k, int32_t *ids) {
    for (int32_t e = 0, found = 0; e < n; e++) {
        if (found == k && p[e] <= p[ids[k - 1]]) continue;
        int32_t at = found < k ? found++ : k - 1;
        for (; at > 0 && p[e] > p[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = e;
    }
}

/* Softmax and top k of one row. A row that is not finite is noted, and routed anywhere. */
static void route_row(sl__forward *f, int32_t layer, int32_t r) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t k = facts->experts_per_token;
    float *p = f->router_rows[r];
    f->model->kernels->softmax(p, facts->experts);
    bool finite = true;
    for (int32_t e = 0; e < facts->experts; e++)
        finite &= isfinite(p[e]) != 0;
    if (!finite) {
        int expected = 0;
        if (atomic_compare_exchange_strong(&f->bad_row, &expected, r + 1)) f->bad_layer = layer;
        memset(p, 0, (size_t)facts->experts * sizeof *p);
    }
    select_top(p, facts->experts, k, f->selected + (size_t)r * (size_t)k);
}

/* The model's own rule for the weights of k chosen experts. `natural` stands in for those
 * a budget left out, so that the others keep the weight they had. */
static void weigh_row(sl__forward *f, int32_t r, const int32_t *natural) {
    const int32_t k = f->model->facts.experts_per_token;
    const float *p = f->router_rows[r];
    const int32_t *ids = f->selected + (size_t)r * (size_t)k;
    float *weights = f->expert_weight + (size_t)r * (size_t)k, sum = 0;
    for (int32_t i = 0; i < k; i++) {
        weights[i] = p[ids[i] >= 0 ? ids[i] : natural[i]];
        sum += weights[i];
    }
    if (f->model->switches.renormalise_experts)
        for (int32_t i = 0; i < k; i++)
            weights[i] = sum > 0 ? weights[i] / sum : 0;
}

/* Counting sort of all choices by expert; runs on one thread. */
static void group_rows(sl__forward *f, int32_t layer) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t k = facts->experts_per_token, n = f->pass->n_rows * k;
    memset(f->expert_count, 0, (size_t)facts->experts * sizeof *f->expert_count);
    for (int32_t i = 0; i < n; i++)
        if (f->selected[i] >= 0) f->expert_count[f->selected[i]]++;
    int32_t slots = 0;
    f->n_groups = 0;
    for (int32_t e = 0; e < facts->experts; e++) {
        const int32_t count = f->expert_count[e];
        f->expert_count[e] = slots; /* from here on: the expert's next free slot */
        if (count == 0) continue;
        f->group_expert[f->n_groups] = e;
        f->group_first[f->n_groups++] = slots;
        slots += count;
    }
    f->group_first[f->n_groups] = slots;
    for (int32_t i = 0; i < n; i++) {
        f->slot_of[i] = f->selected[i] < 0 ? -1 : f->expert_count[f->selected[i]]++;
        if (f->slot_of[i] >= 0) f->slot_row[f->slot_of[i]] = i / k;
    }
    f->layer_experts[layer] = f->n_groups;
    f->report->experts += f->n_groups;
    f->report->expert_rows += slots;
    f->report->max_experts = sl__max_i32(f->report->max_experts, f->n_groups);
}

/* Exact routing, or the budget's; then weights and groups. Runs on one thread. */
static void finish_routing(sl__forward *f, int32_t layer) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t k = facts->experts_per_token, n = f->pass->n_rows;
    if (f->pass->select) {
        memcpy(f->slot_of, f->selected, (size_t)(n * k) * sizeof *f->slot_of); /* the top k */
        f->report->budget_mass +=
            f->pass->select(f->pass->select_user, f->router, n, facts->experts, k, f->selected) /
            (double)facts->layers;
    }
    for (int32_t r = 0; r < n; r++)
        weigh_row(f, r, f->slot_of + (size_t)r * (size_t)k);
    group_rows(f, layer);
}

/* ---- products ---- */

/* Columns first .. last - 1 (panels) of one group's hidden rows: silu(gate x) * up x. */
static void hidden_columns(sl__forward *f, sl__thread_scratch *t, const sl__layer *l, int32_t group,
                           int32_t first, int32_t last) {
    const sl__kernels *k = f->model->kernels;
    const int32_t expert = f->group_expert[group], slot = f->group_first[group];
    const int32_t n = f->group_first[group + 1] - slot, at = first * SL_PANEL_ROWS;
    const int32_t columns = sl__min_i32(last * SL_PANEL_ROWS, l->gate.n_out) - at;
    const void *const *gate_x = sl__rows_for(&f->normed, &l->gate);
    const void *const *up_x = sl__rows_for(&f->normed, &l->up);
    for (int32_t i = 0; i < n; i++)
        t->x_rows[i] = gate_x[f->slot_row[slot + i]];
    sl__weight_multiply(k, &l->gate, expert, first, last, t->x_rows, t->gate_rows, 0, n, t->panel);
    for (int32_t i = 0; i < n; i++)
        t->x_rows[i] = up_x[f->slot_row[slot + i]];
    sl__weight_multiply(k, &l->up, expert, first, last, t->x_rows, t->up_rows, 0, n, t->panel);
    for (int32_t i = 0; i < n; i++) {
        float *h = f->hidden.value_rows[slot + i] + at;
        k->silu_mul(h, t->gate_rows[i], t->up_rows[i], columns);
        if (sl__format_is_quantised(l->down.format))
            k->quantise(f->hidden.act_rows[slot + i], f->hidden.width, at / SL_Q_BLOCK, h,
                        columns / SL_Q_BLOCK);
    }
}

/* Units of 32 columns, all groups one after the other; a claim may span groups. */
static void hidden_rows(sl__forward *f, int32_t thread, const sl__layer *l) {
    const int32_t per_group = sl__div_up_i32(l->gate.n_panels, SL_UNIT_PANELS);
    const int32_t n_units = f->n_groups * per_group;
    const int32_t chunk = sl__pool_chunk(f->pool, n_units);
    for (int32_t u, end; (u = sl__pool_claim(f->pool, n_units, chunk, &end)) < n_units;)
        while (u < end) {
            const int32_t group = u / per_group, unit = u % per_group;
            const int32_t n = sl__min_i32(sl__min_i32(end - u, per_group - unit), SL_SPAN_UNITS);
            hidden_columns(f, &f->threads[thread], l, group, unit * SL_UNIT_PANELS,
                           sl__min_i32((unit + n) * SL_UNIT_PANELS, l->gate.n_panels));
            u += n;
        }
}

/* x[r][first .. last - 1] += sum in rank order of weight * expert output. */
static void add_experts(sl__forward *f, int32_t first, int32_t last) {
    const int32_t k = f->model->facts.experts_per_token;
    for (int32_t r = 0; r < f->pass->n_rows; r++) {
        float *x = f->x_rows[r];
        float sum[SL_PANEL_ROWS];
        for (int32_t c = first; c < last; c += SL_PANEL_ROWS) {
            const int32_t n = sl__min_i32(SL_PANEL_ROWS, last - c);
            memset(sum, 0, sizeof sum);
            for (int32_t i = r * k; i < (r + 1) * k; i++) {
                if (f->slot_of[i] < 0) continue;
                const float *y = f->expert_out_rows[f->slot_of[i]] + c;
                const float weight = f->expert_weight[i];
                for (int32_t j = 0; j < n; j++)
                    sum[j] += weight * y[j];
            }
            for (int32_t j = 0; j < n; j++)
                x[c + j] += sum[j];
        }
    }
}

/* A claim is a range of output columns, for every expert: whoever has them can add up. */
static void output_columns(sl__forward *f, int32_t thread, const sl__layer *l) {
    const sl__weight *w = &l->down;
    const int32_t chunk = sl__pool_chunk(f->pool, w->n_panels);
    for (int32_t p, end; (p = sl__pool_claim(f->pool, w->n_panels, chunk, &end)) < w->n_panels;) {
        for (int32_t g = 0; g < f->n_groups; g++) {
            const int32_t slot = f->group_first[g];
            sl__weight_multiply(f->model->kernels, w, f->group_expert[g], p, end,
                                sl__rows_for(&f->hidden, w) + slot, f->expert_out_rows + slot,
                                p * SL_PANEL_ROWS, f->group_first[g + 1] - slot,
                                f->threads[thread].panel);
        }
        add_experts(f, p * SL_PANEL_ROWS, sl__min_i32(end * SL_PANEL_ROWS, w->n_out));
    }
}

void sl__expert_layer(sl__forward *f, int32_t thread, int32_t layer) {
    const sl__layer *l = &f->model->layers[layer];
    const uint64_t start = thread == 0 ? sl__now_ns() : 0;
    sl__norm_rows(f, l->ffn_norm);
    sl__pool_barrier(f->pool);
    const sl__weight *const weights[] = {&l->router};
    float *const *const outputs[] = {f->router_rows};
    sl__dense_products(f, thread, &f->normed, weights, outputs, 1);
    sl__pool_barrier(f->pool);
    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) route_row(f, layer, r);
    sl__pool_barrier(f->pool);
    if (thread == 0) finish_routing(f, layer);
    sl__pool_barrier(f->pool);
    const uint64_t routed = thread == 0 ? sl__now_ns() : 0;

    hidden_rows(f, thread, l);
    sl__pool_barrier(f->pool);
    output_columns(f, thread, l);
    sl__pool_barrier(f->pool);
    if (thread == 0) {
        f->report->router_ns += routed - start;
        f->report->expert_ns += sl__now_ns() - routed;
    }
}

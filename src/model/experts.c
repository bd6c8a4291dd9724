/* experts.c - the second half of a layer: x += sum over its experts of p_e expert_e(norm(x)),
 * and + g ffn(norm(x)) where a layer has a feed-forward that every row passes.
 *
 *     norm | router product | select, group | gate up silu | down, weighted sum
 *
 * Rows are sorted into slots by the expert they chose:
 *
 *     group 0: expert 3  | slot 0: row 0 | slot 1: row 4 |
 *     group 1: expert 17 | slot 2: row 0 |
 *
 * so that each distinct expert's matrices are read once, for all its rows together. The
 * sum over a row's experts runs in router-rank order whatever the groups look like. A
 * dense feed-forward or shared expert is one more group, the last, of all rows in order;
 * a layer without routed experts has only that one, and skips the router's phases. */
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
    f->hidden_rest = sl__act_rows_plan(plan, (int32_t)slots, facts->expert_width);
    const int32_t always = sl__max_i32(facts->dense_width, facts->shared_width);
    sl__rows_plan(&f->always, plan, always > 0 ? n : 0, always);
    f->always_rest = sl__act_rows_plan(plan, always > 0 ? n : 0, always);
    float *shared = sl__plan_take(plan, rows * 2, sizeof *shared);
    f->shared_rows = sl__row_pointers(plan, shared, n, 2);
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

/* SparseMixer: rank i's weight is its share of a softmax over the experts not chosen
 * before it whose logit is within 2 jitter of the best, relative to max(|logit|, best). */
static void mix_sparsely(const sl__forward *f, const float *logits, const int32_t *ids,
                         float *weights) {
    const sl_model_facts *facts = &f->model->facts;
    const float jitter = 0.01f; /* router_jitter_noise of the models there are */
    float near[SL_EXPERTS_MAX];
    for (int32_t i = 0; i < facts->experts_per_token; i++) {
        const float best = logits[ids[i]];
        int32_t n = 0, own = 0;
        for (int32_t e = 0; e < facts->experts; e++) {
            bool taken = false;
            for (int32_t j = 0; j < i; j++)
                taken |= ids[j] == e;
            if (taken || (best - logits[e]) / fmaxf(fabsf(logits[e]), best) > 2 * jitter) continue;
            if (e == ids[i]) own = n;
            near[n++] = logits[e];
        }
        f->model->kernels->softmax(near, sl__max_i32(n, 1));
        weights[i] = near[own];
    }
}

/* Softmax and top k of one row. A row that is not finite is noted, and routed anywhere. */
static void route_row(sl__forward *f, int32_t layer, int32_t r) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t k = facts->experts_per_token;
    float *p = f->router_rows[r];
    if (f->model->layers[layer].shared_gate.n_out > 0) {
        f->shared_rows[r][1] = 0; /* sigmoid(g) is the softmax of g and 0 */
        f->model->kernels->softmax(f->shared_rows[r], 2);
    }
    if (f->model->switches.router == SL_ROUTER_SPARSEMIXER) {
        int32_t *ids = f->selected + (size_t)r * (size_t)k;
        select_top(p, facts->experts, k, ids);
        mix_sparsely(f, p, ids, f->expert_weight + (size_t)r * (size_t)k);
    }
    f->model->kernels->softmax(p, facts->experts);
    bool finite = true;
    for (int32_t e = 0; e < facts->experts; e++)
        finite &= isfinite(p[e]) != 0;
    if (!finite) {
        sl__note_bad_row(f, r, (sl__place){layer, "the router's output"});
        memset(p, 0, (size_t)facts->experts * sizeof *p);
    }
    select_top(p, facts->experts, k, f->selected + (size_t)r * (size_t)k);
}

/* The model's own rule for the weights of k chosen experts. `natural` stands in for those
 * a budget left out, so that the others keep the weight they had. */
static void weigh_row(sl__forward *f, int32_t r, const int32_t *natural) {
    const int32_t k = f->model->facts.experts_per_token;
    const sl__switches *switches = &f->model->switches;
    if (switches->router == SL_ROUTER_SPARSEMIXER) return; /* weights belong to ranks */
    const float *p = f->router_rows[r];
    const int32_t *ids = f->selected + (size_t)r * (size_t)k;
    float *weights = f->expert_weight + (size_t)r * (size_t)k, sum = 0;
    for (int32_t i = 0; i < k; i++) {
        weights[i] = p[ids[i] >= 0 ? ids[i] : natural[i]];
        sum += weights[i];
    }
    if (switches->renormalise_experts)
        for (int32_t i = 0; i < k; i++)
            weights[i] = sum > 0 ? weights[i] / sum : 0;
    for (int32_t i = 0; i < k; i++)
        weights[i] *= switches->expert_scale;
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
            (double)(facts->layers - facts->dense_layers);
    }
    for (int32_t r = 0; r < n; r++)
        weigh_row(f, r, f->slot_of + (size_t)r * (size_t)k);
    group_rows(f, layer);
}

/* ---- products ---- */

/* One expert's matrices and the rows that use them. */
typedef struct group {
    const sl__ffn *ffn;
    int32_t expert, n;
    const int32_t *rows; /* [n] rows of the pass, or NULL: all in order */
    float **hidden;      /* [n] */
    void **hidden_acts;  /* [n] the same quantised, and what that left, see two_terms() */
    void **hidden_rest;
    float **out; /* [n] */
} group;

/* Groups of a layer: the distinct routed experts, then what every row passes. */
static int32_t count_groups(const sl__forward *f, const sl__layer *l) {
    return f->n_groups + sl__layer_has_always(l);
}

static group group_at(const sl__forward *f, const sl__layer *l, int32_t g) {
    if (g == f->n_groups)
        return (group){.ffn = &l->always,
                       .n = f->pass->n_rows,
                       .hidden_acts = f->always.act_rows,
                       .hidden = f->always.value_rows,
                       .hidden_rest = f->always_rest,
                       .out = f->out_rows};
    const int32_t slot = f->group_first[g];
    return (group){.ffn = &l->experts,
                   .expert = f->group_expert[g],
                   .n = f->group_first[g + 1] - slot,
                   .rows = f->slot_row + slot,
                   .hidden_acts = f->hidden.act_rows + slot,
                   .hidden = f->hidden.value_rows + slot,
                   .hidden_rest = f->hidden_rest + slot,
                   .out = f->expert_out_rows + slot};
}

/* out[i] = columns first .. last - 1 (panels) of one expert's matrix times its i-th row. */
static void multiply_rows(sl__forward *f, sl__thread_scratch *t, const group *g,
                          const sl__weight *w, int32_t first, int32_t last, float **out) {
    const void *const *x = sl__rows_for(&f->normed, w);
    for (int32_t i = 0; g->rows && i < g->n; i++)
        t->x_rows[i] = x[g->rows[i]];
    sl__weight_multiply(f->model->kernels, w, g->expert, first, last, g->rows ? t->x_rows : x, out,
                        0, g->n, t->panel);
}

/* silu(g) * u has outliers, and 8 bits for a block that holds one leave the rest of it
 * coarse: the largest source of error in a pass (docs/numbers.md). So with formats whose
 * scales stand for 32 columns, a hidden row goes into the down product as two quantised
 * rows, the value and what quantising left of it, whose products are added. Where memory
 * is the limit, two rows cost hardly more than one. */
static bool two_terms(const sl__weight *w) {
    return sl__format_is_quantised(w->format) && sl__format_block(w->format) == SL_Q_BLOCK;
}

/* Quantise columns at .. at + n - 1 of a group's i-th hidden row for the down product. */
static void quantise_hidden(const sl__forward *f, const group *g, int32_t i, int32_t at,
                            int32_t n) {
    const sl__kernels *k = f->model->kernels;
    const int32_t width = g->ffn->gate.n_out, first = at / SL_Q_BLOCK, blocks = n / SL_Q_BLOCK;
    const float *x = g->hidden[i] + at;
    if (!sl__format_is_quantised(g->ffn->down.format)) return;
    if (two_terms(&g->ffn->down))
        sl__quantise_twice(k, g->hidden_acts[i], g->hidden_rest[i], width, first, x, blocks);
    else
        k->quantise(g->hidden_acts[i], width, first, x, blocks);
}

/* Columns first .. last - 1 (panels) of one group's hidden rows: silu(gate x) * up x. */
static void hidden_columns(sl__forward *f, sl__thread_scratch *t, const group *g, int32_t first,
                           int32_t last) {
    const int32_t at = first * SL_PANEL_ROWS;
    const int32_t columns = sl__min_i32(last * SL_PANEL_ROWS, g->ffn->gate.n_out) - at;
    multiply_rows(f, t, g, &g->ffn->gate, first, last, t->gate_rows);
    multiply_rows(f, t, g, &g->ffn->up, first, last, t->up_rows);
    for (int32_t i = 0; i < g->n; i++) {
        f->model->kernels->silu_mul(g->hidden[i] + at, t->gate_rows[i], t->up_rows[i], columns);
        quantise_hidden(f, g, i, at, columns);
    }
}

static int32_t units_of(const sl__ffn *ffn) {
    return sl__div_up_i32(ffn->gate.n_panels, SL_UNIT_PANELS);
}

/* Units of 32 columns, all groups one after the other; a claim may span groups. */
static void hidden_rows(sl__forward *f, int32_t thread, const sl__layer *l) {
    const int32_t per_expert = units_of(&l->experts), routed = f->n_groups * per_expert;
    const int32_t n_units = routed + units_of(&l->always);
    const int32_t chunk = sl__pool_chunk(f->pool, n_units);
    for (int32_t u, end; (u = sl__pool_claim(f->pool, n_units, chunk, &end)) < n_units;)
        while (u < end) {
            const group g = group_at(f, l, u < routed ? u / per_expert : f->n_groups);
            const int32_t unit = u < routed ? u % per_expert : u - routed;
            const int32_t left = sl__min_i32(end - u, units_of(g.ffn) - unit);
            const int32_t n = sl__min_i32(left, SL_SPAN_UNITS);
            hidden_columns(f, &f->threads[thread], &g, unit * SL_UNIT_PANELS,
                           sl__min_i32((unit + n) * SL_UNIT_PANELS, g.ffn->gate.n_panels));
            u += n;
        }
}

/* sum[0 .. n - 1] = row r's columns from c on: its experts in rank order, then the rest. */
static void sum_columns(const sl__forward *f, const sl__layer *l, int32_t r, int32_t c, int32_t n,
                        float *sum) {
    const int32_t k = sl__layer_has_experts(l) ? f->model->facts.experts_per_token : 0;
    memset(sum, 0, SL_PANEL_ROWS * sizeof *sum);
    for (int32_t i = r * k; i < (r + 1) * k; i++) {
        if (f->slot_of[i] < 0) continue;
        const float *y = f->expert_out_rows[f->slot_of[i]] + c;
        const float weight = f->expert_weight[i];
        for (int32_t j = 0; j < n; j++)
            sum[j] += weight * y[j];
    }
    if (!sl__layer_has_always(l)) return;
    const float weight = l->shared_gate.n_out > 0 ? f->shared_rows[r][0] : 1.0f;
    for (int32_t j = 0; j < n; j++)
        sum[j] += weight * f->out_rows[r][c + j];
}

/* x[r][first .. last - 1] += sum of all that the layer's groups gave. */
static void add_experts(sl__forward *f, const sl__layer *l, int32_t first, int32_t last) {
    float sum[SL_PANEL_ROWS];
    for (int32_t r = 0; r < f->pass->n_rows; r++)
        for (int32_t c = first; c < last; c += SL_PANEL_ROWS) {
            const int32_t n = sl__min_i32(SL_PANEL_ROWS, last - c);
            sum_columns(f, l, r, c, n, sum);
            for (int32_t j = 0; j < n; j++)
                f->x_rows[r][c + j] += sum[j];
        }
}

/* Panels first .. last - 1 of one group's outputs; at most SL_SPAN_COLUMNS columns. */
static void group_outputs(sl__forward *f, sl__thread_scratch *t, const group *g, int32_t first,
                          int32_t last) {
    const sl__weight *w = &g->ffn->down;
    const int32_t n = g->n, at = first * SL_PANEL_ROWS, terms = two_terms(w) ? 2 : 1;
    const int32_t columns = sl__min_i32(last * SL_PANEL_ROWS, w->n_out) - at;
    const bool quantised = sl__format_is_quantised(w->format);
    for (int32_t i = 0; i < n; i++) {
        t->x_rows[i] = quantised ? g->hidden_acts[i] : (const void *)g->hidden[i];
        t->y_rows[i] = g->out[i] + at;
        t->x_rows[n + i] = g->hidden_rest[i];
        t->y_rows[n + i] = t->gate_rows[i];
    }
    sl__weight_multiply(f->model->kernels, w, g->expert, first, last, t->x_rows, t->y_rows, 0,
                        terms * n, t->panel);
    for (int32_t i = 0; i < n && terms == 2; i++)
        for (int32_t c = 0; c < columns; c++)
            t->y_rows[i][c] += t->y_rows[n + i][c];
}

/* A claim is a range of output columns, for every expert: whoever has them can add up. */
static void output_columns(sl__forward *f, int32_t thread, const sl__layer *l) {
    const int32_t width = f->model->facts.width, n_panels = sl__div_up_i32(width, SL_PANEL_ROWS);
    const int32_t chunk = sl__pool_chunk(f->pool, n_panels);
    for (int32_t p, end; (p = sl__pool_claim(f->pool, n_panels, chunk, &end)) < n_panels;) {
        for (int32_t i = 0; i < count_groups(f, l); i++) {
            const group g = group_at(f, l, i);
            for (int32_t first = p; first < end; first += SL_SPAN_COLUMNS / SL_PANEL_ROWS)
                group_outputs(f, &f->threads[thread], &g, first,
                              sl__min_i32(first + SL_SPAN_COLUMNS / SL_PANEL_ROWS, end));
        }
        add_experts(f, l, p * SL_PANEL_ROWS, sl__min_i32(end * SL_PANEL_ROWS, width));
    }
}

/* From router products to groups. Ends with a barrier. */
static void route(sl__forward *f, int32_t thread, int32_t layer) {
    const sl__layer *l = &f->model->layers[layer];
    const sl__weight *const weights[] = {&l->router, &l->shared_gate};
    float *const *const outputs[] = {f->router_rows, f->shared_rows};
    sl__dense_products(f, thread, &f->normed, weights, outputs, 1 + (l->shared_gate.n_out > 0));
    sl__pool_barrier(f->pool);
    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) route_row(f, layer, r);
    sl__pool_barrier(f->pool);
    if (thread == 0) finish_routing(f, layer);
    sl__pool_barrier(f->pool);
}

void sl__expert_layer(sl__forward *f, int32_t thread, int32_t layer) {
    const sl__layer *l = &f->model->layers[layer];
    const bool routed = sl__layer_has_experts(l);
    const uint64_t start = thread == 0 ? sl__now_ns() : 0;
    if (!routed && thread == 0) f->n_groups = f->layer_experts[layer] = 0;
    sl__norm_rows(f, l->ffn_norm, l->ffn_norm_bias, (sl__place){layer, "attention's output"});
    sl__pool_barrier(f->pool);
    if (routed) route(f, thread, layer);
    const uint64_t routed_at = thread == 0 ? sl__now_ns() : 0;

    hidden_rows(f, thread, l);
    sl__pool_barrier(f->pool);
    output_columns(f, thread, l);
    sl__pool_barrier(f->pool);
    if (thread == 0) {
        f->report->router_ns += routed_at - start;
        f->report->expert_ns += sl__now_ns() - routed_at;
    }
}

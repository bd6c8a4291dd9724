/* forward.c - the pass from end to end, its scratch, and the dense parts.
 *
 *     embed | layer 0: attention, experts | ... | head
 *
 * Every phase below runs on all threads at once; a barrier stands wherever a phase reads
 * what another thread wrote. attention.c and experts.c hold the two halves of a layer. */
#include "model/forward.h"

#include <math.h>
#include <string.h>

#include "model/forward_private.h"
#include "runtime/clock.h"

/* ---- scratch ---- */

float **sl__row_pointers(sl__plan *plan, float *first, int32_t n, size_t stride) {
    float **rows = sl__plan_take(plan, (size_t)n, sizeof *rows);
    for (int32_t i = 0; rows && i < n; i++)
        rows[i] = first + (size_t)i * stride;
    return rows;
}

void **sl__act_rows_plan(sl__plan *plan, int32_t n, int32_t width) {
    const size_t stride = sl__round_up(sl__act_bytes(width), SL_CACHE_LINE);
    uint8_t *acts = sl__plan_take(plan, (size_t)n, stride);
    void **rows = sl__plan_take(plan, (size_t)n, sizeof *rows);
    for (int32_t i = 0; rows && i < n; i++)
        rows[i] = acts + (size_t)i * stride;
    return rows;
}

void sl__rows_plan(sl__rows *rows, sl__plan *plan, int32_t n, int32_t width) {
    rows->width = width;
    rows->values = sl__plan_take(plan, (size_t)n * (size_t)width, sizeof(float));
    rows->value_rows = sl__row_pointers(plan, rows->values, n, (size_t)width);
    rows->act_rows = sl__act_rows_plan(plan, n, width);
}

static void plan_threads(sl__forward *f, sl__plan *plan) {
    const sl__forward_limits *l = &f->limits;
    const size_t rows = (size_t)l->rows_max, span = rows * SL_SPAN_COLUMNS;
    f->threads = sl__plan_take(plan, (size_t)l->threads, sizeof *f->threads);
    for (int32_t i = 0; i < l->threads; i++) {
        sl__thread_scratch t = {
            .panel = sl__plan_take(plan, f->model->packed ? 0 : f->model->panel_bytes_max, 1),
            .gate = sl__plan_take(plan, span, sizeof(float)),
            .up = sl__plan_take(plan, span, sizeof(float)),
            .x_rows = sl__plan_take(plan, 2 * rows, sizeof(void *)),
            .y_rows = sl__plan_take(plan, 2 * rows, sizeof(float *)),
        };
        t.gate_rows = sl__row_pointers(plan, t.gate, l->rows_max, SL_SPAN_COLUMNS);
        t.up_rows = sl__row_pointers(plan, t.up, l->rows_max, SL_SPAN_COLUMNS);
        sl__attention_plan_thread(f, &t, plan);
        if (f->threads) f->threads[i] = t;
    }
}

sl__forward *sl__forward_plan(const sl_model *model, const sl__forward_limits *limits,
                              sl__plan *plan) {
    const sl_model_facts *facts = &model->facts;
    const size_t rows = (size_t)limits->rows_max;
    sl__forward *placed = sl__plan_take(plan, 1, sizeof *placed), measured;
    sl__forward *f = placed ? placed : &measured;
    memset(f, 0, sizeof *f);
    f->model = model;
    f->limits = *limits;

    f->cell = sl__plan_take(plan, rows, sizeof *f->cell);
    sl__rope_plan(f, plan);
    f->x = sl__plan_take(plan, rows * (size_t)facts->width, sizeof *f->x);
    f->x_rows = sl__row_pointers(plan, f->x, limits->rows_max, (size_t)facts->width);
    sl__rows_plan(&f->normed, plan, limits->rows_max, facts->width);
    f->logit_row = sl__plan_take(plan, (size_t)limits->logit_rows_max, sizeof *f->logit_row);
    f->layer_experts = sl__plan_take(plan, (size_t)facts->layers, sizeof *f->layer_experts);
    sl__attention_plan(f, plan);
    sl__expert_plan(f, plan);
    plan_threads(f, plan);
    return placed;
}

/* ---- phases ---- */

const char *const sl__feed_forward_name = "the feed-forward's output";

void sl__quantise_row(const sl__kernels *k, const sl__rows *rows, int32_t r) {
    if (rows->width % SL_Q_BLOCK == 0) /* else no quantised weight can ask for it */
        k->quantise(rows->act_rows[r], rows->width, 0, rows->value_rows[r],
                    rows->width / SL_Q_BLOCK);
}

/* rest[i] = x[i] - scale * q[i], a few blocks at a time. */
void sl__quantise_twice(const sl__kernels *k, void *row, void *rest_row, int32_t width,
                        int32_t first, const float *x, int32_t n_blocks) {
    enum { SPAN = 2 };
    float rest[SPAN * SL_Q_BLOCK];
    for (int32_t b = 0; b < n_blocks; b += SPAN, x += SPAN * SL_Q_BLOCK) {
        const int32_t n = sl__min_i32(SPAN, n_blocks - b);
        const int8_t *q = sl__act_quants(row) + (first + b) * SL_Q_BLOCK;
        const float *scales = sl__act_scales(row, width) + first + b;
        k->quantise(row, width, first + b, x, n);
        for (int32_t i = 0; i < n * SL_Q_BLOCK; i++)
            rest[i] = x[i] - scales[i / SL_Q_BLOCK] * (float)q[i];
        k->quantise(rest_row, width, first + b, rest, n);
    }
}

/* Sum of terms in the order all kernels use: element i to lane i % 16, lanes in pairs. */
static float add_lanes(float *lanes) {
    for (int32_t half = SL_LANES / 2; half > 0; half /= 2)
        for (int32_t j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

/* y[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]. */
static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int32_t n,
                       float eps) {
    float sums[SL_LANES] = {0}, squares[SL_LANES] = {0};
    for (int32_t i = 0; i < n; i++)
        sums[i % SL_LANES] += x[i];
    const float mean = add_lanes(sums) / (float)n;
    for (int32_t i = 0; i < n; i++)
        squares[i % SL_LANES] += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(add_lanes(squares) / (float)n + eps);
    for (int32_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void sl__note_bad_row(sl__forward *f, int32_t r, sl__place place) {
    int expected = 0;
    if (atomic_compare_exchange_strong(&f->bad_row, &expected, r + 1)) f->bad_place = place;
}

/* Whether x is finite, seen by its norm y: a NaN makes every y NaN; an infinity, or a sum of
 * squares beyond floats, makes all others 0. So one element tells, unless it is 0. */
static bool is_finite(const float *y, const float *x, int32_t n) {
    if (isfinite(y[0]) && y[0] != 0) return true;
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(x[i]) || !isfinite(y[i])) return false;
    return true;
}

/* normed row `to` = norm(x[r]), quantised too. */
static void norm_row(sl__forward *f, int32_t to, int32_t r, const float *weight, const float *bias,
                     sl__place before) {
    const float *x = f->x_rows[r];
    const sl__kernels *k = f->model->kernels;
    const sl_model_facts *facts = &f->model->facts;
    if (f->model->switches.norm == SL_NORM_RMS)
        k->rms_norm(f->normed.value_rows[to], x, weight, facts->width, facts->rms_eps);
    else
        layer_norm(f->normed.value_rows[to], x, weight, bias, facts->width, facts->rms_eps);
    if (!is_finite(f->normed.value_rows[to], x, facts->width)) sl__note_bad_row(f, r, before);
    sl__quantise_row(k, &f->normed, to);
}

void sl__norm_rows(sl__forward *f, const float *weight, const float *bias, sl__place before) {
    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) norm_row(f, r, r, weight, bias, before);
}

void sl__dense_products(sl__forward *f, int32_t thread, const sl__rows *x,
                        const sl__weight *const *weights, float *const *const *outputs,
                        int32_t n_weights) {
    int32_t n_units = 0;
    for (int32_t i = 0; i < n_weights; i++)
        n_units += weights[i]->n_panels;
    const int32_t chunk = sl__pool_chunk(f->pool, n_units);
    for (int32_t u, end; (u = sl__pool_claim(f->pool, n_units, chunk, &end)) < n_units;) {
        int32_t base = 0; /* first unit of weights[i] */
        for (int32_t i = 0; i < n_weights; base += weights[i]->n_panels, i++) {
            const int32_t first = sl__max_i32(u - base, 0);
            const int32_t last = sl__min_i32(end - base, weights[i]->n_panels);
            if (first < last)
                sl__weight_multiply(f->model->kernels, weights[i], 0, first, last,
                                    sl__rows_for(x, weights[i]), outputs[i], first * SL_PANEL_ROWS,
                                    f->pass->n_rows, f->threads[thread].panel);
        }
    }
}

static void embed(sl__forward *f) {
    const sl__weight *w = &f->model->embedding;
    const size_t row_bytes = sl__format_row_bytes(w->format, w->n_in);
    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) {
        const sl__row *row = &f->pass->rows[r];
        sl__row_to_float(w->format, f->x_rows[r], w->rows + (size_t)row->token * row_bytes,
                         w->n_in);
        sl__rope_row(f, r);
    }
}

/* The final norm of the rows that want logits, then the vocabulary product. */
static void head(sl__forward *f, int32_t thread) {
    const sl_model *m = f->model;
    const sl__weight *w = &m->head;
    SL_FOR_CLAIMED(i, f->pool, f->n_logit_rows)
    norm_row(f, i, f->logit_row[i], m->out_norm, m->out_norm_bias,
             (sl__place){m->facts.layers - 1, sl__feed_forward_name});
    sl__pool_barrier(f->pool);
    float *out[SL_LOGIT_ROWS_MAX];
    for (int32_t i = 0; i < f->n_logit_rows; i++)
        out[i] = f->pass->logits + (size_t)i * (size_t)m->facts.vocab;
    const int32_t chunk = sl__pool_chunk(f->pool, w->n_panels);
    for (int32_t p, end; (p = sl__pool_claim(f->pool, w->n_panels, chunk, &end)) < w->n_panels;) {
        const int32_t first = p * SL_PANEL_ROWS;
        sl__weight_multiply(m->kernels, w, 0, p, end, sl__rows_for(&f->normed, w), out, first,
                            f->n_logit_rows, f->threads[thread].panel);
        const int32_t last = sl__min_i32(end * SL_PANEL_ROWS, w->n_out);
        for (int32_t i = 0; m->head_bias && i < f->n_logit_rows; i++)
            for (int32_t c = first; c < last; c++)
                out[i][c] += m->head_bias[c];
    }
}

static void pass_on_thread(void *arg, int32_t thread) {
    sl__forward *f = arg;
    const uint64_t start = thread == 0 ? sl__now_ns() : 0;
    embed(f);
    sl__pool_barrier(f->pool);
    if (thread == 0) f->report->head_ns += sl__now_ns() - start;
    for (int32_t l = 0; l < f->model->facts.layers; l++) {
        sl__attention_layer(f, thread, l);
        sl__expert_layer(f, thread, l);
    }
    const uint64_t end = thread == 0 ? sl__now_ns() : 0;
    if (f->n_logit_rows > 0) head(f, thread);
    if (thread == 0) f->report->head_ns += sl__now_ns() - end; /* the caller waits for the rest */
}

/* ---- the pass ---- */

/* Give every row its cell, and how far back its positions are simply cells in order. */
static void place_rows(sl__forward *f, const sl__pass *pass) {
    f->n_logit_rows = 0;
    for (int32_t r = 0; r < pass->n_rows; r++) {
        const sl__row *row = &pass->rows[r];
        const sl__kv *kv = pass->caches[row->sequence];
        int32_t before = 0; /* rows of the same sequence already placed */
        for (int32_t i = r - 1; i >= 0; i--)
            if (pass->rows[i].sequence == row->sequence) {
                before = f->cell[i] - kv->length + 1;
                break;
            }
        f->cell[r] = kv->length + before;
        SL_ASSERT(f->cell[r] < kv->cells && row->position < kv->context);
        const int32_t parent_position =
            row->parent < 0 ? kv->length - 1 : pass->rows[row->parent].position;
        SL_ASSERT(row->parent < r && row->position == parent_position + 1);
        SL_ASSERT(row->parent < 0 || pass->rows[row->parent].sequence == row->sequence);
        f->contiguous[r] = row->parent < 0 ? kv->length : f->contiguous[row->parent];
        if (f->contiguous[r] == row->position && f->cell[r] == row->position) f->contiguous[r]++;
        if (row->want_logits) {
            SL_ASSERT(f->n_logit_rows < f->limits.logit_rows_max && pass->logits);
            f->logit_row[f->n_logit_rows++] = r;
        }
    }
}

/* Neighbouring rows of one sequence form tiles. */
static void tile_rows(sl__forward *f, const sl__pass *pass) {
    f->n_tiles = 0;
    for (int32_t r = 0; r < pass->n_rows; r++) {
        sl__tile *last = f->n_tiles > 0 ? &f->tiles[f->n_tiles - 1] : NULL;
        if (last && last->n < f->tile_rows &&
            pass->rows[r].sequence == pass->rows[last->first].sequence)
            last->n++;
        else
            f->tiles[f->n_tiles++] = (sl__tile){r, 1};
    }
}

static void count_traffic(const sl__forward *f, const sl__pass *pass, sl_pass_report *report) {
    const sl_model_facts *facts = &f->model->facts;
    report->weight_bytes = facts->bytes_dense;
    for (int32_t l = 0; l < facts->layers; l++)
        report->weight_bytes +=
            (uint64_t)f->layer_experts[l] * sl__ffn_bytes(&f->model->layers[l].experts);
    if (f->n_logit_rows == 0) report->weight_bytes -= sl__weight_matrix_bytes(&f->model->head);
    for (int32_t r = 0; r < pass->n_rows; r++) { /* the longest row of each sequence */
        const sl__row *row = &pass->rows[r];
        const sl__kv *kv = pass->caches[row->sequence];
        if (f->cell[r] != kv->length) continue; /* count a sequence at its first row */
        int32_t longest = row->position;
        for (int32_t i = r + 1; i < pass->n_rows; i++)
            if (pass->rows[i].sequence == row->sequence)
                longest = sl__max_i32(longest, pass->rows[i].position);
        const int32_t seen =
            facts->window > 0 ? sl__min_i32(longest + 1, facts->window) : longest + 1;
        report->kv_bytes += (uint64_t)facts->layers * sl__kv_bytes(kv, seen);
    }
}

sl_status sl__forward_run(sl__forward *f, sl__pool *pool, const sl__pass *pass,
                          sl_pass_report *report, sl_error *err) {
    SL_ASSERT(pass->n_rows >= 1 && pass->n_rows <= f->limits.rows_max);
    SL_ASSERT(sl__pool_threads(pool) <= f->limits.threads);
    const uint64_t start = sl__now_ns();
    *report =
        (sl_pass_report){.rows = pass->n_rows,
                         .budget_mass = pass->select && f->model->facts.experts > 0 ? 0.0 : 1.0,
                         .layer_experts = f->layer_experts};
    f->pass = pass;
    f->pool = pool;
    f->report = report;
    atomic_store(&f->bad_row, 0);
    place_rows(f, pass);
    tile_rows(f, pass);
    sl__pool_run(pool, pass_on_thread, f);
    count_traffic(f, pass, report);
    report->total_ns = sl__now_ns() - start;
    const int32_t bad = atomic_load(&f->bad_row);
    if (bad == 0) return SL_OK;
    const int32_t position = pass->rows[bad - 1].position;
    if (f->bad_place.layer < 0)
        return sl__fail(err, SL_E_NUMBER, SL_NOWHERE, "position %d: %s is not finite", position,
                        f->bad_place.what);
    return sl__fail(err, SL_E_NUMBER, SL_NOWHERE, "layer %d, position %d: %s is not finite",
                    f->bad_place.layer, position, f->bad_place.what);
}

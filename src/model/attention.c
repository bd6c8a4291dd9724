/* attention.c - the first half of a layer: x += O attention(norm(x)).
 *
 *     norm | Q K V products | per row: head norms, RoPE, store K V | attention | O product
 *
 * A row attends to its own ancestors in position order: first the cells where position
 * and cell agree (the committed tokens and a chain drafted on them), then, for a branch
 * of a tree, single cells found by walking the parents. Scores and weighted values are
 * sums in position order, so the cell a token lies in leaves no trace in the bits. */
#include <math.h>
#include <string.h>

#include "model/forward_private.h"
#include "runtime/clock.h"

enum { VALUE_BLOCK = 64 }; /* cells whose values are read once for a whole tile */

void sl__attention_plan(sl__forward *f, sl__plan *plan) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t n = f->limits.rows_max, group = facts->heads / facts->kv_heads;
    const size_t rows = (size_t)n;
    const int32_t wide = facts->heads * facts->head_dim, narrow = facts->kv_heads * facts->head_dim;
    f->head_stride = (int32_t)sl__round_up((size_t)facts->head_dim, SL_LANES);
    f->score_stride = (int32_t)sl__round_up((size_t)f->limits.context, SL_LANES);
    f->tile_rows = sl__max_i32(1, SL_TILE_QUERIES / group);
    f->tile_queries = f->tile_rows * group;
    f->contiguous = sl__plan_take(plan, rows, sizeof *f->contiguous);
    f->tiles = sl__plan_take(plan, rows, sizeof *f->tiles);
    f->q = sl__plan_take(plan, rows * (size_t)wide, sizeof *f->q);
    f->k = sl__plan_take(plan, rows * (size_t)narrow, sizeof *f->k);
    f->v = sl__plan_take(plan, rows * (size_t)narrow, sizeof *f->v);
    f->q_rows = sl__row_pointers(plan, f->q, n, (size_t)wide);
    f->k_rows = sl__row_pointers(plan, f->k, n, (size_t)narrow);
    f->v_rows = sl__row_pointers(plan, f->v, n, (size_t)narrow);
    f->q_heads = sl__plan_take(plan, rows * (size_t)facts->heads * (size_t)f->head_stride,
                               sizeof *f->q_heads);
    sl__rows_plan(&f->mixed, plan, n, wide);
}

/* Norm and turn one head in place: halves are paired (NeoX), (a, b) -> (a cos - b sin,
 * b cos + a sin). */
static void norm_and_turn(const sl__forward *f, float *head, const float *norm, const float *rope) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t pairs = facts->head_dim / 2;
    if (f->model->switches.qk_norm)
        f->model->kernels->rms_norm(head, head, norm, facts->head_dim, facts->rms_eps);
    for (int32_t i = 0; i < pairs; i++) {
        const float a = head[i], b = head[pairs + i];
        head[i] = a * rope[i] - b * rope[pairs + i];
        head[pairs + i] = b * rope[i] + a * rope[pairs + i];
    }
}

/* One row's queries to padded heads, keys and values to its cell. */
static void prepare_row(sl__forward *f, int32_t layer, int32_t r) {
    const sl_model_facts *facts = &f->model->facts;
    const sl__layer *l = &f->model->layers[layer];
    const size_t dim = (size_t)facts->head_dim, stride = (size_t)f->head_stride;
    const sl__kv *kv = f->pass->caches[f->pass->rows[r].sequence];
    const float *rope = f->rope + (size_t)r * dim;
    for (int32_t h = 0; h < facts->heads; h++) {
        float *to = f->q_heads + ((size_t)r * (size_t)facts->heads + (size_t)h) * stride;
        memcpy(to, f->q_rows[r] + (size_t)h * dim, dim * sizeof *to);
        norm_and_turn(f, to, l->q_norm, rope); /* the padding was zeroed with the block */
    }
    for (int32_t h = 0; h < facts->kv_heads; h++) {
        float key[SL_HEAD_DIM_MAX] = {0}, value[SL_HEAD_DIM_MAX] = {0};
        memcpy(key, f->k_rows[r] + (size_t)h * dim, dim * sizeof *key);
        memcpy(value, f->v_rows[r] + (size_t)h * dim, dim * sizeof *value);
        norm_and_turn(f, key, l->k_norm, rope);
        sl__kv_store(kv, f->model->kernels, layer, h, f->cell[r], key, value);
    }
}

/* Cells of the ancestors at positions contiguous[r] .. position, itself included. */
static int32_t find_ancestors(const sl__forward *f, int32_t r, int32_t *cells) {
    const int32_t n = f->pass->rows[r].position + 1 - f->contiguous[r];
    for (int32_t i = n - 1; i >= 0; i--) {
        cells[i] = f->cell[r];
        r = f->pass->rows[r].parent;
    }
    return n;
}

/* One KV head for one tile: scores, softmax, values. */
static void attend(sl__forward *f, sl__thread_scratch *t, int32_t layer, int32_t kv_head,
                   sl__tile tile) {
    const sl_model_facts *facts = &f->model->facts;
    const sl__kernels *k = f->model->kernels;
    const sl__kv *kv = f->pass->caches[f->pass->rows[tile.first].sequence];
    const int32_t group = facts->heads / facts->kv_heads, stride = f->head_stride;
    const int32_t n_queries = tile.n * group;
    const size_t score_stride = (size_t)f->score_stride;
    const uint8_t *keys = sl__kv_keys(kv, layer, kv_head);
    const uint8_t *values = sl__kv_values(kv, layer, kv_head);
    const size_t k_bytes = sl__kv_cell_bytes(kv, kv->k_type);
    const size_t v_bytes = sl__kv_cell_bytes(kv, kv->v_type);
    sl__scores_fn *scores = kv->k_type == SL_KV_F16 ? k->scores_f16 : k->scores_f32;
    sl__values_fn *add_values = kv->v_type == SL_KV_F16 ? k->values_f16 : k->values_f32;
    const float scale = 1.0f / sqrtf((float)facts->head_dim);

    int32_t longest = 0;
    for (int32_t i = 0; i < tile.n; i++) {
        const size_t head =
            (size_t)(tile.first + i) * (size_t)facts->heads + (size_t)kv_head * (size_t)group;
        memcpy(t->queries + (size_t)(i * group) * (size_t)stride,
               f->q_heads + head * (size_t)stride, (size_t)group * (size_t)stride * sizeof(float));
        longest = sl__max_i32(longest, f->contiguous[tile.first + i]);
    }
    /* A row may be scored against a few cells past its own; it never uses them. */
    scores(t->scores, score_stride, t->queries, n_queries, keys, longest, stride, scale);
    for (int32_t i = 0; i < tile.n; i++) {
        const int32_t r = tile.first + i, near = f->contiguous[r];
        const int32_t n_far = find_ancestors(f, r, t->ancestors);
        float *s = t->scores + (size_t)(i * group) * score_stride;
        for (int32_t a = 0; a < n_far; a++)
            scores(s + near + a, score_stride, t->queries + (size_t)(i * group) * (size_t)stride,
                   group, keys + (size_t)t->ancestors[a] * k_bytes, 1, stride, scale);
        for (int32_t q = 0; q < group; q++)
            k->softmax(s + (size_t)q * score_stride, near + n_far);
    }
    memset(t->queries, 0, (size_t)n_queries * (size_t)stride * sizeof(float)); /* now outputs */
    for (int32_t from = 0; from < longest; from += VALUE_BLOCK)
        for (int32_t q = 0; q < n_queries; q++) {
            const int32_t near = f->contiguous[tile.first + q / group];
            const int32_t n = sl__min_i32(VALUE_BLOCK, near - from);
            if (n > 0)
                add_values(t->queries + (size_t)q * (size_t)stride,
                           t->scores + (size_t)q * score_stride + from,
                           values + (size_t)from * v_bytes, n, stride);
        }
    for (int32_t q = 0; q < n_queries; q++) {
        const int32_t r = tile.first + q / group, near = f->contiguous[r];
        const int32_t n_far = find_ancestors(f, r, t->ancestors);
        float *out = t->queries + (size_t)q * (size_t)stride;
        for (int32_t a = 0; a < n_far; a++)
            add_values(out, t->scores + (size_t)q * score_stride + near + a,
                       values + (size_t)t->ancestors[a] * v_bytes, 1, stride);
        memcpy(f->mixed.value_rows[r] + (kv_head * group + q % group) * facts->head_dim, out,
               (size_t)facts->head_dim * sizeof *out);
    }
}

/* x += O mixed, columns shared among threads. */
static void add_output(sl__forward *f, int32_t thread, const sl__weight *o) {
    const int32_t chunk = sl__pool_chunk(f->pool, o->n_panels);
    for (int32_t p, end; (p = sl__pool_claim(f->pool, o->n_panels, chunk, &end)) < o->n_panels;) {
        sl__weight_multiply(f->model->kernels, o, 0, p, end, sl__rows_for(&f->mixed, o),
                            f->expert_out_rows, p * SL_PANEL_ROWS, f->pass->n_rows,
                            f->threads[thread].panel);
        const int32_t last = sl__min_i32(end * SL_PANEL_ROWS, o->n_out);
        for (int32_t r = 0; r < f->pass->n_rows; r++)
            for (int32_t c = p * SL_PANEL_ROWS; c < last; c++)
                f->x_rows[r][c] += f->expert_out_rows[r][c];
    }
}

void sl__attention_layer(sl__forward *f, int32_t thread, int32_t layer) {
    const sl__layer *l = &f->model->layers[layer];
    const sl_model_facts *facts = &f->model->facts;
    const uint64_t start = thread == 0 ? sl__now_ns() : 0;
    sl__norm_rows(f, l->attn_norm);
    sl__pool_barrier(f->pool);

    const sl__weight *const weights[] = {&l->q, &l->k, &l->v};
    float *const *const outputs[] = {f->q_rows, f->k_rows, f->v_rows};
    sl__dense_products(f, thread, &f->normed, weights, outputs, 3);
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) prepare_row(f, layer, r);
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(u, f->pool, f->n_tiles * facts->kv_heads)
    attend(f, &f->threads[thread], layer, u / f->n_tiles, f->tiles[u % f->n_tiles]);
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(m, f->pool, f->pass->n_rows)
    if (f->mixed.width % SL_Q_BLOCK == 0)
        f->model->kernels->quantise(f->mixed.act_rows[m], f->mixed.width, 0, f->mixed.value_rows[m],
                                    f->mixed.width / SL_Q_BLOCK);
    sl__pool_barrier(f->pool);

    add_output(f, thread, &l->o);
    sl__pool_barrier(f->pool);
    if (thread == 0) f->report->attention_ns += sl__now_ns() - start;
}

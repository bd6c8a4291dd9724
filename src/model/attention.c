/* attention.c - the first half of a layer: x += O attention(norm(x)).
 *
 *     norm | Q K V products | per row: head norms, RoPE, store K V | attention | O product
 *
 * Attention is two products over the cache's panels (kv.h): scores = K q, softmax, then
 * out = V p, added up block by block of 128 positions. A row attends to its own ancestors
 * in position order. For committed tokens and a chain drafted on them position and cell
 * agree; a row on a branch of a tree finds the rest of its ancestors by walking parents,
 * picks their scores, and has their values gathered in order into its last blocks. So
 * the cell a token lies in leaves no trace in the bits.
 *
 * With a sliding window a row attends to its newest `window` positions. Older ones are
 * not scored; in the block where the window begins they count with probability 0, and
 * blocks before it are not walked.
 *
 * With keys in q8_0 queries are quantised too, as two terms (score_q8_0()); with values in
 * q8_0 probabilities are multiplied by the values' scales (scale_probabilities()). */
#include <math.h>
#include <string.h>

#include "model/forward_private.h"
#include "runtime/clock.h"

void sl__attention_plan(sl__forward *f, sl__plan *plan) {
    const sl_model_facts *facts = &f->model->facts;
    const int32_t n = f->limits.rows_max, group = facts->heads / facts->kv_heads;
    const size_t rows = (size_t)n;
    const int32_t wide = facts->heads * facts->head_dim, narrow = facts->kv_heads * facts->head_dim;
    f->score_stride = sl__kv_cells(f->limits.context, n);
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
    sl__rows_plan(&f->mixed, plan, n, wide);
    f->out = sl__plan_take(plan, rows * (size_t)facts->width, sizeof *f->out);
    f->out_rows = sl__row_pointers(plan, f->out, n, (size_t)facts->width);
}

void sl__attention_plan_thread(const sl__forward *f, sl__thread_scratch *t, sl__plan *plan) {
    const int32_t n = f->tile_queries;
    const size_t queries = (size_t)n, stride = (size_t)f->score_stride;
    t->scores = sl__plan_take(plan, queries * stride, sizeof *t->scores);
    t->score_rows = sl__row_pointers(plan, t->scores, n, stride);
    t->seen_rows = sl__plan_take(plan, queries, sizeof *t->seen_rows);
    t->query_rows = sl__plan_take(plan, queries, sizeof *t->query_rows);
    t->sums = sl__plan_take(plan, queries * SL_PANEL_ROWS, sizeof *t->sums);
    t->sum_rows = sl__row_pointers(plan, t->sums, n, SL_PANEL_ROWS);
    t->ancestors = sl__plan_take(plan, (size_t)f->limits.rows_max, sizeof *t->ancestors);
    t->gathered = sl__plan_take(plan, SL_VALUE_BLOCK * SL_PANEL_ROWS, sizeof(float));
    if (f->model->facts.head_dim % SL_Q_BLOCK != 0) return; /* no cache in q8_0 */
    t->query_acts = sl__act_rows_plan(plan, 2 * n, f->model->facts.head_dim);
    float *rests = sl__plan_take(plan, queries * SL_KEY_SPAN, sizeof *rests);
    t->query_rests = sl__row_pointers(plan, rests, n, SL_KEY_SPAN);
    t->span_rows = sl__plan_take(plan, 2 * queries, sizeof *t->span_rows);
    float *scaled = sl__plan_take(plan, queries * SL_VALUE_BLOCK, sizeof *scaled);
    t->scaled_rows = sl__row_pointers(plan, scaled, n, SL_VALUE_BLOCK);
}

static void add_bias(float *x, const float *bias, int32_t n) {
    for (int32_t i = 0; bias && i < n; i++)
        x[i] += bias[i];
}

/* Bias, norm and RoPE of one row's queries or keys in place, then scale them. */
static void prepare_heads(const sl__forward *f, int32_t r, float *heads, int32_t n_heads,
                          const float *bias, const float *norm, float scale) {
    const sl_model_facts *facts = &f->model->facts;
    const sl__qk_norm kind = f->model->switches.qk_norm;
    const int32_t n = n_heads * facts->head_dim;
    add_bias(heads, bias, n);
    if (kind == SL_QK_NORM_ROW) f->model->kernels->rms_norm(heads, heads, norm, n, facts->rms_eps);
    for (int32_t h = 0; h < n_heads; h++) {
        float *head = heads + h * facts->head_dim;
        if (kind == SL_QK_NORM_HEAD)
            f->model->kernels->rms_norm(head, head, norm, facts->head_dim, facts->rms_eps);
        sl__rope_turn(f, r, head, scale);
    }
}

/* One row's queries in place, its keys and values to its cell. */
static void prepare_row(sl__forward *f, int32_t layer, int32_t r) {
    const sl_model_facts *facts = &f->model->facts;
    const sl__layer *l = &f->model->layers[layer];
    const sl__kv *kv = f->pass->caches[f->pass->rows[r].sequence];
    const float scale = 1.0f / sqrtf((float)facts->head_dim);
    prepare_heads(f, r, f->q_rows[r], facts->heads, l->q_bias, l->q_norm, scale);
    prepare_heads(f, r, f->k_rows[r], facts->kv_heads, l->k_bias, l->k_norm, 1.0f);
    add_bias(f->v_rows[r], l->v_bias, facts->kv_heads * facts->head_dim);
    for (int32_t h = 0; h < facts->kv_heads; h++)
        sl__kv_store(kv, f->model->kernels, layer, h, f->cell[r],
                     f->k_rows[r] + h * facts->head_dim, f->v_rows[r] + h * facts->head_dim);
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

/* The oldest position row r attends to, and where its first block of values begins. */
static int32_t oldest(const sl__forward *f, int32_t r) {
    const int32_t window = f->model->facts.window;
    return window > 0 ? sl__max_i32(0, f->pass->rows[r].position + 1 - window) : 0;
}

static int32_t first_block(const sl__forward *f, int32_t r) {
    return oldest(f, r) / SL_VALUE_BLOCK * SL_VALUE_BLOCK;
}

/* What attend() and its helpers work on: one KV head of one layer for one tile. */
typedef struct head_work {
    const sl__kv *kv;
    int32_t layer, head, group;
    sl__tile tile;
} head_work;

/* Cells up to here are out of every window of the tile: whole panels of them. */
static int32_t cells_out_of_sight(const sl__forward *f, const head_work *w) {
    int32_t first = INT32_MAX;
    for (int32_t r = w->tile.first; r < w->tile.first + w->tile.n; r++)
        first = sl__min_i32(first, sl__min_i32(oldest(f, r), f->contiguous[r]));
    return first / SL_PANEL_ROWS * SL_PANEL_ROWS;
}

/* seen_rows = K query_rows for n queries, by keys in q8_0: 8 bits for a query would lose
 * nearly as much as 8 bits for the keys do, so it goes in as two terms (docs/numbers.md). */
static void score_q8_0(const sl__forward *f, sl__thread_scratch *t, const head_work *w,
                       int32_t skipped, int32_t n_panels, int32_t n) {
    enum { SPAN = SL_KEY_SPAN / SL_PANEL_ROWS };
    const sl__kernels *k = f->model->kernels;
    const int32_t head_dim = f->model->facts.head_dim;
    for (int32_t q = 0; q < n; q++)
        sl__quantise_twice(k, t->query_acts[q], t->query_acts[n + q], head_dim, 0, t->query_rows[q],
                           head_dim / SL_Q_BLOCK);
    for (int32_t p = 0; p < n_panels; p += SPAN) {
        const uint8_t *keys = sl__kv_keys(w->kv, w->layer, w->head, skipped + p * SL_PANEL_ROWS);
        const int32_t span = sl__min_i32(SPAN, n_panels - p), at = p * SL_PANEL_ROWS;
        for (int32_t q = 0; q < n; q++)
            t->span_rows[q] = t->seen_rows[q] + at, t->span_rows[n + q] = t->query_rests[q];
        k->matmul[SL_FORMAT_Q8_0](keys, head_dim, span, (const void *const *)t->query_acts,
                                  t->span_rows, 2 * n);
        for (int32_t q = 0; q < n; q++)
            for (int32_t c = 0; c < span * SL_PANEL_ROWS; c++)
                t->span_rows[q][c] += t->query_rests[q][c];
    }
}

/* Scores of every query of the tile, softmax included. Rows are scored against all cells
 * up to the tile's last; a row uses those of its ancestors. */
static void score_tile(sl__forward *f, sl__thread_scratch *t, const head_work *w) {
    const int32_t head_dim = f->model->facts.head_dim;
    const int32_t cells = f->cell[w->tile.first + w->tile.n - 1] + 1;
    const int32_t skipped = cells_out_of_sight(f, w), n_queries = w->tile.n * w->group;
    const int32_t n_panels = sl__div_up_i32(cells - skipped, SL_PANEL_ROWS);
    for (int32_t q = 0; q < n_queries; q++) {
        t->query_rows[q] = f->q_rows[w->tile.first + q / w->group] +
                           (w->head * w->group + q % w->group) * head_dim;
        t->seen_rows[q] = t->score_rows[q] + skipped;
    }
    if (w->kv->k_type == SL_KV_Q8_0)
        score_q8_0(f, t, w, skipped, n_panels, n_queries);
    else
        f->model->kernels->matmul[sl__kv_key_format(w->kv)](
            sl__kv_keys(w->kv, w->layer, w->head, skipped), head_dim, n_panels, t->query_rows,
            t->seen_rows, n_queries);
    for (int32_t i = 0; i < w->tile.n; i++) {
        const int32_t r = w->tile.first + i, near = f->contiguous[r];
        const int32_t from = oldest(f, r), block = first_block(f, r);
        const int32_t n_far = find_ancestors(f, r, t->ancestors);
        for (int32_t q = i * w->group; q < (i + 1) * w->group; q++) {
            float *s = t->score_rows[q];
            for (int32_t a = 0; a < n_far; a++) /* to the left: cells ascend */
                s[near + a] = s[t->ancestors[a]];
            f->model->kernels->softmax(s + from, near + n_far - from);
            memset(s + block, 0, (size_t)(from - block) * sizeof *s);
        }
    }
}

/* Cell of a position of row r, whose ancestors are in t->ancestors. */
static int32_t cell_of(const sl__forward *f, const sl__thread_scratch *t, int32_t r,
                       int32_t position) {
    const int32_t near = f->contiguous[r];
    return position < near ? position : t->ancestors[position - near];
}

/* Values of positions from .. from + n - 1 of row r in one panel: in place where position
 * and cell agree, else gathered. */
static const uint8_t *value_block(const sl__forward *f, sl__thread_scratch *t, const head_work *w,
                                  int32_t r, int32_t panel, int32_t from, int32_t n) {
    const size_t bytes = sl__kv_value_bytes(w->kv);
    if (from + n <= f->contiguous[r]) return sl__kv_values(w->kv, w->layer, w->head, panel, from);
    for (int32_t i = 0; i < n; i++)
        memcpy(t->gathered + (size_t)i * bytes,
               sl__kv_values(w->kv, w->layer, w->head, panel, cell_of(f, t, r, from + i)), bytes);
    return t->gathered;
}

/* scaled_rows = probabilities of n_queries (from score row `first` on) times the scales of
 * one panel's values, and query_rows are those: V p = int8 (scale p). */
static void scale_probabilities(const sl__forward *f, sl__thread_scratch *t, const head_work *w,
                                int32_t r, int32_t panel, int32_t from, int32_t n, int32_t first,
                                int32_t n_queries) {
    const float *scales = sl__kv_value_scales(w->kv, w->layer, w->head, panel);
    float in_order[SL_VALUE_BLOCK];
    for (int32_t i = 0; i < n; i++)
        in_order[i] = scales[cell_of(f, t, r, from + i)];
    for (int32_t q = 0; q < n_queries; q++) {
        const float *p = t->score_rows[first + q] + from;
        for (int32_t i = 0; i < n; i++)
            t->scaled_rows[q][i] = p[i] * in_order[i];
        t->query_rows[q] = t->scaled_rows[q];
    }
}

/* out += V p over one block of positions, for the queries of rows first .. first + n_rows
 * - 1 of the tile, which all see n positions of the block. */
static void add_block(sl__forward *f, sl__thread_scratch *t, const head_work *w, int32_t first,
                      int32_t n_rows, int32_t from, int32_t n) {
    const int32_t head_dim = f->model->facts.head_dim, n_queries = n_rows * w->group;
    const int32_t r = w->tile.first + first;
    (void)find_ancestors(f, r, t->ancestors);
    for (int32_t q = 0; q < n_queries; q++)
        t->query_rows[q] = t->score_rows[first * w->group + q] + from;
    for (int32_t panel = 0; panel < sl__kv_value_panels(w->kv); panel++) {
        if (w->kv->v_type == SL_KV_Q8_0 && panel % (SL_Q_BLOCK / SL_PANEL_ROWS) == 0)
            scale_probabilities(f, t, w, r, panel, from, n, first * w->group, n_queries);
        f->model->kernels->matmul[sl__kv_value_format(w->kv)](
            value_block(f, t, w, r, panel, from, n), n, 1, t->query_rows, t->sum_rows, n_queries);
        const int32_t at = panel * SL_PANEL_ROWS;
        const int32_t dims = sl__min_i32(SL_PANEL_ROWS, head_dim - at);
        for (int32_t q = 0; q < n_queries; q++) {
            const int32_t begin = first_block(f, r + q / w->group);
            float *out = f->mixed.value_rows[r + q / w->group] +
                         (w->head * w->group + q % w->group) * head_dim + at;
            for (int32_t d = 0; d < dims; d++)
                out[d] = from == begin ? t->sum_rows[q][d] : out[d] + t->sum_rows[q][d];
        }
    }
}

/* Positions of the block at `from` that row r has to do with. */
static int32_t block_length(const sl__forward *f, int32_t r, int32_t from) {
    const int32_t n = sl__min_i32(SL_VALUE_BLOCK, f->pass->rows[r].position + 1 - from);
    return from >= first_block(f, r) ? n : 0;
}

/* Rows that see the same cells of a block share a walk over it. */
static void mix_tile(sl__forward *f, sl__thread_scratch *t, const head_work *w) {
    const int32_t first = w->tile.first, end = first + w->tile.n;
    int32_t from = INT32_MAX, longest = 0;
    for (int32_t r = first; r < end; r++) {
        from = sl__min_i32(from, first_block(f, r));
        longest = sl__max_i32(longest, f->pass->rows[r].position + 1);
    }
    for (; from < longest; from += SL_VALUE_BLOCK)
        for (int32_t r = first, next; r < end; r = next) {
            const int32_t n = block_length(f, r, from), near = f->contiguous[r];
            for (next = r + 1; next < end; next++)
                if (sl__min_i32(near, f->contiguous[next]) < from + n ||
                    block_length(f, next, from) != n)
                    break;
            if (n > 0) add_block(f, t, w, r - first, next - r, from, n);
        }
}

/* x += O mixed, columns shared among threads. */
static void add_output(sl__forward *f, int32_t thread, const sl__layer *l) {
    const sl__weight *o = &l->o;
    const int32_t chunk = sl__pool_chunk(f->pool, o->n_panels);
    for (int32_t p, end; (p = sl__pool_claim(f->pool, o->n_panels, chunk, &end)) < o->n_panels;) {
        const int32_t first = p * SL_PANEL_ROWS;
        const int32_t last = sl__min_i32(end * SL_PANEL_ROWS, o->n_out);
        sl__weight_multiply(f->model->kernels, o, 0, p, end, sl__rows_for(&f->mixed, o),
                            f->out_rows, first, f->pass->n_rows, f->threads[thread].panel);
        for (int32_t r = 0; r < f->pass->n_rows; r++) {
            if (l->o_bias) add_bias(f->out_rows[r] + first, l->o_bias + first, last - first);
            for (int32_t c = first; c < last; c++)
                f->x_rows[r][c] += f->out_rows[r][c];
        }
    }
}

void sl__attention_layer(sl__forward *f, int32_t thread, int32_t layer) {
    const sl__layer *l = &f->model->layers[layer];
    const sl_model_facts *facts = &f->model->facts;
    const uint64_t start = thread == 0 ? sl__now_ns() : 0;
    const sl__place before = {layer - 1, layer > 0 ? sl__feed_forward_name : "the embedding"};
    sl__norm_rows(f, l->attn_norm, l->attn_norm_bias, before);
    sl__pool_barrier(f->pool);

    const sl__weight *const weights[] = {&l->q, &l->k, &l->v};
    float *const *const outputs[] = {f->q_rows, f->k_rows, f->v_rows};
    sl__dense_products(f, thread, &f->normed, weights, outputs, 3);
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(r, f->pool, f->pass->n_rows) prepare_row(f, layer, r);
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(u, f->pool, f->n_tiles * facts->kv_heads) {
        const sl__tile tile = f->tiles[u % f->n_tiles];
        const head_work w = {.kv = f->pass->caches[f->pass->rows[tile.first].sequence],
                             .layer = layer,
                             .head = u / f->n_tiles,
                             .group = facts->heads / facts->kv_heads,
                             .tile = tile};
        score_tile(f, &f->threads[thread], &w);
        mix_tile(f, &f->threads[thread], &w);
    }
    sl__pool_barrier(f->pool);

    SL_FOR_CLAIMED(m, f->pool, f->pass->n_rows) sl__quantise_row(f->model->kernels, &f->mixed, m);
    sl__pool_barrier(f->pool);

    add_output(f, thread, l);
    sl__pool_barrier(f->pool);
    if (thread == 0) f->report->attention_ns += sl__now_ns() - start;
}

/* pack.c - panels of all matrices, on all cores; scales are checked where they are read anyway.
 *
 * A matrix that stays in the file (the mapped layout, the rows of the embedding) is not looked
 * at here: a bad number in it ends the request that meets it (docs/numbers.md). */
#include "model/pack.h"

#include <stdatomic.h>

#include "base/base.h"
#include "runtime/cpu.h"
#include "runtime/pool.h"

typedef struct packing {
    sl_model *model;
    const sl_model_params *params;
    sl__pool *pool;
    uint64_t done; /* bytes */
} packing;

typedef struct pack_job {
    const sl__weight *weight;
    sl__pool *pool;
    atomic_int bad_panel; /* the first with a scale that is not finite; INT32_MAX: none */
} pack_job;

/* Row of panel i with such a scale, and its block; or -1. */
static int32_t find_bad_row(const sl__weight *w, int32_t i, int32_t *block) {
    *block = -1;
    int32_t first;
    const int32_t rows = sl__weight_panel_rows(w, i, &first);
    const size_t row_bytes = sl__format_row_bytes(w->format, w->n_in);
    const uint8_t *matrix = sl__weight_matrix(w, i / w->n_panels);
    for (int32_t r = first; r < first + rows; r++) {
        *block = sl__row_bad_scale(w->format, matrix + (size_t)r * row_bytes, w->n_in);
        if (*block >= 0) return r;
    }
    return -1;
}

static void note_bad_panel(pack_job *job, int32_t i) {
    int seen = atomic_load(&job->bad_panel);
    while (i < seen && !atomic_compare_exchange_weak(&job->bad_panel, &seen, i)) {
    }
}

static void pack_on_thread(void *arg, int32_t thread) {
    pack_job *job = arg;
    const sl__weight *w = job->weight;
    const int32_t n = w->n_experts * w->n_panels;
    const size_t panel_bytes = sl__weight_panel_bytes(w);
    (void)thread;
    for (int32_t i, end; (i = sl__pool_claim(job->pool, n, 16, &end)) < n;)
        for (; i < end; i++) {
            int32_t block;
            if (find_bad_row(w, i, &block) >= 0) note_bad_panel(job, i);
            sl__weight_pack_panel(w, i, w->panels + (size_t)i * panel_bytes);
        }
}

static sl_status fail_scale(const sl_model *m, const sl__weight *w, int32_t panel, sl_error *err) {
    int32_t block;
    const int32_t row = find_bad_row(w, panel, &block), expert = panel / w->n_panels;
    const uint8_t *matrix = sl__weight_matrix(w, expert);
    const sl__gguf_tensor *t = m->file.tensors;
    while (!(t->data <= matrix && matrix < t->data + t->size)) /* one of them holds it */
        t++;
    if (t->ne[2] == 1)
        return sl__gguf_fail_tensor(&m->file, t, err, "row %d, block %d: a scale is not finite",
                                    row, block);
    return sl__gguf_fail_tensor(
        &m->file, t, err, "expert %d, row %d, block %d: a scale is not finite", expert, row, block);
}

/* The file's bytes of a packed weight, but for the embedding: passes read its rows. */
static void drop_rows(const sl_model *m, const sl__weight *w) {
    const size_t bytes = sl__weight_matrix_bytes(w); /* panels may be more */
    if (w->rows == m->embedding.rows) return;
    if (!w->matrices) sl__gguf_drop(&m->file, w->rows, (size_t)w->n_experts * bytes);
    for (int32_t e = 0; w->matrices && e < w->n_experts; e++)
        sl__gguf_drop(&m->file, w->matrices[e], bytes);
}

static sl_status pack_weight(packing *p, const sl__weight *w, sl_error *err) {
    pack_job job = {.weight = w, .pool = p->pool, .bad_panel = INT32_MAX};
    sl__pool_run(p->pool, pack_on_thread, &job);
    const int32_t bad = atomic_load(&job.bad_panel);
    if (bad != INT32_MAX) return fail_scale(p->model, w, bad, err);
    drop_rows(p->model, w);
    p->done += sl__weight_bytes(w);
    if (p->params->progress)
        p->params->progress(p->params->progress_user, p->done, p->model->block.size);
    return SL_OK;
}

static sl_status pack_layer(packing *p, const sl__arch *arch, int32_t index, sl_error *err) {
    const sl_model *m = p->model;
    const sl__tensor_rule *rule;
    sl_status status = SL_OK;
    for (int32_t r = 0; status == SL_OK && (rule = sl__arch_rule(arch, r)) != NULL; r++)
        if (rule->n_out != SL_DIM_NONE && sl__arch_rule_applies(rule, &m->file, &m->facts, index))
            status =
                pack_weight(p, (const void *)((const char *)&m->layers[index] + rule->offset), err);
    return status;
}

sl_status sl__model_pack(sl_model *m, const sl__arch *arch, const sl_model_params *params,
                         sl_error *err) {
    packing p = {.model = m, .params = params};
    const int32_t threads = params->threads > 0 ? params->threads : sl__cpu_cores();
    sl_status status = sl__pool_open(&p.pool, threads, err);
    if (status != SL_OK) return status;
    for (int32_t i = 0; i < m->facts.layers && status == SL_OK; i++)
        status = pack_layer(&p, arch, i, err);
    if (status == SL_OK) status = pack_weight(&p, &m->head, err);
    sl__pool_close(&p.pool);
    return status;
}

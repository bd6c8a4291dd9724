/* session.c - one sequence, its cache, its threads; passes checked on the way in. */
#include "engine/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "runtime/cpu.h"

sl_session_params sl_session_params_default(void) {
    return (sl_session_params){.k_type = SL_KV_F16, .v_type = SL_KV_F16};
}

/* ---- opening ---- */

/* Zeroes replaced by what they stand for, everything in range. */
static sl_status resolve(const sl_model *model, const sl_session_params *given,
                         sl_session_params *out, sl_error *err) {
    *out = given ? *given : sl_session_params_default();
    if (out->context == 0) out->context = sl_model_facts_of(model)->context_train;
    if (out->threads == 0) out->threads = sl__min_i32(sl__cpu_cores(), SL_THREADS_MAX);
    if (out->batch == 0) out->batch = SL_PASS_ROWS_MAX;
    const struct {
        const char *name;
        int32_t value, lo, hi;
    } fields[] = {
        {"context", out->context, 1, SL_CONTEXT_MAX},
        {"threads", out->threads, 1, SL_THREADS_MAX},
        {"batch", out->batch, 1, SL_PASS_ROWS_MAX},
        {"type of keys", (int32_t)out->k_type, SL_KV_F16, SL_KV_Q8_0},
        {"type of values", (int32_t)out->v_type, SL_KV_F16, SL_KV_Q8_0},
    };
    for (size_t i = 0; i < SL_COUNT(fields); i++)
        if (fields[i].value < fields[i].lo || fields[i].value > fields[i].hi)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%s %d, expected %d .. %d", fields[i].name,
                            fields[i].value, fields[i].lo, fields[i].hi);
    const int32_t head_dim = sl_model_facts_of(model)->head_dim;
    const bool in_blocks = out->k_type == SL_KV_Q8_0 || out->v_type == SL_KV_Q8_0;
    if (in_blocks && head_dim % SL_Q_BLOCK != 0)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "a cache in q8_0 has blocks of %d dimensions, the model's heads have %d",
                        SL_Q_BLOCK, head_dim);
    return SL_OK;
}

/* Walked twice: to measure, then to hand out (memory.h). */
static void plan_session(sl_session *s, sl__plan *plan) {
    const sl_model_facts *facts = sl_model_facts_of(s->model);
    const size_t rows = (size_t)s->params.batch;
    s->kv = (sl__kv){
        .k_type = s->params.k_type,
        .v_type = s->params.v_type,
        .layers = facts->layers,
        .kv_heads = facts->kv_heads,
        .head_dim = facts->head_dim,
        .context = s->params.context,
        .cells = sl__kv_cells(s->params.context, s->params.batch),
    };
    sl__kv_plan(&s->kv, plan);
    const sl__forward_limits limits = {.rows_max = s->params.batch,
                                       .logit_rows_max = SL_LOGIT_ROWS_MAX,
                                       .context = s->params.context,
                                       .threads = s->params.threads};
    s->forward = sl__forward_plan(s->model, &limits, plan);
    s->rows = sl__plan_take(plan, rows, sizeof *s->rows);
    s->pass_rows = sl__plan_take(plan, rows, sizeof *s->pass_rows);
    s->own_index = sl__plan_take(plan, rows, sizeof *s->own_index);
    s->path_cells = sl__plan_take(plan, rows, sizeof *s->path_cells);
    s->tokens = sl__plan_take(plan, (size_t)s->params.context, sizeof *s->tokens);
    void *prior = sl__plan_take(plan, slp_prior_size(), 1);
    if (prior) s->prior = slp_prior_init(prior, slp_prior_size());
    const size_t experts = (size_t)facts->experts;
    s->budget_allowed = sl__plan_take(plan, experts, sizeof *s->budget_allowed);
}

size_t sl_session_bytes(const sl_model *model, const sl_session_params *params) {
    sl_session s = {.model = model};
    sl__plan plan = {NULL, 0};
    if (resolve(model, params, &s.params, NULL) != SL_OK) return 0;
    plan_session(&s, &plan);
    return plan.used;
}

sl_status sl_session_open_beside(sl_session **out, const sl_model *model,
                                 const sl_session_params *params, sl_session *threads_of,
                                 sl_error *err) {
    *out = NULL;
    sl_session_params resolved, wanted = params ? *params : sl_session_params_default();
    if (threads_of) wanted.threads = threads_of->params.threads;
    sl_status status = resolve(model, &wanted, &resolved, err);
    if (status != SL_OK) return status;
    sl_session *s = calloc(1, sizeof *s);
    if (!s) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for a session");
    s->model = model;
    s->params = resolved;
    sl__plan plan = {NULL, 0};
    plan_session(s, &plan);
    status = sl__block_acquire(&s->block, plan.used, "the session (cache and scratch)", err);
    s->borrows_pool = threads_of != NULL;
    if (threads_of)
        s->pool = threads_of->pool;
    else if (status == SL_OK)
        status = sl__pool_open(&s->pool, resolved.threads, err);
    if (status != SL_OK) {
        sl_session_close(&s);
        return status;
    }
    plan = (sl__plan){s->block.bytes, 0};
    plan_session(s, &plan);
    *out = s;
    return SL_OK;
}

sl_status sl_session_open(sl_session **out, const sl_model *model, const sl_session_params *params,
                          sl_error *err) {
    return sl_session_open_beside(out, model, params, NULL, err);
}

void sl_session_close(sl_session **session) {
    sl_session *s = *session;
    *session = NULL;
    if (!s) return;
    if (!s->borrows_pool) sl__pool_close(&s->pool);
    sl__block_release(&s->block);
    free(s);
}

/* ---- questions ---- */

const sl_model *sl_session_model(const sl_session *s) {
    return s->model;
}

int32_t sl_session_length(const sl_session *s) {
    return s->kv.length;
}

int32_t sl_session_context(const sl_session *s) {
    return s->params.context;
}

int32_t sl_session_threads(const sl_session *s) {
    return s->params.threads;
}

const sl_token *sl_session_tokens(const sl_session *s) {
    return s->tokens;
}

void sl_session_read_kv(const sl_session *s, int32_t layer, int32_t position, float *out) {
    const sl__kv *kv = &s->kv;
    SL_ASSERT(position >= 0 && position < kv->length && layer >= 0 && layer < kv->layers);
    float *values = out + kv->kv_heads * kv->head_dim;
    for (int32_t h = 0; h < kv->kv_heads; h++)
        sl__kv_load(kv, layer, h, position, out + h * kv->head_dim, values + h * kv->head_dim);
}

/* ---- passes ---- */

/* The budget's choice, made by the policy library on one layer's probabilities. */
static double select_within_budget(void *user, const float *probabilities, int32_t rows,
                                   int32_t experts, int32_t k, int32_t *selected) {
    const sl_session *s = user;
    slp_budget_report report;
    const slp_budget budget = {s->budget.mode == SL_BUDGET_TRUNCATE ? SLP_BUDGET_TRUNCATE
                                                                    : SLP_BUDGET_SUBSTITUTE,
                               s->budget.experts};
    const slp_status status = slp_moespec_select(probabilities, NULL, rows, experts, k, budget,
                                                 s->budget_allowed, selected, &report);
    SL_ASSERT(status == SLP_OK); /* ranges were checked in check_budget() */
    return report.mass_kept;
}

static sl_status check_budget(const sl_session *s, const sl_budget *budget, sl_error *err) {
    const sl_model_facts *facts = sl_model_facts_of(s->model);
    if (budget->mode == SL_BUDGET_OFF) return SL_OK;
    if (budget->experts < facts->experts_per_token || budget->experts > facts->experts)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "expert budget %d, expected %d .. %d",
                        budget->experts, facts->experts_per_token, facts->experts);
    return SL_OK;
}

/* A pass in the making: whose rows, and where they go. */
typedef struct pass_maker {
    sl_session *const *sessions; /* the first one runs it */
    int32_t n_sessions;
    const sl_row *rows;
    const int32_t *session_of; /* NULL: all the first one's */
} pass_maker;

static int32_t session_of(const pass_maker *m, int32_t row) {
    return m->session_of ? m->session_of[row] : 0;
}

static sl_status check_row(const pass_maker *m, int32_t i, sl_error *err) {
    const sl_row *row = &m->rows[i];
    const int32_t vocab = sl_model_facts_of(m->sessions[0]->model)->vocab;
    if (row->token < 0 || row->token >= vocab)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "row %d: token %d, expected 0 .. %d", i,
                        row->token, vocab - 1);
    if (row->parent < -1 || row->parent >= i)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "row %d: parent %d, expected -1 .. %d", i,
                        row->parent, i - 1);
    if (session_of(m, i) < 0 || session_of(m, i) >= m->n_sessions)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "row %d: session %d, expected 0 .. %d", i,
                        session_of(m, i), m->n_sessions - 1);
    if (row->parent >= 0 && session_of(m, row->parent) != session_of(m, i))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "row %d: its parent %d is another session's", i,
                        row->parent);
    return SL_OK;
}

/* Row i to its session's own and to the pass. */
static sl_status take_row(const pass_maker *m, int32_t i, sl_error *err) {
    sl_session *runs = m->sessions[0], *s = m->sessions[session_of(m, i)];
    const sl_row *row = &m->rows[i];
    const int32_t parent = row->parent < 0 ? -1 : runs->own_index[row->parent];
    const int32_t position = parent < 0 ? s->kv.length : s->rows[parent].position + 1;
    if (position >= s->params.context)
        return sl__fail(err, SL_E_CONTEXT, SL_NOWHERE,
                        "row %d would be token %d of a context of %d", i, position + 1,
                        s->params.context);
    if (s->n_pass_rows == s->params.batch)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "row %d: more than %d rows of one session", i,
                        s->params.batch);
    const sl__row taken = {.token = row->token,
                           .position = position,
                           .parent = parent,
                           .sequence = session_of(m, i),
                           .want_logits = row->want_logits != 0};
    runs->own_index[i] = s->n_pass_rows;
    s->rows[s->n_pass_rows++] = taken;
    runs->pass_rows[i] = taken;
    runs->pass_rows[i].parent = row->parent;
    return SL_OK;
}

/* Public rows to the forward pass's, every field checked. */
static sl_status take_rows(const pass_maker *m, int32_t n_rows, sl_error *err) {
    const int32_t batch = m->sessions[0]->params.batch;
    int32_t wanting = 0;
    if (n_rows < 1 || n_rows > batch)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d rows, expected 1 .. %d", n_rows, batch);
    for (int32_t i = 0; i < n_rows; i++) {
        const sl_status status = check_row(m, i, err);
        if (status != SL_OK) return status;
        wanting += m->rows[i].want_logits != 0;
    }
    if (wanting > SL_LOGIT_ROWS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d rows want logits, at most %d can", wanting,
                        SL_LOGIT_ROWS_MAX);
    sl_status status = SL_OK;
    for (int32_t i = 0; i < n_rows && status == SL_OK; i++)
        status = take_row(m, i, err);
    return status;
}

static void drop_rows(const pass_maker *m) {
    for (int32_t i = 0; i < m->n_sessions; i++)
        m->sessions[i]->n_pass_rows = 0;
}

static sl_status run_pass(const pass_maker *m, int32_t n_rows, float *logits, bool budgeted,
                          sl_pass_report *report, sl_error *err) {
    sl_session *runs = m->sessions[0];
    sl__kv *caches[SL_PASS_SESSIONS_MAX];
    sl_pass_report unused;
    drop_rows(m);
    sl_status status = take_rows(m, n_rows, err);
    for (int32_t i = 0; i < m->n_sessions; i++)
        caches[i] = &m->sessions[i]->kv;
    const sl__pass pass = {.rows = runs->pass_rows,
                           .n_rows = n_rows,
                           .caches = caches,
                           .logits = logits,
                           .select = budgeted ? select_within_budget : NULL,
                           .select_user = runs};
    if (status == SL_OK)
        status = sl__forward_run(runs->forward, runs->pool, &pass, report ? report : &unused, err);
    if (status != SL_OK) drop_rows(m);
    return status;
}

sl_status sl_session_forward(sl_session *s, const sl_row *rows, int32_t n_rows, float *logits,
                             const sl_budget *budget, sl_pass_report *report, sl_error *err) {
    sl_session *const sessions[] = {s};
    const pass_maker maker = {sessions, 1, rows, NULL};
    s->n_pass_rows = 0;
    sl_status status = budget ? check_budget(s, budget, err) : SL_OK;
    if (status != SL_OK) return status;
    s->budget = budget ? *budget : (sl_budget){SL_BUDGET_OFF, 0};
    const bool budgeted = s->budget.mode != SL_BUDGET_OFF && n_rows > 1;
    return run_pass(&maker, n_rows, logits, budgeted, report, err);
}

static sl_status check_sessions(sl_session *const *sessions, int32_t n, sl_error *err) {
    if (n < 1 || n > SL_PASS_SESSIONS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d sessions, expected 1 .. %d", n,
                        SL_PASS_SESSIONS_MAX);
    for (int32_t i = 1; i < n; i++) {
        if (sessions[i]->model != sessions[0]->model)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE, "session %d is of another model", i);
        if (sessions[i]->params.context != sessions[0]->params.context)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                            "session %d has a context of %d, expected session 0's, %d", i,
                            sessions[i]->params.context, sessions[0]->params.context);
        for (int32_t j = 0; j < i; j++)
            if (sessions[i] == sessions[j])
                return sl__fail(err, SL_E_ARG, SL_NOWHERE, "sessions %d and %d are the same", j, i);
    }
    return SL_OK;
}

sl_status sl_sessions_forward(sl_session *const *sessions, int32_t n_sessions, const sl_row *rows,
                              const int32_t *session_of_row, int32_t n_rows, float *logits,
                              sl_pass_report *report, sl_error *err) {
    const pass_maker maker = {sessions, n_sessions, rows, session_of_row};
    const sl_status status = check_sessions(sessions, n_sessions, err);
    return status == SL_OK ? run_pass(&maker, n_rows, logits, false, report, err) : status;
}

void sl_session_commit(sl_session *s, const int32_t *path, int32_t n) {
    SL_ASSERT(n >= 0 && n <= s->n_pass_rows);
    for (int32_t i = 0; i < n; i++) {
        SL_ASSERT(path[i] >= 0 && path[i] < s->n_pass_rows);
        SL_ASSERT(s->rows[path[i]].parent == (i == 0 ? -1 : path[i - 1]));
        s->path_cells[i] = s->kv.length + path[i];
        s->tokens[s->kv.length + i] = s->rows[path[i]].token;
    }
    sl__kv_commit(&s->kv, s->path_cells, n);
    s->n_pass_rows = 0;
}

sl_status sl_session_eval(sl_session *s, const sl_token *tokens, int32_t n_tokens, float *logits,
                          sl_error *err) {
    sl_row rows[SL_PASS_ROWS_MAX];
    int32_t path[SL_PASS_ROWS_MAX];
    if (n_tokens < 1)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d tokens, expected at least 1", n_tokens);
    if (n_tokens > s->params.context - s->kv.length)
        return sl__fail(err, SL_E_CONTEXT, SL_NOWHERE,
                        "%d tokens do not fit: %d of a context of %d are taken", n_tokens,
                        s->kv.length, s->params.context);
    for (int32_t done = 0; done < n_tokens;) {
        const int32_t n = sl__min_i32(s->params.batch, n_tokens - done);
        for (int32_t i = 0; i < n; i++) {
            const bool last = done + i == n_tokens - 1;
            rows[i] = (sl_row){tokens[done + i], i - 1, last && logits};
            path[i] = i;
        }
        const sl_status status = sl_session_forward(s, rows, n, logits, NULL, NULL, err);
        if (status != SL_OK) return status;
        sl_session_commit(s, path, n);
        done += n;
    }
    return SL_OK;
}

sl_status sl_session_copy(sl_session *to, const sl_session *from, sl_error *err) {
    const int32_t n = from->kv.length;
    if (to == from) return SL_OK;
    if (to->model != from->model)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "sessions of different models");
    if (to->kv.k_type != from->kv.k_type || to->kv.v_type != from->kv.v_type)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "sessions with different types of cache");
    if (sl__forward_is_long(to->forward) != sl__forward_is_long(from->forward))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "sessions that rotate positions differently");
    if (n > to->params.context)
        return sl__fail(err, SL_E_CONTEXT, SL_NOWHERE, "%d tokens do not fit into a context of %d",
                        n, to->params.context);
    size_t bytes;
    uint8_t *piece;
    for (size_t i = 0; (piece = sl__kv_piece(&to->kv, i, n, &bytes)) != NULL; i++)
        memcpy(piece, sl__kv_piece(&from->kv, i, n, &bytes), bytes);
    memcpy(to->tokens, from->tokens, (size_t)n * sizeof *to->tokens);
    to->kv.length = n;
    to->n_pass_rows = 0;
    return SL_OK;
}

void sl_session_rewind(sl_session *s, int32_t length) {
    SL_ASSERT(length >= 0 && length <= s->kv.length);
    s->kv.length = length;
    s->n_pass_rows = 0;
}

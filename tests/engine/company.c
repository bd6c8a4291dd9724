/* company.c - see company.h. */
#include "company.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/model.h"

void *floats(size_t n, size_t m) {
    float *p = calloc(n * m, sizeof *p);
    assert_non_null(p);
    return p;
}

bool same(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

static void draw_tree(check_random *r, const sl_model *model, node *nodes) {
    for (int32_t i = 0; i < NODES; i++) {
        world_tokens(r, model, &nodes[i].token, 1);
        nodes[i].parent = check_below(r, 5) < 3 ? i - 1 : check_below(r, i + 1) - 1;
        if (i > 0 && check_below(r, 8) == 0) nodes[i].token = nodes[i - 1].token; /* twins */
    }
}

/* Children of parent, depth first, one row per pass. */
static void evaluate_children(reference *ref, sl_session *s, int32_t parent) {
    for (int32_t i = parent + 1; i < NODES; i++) {
        if (ref->nodes[i].parent != parent) continue;
        const int32_t position = sl_session_length(s);
        world_step(s, ref->nodes[i].token, ref->logits + (size_t)i * (size_t)ref->vocab);
        world_read_kv(s, position, ref->kv + (size_t)i * ref->kv_floats);
        evaluate_children(ref, s, i);
        sl_session_rewind(s, position);
    }
}

void make_reference(reference *ref, const char *path, kv_types types, uint64_t seed) {
    sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
    check_random r = {.seed = seed};
    *ref = (reference){.types = types,
                       .vocab = sl_model_facts_of(model)->vocab,
                       .kv_floats = world_kv_floats(model)};
    ref->logits = floats(NODES, (size_t)ref->vocab);
    ref->kv = floats(NODES, ref->kv_floats);
    ref->chain_logits = floats(CHAIN, (size_t)ref->vocab);
    ref->chain_kv = floats(CHAIN, ref->kv_floats);
    world_tokens(&r, model, ref->prefix, PREFIX);
    world_tokens(&r, model, ref->chain, CHAIN);
    draw_tree(&r, model, ref->nodes);

    sl_session *s = world_session(model, TINY_CONTEXT, 1, 1, types.k, types.v);
    for (int32_t i = 0; i < CHAIN; i++) {
        world_step(s, ref->chain[i], ref->chain_logits + (size_t)i * (size_t)ref->vocab);
        world_read_kv(s, i, ref->chain_kv + (size_t)i * ref->kv_floats);
    }
    sl_session_close(&s);
    s = world_session(model, TINY_CONTEXT, 1, 1, types.k, types.v);
    for (int32_t i = 0; i < PREFIX; i++)
        world_step(s, ref->prefix[i], NULL);
    evaluate_children(ref, s, -1);
    sl_session_close(&s);
    sl_model_close(&model);
    for (size_t i = 0; i < (size_t)NODES * (size_t)ref->vocab; i++)
        CHECK_CASE(isfinite(ref->logits[i]), "%s: logit %zu", path, i);
}

void drop_reference(reference *ref) {
    free(ref->logits);
    free(ref->kv);
    free(ref->chain_logits);
    free(ref->chain_kv);
}

/* ---- trees in random order ---- */

void draw_batch(check_random *r, const reference *ref, batch *b) {
    int32_t row_of[NODES];
    const int32_t wanted = 2 + check_below(r, ROWS_MAX - 1);
    for (int32_t i = 0; i < NODES; i++)
        row_of[i] = -1;
    for (b->n = 0; b->n < wanted; b->n++) {
        int32_t i = check_below(r, NODES); /* the next one that may come now */
        for (;; i = (i + 1) % NODES) {
            const int32_t parent = ref->nodes[i].parent;
            if (row_of[i] < 0 && (parent < 0 || row_of[parent] >= 0)) break;
        }
        const int32_t parent = ref->nodes[i].parent;
        row_of[i] = b->n;
        b->node_of[b->n] = i;
        b->rows[b->n] =
            (sl_row){ref->nodes[i].token, parent < 0 ? -1 : row_of[parent], check_below(r, 4) > 0};
    }
}

static int32_t path_to(const batch *b, int32_t row, int32_t *path) {
    int32_t n = 0;
    for (int32_t i = row; i >= 0; i = b->rows[i].parent)
        n++;
    for (int32_t i = row, at = n; i >= 0; i = b->rows[i].parent)
        path[--at] = i;
    return n;
}

/* Commit the path to a random row; its cache cells, and a row after it, are as alone. */
static void check_commit(check_random *r, const reference *ref, sl_session *s, const batch *b,
                         const char *label) {
    int32_t path[ROWS_MAX];
    float *kv = floats(1, ref->kv_floats), *logits = floats(1, (size_t)ref->vocab);
    const int32_t row = check_below(r, b->n), n = path_to(b, row, path);
    sl_session_commit(s, path, n);
    assert_int_equal(sl_session_length(s), PREFIX + n);
    for (int32_t i = 0; i < n; i++) {
        const size_t of = (size_t)b->node_of[path[i]];
        world_read_kv(s, PREFIX + i, kv);
        CHECK_CASE(same(kv, ref->kv + of * ref->kv_floats, ref->kv_floats), "%s: cache of row %d",
                   label, path[i]);
        assert_int_equal(sl_session_tokens(s)[PREFIX + i], ref->nodes[of].token);
    }
    for (int32_t i = 0; i < NODES; i++)
        if (ref->nodes[i].parent == b->node_of[row]) {
            world_step(s, ref->nodes[i].token, logits);
            CHECK_CASE(
                same(logits, ref->logits + (size_t)i * (size_t)ref->vocab, (size_t)ref->vocab),
                "%s: the row after a committed path", label);
            break;
        }
    free(kv);
    free(logits);
}

void try_batches(const reference *ref, sl_session *s, int32_t n_batches, uint64_t seed,
                 const char *label) {
    check_random r = {.seed = seed};
    float *logits = floats(ROWS_MAX, (size_t)ref->vocab);
    sl_error err = {0};
    CHECK_CASE(sl_session_eval(s, ref->prefix, PREFIX, NULL, &err) == SL_OK, "%s", err.text);
    for (int32_t t = 0; t < n_batches; t++) {
        batch b;
        draw_batch(&r, ref, &b);
        CHECK_CASE(sl_session_forward(s, b.rows, b.n, logits, NULL, NULL, &err) == SL_OK, "%s",
                   err.text);
        const float *have = logits;
        for (int32_t i = 0; i < b.n; i++) {
            if (!b.rows[i].want_logits) continue;
            const float *want = ref->logits + (size_t)b.node_of[i] * (size_t)ref->vocab;
            CHECK_CASE(same(have, want, (size_t)ref->vocab), "%s: row %d of %d, batch %d", label, i,
                       b.n, t);
            have += ref->vocab;
        }
        if (check_below(&r, 4) > 0) check_commit(&r, ref, s, &b, label);
        sl_session_rewind(s, PREFIX);
    }
    free(logits);
}

/* ---- chunks ---- */

void try_chunks(const reference *ref, const sl_model *model, int32_t chunk, int32_t threads,
                const char *label) {
    sl_row rows[CHAIN];
    int32_t path[CHAIN];
    float *logits = floats(WIDEST, (size_t)ref->vocab), *kv = floats(1, ref->kv_floats);
    sl_session *s = world_session(model, TINY_CONTEXT, threads, chunk, ref->types.k, ref->types.v);
    for (int32_t done = 0; done < CHAIN;) {
        const int32_t n = sl__min_i32(chunk, CHAIN - done), silent = sl__max_i32(0, n - WIDEST);
        sl_error err = {0};
        for (int32_t i = 0; i < n; i++) {
            rows[i] = (sl_row){ref->chain[done + i], i - 1, i >= silent};
            path[i] = i;
        }
        CHECK_CASE(sl_session_forward(s, rows, n, logits, NULL, NULL, &err) == SL_OK, "%s",
                   err.text);
        CHECK_CASE(same(logits, ref->chain_logits + (size_t)(done + silent) * (size_t)ref->vocab,
                        (size_t)(n - silent) * (size_t)ref->vocab),
                   "%s: chunks of %d at %d", label, chunk, done);
        sl_session_commit(s, path, n);
        done += n;
    }
    for (int32_t i = 0; i < CHAIN; i++) {
        world_read_kv(s, i, kv);
        CHECK_CASE(same(kv, ref->chain_kv + (size_t)i * ref->kv_floats, ref->kv_floats),
                   "%s: chunks of %d, cache at %d", label, chunk, i);
    }
    sl_session_close(&s);
    free(logits);
    free(kv);
}

/* ---- every table, layout and number of threads ---- */

static const int32_t thread_counts[] = {1, 2, 3, 8};
static const int32_t chunks[] = {1, 2, 7, 33, 512};

bool is_slow_table(const char *isa, int32_t n_batches) {
    return strcmp(isa, "scalar") == 0 && n_batches < 100;
}

void try_model(const reference *ref, const char *path, const char *isa, sl_weight_layout layout,
               int32_t n_batches, int32_t turn, const char *name) {
    sl_model *model = world_open(path, isa, layout);
    const bool slow = is_slow_table(sl_model_isa(model), n_batches);
    const int32_t kinds = world_threads_max() < 8 ? 2 : 3; /* of more than one thread */
    if (slow) n_batches = sl__max_i32(3, n_batches / 5);
    for (size_t t = 0; t < SL_COUNT(thread_counts); t++) {
        const bool alone = thread_counts[t] == 1;
        char label[128];
        if (thread_counts[t] > world_threads_max()) continue;
        if (!alone && !world_is_full() && turn % kinds + 1 != (int32_t)t) continue;
        (void)snprintf(label, sizeof label, "%s, %s, %s, %d threads", name, sl_model_isa(model),
                       sl_model_layout(model), thread_counts[t]);
        sl_session *s = world_session(model, TINY_CONTEXT, thread_counts[t], ROWS_MAX, ref->types.k,
                                      ref->types.v);
        try_batches(ref, s, alone ? n_batches : sl__max_i32(2, n_batches / 6), 1000 + t, label);
        sl_session_close(&s);
        for (size_t c = alone ? 0 : 2; c < SL_COUNT(chunks); c++)
            if (alone ? !(slow || world_is_slow()) || c == 3
                      : c == t + 1 || (world_is_slow() && c == 4))
                try_chunks(ref, model, chunks[c], thread_counts[t], label);
    }
    sl_model_close(&model);
}

void try_everywhere(const char *path, kv_types types, int32_t n_batches, uint64_t seed,
                    const char *name) {
    static const sl_weight_layout layouts[] = {SL_LAYOUT_PACKED, SL_LAYOUT_MAPPED};
    reference ref;
    const char *isa;
    int32_t turn = (int32_t)seed;
    make_reference(&ref, path, types, seed);
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++)
        for (size_t l = 0; l < SL_COUNT(layouts); l++)
            if (world_is_full() || (int32_t)l == (i + (int32_t)seed) % 2)
                try_model(&ref, path, isa, layouts[l], n_batches, turn++, name);
    drop_reference(&ref);
}

/* ---- several sequences in one pass ---- */

/* Three sessions lend their caches, the first one also its forward pass and threads. */
static void open_sequences(sl_session *q[3], const sl_model *model, int32_t threads) {
    for (int32_t i = 0; i < 3; i++) {
        const bool in_blocks = model->facts.head_dim % 32 == 0;
        const sl_kv_type type = i == 1 ? SL_KV_F32 : i == 2 && in_blocks ? SL_KV_Q8_0 : SL_KV_F16;
        q[i] = world_session(model, TINY_CONTEXT, threads, ROWS_MAX, type, type);
    }
}

/* Each sequence goes through its own tokens, alone or with the others: random shares of
 * every pass, rows interleaved; out [3][CHAIN][vocab] logits. */
static void run_sequences(const sl_model *model, bool together, int32_t threads, uint64_t seed,
                          sl_token tokens[3][CHAIN], float *out) {
    sl_session *q[3];
    check_random r = {.seed = seed};
    const size_t vocab = (size_t)model->facts.vocab;
    static const int32_t lengths[3] = {CHAIN, 40, 9};
    float *logits = floats(ROWS_MAX, vocab);
    open_sequences(q, model, threads);
    for (;;) {
        sl_row rows[ROWS_MAX];
        int32_t of[ROWS_MAX], at[ROWS_MAX], n = 0, taken[3] = {0}, newest[3] = {-1, -1, -1};
        const int32_t wanted = together ? 1 + check_below(&r, 20) : 1;
        for (int32_t tries = 0; n < wanted && tries < 200; tries++) {
            const int32_t s = check_below(&r, 3);
            at[n] = sl_session_length(q[s]) + taken[s];
            if (at[n] >= lengths[s]) continue;
            of[n] = s;
            rows[n] = (sl_row){tokens[s][at[n]], newest[s], 1};
            newest[s] = n++;
            taken[s]++;
        }
        if (n == 0) break;
        sl_error err = {0};
        CHECK_CASE(sl_sessions_forward(q, 3, rows, of, n, logits, NULL, &err) == SL_OK, "%s",
                   err.text);
        for (int32_t i = 0; i < n; i++)
            memcpy(out + ((size_t)of[i] * CHAIN + (size_t)at[i]) * vocab,
                   logits + (size_t)i * vocab, vocab * sizeof *out);
        for (int32_t s = 0; s < 3; s++) {
            int32_t path[ROWS_MAX]; /* of its own rows: all of them, one after another */
            for (int32_t i = 0; i < taken[s]; i++)
                path[i] = i;
            sl_session_commit(q[s], path, taken[s]);
            assert_memory_equal(sl_session_tokens(q[s]), tokens[s],
                                (size_t)sl_session_length(q[s]) * sizeof(sl_token));
        }
    }
    for (int32_t i = 0; i < 3; i++)
        sl_session_close(&q[i]);
    free(logits);
}

void try_sequences(const char *path, const char *isa, int32_t threads, uint64_t seed,
                   const char *name) {
    sl_model *best = world_open(path, NULL, SL_LAYOUT_PACKED);
    sl_model *model = world_open(path, isa, SL_LAYOUT_MAPPED);
    const size_t n = 3 * CHAIN * (size_t)model->facts.vocab;
    float *alone = floats(1, n), *company = floats(1, n);
    sl_token tokens[3][CHAIN];
    check_random r = {.seed = seed + 1};
    world_tokens(&r, model, tokens[0], 3 * CHAIN);
    run_sequences(best, false, 1, seed, tokens, alone);
    run_sequences(model, true, threads, seed, tokens, company);
    CHECK_CASE(same(alone, company, n), "%s, %s, %d threads: three sequences", name,
               sl_model_isa(model), threads);
    free(alone);
    free(company);
    sl_model_close(&best);
    sl_model_close(&model);
}

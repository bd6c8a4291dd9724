/* test_forward.c - a row's bits depend on its own tokens, and on nothing else.
 *
 * The reference is always the plainest run there is: one row per pass, one thread, the
 * best table, packed weights. Everything else must give the same bits, logits and cache:
 * any company in the pass (random trees in random order), any chunking, any number of
 * threads, every kernel table, both layouts. */
#include "engine_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "engine/session.h"
#include "model/model.h"

enum { PREFIX = 21, NODES = 56, CHAIN = 75, ROWS_MAX = 33, WIDEST = SL_LOGIT_ROWS_MAX };

typedef struct kv_types {
    sl_kv_type k, v;
} kv_types;

/* A tree of tokens below a prefix, each with the bits it must have. */
typedef struct node {
    sl_token token;
    int32_t parent;
} node;

typedef struct reference {
    kv_types types;
    int32_t vocab;
    size_t kv_floats;
    sl_token prefix[PREFIX];
    node nodes[NODES];
    float *logits; /* [NODES][vocab]     */
    float *kv;     /* [NODES][kv_floats] */
    sl_token chain[CHAIN];
    float *chain_logits; /* [CHAIN][vocab]     */
    float *chain_kv;     /* [CHAIN][kv_floats] */
} reference;

static void *floats(size_t n, size_t m) {
    float *p = calloc(n * m, sizeof *p);
    assert_non_null(p);
    return p;
}

static bool same(const float *a, const float *b, size_t n) {
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

static void make_reference(reference *ref, const char *path, kv_types types, uint64_t seed) {
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
}

static void drop_reference(reference *ref) {
    free(ref->logits);
    free(ref->kv);
    free(ref->chain_logits);
    free(ref->chain_kv);
}

/* ---- trees in random order ---- */

/* A pass made of nodes of the reference, ancestors before descendants. */
typedef struct batch {
    sl_row rows[ROWS_MAX];
    int32_t node_of[ROWS_MAX];
    int32_t n;
} batch;

static void draw_batch(check_random *r, const reference *ref, batch *b) {
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

static void try_batches(const reference *ref, sl_session *s, int32_t n_batches, uint64_t seed,
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

/* The chain in passes of `chunk` rows; the newest rows of each pass show their logits. */
static void try_chunks(const reference *ref, const sl_model *model, int32_t chunk, int32_t threads,
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

/* Too slow for everything, and the least likely to go wrong. */
static bool is_slow(const char *isa) {
    return strcmp(isa, "scalar") == 0 && !world_is_full();
}

/* turn: which of the thread counts above 1 comes along; all of them in a full run. */
static void try_model(const reference *ref, const char *path, const char *isa,
                      sl_weight_layout layout, int32_t n_batches, int32_t turn, const char *name) {
    sl_model *model = world_open(path, isa, layout);
    const bool slow = is_slow(sl_model_isa(model));
    if (slow) n_batches = sl__max_i32(3, n_batches / 5);
    for (size_t t = 0; t < SL_COUNT(thread_counts); t++) {
        const bool alone = thread_counts[t] == 1;
        char label[128];
        if (!alone && !world_is_full() && turn % 3 + 1 != (int32_t)t) continue;
        (void)snprintf(label, sizeof label, "%s, %s, %s, %d threads", name, sl_model_isa(model),
                       sl_model_layout(model), thread_counts[t]);
        sl_session *s = world_session(model, TINY_CONTEXT, thread_counts[t], ROWS_MAX, ref->types.k,
                                      ref->types.v);
        try_batches(ref, s, alone ? n_batches : sl__max_i32(2, n_batches / 6), 1000 + t, label);
        sl_session_close(&s);
        for (size_t c = alone ? 0 : 2; c < SL_COUNT(chunks); c++)
            if (alone ? !(slow || world_is_slow()) || c == 3 : c == t + 1)
                try_chunks(ref, model, chunks[c], thread_counts[t], label);
    }
    sl_model_close(&model);
}

static void try_everywhere(const char *path, kv_types types, int32_t n_batches, uint64_t seed,
                           const char *name) {
    static const sl_weight_layout layouts[] = {SL_LAYOUT_PACKED, SL_LAYOUT_MAPPED};
    reference ref;
    const char *isa;
    int32_t turn = (int32_t)seed;
    make_reference(&ref, path, types, seed);
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++)
        for (size_t l = 0; l < SL_COUNT(layouts); l++)
            if (!world_is_slow() || (int32_t)l == (i + (int32_t)seed) % 2)
                try_model(&ref, path, isa, layouts[l], n_batches, turn++, name);
    drop_reference(&ref);
}

/* Mutations: sum a product over rows of the batch in another order; let attention of a
 * branch read its neighbour's cell; quantise a row by the pass's largest value. */
static void a_row_has_the_same_bits_in_any_company_for_every_type(void **state) {
    (void)state;
    static const kv_types types[] = {{SL_KV_F16, SL_KV_F16},
                                     {SL_KV_F32, SL_KV_F32},
                                     {SL_KV_F16, SL_KV_F32},
                                     {SL_KV_F32, SL_KV_F16}};
    for (int32_t i = 0; i < n_tiny_shapes; i++) {
        char path[WORLD_PATH_MAX];
        world_path(path, tiny_shapes[i].name);
        tiny_write(&tiny_shapes[i], (uint64_t)i, path);
        for (size_t t = 0; t < (world_is_slow() ? 1 : 2); t++) /* two of the four, by turns */
            try_everywhere(path, types[((size_t)i + 2 * t + t * (size_t)i) % SL_COUNT(types)],
                           world_share(world_is_full() ? 200 : 16, 2), 40 + (uint64_t)i,
                           tiny_shapes[i].name);
    }
}

/* As above, on the model people run: 64 experts, 8 of them per token. */
static void a_row_of_the_embedded_model_has_the_same_bits_in_any_company(void **state) {
    (void)state;
    reference ref;
    const char *isa;
    const kv_types types = {SL_KV_F16, SL_KV_F16};
    const int32_t n = world_share(world_is_full() ? 200 : 12, 2);
    make_reference(&ref, SL_MODEL_FILE, types, 7);
    for (int32_t turn = 0; turn < 3; turn++)
        try_model(&ref, SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED, n, turn, "tiny");
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++) { /* the others: less */
        sl_model *model = world_open(SL_MODEL_FILE, isa, SL_LAYOUT_MAPPED);
        sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, types.k, types.v);
        try_batches(&ref, s, is_slow(isa) ? 1 : 4, 77, isa);
        sl_session_close(&s);
        if (!is_slow(isa)) try_chunks(&ref, model, 33, 2, isa);
        sl_model_close(&model);
    }
    drop_reference(&ref);
}

/* ---- one model for the rest ---- */

static const char *small_model(void) {
    static char path[WORLD_PATH_MAX];
    if (!path[0]) {
        world_path(path, "small.gguf");
        tiny_write(&tiny_shapes[3], 99, path);
    }
    return path;
}

/* Rows: the next tokens of a chain, and beside them tokens that will be rejected. Row of
 * chain token i in path[i]; at most ROWS_MAX rows. */
static int32_t draw_draft(check_random *r, const sl_model *model, const sl_token *chain,
                          int32_t n_right, sl_row *rows, int32_t *path) {
    int32_t n = 0, right = 0;
    while (right < n_right) {
        if (n < ROWS_MAX - n_right && check_below(r, 2)) { /* wrong, below any earlier row */
            rows[n] = (sl_row){0, check_below(r, n + 1) - 1, 0};
            world_tokens(r, model, &rows[n].token, 1);
        } else {
            rows[n] = (sl_row){chain[right], right == 0 ? -1 : path[right - 1], 0};
            path[right++] = n;
        }
        n++;
    }
    rows[path[n_right - 1]].want_logits = 1;
    return n;
}

/* Mutations: do not move the accepted cells on commit; move them in descending order;
 * keep a rejected row's cell. */
static void rejected_branches_leave_no_trace(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    check_random r = {.seed = 31};
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 31);
    float *logits = floats(1, (size_t)ref.vocab), *kv = floats(1, ref.kv_floats);
    for (int32_t t = 0; t < world_share(20, 4); t++) {
        sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, SL_KV_F16, SL_KV_F16);
        for (int32_t done = 0; done < CHAIN;) {
            sl_row rows[ROWS_MAX];
            int32_t path[ROWS_MAX];
            const int32_t right = 1 + check_below(&r, sl__min_i32(9, CHAIN - done));
            const int32_t n = draw_draft(&r, model, ref.chain + done, right, rows, path);
            assert_int_equal(sl_session_forward(s, rows, n, logits, NULL, NULL, NULL), SL_OK);
            sl_session_commit(s, path, right);
            done += right;
            CHECK_CASE(same(logits, ref.chain_logits + (size_t)(done - 1) * (size_t)ref.vocab,
                            (size_t)ref.vocab),
                       "run %d: logits at %d", t, done);
        }
        for (int32_t i = 0; i < CHAIN; i++) {
            world_read_kv(s, i, kv);
            CHECK_CASE(same(kv, ref.chain_kv + (size_t)i * ref.kv_floats, ref.kv_floats),
                       "run %d: cache at %d", t, i);
        }
        sl_session_close(&s);
    }
    free(logits);
    free(kv);
    drop_reference(&ref);
    sl_model_close(&model);
}

/* Mutations: keep the length on rewind; let commit(0) or a new pass keep the old rows. */
static void rewinding_and_dropping_a_pass_go_back_exactly(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 32);
    check_random r = {.seed = 33};
    const size_t vocab = (size_t)ref.vocab;
    float *logits = floats(3, vocab);
    sl_session *s = world_session(model, TINY_CONTEXT, 1, 16, SL_KV_F16, SL_KV_F16);
    for (int32_t t = 0; t < 40; t++) {
        const int32_t keep = check_below(&r, sl_session_length(s) + 1);
        sl_session_rewind(s, keep);
        assert_int_equal(sl_session_length(s), keep);
        sl_row junk[3] = {{1, -1, 1}, {2, 0, 1}, {3, -1, 1}}; /* a pass nobody keeps */
        assert_int_equal(sl_session_forward(s, junk, 3, logits, NULL, NULL, NULL), SL_OK);
        if (t % 2) sl_session_commit(s, NULL, 0);
        assert_int_equal(sl_session_length(s), keep);
        const int32_t n = 1 + check_below(&r, CHAIN - keep > 20 ? 20 : CHAIN - keep);
        if (keep + n > CHAIN) continue;
        assert_int_equal(sl_session_eval(s, ref.chain + keep, n, logits, NULL), SL_OK);
        CHECK_CASE(same(logits, ref.chain_logits + (size_t)(keep + n - 1) * vocab, vocab),
                   "after a rewind to %d, %d tokens", keep, n);
        assert_memory_equal(sl_session_tokens(s), ref.chain, (size_t)(keep + n) * sizeof(sl_token));
    }
    sl_session_close(&s);
    free(logits);
    drop_reference(&ref);
    sl_model_close(&model);
}

/* ---- errors ---- */

typedef struct bad_pass {
    const char *name;
    sl_row rows[4];
    int32_t n_rows;
    sl_budget budget;
    sl_status status;
    const char *says; /* part of the message */
} bad_pass;

static const bad_pass bad_passes[] = {
    /* clang-format off */
    {"no rows",             {{1, -1, 0}}, 0, {SL_BUDGET_OFF, 0}, SL_E_ARG, "0 rows"},
    {"rows below zero",     {{1, -1, 0}}, -1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "-1 rows"},
    {"more than the batch", {{1, -1, 0}, {1, 0, 0}, {1, 1, 0}, {1, 2, 0}}, 4, {SL_BUDGET_OFF, 0}, SL_E_ARG, "4 rows"},
    {"token below zero",    {{1, -1, 0}, {-1, 0, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: token -1"},
    {"token past the end",  {{TINY_VOCAB, -1, 0}}, 1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 0: token 301"},
    {"parent below -1",     {{1, -1, 0}, {1, -2, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent -2"},
    {"its own parent",      {{1, -1, 0}, {1, 1, 0}}, 2, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent 1"},
    {"a later parent",      {{1, -1, 0}, {1, 2, 0}, {1, 0, 0}}, 3, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 1: parent 2"},
    {"a parent at row 0",   {{1, 0, 0}}, 1, {SL_BUDGET_OFF, 0}, SL_E_ARG, "row 0: parent 0"},
    {"budget below k",      {{1, -1, 0}, {1, 0, 0}}, 2, {SL_BUDGET_SUBSTITUTE, 1}, SL_E_ARG, "budget 1"},
    {"budget above all",    {{1, -1, 0}, {1, 0, 0}}, 2, {SL_BUDGET_TRUNCATE, 6}, SL_E_ARG, "budget 6"},
    /* clang-format on */
};

/* Mutations: drop one of the checks (an assert or a crash then ends the test); let a
 * refused call touch the length or the rows that can be committed. */
static void a_bad_pass_is_refused_and_changes_nothing(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    const size_t vocab = (size_t)sl_model_facts_of(model)->vocab;
    float *before = floats(1, vocab), *after = floats(1, vocab);
    sl_session *s = world_session(model, 16, 1, 3, SL_KV_F16, SL_KV_F16);
    const sl_row good = {5, -1, 1};
    world_step(s, 7, NULL);
    assert_int_equal(sl_session_forward(s, &good, 1, before, NULL, NULL, NULL), SL_OK);
    for (size_t i = 0; i < SL_COUNT(bad_passes); i++) {
        const bad_pass *bad = &bad_passes[i];
        sl_error err = {0};
        CHECK_CASE(sl_session_forward(s, bad->rows, bad->n_rows, NULL, &bad->budget, NULL, &err) ==
                       bad->status,
                   "%s", bad->name);
        CHECK_CASE(err.code == bad->status && strstr(err.text, bad->says), "%s: \"%s\"", bad->name,
                   err.text);
        assert_int_equal(sl_session_length(s), 1);
        assert_int_equal(sl_session_forward(s, &good, 1, after, NULL, NULL, NULL), SL_OK);
        CHECK_CASE(same(before, after, vocab), "%s", bad->name);
    }
    sl_session_close(&s);
    free(before);
    free(after);
    sl_model_close(&model);
}

/* Mutation: raise SL_LOGIT_ROWS_MAX in the check alone. */
static void more_rows_than_can_have_logits_are_refused(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_row rows[SL_LOGIT_ROWS_MAX + 1];
    float *logits = floats(SL_LOGIT_ROWS_MAX + 1, TINY_VOCAB);
    sl_session *s = world_session(model, 128, 1, 128, SL_KV_F16, SL_KV_F16);
    for (int32_t i = 0; i <= SL_LOGIT_ROWS_MAX; i++)
        rows[i] = (sl_row){i, i - 1, 1};
    sl_error err = {0};
    assert_int_equal(sl_session_forward(s, rows, SL_LOGIT_ROWS_MAX + 1, logits, NULL, NULL, &err),
                     SL_E_ARG);
    assert_non_null(strstr(err.text, "want logits"));
    assert_int_equal(sl_session_forward(s, rows, SL_LOGIT_ROWS_MAX, logits, NULL, NULL, NULL),
                     SL_OK);
    sl_session_close(&s);
    free(logits);
    sl_model_close(&model);
}

/* Mutations: off by one in the room that is left; count rows instead of positions (a wide
 * tree fits where a chain does not). */
static void the_context_ends_where_it_says(void **state) {
    (void)state;
    enum { ROOM = 8 };
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    sl_session *s = world_session(model, ROOM, 1, 16, SL_KV_F16, SL_KV_F16);
    sl_token tokens[ROOM + 1];
    sl_row rows[12];
    sl_error err = {0};
    check_random r = {.seed = 4};
    world_tokens(&r, model, tokens, ROOM + 1);
    assert_int_equal(sl_session_eval(s, tokens, ROOM + 1, NULL, &err), SL_E_CONTEXT);
    assert_int_equal(sl_session_length(s), 0);
    assert_int_equal(sl_session_eval(s, tokens, ROOM - 1, NULL, NULL), SL_OK);
    for (int32_t i = 0; i < 12; i++)
        rows[i] = (sl_row){i, -1, 0};
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, NULL), SL_OK);
    const int32_t last = 11;
    rows[11].parent = 10; /* one too deep */
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, &err), SL_E_CONTEXT);
    assert_int_equal(err.code, SL_E_CONTEXT);
    rows[11].parent = -1;
    assert_int_equal(sl_session_forward(s, rows, 12, NULL, NULL, NULL, NULL), SL_OK);
    sl_session_commit(s, &last, 1);
    assert_int_equal(sl_session_length(s), ROOM);
    assert_int_equal(sl_session_forward(s, rows, 1, NULL, NULL, NULL, &err), SL_E_CONTEXT);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Mutation: leave out the check of the router's numbers. */
static void a_router_that_is_not_finite_is_an_error_with_its_place(void **state) {
    (void)state;
    tiny_shape shape = tiny_shapes[0];
    char path[WORLD_PATH_MAX];
    shape.poison = "blk.1.ffn_gate_inp.weight";
    world_path(path, "poison.gguf");
    tiny_write(&shape, 5, path);
    sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
    sl_session *s = world_session(model, 16, 1, 4, SL_KV_F16, SL_KV_F16);
    const sl_token tokens[3] = {1, 2, 3};
    sl_error err = {0};
    assert_int_equal(sl_session_eval(s, tokens, 3, NULL, &err), SL_E_NUMBER);
    assert_non_null(strstr(err.text, "layer 1"));
    assert_int_equal(sl_session_length(s), 0);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* ---- budgets that must change nothing ---- */

/* Mutations: apply the budget to one-row passes; let B = all experts drop a tie. */
static void a_budget_of_all_experts_and_a_row_alone_are_exact(void **state) {
    (void)state;
    sl_model *model = world_open(small_model(), NULL, SL_LAYOUT_PACKED);
    reference ref;
    make_reference(&ref, small_model(), (kv_types){SL_KV_F16, SL_KV_F16}, 34);
    const size_t vocab = (size_t)ref.vocab;
    const sl_model_facts *facts = sl_model_facts_of(model);
    float *logits = floats(ROWS_MAX, vocab);
    sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, SL_KV_F16, SL_KV_F16);
    check_random r = {.seed = 35};
    assert_int_equal(sl_session_eval(s, ref.prefix, PREFIX, NULL, NULL), SL_OK);
    int32_t changed = 0;
    for (int32_t t = 0; t < 40; t++) {
        batch b;
        sl_pass_report report;
        draw_batch(&r, &ref, &b);
        sl_budget budget = {t % 2 ? SL_BUDGET_SUBSTITUTE : SL_BUDGET_TRUNCATE, facts->experts};
        assert_int_equal(sl_session_forward(s, b.rows, b.n, logits, &budget, &report, NULL), SL_OK);
        assert_float_equal(report.budget_mass, 1, 1e-12);
        const float *have = logits;
        for (int32_t i = 0; i < b.n; i++)
            if (b.rows[i].want_logits) {
                CHECK_CASE(same(have, ref.logits + (size_t)b.node_of[i] * vocab, vocab),
                           "B = N, row %d", i);
                have += vocab;
            }
        budget.experts = facts->experts_per_token; /* bites, unless the row is alone */
        b.rows[0].want_logits = 1;
        assert_int_equal(sl_session_forward(s, b.rows, b.n, logits, &budget, &report, NULL), SL_OK);
        assert_true(report.max_experts <= budget.experts);
        changed += !same(logits, ref.logits + (size_t)b.node_of[0] * vocab, vocab);
        assert_int_equal(sl_session_forward(s, b.rows, 1, logits, &budget, &report, NULL), SL_OK);
        CHECK_CASE(same(logits, ref.logits + (size_t)b.node_of[0] * vocab, vocab), "alone, B = k");
    }
    assert_true(changed > 0); /* the budget was really in force */
    sl_session_close(&s);
    free(logits);
    drop_reference(&ref);
    sl_model_close(&model);
}

/* ---- several sequences in one pass ---- */

/* Three sessions lend their caches, the first one also its forward pass and threads. */
static void open_sequences(sl_session *q[3], const sl_model *model, int32_t threads) {
    for (int32_t i = 0; i < 3; i++) {
        const sl_kv_type type = i == 1 ? SL_KV_F32 : SL_KV_F16;
        q[i] = world_session(model, TINY_CONTEXT, threads, ROWS_MAX, type, type);
    }
}

/* Each sequence goes through its own tokens, alone or with the others: random shares of
 * every pass, rows interleaved; out [3][CHAIN][vocab] logits. */
static void run_sequences(const sl_model *model, bool together, int32_t threads,
                          sl_token tokens[3][CHAIN], float *out) {
    sl_session *q[3];
    check_random r = {.seed = 50};
    const size_t vocab = (size_t)model->facts.vocab;
    static const int32_t lengths[3] = {CHAIN, 40, 9};
    float *logits = floats(ROWS_MAX, vocab);
    open_sequences(q, model, threads);
    sl__kv *const caches[] = {&q[0]->kv, &q[1]->kv, &q[2]->kv};
    for (;;) {
        sl__row rows[ROWS_MAX];
        int32_t n = 0, taken[3] = {0}, newest[3] = {-1, -1, -1};
        const int32_t wanted = together ? 1 + check_below(&r, 20) : 1;
        for (int32_t tries = 0; n < wanted && tries < 200; tries++) {
            const int32_t s = check_below(&r, 3), at = caches[s]->length + taken[s];
            if (at >= lengths[s]) continue;
            rows[n] = (sl__row){tokens[s][at], at, newest[s], s, true};
            newest[s] = n++;
            taken[s]++;
        }
        if (n == 0) break;
        const sl__pass pass = {.rows = rows, .n_rows = n, .caches = caches, .logits = logits};
        sl_pass_report report;
        assert_int_equal(sl__forward_run(q[0]->forward, q[0]->pool, &pass, &report, NULL), SL_OK);
        for (int32_t i = 0; i < n; i++)
            memcpy(out + ((size_t)rows[i].sequence * CHAIN + (size_t)rows[i].position) * vocab,
                   logits + (size_t)i * vocab, vocab * sizeof *out);
        for (int32_t s = 0; s < 3; s++) {
            int32_t cells[ROWS_MAX];
            for (int32_t i = 0; i < taken[s]; i++)
                cells[i] = caches[s]->length + i;
            sl__kv_commit(caches[s], cells, taken[s]);
        }
    }
    for (int32_t i = 0; i < 3; i++)
        sl_session_close(&q[i]);
    free(logits);
}

/* Mutations: number cells by pass rows instead of the sequence's own; let a tile of
 * attention span two sequences; take the first sequence's cache types for all. */
static void sequences_in_one_pass_do_not_touch_each_other(void **state) {
    (void)state;
    static const int32_t counts[] = {1, 3};
    for (int32_t shape = 0; shape < n_tiny_shapes; shape += 3) {
        char path[WORLD_PATH_MAX];
        world_path(path, tiny_shapes[shape].name);
        tiny_write(&tiny_shapes[shape], (uint64_t)shape, path);
        sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
        const size_t n = 3 * CHAIN * (size_t)model->facts.vocab;
        float *alone = floats(1, n), *company = floats(1, n);
        sl_token tokens[3][CHAIN];
        check_random r = {.seed = 51};
        world_tokens(&r, model, tokens[0], 3 * CHAIN);
        run_sequences(model, false, 1, tokens, alone);
        for (size_t t = 0; t < SL_COUNT(counts); t++) {
            memset(company, 0, n * sizeof *company);
            run_sequences(model, true, counts[t], tokens, company);
            CHECK_CASE(same(alone, company, n), "%s, %d threads", tiny_shapes[shape].name,
                       counts[t]);
        }
        free(alone);
        free(company);
        sl_model_close(&model);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_row_has_the_same_bits_in_any_company_for_every_type),
    cmocka_unit_test(a_row_of_the_embedded_model_has_the_same_bits_in_any_company),
    cmocka_unit_test(rejected_branches_leave_no_trace),
    cmocka_unit_test(rewinding_and_dropping_a_pass_go_back_exactly),
    cmocka_unit_test(a_bad_pass_is_refused_and_changes_nothing),
    cmocka_unit_test(more_rows_than_can_have_logits_are_refused),
    cmocka_unit_test(the_context_ends_where_it_says),
    cmocka_unit_test(a_router_that_is_not_finite_is_an_error_with_its_place),
    cmocka_unit_test(a_budget_of_all_experts_and_a_row_alone_are_exact),
    cmocka_unit_test(sequences_in_one_pass_do_not_touch_each_other),
};

WORLD_MAIN(tests)

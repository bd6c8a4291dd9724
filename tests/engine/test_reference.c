/* test_reference.c - against implementations nobody here wrote (tests/golden/README.md).
 *
 * Exact comparisons run on the embedded model dequantised to F32, with an f32 cache, so
 * that the only difference left is the order in which floats are added. */
#include "engine_world.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "sluice_policy.h"

/* ---- reading ---- */

typedef struct reader {
    unsigned char *bytes;
    size_t n, at;
} reader;

static reader read_golden(const char *name) {
    reader r = {0};
    char path[WORLD_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/golden/%s", SL_TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    r.n = (size_t)ftell(f);
    rewind(f);
    r.bytes = malloc(r.n);
    assert_non_null(r.bytes);
    assert_int_equal(fread(r.bytes, 1, r.n, f), r.n);
    assert_int_equal(fclose(f), 0);
    return r;
}

static const void *take(reader *r, size_t n, size_t size) {
    assert_true(n * size <= r->n - r->at);
    const void *p = r->bytes + r->at;
    r->at += n * size;
    return p;
}

static uint32_t take_u32(reader *r) {
    uint32_t v;
    memcpy(&v, take(r, 1, sizeof v), sizeof v);
    return v;
}

/* ---- logits ---- */

#define TIE 1e-5f      /* router choices nearer than this are a matter of rounding */
#define TOLERANCE 1e-4 /* of the position's largest logit                          */

typedef struct comparison {
    int32_t compared, excluded;
    double worst; /* of all compared, difference / largest logit */
} comparison;

/* Largest difference on the sampled entries, relative to the position's largest logit. */
static double difference(const float *have, const float *want, const uint32_t *entries, size_t n,
                         float max_abs) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)have[entries ? entries[i] : i] - (double)want[i]);
        if (!(d <= worst)) worst = d;
    }
    return worst / (double)max_abs;
}

/* Logits of all positions of a sequence, in passes of up to 64 rows. */
static float *evaluate(const sl_model *model, const sl_token *tokens, int32_t n) {
    const size_t vocab = (size_t)sl_model_facts_of(model)->vocab;
    float *logits = malloc((size_t)n * vocab * sizeof *logits);
    assert_non_null(logits);
    sl_session *s = world_session(model, n, 1, 64, SL_KV_F32, SL_KV_F32);
    for (int32_t done = 0; done < n;) {
        sl_row rows[64];
        int32_t path[64];
        const int32_t count = sl__min_i32(64, n - done);
        for (int32_t i = 0; i < count; i++) {
            rows[i] = (sl_row){tokens[done + i], i - 1, 1};
            path[i] = i;
        }
        assert_int_equal(
            sl_session_forward(s, rows, count, logits + (size_t)done * vocab, NULL, NULL, NULL),
            SL_OK);
        sl_session_commit(s, path, count);
        done += count;
    }
    sl_session_close(&s);
    return logits;
}

/* A position counts unless a router choice at or before it was too close to call: another
 * expert leaves a trace in the cache. Such positions are counted, and checked after all
 * if this engine happened to choose as the reference did. */
static void compare_sequence(reader *r, const sl_model *model, const uint32_t *entries,
                             size_t n_entries, comparison *c) {
    const size_t vocab = (size_t)sl_model_facts_of(model)->vocab;
    const uint32_t n = take_u32(r), n_sampled = take_u32(r), n_full = take_u32(r);
    (void)take_u32(r);
    const sl_token *tokens = take(r, n, sizeof *tokens);
    const float *gap = take(r, n, sizeof *gap);
    (void)take(r, n, sizeof(float)); /* gaps in logit */
    const uint32_t *sampled = take(r, n_sampled, sizeof *sampled);
    const float *max_abs = take(r, n_sampled, sizeof *max_abs);
    const float *want = take(r, n_sampled * n_entries, sizeof *want);
    const uint32_t *full = take(r, n_full, sizeof *full);
    const float *want_full = take(r, n_full * vocab, sizeof *want_full);
    float *have = evaluate(model, tokens, (int32_t)n);
    for (uint32_t i = 0; i < n_sampled; i++) {
        const double d = difference(have + sampled[i] * vocab, want + i * n_entries, entries,
                                    n_entries, max_abs[i]);
        if (gap[sampled[i]] < TIE) {
            c->excluded++;
            continue;
        }
        CHECK_CASE(d <= TOLERANCE, "position %u of %u: %.3g of the largest logit", sampled[i], n,
                   d);
        c->compared++;
        if (d > c->worst) c->worst = d;
    }
    for (uint32_t i = 0; i < n_full; i++) {
        float largest = 0;
        for (size_t v = 0; v < vocab; v++)
            largest = fmaxf(largest, fabsf(want_full[i * vocab + v]));
        if (gap[full[i]] >= TIE)
            CHECK_CASE(difference(have + full[i] * vocab, want_full + i * vocab, NULL, vocab,
                                  largest) <= TOLERANCE,
                       "all logits of position %u of %u", full[i], n);
    }
    free(have);
}

/* sequences: how many of them, at most. */
static comparison compare_logits(const char *isa, uint32_t sequences) {
    comparison c = {0};
    reader r = read_golden("hf_logits.bin");
    assert_memory_equal(take(&r, 8, 1), "SLHFLOG1", 8);
    (void)take(&r, 32, 1);
    sl_model *model = world_open(world_f32_model(), isa, SL_LAYOUT_PACKED);
    assert_int_equal(take_u32(&r), sl_model_facts_of(model)->vocab);
    const uint32_t n_sequences = take_u32(&r), n_entries = take_u32(&r);
    (void)take_u32(&r);
    const uint32_t *entries = take(&r, n_entries, sizeof *entries);
    for (uint32_t i = 0; i < n_sequences && i < sequences; i++)
        compare_sequence(&r, model, entries, n_entries, &c);
    if (sequences >= n_sequences) assert_int_equal(r.at, r.n);
    sl_model_close(&model);
    free(r.bytes);
    return c;
}

/* Mutations: leave the expert weights unnormalised, pair RoPE's neighbours, drop the norm
 * of the keys, take eps for another: all are far beyond 1e-4. */
static void logits_are_those_of_hugging_face(void **state) {
    (void)state;
    const comparison c = compare_logits(NULL, world_is_slow() ? 2 : UINT32_MAX);
    print_message("  %d positions, worst %.2g of the largest logit; %d excluded (router tie)\n",
                  c.compared, c.worst, c.excluded);
    assert_true(c.compared > (world_is_slow() ? 100 : 300) && c.excluded < c.compared / 4);
}

/* The same for every table, on the first sequence: a table that is wrong, but the same
 * wrong everywhere test_company.c looks, is found here. */
static void every_table_is_near_the_reference(void **state) {
    const char *isa;
    (void)state;
    for (int32_t i = 1; (isa = world_table(i)) != NULL; i++)
        assert_true(compare_logits(isa, 1).compared > 0);
}

/* ---- greedy text ---- */

enum { GREEDY_MAX = 128, PROMPT_MAX = 1024 };

static int32_t take_ids(const json_t *array, sl_token *out, int32_t max) {
    const int32_t n = (int32_t)json_array_size(array);
    assert_true(n <= max);
    for (int32_t i = 0; i < n; i++)
        out[i] = (sl_token)json_integer_value(json_array_get(array, (size_t)i));
    return n;
}

/* True if the whole text is llama.cpp's; else says where it leaves. */
static bool same_text(sl_session *s, const json_t *line) {
    sl_token prompt[PROMPT_MAX], want[GREEDY_MAX];
    const int32_t n_prompt = take_ids(json_object_get(line, "prompt_ids"), prompt, PROMPT_MAX);
    const int32_t n_want = take_ids(json_object_get(line, "output_ids"), want, GREEDY_MAX);
    const json_t *margins = json_object_get(line, "margins");
    const char *stop = json_string_value(json_object_get(line, "stop"));
    sl_generate_params params = sl_generate_params_default();
    sl_generate_stats stats;
    sl_error err = {0};
    assert_non_null(stop);
    params.sampling.temperature = 0;
    params.max_tokens = GREEDY_MAX;
    params.spec_policy = "static:4";
    sl_session_rewind(s, 0);
    CHECK_CASE(sl_generate(s, prompt, n_prompt, &params, &stats, &err) == SL_OK, "%s", err.text);
    /* All emitted tokens but the newest are in the session. */
    const sl_token *have = sl_session_tokens(s) + n_prompt;
    const int32_t n_have = sl_session_length(s) - n_prompt;
    int32_t i = 0;
    while (i < n_have && i < n_want && have[i] == want[i])
        i++;
    uint64_t hash = SL_HASH_SEED;
    for (int32_t t = 0; t < n_want; t++)
        hash = sl__hash_bytes(hash, &want[t], sizeof want[t]);
    if (stats.tokens == n_want && stats.token_hash == hash &&
        (stats.stop == SL_STOP_LENGTH) == (strcmp(stop, "length") == 0))
        return true;
    print_message("  %s leaves at token %d of %d, where llama.cpp's margin is %.3g\n",
                  json_string_value(json_object_get(line, "id")), i, n_want,
                  json_number_value(json_array_get(margins, (size_t)i)));
    return false;
}

/* Mutations: break ties to the higher id; begin positions at 1; anything that the logits
 * above would show, seen over long texts. */
static void greedy_texts_are_those_of_llama_cpp(void **state) {
    (void)state;
    FILE *f = fopen(SL_TEST_DATA "/golden/greedy_llama_cpp.jsonl", "rb");
    char *text = NULL;
    size_t size = 0;
    int32_t n = 0, equal = 0;
    const int32_t wanted = world_share(50, 2);
    assert_non_null(f);
    assert_true(getline(&text, &size, f) > 0); /* about the file */
    sl_model *model = world_open(world_f32_model(), NULL, SL_LAYOUT_PACKED);
    sl_session *s = world_session(model, 1024, 1, 64, SL_KV_F32, SL_KV_F32);
    while (n < wanted && getline(&text, &size, f) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        assert_non_null(line);
        equal += same_text(s, line);
        n++;
        json_decref(line);
    }
    print_message("  %d of %d texts are equal\n", equal, n);
    assert_int_equal(n, wanted);
    assert_true(n - equal <= 2);
    sl_session_close(&s);
    sl_model_close(&model);
    free(text);
    assert_int_equal(fclose(f), 0);
}

/* ---- expert budget ---- */

enum { EXPERTS_MAX = 64, BATCH_MAX = 256 };

static void check_selection(const float *p, const uint8_t *natural, int32_t rows, int32_t experts,
                            int32_t k, int32_t budget, reader *r) {
    uint8_t allowed[EXPERTS_MAX];
    int32_t selected[BATCH_MAX * 8];
    slp_budget_report report;
    const uint32_t low = take_u32(r), high = take_u32(r);
    float mass;
    memcpy(&mass, take(r, 1, sizeof mass), sizeof mass);
    const uint8_t *substitute = take(r, (size_t)(rows * k), 1);
    const uint8_t *kept = take(r, (size_t)rows, 1);
    (void)take(r, (size_t)(3 - (rows + 3) % 4), 1);

    slp_budget b = {SLP_BUDGET_SUBSTITUTE, budget};
    assert_int_equal(slp_moespec_select(p, NULL, rows, experts, k, b, allowed, selected, &report),
                     SLP_OK);
    for (int32_t e = 0; e < experts; e++)
        assert_int_equal(allowed[e], (e < 32 ? low >> e : high >> (e - 32)) & 1);
    for (int32_t i = 0; i < rows * k; i++)
        assert_int_equal(selected[i], substitute[i]);
    CHECK_CASE(fabs(report.mass_allowed - (double)mass) <= 1e-6, "mass %.9g, expected %.9g",
               report.mass_allowed, (double)mass);

    b.mode = SLP_BUDGET_TRUNCATE;
    assert_int_equal(slp_moespec_select(p, NULL, rows, experts, k, b, allowed, selected, &report),
                     SLP_OK);
    for (int32_t i = 0; i < rows * k; i++)
        assert_int_equal(selected[i], kept[i / k] >> (i % k) & 1 ? natural[i] : -1);
}

/* Mutations: sum in float, give a tie to the higher index, rank truncated experts anew. */
static void budget_selections_are_those_of_the_independent_rule(void **state) {
    (void)state;
    reader r = read_golden("moespec.bin");
    assert_memory_equal(take(&r, 8, 1), "SLMOESP1", 8);
    (void)take(&r, 32, 1);
    const int32_t experts = (int32_t)take_u32(&r), k = (int32_t)take_u32(&r);
    const uint32_t n_batches = take_u32(&r), n_budgets = take_u32(&r);
    const uint32_t *budgets = take(&r, n_budgets, sizeof *budgets);
    int32_t checked = 0;
    assert_true(experts <= EXPERTS_MAX && k == 8);
    for (uint32_t i = 0; i < n_batches; i++) {
        (void)take_u32(&r); /* layer */
        const int32_t rows = (int32_t)take_u32(&r);
        assert_true(rows <= BATCH_MAX);
        const float *p = take(&r, (size_t)(rows * experts), sizeof *p);
        const uint8_t *natural = take(&r, (size_t)(rows * k), 1);
        for (uint32_t b = 0; b < n_budgets; b++, checked++)
            check_selection(p, natural, rows, experts, k, (int32_t)budgets[b], &r);
    }
    assert_int_equal(r.at, r.n);
    print_message("  %u batches, %d selections of either kind\n", n_batches, checked);
    free(r.bytes);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(logits_are_those_of_hugging_face),
    cmocka_unit_test(every_table_is_near_the_reference),
    cmocka_unit_test(greedy_texts_are_those_of_llama_cpp),
    cmocka_unit_test(budget_selections_are_those_of_the_independent_rule),
};

WORLD_MAIN(tests)

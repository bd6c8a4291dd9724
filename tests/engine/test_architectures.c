/* test_architectures.c - every architecture against an implementation nobody here wrote, and
 * against itself.
 *
 * The models are tiny, random and oddly set; tools/golden_architectures.py made them and
 * their logits with Hugging Face's transformers (tests/golden/README.md). For each:
 * logits as the reference's; the same bits in any company, chunking, number of threads,
 * layout and kernel table; the same text with and without speculation; facts that add
 * up; clear errors when something is missing. */
#include "engine_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { CONTEXT = 256, BATCH = 64, PREFIX = 139, NODES = 24 };

/* What each file holds, beside its logits. */
typedef struct golden {
    const char *name;
    int32_t experts, experts_per_token, dense_layers, dense_width, shared_width, window;
} golden;

static const golden goldens[] = {
    {"olmoe", 5, 2, 0, 0, 0, 0},
    {"olmoe_renormalised_linear", 5, 2, 0, 0, 0, 0},
    {"qwen3_yarn_tied", 0, 0, 2, 48, 0, 0},
    {"qwen3moe_one_kv_head_tied", 6, 3, 0, 0, 0, 0},
    {"qwen3moe_not_renormalised", 6, 3, 0, 0, 0, 0},
    {"llama_llama3_tied", 0, 0, 2, 40, 0, 0},
    {"llama_biases", 0, 0, 2, 40, 0, 0},
    {"mixtral", 4, 2, 0, 0, 0, 0},
    {"mixtral_window", 4, 2, 0, 0, 0, 50},
    {"qwen2moe", 4, 2, 0, 0, 40, 0},
    {"deepseek", 4, 2, 1, 48, 32, 0},
    {"deepseek_scaled", 4, 2, 2, 48, 32, 0},
    {"phimoe_short", 4, 2, 0, 0, 0, 0},
    {"phimoe_long", 4, 2, 0, 0, 0, 0},
    {"olmoe_yarn", 5, 2, 0, 0, 0, 0},
    {"qwen3moe_yarn", 6, 3, 0, 0, 0, 0},
    {"mixtral_wide_heads_linear", 4, 2, 0, 0, 0, 0},
    {"qwen2moe_renormalised_tied_yarn", 4, 2, 0, 0, 40, 0},
    {"deepseek_wide_heads_linear", 4, 2, 0, 0, 32, 0},
    {"phimoe_wide_heads", 4, 2, 0, 0, 0, 0},
    {"qwen3moe_biases_longrope", 6, 3, 0, 0, 0, 0},
    {"olmoe_biases", 5, 2, 0, 0, 0, 0},
    {"deepseek_none_shared", 4, 2, 1, 48, 0, 0},
};

static void golden_path(char out[WORLD_PATH_MAX], const char *name, const char *ending) {
    (void)snprintf(out, WORLD_PATH_MAX, "%s/golden/arch/%s.%s", SL_TEST_DATA, name, ending);
}

static sl_model *open_golden(const char *name, const char *isa, sl_weight_layout layout) {
    char path[WORLD_PATH_MAX];
    golden_path(path, name, "gguf");
    return world_open(path, isa, layout);
}

static float *floats(size_t n) {
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

/* Evaluate and commit a chain in passes of `chunk` rows; logits [n][vocab] of all rows. */
static void evaluate(sl_session *s, const sl_token *tokens, int32_t n, int32_t chunk,
                     float *logits) {
    const size_t vocab = (size_t)sl_model_facts_of(sl_session_model(s))->vocab;
    for (int32_t done = 0; done < n;) {
        sl_row rows[BATCH];
        int32_t path[BATCH];
        const int32_t count = sl__min_i32(chunk, n - done);
        sl_error err = {0};
        for (int32_t i = 0; i < count; i++) {
            rows[i] = (sl_row){tokens[done + i], i - 1, 1};
            path[i] = i;
        }
        CHECK_CASE(sl_session_forward(s, rows, count, logits + (size_t)done * vocab, NULL, NULL,
                                      &err) == SL_OK,
                   "%s", err.text);
        sl_session_commit(s, path, count);
        done += count;
    }
}

/* ---- logits ---- */

#define TIE 1e-5f      /* router decisions nearer than this are a matter of rounding */
#define TOLERANCE 1e-4 /* of the position's largest logit                            */

typedef struct comparison {
    int32_t compared, excluded;
    double worst;
} comparison;

/* A router tie excludes its position and what follows: another expert leaves a trace. */
static comparison compare_logits(const golden *g, const char *isa) {
    char path[WORLD_PATH_MAX];
    size_t n_bytes, at = 40;
    uint32_t counts[4];
    golden_path(path, g->name, "bin");
    unsigned char *bytes = world_read_file(path, &n_bytes);
    assert_memory_equal(bytes, "SLARCHL1", 8);
    memcpy(counts, bytes + at, sizeof counts);
    at += sizeof counts;
    const uint32_t vocab = counts[0], n = counts[1], n_sampled = counts[2];
    assert_true(n <= CONTEXT && n_bytes == at + (2 * n + n_sampled + n_sampled * vocab) * 4);
    const sl_token *tokens = (const void *)(bytes + at);
    const float *gap = (const void *)(tokens + n);
    const uint32_t *sampled = (const void *)(gap + n);
    const float *want = (const void *)(sampled + n_sampled);

    comparison c = {0};
    sl_model *model = open_golden(g->name, isa, SL_LAYOUT_PACKED);
    assert_int_equal(vocab, sl_model_facts_of(model)->vocab);
    sl_session *s = world_session(model, (int32_t)n, 1, BATCH, SL_KV_F32, SL_KV_F32);
    float *have = floats((size_t)n * vocab);
    evaluate(s, tokens, (int32_t)n, BATCH, have);
    bool tie = false;
    for (uint32_t p = 0, i = 0; p < n && i < n_sampled; p++) {
        tie |= gap[p] < TIE;
        if (sampled[i] != p) continue;
        double largest = 0, difference = 0;
        for (uint32_t v = 0; v < vocab; v++) {
            largest = fmax(largest, fabs((double)want[i * vocab + v]));
            difference =
                fmax(difference, fabs((double)have[p * vocab + v] - (double)want[i * vocab + v]));
        }
        i++;
        c.excluded += tie;
        c.compared += !tie;
        if (tie) continue;
        CHECK_CASE(difference <= TOLERANCE * largest, "%s, position %u: %.3g of the largest logit",
                   g->name, p, difference / largest);
        c.worst = fmax(c.worst, difference / largest);
    }
    sl_session_close(&s);
    sl_model_close(&model);
    free(have);
    free(bytes);
    return c;
}

/* Mutations: any switch of any arch_*.c, any key left unread, any bias left out; RoPE's
 * scaling to or from the wrong end; a window one position too wide or narrow. */
static void logits_are_those_of_hugging_face(void **state) {
    const char *isa;
    (void)state;
    for (size_t i = 0; i < SL_COUNT(goldens); i++) {
        comparison c = {0};
        for (int32_t t = 0; (isa = world_table(t)) != NULL; t++)
            c = compare_logits(&goldens[i], isa);
        print_message("  %-26s %d positions, worst %.2g of the largest logit; %d excluded\n",
                      goldens[i].name, c.compared, c.worst, c.excluded);
        assert_true(c.compared >= 28);
    }
}

/* ---- same bits ---- */

/* Bits every way to evaluate must give: a chain, then a tree below its first PREFIX. */
typedef struct reference {
    sl_token chain[CONTEXT - BATCH];
    sl_token node[NODES];
    int32_t parent[NODES];
    size_t vocab, kv;
    float *logits, *chain_kv; /* of the chain */
    float *node_logits;
} reference;

enum { CHAIN = CONTEXT - BATCH };

static void evaluate_children(reference *ref, sl_session *s, int32_t parent) {
    for (int32_t i = parent + 1; i < NODES; i++) {
        if (ref->parent[i] != parent) continue;
        const int32_t length = sl_session_length(s);
        world_step(s, ref->node[i], ref->node_logits + (size_t)i * ref->vocab);
        evaluate_children(ref, s, i);
        sl_session_rewind(s, length);
    }
}

static void make_reference(reference *ref, const char *name) {
    check_random r = {.seed = 7};
    sl_model *model = open_golden(name, NULL, SL_LAYOUT_PACKED);
    ref->vocab = (size_t)sl_model_facts_of(model)->vocab;
    ref->kv = world_kv_floats(model);
    ref->logits = floats(CHAIN * ref->vocab);
    ref->chain_kv = floats(CHAIN * ref->kv);
    ref->node_logits = floats(NODES * ref->vocab);
    world_tokens(&r, model, ref->chain, CHAIN);
    world_tokens(&r, model, ref->node, NODES);
    for (int32_t i = 0; i < NODES; i++)
        ref->parent[i] = check_below(&r, 5) < 3 ? i - 1 : check_below(&r, i + 1) - 1;
    sl_session *s = world_session(model, CONTEXT, 1, 1, SL_KV_F16, SL_KV_F16);
    evaluate(s, ref->chain, CHAIN, 1, ref->logits);
    for (int32_t i = 0; i < CHAIN; i++)
        world_read_kv(s, i, ref->chain_kv + (size_t)i * ref->kv);
    sl_session_rewind(s, PREFIX);
    evaluate_children(ref, s, -1);
    sl_session_close(&s);
    sl_model_close(&model);
}

static void drop_reference(reference *ref) {
    free(ref->logits);
    free(ref->chain_kv);
    free(ref->node_logits);
}

/* The chain in passes of `chunk` rows, then the whole tree in one pass. */
static void compare_bits(const reference *ref, const char *name, const char *isa,
                         sl_weight_layout layout, int32_t threads, int32_t chunk) {
    sl_model *model = open_golden(name, isa, layout);
    sl_session *s = world_session(model, CONTEXT, threads, BATCH, SL_KV_F16, SL_KV_F16);
    float *logits = floats(CHAIN * ref->vocab), *kv = floats(ref->kv);
    sl_row rows[NODES];
    evaluate(s, ref->chain, CHAIN, chunk, logits);
    CHECK_CASE(memcmp(logits, ref->logits, CHAIN * ref->vocab * sizeof *logits) == 0,
               "%s, %s, %d threads, passes of %d: logits", name, isa, threads, chunk);
    for (int32_t i = 0; i < CHAIN; i++) {
        world_read_kv(s, i, kv);
        CHECK_CASE(memcmp(kv, ref->chain_kv + (size_t)i * ref->kv, ref->kv * sizeof *kv) == 0,
                   "%s, %s, %d threads, passes of %d: cache at %d", name, isa, threads, chunk, i);
    }
    sl_session_rewind(s, PREFIX);
    for (int32_t i = 0; i < NODES; i++)
        rows[i] = (sl_row){ref->node[i], ref->parent[i], 1};
    assert_int_equal(sl_session_forward(s, rows, NODES, logits, NULL, NULL, NULL), SL_OK);
    CHECK_CASE(memcmp(logits, ref->node_logits, NODES * ref->vocab * sizeof *logits) == 0,
               "%s, %s, %d threads: logits of a tree", name, isa, threads);
    free(logits);
    free(kv);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Mutations: start a window's scores at the tile's oldest row for all its rows; let the
 * first block be the tile's; group shared rows with the routed ones of another layer. */
static void a_row_has_the_same_bits_in_any_company(void **state) {
    static const struct {
        sl_weight_layout layout;
        int32_t threads, chunk;
    } ways[] = {
        {SL_LAYOUT_PACKED, 1, 64}, {SL_LAYOUT_PACKED, 2, 33}, {SL_LAYOUT_PACKED, 1, 2},
        {SL_LAYOUT_MAPPED, 1, 7},  {SL_LAYOUT_MAPPED, 3, 64},
    };
    const char *isa;
    (void)state;
    for (size_t i = 0; i < SL_COUNT(goldens); i++) {
        reference ref;
        make_reference(&ref, goldens[i].name);
        for (int32_t t = 0; (isa = world_table(t)) != NULL; t++)
            for (size_t w = 0; w < SL_COUNT(ways); w++)
                compare_bits(&ref, goldens[i].name, isa, ways[w].layout, ways[w].threads,
                             ways[w].chunk);
        drop_reference(&ref);
    }
}

/* ---- same text ---- */

static sl_generate_stats generate(sl_session *s, const char *policy) {
    static const sl_token prompt[] = {72, 101, 108, 108, 111, 72, 101, 108, 108, 111, 72, 101};
    sl_generate_params params = sl_generate_params_default();
    sl_generate_stats stats;
    sl_error err = {0};
    params.sampling.temperature = 0;
    params.max_tokens = 150;
    params.spec_policy = policy;
    params.ngram_min = 1;
    sl_session_rewind(s, 0);
    CHECK_CASE(sl_generate(s, prompt, (int32_t)SL_COUNT(prompt), &params, &stats, &err) == SL_OK,
               "%s", err.text);
    return stats;
}

/* Mutations: count a dense layer's groups as the last routed layer's; leave the shared
 * expert's rows where the previous pass put them. */
static void speculation_does_not_change_the_text(void **state) {
    static const char *const policies[] = {"static:3", "static:8", "cascade"};
    int64_t drafted = 0, accepted = 0;
    (void)state;
    for (size_t i = 0; i < SL_COUNT(goldens); i++) {
        sl_model *model = open_golden(goldens[i].name, NULL, SL_LAYOUT_PACKED);
        sl_session *s = world_session(model, CONTEXT, 2, BATCH, SL_KV_F16, SL_KV_F16);
        const sl_generate_stats plain = generate(s, "off");
        for (size_t p = 0; p < SL_COUNT(policies); p++) {
            const sl_generate_stats have = generate(s, policies[p]);
            CHECK_CASE(have.tokens == plain.tokens && have.token_hash == plain.token_hash &&
                           have.logits_hash == plain.logits_hash,
                       "%s, %s", goldens[i].name, policies[p]);
            drafted += have.drafted;
            accepted += have.accepted;
        }
        sl_session_close(&s);
        sl_model_close(&model);
    }
    assert_true(drafted > 500 && accepted > 100);
}

/* ---- facts ---- */

/* Mutations: forget the shared expert or the dense layers in bytes_dense; count experts in
 * layers that have none. */
static void facts_add_up_to_what_a_pass_reads(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COUNT(goldens); i++) {
        const golden *g = &goldens[i];
        sl_model *model = open_golden(g->name, NULL, SL_LAYOUT_PACKED);
        const sl_model_facts *f = sl_model_facts_of(model);
        const int32_t have[] = {f->experts,     f->experts_per_token, f->dense_layers,
                                f->dense_width, f->shared_width,      f->window};
        const int32_t want[] = {g->experts,     g->experts_per_token, g->dense_layers,
                                g->dense_width, g->shared_width,      g->window};
        for (size_t j = 0; j < SL_COUNT(want); j++)
            CHECK_CASE(have[j] == want[j], "%s: fact %zu is %d, expected %d", g->name, j, have[j],
                       want[j]);
        const uint64_t routed = (uint64_t)(f->layers - f->dense_layers) *
                                (uint64_t)f->experts_per_token * f->bytes_per_expert;
        CHECK_CASE(f->bytes_per_token == f->bytes_dense + routed, "%s: bytes per token", g->name);

        sl_session *s = world_session(model, CONTEXT, 1, 1, SL_KV_F16, SL_KV_F16);
        float *logits = floats((size_t)f->vocab);
        sl_pass_report report;
        const sl_row row = {65, -1, 1};
        assert_int_equal(sl_session_forward(s, &row, 1, logits, NULL, &report, NULL), SL_OK);
        CHECK_CASE(report.weight_bytes == f->bytes_per_token, "%s: a row's bytes", g->name);
        CHECK_CASE(report.experts == (f->layers - f->dense_layers) * f->experts_per_token,
                   "%s: a row's experts", g->name);
        CHECK_CASE(report.budget_mass == 1.0, "%s: mass", g->name);
        free(logits);
        sl_session_close(&s);
        sl_model_close(&model);
    }
}

/* ---- errors ---- */

/* One row per way to spoil a file: a name in it is overwritten. */
static const struct {
    const char *model, *from, *to, *text;
} spoilt[] = {
    {"olmoe", "olmoe.expert_count", "olmoe.expert_cnuot", "olmoe.expert_count"},
    {"olmoe", "blk.1.attn_k_norm.weight", "blk.1.attn_k_mron.weight",
     "tensor blk.1.attn_k_norm.weight is missing"},
    {"llama_biases", "blk.1.attn_k.bias", "blk.1.attn_l.bias", "blk.1.attn_l.bias"},
    {"llama_biases", "blk.1.ffn_gate.weight", "blk.1.ffn_gaet.weight",
     "tensor blk.1.ffn_gate.weight is missing"},
    {"deepseek", "blk.1.ffn_up_shexp.weight", "blk.1.ffn_up_shexq.weight",
     "tensor blk.1.ffn_up_shexp.weight is missing"},
    {"deepseek", "blk.0.ffn_down.weight", "blk.0.ffn_dwon.weight",
     "tensor blk.0.ffn_down.weight is missing"},
    {"deepseek", "expert_shared_count", "expert_sharde_count", "deepseek.expert_shared_count"},
    {"qwen2moe", "blk.0.attn_v.bias", "blk.0.attn_w.bias", "tensor blk.0.attn_v.bias is missing"},
    {"phimoe_long", "rope_factors_long.weight", "rope_factors_lnog.weight",
     "tensor rope_factors_long.weight is missing"},
    {"phimoe_long", "output_norm.bias", "output_norm.bais", "output_norm.bias is missing"},
    {"phimoe_long", "longrope", "longrape", "phimoe.rope.scaling.type"},
    {"qwen3_yarn_tied", "qwen3", "qwen9", "expected one of qwen3moe, "},
    {"olmoe_renormalised_linear", "rope.scaling.factor", "attention.clamp_kqv",
     "olmoe.attention.clamp_kqv"},
    {"deepseek_scaled", "leading_dense_block_count", "interleave_moe_layer_step",
     "deepseek.interleave_moe_layer_step"},
};

/* Mutations: take a missing optional tensor for a missing one, or the other way round; let
 * a tensor nobody reads pass, or a key that nobody obeys. */
static void what_is_missing_is_named(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COUNT(spoilt); i++) {
        char path[WORLD_PATH_MAX];
        size_t n;
        golden_path(path, spoilt[i].model, "gguf");
        unsigned char *bytes = world_read_file(path, &n);
        const size_t length = strlen(spoilt[i].from);
        size_t at = 0;
        while (at + length < n && memcmp(bytes + at, spoilt[i].from, length) != 0)
            at++;
        assert_true(at + length < n);
        memcpy(bytes + at, spoilt[i].to, length);
        world_path(path, "spoilt.gguf");
        world_write_file(path, bytes, n);
        free(bytes);

        sl_model *model;
        sl_error err = {0};
        CHECK_CASE(sl_model_open(&model, path, NULL, &err) == SL_E_FORMAT && !model, "%s: %s",
                   spoilt[i].model, spoilt[i].from);
        CHECK_CASE(strstr(err.text, spoilt[i].text) != NULL, "\"%s\" in \"%s\"", spoilt[i].text,
                   err.text);
    }
}

/* Numbers that do not go together, in deepseek_scaled: 4 heads, 2 of keys, 2 of 4 experts. */
static void what_does_not_fit_names_its_key(void **state) {
    static const struct {
        const char *key;
        uint8_t value;
        const char *text;
    } cases[] = {
        {"deepseek.attention.head_count_kv", 3, "4 attention heads"},
        {"deepseek.expert_used_count", 5, "5 experts per token of 4"},
        {"deepseek.rope.dimension_count", 5, "5, expected an even number"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(cases); i++) {
        char path[WORLD_PATH_MAX];
        size_t n, at = 0;
        golden_path(path, "deepseek_scaled", "gguf");
        unsigned char *bytes = world_read_file(path, &n);
        const size_t length = strlen(cases[i].key);
        while (at + length + 8 < n && memcmp(bytes + at, cases[i].key, length) != 0)
            at++;
        assert_true(at + length + 8 < n);
        bytes[at + length + 4] = cases[i].value; /* behind the type, a u32 */
        world_path(path, "misfit.gguf");
        world_write_file(path, bytes, n);
        free(bytes);

        sl_model *model;
        sl_error err = {0};
        CHECK_CASE(sl_model_open(&model, path, NULL, &err) == SL_E_FORMAT && !model, "%s",
                   cases[i].key);
        CHECK_CASE(strstr(err.text, cases[i].key) && strstr(err.text, cases[i].text), "\"%s\"",
                   err.text);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(logits_are_those_of_hugging_face),
    cmocka_unit_test(a_row_has_the_same_bits_in_any_company),
    cmocka_unit_test(speculation_does_not_change_the_text),
    cmocka_unit_test(facts_add_up_to_what_a_pass_reads),
    cmocka_unit_test(what_is_missing_is_named),
    cmocka_unit_test(what_does_not_fit_names_its_key),
};

WORLD_MAIN(tests)

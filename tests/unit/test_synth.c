/* test_synth.c - synthetic files: readable, of the promised scale, and all or nothing. */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "kernels/panel.h"
#include "model/gguf.h"
#include "model/synth_shapes.h"
#include "model/vocab.h"
#include "sluice/synth.h"

static char directory[] = "/tmp/sluice-test-XXXXXX";
static char path[64];

static int make_directory(void **state) {
    (void)state;
    if (!mkdtemp(directory)) return -1;
    (void)snprintf(path, sizeof path, "%s/model.gguf", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(directory); /* fails if a test left a file behind */
}

static int files_in_directory(void) {
    int n = 0;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        n += entry->d_name[0] != '.';
    assert_int_equal(closedir(dir), 0);
    return n;
}

static void write_tiny(const char *type, uint64_t seed) {
    const sl_synth_params params = {.like = "tiny", .type = type, .seed = seed};
    sl_error err = {0};
    if (sl_synth_write(path, &params, &err) != SL_OK) fail_msg("%s", err.text);
}

static sl__gguf open_file(void) {
    sl__gguf g;
    sl_error err = {0};
    if (sl__gguf_open(&g, path, &err) != SL_OK) fail_msg("%s", err.text);
    return g;
}

static sl__format format_of(sl__tensor_type type) {
    for (int32_t f = 0; f < SL_FORMATS; f++)
        if (strcmp(sl__format_name((sl__format)f), sl__tensor_type_find(type)->name) == 0)
            return (sl__format)f;
    fail_msg("no format");
    return SL_FORMAT_F32;
}

static void check_moments(const sl__gguf *g, const char *name, double mean, double deviation) {
    const sl__gguf_tensor *t = sl__gguf_find_tensor(g, name);
    assert_non_null(t);
    const sl__tensor_type_info *info = sl__tensor_type_find((uint32_t)t->type);
    float numbers[256];
    double sum = 0, squares = 0;
    for (uint64_t b = 0; b < t->elements / info->block_elements; b++) {
        sl__row_to_float(format_of(t->type), numbers, t->data + b * info->block_bytes,
                         (int32_t)info->block_elements);
        for (uint32_t i = 0; i < info->block_elements; i++) {
            sum += (double)numbers[i];
            squares += (double)numbers[i] * (double)numbers[i];
            if (t->type == SL_TYPE_Q8_0) /* -128 has no positive twin */
                assert_int_not_equal(t->data[b * info->block_bytes + 2 + i], 0x80);
        }
    }
    const double n = (double)t->elements, found = sum / n;
    const double spread = sqrt(fmax(squares / n - found * found, 0));
    CHECK_CASE(fabs(found - mean) <= 0.05 * deviation + 1e-12, "%s %s: mean %g", info->name, name,
               found);
    CHECK_CASE(fabs(spread - deviation) <= 0.03 * deviation + 1e-12, "%s %s: %g, expected %g",
               info->name, name, spread, deviation);
}

/* Fails if a quantised range is biased, or a scale does not follow the input's width. */
static void weights_have_the_promised_mean_and_spread(void **state) {
    (void)state;
    for (int32_t i = 0; sl_synth_type_name(i); i++) {
        write_tiny(sl_synth_type_name(i), 1);
        sl__gguf g = open_file();
        check_moments(&g, "token_embd.weight", 0, 1);
        check_moments(&g, "output.weight", 0, 4 / 16.0);
        check_moments(&g, "blk.1.attn_output.weight", 0, 1 / 16.0);
        check_moments(&g, "blk.1.ffn_gate_inp.weight", 0, 2 / 16.0);
        check_moments(&g, "blk.0.ffn_down_exps.weight", 0, 1 / 8.0);
        check_moments(&g, "blk.0.attn_norm.weight", 1, 0);
        sl__gguf_close(&g);
    }
}

static sl__tensor_type matrix_type(const char *type, int32_t experts, const char *suffix,
                                   int32_t layer, int32_t n_in) {
    enum { LAYERS = 16 };
    const sl_model_facts facts = {.layers = LAYERS, .experts = experts};
    const bool per_expert = strstr(suffix, "_exps") != NULL;
    for (int32_t i = 0; sl__synth_type_at(i); i++)
        if (strcmp(sl__synth_type_at(i)->name, type) == 0)
            return sl__synth_matrix_type(sl__synth_type_at(i), &facts, suffix, layer, n_in,
                                         per_expert);
    fail_msg("no type %s", type);
    return SL_TYPE_F32;
}

/* Fails if a mix gives another type to a tensor than llama.cpp's quantiser does. */
static void a_mix_is_that_of_llama_cpp(void **state) {
    static const struct {
        const char *type;
        int32_t experts;
        const char *suffix;
        int32_t layer, n_in;
        sl__tensor_type expect;
    } rows[] = {
        {"q4_k_m", 64, "token_embd.weight", -1, 2048, SL_TYPE_Q4_K},
        {"q4_k_m", 64, "output.weight", -1, 2048, SL_TYPE_Q6_K},
        {"q4_k_m", 64, "output.weight", -1, 2880, SL_TYPE_Q8_0},
        {"q4_k_m", 64, "attn_q.weight", 0, 2048, SL_TYPE_Q4_K},
        {"q4_k_m", 64, "attn_k.weight", 0, 2048, SL_TYPE_Q4_K},
        {"q4_k_m", 64, "attn_output.weight", 0, 2048, SL_TYPE_Q4_K},
        {"q4_k_m", 64, "ffn_up_exps.weight", 0, 2048, SL_TYPE_Q4_K},
        {"q4_k_m", 64, "ffn_up_exps.weight", 0, 2880, SL_TYPE_Q5_0},
        {"q4_k_m", 64, "ffn_down_exps.weight", 2, 1408, SL_TYPE_Q5_0},
        {"q4_k_m", 64, "ffn_down_exps.weight", 0, 1408, SL_TYPE_Q8_0},
        {"q4_k_m", 64, "ffn_down_shexp.weight", 0, 2816, SL_TYPE_Q6_K},
        {"q4_k_m", 64, "ffn_down.weight", 0, 10944, SL_TYPE_Q8_0},
        {"q4_k_m", 8, "attn_v.weight", 2, 4096, SL_TYPE_Q8_0}, /* Mixtral's extras */
        {"q4_k_m", 8, "attn_k.weight", 2, 4096, SL_TYPE_Q8_0},
        {"q4_k_m", 8, "attn_output.weight", 2, 4096, SL_TYPE_Q5_K},
        {"q4_k_m", 8, "attn_q.weight", 2, 4096, SL_TYPE_Q4_K},
        {"q4_k_m", 8, "ffn_down_exps.weight", 2, 14336, SL_TYPE_Q4_K},
        {"q5_k_m", 64, "token_embd.weight", -1, 2048, SL_TYPE_Q5_K},
        {"q5_k_m", 64, "output.weight", -1, 2048, SL_TYPE_Q6_K},
        {"q5_k_m", 64, "ffn_gate_exps.weight", 0, 1408, SL_TYPE_Q5_1},
        {"q5_k_m", 64, "ffn_down_exps.weight", 15, 1024, SL_TYPE_Q6_K},
        {"q5_k_m", 64, "ffn_down_exps.weight", 3, 1024, SL_TYPE_Q5_K},
        {"mxfp4_moe", 32, "token_embd.weight", -1, 2880, SL_TYPE_Q8_0},
        {"mxfp4_moe", 32, "output.weight", -1, 2880, SL_TYPE_Q8_0},
        {"mxfp4_moe", 32, "attn_v.weight", 0, 2880, SL_TYPE_Q8_0},
        {"mxfp4_moe", 32, "ffn_up_exps.weight", 0, 2880, SL_TYPE_MXFP4},
        {"mxfp4_moe", 32, "ffn_up_shexp.weight", 0, 2880, SL_TYPE_Q8_0},
        {"q6_k", 64, "ffn_down_exps.weight", 0, 1408, SL_TYPE_Q8_0},
        {"iq2_xxs", 64, "ffn_down_exps.weight", 0, 1408, SL_TYPE_IQ4_NL},
        {"q4_k", 8, "attn_v.weight", 0, 4096, SL_TYPE_Q4_K}, /* no mix */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++)
        CHECK_CASE(matrix_type(rows[i].type, rows[i].experts, rows[i].suffix, rows[i].layer,
                               rows[i].n_in) == rows[i].expect,
                   "row %zu: %s %s", i, rows[i].type, rows[i].suffix);
}

/* Fails if other layers get more bits, or the mix does not reach the file. */
static void a_mix_spends_on_the_layers_llama_cpp_spends_on(void **state) {
    enum { LAYERS = 16 };
    static const bool more[LAYERS] = {[0] = true,  [1] = true,  [4] = true,  [7] = true,
                                      [10] = true, [13] = true, [14] = true, [15] = true};
    const sl_synth_params params = {.like = "tiny", .type = "q4_k_m", .layers = LAYERS};
    (void)state;
    assert_int_equal(sl_synth_write(path, &params, NULL), SL_OK);
    sl__gguf g = open_file();
    for (int l = 0; l < LAYERS; l++) {
        char name[40];
        (void)snprintf(name, sizeof name, "blk.%d.attn_v.weight", l);
        CHECK_CASE(sl__gguf_find_tensor(&g, name)->type == (more[l] ? SL_TYPE_Q6_K : SL_TYPE_Q4_K),
                   "%s", name);
        (void)snprintf(name, sizeof name, "blk.%d.ffn_down_exps.weight", l); /* 64 columns */
        CHECK_CASE(sl__gguf_find_tensor(&g, name)->type == (more[l] ? SL_TYPE_Q8_0 : SL_TYPE_Q5_0),
                   "%s", name);
    }
    sl__gguf_close(&g);
}

static int take_total(void *user, uint64_t done, uint64_t total) {
    (void)done;
    *(uint64_t *)user = total;
    return 1; /* nothing is written */
}

/* Parameters of a file of so many layers: two bytes each, keys and vocabulary aside. */
static double billions(const char *like, int32_t layers) {
    uint64_t total = 0;
    const sl_synth_params params = {
        .like = like, .type = "f16", .layers = layers, .progress = take_total, .user = &total};
    (void)unlink(path);
    if (sl_synth_write(path, &params, NULL) == SL_E_IO) return -1; /* no room on the disk */
    assert_int_equal(files_in_directory(), 0);
    return (double)total / 2e9;
}

/* Fails if a width, a number of experts or a tensor of a model is another than published:
 * the totals are those its authors name. */
static void a_model_has_as_many_parameters_as_the_one_it_imitates(void **state) {
    static const struct {
        const char *like;
        int32_t layers;
        double billions;
    } rows[] = {{"olmoe-1b-7b", 16, 6.92},      {"qwen3-30b-a3b", 48, 30.5},
                {"mixtral-8x7b", 32, 46.7},     {"gpt-oss-20b", 24, 20.9},
                {"qwen1.5-moe", 24, 14.3},      {"phi-3.5-moe", 32, 41.9},
                {"deepseek-moe-16b", 28, 16.4}, {"qwen3-8b", 36, 8.19}};
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        const double one = billions(rows[i].like, 1), two = billions(rows[i].like, 2);
        if (one < 0 || two < 0) skip();
        const double found = one + (two - one) * (rows[i].layers - 1);
        CHECK_CASE(fabs(found - rows[i].billions) < 0.006 * rows[i].billions, "%s: %.2f, not %.2f",
                   rows[i].like, found, rows[i].billions);
    }
}

/* Fails if two experts of a layer, or one expert in two layers, have the same bytes. */
static void experts_differ(void **state) {
    enum { EXPERTS = 16 };
    (void)state;
    write_tiny("q8_0", 1);
    sl__gguf g = open_file();
    const sl__gguf_tensor *a = sl__gguf_find_tensor(&g, "blk.0.ffn_up_exps.weight");
    const sl__gguf_tensor *b = sl__gguf_find_tensor(&g, "blk.1.ffn_up_exps.weight");
    assert_true(a && b);
    const size_t n = (size_t)a->size / EXPERTS;
    for (size_t i = 0; i < EXPERTS; i++) {
        assert_true(memcmp(a->data + i * n, b->data + i * n, n) != 0);
        for (size_t j = 0; j < i; j++)
            assert_true(memcmp(a->data + i * n, a->data + j * n, n) != 0);
    }
    sl__gguf_close(&g);
}

/* Fails if a byte depends on anything but the parameters, or the seed on nothing. */
static void the_seed_decides_every_byte(void **state) {
    (void)state;
    write_tiny("q4_0", 1);
    sl__gguf first = open_file(); /* the mapping outlives the replaced file */
    write_tiny("q4_0", 1);
    sl__gguf same = open_file();
    assert_int_equal(first.size, same.size);
    assert_memory_equal(first.bytes, same.bytes, first.size);
    write_tiny("q4_0", 2);
    sl__gguf other = open_file();
    assert_int_equal(first.size, other.size);
    assert_true(memcmp(first.bytes, other.bytes, first.size) != 0);
    sl__gguf_close(&first);
    sl__gguf_close(&same);
    sl__gguf_close(&other);
}

/* Fails if a merge and its word disagree, or the vocabulary has not the rows of the
 * embedding. */
static void the_vocabulary_loads_and_merges(void **state) {
    int32_t n = 0;
    sl_token tokens[8];
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    (void)state;
    write_tiny("q8_0", 1);
    sl__gguf g = open_file();
    if (sl__vocab_open(&vocab, &g, &err) != SL_OK) fail_msg("%s", err.text);
    assert_int_equal(sl__vocab_size(vocab), sl__gguf_find_tensor(&g, "token_embd.weight")->ne[1]);
    assert_int_equal(sl__vocab_eos(vocab), 511);
    assert_int_equal(sl__vocab_tokenize(vocab, " b ab<|im_end|>", 15, true, tokens, 8, &n, NULL),
                     SL_OK);
    assert_int_equal(n, 4); /* " b", " a", "b", control */
    assert_int_equal(tokens[0], 257);
    assert_int_equal(tokens[1], 256);
    assert_int_equal(tokens[3], 511);
    sl__vocab_close(&vocab);
    sl__gguf_close(&g);
}

/* Fails if `layers` changes anything but the number of blocks. */
static void the_number_of_layers_can_be_chosen(void **state) {
    const sl_synth_params params = {.like = "tiny", .type = "q8_0", .layers = 5};
    int32_t layers = 0;
    (void)state;
    assert_int_equal(sl_synth_write(path, &params, NULL), SL_OK);
    sl__gguf g = open_file();
    assert_int_equal(sl__gguf_i32(&g, "qwen3moe.block_count", 5, 5, &layers, NULL), SL_OK);
    assert_non_null(sl__gguf_find_tensor(&g, "blk.4.attn_q.weight"));
    assert_null(sl__gguf_find_tensor(&g, "blk.5.attn_q.weight"));
    sl__gguf_close(&g);
}

/* Fails if a name or range is not checked, or the message does not list the choices. */
static void unknown_names_are_refused_with_the_known_ones(void **state) {
    static const struct {
        const char *like, *type;
        int32_t layers;
        const char *expect;
    } rows[] = {{"olmo", "q8_0", 0, "unknown model \"olmo\", expected one of: olmoe-1b-7b, "},
                {"tiny", "q9_0", 0, "unknown type \"q9_0\", expected one of: f16, q8_0, q4_0"},
                {NULL, "q8_0", 0, "unknown model \"\""},
                {"tiny", "q8_0", -1, "-1 layers, expected 0 .. 1024"},
                {"tiny", "q8_0", 1025, "1025 layers"}};
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        const sl_synth_params params = {
            .like = rows[i].like, .type = rows[i].type, .layers = rows[i].layers};
        sl_error err = {0};
        CHECK_CASE(sl_synth_write(path, &params, &err) == SL_E_ARG, "row %zu", i);
        CHECK_CASE(strstr(err.text, rows[i].expect), "row %zu: %s", i, err.text);
    }
}

static int stop_at(void *user, uint64_t done, uint64_t total) {
    assert_true(done <= total);
    return done >= *(const uint64_t *)user;
}

/* Fails if a stopped file stays under either name, or replaces what was there. */
static void a_stopped_write_leaves_what_was_there(void **state) {
    static uint64_t limits[] = {0, 1, 1 << 20};
    (void)state;
    write_tiny("q8_0", 7);
    for (size_t i = 0; i < SL_COUNT(limits); i++) {
        const sl_synth_params params = {
            .like = "tiny", .type = "f16", .progress = stop_at, .user = &limits[i]};
        sl_error err = {0};
        CHECK_CASE(sl_synth_write(path, &params, &err) == SL_E_ARG, "limit %zu", i);
        CHECK_CASE(strstr(err.text, "stopped by the caller"), "%s", err.text);
        assert_int_equal(files_in_directory(), 1);
        sl__gguf g = open_file();
        assert_int_equal(sl__gguf_find_tensor(&g, "output.weight")->type, SL_TYPE_Q8_0);
        sl__gguf_close(&g);
    }
}

static int never_called(void *user, uint64_t done, uint64_t total) {
    (void)user;
    (void)done;
    (void)total;
    fail_msg("writing began");
    return 1;
}

/* Fails if the check for room comes after writing starts. */
static void a_file_the_disk_cannot_hold_is_refused(void **state) {
    const sl_synth_params huge = {
        .like = "qwen3-30b-a3b", .type = "f16", .layers = 1024, .progress = never_called};
    struct statvfs fs;
    sl_error err = {0};
    (void)state;
    assert_int_equal(statvfs(directory, &fs), 0);
    if ((double)fs.f_bavail * (double)fs.f_frsize > 1100.0 * 0x1p30) skip(); /* it would fit */
    (void)unlink(path);
    assert_int_equal(sl_synth_write(path, &huge, &err), SL_E_IO);
    assert_non_null(strstr(err.text, "GiB free"));
    assert_int_equal(files_in_directory(), 0);
}

/* Fails if an error of the system is lost, or leaves a file. */
static void a_write_that_fails_midway_leaves_no_file(void **state) {
    const sl_synth_params tiny = {.like = "tiny", .type = "f16"};
    struct rlimit limit, small;
    sl_error err = {0};
    (void)state;
    (void)unlink(path);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const sl_status status = sl_synth_write(path, &tiny, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, SL_E_IO);
    assert_non_null(strstr(err.text, "File too large"));
    assert_int_equal(files_in_directory(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_have_the_promised_mean_and_spread),
        cmocka_unit_test(a_mix_is_that_of_llama_cpp),
        cmocka_unit_test(a_mix_spends_on_the_layers_llama_cpp_spends_on),
        cmocka_unit_test(a_model_has_as_many_parameters_as_the_one_it_imitates),
        cmocka_unit_test(experts_differ),
        cmocka_unit_test(the_seed_decides_every_byte),
        cmocka_unit_test(the_vocabulary_loads_and_merges),
        cmocka_unit_test(the_number_of_layers_can_be_chosen),
        cmocka_unit_test(unknown_names_are_refused_with_the_known_ones),
        cmocka_unit_test(a_stopped_write_leaves_what_was_there),
        cmocka_unit_test(a_file_the_disk_cannot_hold_is_refused),
        cmocka_unit_test(a_write_that_fails_midway_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

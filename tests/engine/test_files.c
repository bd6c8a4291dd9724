/* test_files.c - the same model in files of other kinds, or read in other ways, is the same
 * model; one that does not fit into memory is refused before it is loaded.
 *
 * tools/golden_files.py wrote the files with the gguf package, from arch/mixtral.gguf. */
#include "engine_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "model/arch.h"

enum { TOKENS = 24 };

static const char *golden_path(char out[WORLD_PATH_MAX], const char *name) {
    (void)snprintf(out, WORLD_PATH_MAX, "%s/golden/%s", SL_TEST_DATA, name);
    return out;
}

/* Logits after each of a few tokens: [TOKENS][vocab], to be freed. */
static float *logits_of(const char *name, const sl_model_params *params, size_t *n) {
    char path[WORLD_PATH_MAX];
    sl_model *model;
    sl_error err = {0};
    CHECK_CASE(sl_model_open(&model, golden_path(path, name), params, &err) == SL_OK, "%s",
               err.text);
    sl_session *s = world_session(model, 64, 1, 8, SL_KV_F32, SL_KV_F32);
    const size_t vocab = (size_t)sl_model_facts_of(model)->vocab;
    *n = TOKENS * vocab;
    float *logits = malloc(*n * sizeof *logits);
    assert_non_null(logits);
    for (int32_t i = 0; i < TOKENS; i++)
        world_step(s, (sl_token)(7 * i % 250), logits + (size_t)i * vocab);
    sl_session_close(&s);
    sl_model_close(&model);
    return logits;
}

/* A file's logits, read in each of the ways there are, are those of the model `whole`. */
static void check_same_logits(const char *name, const char *whole) {
    static const sl_model_params ways[] = {
        {.layout = SL_LAYOUT_PACKED, .threads = 2},
        {.layout = SL_LAYOUT_MAPPED},
        {.layout = SL_LAYOUT_PACKED, .no_mmap = 1},
        {.layout = SL_LAYOUT_MAPPED, .no_mmap = 1},
    };
    size_t n, n_expected;
    float *expected = logits_of(whole, &ways[0], &n_expected);
    for (size_t i = 0; i < SL_COUNT(ways); i++) {
        float *logits = logits_of(name, &ways[i], &n);
        assert_int_equal(n, n_expected);
        CHECK_CASE(memcmp(logits, expected, n * sizeof *logits) == 0, "%s, way %zu", name, i);
        free(logits);
    }
    free(expected);
}

/* Mutations: look for a part's tensors in the first file's bytes; drop the wrong pages. */
static void a_model_in_parts_has_the_bits_of_the_whole(void **state) {
    (void)state;
    check_same_logits("files/split-00001-of-00003.gguf", "arch/mixtral.gguf");
}

/* Mutations: bind expert 0's matrix for all; take expert e's rows of the wrong size. */
static void experts_in_tensors_of_their_own_are_bound(void **state) {
    (void)state;
    check_same_logits("files/single_experts.gguf", "arch/mixtral.gguf");
}

/* A file with single experts in which `n` bytes at `skip` after the name `name` became `to`:
 * refused, with a message that holds `expect`. */
static void check_refused(const char *name, size_t skip, const char *to, size_t n,
                          const char *expect) {
    char path[WORLD_PATH_MAX];
    size_t size, at = 0;
    sl_model *model;
    sl_error err = {0};
    unsigned char *bytes = world_read_file(golden_path(path, "files/single_experts.gguf"), &size);
    while (at + strlen(name) + skip + n <= size && memcmp(bytes + at, name, strlen(name)) != 0)
        at++;
    assert_true(at + strlen(name) + skip + n <= size);
    memcpy(bytes + at + strlen(name) + skip, to, n);
    world_path(path, "edited.gguf");
    world_write_file(path, bytes, size);
    free(bytes);
    CHECK_CASE(sl_model_open(&model, path, NULL, &err) == SL_E_FORMAT, "%s: %s", name, err.text);
    CHECK_CASE(strstr(err.text, expect), "%s: %s", name, err.text);
}

/* Mutations: leave out the look for every expert; read an expert's matrix in the format of
 * the first. */
static void an_expert_that_is_missing_or_of_another_type_is_named(void **state) {
    enum { TYPE = 4 + 2 * 8 }; /* after the number of dimensions, and two of them */
    (void)state;
    check_refused("blk.1.ffn_up.3", 0, "x", 1, "tensor blk.1.ffn_up.3.weight is missing");
    check_refused("blk.1.ffn_up.3.weight", TYPE, "\1", 1,
                  "tensor blk.1.ffn_up.3.weight at offset ");
    check_refused("blk.1.ffn_up.3.weight", TYPE, "\1", 1, "type F16, expected F32 like expert 0");
}

/* Mutations: give back a copy's embedding, which a tied head was packed from; read a piece of
 * the file to the wrong place. */
static void a_file_that_was_read_is_as_good_as_a_mapped_one(void **state) {
    (void)state;
    check_same_logits("arch/llama_llama3_tied.gguf", "arch/llama_llama3_tied.gguf");
    check_same_logits("../../models/sluice-tiny.gguf", "../../models/sluice-tiny.gguf");
}

/* 400 GB of zeros that take no room on the disk. */
static const tiny_shape giant = {"giant",     &sl__arch_qwen3moe,
                                 1,           8192,
                                 64,          8,
                                 128,         512,
                                 8,           8192,
                                 SL_TYPE_F32, SL_TYPE_F32,
                                 SL_TYPE_F32, SL_TYPE_F32,
                                 SL_TYPE_F32, SL_TYPE_F32,
                                 SL_TYPE_F32, true,
                                 NULL};

/* Mutations: take the memory before looking; look at a part of it; not fall back. */
static void a_model_larger_than_memory_is_refused_before_it_is_loaded(void **state) {
    static const struct {
        sl_model_params params;
        const char *expect;
    } rows[] = {
        {{.layout = SL_LAYOUT_PACKED}, "the packed model needs 38"},
        {{.layout = SL_LAYOUT_MAPPED, .no_mmap = 1}, "giant.gguf needs 38"},
        {{.layout = SL_LAYOUT_PACKED, .no_mmap = 1}, "giant.gguf needs 38"},
        {{.layout = SL_LAYOUT_MAPPED, .mlock = 1}, "giant.gguf needs 38"},
    };
    char path[WORLD_PATH_MAX];
    sl_model *model;
    (void)state;
    world_path(path, "giant.gguf");
    tiny_write_sparse(&giant, path);
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {0};
        CHECK_CASE(sl_model_open(&model, path, &rows[i].params, &err) == SL_E_NOMEM, "%zu: %s", i,
                   err.text);
        CHECK_CASE(strstr(err.text, rows[i].expect), "%zu: %s", i, err.text);
        CHECK_CASE(strstr(err.text, " GiB are available"), "%zu: %s", i, err.text);
    }
    model = world_open(path, NULL, SL_LAYOUT_AUTO);
    assert_string_equal(sl_model_layout(model), "mapped");
    sl_model_close(&model);
}

/* Bytes this process has locked in memory. */
static uint64_t locked_bytes(void) {
    unsigned long long kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "VmLck:", 6) == 0) kib = strtoull(line + 6, NULL, 10);
    assert_int_equal(fclose(f), 0);
    return kib * 1024;
}

/* Sanitizers make mlock() do nothing. */
static bool mlock_is_real(void) {
    static unsigned char page[1 << 16];
    const uint64_t before = locked_bytes();
    const bool allowed = mlock(page, sizeof page) == 0;
    const bool grew = locked_bytes() > before;
    assert_int_equal(munlock(page, sizeof page), 0);
    return grew || !allowed;
}

/* Mutations: lock only the panels, or only the file; ignore that the system says no. */
static void mlock_locks_what_passes_read_or_says_why_not(void **state) {
    static const sl_weight_layout layouts[] = {SL_LAYOUT_PACKED, SL_LAYOUT_MAPPED};
    char path[WORLD_PATH_MAX];
    (void)state;
    if (!mlock_is_real()) skip();
    (void)golden_path(path, "arch/mixtral.gguf");
    for (size_t i = 0; i < SL_COUNT(layouts); i++) {
        sl_model *model;
        sl_error err = {0};
        const sl_model_params params = {.layout = layouts[i], .mlock = 1};
        const uint64_t before = locked_bytes();
        if (sl_model_open(&model, path, &params, &err) == SL_OK) {
            const uint64_t weights = sl_model_facts_of(model)->weight_bytes;
            CHECK_CASE(locked_bytes() - before >= weights, "%zu", i);
        } else {
            CHECK_CASE(err.code == SL_E_NOMEM && strstr(err.text, "ulimit -l"), "%s", err.text);
        }
        sl_model_close(&model);
        assert_int_equal(locked_bytes(), before);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_model_in_parts_has_the_bits_of_the_whole),
    cmocka_unit_test(experts_in_tensors_of_their_own_are_bound),
    cmocka_unit_test(an_expert_that_is_missing_or_of_another_type_is_named),
    cmocka_unit_test(a_file_that_was_read_is_as_good_as_a_mapped_one),
    cmocka_unit_test(a_model_larger_than_memory_is_refused_before_it_is_loaded),
    cmocka_unit_test(mlock_locks_what_passes_read_or_says_why_not),
};

WORLD_MAIN(tests)

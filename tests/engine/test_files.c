/* test_files.c - the same model in files of other kinds is the same model.
 *
 * tools/golden_files.py wrote them with the gguf package, from arch/mixtral.gguf. */
#include "engine_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { TOKENS = 24 };

static const char *golden_path(char out[WORLD_PATH_MAX], const char *name) {
    (void)snprintf(out, WORLD_PATH_MAX, "%s/golden/%s", SL_TEST_DATA, name);
    return out;
}

/* Logits after each of a few tokens: [TOKENS][vocab], to be freed. */
static float *logits_of(const char *name, sl_weight_layout layout, size_t *n) {
    char path[WORLD_PATH_MAX];
    sl_model *model = world_open(golden_path(path, name), NULL, layout);
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

static void check_same_logits(const char *name) {
    static const sl_weight_layout layouts[] = {SL_LAYOUT_PACKED, SL_LAYOUT_MAPPED};
    size_t n, n_whole;
    float *whole = logits_of("arch/mixtral.gguf", SL_LAYOUT_PACKED, &n_whole);
    for (size_t i = 0; i < SL_COUNT(layouts); i++) {
        float *logits = logits_of(name, layouts[i], &n);
        assert_int_equal(n, n_whole);
        assert_memory_equal(logits, whole, n * sizeof *whole);
        free(logits);
    }
    free(whole);
}

/* Mutations: look for a part's tensors in the first file's bytes; drop the wrong pages. */
static void a_model_in_parts_has_the_bits_of_the_whole(void **state) {
    (void)state;
    check_same_logits("files/split-00001-of-00003.gguf");
}

/* Mutations: bind expert 0's matrix for all; take expert e's rows of the wrong size. */
static void experts_in_tensors_of_their_own_are_bound(void **state) {
    (void)state;
    check_same_logits("files/single_experts.gguf");
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

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_model_in_parts_has_the_bits_of_the_whole),
    cmocka_unit_test(experts_in_tensors_of_their_own_are_bound),
    cmocka_unit_test(an_expert_that_is_missing_or_of_another_type_is_named),
};

WORLD_MAIN(tests)

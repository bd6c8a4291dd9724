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

/* Mutations: look for a part's tensors in the first file's bytes; drop the wrong pages. */
static void a_model_in_parts_has_the_bits_of_the_whole(void **state) {
    static const sl_weight_layout layouts[] = {SL_LAYOUT_PACKED, SL_LAYOUT_MAPPED};
    size_t n, n_parts;
    (void)state;
    float *whole = logits_of("arch/mixtral.gguf", SL_LAYOUT_PACKED, &n);
    for (size_t i = 0; i < SL_COUNT(layouts); i++) {
        float *parts = logits_of("files/split-00001-of-00003.gguf", layouts[i], &n_parts);
        assert_int_equal(n, n_parts);
        assert_memory_equal(parts, whole, n * sizeof *whole);
        free(parts);
    }
    free(whole);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_model_in_parts_has_the_bits_of_the_whole),
};

WORLD_MAIN(tests)

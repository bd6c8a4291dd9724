/* test_shapes.c - files of `synth` in the engine: every shape loads and computes.
 *
 * Layers of true size take hundreds of megabytes, so only --full writes them; else it is
 * the small shapes' turn. */
#include "engine/engine_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/synth.h"

/* With MoE layers: deepseek's first one has no experts. */
enum { LAYERS = 2 };

static void write_shape(const char *path, const char *like, const char *type) {
    const sl_synth_params params = {.like = like, .type = type, .layers = LAYERS, .seed = 1};
    sl_error err = {0};
    if (sl_synth_write(path, &params, &err) != SL_OK) fail_msg("%s: %s", like, err.text);
}

static void check_computes(const char *path, const char *like) {
    const sl_model_params params = {.layout = SL_LAYOUT_MAPPED};
    sl_model *model = NULL;
    sl_session *session = NULL;
    sl_error err = {0};
    const sl_row row = {.token = 300, .parent = -1, .want_logits = 1};
    if (sl_model_open(&model, path, &params, &err) != SL_OK) fail_msg("%s: %s", like, err.text);
    const sl_model_facts *facts = sl_model_facts_of(model);
    assert_int_equal(facts->layers, LAYERS);
    sl_session_params session_params = sl_session_params_default();
    session_params.context = 16;
    if (sl_session_open(&session, model, &session_params, &err) != SL_OK)
        fail_msg("%s: %s", like, err.text);
    float *logits = malloc((size_t)facts->vocab * sizeof *logits);
    assert_non_null(logits);
    if (sl_session_forward(session, &row, 1, logits, NULL, NULL, &err) != SL_OK)
        fail_msg("%s: %s", like, err.text);
    double squares = 0;
    for (int32_t i = 0; i < facts->vocab; i++)
        squares += (double)logits[i] * (double)logits[i];
    const double spread = sqrt(squares / facts->vocab); /* 4 by design */
    CHECK_CASE(spread > 3 && spread < 5, "%s: logits of deviation %.2f", like, spread);
    free(logits);
    sl_session_close(&session);
    sl_model_close(&model);
}

/* Fails if a header lacks a key or a tensor its architecture asks for, or has one too many,
 * or weights do not have the spread that keeps activations at 1. */
static void every_shape_loads_and_computes(void **state) {
    char path[WORLD_PATH_MAX];
    const char *like;
    (void)state;
    world_path(path, "shape.gguf");
    for (int32_t i = 0; (like = sl_synth_like_name(i)) != NULL; i++) {
        if (!world_is_full() && strncmp(like, "tiny", 4) != 0) continue;
        write_shape(path, like, "q2_k");
        check_computes(path, like);
        assert_int_equal(unlink(path), 0);
    }
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(every_shape_loads_and_computes)};

WORLD_MAIN(tests)

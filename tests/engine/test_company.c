/* test_company.c - a row's bits depend on its own tokens, and on nothing else: for every
 * type of weight in every place, every architecture, and every kernel table of this CPU.
 *
 * `make test` takes every type once and every architecture at least twice, by turns; the
 * full run takes each with each; a hunt for races every architecture once, each with another
 * type, for they are the ones that share the work out differently. */
#include "company.h"

#include "base/base.h"

/* Mutations: sum a product over rows of the batch in another order; let attention of a
 * branch read its neighbour's cell; quantise a row by the pass's largest value. */
static void odd_shapes_have_the_same_bits_in_any_company(void **state) {
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

/* One model, in every way. */
static void try_shape(const tiny_shape *shape, kv_types types, int32_t n_batches, uint64_t seed) {
    static const int32_t threads[] = {1, 2, 3, 8};
    char path[WORLD_PATH_MAX], name[64];
    const char *isa;
    (void)snprintf(name, sizeof name, "%s%s in %s", shape->experts > 0 ? "" : "dense ",
                   shape->arch->name, shape->name);
    world_path(path, "company.gguf");
    tiny_write(shape, seed, path);
    try_everywhere(path, types, n_batches, seed, name);
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++)
        if (world_is_full() || (i + (int32_t)seed) % 3 == 0)
            try_sequences(
                path, isa,
                sl__min_i32(threads[((uint64_t)i + seed) % SL_COUNT(threads)], world_threads_max()),
                seed, name);
}

/* Mutations: give one format's kernel another order for its last rows; leave out the bias
 * of rows past the first; add the shared expert before the routed ones for some rows. */
static void every_type_and_architecture_has_the_same_bits_in_any_company(void **state) {
    (void)state;
    static const sl_kv_type kv[] = {SL_KV_Q8_0, SL_KV_F16, SL_KV_F32};
    const int32_t n_arches = world_n_arches(), n = world_share(world_is_full() ? 24 : 8, 2);
    for (int32_t format = 0; format < SL_FORMATS; format++)
        for (int32_t arch = 0; arch < n_arches; arch++) {
            if (world_is_for_races() && format != 5 * arch % SL_FORMATS) continue;
            if (!world_is_for_races() && !world_is_full() && arch != format % n_arches) continue;
            const tiny_shape shape = world_shape((sl__format)format, arch);
            const kv_types types = {kv[(format + arch) % 3], kv[(format + format / 3) % 3]};
            try_shape(&shape, types, n, 100 + (uint64_t)(format * n_arches + arch));
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
    for (int32_t turn = 0; turn < (world_threads_max() < 8 ? 2 : 3); turn++)
        try_model(&ref, SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED, n, turn, "tiny");
    for (int32_t i = 0; (isa = world_table(i)) != NULL; i++) { /* the others: less */
        sl_model *model = world_open(SL_MODEL_FILE, isa, SL_LAYOUT_MAPPED);
        sl_session *s = world_session(model, TINY_CONTEXT, 1, ROWS_MAX, types.k, types.v);
        try_batches(&ref, s, is_slow_table(isa, n) ? 1 : 4, 77, isa);
        sl_session_close(&s);
        if (!is_slow_table(isa, n)) try_chunks(&ref, model, 33, 2, isa);
        sl_model_close(&model);
    }
    drop_reference(&ref);
}

/* Mutations: number cells by pass rows instead of the sequence's own; let a tile of
 * attention span two sequences; take the first sequence's cache types for all. */
static void sequences_in_one_pass_do_not_touch_each_other(void **state) {
    (void)state;
    for (int32_t i = 0; i < n_tiny_shapes; i += 3) {
        char path[WORLD_PATH_MAX];
        world_path(path, tiny_shapes[i].name);
        tiny_write(&tiny_shapes[i], (uint64_t)i, path);
        try_sequences(path, NULL, 1, 50, tiny_shapes[i].name);
        try_sequences(path, NULL, 3, 50, tiny_shapes[i].name);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(odd_shapes_have_the_same_bits_in_any_company),
    cmocka_unit_test(every_type_and_architecture_has_the_same_bits_in_any_company),
    cmocka_unit_test(a_row_of_the_embedded_model_has_the_same_bits_in_any_company),
    cmocka_unit_test(sequences_in_one_pass_do_not_touch_each_other),
};

WORLD_MAIN(tests)

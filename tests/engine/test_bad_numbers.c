/* test_bad_numbers.c - a scale or a norm that is not finite is named when the file is opened.
 *
 * A small model of each type is written and damaged in place. Numbers that are only met by a
 * pass are test_forward.c's. */
#include "engine_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/gguf.h"

typedef struct file {
    char path[WORLD_PATH_MAX];
    unsigned char *bytes; /* [size], owned */
    size_t size;
} file;

static void make_file(file *f, const tiny_shape *shape) {
    world_path(f->path, "numbers.gguf");
    tiny_write(shape, 5, f->path);
    f->bytes = world_read_file(f->path, &f->size);
}

static void save(const file *f) {
    world_write_file(f->path, f->bytes, f->size);
}

/* Where a tensor's record and its data lie in the file. */
typedef struct place {
    size_t record, data;
    int32_t n_in, n_out;
} place;

static place find_place(const file *f, const char *name) {
    sl__gguf g;
    assert_int_equal(sl__gguf_open(&g, f->path, NULL), SL_OK);
    const sl__gguf_tensor *t = sl__gguf_find_tensor(&g, name);
    assert_non_null(t);
    const place p = {(size_t)t->record_at, (size_t)t->at, (int32_t)t->ne[0], (int32_t)t->ne[1]};
    sl__gguf_close(&g);
    return p;
}

static void check_open(const file *f, sl_weight_layout layout, int32_t threads,
                       const char *expect) {
    sl_model *model;
    sl_error err = {0};
    const sl_model_params params = {.layout = layout, .threads = threads};
    const sl_status status = sl_model_open(&model, f->path, &params, &err);
    CHECK_CASE(status == (expect ? SL_E_FORMAT : SL_OK), "%d \"%s\"", status, err.text);
    CHECK_CASE(!expect || strstr(err.text, expect), "\"%s\", expected \"%s\"", err.text, expect);
    sl_model_close(&model);
}

/* The first byte of a block's scale, as in panel.h's table of files' blocks. */
static size_t scale_at(sl__format format) {
    return format == SL_FORMAT_Q2_K   ? 80
           : format == SL_FORMAT_Q3_K ? 108
           : format == SL_FORMAT_Q6_K ? 208
                                      : 0;
}

static void damage_scale(file *f, sl__format format, size_t block_at) {
    unsigned char *scale = f->bytes + block_at + scale_at(format);
    scale[0] = 255;                                 /* MXFP4's exponent   */
    if (format != SL_FORMAT_MXFP4) scale[1] = 0x7f; /* a NaN among halves */
}

/* The last block of an expert's last row, which is in a panel that is not full, and one before
 * it. Mutations: check whole panels only; the first row's blocks; name the worst of several
 * threads' findings, or the first expert's tensor; check nothing. */
static void a_scale_that_is_not_finite_is_named_at_load(void **state) {
    static const char name[] = "blk.1.ffn_down_exps.weight";
    (void)state;
    for (int32_t i = 0; i < SL_FORMATS; i++) {
        const sl__format format = (sl__format)i;
        if (!sl__format_is_quantised(format)) continue;
        const tiny_shape shape = world_shape(format, 0);
        char expect[160];
        file f;
        make_file(&f, &shape);
        const place p = find_place(&f, name);
        const size_t row_bytes = sl__format_row_bytes(format, p.n_in);
        const size_t block_bytes = sl__format_row_bytes(format, sl__format_block(format));
        const int32_t row = p.n_out - 1, block = p.n_in / sl__format_block(format) - 1;
        const size_t matrix = p.data + 2 * (size_t)p.n_out * row_bytes; /* expert 2 */
        damage_scale(&f, format, matrix + (size_t)p.n_out * row_bytes - block_bytes);
        save(&f);
        (void)snprintf(expect, sizeof expect, "expert 2, row %d, block %d: a scale is not finite",
                       row, block);
        check_open(&f, SL_LAYOUT_PACKED, 1, expect);
        check_open(&f, SL_LAYOUT_PACKED, 3, name);
        check_open(&f, SL_LAYOUT_MAPPED, 1, NULL); /* a pass would find it */
        damage_scale(&f, format, matrix + 3 * row_bytes);
        save(&f);
        check_open(&f, SL_LAYOUT_PACKED, 3, "expert 2, row 3, block 0: ");
        free(f.bytes);
    }
}

/* Mutations: compare floats only; do not look at a bias; look in one layout only. */
static void a_norm_or_bias_that_is_not_finite_is_named_at_load(void **state) {
    static const struct {
        uint32_t type; /* in the record */
        uint16_t high; /* bytes of an infinity, the last two */
        size_t bytes;
    } kinds[] = {{0, 0x7f80, 4}, {1, 0x7c00, 2}, {30, 0x7f80, 2}};
    static const char *const names[] = {"blk.1.ffn_norm.weight", "blk.0.attn_k.bias",
                                        "output_norm.weight"};
    (void)state;
    int32_t arch = 0;
    while (strcmp(world_shape(SL_FORMAT_Q8_0, arch).arch->name, "qwen2moe") != 0)
        arch++;
    for (size_t k = 0; k < SL_COUNT(kinds); k++)
        for (size_t n = 0; n < SL_COUNT(names); n++) {
            const tiny_shape shape = world_shape(SL_FORMAT_Q8_0, arch);
            file f;
            make_file(&f, &shape);
            const place p = find_place(&f, names[n]);
            const size_t type_at = p.record + 8 + strlen(names[n]) + 4 + 8;
            memcpy(f.bytes + type_at, &kinds[k].type, sizeof kinds[k].type);
            memset(f.bytes + p.data, 0, (size_t)p.n_in * kinds[k].bytes);
            memcpy(f.bytes + p.data + 4 * kinds[k].bytes - 2, &kinds[k].high, 2);
            save(&f);
            check_open(&f, SL_LAYOUT_PACKED, 1, "element 3 is not finite");
            check_open(&f, SL_LAYOUT_MAPPED, 1, names[n]);
            free(f.bytes);
        }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_scale_that_is_not_finite_is_named_at_load),
    cmocka_unit_test(a_norm_or_bias_that_is_not_finite_is_named_at_load),
};

WORLD_MAIN(tests)

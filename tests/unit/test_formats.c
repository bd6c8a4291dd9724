/* test_formats.c - what blocks of each type mean, against an independent implementation.
 *
 * tests/golden/formats.bin holds blocks and the numbers the `gguf` package reads in them
 * (tools/golden_formats.py). Ours have the same bits, zeros their sign included. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "kernels/panel.h"

typedef struct golden {
    uint8_t *bytes;
    size_t size, at;
} golden;

static const uint8_t *take(golden *g, size_t n) {
    assert_true(n <= g->size - g->at);
    const uint8_t *p = g->bytes + g->at;
    g->at += n;
    return p;
}

static uint32_t take_u32(golden *g) {
    uint32_t v;
    memcpy(&v, take(g, sizeof v), sizeof v);
    return v;
}

static golden load_golden(void) {
    enum { SIZE_MAX_BYTES = 1 << 20 };
    golden g = {malloc(SIZE_MAX_BYTES), 0, 0};
    FILE *f = fopen(SL_TEST_DATA "/golden/formats.bin", "rb");
    assert_true(f && g.bytes);
    g.size = fread(g.bytes, 1, SIZE_MAX_BYTES, f);
    assert_int_equal(fclose(f), 0);
    assert_memory_equal(take(&g, 8), "SLFORMT1", 8);
    return g;
}

static int32_t find_format(const char *name) {
    for (int32_t f = 0; f < SL_FORMATS; f++)
        if (strcmp(sl__format_name((sl__format)f), name) == 0) return f;
    return -1;
}

/* Mutation: any constant, shift or order in formats.c. */
static void blocks_mean_what_the_reference_reads(void **state) {
    (void)state;
    golden g = load_golden();
    const uint32_t n_types = take_u32(&g);
    uint32_t seen = 1u << SL_FORMAT_F32; /* a copy */
    for (uint32_t t = 0; t < n_types; t++) {
        char name[16];
        memcpy(name, take(&g, sizeof name), sizeof name);
        const uint32_t size = take_u32(&g), n = take_u32(&g);
        const uint8_t *row = take(&g, (size + 3) / 4 * 4), *numbers = take(&g, n * sizeof(float));
        const int32_t format = find_format(name);
        CHECK_CASE(format >= 0, "%s", name);
        CHECK_CASE(sl__format_row_bytes((sl__format)format, (int32_t)n) == size, "%s", name);
        seen |= 1u << format;
        float *ours = malloc(n * sizeof *ours);
        uint8_t *exact = malloc(size); /* so that a read past the end is seen */
        assert_true(ours && exact);
        memcpy(exact, row, size);
        sl__row_to_float((sl__format)format, ours, exact, (int32_t)n);
        for (uint32_t i = 0; i < n; i++) {
            float theirs;
            memcpy(&theirs, numbers + i * sizeof theirs, sizeof theirs);
            CHECK_CASE(memcmp(&theirs, &ours[i], sizeof theirs) == 0, "%s, number %u: %a, not %a",
                       name, i, (double)ours[i], (double)theirs);
        }
        free(exact);
        free(ours);
    }
    assert_int_equal(g.at, g.size);
    assert_int_equal(seen, (1u << SL_FORMATS) - 1);
    free(g.bytes);
}

static int is_bad_number(sl__format format, const uint8_t *block) {
    float numbers[256];
    sl__row_to_float(format, numbers, block, sl__format_block(format));
    for (int32_t i = 0; i < sl__format_block(format); i++)
        if (!isfinite(numbers[i])) return 1;
    return 0;
}

/* A NaN or an infinity as half at every place of a block of zeros: found if and only if the
 * numbers of the block show it. Mutations: any row of the table of scales; an infinity only. */
static void scales_that_are_not_finite_are_found_where_they_are(void **state) {
    enum { BLOCKS = 3, BLOCK_BYTES_MAX = 256 };
    static const uint16_t bad[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
    (void)state;
    for (int32_t f = 0; f < SL_FORMATS; f++) {
        const sl__format format = (sl__format)f;
        if (!sl__format_is_quantised(format) || f == SL_FORMAT_MXFP4) continue;
        const int32_t columns = sl__format_block(format);
        const size_t bytes = sl__format_row_bytes(format, columns);
        int32_t places = 0;
        for (size_t at = 0; at + 2 <= bytes; at += 2)
            for (size_t i = 0; i < SL_COUNT(bad); i++) {
                uint8_t row[BLOCKS * BLOCK_BYTES_MAX] = {0};
                memcpy(row + bytes + at, &bad[i], sizeof bad[i]);
                const int expected = is_bad_number(format, row + bytes);
                const int32_t have = sl__row_bad_scale(format, row, BLOCKS * columns);
                CHECK_CASE(have == (expected ? 1 : -1), "%s, byte %zu, %x: %d",
                           sl__format_name(format), at, bad[i], have);
                places += i == 0 && expected;
            }
        CHECK_CASE(places == 1 || places == 2, "%s: %d places", sl__format_name(format), places);
    }
}

/* Mutations: 254, too; a byte of the quants. */
static void an_mxfp4_scale_of_255_is_not_finite(void **state) {
    uint8_t row[3 * 17];
    (void)state;
    memset(row, 255, sizeof row);
    row[0] = row[17] = 254;
    assert_int_equal(sl__row_bad_scale(SL_FORMAT_MXFP4, row, 96), 2);
    assert_int_equal(sl__row_bad_scale(SL_FORMAT_MXFP4, row, 64), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_the_reference_reads),
        cmocka_unit_test(scales_that_are_not_finite_are_found_where_they_are),
        cmocka_unit_test(an_mxfp4_scale_of_255_is_not_finite),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}

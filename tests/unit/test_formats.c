/* test_formats.c - what blocks of each type mean, against an independent implementation.
 *
 * tests/golden/formats.bin holds blocks and the numbers the `gguf` package reads in them
 * (tools/golden_formats.py). Ours have the same bits, zeros their sign included. */
#include "check.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_the_reference_reads),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}

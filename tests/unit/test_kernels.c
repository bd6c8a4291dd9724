/* test_kernels.c - every table against the scalar one, bit for bit.
 *
 * Buffers end at an unmapped page, so that a kernel that reads or writes one byte too
 * far crashes. The only slack a kernel may rely on is its documented padding. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/kernels.h"
#include "runtime/cpu.h"

/* n bytes that end exactly at an unmapped page. Freed with the process. */
static void *guarded(size_t n) {
    const size_t page = 4096, whole = (n + page - 1) / page * page;
    uint8_t *map =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + whole, page, PROT_NONE), 0);
    return map + whole - n;
}

static void release(void *p, size_t n) {
    const size_t page = 4096, whole = (n + page - 1) / page * page;
    assert_int_equal(munmap((uint8_t *)p + n - whole, whole + page), 0);
}

static float *guarded_normals(check_random *r, size_t n, float scale) {
    float *x = guarded(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * check_normal(r);
    return x;
}

/* Where the halves of a block are. */
typedef struct scale_place {
    sl__format format;
    int32_t at, bytes;
} scale_place;

static const scale_place scale_places[] = {
    /* clang-format off */
    {SL_FORMAT_Q8_0, 0, 2},   {SL_FORMAT_Q4_0, 0, 2},   {SL_FORMAT_Q4_1, 0, 2},
    {SL_FORMAT_Q4_1, 2, 2},   {SL_FORMAT_Q5_0, 0, 2},   {SL_FORMAT_Q5_1, 0, 2},
    {SL_FORMAT_Q5_1, 2, 2},   {SL_FORMAT_IQ4_NL, 0, 2}, {SL_FORMAT_Q2_K, 80, 2},
    {SL_FORMAT_Q2_K, 82, 2},  {SL_FORMAT_Q3_K, 108, 2}, {SL_FORMAT_Q4_K, 0, 2},
    {SL_FORMAT_Q4_K, 2, 2},   {SL_FORMAT_Q5_K, 0, 2},   {SL_FORMAT_Q5_K, 2, 2},
    {SL_FORMAT_Q6_K, 208, 2}, {SL_FORMAT_IQ4_XS, 0, 2}, {SL_FORMAT_IQ2_XXS, 0, 2},
    {SL_FORMAT_IQ2_XS, 0, 2}, {SL_FORMAT_IQ2_S, 0, 2},  {SL_FORMAT_IQ3_XXS, 0, 2},
    {SL_FORMAT_IQ3_S, 0, 2},  {SL_FORMAT_F32, 0, 0},
    /* clang-format on */
};

/* A row of a file in some format: random, with extremes (-128, the largest scales). */
static void fill_row(check_random *r, sl__format format, uint8_t *row, int32_t n_in) {
    const size_t bytes = sl__format_row_bytes(format, n_in);
    for (int32_t i = 0; format == SL_FORMAT_INT8 && i < n_in; i++)
        row[i] = (uint8_t)check_u64(r);
    if (format == SL_FORMAT_INT8) return;
    if (!sl__format_is_quantised(format)) {
        for (int32_t i = 0; i < n_in; i++) {
            const float x = check_normal(r);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            const uint16_t half =
                format == SL_FORMAT_F16 ? sl__float_to_half(x) : (uint16_t)(bits >> 16);
            if (format == SL_FORMAT_F32)
                memcpy(row + 4 * i, &x, 4);
            else
                memcpy(row + 2 * i, &half, 2);
        }
        return;
    }
    const int32_t blocks = n_in / sl__format_block(format);
    const size_t block = bytes / (size_t)blocks;
    for (size_t i = 0; i < bytes; i++)
        row[i] = (uint8_t)check_u64(r);
    for (int32_t b = 0; b < blocks; b++, row += block) {
        if (check_below(r, 6) == 0) memset(row, check_below(r, 2) ? 0x80 : 0x7f, block);
        if (check_below(r, 6) == 0) memset(row, check_below(r, 2) ? 0xff : 0x00, block);
        if (format == SL_FORMAT_MXFP4) row[0] = (uint8_t)(120 + check_below(r, 8));
        for (const scale_place *p = scale_places; p->bytes > 0; p++)
            if (p->format == format) {
                const uint16_t half = (uint16_t)(0x2000 + check_below(r, 0x1800) + /* 2^-7 .. 1 */
                                                 (check_below(r, 2) << 15));
                memcpy(row + p->at, &half, 2);
            }
    }
}

static const sl__kernels *table_or_skip(int32_t i) {
    const sl__kernels *k = sl__kernels_all[i];
    if ((k->needs & ~sl__cpu_features()) == 0) return k;
    print_message("    skip %s: not on this CPU\n", k->name);
    return NULL;
}

/* One product by table k: y [n_rows][16 n_panels], rows apart by stride. */
static void multiply(const sl__kernels *k, sl__format format, const uint8_t *panels, int32_t n_in,
                     int32_t n_panels, const void *const *x, float *y, int32_t n_rows) {
    float **rows = calloc((size_t)n_rows, sizeof *rows);
    assert_non_null(rows);
    for (int32_t r = 0; r < n_rows; r++)
        rows[r] = y + (size_t)r * (size_t)n_panels * SL_PANEL_ROWS;
    k->matmul[format](panels, n_in, n_panels, x, rows, n_rows);
    free(rows);
}

enum { ROWS_MAX = 33 };

static void check_matmul(check_random *r, sl__format format, int32_t n_in, int32_t n_out) {
    const int32_t n_panels = (n_out + SL_PANEL_ROWS - 1) / SL_PANEL_ROWS;
    const size_t row_bytes = sl__format_row_bytes(format, n_in);
    const size_t panel_bytes = sl__format_panel_bytes(format, n_in);
    uint8_t *rows = malloc((size_t)n_out * row_bytes);
    uint8_t *panels = guarded((size_t)n_panels * panel_bytes);
    for (int32_t o = 0; o < n_out; o++)
        fill_row(r, format, rows + (size_t)o * row_bytes, n_in);
    for (int32_t p = 0; p < n_panels; p++)
        sl__panel_pack(format, panels + (size_t)p * panel_bytes,
                       rows + (size_t)p * SL_PANEL_ROWS * row_bytes,
                       n_out - p * SL_PANEL_ROWS < 16 ? n_out - p * SL_PANEL_ROWS : 16, n_in);
    const int quantised = sl__format_is_quantised(format);
    const size_t x_bytes = quantised ? sl__act_bytes(n_in) : (size_t)n_in * sizeof(float);
    void *x[ROWS_MAX];
    for (int32_t i = 0; i < ROWS_MAX; i++) {
        float *values = guarded_normals(r, (size_t)n_in, i % 5 == 4 ? 1e4f : 1.0f);
        x[i] = values;
        if (quantised) {
            x[i] = guarded(x_bytes);
            sl__kernels_scalar.quantise(x[i], n_in, 0, values, n_in / SL_Q_BLOCK);
            release(values, (size_t)n_in * sizeof(float));
        }
    }
    const size_t y_row = (size_t)n_panels * SL_PANEL_ROWS;
    float *want = malloc(ROWS_MAX * y_row * sizeof *want);
    float *have = guarded(ROWS_MAX * y_row * sizeof *have);
    assert_true(rows && want);
    multiply(&sl__kernels_scalar, format, panels, n_in, n_panels, (const void *const *)x, want,
             ROWS_MAX);
    static const int32_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, ROWS_MAX};
    for (int32_t t = 0; t < sl__kernels_count; t++) {
        const sl__kernels *k = sl__kernels_all[t];
        if (k->needs & ~sl__cpu_features()) continue;
        for (size_t c = 0; c < SL_COUNT(counts); c++) {
            const int32_t n = counts[c];
            float *y = have + (size_t)(ROWS_MAX - n) * y_row; /* ends at the guard */
            memset(y, 0xff, (size_t)n * y_row * sizeof *y);
            multiply(k, format, panels, n_in, n_panels, (const void *const *)x, y, n);
            CHECK_CASE(memcmp(y, want, (size_t)n * y_row * sizeof *y) == 0,
                       "%s %s, %d rows of %d columns, %d outputs", k->name, sl__format_name(format),
                       n, n_in, n_out);
        }
    }
    for (int32_t i = 0; i < ROWS_MAX; i++)
        release(x[i], x_bytes);
    release(panels, (size_t)n_panels * panel_bytes);
    release(have, ROWS_MAX * y_row * sizeof *have);
    free(rows);
    free(want);
}

/* Mutations: another order of additions, a fused step not fused, a row that sees its
 * neighbour, a wrong bias of the unsigned trick, a read past the last panel. */
static void products_have_the_scalar_bits_for_any_number_of_rows(void **state) {
    (void)state;
    check_random r = {1, 0};
    for (int32_t t = 0; t < sl__kernels_count; t++)
        if (table_or_skip(t)) print_message("    runs %s\n", sl__kernels_all[t]->name);
    static const int32_t sizes[][2] = {{32, 1},   {32, 16},  {64, 17},  {96, 33},  {256, 17},
                                       {288, 17}, {256, 64}, {512, 40}, {96, 144}, {768, 100}};
    for (int f = 0; f < SL_PANEL_FORMATS; f++) {
        for (size_t i = 0; i < SL_COUNT(sizes); i++)
            if (sizes[i][0] % sl__format_block((sl__format)f) == 0)
                check_matmul(&r, (sl__format)f, sizes[i][0], sizes[i][1]);
        if (!sl__format_is_quantised((sl__format)f)) check_matmul(&r, (sl__format)f, 7, 5);
    }
}

/* The specification itself against doubles. Mutation: a wrong nibble, byte or scale in
 * panel.c or in the scalar products. */
static void the_scalar_product_is_the_product_of_the_stored_numbers(void **state) {
    (void)state;
    check_random r = {2, 0};
    enum { N_IN = 768, N_OUT = 21 };
    for (int f = 0; f < SL_PANEL_FORMATS; f++) {
        const sl__format format = (sl__format)f;
        const size_t row_bytes = sl__format_row_bytes(format, N_IN);
        const size_t panel_bytes = sl__format_panel_bytes(format, N_IN);
        uint8_t *rows = malloc(N_OUT * row_bytes), *panels = malloc(2 * panel_bytes);
        assert_true(rows && panels);
        for (size_t o = 0; o < N_OUT; o++)
            fill_row(&r, format, rows + o * row_bytes, N_IN);
        sl__panel_pack(format, panels, rows, 16, N_IN);
        sl__panel_pack(format, panels + panel_bytes, rows + 16 * row_bytes, N_OUT - 16, N_IN);
        float x[N_IN], y[32], w[N_IN];
        _Alignas(16) uint8_t act[N_IN + N_IN / 32 * 12];
        for (int i = 0; i < N_IN; i++)
            x[i] = check_normal(&r);
        const void *row = x;
        if (sl__format_is_quantised(format)) {
            sl__kernels_scalar.quantise(act, N_IN, 0, x, N_IN / SL_Q_BLOCK);
            for (int i = 0; i < N_IN; i++) { /* what the kernel is given */
                const float rounded =
                    (float)sl__act_quants(act)[i] * sl__act_scales(act, N_IN)[i / SL_Q_BLOCK];
                CHECK_CASE(fabsf(rounded - x[i]) <=
                               0.501f * sl__act_scales(act, N_IN)[i / SL_Q_BLOCK],
                           "quantised value %d", i);
                x[i] = rounded;
            }
            row = act;
        }
        float *out = y;
        sl__kernels_scalar.matmul[format](panels, N_IN, 2, &row, &out, 1);
        for (size_t o = 0; o < N_OUT; o++) {
            double sum = 0, magnitude = 0;
            sl__row_to_float(format, w, rows + o * row_bytes, N_IN);
            for (int i = 0; i < N_IN; i++) {
                sum += (double)w[i] * (double)x[i];
                magnitude += fabs((double)w[i] * (double)x[i]);
            }
            CHECK_CASE(fabs(sum - (double)y[o]) <= N_IN * 0x1p-24 * magnitude, "%s output %zu",
                       sl__format_name(format), o);
        }
        for (size_t o = N_OUT; o < 32; o++)
            CHECK_CASE(y[o] == 0.0f, "%s padding %zu", sl__format_name(format), o);
        free(rows);
        free(panels);
    }
}

/* Mutations: rounding away from zero, -128 kept, a missing tail mask, exp of another
 * polynomial, a sum in another order. */
static void row_operations_have_the_scalar_bits(void **state) {
    (void)state;
    check_random r = {3, 0};
    static const int32_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 64, 100, 128, 257, 1000};
    for (int32_t t = 0; t < sl__kernels_count; t++) {
        const sl__kernels *k = sl__kernels_all[t], *s = &sl__kernels_scalar;
        if (k->needs & ~sl__cpu_features()) continue;
        for (size_t i = 0; i < SL_COUNT(sizes); i++) {
            const int32_t n = sizes[i];
            const size_t bytes = (size_t)n * sizeof(float);
            float *x = guarded_normals(&r, (size_t)n, i % 3 ? 3.0f : 60.0f);
            float *w = guarded_normals(&r, (size_t)n, 1), *y = guarded(bytes), *z = guarded(bytes);
            uint16_t *h = guarded(bytes / 2), *g = guarded(bytes / 2);

            s->rms_norm(y, x, w, n, 1e-6f);
            k->rms_norm(z, x, w, n, 1e-6f);
            CHECK_CASE(memcmp(y, z, bytes) == 0, "%s rms_norm of %d", k->name, n);
            s->silu_mul(y, x, w, n);
            k->silu_mul(z, x, w, n);
            CHECK_CASE(memcmp(y, z, bytes) == 0, "%s silu_mul of %d", k->name, n);
            s->to_half(h, x, n);
            k->to_half(g, x, n);
            CHECK_CASE(memcmp(h, g, bytes / 2) == 0, "%s to_half of %d", k->name, n);
            memcpy(y, x, bytes);
            memcpy(z, x, bytes);
            s->softmax(y, n);
            k->softmax(z, n);
            CHECK_CASE(memcmp(y, z, bytes) == 0, "%s softmax of %d", k->name, n);
            if (n % SL_Q_BLOCK == 0) {
                uint8_t *a = guarded(sl__act_bytes(n)), *b = guarded(sl__act_bytes(n));
                memset(x, 0, 16 * sizeof *x);
                x[n - 1] = 1e-33f; /* both sides of "too small for a scale" */
                s->quantise(a, n, 0, x, n / SL_Q_BLOCK);
                k->quantise(b, n, 0, x, n / SL_Q_BLOCK);
                CHECK_CASE(memcmp(a, b, sl__act_bytes(n)) == 0, "%s quantise of %d", k->name, n);
                release(a, sl__act_bytes(n));
                release(b, sl__act_bytes(n));
            }
            release(x, bytes), release(w, bytes), release(y, bytes), release(z, bytes);
            release(h, bytes / 2), release(g, bytes / 2);
        }
    }
}

static void exp_is_close_to_libm(void **state) {
    (void)state;
    for (float x = -80; x < 0; x += 0.037f) { /* softmax of two: e^x / (1 + e^x) */
        float pair[2] = {0, x};
        sl__kernels_scalar.softmax(pair, 2);
        const double want = exp((double)x) / (1 + exp((double)x));
        CHECK_CASE(fabs((double)pair[1] - want) <= 4e-7 * want, "x = %g", (double)x);
    }
}

/* Mutation: any change to convert.c. All 65,536 halves there and back. */
static void halves_convert_exactly(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = sl__half_to_float((uint16_t)h);
        if (x != x) continue;
        CHECK_CASE(sl__float_to_half(x) == h, "half %04x", h);
        const float next = sl__half_to_float((uint16_t)(h + 1));
        if ((h & 0x7fff) >= 0x7bff || next != next) continue;
        const float middle = (float)(((double)x + (double)next) / 2); /* exact in float */
        CHECK_CASE(sl__float_to_half(middle) == (h & 1 ? h + 1 : h), "tie above %04x", h);
    }
    assert_int_equal(sl__float_to_half(65520.0f), 0x7c00);
    assert_int_equal(sl__float_to_half(65519.0f), 0x7bff);
}

/* Mutation: select ignoring the CPU mask or the name. */
static void selection_obeys_cpu_and_name(void **state) {
    (void)state;
    assert_string_equal(sl__kernels_select(0, NULL)->name, "scalar");
    assert_null(sl__kernels_select(~0u, "no-such-table"));
#if SL_HAVE_AVX2
    assert_null(sl__kernels_select(0, "avx2"));
    assert_string_equal(sl__kernels_select(SL_CPU_AVX2, NULL)->name, "avx2");
    assert_null(sl__kernels_select(SL_CPU_AVX2, "avxvnni"));
#endif
#if SL_HAVE_AVXVNNI
    assert_ptr_equal(sl__kernels_select(SL_CPU_AVX2 | SL_CPU_AVXVNNI, NULL), &sl__kernels_avxvnni);
#endif
#if SL_HAVE_AVX2 /* AVX2 without VNNI, the best by its walk */
    assert_ptr_equal(sl__kernels_select(SL_CPU_AVX2, NULL), &sl__kernels_avx2);
    assert_ptr_equal(sl__kernels_select(SL_CPU_AVX2 | SL_CPU_ASKING, NULL),
                     &sl__kernels_avx2_asking);
#endif
#if SL_HAVE_AVX512 /* its own encoding, unless the processor has both */
    assert_ptr_equal(sl__kernels_select(SL_CPU_AVX2 | SL_CPU_AVX512, "avxvnni"),
                     &sl__kernels_avxvnni_vl);
    assert_string_equal(sl__kernels_select(SL_CPU_AVX2 | SL_CPU_AVX512, NULL)->name, "avx512");
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_convert_exactly),
        cmocka_unit_test(exp_is_close_to_libm),
        cmocka_unit_test(the_scalar_product_is_the_product_of_the_stored_numbers),
        cmocka_unit_test(products_have_the_scalar_bits_for_any_number_of_rows),
        cmocka_unit_test(row_operations_have_the_scalar_bits),
        cmocka_unit_test(selection_obeys_cpu_and_name),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}

/* test_gguf.c - a damaged file is an error that says where; a good one reads back. */
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "gguf_bytes.h"
#include "model/gguf.h"
#include "model/vocab.h"

/* ---- building bad files byte by byte ---- */

typedef struct raw {
    unsigned char bytes[1024];
    size_t n;
} raw;

static void put(raw *r, const void *bytes, size_t n) {
    assert_true(r->n + n <= sizeof r->bytes);
    memcpy(r->bytes + r->n, bytes, n);
    r->n += n;
}

static void put_u32(raw *r, uint32_t value) {
    const unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
                                    (unsigned char)(value >> 16), (unsigned char)(value >> 24)};
    put(r, bytes, 4);
}

static void put_u64(raw *r, uint64_t value) {
    put_u32(r, (uint32_t)value);
    put_u32(r, (uint32_t)(value >> 32));
}

static void put_name(raw *r, const char *name) {
    put_u64(r, strlen(name));
    put(r, name, strlen(name));
}

static raw header(uint64_t n_tensors, uint64_t n_keys) {
    raw r = {.n = 0};
    put(&r, "GGUF", 4);
    put_u32(&r, 3);
    put_u64(&r, n_tensors);
    put_u64(&r, n_keys);
    return r;
}

/* A record of a tensor [ne0, ne1]. */
static void put_tensor(raw *r, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1,
                       uint64_t offset) {
    put_name(r, name);
    put_u32(r, 2);
    put_u64(r, ne0);
    put_u64(r, ne1);
    put_u32(r, type);
    put_u64(r, offset);
}

static void put_zeros(raw *r, size_t n) {
    static const unsigned char zeros[512];
    put(r, zeros, n);
}

/* Parse an exact heap copy; the result is closed again. */
static sl_status parse(const void *bytes, size_t n, sl_error *err) {
    sl__gguf g;
    unsigned char *copy = exact_copy(bytes, n);
    const sl_status status = sl__gguf_parse(&g, copy, n, "t.gguf", err);
    sl__gguf_close(&g);
    free(copy);
    return status;
}

/* ---- tests ---- */

#define V3 "GGUF\3\0\0\0"
#define NONE "\0\0\0\0\0\0\0\0"

/* Fails if a check of the header is dropped, moved to another offset or off by one. */
static void each_bad_header_field_is_reported_where_it_is(void **state) {
    static const struct {
        const char *label, *bytes;
        size_t n;
        sl_status status;
        uint64_t at;
    } rows[] = {
        /* clang-format off */
        {"no keys, no tensors", V3 NONE NONE, 24, SL_OK, 0},
        {"version 2",           "GGUF\2\0\0\0" NONE NONE, 24, SL_OK, 0},
        {"empty",               "", 0, SL_E_FORMAT, 0},
        {"cut in the magic",    "GGU", 3, SL_E_FORMAT, 0},
        {"cut by one",          V3 NONE NONE, 23, SL_E_FORMAT, 16},
        {"wrong magic",         "GGML\3\0\0\0" NONE NONE, 24, SL_E_FORMAT, 0},
        {"version 1",           "GGUF\1\0\0\0" NONE NONE, 24, SL_E_FORMAT, 4},
        {"version 4",           "GGUF\4\0\0\0" NONE NONE, 24, SL_E_FORMAT, 4},
        {"version 0",           "GGUF\0\0\0\0" NONE NONE, 24, SL_E_FORMAT, 4},
        {"big endian",          "GGUF\0\0\0\3" NONE NONE, 24, SL_E_FORMAT, 4},
        {"one tensor, no room", V3 "\1\0\0\0\0\0\0\0" NONE, 24, SL_E_FORMAT, 8},
        {"2^63 tensors",        V3 "\0\0\0\0\0\0\0\200" NONE, 24, SL_E_FORMAT, 8},
        {"one key, no room",    V3 NONE "\1\0\0\0\0\0\0\0", 24, SL_E_FORMAT, 16},
        {"2^32 keys",           V3 NONE "\0\0\0\0\1\0\0\0", 24, SL_E_FORMAT, 16},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {0};
        CHECK_CASE(parse(rows[i].bytes, rows[i].n, &err) == rows[i].status, "%s", rows[i].label);
        CHECK_CASE(err.code == rows[i].status, "%s", rows[i].label);
        CHECK_CASE(err.at == rows[i].at, "%s: at %llu", rows[i].label, (unsigned long long)err.at);
        CHECK_CASE((err.text[0] != '\0') == (rows[i].status != SL_OK), "%s", rows[i].label);
    }
}

/* Fails if a big-endian file is called a wrong version. */
static void a_big_endian_file_is_named_as_such(void **state) {
    sl_error err = {0};
    (void)state;
    assert_int_equal(parse("GGUF\0\0\0\3" NONE NONE, 24, &err), SL_E_FORMAT);
    assert_non_null(strstr(err.text, "big-endian"));
}

/* Eight-byte counts and four-byte type ids, little endian, as string literals. */
#define N(low) low "\0\0\0\0\0\0\0"
#define HUGE_COUNT "\0\0\0\0\0\0\0\40" /* 2^61 */
#define AB N("\2") "ab"
#define U8 "\0\0\0\0"
#define STRING "\10\0\0\0"
#define ARRAY "\11\0\0\0"
#define U64 "\12\0\0\0"

/* Fails if a check of a key's name, type, count or uniqueness is dropped or misplaced. */
static void each_bad_key_is_reported_where_it_is(void **state) {
#define ROW(label, n_keys, bytes, at)                                                              \
    { label, n_keys, bytes, sizeof(bytes) - 1, at }
    static const struct {
        const char *label;
        uint64_t n_keys;
        const char *bytes; /* after the header */
        size_t n;
        uint64_t at; /* from the header's end: type at 10, value at 14 */
    } rows[] = {
        /* clang-format off */
        ROW("empty name",         1, N("\0") U8 NONE, 0),
        ROW("name of 257 bytes",  1, "\1\1\0\0\0\0\0\0" NONE, 0),
        ROW("name past the end",  1, N("\144") NONE, 8),
        ROW("control character",  1, N("\2") "a\n" U8 NONE, 9),
        ROW("unknown type",       1, AB "\15\0\0\0" NONE, 10),
        ROW("value is missing",   1, AB U64 "\1\1\1", 14),
        ROW("string past end",    1, AB STRING "\377\377\377\377\377\377\377\377", 22),
        ROW("array of arrays",    1, AB ARRAY ARRAY NONE, 14),
        ROW("unknown element",    1, AB ARRAY "\143\0\0\0" NONE, 14),
        ROW("array one too long", 1, AB ARRAY U64 N("\3") NONE NONE, 18),
        ROW("2^61 numbers",       1, AB ARRAY U64 HUGE_COUNT NONE, 18),
        ROW("2^61 strings",       1, AB ARRAY STRING HUGE_COUNT NONE, 18),
        ROW("2nd string too long", 1, AB ARRAY STRING N("\2") N("\0") N("\11") "12345678", 42),
        ROW("the same key twice", 2, AB U8 "\1" AB U8 "\1", 15),
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {0};
        raw r = header(0, rows[i].n_keys);
        put(&r, rows[i].bytes, rows[i].n);
        CHECK_CASE(parse(r.bytes, r.n, &err) == SL_E_FORMAT, "%s", rows[i].label);
        CHECK_CASE(err.at == 24 + rows[i].at, "%s: at %llu: %s", rows[i].label,
                   (unsigned long long)err.at, err.text);
    }
}

/* One or two tensors after a header of 24 bytes; records of 8 + 1 + 4 + 16 + 4 + 8 = 41
 * bytes (name "a"). at: relative to the record of the tensor blamed. */
static const struct {
    const char *label;
    uint32_t type;
    uint64_t ne0, ne1, offset;
    uint64_t data; /* bytes of data in the file */
    sl_status status;
    uint64_t at;
} tensor_rows[] = {
    /* clang-format off */
    {"good F32",             SL_TYPE_F32,  8, 2, 0, 64, SL_OK, 0},
    {"good Q8_0",            SL_TYPE_Q8_0, 64, 1, 0, 68, SL_OK, 0},
    {"good, after a gap",    SL_TYPE_F32,  8, 2, 32, 96, SL_OK, 0},
    {"one byte short",       SL_TYPE_F32,  8, 2, 0, 63, SL_E_FORMAT, 0},
    {"starts past the end",  SL_TYPE_F32,  8, 2, 128, 64, SL_E_FORMAT, 0},
    {"offset 2^64 - 32",     SL_TYPE_F32,  8, 2, UINT64_MAX - 31, 64, SL_E_FORMAT, 0},
    {"offset not aligned",   SL_TYPE_F32,  8, 1, 16, 64, SL_E_FORMAT, 0},
    {"half a block",         SL_TYPE_Q8_0, 48, 1, 0, 128, SL_E_FORMAT, 29},
    {"dimension 0",          SL_TYPE_F32,  8, 0, 0, 64, SL_E_FORMAT, 21},
    {"dimension 2^63",       SL_TYPE_F32,  (uint64_t)1 << 63, 1, 0, 64, SL_E_FORMAT, 13},
    {"product 2^64",         SL_TYPE_F32,  (uint64_t)1 << 32, (uint64_t)1 << 32, 0, 64, SL_E_FORMAT, 21},
    {"size 2^65",            SL_TYPE_F32,  (uint64_t)1 << 32, (uint64_t)1 << 31, 0, 64, SL_E_FORMAT, 29},
    {"removed type 4",       4,            32, 1, 0, 64, SL_E_FORMAT, 29},
    {"type past the table",  1000,         32, 1, 0, 64, SL_E_FORMAT, 29},
    /* clang-format on */
};

/* Fails if shape, type, size, alignment or range of a tensor goes unchecked. */
static void each_bad_tensor_is_reported_where_it_is(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COUNT(tensor_rows); i++) {
        sl_error err = {0};
        raw r = header(1, 0);
        put_tensor(&r, "a", tensor_rows[i].type, tensor_rows[i].ne0, tensor_rows[i].ne1,
                   tensor_rows[i].offset);
        put_zeros(&r, (32 - r.n % 32) % 32 + (size_t)tensor_rows[i].data);
        CHECK_CASE(parse(r.bytes, r.n, &err) == tensor_rows[i].status, "%s: %s",
                   tensor_rows[i].label, err.text);
        if (tensor_rows[i].status == SL_OK) continue;
        CHECK_CASE(err.at == 24 + tensor_rows[i].at, "%s: at %llu", tensor_rows[i].label,
                   (unsigned long long)err.at);
        CHECK_CASE(strstr(err.text, "tensor a at offset") != NULL, "%s: %s", tensor_rows[i].label,
                   err.text);
    }
}

/* Fails if the number of dimensions is not held to 1 .. 4. */
static void a_tensor_has_one_to_four_dimensions(void **state) {
    (void)state;
    for (uint32_t n_dims = 0; n_dims <= 6; n_dims++) {
        sl_error err = {0};
        raw r = header(1, 0);
        put_name(&r, "a");
        put_u32(&r, n_dims);
        for (uint32_t d = 0; d < n_dims; d++)
            put_u64(&r, 2);
        put_u32(&r, SL_TYPE_F32);
        put_u64(&r, 0);
        put_zeros(&r, 31 + 64);
        const bool good = n_dims >= 1 && n_dims <= 4;
        CHECK_CASE(parse(r.bytes, r.n, &err) == (good ? SL_OK : SL_E_FORMAT), "%u", n_dims);
        if (!good) CHECK_CASE(err.at == 24 + 9, "%u", n_dims);
    }
}

/* Fails if overlap is tested only between neighbours in file order, or a shared name is
 * accepted, or touching counts as overlap. */
static void tensors_are_distinct_in_name_and_place(void **state) {
    static const struct {
        const char *second;
        uint64_t first_at, second_at, third_at;
        const char *expect; /* in the message, NULL: parses */
    } rows[] = {
        {"b", 64, 0, 128, NULL},
        {"b", 64, 0, 96, "overlaps a"},
        {"b", 64, 64, 128, "overlaps"},
        {"a", 64, 0, 128, "second time"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl_error err = {0};
        raw r = header(3, 0);
        put_tensor(&r, "a", SL_TYPE_F32, 8, 2, rows[i].first_at);
        put_tensor(&r, rows[i].second, SL_TYPE_F32, 8, 2, rows[i].second_at);
        put_tensor(&r, "c", SL_TYPE_F32, 8, 2, rows[i].third_at);
        put_zeros(&r, 256);
        const sl_status status = parse(r.bytes, r.n, &err);
        CHECK_CASE((status == SL_OK) == !rows[i].expect, "row %zu: %s", i, err.text);
        if (rows[i].expect) CHECK_CASE(strstr(err.text, rows[i].expect), "%zu: %s", i, err.text);
    }
}

/* Fails if an alignment that is no power of two, tiny or huge gets through. */
static void alignment_is_a_power_of_two_in_range(void **state) {
    static const uint32_t values[] = {0, 1, 4, 8, 24, 32, 48, 4096, 1 << 20, 1 << 21, 1u << 31};
    (void)state;
    for (size_t i = 0; i < SL_COUNT(values); i++) {
        const uint32_t v = values[i];
        const bool good = v >= 8 && v <= 1u << 20 && (v & (v - 1)) == 0;
        sl_error err = {0};
        raw r = header(0, 1);
        put_name(&r, "general.alignment");
        put_u32(&r, SL_GGUF_U32);
        put_u32(&r, v);
        CHECK_CASE(parse(r.bytes, r.n, &err) == (good ? SL_OK : SL_E_FORMAT), "%u", v);
        if (!good) CHECK_CASE(err.at == 24, "%u", v);
    }
}

static const extra_token extra[] = {{"ab", SL_TOKEN_NORMAL},
                                    {"abc", SL_TOKEN_NORMAL},
                                    {"<|im_end|>", SL_TOKEN_CONTROL},
                                    {"::", SL_TOKEN_USER_DEFINED}};
static const char *const merges[] = {"a b", "ab c"};

/* A small file with every kind of key, a vocabulary and three tensors. */
static gguf_bytes small_file(void) {
    static const int64_t matrix[2] = {64, 3}, vector[1] = {5};
    static const int32_t numbers[] = {3, -4, 5};
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    sl__gguf_put_str(&w, "general.architecture", "qwen3moe");
    sl__gguf_put_u32(&w, "count", 48);
    sl__gguf_put_f32(&w, "eps", 1e-6f);
    sl__gguf_put_bool(&w, "flag", true);
    sl__gguf_put_i32s(&w, "numbers", numbers, 3);
    put_vocabulary(&w, extra, SL_COUNT(extra), merges, SL_COUNT(merges));
    (void)sl__gguf_put_tensor(&w, "matrix", SL_TYPE_Q8_0, 2, matrix);
    (void)sl__gguf_put_tensor(&w, "vector", SL_TYPE_F32, 1, vector);
    (void)sl__gguf_put_tensor(&w, "last", SL_TYPE_F16, 2, matrix);
    return finish_bytes(&w);
}

/* Fails if a value is read from the wrong place or width, or an offset or size is wrong. */
static void what_was_written_reads_back(void **state) {
    int32_t count = 0;
    float eps = 0;
    bool flag = false;
    sl__gguf_string arch;
    sl__gguf_array numbers, tokens;
    sl__gguf g;
    sl_error err = {0};
    gguf_bytes file = small_file();
    (void)state;
    assert_int_equal(sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", &err), SL_OK);
    assert_int_equal(sl__gguf_i32(&g, "count", 48, 48, &count, &err), SL_OK);
    assert_int_equal(count, 48);
    assert_int_equal(sl__gguf_f32(&g, "eps", 0, 1, &eps, &err), SL_OK);
    assert_true(eps == 1e-6f);
    assert_int_equal(sl__gguf_bool_or(&g, "flag", false, &flag, &err), SL_OK);
    assert_true(flag);
    assert_int_equal(sl__gguf_str(&g, "general.architecture", &arch, &err), SL_OK);
    assert_true(sl__gguf_string_is(arch, "qwen3moe"));
    assert_int_equal(sl__gguf_i32s_or_empty(&g, "numbers", -4, 5, &numbers, &err), SL_OK);
    assert_int_equal(numbers.n, 3);
    assert_int_equal(sl__gguf_i32_at(&numbers, 1), -4);
    assert_int_equal(sl__gguf_strs(&g, "tokenizer.ggml.tokens", &tokens, &err), SL_OK);
    for (int i = 0; i < 257; i++)
        arch = sl__gguf_next_string(&tokens);
    assert_true(sl__gguf_string_is(arch, "ab"));

    assert_int_equal(g.n_tensors, 3);
    const sl__gguf_tensor *t = sl__gguf_find_tensor(&g, "vector");
    assert_non_null(t);
    assert_int_equal(t->size, 20);
    assert_int_equal(t->ne[0], 5);
    assert_int_equal(t->ne[1], 1);
    assert_int_equal(t->at, g.data_at + 224); /* 204 bytes of Q8_0, padded */
    assert_ptr_equal(t->data, file.bytes + t->at);
    assert_null(sl__gguf_find_tensor(&g, "vecto"));
    assert_null(sl__gguf_find_tensor(&g, "vector2"));
    sl__gguf_close(&g);
    free(file.bytes);
}

/* Fails if a getter ignores type, bounds or absence, or its message loses a part. */
static void getters_say_what_was_found_and_expected(void **state) {
    int32_t number = 7;
    float real = 7;
    bool flag = true;
    sl__gguf_string text;
    sl__gguf_array array;
    sl__gguf g;
    sl_error err = {0};
    gguf_bytes file = small_file();
    (void)state;
    assert_int_equal(sl__gguf_parse(&g, file.bytes, file.n, "t.gguf", &err), SL_OK);

    assert_int_equal(sl__gguf_i32(&g, "count", 1, 47, &number, &err), SL_E_FORMAT);
    assert_string_equal(err.text, "t.gguf: key count at offset 72: 48, expected 1 .. 47");
    assert_int_equal(err.at, 72);
    assert_int_equal(sl__gguf_i32(&g, "count", 49, 99, &number, NULL), SL_E_FORMAT);
    assert_int_equal(sl__gguf_i32(&g, "eps", 1, 47, &number, &err), SL_E_FORMAT);
    assert_non_null(strstr(err.text, "type F32, expected an integer"));
    assert_int_equal(sl__gguf_i32(&g, "nope", 1, 47, &number, &err), SL_E_FORMAT);
    assert_string_equal(err.text, "t.gguf: key nope: missing");
    assert_true(err.at == SL_NOWHERE);
    assert_int_equal(number, 7); /* untouched by failure */
    assert_int_equal(sl__gguf_i32_or(&g, "nope", 5, 1, 47, &number, &err), SL_OK);
    assert_int_equal(number, 5);
    assert_int_equal(sl__gguf_i32_or(&g, "count", 5, 1, 47, &number, &err), SL_E_FORMAT);

    assert_int_equal(sl__gguf_f32(&g, "eps", 1e-3f, 1, &real, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_f32(&g, "count", 0, 100, &real, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_f32_or(&g, "nope", 2, 0, 1, &real, &err), SL_OK);
    assert_true(real == 2);
    assert_int_equal(sl__gguf_bool_or(&g, "count", true, &flag, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_str(&g, "count", &text, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_str_or_empty(&g, "nope", &text, &err), SL_OK);
    assert_int_equal(text.n, 0);
    assert_int_equal(sl__gguf_strs(&g, "numbers", &array, &err), SL_E_FORMAT);
    assert_non_null(strstr(err.text, "an array of I32, expected an array of STRING"));
    assert_int_equal(sl__gguf_i32s_or_empty(&g, "numbers", 0, 5, &array, &err), SL_E_FORMAT);
    assert_non_null(strstr(err.text, "element 1 is -4, expected 0 .. 5"));
    assert_int_equal(sl__gguf_f32s_or_empty(&g, "numbers", &array, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_i32s_or_empty(&g, "count", 0, 99, &array, &err), SL_E_FORMAT);
    assert_int_equal(sl__gguf_i32s_or_empty(&g, "nope", 0, 5, &array, &err), SL_OK);
    assert_int_equal(array.n, 0);
    sl__gguf_close(&g);
    free(file.bytes);
}

/* Fails if an integer type is read with the wrong width or sign, or a huge u64 wraps. */
static void every_integer_type_is_accepted_and_checked(void **state) {
    static const struct {
        uint32_t type, size;
        uint64_t bits;
        bool fits;
        int32_t value;
    } rows[] = {
        {SL_GGUF_U8, 1, 0xff, true, 255},
        {SL_GGUF_I8, 1, 0xff, true, -1},
        {SL_GGUF_U16, 2, 0xfffe, true, 65534},
        {SL_GGUF_I16, 2, 0xfffe, true, -2},
        {SL_GGUF_U32, 4, 0x7fffffff, true, INT32_MAX},
        {SL_GGUF_U32, 4, 0x80000000, false, 0},
        {SL_GGUF_I32, 4, 0x80000000, true, INT32_MIN},
        {SL_GGUF_U64, 8, 12, true, 12},
        {SL_GGUF_U64, 8, UINT64_MAX, false, 0},
        {SL_GGUF_I64, 8, UINT64_MAX, true, -1},
        {SL_GGUF_I64, 8, (uint64_t)1 << 32, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl__gguf g;
        int32_t value = 0;
        raw r = header(0, 1);
        put_name(&r, "abcdef");
        put_u32(&r, rows[i].type);
        put_u64(&r, rows[i].bits);
        r.n -= 8 - rows[i].size;
        unsigned char *copy = exact_copy(r.bytes, r.n);
        CHECK_CASE(sl__gguf_parse(&g, copy, r.n, "t", NULL) == SL_OK, "%zu", i);
        const sl_status status = sl__gguf_i32(&g, "abcdef", INT32_MIN, INT32_MAX, &value, NULL);
        CHECK_CASE((status == SL_OK) == rows[i].fits, "%zu", i);
        if (rows[i].fits) CHECK_CASE(value == rows[i].value, "%zu", i);
        sl__gguf_close(&g);
        free(copy);
    }
}

/* Fails if a float type is read with the wrong width, or a number that float cannot hold
 * becomes one that it can. */
static void both_float_types_are_accepted_and_checked(void **state) {
    static const struct {
        uint32_t type, size;
        uint64_t bits;
        bool fits;
        float value;
    } rows[] = {
        {SL_GGUF_F32, 4, 0xc0200000, true, -2.5f},
        {SL_GGUF_F32, 4, 0x7f800000, false, 0}, /* infinity */
        {SL_GGUF_F32, 4, 0x7fc00000, false, 0}, /* NaN */
        {SL_GGUF_F64, 8, 0xc004000000000000, true, -2.5f},
        {SL_GGUF_F64, 8, 0x7e37e43c8800759c, false, 0}, /* 1e300 */
        {SL_GGUF_F64, 8, 0x7ff8000000000000, false, 0}, /* NaN */
        {SL_GGUF_U32, 4, 3, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl__gguf g;
        float value = 0;
        raw r = header(0, 1);
        put_name(&r, "abcdef");
        put_u32(&r, rows[i].type);
        put_u64(&r, rows[i].bits);
        r.n -= 8 - rows[i].size;
        unsigned char *copy = exact_copy(r.bytes, r.n);
        CHECK_CASE(sl__gguf_parse(&g, copy, r.n, "t", NULL) == SL_OK, "%zu", i);
        const sl_status status = sl__gguf_f32(&g, "abcdef", -1e38f, 1e38f, &value, NULL);
        CHECK_CASE((status == SL_OK) == rows[i].fits, "%zu", i);
        if (rows[i].fits) CHECK_CASE(value == rows[i].value, "%zu: %g", i, (double)value);
        sl__gguf_close(&g);
        free(copy);
    }
}

/* A value of every type, and an array of three of every type but arrays: the key behind it
 * is found, so its size was right; an array cut by one byte is not believed. */
static void every_value_type_has_its_size_alone_and_in_arrays(void **state) {
    static const uint32_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    (void)state;
    for (uint32_t type = 0; type < SL_COUNT(sizes); type++) {
        const size_t one = type == SL_GGUF_STRING ? 8 + 3 : sizes[type];
        for (uint32_t array = 0; array <= 1 && one > 0; array++) {
            sl__gguf g;
            int32_t behind = 0;
            raw r = header(0, 2);
            put_name(&r, "value");
            put_u32(&r, array ? SL_GGUF_ARRAY : type);
            if (array) put_u32(&r, type);
            if (array) put_u64(&r, 3);
            for (uint32_t i = 0; i < (array ? 3 : 1); i++) {
                if (type == SL_GGUF_STRING) put_name(&r, "abc");
                if (type != SL_GGUF_STRING) put_zeros(&r, one);
            }
            const size_t end = r.n;
            put_name(&r, "behind");
            put_u32(&r, SL_GGUF_U32);
            put_u32(&r, 77);
            unsigned char *copy = exact_copy(r.bytes, r.n);
            CHECK_CASE(sl__gguf_parse(&g, copy, r.n, "t", NULL) == SL_OK, "%u, %u", type, array);
            assert_int_equal(sl__gguf_i32(&g, "behind", 0, 99, &behind, NULL), SL_OK);
            assert_int_equal(behind, 77);
            assert_int_equal(sl__gguf_find_key(&g, "value")->count, array ? 3 : 1);
            assert_int_equal(sl__gguf_find_key(&g, "value")->element, type);
            sl__gguf_close(&g);
            free(copy);
            CHECK_CASE(parse(r.bytes, end - 1, NULL) == SL_E_FORMAT, "%u, %u", type, array);
        }
    }
}

/* Fails if the data starts elsewhere than at the next multiple of general.alignment, or a
 * tensor may lie at an offset that is none. */
static void data_starts_at_a_multiple_of_the_alignment(void **state) {
    (void)state;
    for (uint32_t alignment = 8; alignment <= 256; alignment *= 2) {
        sl__gguf g;
        raw r = header(1, 1);
        put_name(&r, "general.alignment");
        put_u32(&r, SL_GGUF_U32);
        put_u32(&r, alignment);
        put_tensor(&r, "a", SL_TYPE_F32, 8, 2, alignment);
        const size_t data_at = (r.n + alignment - 1) / alignment * alignment;
        put_zeros(&r, data_at - r.n + alignment + 64);
        unsigned char *copy = exact_copy(r.bytes, r.n);
        CHECK_CASE(sl__gguf_parse(&g, copy, r.n, "t", NULL) == SL_OK, "%u", alignment);
        assert_int_equal(g.data_at, data_at);
        assert_int_equal(g.tensors[0].at, data_at + alignment);
        sl__gguf_close(&g);
        const size_t offset_at = 24 + 8 + 17 + 8 + 33; /* header, key, record but for its end */
        copy[offset_at] = (unsigned char)(alignment / 2);
        copy[offset_at + 1] = 0;
        sl_error err = {0};
        CHECK_CASE(sl__gguf_parse(&g, copy, r.n, "t", &err) == SL_E_FORMAT, "%u", alignment);
        CHECK_CASE(strstr(err.text, "expected a multiple of"), "%u: %s", alignment, err.text);
        free(copy);
    }
}

/* Fails if a table entry of a common type has a wrong id or size, or a hole is filled. */
static void tensor_types_are_those_of_ggml(void **state) {
    static const struct {
        uint32_t id;
        const char *name;
        uint32_t elements, bytes;
    } rows[] = {{0, "F32", 1, 4},    {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},
                {8, "Q8_0", 32, 34}, {12, "Q4_K", 256, 144}, {14, "Q6_K", 256, 210},
                {30, "BF16", 1, 2},  {39, "MXFP4", 32, 17}};
    static const uint32_t holes[] = {4, 5, 31, 32, 33, 36, 37, 38, 42, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        const sl__tensor_type_info *info = sl__tensor_type_find(rows[i].id);
        assert_non_null(info);
        assert_string_equal(info->name, rows[i].name);
        assert_int_equal(info->block_elements, rows[i].elements);
        assert_int_equal(info->block_bytes, rows[i].bytes);
    }
    for (size_t i = 0; i < SL_COUNT(holes); i++)
        assert_null(sl__tensor_type_find(holes[i]));
}

/* Parse, and build the vocabulary if that worked: an error or a correct load. */
static sl_status load(const unsigned char *bytes, size_t n) {
    sl__gguf g;
    sl__vocab *vocab = NULL;
    sl_error err = {0};
    sl_status status = sl__gguf_parse(&g, bytes, n, "t.gguf", &err);
    if (status == SL_OK) {
        status = sl__vocab_open(&vocab, &g, &err);
        sl__vocab_close(&vocab);
    }
    sl__gguf_close(&g);
    assert_true((status == SL_OK) == (err.text[0] == '\0'));
    assert_int_equal(err.code, status);
    return status;
}

/* Fails if any length is believed beyond the end: ASan sees the read. */
static void a_file_cut_anywhere_is_an_error(void **state) {
    gguf_bytes file = small_file();
    (void)state;
    assert_int_equal(load(file.bytes, file.n), SL_OK);
    for (size_t n = 0; n < file.n; n++) {
        unsigned char *cut = exact_copy(file.bytes, n);
        CHECK_CASE(load(cut, n) == SL_E_FORMAT, "cut to %zu of %zu bytes", n, file.n);
        free(cut);
    }
    free(file.bytes);
}

/* Fails if corrupted bytes reach memory unchecked, or a failure leaves no message. */
static void corrupted_files_are_errors_or_load(void **state) {
    enum { ROUNDS = 2000 };
    int loaded = 0;
    check_random r = {11, 0};
    gguf_bytes file = small_file();
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char *bytes = exact_copy(file.bytes, file.n);
        for (int edits = 1 + check_below(&r, 3); edits > 0; edits--) {
            /* half of them among the first bytes, where the lengths are */
            const int32_t range = check_below(&r, 2) ? (int32_t)file.n : 400;
            unsigned char *at = bytes + check_below(&r, range);
            const uint64_t random = check_u64(&r);
            if (random & 1)
                *at = (unsigned char)(random >> 8); /* any byte */
            else
                *at ^= (unsigned char)(1u << (random >> 8 & 7)); /* one bit */
        }
        loaded += load(bytes, file.n) == SL_OK;
        free(bytes);
    }
    assert_in_range(loaded, 1, ROUNDS - 1); /* both outcomes were seen */
    free(file.bytes);
}

/* Fails if a directory, FIFO, empty or missing file is mapped, or the path is not named. */
static void only_regular_files_with_bytes_are_opened(void **state) {
    char directory[] = "/tmp/sluice-test-XXXXXX", path[64];
    sl__gguf g;
    sl_error err = {0};
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(sl__gguf_open(&g, directory, &err), SL_E_IO);
    assert_non_null(strstr(err.text, directory));
    (void)snprintf(path, sizeof path, "%s/file", directory);
    assert_int_equal(sl__gguf_open(&g, path, &err), SL_E_IO);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sl__gguf_open(&g, path, &err), SL_E_IO);
    assert_int_equal(unlink(path), 0);
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(sl__gguf_open(&g, path, &err), SL_E_IO);
    assert_non_null(strstr(err.text, "empty"));

    gguf_bytes file = small_file();
    assert_int_equal(write(fd, file.bytes, file.n), (int)file.n);
    assert_int_equal(close(fd), 0);
    assert_int_equal(sl__gguf_open(&g, path, &err), SL_OK);
    sl__mapping_drop(&g.mapping, 0, g.mapping.size); /* dropped pages read as before */
    assert_memory_equal(g.bytes, file.bytes, file.n);
    sl__gguf_close(&g);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    free(file.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bad_header_field_is_reported_where_it_is),
        cmocka_unit_test(a_big_endian_file_is_named_as_such),
        cmocka_unit_test(each_bad_key_is_reported_where_it_is),
        cmocka_unit_test(each_bad_tensor_is_reported_where_it_is),
        cmocka_unit_test(a_tensor_has_one_to_four_dimensions),
        cmocka_unit_test(tensors_are_distinct_in_name_and_place),
        cmocka_unit_test(alignment_is_a_power_of_two_in_range),
        cmocka_unit_test(what_was_written_reads_back),
        cmocka_unit_test(getters_say_what_was_found_and_expected),
        cmocka_unit_test(every_integer_type_is_accepted_and_checked),
        cmocka_unit_test(both_float_types_are_accepted_and_checked),
        cmocka_unit_test(every_value_type_has_its_size_alone_and_in_arrays),
        cmocka_unit_test(data_starts_at_a_multiple_of_the_alignment),
        cmocka_unit_test(tensor_types_are_those_of_ggml),
        cmocka_unit_test(a_file_cut_anywhere_is_an_error),
        cmocka_unit_test(corrupted_files_are_errors_or_load),
        cmocka_unit_test(only_regular_files_with_bytes_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

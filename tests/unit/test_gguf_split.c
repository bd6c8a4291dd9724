/* test_gguf_split.c - parts that belong together are one model; others are an error that
 * names the file. The parts are written here byte by byte, with the types that llama.cpp's
 * gguf-split uses; test_files.c has parts of other people's making. */
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "model/gguf.h"

enum { PARTS = 3, PATH_SIZE = 96 };

/* One file: its keys, and its tensors, each a letter and eight floats of that value. */
typedef struct part {
    const char *ending; /* of the file's name; NULL: no such file */
    int32_t no, count;  /* count -1: no keys at all               */
    int32_t total;      /* split.tensors.count, -1: not there     */
    const char *tensors;
} part;

typedef struct bytes {
    unsigned char at[2048];
    size_t n;
} bytes;

static void put(bytes *b, const void *from, size_t n) {
    assert_true(b->n + n <= sizeof b->at);
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static void put_number(bytes *b, uint64_t value, size_t size) {
    unsigned char out[8];
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(value >> 8 * i);
    put(b, out, size);
}

static void put_name(bytes *b, const char *name) {
    put_number(b, strlen(name), 8);
    put(b, name, strlen(name));
}

static void put_key(bytes *b, const char *name, sl__gguf_type type, int32_t value) {
    put_name(b, name);
    put_number(b, type, 4);
    put_number(b, (uint64_t)value, type == SL_GGUF_U16 ? 2 : 4);
}

static void put_tensor(bytes *b, char name, size_t i) {
    put_name(b, (const char[]){name, '\0'});
    put_number(b, 1, 4);
    put_number(b, 8, 8);
    put_number(b, SL_TYPE_F32, 4);
    put_number(b, 32 * i, 8);
}

static bytes part_bytes(const part *p) {
    bytes b = {.n = 0};
    const size_t n = strlen(p->tensors);
    put(&b, "GGUF\3\0\0\0", 8);
    put_number(&b, n, 8);
    put_number(&b, p->count < 0 ? 0 : p->total < 0 ? 2 : 3, 8);
    if (p->count >= 0) {
        put_key(&b, "split.no", SL_GGUF_U16, p->no);
        put_key(&b, "split.count", SL_GGUF_U16, p->count);
        if (p->total >= 0) put_key(&b, "split.tensors.count", SL_GGUF_I32, p->total);
    }
    for (size_t i = 0; i < n; i++)
        put_tensor(&b, p->tensors[i], i);
    b.n = sl__round_up(b.n, 32);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 8; k++) {
            const float value = (float)p->tensors[i];
            put(&b, &value, sizeof value);
        }
    return b;
}

static char directory[] = "/tmp/sluice-split-XXXXXX";

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    return rmdir(directory);
}

static const char *part_path(char out[PATH_SIZE], const part *p) {
    (void)snprintf(out, PATH_SIZE, "%s/m%s", directory, p->ending);
    return out;
}

/* Write the parts, open the file called m + ending, remove the parts. */
static sl_status open_parts(const part parts[PARTS], const char *ending, sl__gguf *g,
                            sl_error *err) {
    char path[PATH_SIZE];
    for (int i = 0; i < PARTS; i++) {
        if (!parts[i].ending) continue;
        const bytes b = part_bytes(&parts[i]);
        const int fd = open(part_path(path, &parts[i]), O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, b.at, b.n), (int)b.n);
        assert_int_equal(close(fd), 0);
    }
    const part first = {.ending = ending};
    const sl_status status = sl__gguf_open(g, part_path(path, &first), err);
    for (int i = 0; i < PARTS; i++)
        if (parts[i].ending) assert_int_equal(unlink(part_path(path, &parts[i])), 0);
    return status;
}

#define FIRST "-00001-of-00003.gguf"
#define SECOND "-00002-of-00003.gguf"
#define THIRD "-00003-of-00003.gguf"

/* Fails if a part is left out, read from another file's bytes, or its tensors are lost. */
static void the_first_part_opens_all(void **state) {
    static const part parts[PARTS] = {
        {FIRST, 0, 3, 5, "ab"}, {SECOND, 1, 3, 5, ""}, {THIRD, 2, 3, 5, "cde"}};
    sl__gguf g;
    sl_error err = {0};
    uint64_t size = 0;
    (void)state;
    for (int i = 0; i < PARTS; i++)
        size += part_bytes(&parts[i]).n;
    CHECK_CASE(open_parts(parts, FIRST, &g, &err) == SL_OK, "%s", err.text);
    assert_int_equal(g.n_parts, PARTS);
    assert_int_equal(g.n_tensors, 5);
    assert_int_equal(sl__gguf_bytes(&g), size);
    for (const char *name = "abcde"; *name; name++) {
        const sl__gguf_tensor *t = sl__gguf_find_tensor(&g, (const char[]){*name, '\0'});
        assert_non_null(t);
        assert_int_equal(t->part, *name < 'c' ? 0 : 2);
        const sl__gguf *home = sl__gguf_part(&g, t->part);
        assert_ptr_equal(t->data, home->bytes + t->at);
        assert_true(t->at + t->size <= home->size);
        for (int k = 0; k < 8; k++) {
            float value;
            memcpy(&value, t->data + 4 * k, sizeof value);
            assert_true(value == (float)*name);
        }
        (void)sl__gguf_fail_tensor(&g, t, &err, "x");
        assert_non_null(strstr(err.text, *name < 'c' ? FIRST ": " : THIRD ": "));
    }
    sl__gguf_close(&g);
}

/* Fails if the count that a merge leaves behind makes a search for parts. */
static void a_count_of_none_or_one_is_a_file_on_its_own(void **state) {
    (void)state;
    for (int32_t count = 0; count <= 1; count++) {
        const part parts[PARTS] = {{".gguf", 0, count, 2, "ab"}};
        sl__gguf g;
        sl_error err = {0};
        CHECK_CASE(open_parts(parts, ".gguf", &g, &err) == SL_OK, "%s", err.text);
        assert_int_equal(g.n_parts, 1);
        assert_int_equal(g.n_tensors, 2);
        sl__gguf_close(&g);
    }
}

/* Fails if any check that parts belong together is left out, or blames the wrong file. */
static void parts_that_do_not_belong_together_are_named(void **state) {
    static const struct {
        part parts[PARTS];
        const char *opened;
        sl_status status;
        const char *expect; /* "FILE: what" of the message */
    } rows[] = {
        {{{FIRST, 0, 3, 3, "a"}, {NULL, 0, 0, 0, ""}, {THIRD, 2, 3, 3, "c"}},
         FIRST,
         SL_E_IO,
         SECOND ": No such file"},
        {{{FIRST, 0, 3, 3, "a"}, {SECOND, 1, 3, 3, "b"}, {THIRD, 2, 3, 3, "c"}},
         SECOND,
         SL_E_FORMAT,
         SECOND ": key split.no at offset 24: this is part 2 of 3, open the first (its name ends "
                "in " FIRST ")"},
        {{{FIRST, 0, 3, 3, "a"}, {SECOND, 2, 3, 3, "b"}, {THIRD, 2, 3, 3, "c"}},
         FIRST,
         SL_E_FORMAT,
         SECOND ": key split.no at offset 24: 2, expected 1 .. 1"},
        {{{FIRST, 0, 3, 3, "a"}, {SECOND, 1, 3, 3, "b"}, {THIRD, 2, 4, 3, "c"}},
         FIRST,
         SL_E_FORMAT,
         THIRD ": key split.count at offset 46: 4, expected 3 .. 3"},
        {{{FIRST, 0, 3, 3, "a"}, {SECOND, 1, 3, 3, "a"}, {THIRD, 2, 3, 3, "c"}},
         FIRST,
         SL_E_FORMAT,
         SECOND ": tensor a at offset 106: appears a second time, first in "},
        {{{FIRST, 0, 3, 4, "a"}, {SECOND, 1, 3, 4, "b"}, {THIRD, 2, 3, 4, "c"}},
         FIRST,
         SL_E_FORMAT,
         FIRST ": key split.tensors.count at offset 71: 4, but the 3 parts have 3"},
        {{{FIRST, 0, 3, -1, "a"}, {SECOND, 1, 3, 3, "b"}, {THIRD, 2, 3, 3, "c"}},
         FIRST,
         SL_E_FORMAT,
         FIRST ": key split.tensors.count: missing"},
        {{{FIRST, 0, 3, 3, "a"}, {SECOND, 0, -1, 0, "b"}, {THIRD, 2, 3, 3, "c"}},
         FIRST,
         SL_E_FORMAT,
         SECOND ": key split.no: missing"},
        {{{".gguf", 0, 3, 3, "a"}, {SECOND, 1, 3, 3, "b"}, {THIRD, 2, 3, 3, "c"}},
         ".gguf",
         SL_E_FORMAT,
         "m.gguf: key split.count at offset 46: 3 parts, but the name does not end in " FIRST},
        {{{FIRST, 0, 1025, 3, "a"}},
         FIRST,
         SL_E_FORMAT,
         FIRST ": key split.count at offset 46: 1025, expected 0 .. 1024"},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        sl__gguf g;
        sl_error err = {0};
        CHECK_CASE(open_parts(rows[i].parts, rows[i].opened, &g, &err) == rows[i].status, "%zu: %s",
                   i, err.text);
        CHECK_CASE(strstr(err.text, rows[i].expect), "%zu: %s", i, err.text);
        CHECK_CASE(!g.tensors && !g.more && g.n_parts == 0, "%zu: not closed", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_part_opens_all),
        cmocka_unit_test(a_count_of_none_or_one_is_a_file_on_its_own),
        cmocka_unit_test(parts_that_do_not_belong_together_are_named),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

/* test_corruption.c - a damaged file gives an error or a model that runs, never a crash.
 *
 * Damage is done in place to a copy of the embedded model, through a shared mapping, and
 * undone afterwards: most of it in the header, where every count, length, offset, type and
 * name lives, some in tensor data. Run under the sanitizers this is the strongest test of
 * the reader. */
#include "engine_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "model/gguf.h"

enum { EDIT_MAX = 64 };

typedef struct victim {
    char path[WORLD_PATH_MAX];
    int fd;
    uint8_t *bytes;    /* [size], shared with the file */
    size_t size, head; /* bytes before the tensor data */
    uint64_t *fields;  /* offsets worth hitting: records of keys and tensors */
    size_t n_fields;
} victim;

static void find_fields(victim *v) {
    sl__gguf g;
    assert_int_equal(sl__gguf_open(&g, SL_MODEL_FILE, NULL), SL_OK);
    v->head = (size_t)g.data_at;
    v->fields = malloc((size_t)(2 * g.n_keys + 2 * g.n_tensors + 3) * sizeof *v->fields);
    assert_non_null(v->fields);
    for (int32_t i = 0; i < 3; i++)
        v->fields[v->n_fields++] = (uint64_t)(i == 0 ? 4 : 8 * i); /* version and counts */
    for (int32_t i = 0; i < g.n_keys; i++) {
        v->fields[v->n_fields++] = g.keys[i].at;
        v->fields[v->n_fields++] = (uint64_t)(g.keys[i].value - g.bytes);
    }
    for (int32_t i = 0; i < g.n_tensors; i++) {
        v->fields[v->n_fields++] = g.tensors[i].record_at;
        v->fields[v->n_fields++] =
            g.tensors[i].record_at + 8 + strlen(g.tensors[i].name); /* dimensions, type, offset */
    }
    sl__gguf_close(&g);
}

static void open_victim(victim *v) {
    struct stat st;
    *v = (victim){.fd = -1};
    world_path(v->path, "victim.gguf");
    const int from = open(SL_MODEL_FILE, O_RDONLY);
    assert_true(from >= 0 && fstat(from, &st) == 0);
    v->size = (size_t)st.st_size;
    v->fd = open(v->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(v->fd >= 0 && ftruncate(v->fd, st.st_size) == 0);
    v->bytes = mmap(NULL, v->size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    assert_true(v->bytes != MAP_FAILED);
    for (size_t at = 0; at < v->size;) {
        const ssize_t n = read(from, v->bytes + at, v->size - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_int_equal(close(from), 0);
    find_fields(v);
}

static void close_victim(victim *v) {
    assert_int_equal(munmap(v->bytes, v->size), 0);
    assert_int_equal(close(v->fd), 0);
    free(v->fields);
}

/* ---- damage ---- */

typedef struct edit {  /* what was there before */
    size_t at, n, cut; /* cut: size of the file meanwhile, or 0 */
    uint8_t old[EDIT_MAX];
} edit;

static size_t pick_place(check_random *r, const victim *v) {
    switch (check_below(r, 8)) {
    case 0: /* anywhere in the head */
        return (size_t)(check_u64(r) % v->head);
    case 1: /* tensor data */
        return v->head + (size_t)(check_u64(r) % (v->size - v->head));
    case 2: /* the first bytes */
        return (size_t)check_below(r, 24);
    default: /* in or right after some field */
        return (size_t)v->fields[check_u64(r) % v->n_fields] + (size_t)check_below(r, 24);
    }
}

static void damage(check_random *r, victim *v, edit *e) {
    static const uint64_t numbers[] = {
        0,         1, 2, 31, 255, 65535, 1u << 20, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 62,
        UINT64_MAX};
    *e = (edit){.at = pick_place(r, v)};
    const size_t room = v->size - e->at;
    const int32_t kind = check_below(r, 7);
    e->n = (size_t)(1 + check_below(r, kind < 3 ? 8 : 16));
    if (kind >= 3 && kind <= 5) e->n = 16;
    if (e->n > room) e->n = room;
    memcpy(e->old, v->bytes + e->at, e->n);
    uint8_t *at = v->bytes + e->at;
    if (kind == 0) { /* bits */
        for (size_t i = 0; i < e->n; i++)
            at[i] ^= (uint8_t)(1u << check_below(r, 8));
    } else if (kind <= 2) { /* bytes */
        for (size_t i = 0; i < e->n; i++)
            at[i] = (uint8_t)check_u64(r);
    } else if (kind == 3) { /* a number from the list, four or eight bytes */
        const uint64_t x = numbers[check_below(r, (int32_t)SL_COUNT(numbers))];
        const size_t size = check_below(r, 2) ? 4 : 8;
        memcpy(at, &x, size < e->n ? size : e->n);
    } else if (kind == 4 && e->n == 16) { /* two neighbouring lengths change places */
        memcpy(at, e->old + 8, 8);
        memcpy(at + 8, e->old, 8);
    } else if (kind == 5 && e->n >= 8) { /* a length that is a little off */
        uint64_t x;
        memcpy(&x, at, sizeof x);
        x += (uint64_t)(check_below(r, 7) - 3);
        memcpy(at, &x, sizeof x);
    } else if (e->at > 0) { /* the file ends here */
        e->cut = e->at;
        e->n = 0;
    }
}

/* Cutting throws away what follows: it is read back from the model. */
static void cut(victim *v, size_t size) {
    assert_int_equal(ftruncate(v->fd, (off_t)size), 0);
}

static void mend(victim *v, const edit *e, const uint8_t *original) {
    if (e->cut) {
        assert_int_equal(ftruncate(v->fd, (off_t)v->size), 0);
        memcpy(v->bytes + e->cut, original + e->cut, v->size - e->cut);
    }
    memcpy(v->bytes + e->at, e->old, e->n);
}

/* ---- use ---- */

typedef struct outcome {
    int32_t refused, ran, numbers;
} outcome;

static void use(const victim *v, int32_t number, outcome *o) {
    sl_model *model = (sl_model *)o; /* must become NULL on failure */
    sl_session *s = NULL;
    sl_error err = {.text = ""};
    const sl_model_params params = {.layout = SL_LAYOUT_MAPPED, .threads = 1};
    sl_status status = sl_model_open(&model, v->path, &params, &err);
    if (status != SL_OK) {
        CHECK_CASE(!model && err.code == status && err.text[0], "damage %d: %d \"%s\"", number,
                   status, err.text);
        CHECK_CASE(strstr(err.text, "victim.gguf") || status == SL_E_NOMEM,
                   "damage %d: no file in \"%s\"", number, err.text);
        CHECK_CASE(strlen(err.text) < SL_ERROR_TEXT_MAX && !strchr(err.text, '\n'), "damage %d",
                   number);
        o->refused++;
        return;
    }
    const sl_session_params session_params = {.context = 64, .threads = 1, .batch = 16};
    const sl_token prompt[] = {0, 1, 2, 3};
    sl_generate_params generate = sl_generate_params_default();
    sl_generate_stats stats;
    generate.max_tokens = 4;
    status = sl_session_open(&s, model, &session_params, &err);
    if (status == SL_OK) {
        int32_t n;
        sl_token tokens[64];
        assert_int_equal(sl_tokenize(model, "Damage, 42!", 11, 1, tokens, 64, &n, NULL), SL_OK);
        status = sl_generate(s, prompt, sl__min_i32(4, sl_model_facts_of(model)->vocab), &generate,
                             &stats, &err);
    }
    CHECK_CASE(status == SL_OK || (err.code == status && err.text[0]), "damage %d: %d", number,
               status);
    CHECK_CASE(status == SL_OK || status == SL_E_NUMBER || status == SL_E_NOMEM ||
                   status == SL_E_ARG,
               "damage %d: %d \"%s\"", number, status, err.text);
    o->ran += status == SL_OK;
    o->numbers += status == SL_E_NUMBER;
    sl_session_close(&s);
    sl_model_close(&model);
}

/* Mutations: leave out any check of a count, length, offset, type, shape or index in
 * gguf.c, vocab.c or model.c. */
static void damaged_files_give_an_error_or_run(void **state) {
    (void)state;
    victim v;
    outcome o = {0};
    check_random r = {.seed = 20250101};
    open_victim(&v);
    uint8_t *original = malloc(v.size);
    assert_non_null(original);
    memcpy(original, v.bytes, v.size);
    const int32_t n = world_is_full() ? 20000 : world_is_slow() ? 100 : 1000;
    for (int32_t i = 0; i < n; i++) {
        edit e;
        damage(&r, &v, &e);
        if (e.cut) cut(&v, e.cut);
        use(&v, i, &o);
        mend(&v, &e, original);
    }
    assert_memory_equal(v.bytes, original, v.size);
    print_message("  %d damages: %d refused, %d ran, %d found numbers that are not finite\n", n,
                  o.refused, o.ran, o.numbers);
    assert_true(o.refused > n / 4 && o.ran > n / 20);
    use(&v, n, &o); /* the mended file is whole */
    free(original);
    close_victim(&v);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(damaged_files_give_an_error_or_run),
};

WORLD_MAIN(tests)

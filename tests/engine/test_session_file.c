/* test_session_file.c - a session's file gives back what was put in, or says why not. */
#include "engine_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

enum { TOKENS = 75, SPLIT = 40 };

static const sl_kv_type types[][2] = {
    {SL_KV_F16, SL_KV_F16}, {SL_KV_F32, SL_KV_Q8_0}, {SL_KV_Q8_0, SL_KV_F32}};

static const char *model_path(void) {
    static char path[WORLD_PATH_MAX];
    if (path[0]) return path;
    const tiny_shape shape = world_shape(SL_FORMAT_Q8_0, 0);
    world_path(path, "session.gguf");
    tiny_write(&shape, 61, path);
    return path;
}

static void file_path(char out[WORLD_PATH_MAX]) {
    world_path(out, "session.cache");
}

static unsigned char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    CHECK_CASE(f != NULL, "%s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

static void write_file(const char *path, const unsigned char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Tokens, their logits one by one, and a session that holds them, saved. */
typedef struct saved {
    sl_model *model;
    sl_session *session;
    sl_token tokens[TOKENS];
    float *logits; /* [TOKENS][TINY_VOCAB] */
    char path[WORLD_PATH_MAX];
} saved;

static void make_saved(saved *s, sl_kv_type k_type, sl_kv_type v_type) {
    check_random r = {.seed = 62};
    s->model = world_open(model_path(), NULL, SL_LAYOUT_PACKED);
    s->session = world_session(s->model, 100, 1, 33, k_type, v_type);
    s->logits = calloc(TOKENS * TINY_VOCAB, sizeof *s->logits);
    assert_non_null(s->logits);
    world_tokens(&r, s->model, s->tokens, TOKENS);
    for (int32_t i = 0; i < TOKENS; i++)
        world_step(s->session, s->tokens[i], s->logits + (size_t)i * TINY_VOCAB);
    file_path(s->path);
    sl_error err = {0};
    CHECK_CASE(sl_session_save(s->session, s->path, &err) == SL_OK, "%s", err.text);
}

static void drop_saved(saved *s) {
    free(s->logits);
    sl_session_close(&s->session);
    sl_model_close(&s->model);
}

static void check_same(const saved *want, sl_session *have, int32_t n) {
    const size_t floats = world_kv_floats(want->model);
    float *a = calloc(2 * floats, sizeof *a), *b = a + floats;
    assert_non_null(a);
    assert_int_equal(sl_session_length(have), n);
    assert_memory_equal(sl_session_tokens(have), want->tokens, (size_t)n * sizeof(sl_token));
    for (int32_t i = 0; i < n; i++) {
        world_read_kv(want->session, i, a);
        world_read_kv(have, i, b);
        CHECK_CASE(memcmp(a, b, floats * sizeof *a) == 0, "cache at %d of %d", i, n);
    }
    free(a);
    for (int32_t i = n; i < TOKENS; i++) { /* and it goes on as if nothing had happened */
        float logits[TINY_VOCAB];
        world_step(have, want->tokens[i], logits);
        CHECK_CASE(memcmp(logits, want->logits + (size_t)i * TINY_VOCAB, sizeof logits) == 0,
                   "logits at %d after %d loaded", i, n);
    }
}

/* Mutations: forget the scales of a q8_0 cache; take a piece's size for this context's; keep
 * one token more than is common; leave the old length when nothing is. */
static void a_loaded_session_is_the_saved_one(void **state) {
    (void)state;
    for (size_t t = 0; t < SL_COUNT(types); t++) {
        saved s;
        const char *isa;
        make_saved(&s, types[t][0], types[t][1]);
        for (int32_t i = 0; (isa = world_table(i)) != NULL; i++) {
            int32_t n_file = 0;
            sl_error err = {0};
            sl_token other[TOKENS];
            sl_model *model = world_open(model_path(), isa, SL_LAYOUT_MAPPED);
            sl_session *have =
                world_session(model, 80 + 40 * i, 1 + i, 16, types[t][0], types[t][1]);
            CHECK_CASE(sl_session_load(have, s.path, NULL, 0, &n_file, &err) == SL_OK, "%s",
                       err.text);
            assert_int_equal(n_file, TOKENS);
            check_same(&s, have, TOKENS);
            assert_int_equal(sl_session_load(have, s.path, s.tokens, 17, NULL, NULL), SL_OK);
            check_same(&s, have, 17);
            memcpy(other, s.tokens, sizeof other);
            other[SPLIT] ^= 1;
            assert_int_equal(sl_session_load(have, s.path, other, TOKENS, &n_file, NULL), SL_OK);
            assert_int_equal(n_file, TOKENS);
            check_same(&s, have, SPLIT);
            other[0] ^= 1;
            assert_int_equal(sl_session_load(have, s.path, other, TOKENS, NULL, NULL), SL_OK);
            check_same(&s, have, 0);
            sl_session_close(&have);
            sl_model_close(&model);
        }
        drop_saved(&s);
    }
}

/* Mutation: read all of a longer file into a shorter session. */
static void a_longer_file_gives_what_fits(void **state) {
    (void)state;
    saved s;
    sl_error err = {0};
    make_saved(&s, SL_KV_F16, SL_KV_Q8_0);
    sl_session *have = world_session(s.model, 20, 1, 16, SL_KV_F16, SL_KV_Q8_0);
    assert_int_equal(sl_session_load(have, s.path, NULL, 0, NULL, &err), SL_E_CONTEXT);
    assert_non_null(strstr(err.text, "75 tokens do not fit a context of 20"));
    assert_int_equal(sl_session_length(have), 0);
    assert_int_equal(sl_session_load(have, s.path, s.tokens, TOKENS, NULL, NULL), SL_OK);
    assert_int_equal(sl_session_length(have), 20);
    sl_session_close(&have);
    drop_saved(&s);
}

static void refuse(sl_session *have, const char *path, sl_status status, const char *says,
                   const char *what) {
    sl_error err = {0};
    const sl_token token = 1;
    world_step(have, token, NULL);
    CHECK_CASE(sl_session_load(have, path, NULL, 0, NULL, &err) == status, "%s: \"%s\"", what,
               err.text);
    CHECK_CASE(err.code == status && strstr(err.text, says), "%s: \"%s\"", what, err.text);
    CHECK_CASE(sl_session_length(have) == 0, "%s: left %d tokens", what, sl_session_length(have));
}

/* Mutations: leave out any one check; trust the header's count before the file's size. */
static void a_file_that_does_not_fit_is_refused_with_the_reason(void **state) {
    static const struct {
        const char *what, *says;
        size_t at; /* of a changed byte */
    } changes[] = {
        {"magic", "not a prompt cache", 3},    {"version", "of version", 8},
        {"count", "cut short or damaged", 12}, {"large count", "tokens, expected 1 ..", 15},
        {"model", "of another model", 20},     {"layers", "of another model", 24},
        {"keys", "an unknown type", 38},       {"long", "other side", 44},
        {"token", "token 0 is", 50},           {"cache", "damaged", 5000},
    };
    (void)state;
    saved s;
    char path[WORLD_PATH_MAX];
    size_t n;
    make_saved(&s, SL_KV_F16, SL_KV_F16);
    world_path(path, "spoilt.cache");
    unsigned char *bytes = read_file(s.path, &n);
    sl_session *have = world_session(s.model, 100, 1, 16, SL_KV_F16, SL_KV_F16);
    for (size_t i = 0; i < SL_COUNT(changes); i++) {
        bytes[changes[i].at] ^= 0x40;
        write_file(path, bytes, n);
        bytes[changes[i].at] ^= 0x40;
        refuse(have, path, SL_E_FORMAT, changes[i].says, changes[i].what);
    }
    const size_t sizes[] = {0, 7, 47, 48, 60, n / 2, n - 9, n - 1};
    for (size_t i = 0; i < SL_COUNT(sizes); i++) {
        write_file(path, bytes, sizes[i]);
        refuse(have, path, SL_E_FORMAT, sizes[i] < 48 ? "not a prompt cache" : "cut short",
               "a shorter file");
    }
    refuse(have, "/nowhere/at/all", SL_E_IO, "No such file", "no file");
    refuse(have, "/", SL_E_FORMAT, "not a file", "a folder");
    sl_session_close(&have);
    have = world_session(s.model, 100, 1, 16, SL_KV_F16, SL_KV_F32);
    refuse(have, s.path, SL_E_FORMAT, "values in f16, the session's f16 and f32", "other types");
    sl_session_close(&have);
    free(bytes);
    drop_saved(&s);

    tiny_shape twin = world_shape(SL_FORMAT_Q8_0, 0); /* the same but for its weights */
    world_path(path, "twin.gguf");
    tiny_write(&twin, 63, path);
    sl_model *model = world_open(path, NULL, SL_LAYOUT_PACKED);
    have = world_session(model, 100, 1, 16, SL_KV_F16, SL_KV_F16);
    file_path(path);
    refuse(have, path, SL_E_FORMAT, "of another model", "a twin");
    sl_session_close(&have);
    sl_model_close(&model);
}

/* Mutations: write in place; leave the temporary file. */
static void a_file_that_cannot_be_written_leaves_nothing_behind(void **state) {
    (void)state;
    saved s;
    sl_error err = {0};
    make_saved(&s, SL_KV_F16, SL_KV_F16);
    assert_int_equal(sl_session_save(s.session, "/nowhere/at/all", &err), SL_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all: No such file"));
    char folder[WORLD_PATH_MAX], inside[WORLD_PATH_MAX + 32];
    world_path(folder, "folder.cache");
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(sl_session_save(s.session, folder, &err), SL_E_IO); /* no name to take */
    (void)snprintf(inside, sizeof inside, "%s.%ld.partial", folder, (long)getpid());
    assert_int_not_equal(access(inside, F_OK), 0);
    assert_int_equal(rmdir(folder), 0);
    sl_session_rewind(s.session, 0);
    assert_int_equal(sl_session_save(s.session, s.path, &err), SL_E_ARG);
    drop_saved(&s);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_loaded_session_is_the_saved_one),
    cmocka_unit_test(a_longer_file_gives_what_fits),
    cmocka_unit_test(a_file_that_does_not_fit_is_refused_with_the_reason),
    cmocka_unit_test(a_file_that_cannot_be_written_leaves_nothing_behind),
};

WORLD_MAIN(tests)

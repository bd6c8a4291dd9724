/* fuzz_session.c - any bytes as a session's file: an error that says something and an empty
 * session, or tokens that can be gone on from.
 *
 * The first byte says what is put right, so that more than the first check is reached:
 *     1  model     4  the file has the size its header asks for (up to a limit; zeroes)
 *     2  hash      8  all tokens wanted, else those the file begins with */
#include "fuzz.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "engine/session.h"

enum { CONTEXT = 24, BATCH = 8, FILE_MAX = 4 << 20 };

static sl_model *model;
static sl_session *session;

static void open_once(void) {
    sl_error err = {0};
    const sl_session_params params = {CONTEXT, 1, BATCH, SL_KV_F16, SL_KV_Q8_0};
    sl_model_params how = sl_model_params_default();
    how.layout = SL_LAYOUT_MAPPED;
    how.threads = 1;
    if (session) return;
    if (sl_model_open(&model, SL_MODEL_FILE, &how, &err) != SL_OK ||
        sl_session_open(&session, model, &params, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

static uint32_t count_in(const uint8_t *file) {
    return (uint32_t)file[12] | (uint32_t)file[13] << 8 | (uint32_t)file[14] << 16 |
           (uint32_t)file[15] << 24;
}

/* The bytes as a file, put right as asked. */
static size_t make_file(uint8_t flags, const uint8_t *data, size_t size, uint8_t *file) {
    uint8_t good[SL_SESSION_HEADER];
    size_t n = size < FILE_MAX ? size : FILE_MAX;
    memcpy(file, data, n);
    if (n < SL_SESSION_HEADER) return n;
    sl__session_header(session, 1, good);
    if (flags & 1) memcpy(file + 16, good + 16, 8);
    if (flags & 4 && count_in(file) <= 64) {
        const size_t whole = (size_t)sl__session_file_bytes(session, (int32_t)count_in(file));
        FUZZ_CHECK(whole <= FILE_MAX);
        if (whole > n) memset(file + n, 0, whole - n);
        n = whole;
    }
    return n;
}

static sl_status load(const uint8_t *file, size_t n, bool all, sl_error *err) {
    const sl_token tokens[] = {5, 6, 7};
    FILE *f = fmemopen((void *)(uintptr_t)file, n, "rb"); /* read only */
    FUZZ_CHECK(f != NULL);
    int32_t n_file = -1;
    const sl_status status =
        sl__session_read(session, f, n, "fuzz", all ? NULL : tokens, all ? 0 : 3, &n_file, err);
    FUZZ_CHECK(status == SL_OK ? n_file > 0 : n_file == 0);
    (void)fclose(f);
    return status;
}

/* The hash is what a good reading would have found: ask a file that says so. */
static void put_hash_right(uint8_t *file, size_t n) {
    uint64_t hash = SL_HASH_SEED;
    if (n < SL_SESSION_HEADER + 8 || count_in(file) == 0 || count_in(file) > 64) return;
    const int32_t count = (int32_t)count_in(file);
    size_t at = SL_SESSION_HEADER, bytes = (size_t)count * sizeof(sl_token);
    hash = sl__hash_bytes(hash, file, at);
    for (size_t i = 0; at + bytes + 8 <= n; i++) {
        hash = sl__hash_bytes(hash, file + at, bytes);
        at += bytes;
        if (!sl__kv_piece(&session->kv, i, count, &bytes)) break;
    }
    for (int i = 0; i < 8; i++)
        file[n - 8 + (size_t)i] = (uint8_t)(hash >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[FILE_MAX];
    sl_error err = {0};
    open_once();
    if (size < 2) return 0;
    const size_t n = make_file(data[0], data + 1, size - 1, file);
    if (data[0] & 2) put_hash_right(file, n);
    const sl_status status = load(file, n, data[0] & 8, &err);
    if (status != SL_OK) {
        FUZZ_CHECK(err.code == status && err.text[0] != '\0');
        FUZZ_CHECK(sl_session_length(session) == 0);
        return 0;
    }
    FUZZ_CHECK(sl_session_length(session) <= CONTEXT);
    const sl_token next = 1;
    if (sl_session_length(session) < CONTEXT)
        (void)!sl_session_eval(session, &next, 1, NULL, &err); /* its numbers may be nonsense */
    return 0;
}

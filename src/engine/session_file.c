/* session_file.c - a session's tokens and cache in a file, and back.
 *
 *     0   "SLUICEPC"           little endian throughout
 *     8   u32 version          of this layout, and of the arithmetic that made the bits
 *     12  u32 n                tokens
 *     16  u64 model            sl__model_identity()
 *     24  u32 layers, kv_heads, head_dim, type of keys, type of values
 *     44  u32 long             the context is beyond what longrope calls short
 *     48  i32 tokens [n]
 *         pieces of the cache for n cells, as sl__kv_piece() has them
 *         u64 hash of everything before
 *
 * A file that matches may still be longer than what is wanted of it: all of it is read, for
 * the hash, and each piece's first cells are kept. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/hash.h"
#include "engine/session.h"
#include "model/identity.h"

enum { VERSION = 1, CHUNK = 1 << 20 };
static const char magic[8] = "SLUICEPC";

static const char *type_name(uint32_t type) {
    static const char *const names[] = {"f16", "f32", "q8_0"};
    return type < SL_COUNT(names) ? names[type] : "an unknown type";
}

/* ---- header ---- */

static void put_u32(unsigned char *out, uint32_t value) {
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static void put_u64(unsigned char *out, uint64_t value) {
    put_u32(out, (uint32_t)value);
    put_u32(out + 4, (uint32_t)(value >> 32));
}

static uint32_t get_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const unsigned char *p) {
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

void sl__session_header(const sl_session *s, int32_t n, unsigned char out[SL_SESSION_HEADER]) {
    const sl__kv *kv = &s->kv;
    const uint32_t fields[] = {(uint32_t)kv->layers,   (uint32_t)kv->kv_heads,
                               (uint32_t)kv->head_dim, (uint32_t)kv->k_type,
                               (uint32_t)kv->v_type,   sl__forward_is_long(s->forward)};
    memcpy(out, magic, sizeof magic);
    put_u32(out + 8, VERSION);
    put_u32(out + 12, (uint32_t)n);
    put_u64(out + 16, sl__model_identity(s->model));
    for (size_t i = 0; i < SL_COUNT(fields); i++)
        put_u32(out + 24 + 4 * i, fields[i]);
}

uint64_t sl__session_file_bytes(const sl_session *s, int32_t n) {
    uint64_t sum = SL_SESSION_HEADER + (uint64_t)n * sizeof(sl_token) + sizeof(uint64_t);
    size_t bytes;
    for (size_t i = 0; sl__kv_piece(&s->kv, i, n, &bytes); i++)
        sum += bytes;
    return sum;
}

/* What the header says against the session it is for. */
static sl_status check_header(const sl_session *s, const unsigned char *have, uint64_t size,
                              const char *name, sl_error *err) {
    unsigned char want[SL_SESSION_HEADER];
    const uint32_t n = get_u32(have + 12);
    sl__session_header(s, 1, want);
    if (memcmp(have, magic, sizeof magic) != 0)
        return sl__fail(err, SL_E_FORMAT, 0, "%s: not a prompt cache", name);
    if (get_u32(have + 8) != VERSION)
        return sl__fail(err, SL_E_FORMAT, 8, "%s: a prompt cache of version %u, expected %d", name,
                        get_u32(have + 8), VERSION);
    if (memcmp(have + 16, want + 16, 20) != 0)
        return sl__fail(err, SL_E_FORMAT, 16, "%s: a prompt cache of another model", name);
    if (memcmp(have + 36, want + 36, 8) != 0)
        return sl__fail(err, SL_E_FORMAT, 36,
                        "%s: its cache holds keys in %s and values in %s, the session's %s and %s",
                        name, type_name(get_u32(have + 36)), type_name(get_u32(have + 40)),
                        type_name((uint32_t)s->kv.k_type), type_name((uint32_t)s->kv.v_type));
    if (memcmp(have + 44, want + 44, 4) != 0)
        return sl__fail(err, SL_E_FORMAT, 44,
                        "%s: made with a context on the other side of the model's original one",
                        name);
    if (n < 1 || n > SL_CONTEXT_MAX)
        return sl__fail(err, SL_E_FORMAT, 12, "%s: %u tokens, expected 1 .. %d", name, n,
                        SL_CONTEXT_MAX);
    const uint64_t expected = sl__session_file_bytes(s, (int32_t)n);
    if (size != expected)
        return sl__fail(err, SL_E_FORMAT, size,
                        "%s: %" PRIu64 " bytes, expected %" PRIu64
                        " for %u tokens: cut short or damaged",
                        name, size, expected, n);
    return SL_OK;
}

/* ---- reading ---- */

/* One reading: where it is and the hash so far; the first failure stays. */
typedef struct reading {
    FILE *file;
    const char *name;
    unsigned char *chunk; /* [CHUNK] */
    uint64_t hash, at;
    sl_status status;
    sl_error *err;
} reading;

/* n bytes, of which the first `keep` go to out. */
static void read_bytes(reading *r, void *out, size_t keep, size_t n) {
    for (size_t done = 0; done < n && r->status == SL_OK;) {
        const size_t m = n - done < CHUNK ? n - done : CHUNK;
        if (fread(r->chunk, 1, m, r->file) != m) {
            r->status = sl__fail(r->err, SL_E_IO, r->at, "%s: %s", r->name,
                                 ferror(r->file) ? strerror(errno) : "cut short while reading");
            return;
        }
        r->hash = sl__hash_bytes(r->hash, r->chunk, m);
        if (done < keep)
            memcpy((unsigned char *)out + done, r->chunk, keep - done < m ? keep - done : m);
        done += m;
        r->at += m;
    }
}

/* How many of the file's tokens are wanted; they go to the session's own. */
static int32_t read_tokens(reading *r, sl_session *s, int32_t n, const sl_token *tokens,
                           int32_t n_tokens) {
    const int32_t room = s->params.context, vocab = sl_model_facts_of(s->model)->vocab;
    const int32_t keep = sl__min_i32(n, room);
    if (!tokens && n > room) {
        r->status = sl__fail(r->err, SL_E_CONTEXT, SL_NOWHERE,
                             "%s: %d tokens do not fit a context of %d", r->name, n, room);
        return 0;
    }
    read_bytes(r, s->tokens, (size_t)keep * sizeof *s->tokens, (size_t)n * sizeof *s->tokens);
    int32_t common = 0;
    for (; r->status == SL_OK && common < keep; common++) {
        const sl_token token = s->tokens[common];
        if (tokens && (common == n_tokens || token != tokens[common])) break;
        if (token < 0 || token >= vocab)
            r->status =
                sl__fail(r->err, SL_E_FORMAT, SL_NOWHERE, "%s: token %d is %d, expected 0 .. %d",
                         r->name, common, token, vocab - 1);
    }
    return common;
}

static void check_hash(reading *r) {
    unsigned char stored[sizeof(uint64_t)];
    const uint64_t hash = r->hash, at = r->at;
    read_bytes(r, stored, sizeof stored, sizeof stored);
    if (r->status == SL_OK && get_u64(stored) != hash)
        r->status =
            sl__fail(r->err, SL_E_FORMAT, at, "%s: damaged, its hash does not match", r->name);
}

sl_status sl__session_read(sl_session *s, FILE *file, uint64_t size, const char *name,
                           const sl_token *tokens, int32_t n_tokens, int32_t *n_file,
                           sl_error *err) {
    unsigned char header[SL_SESSION_HEADER] = {0};
    reading r = {.file = file, .name = name, .hash = SL_HASH_SEED, .err = err};
    size_t whole, part;
    sl_session_rewind(s, 0);
    if (n_file) *n_file = 0;
    if (size < sizeof header) return sl__fail(err, SL_E_FORMAT, 0, "%s: not a prompt cache", name);
    r.chunk = malloc(CHUNK);
    if (!r.chunk) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for %s", name);
    read_bytes(&r, header, sizeof header, sizeof header);
    if (r.status == SL_OK) r.status = check_header(s, header, size, name, err);
    const int32_t n = (int32_t)get_u32(header + 12);
    const int32_t keep = r.status == SL_OK ? read_tokens(&r, s, n, tokens, n_tokens) : 0;
    for (size_t i = 0; r.status == SL_OK && sl__kv_piece(&s->kv, i, n, &whole); i++) {
        uint8_t *piece = sl__kv_piece(&s->kv, i, keep, &part);
        read_bytes(&r, piece, part, whole);
    }
    if (r.status == SL_OK) check_hash(&r);
    free(r.chunk);
    if (r.status != SL_OK) return r.status;
    s->kv.length = keep;
    if (n_file) *n_file = n;
    return SL_OK;
}

sl_status sl_session_load(sl_session *s, const char *path, const sl_token *tokens, int32_t n_tokens,
                          int32_t *n_file, sl_error *err) {
    struct stat st;
    sl_session_rewind(s, 0);
    FILE *file = fopen(path, "rb");
    if (!file) return sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: %s", path, strerror(errno));
    sl_status status;
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
        status = sl__fail(err, SL_E_FORMAT, SL_NOWHERE, "%s: not a file with a size", path);
    else
        status =
            sl__session_read(s, file, (uint64_t)st.st_size, path, tokens, n_tokens, n_file, err);
    (void)fclose(file);
    return status;
}

/* ---- writing ---- */

static bool write_bytes(FILE *file, uint64_t *hash, const void *bytes, size_t n) {
    for (size_t done = 0; done < n;) {
        const size_t m = n - done < CHUNK ? n - done : CHUNK;
        *hash = sl__hash_bytes(*hash, (const unsigned char *)bytes + done, m);
        if (fwrite((const unsigned char *)bytes + done, 1, m, file) != m) return false;
        done += m;
    }
    return true;
}

static bool write_all(const sl_session *s, FILE *file) {
    const int32_t n = s->kv.length;
    unsigned char header[SL_SESSION_HEADER], stored[sizeof(uint64_t)];
    uint64_t hash = SL_HASH_SEED;
    const uint8_t *piece;
    size_t bytes;
    sl__session_header(s, n, header);
    bool ok = write_bytes(file, &hash, header, sizeof header) &&
              write_bytes(file, &hash, s->tokens, (size_t)n * sizeof *s->tokens);
    for (size_t i = 0; ok && (piece = sl__kv_piece(&s->kv, i, n, &bytes)) != NULL; i++)
        ok = write_bytes(file, &hash, piece, bytes);
    put_u64(stored, hash);
    return ok && fwrite(stored, 1, sizeof stored, file) == sizeof stored;
}

sl_status sl_session_save(const sl_session *s, const char *path, sl_error *err) {
    if (s->kv.length == 0)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%s: the session holds no tokens", path);
    const size_t size = strlen(path) + 32;
    char *partial = malloc(size);
    if (!partial) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for %s", path);
    (void)snprintf(partial, size, "%s.%ld.partial", path, (long)getpid());
    const int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    bool ok = file && write_all(s, file);
    int error = errno;
    if (file && fclose(file) != 0 && ok) ok = false, error = errno;
    if (!file && fd >= 0) (void)close(fd);
    if (ok && rename(partial, path) != 0) ok = false, error = errno;
    if (!ok && fd >= 0) (void)unlink(partial);
    free(partial);
    return ok ? SL_OK : sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: %s", path, strerror(error));
}

/* gguf.c - from untrusted bytes to a table of keys and tensors.
 *
 *     string     u64 size, bytes
 *     key        string name, u32 type, value
 *     array      u32 element type, u64 count, elements
 *     tensor     string name, u32 n_dims, u64 ne[n_dims], u32 type, u64 offset into the data
 *
 * One cursor walks the records in order. Every read goes through take(), which knows
 * how many bytes are left; no count is believed before the bytes it implies are there,
 * so memory is at most a small multiple of the file. What a record is called in an
 * error is kept in the cursor. Meanings and types of keys: gguf_keys.c. Models in several
 * files: gguf_split.c. */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "model/gguf_private.h"

#define HEADER_SIZE 24
#define KEY_SIZE_MIN 14    /* name of one byte, type, one byte of value        */
#define TENSOR_SIZE_MIN 33 /* name of one byte, n_dims, one dim, type, offset  */
#define ALIGNMENT_DEFAULT 32
/* Bytes of a path (its end) and of a name (its start) in a message. */
#define FILE_SHOWN 120
#define NAME_SHOWN 80

typedef struct cursor {
    sl__gguf *g;
    uint64_t pos;     /* <= g->size */
    const char *noun; /* "key", "tensor": what the current record is        */
    uint64_t index;   /* of the record                                       */
    const char *name; /* once it is read, else NULL                          */
    uint32_t name_size;
    sl_error *err;
} cursor;

const sl__tensor_type_info *sl__tensor_type_find(uint32_t type) {
    static const sl__tensor_type_info infos[] = {
#define X(name, id, elements, bytes) [id] = {#name, elements, bytes},
        SL_TENSOR_TYPE_MAP(X)
#undef X
    };
    return type < SL_COUNT(infos) && infos[type].name ? &infos[type] : NULL;
}

/* ---- messages ---- */

sl_status sl__gguf_fail_at(const sl__gguf *g, sl__gguf_subject subject, uint64_t at, sl_error *err,
                           const char *format, va_list args) {
    char detail[SL_ERROR_TEXT_MAX];
    (void)vsnprintf(detail, sizeof detail, format, args);
    const size_t length = strlen(g->file);
    const char *file = length > FILE_SHOWN ? g->file + length - FILE_SHOWN : g->file;
    char offset[48] = "";
    if (at != SL_NOWHERE) (void)snprintf(offset, sizeof offset, " at offset %" PRIu64, at);
    return sl__fail(err, SL_E_FORMAT, at, "%s: %s%s%.*s%s: %s", file, subject.noun,
                    subject.name_size > 0 ? " " : "", sl__min_i32(subject.name_size, NAME_SHOWN),
                    subject.name, offset, detail);
}

/* Fail about the current record, pointing at a byte of it. */
SL_PRINTF(3, 4)
static sl_status fail(const cursor *c, uint64_t at, const char *format, ...) {
    char number[24];
    sl__gguf_subject subject = {c->noun, "", 0};
    if (c->name) {
        subject.name = c->name;
        subject.name_size = (int)c->name_size;
    } else if (strcmp(c->noun, "header") != 0) {
        subject.name = number;
        subject.name_size = snprintf(number, sizeof number, "%" PRIu64, c->index);
    }
    va_list args;
    va_start(args, format);
    const sl_status status = sl__gguf_fail_at(c->g, subject, at, c->err, format, args);
    va_end(args);
    return status;
}

static sl_status out_of_memory(const sl__gguf *g, uint64_t bytes, sl_error *err) {
    return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s: no memory for %" PRIu64 " bytes of tables",
                    g->file, bytes);
}

/* ---- primitive reads ---- */

static uint64_t left(const cursor *c) {
    return c->g->size - c->pos;
}

/* The next n bytes; NULL and err if they are not there. */
static const unsigned char *take(cursor *c, uint64_t n, const char *what) {
    if (n > left(c)) {
        (void)fail(c, c->pos, "the file ends: %s of %" PRIu64 " bytes, %" PRIu64 " left", what, n,
                   left(c));
        return NULL;
    }
    const unsigned char *bytes = c->g->bytes + c->pos;
    c->pos += n;
    return bytes;
}

static bool take_u32(cursor *c, uint32_t *out, const char *what) {
    const unsigned char *bytes = take(c, 4, what);
    if (bytes) *out = sl__load_u32(bytes);
    return bytes != NULL;
}

static bool take_u64(cursor *c, uint64_t *out, const char *what) {
    const unsigned char *bytes = take(c, 8, what);
    if (bytes) *out = sl__load_u64(bytes);
    return bytes != NULL;
}

/* A name of 1 .. max bytes that can be a C string and stand in a message. */
static sl_status take_name(cursor *c, uint32_t max) {
    const uint64_t at = c->pos;
    uint64_t size = 0;
    c->name = NULL;
    if (!take_u64(c, &size, "name length")) return SL_E_FORMAT;
    if (size == 0 || size > max)
        return fail(c, at, "name of %" PRIu64 " bytes, expected 1 .. %" PRIu32, size, max);
    const unsigned char *bytes = take(c, size, "name");
    if (!bytes) return SL_E_FORMAT;
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return fail(c, at + 8 + i, "control character 0x%02x in the name", bytes[i]);
    c->name = (const char *)bytes;
    c->name_size = (uint32_t)size;
    return SL_OK;
}

/* ---- keys ---- */

static const struct {
    const char *name;
    uint32_t size; /* 0: not of one size */
} value_types[] = {
#define X(name, id, bytes) [id] = {#name, bytes},
    SL_GGUF_TYPE_MAP(X)
#undef X
};

const char *sl__gguf_type_name(uint32_t type) {
    SL_ASSERT(type < SL_COUNT(value_types));
    return value_types[type].name;
}

uint32_t sl__gguf_type_size(uint32_t type) {
    SL_ASSERT(type < SL_COUNT(value_types));
    return value_types[type].size;
}

static bool take_value_type(cursor *c, uint32_t *type, const char *what) {
    const uint64_t at = c->pos;
    if (!take_u32(c, type, what)) return false;
    if (*type < SL_COUNT(value_types)) return true;
    (void)fail(c, at, "%s %" PRIu32 ", expected 0 .. %zu", what, *type, SL_COUNT(value_types) - 1);
    return false;
}

static bool skip_string(cursor *c) {
    uint64_t size = 0;
    return take_u64(c, &size, "string length") && take(c, size, "string") != NULL;
}

/* The elements of an array, or the one value: all of it must be there. */
static bool skip_elements(cursor *c, uint32_t type, uint64_t count, uint64_t at) {
    const uint64_t size_min = type == SL_GGUF_STRING ? 8 : value_types[type].size;
    if (count > left(c) / size_min) {
        (void)fail(c, at, "%" PRIu64 " values of at least %" PRIu64 " bytes, %" PRIu64 " left",
                   count, size_min, left(c));
        return false;
    }
    if (type != SL_GGUF_STRING) {
        c->pos += count * size_min;
        return true;
    }
    for (uint64_t i = 0; i < count; i++)
        if (!skip_string(c)) return false;
    return true;
}

static sl_status parse_key(cursor *c, sl__gguf_key *key) {
    key->at = c->pos;
    const sl_status status = take_name(c, SL_GGUF_KEY_NAME_MAX);
    if (status != SL_OK) return status;
    key->name = c->name;
    key->name_size = c->name_size;
    if (!take_value_type(c, &key->type, "value type")) return SL_E_FORMAT;

    uint64_t at = c->pos;
    key->element = key->type;
    key->count = 1;
    if (key->type == SL_GGUF_ARRAY) {
        if (!take_value_type(c, &key->element, "element type")) return SL_E_FORMAT;
        if (key->element == SL_GGUF_ARRAY)
            return fail(c, at, "an array of arrays, expected values");
        at = c->pos;
        if (!take_u64(c, &key->count, "array length")) return SL_E_FORMAT;
    }
    key->value = c->g->bytes + c->pos;
    return skip_elements(c, key->element, key->count, at) ? SL_OK : SL_E_FORMAT;
}

/* ---- tensor records ---- */

static sl_status parse_shape(cursor *c, sl__gguf_tensor *t) {
    uint64_t at = c->pos;
    uint32_t n_dims = 0;
    if (!take_u32(c, &n_dims, "number of dimensions")) return SL_E_FORMAT;
    if (n_dims < 1 || n_dims > SL_GGUF_DIMS_MAX)
        return fail(c, at, "%" PRIu32 " dimensions, expected 1 .. %d", n_dims, SL_GGUF_DIMS_MAX);

    t->n_dims = (int32_t)n_dims;
    t->elements = 1;
    for (uint32_t d = 0; d < SL_GGUF_DIMS_MAX; d++)
        t->ne[d] = 1;
    for (uint32_t d = 0; d < n_dims; d++) {
        uint64_t ne = 0;
        at = c->pos;
        if (!take_u64(c, &ne, "dimension")) return SL_E_FORMAT;
        if (ne == 0 || ne > INT64_MAX || !sl__mul_size(t->elements, ne, &t->elements))
            return fail(c, at,
                        "dimension %" PRIu32 " is %" PRIu64 ", expected a positive number "
                        "whose product with the others fits 64 bits",
                        d, ne);
        t->ne[d] = (int64_t)ne;
    }
    return SL_OK;
}

static sl_status parse_type(cursor *c, sl__gguf_tensor *t) {
    const uint64_t at = c->pos;
    uint32_t type = 0;
    if (!take_u32(c, &type, "tensor type")) return SL_E_FORMAT;
    const sl__tensor_type_info *info = sl__tensor_type_find(type);
    if (!info) return fail(c, at, "unknown tensor type %" PRIu32, type);
    if (t->ne[0] % (int64_t)info->block_elements != 0)
        return fail(c, at,
                    "rows of %" PRId64 " elements, expected a multiple of %" PRIu32 " for type %s",
                    t->ne[0], info->block_elements, info->name);
    t->type = (sl__tensor_type)type;
    if (!sl__mul_size(t->elements / info->block_elements, info->block_bytes, &t->size))
        return fail(c, at, "%" PRIu64 " elements of type %s: size does not fit 64 bits",
                    t->elements, info->name);
    return SL_OK;
}

/* t->at is the offset into the data until place_tensors() knows where that starts. */
static sl_status parse_tensor(cursor *c, sl__gguf_tensor *t) {
    t->record_at = c->pos;
    sl_status status = take_name(c, SL_GGUF_TENSOR_NAME_MAX);
    if (status != SL_OK) return status;
    memcpy(t->name, c->name, c->name_size); /* the table was zeroed: terminated */
    if ((status = parse_shape(c, t)) != SL_OK) return status;
    if ((status = parse_type(c, t)) != SL_OK) return status;
    return take_u64(c, &t->at, "data offset") ? SL_OK : SL_E_FORMAT;
}

/* ---- tensor data ---- */

static sl_status read_alignment(cursor *c) {
    int32_t alignment = ALIGNMENT_DEFAULT;
    const sl_status status = sl__gguf_i32_or(c->g, "general.alignment", alignment, 8,
                                             SL_GGUF_ALIGNMENT_MAX, &alignment, c->err);
    if (status != SL_OK) return status;
    if ((alignment & (alignment - 1)) != 0)
        return sl__gguf_fail_key(c->g, "general.alignment", c->err,
                                 "%" PRId32 ", expected a power of two", alignment);
    c->g->alignment = (uint32_t)alignment;
    return SL_OK;
}

typedef struct extent {
    uint64_t at;
    const sl__gguf_tensor *tensor;
} extent;

static int by_offset(const void *left, const void *right) {
    const uint64_t a = ((const extent *)left)->at, b = ((const extent *)right)->at;
    return (a > b) - (a < b);
}

static sl_status check_overlap(cursor *c) {
    sl_status status = SL_OK;
    sl__gguf *g = c->g;
    if (g->n_tensors < 2) return SL_OK;
    const size_t n = (size_t)g->n_tensors;
    extent *extents = malloc(n * sizeof *extents);
    if (!extents) return out_of_memory(g, n * sizeof *extents, c->err);

    for (size_t i = 0; i < n; i++)
        extents[i] = (extent){g->tensors[i].at, &g->tensors[i]};
    qsort(extents, n, sizeof *extents, by_offset);
    for (size_t i = 1; i < n && status == SL_OK; i++) {
        const sl__gguf_tensor *a = extents[i - 1].tensor, *b = extents[i].tensor;
        if (b->at - a->at < a->size)
            status = sl__gguf_fail_tensor(g, b, c->err,
                                          "data at %" PRIu64 " overlaps %s, which "
                                          "has %" PRIu64 " bytes at %" PRIu64,
                                          b->at, a->name, a->size, a->at);
    }
    free(extents);
    return status;
}

/* The records are read: find the start of the data and check where each tensor lies. */
static sl_status place_tensors(cursor *c) {
    sl__gguf *g = c->g;
    const sl_status status = read_alignment(c);
    if (status != SL_OK) return status;
    const uint64_t mask = g->alignment - 1;
    g->data_at = (c->pos + mask) & ~mask; /* pos <= size < 2^63: cannot wrap */

    for (int32_t i = 0; i < g->n_tensors; i++) {
        sl__gguf_tensor *t = &g->tensors[i];
        const uint64_t available = g->size > g->data_at ? g->size - g->data_at : 0;
        if ((t->at & mask) != 0)
            return sl__gguf_fail_tensor(g, t, c->err,
                                        "data offset %" PRIu64 ", expected a multiple of %" PRIu32,
                                        t->at, g->alignment);
        if (t->at > available || t->size > available - t->at)
            return sl__gguf_fail_tensor(g, t, c->err,
                                        "%" PRIu64 " bytes at data offset %" PRIu64
                                        ", the file has %" PRIu64 " bytes of data",
                                        t->size, t->at, available);
        t->at += g->data_at;
        t->data = g->bytes + t->at;
    }
    return check_overlap(c);
}

/* ---- names ---- */

/* Open addressing: a slot holds an index or -1; at most half of the slots are used. */
static size_t slot_count(int32_t n) {
    size_t count = 2;
    while (count < 2 * (size_t)n)
        count *= 2;
    return count;
}

static int32_t *new_slots(int32_t n) {
    const size_t bytes = slot_count(n) * sizeof(int32_t);
    int32_t *slots = malloc(bytes);
    if (slots) memset(slots, 0xff, bytes);
    return slots;
}

static size_t first_slot(const char *name, size_t size, size_t count) {
    return (size_t)sl__hash_bytes(SL_HASH_SEED, name, size) & (count - 1);
}

/* The slot that holds the key of this name, or the free one where it belongs. */
static int32_t *key_slot(const sl__gguf *g, const char *name, size_t size) {
    const size_t count = slot_count(g->n_keys);
    for (size_t s = first_slot(name, size, count);; s = (s + 1) & (count - 1)) {
        int32_t *slot = &g->key_slots[s];
        if (*slot < 0) return slot;
        const sl__gguf_key *key = &g->keys[*slot];
        if (key->name_size == size && memcmp(key->name, name, size) == 0) return slot;
    }
}

static int32_t *tensor_slot(const sl__gguf *g, const char *name, size_t size) {
    const size_t count = slot_count(g->n_tensors);
    for (size_t s = first_slot(name, size, count);; s = (s + 1) & (count - 1)) {
        int32_t *slot = &g->tensor_slots[s];
        if (*slot < 0) return slot;
        const char *found = g->tensors[*slot].name;
        if (strncmp(found, name, size) == 0 && found[size] == '\0') return slot;
    }
}

const sl__gguf_key *sl__gguf_find_key(const sl__gguf *g, const char *key) {
    const int32_t index = *key_slot(g, key, strlen(key));
    return index < 0 ? NULL : &g->keys[index];
}

const sl__gguf_tensor *sl__gguf_find_tensor(const sl__gguf *g, const char *name) {
    const size_t size = strlen(name);
    if (size > SL_GGUF_TENSOR_NAME_MAX) return NULL;
    const int32_t index = *tensor_slot(g, name, size);
    return index < 0 ? NULL : &g->tensors[index];
}

/* ---- the file ---- */

static sl_status parse_header(cursor *c) {
    sl__gguf *g = c->g;
    uint64_t n_tensors = 0, n_keys = 0;
    c->noun = "header";

    const unsigned char *magic = take(c, 4, "magic");
    if (!magic) return SL_E_FORMAT;
    if (memcmp(magic, "GGUF", 4) != 0)
        return fail(c, 0, "bytes %02x %02x %02x %02x, expected \"GGUF\"", magic[0], magic[1],
                    magic[2], magic[3]);
    if (!take_u32(c, &g->version, "version")) return SL_E_FORMAT;
    if (g->version != 0 && (g->version & 0xffff) == 0)
        return fail(c, 4, "a big-endian file, expected little endian");
    if (g->version != 2 && g->version != 3)
        return fail(c, 4, "version %" PRIu32 ", expected 2 or 3", g->version);
    if (!take_u64(c, &n_tensors, "tensor count")) return SL_E_FORMAT;
    if (!take_u64(c, &n_keys, "key count")) return SL_E_FORMAT;

    /* Division, so that nothing wraps: could records that small be in the file? */
    if (n_tensors > SL_GGUF_TENSORS_MAX || n_tensors > left(c) / TENSOR_SIZE_MIN)
        return fail(c, 8,
                    "%" PRIu64 " tensors, expected at most %d and no more than fit the %" PRIu64
                    " bytes left",
                    n_tensors, SL_GGUF_TENSORS_MAX, left(c));
    if (n_keys > SL_GGUF_KEYS_MAX || n_keys > left(c) / KEY_SIZE_MIN)
        return fail(c, 16,
                    "%" PRIu64 " keys, expected at most %d and no more than fit the %" PRIu64
                    " bytes left",
                    n_keys, SL_GGUF_KEYS_MAX, left(c));
    g->n_tensors = (int32_t)n_tensors;
    g->n_keys = (int32_t)n_keys;
    return SL_OK;
}

static sl_status allocate_tables(sl__gguf *g, sl_error *err) {
    const size_t n_tensors = (size_t)g->n_tensors, n_keys = (size_t)g->n_keys;
    g->tensors = calloc(n_tensors + 1, sizeof *g->tensors); /* + 1: never zero bytes */
    g->keys = calloc(n_keys + 1, sizeof *g->keys);
    g->tensor_slots = new_slots(g->n_tensors);
    g->key_slots = new_slots(g->n_keys);
    if (g->tensors && g->keys && g->tensor_slots && g->key_slots) return SL_OK;
    return out_of_memory(g, n_tensors * sizeof *g->tensors + n_keys * sizeof *g->keys, err);
}

static sl_status parse_keys(cursor *c) {
    sl__gguf *g = c->g;
    c->noun = "key";
    for (int32_t i = 0; i < g->n_keys; i++) {
        c->index = (uint64_t)i;
        c->name = NULL;
        const sl_status status = parse_key(c, &g->keys[i]);
        if (status != SL_OK) return status;
        int32_t *slot = key_slot(g, c->name, c->name_size);
        if (*slot >= 0)
            return fail(c, g->keys[i].at, "appears a second time, first at offset %" PRIu64,
                        g->keys[*slot].at);
        *slot = i;
    }
    return SL_OK;
}

static sl_status parse_tensors(cursor *c) {
    sl__gguf *g = c->g;
    c->noun = "tensor";
    for (int32_t i = 0; i < g->n_tensors; i++) {
        c->index = (uint64_t)i;
        c->name = NULL;
        const sl_status status = parse_tensor(c, &g->tensors[i]);
        if (status != SL_OK) return status;
        int32_t *slot = tensor_slot(g, c->name, c->name_size);
        if (*slot >= 0)
            return fail(c, g->tensors[i].record_at,
                        "appears a second time, first at offset %" PRIu64,
                        g->tensors[*slot].record_at);
        *slot = i;
    }
    return SL_OK;
}

static void close_tables(sl__gguf *g) {
    free(g->key_slots);
    free(g->tensor_slots);
    free(g->keys);
    free(g->tensors);
    g->key_slots = g->tensor_slots = NULL;
    g->keys = NULL;
    g->tensors = NULL;
    g->n_keys = g->n_tensors = 0;
}

sl_status sl__gguf_parse(sl__gguf *g, const void *bytes, size_t n, const char *file,
                         sl_error *err) {
    sl_status status;
    *g = (sl__gguf){.bytes = bytes, .size = n, .n_parts = 1};
    cursor c = {.g = g, .err = err};

    g->file = strdup(file);
    if (!g->file) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s: out of memory", file);
    if ((status = parse_header(&c)) != SL_OK) goto fail;
    if ((status = allocate_tables(g, err)) != SL_OK) goto fail;
    if ((status = parse_keys(&c)) != SL_OK) goto fail;
    if ((status = parse_tensors(&c)) != SL_OK) goto fail;
    if ((status = place_tensors(&c)) != SL_OK) goto fail;
    return SL_OK;

fail:
    sl__gguf_close(g);
    return status;
}

sl_status sl__gguf_open_file(sl__gguf *g, const char *path, bool copy, sl_error *err) {
    sl__mapping mapping;
    *g = (sl__gguf){0};
    sl_status status =
        copy ? sl__mapping_read(&mapping, path, err) : sl__mapping_open(&mapping, path, err);
    if (status != SL_OK) return status;
    status = sl__gguf_parse(g, mapping.bytes, mapping.size, path, err);
    if (status != SL_OK) {
        sl__mapping_close(&mapping);
        return status;
    }
    g->mapping = mapping;
    return SL_OK;
}

sl_status sl__gguf_join_tensors(sl__gguf *g, sl_error *err) {
    size_t total = 0;
    for (int32_t p = 0; p < g->n_parts; p++)
        total += (size_t)sl__gguf_part(g, p)->n_tensors;
    if (total > SL_GGUF_TENSORS_MAX)
        return sl__fail(err, SL_E_FORMAT, SL_NOWHERE,
                        "%s: %zu tensors in all parts, expected at most %d", g->file, total,
                        SL_GGUF_TENSORS_MAX);
    sl__gguf_tensor *tensors = realloc(g->tensors, (total + 1) * sizeof *tensors);
    if (!tensors) return out_of_memory(g, total * sizeof *tensors, err);
    g->tensors = tensors;
    int32_t *slots = new_slots((int32_t)total);
    if (!slots) return out_of_memory(g, total * sizeof *tensors, err);
    free(g->tensor_slots);
    g->tensor_slots = slots;

    int32_t n = g->n_tensors;
    for (int32_t p = 1; p < g->n_parts; p++) {
        sl__gguf *part = &g->more[p - 1];
        for (int32_t i = 0; i < part->n_tensors; i++) {
            tensors[n] = part->tensors[i];
            tensors[n++].part = p;
        }
        close_tables(part);
    }
    g->n_tensors = n;
    for (int32_t i = 0; i < n; i++) {
        int32_t *slot = tensor_slot(g, tensors[i].name, strlen(tensors[i].name));
        if (*slot >= 0)
            return sl__gguf_fail_tensor(g, &tensors[i], err, "appears a second time, first in %s",
                                        sl__gguf_part(g, tensors[*slot].part)->file);
        *slot = i;
    }
    return SL_OK;
}

void sl__gguf_close(sl__gguf *g) {
    for (int32_t p = 1; p < g->n_parts; p++)
        sl__gguf_close(&g->more[p - 1]); /* parts have no parts */
    free(g->more);
    close_tables(g);
    free(g->file);
    sl__mapping_close(&g->mapping);
    *g = (sl__gguf){0};
}

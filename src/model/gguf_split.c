/* gguf_split.c - a model in several files, as llama.cpp's gguf-split writes them.
 *
 *     NAME-00001-of-00003.gguf   split.no 0 | split.count 3 | split.tensors.count | every other key
 *     NAME-00002-of-00003.gguf   split.no 1 | split.count 3 | split.tensors.count
 *     NAME-00003-of-00003.gguf   split.no 2 | ...
 *
 * Each holds some of the tensors, split.tensors.count in all. split.count 0 or 1 is a file
 * on its own (merging leaves a 0). Every part is checked like any file, in gguf.c; here
 * it is checked that they belong together. */
#include "model/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/gguf_private.h"

enum { ENDING_SIZE = 40 };

/* The end of a part's path; no counts from 0, names from 1. */
static void part_ending(char out[ENDING_SIZE], int32_t no, int32_t count) {
    (void)snprintf(out, ENDING_SIZE, "-%05d-of-%05d.gguf", no + 1, count);
}

const sl__gguf *sl__gguf_part(const sl__gguf *g, int32_t i) {
    SL_ASSERT(i >= 0 && i < g->n_parts);
    return i == 0 ? g : &g->more[i - 1];
}

uint64_t sl__gguf_bytes(const sl__gguf *g) {
    uint64_t bytes = 0;
    for (int32_t i = 0; i < g->n_parts; i++)
        bytes += sl__gguf_part(g, i)->size;
    return bytes;
}

void sl__gguf_drop(const sl__gguf *g, const unsigned char *bytes, size_t n) {
    for (int32_t i = 0; i < g->n_parts; i++) {
        const sl__mapping *m = &sl__gguf_part(g, i)->mapping;
        const uintptr_t at = (uintptr_t)bytes - (uintptr_t)m->bytes; /* huge if before */
        if (at < m->size) sl__mapping_drop(m, (size_t)at, n);
    }
}

sl_status sl__gguf_lock(const sl__gguf *g, sl_error *err) {
    sl_status status = sl__memory_check(sl__gguf_bytes(g), g->file, err);
    for (int32_t i = 0; i < g->n_parts && status == SL_OK; i++) {
        const sl__gguf *part = sl__gguf_part(g, i);
        status = sl__memory_lock(part->bytes, part->size, part->file, err);
    }
    return status;
}

/* The length of the path before the ending that the first part must have. */
static sl_status find_stem(const sl__gguf *g, int32_t count, int32_t *stem, sl_error *err) {
    char ending[ENDING_SIZE];
    int32_t no = 0;
    part_ending(ending, 0, count);
    const sl_status status = sl__gguf_i32(g, "split.no", 0, SL_GGUF_PARTS_MAX, &no, err);
    if (status != SL_OK) return status;
    if (no != 0)
        return sl__gguf_fail_key(g, "split.no", err,
                                 "this is part %d of %d, open the first (its name ends in %s)",
                                 no + 1, count, ending);
    const size_t length = strlen(g->file), n = strlen(ending);
    if (length < n || strcmp(g->file + length - n, ending) != 0)
        return sl__gguf_fail_key(g, "split.count", err,
                                 "%d parts, but the name does not end in %s: the others cannot be "
                                 "found",
                                 count, ending);
    *stem = (int32_t)(length - n);
    return SL_OK;
}

static sl_status open_part(sl__gguf *part, const sl__gguf *first, int32_t stem, int32_t no,
                           int32_t count, bool copy, sl_error *err) {
    char ending[ENDING_SIZE];
    part_ending(ending, no, count);
    const size_t size = (size_t)stem + sizeof ending;
    char *path = malloc(size);
    if (!path) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s: out of memory", first->file);
    (void)snprintf(path, size, "%.*s%s", stem, first->file, ending);
    sl_status status = sl__gguf_open_file(part, path, copy, err);
    free(path);
    int32_t value = 0;
    if (status == SL_OK) status = sl__gguf_i32(part, "split.no", no, no, &value, err);
    if (status == SL_OK) status = sl__gguf_i32(part, "split.count", count, count, &value, err);
    return status;
}

static sl_status open_parts(sl__gguf *g, int32_t count, bool copy, sl_error *err) {
    int32_t stem = 0, total = 0;
    sl_status status = find_stem(g, count, &stem, err);
    if (status == SL_OK)
        status = sl__gguf_i32(g, "split.tensors.count", 0, SL_GGUF_TENSORS_MAX, &total, err);
    if (status != SL_OK) return status;
    g->more = calloc((size_t)count - 1, sizeof *g->more);
    if (!g->more) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s: out of memory", g->file);
    for (; g->n_parts < count; g->n_parts++) {
        status = open_part(&g->more[g->n_parts - 1], g, stem, g->n_parts, count, copy, err);
        if (status != SL_OK) {
            sl__gguf_close(&g->more[g->n_parts - 1]);
            return status;
        }
    }
    status = sl__gguf_join_tensors(g, err);
    if (status == SL_OK && g->n_tensors != total)
        status = sl__gguf_fail_key(g, "split.tensors.count", err, "%d, but the %d parts have %d",
                                   total, count, g->n_tensors);
    return status;
}

static sl_status open_all(sl__gguf *g, const char *path, bool copy, sl_error *err) {
    int32_t count = 0;
    sl_status status = sl__gguf_open_file(g, path, copy, err);
    if (status != SL_OK) return status;
    status = sl__gguf_i32_or(g, "split.count", 1, 0, SL_GGUF_PARTS_MAX, &count, err);
    if (status == SL_OK && count > 1) status = open_parts(g, count, copy, err);
    if (status != SL_OK) sl__gguf_close(g);
    return status;
}

sl_status sl__gguf_open(sl__gguf *g, const char *path, sl_error *err) {
    return open_all(g, path, false, err);
}

sl_status sl__gguf_read(sl__gguf *g, const char *path, sl_error *err) {
    return open_all(g, path, true, err);
}

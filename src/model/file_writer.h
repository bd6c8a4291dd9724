/* file_writer.h - a large file written under a temporary name, with progress, then renamed.
 *
 *     sl__file_open, sl__file_write ..., sl__file_commit or sl__file_abandon
 *
 * Shared by what writes models (synth.c, expand.c). POSIX files; not for many threads. */
#ifndef SL_FILE_WRITER_H
#define SL_FILE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/status.h"

/* As in sl_synth_params: non-zero stops. */
typedef int sl__file_progress(void *user, uint64_t bytes_done, uint64_t bytes_total);

typedef struct sl__file_writer {
    const char *path; /* borrowed */
    char *partial;    /* the name while writing, owned */
    int fd;           /* -1: closed */
    uint64_t done, total;
    sl__file_progress *progress; /* NULL: none */
    void *user;
    sl_error *err; /* where every failure goes, nullable */
} sl__file_writer;

/* Create the temporary file beside `path` and see that the file system has room for
 * `total` bytes; progress is called for the first time. SL_E_IO, SL_E_NOMEM, SL_E_ARG
 * (stopped). After a failure only sl__file_abandon() may follow. */
SL_MUST_USE sl_status sl__file_open(sl__file_writer *w, const char *path, uint64_t total,
                                    sl__file_progress *progress, void *user, sl_error *err);

/* n bytes at an offset; then progress. Gaps read as zeros. */
SL_MUST_USE sl_status sl__file_write(sl__file_writer *w, const void *bytes, size_t n, uint64_t at);

/* Close and rename. On failure the file is gone. */
SL_MUST_USE sl_status sl__file_commit(sl__file_writer *w);

/* Remove what was written, if anything; after a commit, or zeroed but for fd -1: nothing. */
void sl__file_abandon(sl__file_writer *w);

#endif

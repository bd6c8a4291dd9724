/* file_writer.c - see file_writer.h. */
#include "model/file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"

static sl_status report(const sl__file_writer *w) {
    if (w->progress && w->progress(w->user, w->done, w->total) != 0)
        return sl__fail(w->err, SL_E_ARG, SL_NOWHERE,
                        "stopped by the caller after %" PRIu64 " of %" PRIu64 " bytes", w->done,
                        w->total);
    return SL_OK;
}

static sl_status check_room(const sl__file_writer *w) {
    struct statvfs fs;
    if (fstatvfs(w->fd, &fs) != 0)
        return sl__fail(w->err, SL_E_IO, SL_NOWHERE, "%s: %s", w->partial, strerror(errno));
    const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room < w->total)
        return sl__fail(w->err, SL_E_IO, SL_NOWHERE,
                        "%s: the file needs %.2f GiB, the file system has %.2f GiB free",
                        w->partial, (double)w->total / 0x1p30, (double)room / 0x1p30);
    return SL_OK;
}

sl_status sl__file_open(sl__file_writer *w, const char *path, uint64_t total,
                        sl__file_progress *progress, void *user, sl_error *err) {
    *w = (sl__file_writer){
        .path = path, .fd = -1, .total = total, .progress = progress, .user = user, .err = err};
    const size_t size = strlen(path) + 32;
    w->partial = malloc(size);
    if (!w->partial) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory");
    (void)snprintf(w->partial, size, "%s.%ld.partial", path, (long)getpid());
    w->fd = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0) return sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: %s", w->partial, strerror(errno));
    const sl_status status = check_room(w);
    return status == SL_OK ? report(w) : status;
}

sl_status sl__file_write(sl__file_writer *w, const void *bytes, size_t n, uint64_t at) {
    const unsigned char *p = bytes;
    while (n > 0) {
        const ssize_t written = pwrite(w->fd, p, n, (off_t)at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0)
            return sl__fail(w->err, SL_E_IO, at, "%s: %s", w->partial,
                            written < 0 ? strerror(errno) : "nothing written");
        p += written;
        n -= (size_t)written;
        at += (uint64_t)written;
        w->done += (uint64_t)written;
    }
    return report(w);
}

sl_status sl__file_commit(sl__file_writer *w) {
    const int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0 || rename(w->partial, w->path) != 0) {
        const sl_status status =
            sl__fail(w->err, SL_E_IO, SL_NOWHERE, "%s: %s", w->path, strerror(errno));
        (void)unlink(w->partial);
        free(w->partial);
        w->partial = NULL;
        return status;
    }
    free(w->partial);
    w->partial = NULL;
    return SL_OK;
}

void sl__file_abandon(sl__file_writer *w) {
    if (w->fd >= 0) {
        (void)close(w->fd);
        (void)unlink(w->partial);
    }
    w->fd = -1;
    free(w->partial);
    w->partial = NULL;
}

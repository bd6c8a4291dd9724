/* mapping.c - mmap(), or read(), with the errors spelled out. */
#include "runtime/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

/* The descriptor of a regular file and its size, or -1 with err filled in. */
static int open_regular(const char *path, size_t *size, sl_error *err) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (fd < 0) {
        (void)sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0) {
        (void)sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        (void)sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: not a regular file", path);
    } else if (st.st_size == 0) {
        (void)sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: empty file", path);
    } else if ((uintmax_t)st.st_size > SIZE_MAX) {
        (void)sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: too large for this address space", path);
    } else {
        *size = (size_t)st.st_size;
        return fd;
    }
    (void)close(fd);
    return -1;
}

sl_status sl__mapping_open(sl__mapping *mapping, const char *path, sl_error *err) {
    size_t size = 0;
    *mapping = (sl__mapping){0};

    const int fd = open_regular(path, &size, err);
    if (fd < 0) return SL_E_IO;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    const int mmap_errno = errno;
    (void)close(fd); /* the mapping outlives the descriptor */
    if (bytes == MAP_FAILED)
        return sl__fail(err, SL_E_IO, SL_NOWHERE, "%s: cannot map %zu bytes: %s", path, size,
                        strerror(mmap_errno));
    mapping->bytes = bytes;
    mapping->size = size;
    return SL_OK;
}

/* All of a file, in pieces that read() takes at once everywhere. */
static sl_status read_all(int fd, uint8_t *bytes, size_t size, const char *path, sl_error *err) {
    const size_t piece = (size_t)1 << 26;
    for (size_t at = 0; at < size;) {
        const ssize_t n = read(fd, bytes + at, size - at < piece ? size - at : piece);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return sl__fail(err, SL_E_IO, at, "%s: at offset %zu: %s", path, at, strerror(errno));
        if (n == 0)
            return sl__fail(err, SL_E_IO, at, "%s: ends at offset %zu, had %zu bytes", path, at,
                            size);
        at += (size_t)n;
    }
    return SL_OK;
}

sl_status sl__mapping_read(sl__mapping *mapping, const char *path, sl_error *err) {
    size_t size = 0;
    sl__block copy = {NULL, 0};
    *mapping = (sl__mapping){0};
    const int fd = open_regular(path, &size, err);
    if (fd < 0) return SL_E_IO;
    sl_status status = sl__block_acquire(&copy, size, path, err);
    if (status == SL_OK) status = read_all(fd, copy.bytes, size, path, err);
    (void)close(fd);
    if (status != SL_OK) {
        sl__block_release(&copy);
        return status;
    }
    *mapping = (sl__mapping){copy.bytes, size, copy};
    return SL_OK;
}

void sl__mapping_drop(const sl__mapping *mapping, size_t from, size_t size) {
    SL_ASSERT(from <= mapping->size && size <= mapping->size - from);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t end = from + size;
    const size_t first = sl__round_up(from, page);
    /* The file's last page is whole for the kernel, even if the file ends inside it. */
    const size_t last = end == mapping->size ? sl__round_up(end, page) : end & ~(page - 1);
    if (first < last)
        (void)madvise((void *)(uintptr_t)(mapping->bytes + first), last - first, MADV_DONTNEED);
}

void sl__mapping_close(sl__mapping *mapping) {
    if (mapping->copy.bytes)
        sl__block_release(&mapping->copy);
    else if (mapping->bytes)
        (void)munmap((void *)(uintptr_t)mapping->bytes, mapping->size);
    *mapping = (sl__mapping){0};
}

/* memory.c - anonymous mappings, locking, and the two-walk planner. */
#include "runtime/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

sl_status sl__block_acquire(sl__block *block, size_t size, const char *what, sl_error *err) {
    *block = (sl__block){NULL, 0};
    const sl_status status = sl__memory_check(size, what, err);
    return status == SL_OK ? sl__block_acquire_unchecked(block, size, what, err) : status;
}

sl_status sl__block_acquire_unchecked(sl__block *block, size_t size, const char *what,
                                      sl_error *err) {
    *block = (sl__block){NULL, 0};
    if (size == 0) return SL_OK;
    const size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    if (size > SIZE_MAX - 2 * (size_t)HUGE_PAGE)
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s is too large for this machine", what);
    const size_t whole = sl__round_up(size, 4096) + slack;
    uint8_t *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "%s needs %.2f GiB of memory: %s", what,
                        (double)size / 0x1p30, strerror(errno));
    if (slack) { /* trim to a huge-page boundary */
        uint8_t *aligned = (uint8_t *)sl__round_up((uintptr_t)map, HUGE_PAGE);
        const size_t head = (size_t)(aligned - map), tail = slack - head;
        if (head) (void)munmap(map, head);
        if (tail) (void)munmap(aligned + whole - slack, tail);
        map = aligned;
        (void)madvise(map, whole - slack, MADV_HUGEPAGE); /* a wish, not a need */
    }
    *block = (sl__block){map, whole - slack};
    return SL_OK;
}

void sl__block_release(sl__block *block) {
    if (block->bytes) (void)munmap(block->bytes, block->size);
    *block = (sl__block){NULL, 0};
}

sl_status sl__memory_lock(const void *bytes, size_t size, const char *what, sl_error *err) {
    if (size == 0 || mlock(bytes, size) == 0) return SL_OK;
    return sl__fail(err, SL_E_NOMEM, SL_NOWHERE,
                    "cannot lock %.2f GiB of %s in memory: %s (ulimit -l is the limit)",
                    (double)size / 0x1p30, what, strerror(errno));
}

void *sl__plan_take(sl__plan *plan, size_t n, size_t size) {
    uint64_t bytes;
    SL_ASSERT(sl__mul_size(n, size, &bytes) && bytes < SIZE_MAX / 2 - plan->used);
    uint8_t *p = plan->base ? plan->base + plan->used : NULL;
    plan->used += sl__round_up((size_t)bytes, SL_CACHE_LINE);
    return p;
}

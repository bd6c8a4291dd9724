/* memory.c - anonymous mappings and the two-walk planner. */
#include "runtime/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

/* The number after `key` in a small text file, or UINT64_MAX. */
static uint64_t number_in_file(const char *path, const char *key) {
    FILE *f = fopen(path, "re");
    if (!f) return UINT64_MAX;
    char line[256];
    uint64_t value = UINT64_MAX;
    const size_t key_length = strlen(key);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, key_length) == 0) {
            char *end;
            const char *digits = line + key_length + strspn(line + key_length, " \t");
            const unsigned long long n = strtoull(digits, &end, 10);
            if (end != digits) value = n;
            break;
        }
    (void)fclose(f); /* read only: nothing can be lost */
    return value;
}

uint64_t sl__memory_available(void) {
    uint64_t available = number_in_file("/proc/meminfo", "MemAvailable:");
    if (available != UINT64_MAX) available *= 1024;
    const uint64_t limit = number_in_file("/sys/fs/cgroup/memory.max", "");
    const uint64_t used = number_in_file("/sys/fs/cgroup/memory.current", "");
    if (limit != UINT64_MAX && used != UINT64_MAX) {
        const uint64_t left = limit > used ? limit - used : 0;
        if (left < available) available = left;
    }
    return available;
}

sl_status sl__block_acquire(sl__block *block, size_t size, const char *what, sl_error *err) {
    *block = (sl__block){NULL, 0};
    if (size == 0) return SL_OK;
    const uint64_t available = sl__memory_available();
    if (size > available)
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE,
                        "%s needs %.2f GiB of memory, %.2f GiB are available", what,
                        (double)size / 0x1p30, (double)available / 0x1p30);
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

void *sl__plan_take(sl__plan *plan, size_t n, size_t size) {
    uint64_t bytes;
    SL_ASSERT(sl__mul_size(n, size, &bytes) && bytes < SIZE_MAX / 2 - plan->used);
    uint8_t *p = plan->base ? plan->base + plan->used : NULL;
    plan->used += sl__round_up((size_t)bytes, SL_CACHE_LINE);
    return p;
}

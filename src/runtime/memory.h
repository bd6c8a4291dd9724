/* memory.h - large zeroed blocks on huge pages, a planner for laying them out, and how much
 * memory there is (available.c). */
#ifndef SL_MEMORY_H
#define SL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/* One anonymous mapping, zeroed, 2 MiB aligned when that large, with transparent
 * huge pages asked for. NULL bytes means nothing is held. */
typedef struct sl__block {
    uint8_t *bytes;
    size_t size;
} sl__block;

/* SL_E_NOMEM, with what in the message, if the machine cannot hold it; checked
 * against the memory available before anything is touched. */
sl_status sl__block_acquire(sl__block *block, size_t size, const char *what, sl_error *err);
void sl__block_release(sl__block *block);

/* The same without the check, for who gives back other memory while it fills the block. */
sl_status sl__block_acquire_unchecked(sl__block *block, size_t size, const char *what,
                                      sl_error *err);

/* Memory a process can still take without swapping (MemAvailable, and the control
 * groups' limits where there are any), or UINT64_MAX if unknown. */
uint64_t sl__memory_available(void);

/* The same from the files of /proc and /sys below another root, for tests. */
uint64_t sl__memory_available_below(const char *root);

/* SL_E_NOMEM if fewer bytes are available, with both numbers in the message. */
SL_MUST_USE sl_status sl__memory_check(uint64_t bytes, const char *what, sl_error *err);

/* Keep bytes [size] from being swapped or dropped until they are unmapped. SL_E_NOMEM with
 * the system's reason. */
SL_MUST_USE sl_status sl__memory_lock(const void *bytes, size_t size, const char *what,
                                      sl_error *err);

/* A plan is walked twice by the same code: once with base NULL to add up sizes,
 * once with the block's bytes to hand out pointers. Alignment is a cache line. */
typedef struct sl__plan {
    uint8_t *base;
    size_t used;
} sl__plan;

/* Next n * size bytes of the plan; NULL while measuring. Asserts no overflow. */
void *sl__plan_take(sl__plan *plan, size_t n, size_t size);

#endif

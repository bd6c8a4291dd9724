/* mapping.h - a whole file as read-only memory: its own pages, or a copy of them.
 *
 * The file must stay as long as it is while it is mapped: reading past a later
 * truncation raises SIGBUS, as with any mapping. */
#ifndef SL_MAPPING_H
#define SL_MAPPING_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/memory.h"
#include "sluice/status.h"

typedef struct sl__mapping {
    const unsigned char *bytes; /* [size], page aligned; NULL when closed */
    size_t size;                /* > 0 while open                         */
    sl__block copy;             /* holds the bytes after sl__mapping_read() */
} sl__mapping;

/* Map a regular, non-empty file. SL_E_IO otherwise, with the path and the system's
 * reason; the mapping is then closed (all zero). */
SL_MUST_USE sl_status sl__mapping_open(sl__mapping *mapping, const char *path, sl_error *err);

/* The same with the file read into memory of its own. Also SL_E_NOMEM. */
SL_MUST_USE sl_status sl__mapping_read(sl__mapping *mapping, const char *path, sl_error *err);

/* Tell the system that bytes [from, from + size) are no longer needed in memory: whole
 * pages inside the range are given back. They can still be read (from disk, again) unless
 * they are a copy: then they are lost.
 * Precondition, asserted: the range is inside the mapping. Never fails. */
void sl__mapping_drop(const sl__mapping *mapping, size_t from, size_t size);

/* Release; a closed mapping is fine. */
void sl__mapping_close(sl__mapping *mapping);

#endif

/* sim_text.c - see sim_text.h. */
#include "sim_text.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/base.h"

#define STEP ((size_t)1 << 20)
#define TEXT_MAX ((size_t)1 << 31)

sl_status sim_text_read(const char *path, char **text, size_t *n, sl_error *err) {
    size_t size = 0, room = STEP;
    int got = 0;
    *n = 0;
    *text = NULL;
    gzFile file = gzopen(path, "rb");
    if (!file) return sl__fail(err, SL_E_IO, 0, "cannot open %s", path);
    char *bytes = malloc(room + 1);
    while (bytes && (got = gzread(file, bytes + size, (unsigned)(room - size))) > 0) {
        size += (size_t)got;
        if (size < room) continue;
        char *more = room < TEXT_MAX ? realloc(bytes, 2 * room + 1) : NULL;
        if (!more) break;
        bytes = more;
        room *= 2;
        if (room - size > INT_MAX) break;
    }
    const int closed = gzclose(file);
    if (bytes && got == 0 && closed == Z_OK) {
        bytes[size] = '\0';
        *text = bytes;
        *n = size;
        return SL_OK;
    }
    free(bytes);
    if (!bytes || got > 0) return sl__fail(err, SL_E_NOMEM, 0, "%s: no memory for it", path);
    return sl__fail(err, SL_E_IO, 0, "%s: cannot be read to its end", path);
}

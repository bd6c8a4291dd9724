/* error.c - filling sl_error, and the one place where a bug ends the program. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *sl_status_text(sl_status status) {
    switch (status) {
#define X(name, value, http, text)                                                                 \
    case name:                                                                                     \
        return text;
        SL_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

const char *sl_version(void) {
    return "0.1.0";
}

sl_status sl__fail(sl_error *err, sl_status code, uint64_t at, const char *format, ...) {
    if (err) {
        err->code = code;
        err->at = at;
        va_list args;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        for (char *c = err->text; *c; c++) /* names from a file may hold anything */
            if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    return code;
}

void sl__assert_failed(const char *what, const char *file, int line) {
    (void)fprintf(stderr, "%s:%d: internal error: %s\n", file, line, what);
    abort();
}

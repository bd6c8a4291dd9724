/* message.c - errors in one voice. */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

void cli_complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)fputs("sluice: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

int cli_complain_status(const char *context, sl_status status, const sl_error *err) {
    const char *text = err->text[0] ? err->text : sl_status_text(status);
    if (context)
        cli_complain("%s: %s", context, text);
    else
        cli_complain("%s", text);
    return status == SL_E_ARG ? CLI_USAGE : CLI_FAILED;
}

const char *cli_write_failure(FILE *file) {
    const int failed = ferror(file);
    errno = 0;
    if (fflush(file) == 0 && !failed) return NULL;
    if (errno == 0) (void)(fputc('\n', file) != EOF && fflush(file));
    return errno ? strerror(errno) : "write error";
}

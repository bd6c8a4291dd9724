/* fuzz_complaints.h - what the command line says on stderr, caught and counted.
 *
 * Takes the place of cli/message.c: whoever links files of cli/ into a fuzzer includes this
 * in one file. */
#ifndef SL_FUZZ_COMPLAINTS_H
#define SL_FUZZ_COMPLAINTS_H

#include <stdarg.h>

#include "cmd.h"
#include "fuzz.h"
#include "message.h"

static int fuzz_complaints; /* since the input began */

void cli_complain(const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    FUZZ_CHECK(n > 0);
    fuzz_complaints++;
}

int cli_complain_status(const char *context, sl_status status, const sl_error *err) {
    FUZZ_CHECK(status != SL_OK && (err->text[0] || sl_status_text(status)[0]));
    cli_complain("%s: %s", context ? context : "", err->text);
    return status == SL_E_ARG ? CLI_USAGE : CLI_FAILED;
}

#endif

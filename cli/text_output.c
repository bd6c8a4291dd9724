/* text_output.c - one write per token, so that a reader sees it at once. */
#include "text_output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"

int cli_text_write(cli_text_output *out, const char *bytes, size_t n) {
    while (n > 0) {
        const ssize_t written = write(STDOUT_FILENO, bytes, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            out->reader_gone = errno == EPIPE;
            out->error = errno == EPIPE ? 0 : errno;
            return 1;
        }
        bytes += written;
        n -= (size_t)written;
        out->last = bytes[-1];
    }
    return 0;
}

int cli_text_check(const cli_text_output *out) {
    if (!out->error) return CLI_OK;
    cli_complain("standard output: %s", strerror(out->error));
    return CLI_FAILED;
}

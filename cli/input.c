/* input.c - read whole, then check. */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"

/* The ranges are those of the Unicode Standard, table 3-7. */
size_t cli_utf8_valid(const char *text, size_t n) {
    const unsigned char *t = (const unsigned char *)text;
    size_t at = 0;
    while (at < n) {
        const unsigned char lead = t[at];
        if (lead < 0x80) {
            at++;
            continue;
        }
        if (lead < 0xC2 || lead > 0xF4) return at;
        const size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        const unsigned char second_min = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const unsigned char second_max = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (n - at < bytes || t[at + 1] < second_min || t[at + 1] > second_max) return at;
        for (size_t i = 2; i < bytes; i++)
            if (t[at + i] < 0x80 || t[at + i] > 0xBF) return at;
        at += bytes;
    }
    return n;
}

void cli_input_free(cli_input *in) {
    free(in->text);
    in->text = NULL;
    in->n = 0;
}

/* Read to the end of the stream, doubling the buffer. */
static int read_stream(cli_input *in, FILE *from, size_t bytes_max) {
    size_t capacity = 0;
    for (;;) {
        if (in->n + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            char *larger = realloc(in->text, capacity);
            if (!larger) {
                cli_complain("%s: out of memory after %zu bytes", in->name, in->n);
                return CLI_FAILED;
            }
            in->text = larger;
        }
        const size_t got = fread(in->text + in->n, 1, capacity - in->n - 1, from);
        in->n += got;
        if (in->n > bytes_max) {
            cli_complain("%s: more than the %zu bytes that are allowed", in->name, bytes_max);
            return CLI_FAILED;
        }
        if (got > 0) continue;
        if (ferror(from)) {
            cli_complain("%s: %s", in->name, strerror(errno));
            return CLI_FAILED;
        }
        in->text[in->n] = '\0';
        return CLI_OK;
    }
}

int cli_input_file(cli_input *in, const char *file, size_t bytes_max) {
    const int is_stdin = strcmp(file, "-") == 0;
    *in = (cli_input){.name = is_stdin ? "standard input" : file};
    FILE *from = is_stdin ? stdin : fopen(file, "rb");
    if (!from) {
        cli_complain("%s: %s", file, strerror(errno));
        return CLI_FAILED;
    }
    const int code = read_stream(in, from, bytes_max);
    if (!is_stdin) (void)fclose(from);
    if (code != CLI_OK) cli_input_free(in);
    return code;
}

static int copy_text(cli_input *in, const char *text) {
    *in = (cli_input){.name = "-p", .text = strdup(text), .n = strlen(text)};
    if (in->text) return CLI_OK;
    cli_complain("out of memory");
    return CLI_FAILED;
}

/* CLI_OK, or `code` after one line on stderr. */
static int check_text(const char *name, const char *text, size_t n, int code) {
    const char *zero = memchr(text, '\0', n);
    const size_t valid = cli_utf8_valid(text, n);
    if (n == 0)
        cli_complain("%s: expected some text, it is empty", name);
    else if (valid < n)
        cli_complain("%s: expected UTF-8 text, byte %zu is 0x%02X", name, valid,
                     (unsigned)(unsigned char)text[valid]);
    else if (zero)
        cli_complain("%s: expected text, byte %zu is zero", name, (size_t)(zero - text));
    else
        return CLI_OK;
    return code;
}

int cli_input_text(const char *name, const char *text, size_t n) {
    return check_text(name, text, n, CLI_FAILED);
}

int cli_input_argument(const char *flag, const char *text) {
    return check_text(flag, text, strlen(text), CLI_USAGE);
}

int cli_input_prompt(cli_input *in, const char *text, const char *file) {
    *in = (cli_input){.name = ""};
    if (text && file) {
        cli_complain("-p and -f: expected only one of them");
        return CLI_USAGE;
    }
    if (!text && !file && isatty(STDIN_FILENO)) {
        cli_complain("no prompt: expected -p TEXT, -f FILE or text on standard input");
        return CLI_USAGE;
    }
    int code = text ? copy_text(in, text) : cli_input_file(in, file ? file : "-", CLI_INPUT_MAX);
    if (code != CLI_OK) return code;
    if (!text && in->n > 0 && in->text[in->n - 1] == '\n') in->text[--in->n] = '\0';
    code = check_text(in->name, in->text, in->n, text ? CLI_USAGE : CLI_FAILED);
    if (code != CLI_OK) cli_input_free(in);
    return code;
}

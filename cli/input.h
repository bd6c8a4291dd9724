/* input.h - a prompt from the command line, a file or a pipe, checked as text. */
#ifndef SL_CLI_INPUT_H
#define SL_CLI_INPUT_H

#include <stddef.h>

#define CLI_INPUT_MAX ((size_t)64 << 20) /* bytes of one prompt */

typedef struct cli_input {
    const char *name; /* for messages: "-p", a file's name or "standard input"     */
    char *text;       /* [n], and a terminating 0; release with cli_input_free()   */
    size_t n;
} cli_input;

/* Read the prompt from `text` if not NULL, else from `file` ("-" is standard input),
 * else from standard input unless that is a terminal. One newline at the end of a file
 * or pipe is an editor's, not the prompt's, and is left out.
 *
 * CLI_OK, or an exit code after one line on stderr: both or neither were given, the
 * file cannot be read or is too large, or the text is empty, has a zero byte or is not
 * UTF-8 (the byte offset is named). */
int cli_input_prompt(cli_input *in, const char *text, const char *file);

/* Check text [n] from elsewhere in the same way, CLI_OK or CLI_FAILED; and an argument of
 * the command line, CLI_OK or CLI_USAGE. */
int cli_input_text(const char *name, const char *text, size_t n);
int cli_input_argument(const char *flag, const char *text);

/* Read a whole file ("-" is standard input) as bytes. CLI_OK or CLI_FAILED. */
int cli_input_file(cli_input *in, const char *file, size_t bytes_max);

void cli_input_free(cli_input *in);

/* Offset of the first byte that is not part of a UTF-8 character, or n. */
size_t cli_utf8_valid(const char *text, size_t n);

#endif

/* text_output.h - generated text to standard output, as it comes. */
#ifndef SL_CLI_TEXT_OUTPUT_H
#define SL_CLI_TEXT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_text_output {
    bool reader_gone; /* stdout was closed: `sluice run | head` is no failure */
    int error;        /* errno of any other failure to write, or 0             */
    char last;        /* character written last, or 0                         */
} cli_text_output;

/* Write at once. 0, or 1 if nothing more can be written. */
int cli_text_write(cli_text_output *out, const char *bytes, size_t n);

/* CLI_OK, or CLI_FAILED after one line on stderr if a write failed. */
int cli_text_check(const cli_text_output *out);

#endif

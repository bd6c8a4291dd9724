/* line_editor.h - lines a person types, with editing and history; or lines of a pipe.
 *
 * Editing is libedit's (emacs keys, ~/.editrc) where stdin and stderr are terminals; it
 * writes to stderr. Elsewhere lines are read as they are and nothing is shown. */
#ifndef SL_CLI_LINE_EDITOR_H
#define SL_CLI_LINE_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_editor cli_editor;

typedef enum cli_line {
    CLI_LINE,             /* a line was read                                   */
    CLI_LINE_END,         /* the input is over: end of the pipe, or Ctrl-D     */
    CLI_LINE_INTERRUPTED, /* Ctrl-C or another signal while waiting            */
    CLI_LINE_FAILED       /* one line on stderr says why                       */
} cli_line;

/* Open on standard input. The history is read from and, by cli_editor_close(), written to
 * the file of this name, unless it is NULL or nothing is edited. CLI_OK or CLI_FAILED.
 * cli_interrupt_catch() comes before it: its flag ends a wait. */
int cli_editor_open(cli_editor **out, const char *history_path);
void cli_editor_close(cli_editor **editor);

/* Whether a person types. */
bool cli_editor_is_interactive(const cli_editor *editor);

/* Read a line; *line is [*n] bytes and a zero byte behind them, without the newline,
 * borrowed until the next call. */
cli_line cli_editor_read(cli_editor *editor, const char *prompt, const char **line, size_t *n);

#endif

/* line_editor.c - libedit where there is a terminal.
 *
 * Signals are the program's, not libedit's (EL_SIGNAL is off). A Ctrl-C has to end the
 * wait for a key, but libedit tries an interrupted read again; so keys are read here.
 *
 * Between two lines the terminal is as it was found, and holds what is typed as lines: a
 * Ctrl-D typed then ends one, and comes as a zero byte once keys come one by one. */
#include "line_editor.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cmd.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"

#define HISTORY_LINES 1000
#define CTRL_D '\x04'

struct cli_editor {
    EditLine *el; /* NULL: plain lines */
    History *history;
    const char *history_path;
    const char *prompt;
    int typed_ahead;  /* bytes to come that were typed before the prompt */
    bool interrupted; /* the newest wait for a key */
    char *plain;      /* getline()'s               */
    size_t plain_size;
};

/* ---- a terminal ---- */

static cli_editor *editor_of(EditLine *el) {
    void *data = NULL;
    (void)el_get(el, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt_of(EditLine *el) {
    return (char *)(uintptr_t)editor_of(el)->prompt; /* libedit only reads it */
}

/* One character from the terminal, in the locale's encoding. 1, 0 at the end, or -1. */
static int read_key(EditLine *el, wchar_t *key) {
    cli_editor *e = editor_of(el);
    mbstate_t state = {0};
    for (;;) {
        char byte;
        e->interrupted = !cli_interrupt_wait(STDIN_FILENO);
        if (e->interrupted) return -1;
        const ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return (int)got;
        if (e->typed_ahead > 0 && e->typed_ahead-- && byte == 0) byte = CTRL_D;
        const size_t used = mbrtowc(key, &byte, 1, &state);
        if (used == (size_t)-2) continue; /* more bytes to come */
        if (used != (size_t)-1) return 1;
        state = (mbstate_t){0}; /* no character: leave it out */
    }
}

/* What libedit does not know by itself. */
static const struct {
    const char *key, *action;
} keys[] = {
    {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"}, /* delete    */
    {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},       /* home, end */
    {"\\e[1;5D", "ed-prev-word"}, {"\\e[1;5C", "em-next-word"},      /* ctrl-arrows */
};

static int open_terminal(cli_editor *e) {
    HistEvent event;
    /* Keys are characters: any UTF-8 locale does, should the user's be none. */
    if ((!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) && !setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "C");
    e->el = el_init("sluice", stdin, stderr, stderr);
    e->history = history_init();
    if (!e->el || !e->history) {
        cli_complain("cannot edit lines: out of memory, or TERM is not usable");
        return CLI_FAILED;
    }
    (void)el_set(e->el, EL_CLIENTDATA, e);
    (void)el_set(e->el, EL_PROMPT, prompt_of);
    (void)el_set(e->el, EL_EDITOR, "emacs");
    (void)el_set(e->el, EL_SIGNAL, 0);
    (void)el_set(e->el, EL_GETCFN, read_key);
    for (int i = 0; i < CLI_COUNT(keys); i++)
        (void)el_set(e->el, EL_BIND, keys[i].key, keys[i].action, NULL);
    (void)el_source(e->el, NULL);
    (void)history(e->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(e->history, &event, H_SETUNIQUE, 1);
    (void)el_set(e->el, EL_HIST, history, e->history);
    if (e->history_path) (void)history(e->history, &event, H_LOAD, e->history_path);
    return CLI_OK;
}

static cli_line read_terminal(cli_editor *e, const char **line, size_t *n) {
    HistEvent event;
    int count = 0;
    e->interrupted = false;
    (void)el_set(e->el, EL_PREP_TERM, 1); /* the prompt says that keys come one by one */
    if (ioctl(STDIN_FILENO, FIONREAD, &e->typed_ahead) != 0) e->typed_ahead = 0;
    el_resize(e->el);
    const char *text = el_gets(e->el, &count);
    if (e->interrupted) {
        (void)fputs("^C\n", stderr);
        return CLI_LINE_INTERRUPTED;
    }
    if (!text || count <= 0) {
        (void)fputc('\n', stderr);
        return CLI_LINE_END;
    }
    *n = strcspn(text, "\n");
    if (*n > 0) (void)history(e->history, &event, H_ENTER, text);
    free(e->plain);
    e->plain = strndup(text, *n);
    *line = e->plain;
    if (e->plain) return CLI_LINE;
    cli_complain("out of memory for a line of %zu bytes", *n);
    return CLI_LINE_FAILED;
}

/* ---- a pipe ---- */

static cli_line read_plain(cli_editor *e, const char **line, size_t *n) {
    const ssize_t got = getline(&e->plain, &e->plain_size, stdin);
    if (got < 0) {
        if (feof(stdin)) return CLI_LINE_END;
        if (errno == EINTR) {
            clearerr(stdin);
            return CLI_LINE_INTERRUPTED;
        }
        cli_complain("standard input: %s", strerror(errno));
        return CLI_LINE_FAILED;
    }
    *n = (size_t)got;
    if (*n > 0 && e->plain[*n - 1] == '\n') e->plain[--*n] = '\0';
    *line = e->plain;
    return CLI_LINE;
}

/* ---- both ---- */

int cli_editor_open(cli_editor **out, const char *history_path) {
    cli_editor *e = *out = calloc(1, sizeof *e);
    if (!e) {
        cli_complain("out of memory");
        return CLI_FAILED;
    }
    e->history_path = history_path;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) return CLI_OK;
    const int code = open_terminal(e);
    if (code != CLI_OK) cli_editor_close(out);
    return code;
}

void cli_editor_close(cli_editor **editor) {
    cli_editor *e = *editor;
    HistEvent event;
    *editor = NULL;
    if (!e) return;
    if (e->el && e->history && e->history_path)
        (void)history(e->history, &event, H_SAVE, e->history_path);
    if (e->el) el_end(e->el);
    if (e->history) history_end(e->history);
    free(e->plain);
    free(e);
}

bool cli_editor_is_interactive(const cli_editor *e) {
    return e->el != NULL;
}

cli_line cli_editor_read(cli_editor *e, const char *prompt, const char **line, size_t *n) {
    if (!cli_interrupt_is_final()) cli_interrupt_clear(); /* what came before was for others */
    e->prompt = prompt;
    *line = "";
    *n = 0;
    return e->el ? read_terminal(e, line, n) : read_plain(e, line, n);
}

/* line_editor.c - libedit where there is a terminal.
 *
 * Signals are the program's, not libedit's (EL_SIGNAL is off). A Ctrl-C has to end the
 * wait for a key, but libedit tries an interrupted read again; so keys are read here.
 *
 * A paste is one piece of text, however many lines it has: terminals that know "bracketed
 * paste" mark its two ends, and only a key of the person's own ends the turn.
 *
 * Between two lines the terminal is as it was found, and holds what is typed as lines: a
 * Ctrl-D typed then ends one, and comes as a zero byte once keys come one by one. */
#include "line_editor.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cmd.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"

#define HISTORY_LINES 1000
#define CTRL_D '\x04'
#define PASTE_BYTES_MAX ((size_t)1 << 20)

/* What switches bracketed paste on and off, and what a terminal then sends about a paste. */
#define PASTES_ON "\x1b[?2004h"
#define PASTES_OFF "\x1b[?2004l"
#define PASTE_END "\x1b[201~"

struct cli_editor {
    EditLine *el;     /* NULL: plain lines */
    History *history; /* of all chats           */
    History *own;     /* of this one, to append */
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

/* The bytes of a paste up to its end, with newlines as its lines' ends and without what would
 * be keys; to be freed. NULL: out of memory, longer than PASTE_BYTES_MAX, or interrupted. */
static char *read_paste(cli_editor *e) {
    const size_t n_end = strlen(PASTE_END);
    char *text = malloc(PASTE_BYTES_MAX + n_end + 1);
    size_t n = 0;
    if (!text) return NULL;
    for (; n < n_end || memcmp(text + n - n_end, PASTE_END, n_end) != 0; n++) {
        e->interrupted = !cli_interrupt_wait(STDIN_FILENO);
        if (e->interrupted || n == PASTE_BYTES_MAX + n_end ||
            read(STDIN_FILENO, text + n, 1) != 1) {
            free(text);
            return NULL;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < n - n_end; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte == '\r' || byte == '\n' || byte == '\t' || byte >= ' ')
            text[kept++] = byte == '\r' ? '\n' : (char)byte;
    }
    while (kept > 0 && text[kept - 1] == '\n') /* the end of a line is the person's to say */
        kept--;
    text[kept] = '\0';
    return text;
}

static unsigned char insert_paste(EditLine *el, int key) {
    cli_editor *e = editor_of(el);
    char *text = read_paste(e);
    (void)key;
    if (!text) return e->interrupted ? CC_EOF : CC_ERROR;
    const int failed = text[0] ? el_insertstr(el, text) : 0;
    free(text);
    return failed ? CC_ERROR : CC_REFRESH;
}

/* What libedit does not know by itself. */
static const struct {
    const char *key, *action;
} keys[] = {
    {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"}, /* delete    */
    {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},       /* home, end */
    {"\\e[200~", "insert-paste"}, {"\\e[1;5D", "ed-prev-word"},
    {"\\e[1;5C", "em-next-word"}, /* ctrl-arrows */
};

static void limit_history(History *h) {
    HistEvent event;
    (void)history(h, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(h, &event, H_SETUNIQUE, 1);
}

/* Write the lines of this chat behind those of the file, which other chats may have written to
 * since it was read. */
static void append_history(const cli_editor *e) {
    HistEvent event;
    History *all = history_init();
    const int lock = open(e->history_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (all && lock >= 0 && flock(lock, LOCK_EX) == 0) {
        limit_history(all);
        (void)history(all, &event, H_LOAD, e->history_path);
        for (int more = history(e->own, &event, H_LAST); more >= 0;
             more = history(e->own, &event, H_PREV)) {
            HistEvent entered;
            (void)history(all, &entered, H_ENTER, event.str);
        }
        (void)history(all, &event, H_SAVE, e->history_path);
    }
    if (lock >= 0) (void)close(lock);
    if (all) history_end(all);
}

static int open_terminal(cli_editor *e) {
    HistEvent event;
    /* Keys are characters: any UTF-8 locale does, should the user's be none. */
    if ((!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) && !setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "C");
    e->el = el_init("sluice", stdin, stderr, stderr);
    e->history = history_init();
    e->own = history_init();
    if (!e->el || !e->history || !e->own) {
        cli_complain("cannot edit lines: out of memory, or TERM is not usable");
        return CLI_FAILED;
    }
    (void)el_set(e->el, EL_CLIENTDATA, e);
    (void)el_set(e->el, EL_PROMPT, prompt_of);
    (void)el_set(e->el, EL_EDITOR, "emacs");
    (void)el_set(e->el, EL_SIGNAL, 0);
    (void)el_set(e->el, EL_GETCFN, read_key);
    /* el_set() would leak copies of both texts. */
    (void)el_wset(e->el, EL_ADDFN, L"insert-paste", L"Insert what is pasted", insert_paste);
    for (int i = 0; i < CLI_COUNT(keys); i++)
        (void)el_set(e->el, EL_BIND, keys[i].key, keys[i].action, NULL);
    (void)el_source(e->el, NULL);
    limit_history(e->history);
    limit_history(e->own);
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
    (void)fputs(PASTES_ON, stderr);
    const char *text = el_gets(e->el, &count);
    (void)fputs(PASTES_OFF, stderr);
    if (e->interrupted) {
        (void)fputs("^C\n", stderr);
        return CLI_LINE_INTERRUPTED;
    }
    if (!text || count <= 0) {
        (void)fputc('\n', stderr);
        return CLI_LINE_END;
    }
    *n = strlen(text);
    if (*n > 0 && text[*n - 1] == '\n') --*n;
    if (*n > 0) (void)history(e->history, &event, H_ENTER, text);
    if (*n > 0) (void)history(e->own, &event, H_ENTER, text);
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
    *editor = NULL;
    if (!e) return;
    if (e->el && e->own && e->history_path) append_history(e);
    if (e->el) el_end(e->el);
    if (e->history) history_end(e->history);
    if (e->own) history_end(e->own);
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

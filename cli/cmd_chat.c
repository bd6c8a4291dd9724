/* cmd_chat.c - `sluice chat`: a conversation, typed or piped.
 *
 * One turn:  read lines -> a command, or words -> answer, streamed to stdout
 *
 * Typed, mistakes are told and the conversation goes on; Ctrl-C stops an answer, and twice
 * in a row at the prompt the program. Piped, every line is a turn, and the first mistake
 * ends the program, as a script would want it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "conversation.h"
#include "engine_options.h"
#include "input.h"
#include "interrupt.h"
#include "line_editor.h"
#include "message.h"
#include "model_path.h"
#include "options.h"
#include "progress.h"
#include "request_options.h"
#include "summary.h"
#include "text_output.h"

#define CONTEXT_DEFAULT 8192 /* tokens, unless the model was trained for fewer */
#define TURN_BYTES_MAX CLI_INPUT_MAX

typedef struct chat {
    cli_engine engine;
    cli_request request;
    const char *system;
    bool no_history;

    sl_model *model;
    sl_session *session;
    cli_draft draft;
    cli_editor *editor;
    cli_conversation conversation;
    char *own_system; /* what /system set */
    char *turn;       /* [turn_bytes] and a zero byte */
    size_t turn_bytes;
    cli_progress progress;
    cli_text_output output;
} chat;

/* ---- options ------------------------------------------------------------------- */

static const char notes[] =
    "A backslash at the end of a line lets the turn go on in the next one. Ctrl-C stops an\n"
    "answer; Ctrl-D, or Ctrl-C twice, ends the program. /help lists what else can be typed.\n"
    "Lines typed are remembered in ~/.local/state/sluice/chat_history (XDG_STATE_HOME). From\n"
    "a pipe every line is a turn. Only answers go to standard output.";

static bool parse_options(const cli_command *self, chat *c, int argc, char **argv, int *exit_code) {
    const cli_option options[] = {
        CLI_HEADING("Conversation"),
        CLI_TEXT("-sys --system-prompt", "TEXT", &c->system, "what the system says before it"),
        CLI_OPTIONS_STOPPING(&c->request),
        CLI_FLAG("--no-history", &c->no_history, "neither read nor write the lines typed before"),
        CLI_HEADING("Model"),
        CLI_OPTION_MODEL(&c->engine),
        CLI_OPTION_CONTEXT(&c->engine, "tokens the conversation can have; 0: what the model was\n"
                                       "trained for, at most 8192"),
        CLI_OPTION_THREADS(&c->engine),
        CLI_OPTIONS_BATCH(&c->engine),
        CLI_OPTION_KEYS(&c->engine),
        CLI_OPTION_VALUES(&c->engine),
        CLI_OPTION_ISA(&c->engine),
        CLI_OPTION_LAYOUT(&c->engine),
        CLI_OPTIONS_SAMPLING(&c->request),
        CLI_OPTIONS_SPECULATION(&c->request),
    };
    return cli_parse(self, options, CLI_COUNT(options), argc, argv, exit_code);
}

static int check_options(chat *c) {
    if (c->system && cli_input_argument("-sys", c->system) != CLI_OK) return CLI_USAGE;
    return cli_request_check(&c->request);
}

/* ---- answers ------------------------------------------------------------------- */

static int on_text(void *user, const char *bytes, size_t n) {
    chat *c = user;
    cli_progress_end(&c->progress);
    return cli_text_write(&c->output, bytes, n);
}

static void on_prompt(void *user, int32_t done, int32_t total) {
    chat *c = user;
    cli_progress_update(&c->progress, done, total);
    if (done == total) cli_progress_end(&c->progress);
}

static void note_the_end(const chat *c) {
    const sl_generate_stats *s = &c->conversation.stats;
    if (!cli_editor_is_interactive(c->editor)) return;
    if (s->stop == SL_STOP_CALLER && !c->output.reader_gone)
        (void)fputs(s->tokens > 0 ? "(stopped)\n" : "(stopped before an answer: not said)\n",
                    stderr);
    if (s->stop == SL_STOP_CONTEXT)
        (void)fputs("(the context is full: /reset begins anew)\n", stderr);
}

static int answer(chat *c) {
    c->output.last = 0;
    cli_progress_begin(&c->progress, "reading");
    int code = cli_conversation_say(&c->conversation, c->turn);
    cli_progress_end(&c->progress);
    if (c->output.last != 0 && c->output.last != '\n') (void)cli_text_write(&c->output, "\n", 1);
    if (code == CLI_OK) note_the_end(c);
    if (cli_text_check(&c->output) != CLI_OK) code = CLI_FAILED;
    return code;
}

/* ---- commands ------------------------------------------------------------------ */

typedef struct command {
    const char *name, *argument, *summary;
    int (*run)(chat *c, const char *argument); /* CLI_OK or an exit code */
} command;

static int show_help(chat *c, const char *argument);

static int reset(chat *c, const char *argument) {
    (void)argument;
    cli_conversation_reset(&c->conversation);
    return CLI_OK;
}

static int set_system(chat *c, const char *argument) {
    char *copy = strdup(argument);
    if (!copy) {
        cli_complain("out of memory");
        return CLI_FAILED;
    }
    free(c->own_system);
    c->own_system = copy;
    c->conversation.system = copy[0] ? copy : NULL;
    return reset(c, "");
}

static int show_stats(chat *c, const char *argument) {
    (void)argument;
    if (!c->conversation.has_stats) {
        cli_complain("/stats: there is no answer yet");
        return CLI_OK;
    }
    const cli_run_facts facts = {c->model, &c->request.params, &c->conversation.stats,
                                 sl_session_threads(c->session), sl_session_context(c->session)};
    cli_summary_print(stderr, &facts);
    (void)fprintf(stderr, "context      %d of %d tokens taken\n\n",
                  (int)sl_session_length(c->session), (int)sl_session_context(c->session));
    return CLI_OK;
}

static const command commands[] = {
    {"/help", "", "show this list", show_help},
    {"/reset", "", "forget what was said, but not the system prompt", reset},
    {"/system", " TEXT", "set the system prompt (none: no TEXT), and reset", set_system},
    {"/stats", "", "what the newest answer took", show_stats},
    {"/quit", "", "end; so does Ctrl-D", NULL},
};

static int show_help(chat *c, const char *argument) {
    (void)c;
    (void)argument;
    for (int i = 0; i < CLI_COUNT(commands); i++) {
        const int n = fprintf(stderr, "  %s%s", commands[i].name, commands[i].argument);
        (void)fprintf(stderr, "%*s%s\n", 16 - n, "", commands[i].summary);
    }
    (void)fputs("A backslash at the end of a line lets the turn go on in the next one; a blank\n"
                "before a slash makes it words.\n",
                stderr);
    return CLI_OK;
}

static int run_command(chat *c, bool *quit) {
    const size_t n = strcspn(c->turn, " \n");
    const char *argument = c->turn + n + strspn(c->turn + n, " \n");
    for (int i = 0; i < CLI_COUNT(commands); i++) {
        if (strlen(commands[i].name) != n || memcmp(commands[i].name, c->turn, n) != 0) continue;
        if (argument[0] && !commands[i].argument[0]) {
            cli_complain("%s: expected nothing after it, found '%.40s'", commands[i].name,
                         argument);
            return CLI_USAGE;
        }
        *quit = !commands[i].run;
        return *quit ? CLI_OK : commands[i].run(c, argument);
    }
    cli_complain("unknown command %.*s; /help lists what there is", (int)(n < 40 ? n : 40),
                 c->turn);
    return CLI_USAGE;
}

/* ---- turns --------------------------------------------------------------------- */

/* Append a line to the turn; `more` if it ends in a backslash. */
static bool append_line(chat *c, const char *line, size_t n, bool *more) {
    *more = n > 0 && line[n - 1] == '\\';
    if (*more) n--;
    char *larger =
        c->turn_bytes + n < TURN_BYTES_MAX ? realloc(c->turn, c->turn_bytes + n + 2) : NULL;
    if (!larger) {
        cli_complain("your turn has more than %zu bytes", c->turn_bytes + n);
        return false;
    }
    c->turn = larger;
    memcpy(c->turn + c->turn_bytes, line, n);
    c->turn_bytes += n;
    if (*more) c->turn[c->turn_bytes++] = '\n';
    c->turn[c->turn_bytes] = '\0';
    return true;
}

/* The lines of one turn. At the end of the input what was read counts, if anything. */
static cli_line read_turn(chat *c) {
    const char *line;
    size_t n;
    bool more = true;
    for (c->turn_bytes = 0; more;) {
        const cli_line got =
            cli_editor_read(c->editor, c->turn_bytes == 0 ? "> " : ". ", &line, &n);
        if (got == CLI_LINE_END && c->turn_bytes > 0) return CLI_LINE;
        if (got != CLI_LINE) return got;
        if (!append_line(c, line, n, &more)) return CLI_LINE_FAILED;
    }
    return CLI_LINE;
}

static int take_turn(chat *c, bool *quit) {
    if (c->turn[0] == '\0' && c->turn_bytes == 0) return CLI_OK;
    if (c->turn[0] == '/') return run_command(c, quit);
    const int code = cli_input_text("your turn", c->turn, c->turn_bytes);
    return code == CLI_OK ? answer(c) : code;
}

static int converse(chat *c) {
    const bool typed = cli_editor_is_interactive(c->editor);
    bool quit = false, interrupted_before = false;
    while (!quit) {
        const cli_line got = read_turn(c);
        if (got == CLI_LINE_END || cli_interrupt_is_final()) break;
        if (got == CLI_LINE_FAILED) return CLI_FAILED;
        if (got == CLI_LINE_INTERRUPTED) {
            if (!typed || interrupted_before) break;
            (void)fputs("(Ctrl-C again, or Ctrl-D, quits)\n", stderr);
            interrupted_before = true;
            continue;
        }
        interrupted_before = false;
        const int code = take_turn(c, &quit);
        if (code != CLI_OK && !typed) return code;
        if (c->output.reader_gone || c->output.error || cli_interrupt_is_final()) break;
    }
    return cli_text_check(&c->output);
}

/* ---- the program --------------------------------------------------------------- */

static int open_session(chat *c) {
    const int32_t trained = sl_model_facts_of(c->model)->context_train;
    int32_t context = c->engine.context;
    if (context == 0) context = trained < CONTEXT_DEFAULT ? trained : CONTEXT_DEFAULT;
    if (context > trained)
        cli_complain("note: -c %d is more than the %d tokens the model was trained for",
                     (int)context, (int)trained);
    return cli_open_session(&c->engine, c->model, context, &c->session);
}

static int open_editor(chat *c, char path[CLI_PATH_MAX]) {
    const bool remember =
        !c->no_history && cli_user_path(path, "XDG_STATE_HOME", ".local/state", "chat_history");
    if (remember) cli_make_folders(path);
    return cli_editor_open(&c->editor, remember ? path : NULL);
}

static int open_chat(chat *c, char history_path[CLI_PATH_MAX]) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sl_generate_params *p = &c->request.params;
    int code = cli_open_model(&c->engine, &c->model);
    if (code != CLI_OK) return code;
    if (!sl_chat_format(c->model)) {
        cli_complain("this model has no chat template that is known here: expected "
                     "'sluice run --raw'");
        return CLI_FAILED;
    }
    code = open_session(c);
    if (code == CLI_OK)
        code = cli_open_draft(&c->engine, c->request.draft_path, c->session, &c->draft);
    if (code != CLI_OK) return code;
    p->draft_session = c->draft.session;
    const sl_status status = sl_generate_check(c->model, p, &err);
    if (status != SL_OK) return cli_complain_status(NULL, status, &err);
    p->on_text = on_text;
    p->on_prompt = on_prompt;
    p->user = c;
    p->cancel = cli_interrupt_catch();
    c->conversation = cli_conversation_begin(c->session, p, c->system);
    return open_editor(c, history_path);
}

static int run(const cli_command *self, int argc, char **argv) {
    chat c = {.engine = cli_engine_default(), .request = cli_request_default()};
    char history_path[CLI_PATH_MAX];
    int code;
    if (!parse_options(self, &c, argc, argv, &code)) return code;
    code = check_options(&c);
    if (code != CLI_OK) return code;
    code = open_chat(&c, history_path);
    if (code == CLI_OK) {
        const sl_model_facts *f = sl_model_facts_of(c.model);
        if (cli_editor_is_interactive(c.editor))
            (void)fprintf(stderr, "%s, %d tokens of context. /help lists commands, Ctrl-D quits.\n",
                          f->name[0] ? f->name : f->arch, (int)sl_session_context(c.session));
        code = converse(&c);
    }
    cli_editor_close(&c.editor);
    cli_close_draft(&c.draft);
    sl_session_close(&c.session);
    sl_model_close(&c.model);
    free(c.own_system);
    free(c.turn);
    return code;
}

const cli_command cli_cmd_chat = {"chat", "[OPTIONS]", "Talk with a model", notes, run};

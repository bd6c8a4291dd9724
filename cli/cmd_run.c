/* cmd_run.c - `sluice run`: a prompt in, text out.
 *
 * In this order, so that what can be wrong cheaply is found before what is expensive:
 *   1 options   2 prompt   3 output files   4 model   5 tokens and context
 *   6 generate, streaming to stdout   7 summary, statistics */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "engine_options.h"
#include "input.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "request_options.h"
#include "summary.h"
#include "trace.h"

#define ROOM_DEFAULT 4096 /* tokens of context beyond the prompt when neither -n nor -c say */

typedef struct run_options {
    cli_engine engine;
    const char *prompt;
    const char *file;
    const char *system;
    bool raw;
    bool quiet;
    cli_request request;
    const char *trace_path;
    const char *stats_path;
} run_options;

typedef struct run_state { /* what the callbacks share; everything is released by run() */
    cli_input input;
    FILE *trace;
    FILE *stats;
    sl_model *model;
    sl_session *session;
    sl_token *tokens;
    int32_t n_tokens;
    cli_progress progress;
    bool reader_gone;    /* stdout was closed: `sluice run | head` is no failure */
    int write_error;     /* errno of any other failure to write the text         */
    char last_character; /* of the text                                          */
} run_state;

/* ---- options ------------------------------------------------------------------- */

static const char *parse_output_path(const char *value, void *target) {
    if (value[0] == '\0' || strcmp(value, "-") == 0)
        return "a file (standard output carries the text; /dev/stderr works)";
    *(const char **)target = value;
    return NULL;
}

static const char notes[] =
    "With the same seed the text is the same for every thread count, every speculation\n"
    "setting and every run. Only --expert-budget may change it. Text goes to standard\n"
    "output, everything else to standard error. Ctrl-C stops and still prints the summary.";

static bool parse_options(const cli_command *self, run_options *o, int argc, char **argv,
                          int *exit_code) {
    const cli_option options[] = {
        CLI_HEADING("Prompt"),
        CLI_TEXT("-p --prompt", "TEXT", &o->prompt,
                 "the user's turn; without -p and -f it is read from a pipe"),
        CLI_TEXT("-f --file", "FILE", &o->file, "read it from a file (- is standard input)"),
        CLI_TEXT("-sys --system-prompt", "TEXT", &o->system, "what the system says before it"),
        CLI_FLAG("--raw", &o->raw,
                 "no chat template: the prompt is continued as it is, and control\n"
                 "tokens may be spelled in it"),
        CLI_HEADING("Model"),
        CLI_OPTION_MODEL(&o->engine),
        CLI_OPTION_CONTEXT(&o->engine,
                           "tokens the context holds; 0: as many as prompt and -n need"),
        CLI_OPTION_THREADS(&o->engine),
        CLI_OPTION_KEYS(&o->engine),
        CLI_OPTION_VALUES(&o->engine),
        CLI_OPTION_ISA(&o->engine),
        CLI_OPTION_LAYOUT(&o->engine),
        CLI_HEADING("Output"),
        CLI_OPTIONS_STOPPING(&o->request),
        CLI_FLAG("-q --quiet", &o->quiet, "no summary"),
        CLI_CUSTOM("--stats-json", "FILE", &o->stats_path, parse_output_path,
                   "write the summary as JSON"),
        CLI_OPTIONS_SAMPLING(&o->request),
        CLI_OPTIONS_SPECULATION(&o->request),
        CLI_CUSTOM("--spec-trace", "FILE", &o->trace_path, parse_output_path,
                   "write one JSON object per iteration"),
    };
    return cli_parse(self, options, CLI_COUNT(options), argc, argv, exit_code);
}

/* What no single option can be blamed for. CLI_OK or CLI_USAGE. */
static int check_options(run_options *o) {
    if (o->raw && o->system) {
        cli_complain("-sys: expected no --raw, a system prompt needs the chat template");
        return CLI_USAGE;
    }
    if (o->system && cli_input_argument("-sys", o->system) != CLI_OK) return CLI_USAGE;
    return cli_request_check(&o->request);
}

static int open_output(const char *path, FILE **out) {
    if (!path) return CLI_OK;
    *out = fopen(path, "wb");
    if (*out) return CLI_OK;
    cli_complain("%s: %s", path, strerror(errno));
    return CLI_FAILED;
}

static int close_output(const char *path, FILE **out) {
    if (!*out) return CLI_OK;
    const int had_error = ferror(*out);
    const int close_error = fclose(*out);
    *out = NULL;
    if (!had_error && close_error == 0) return CLI_OK;
    cli_complain("%s: %s", path, errno ? strerror(errno) : "write error");
    return CLI_FAILED;
}

/* ---- prompt -------------------------------------------------------------------- */

static sl_status tokenize_chat(const run_options *o, const run_state *st, sl_token *tokens,
                               int32_t max, int32_t *n, sl_error *err) {
    sl_chat_message messages[2];
    int32_t n_messages = 0;
    if (o->system) messages[n_messages++] = (sl_chat_message){"system", o->system};
    messages[n_messages++] = (sl_chat_message){"user", st->input.text};
    return sl_chat_tokenize(st->model, messages, n_messages, tokens, max, n, err);
}

/* The prompt's tokens, after BOS where the model wants one and the template has none.
 * A chat prompt is plain text; a raw one may spell control tokens, or a script could not
 * write markup of its own. */
static int tokenize(const run_options *o, run_state *st) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    int32_t n = 0, max = 0;
    if (!o->raw && !sl_chat_format(st->model)) {
        cli_complain("this model has no chat template that is known here: expected --raw");
        return CLI_FAILED;
    }
    for (int round = 0; round < 2; round++) { /* count, then write */
        sl_token *to = st->tokens ? st->tokens + 1 : NULL;
        const sl_status status =
            o->raw ? sl_tokenize(st->model, st->input.text, st->input.n, 1, to, max, &n, &err)
                   : tokenize_chat(o, st, to, max, &n, &err);
        if (status != SL_OK) return cli_complain_status(st->input.name, status, &err);
        if (round == 1) break;
        st->tokens = malloc(((size_t)n + 1) * sizeof st->tokens[0]);
        if (!st->tokens) {
            cli_complain("%s: out of memory for %d tokens", st->input.name, (int)n);
            return CLI_FAILED;
        }
        max = n;
    }
    const sl_token bos = sl_token_bos(st->model);
    if (sl_model_adds_bos(st->model) && bos >= 0 && (n == 0 || st->tokens[1] != bos)) {
        st->tokens[0] = bos;
        n++;
    } else {
        memmove(st->tokens, st->tokens + 1, (size_t)n * sizeof st->tokens[0]);
    }
    st->n_tokens = n;
    return CLI_OK;
}

/* Context to open: what -c says, else what prompt and -n need within what the model was
 * trained for. */
static int choose_context(const run_options *o, const run_state *st, int32_t *context) {
    const int32_t trained = sl_model_facts_of(st->model)->context_train;
    const int64_t room =
        o->request.params.max_tokens >= 0 ? o->request.params.max_tokens : ROOM_DEFAULT;
    const int64_t needed = st->n_tokens + room;
    *context =
        o->engine.context > 0 ? o->engine.context : (int32_t)(needed < trained ? needed : trained);
    if (st->n_tokens >= *context && o->request.params.max_tokens != 0) {
        cli_complain("%s: the prompt has %d tokens, expected fewer than the context's %d (-c; the "
                     "model was trained for %d)",
                     st->input.name, (int)st->n_tokens, (int)*context, (int)trained);
        return CLI_FAILED;
    }
    if (*context > trained && !o->quiet)
        cli_complain("note: -c %d is more than the %d tokens the model was trained for",
                     (int)*context, (int)trained);
    return CLI_OK;
}

/* ---- generating ------------------------------------------------------------------ */

/* One write per token, so that a reader sees it at once. */
static int on_text(void *user, const char *bytes, size_t n) {
    run_state *st = user;
    cli_progress_end(&st->progress);
    while (n > 0) {
        const ssize_t written = write(STDOUT_FILENO, bytes, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            st->reader_gone = errno == EPIPE;
            st->write_error = errno == EPIPE ? 0 : errno;
            return 1;
        }
        bytes += written;
        n -= (size_t)written;
        st->last_character = bytes[-1];
    }
    return 0;
}

static void on_iteration(void *user, const sl_iteration *record) {
    const run_state *st = user;
    cli_trace_write(st->trace, record);
}

static void on_prompt(void *user, int32_t done, int32_t total) {
    run_state *st = user;
    cli_progress_update(&st->progress, done, total);
    if (done == total) cli_progress_end(&st->progress);
}

static int generate(run_options *o, run_state *st) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sl_generate_stats stats;
    sl_generate_params *p = &o->request.params;
    p->own_text = !o->raw;
    p->on_text = on_text;
    p->on_prompt = on_prompt;
    p->on_iteration = st->trace ? on_iteration : NULL;
    p->user = st;

    sl_status status = sl_generate_check(st->model, p, &err);
    if (status != SL_OK) return cli_complain_status(NULL, status, &err);

    int32_t context;
    int code = choose_context(o, st, &context);
    if (code == CLI_OK) code = cli_open_session(&o->engine, st->model, context, &st->session);
    if (code != CLI_OK) return code;

    p->cancel = cli_interrupt_install();
    cli_progress_begin(&st->progress, "reading the prompt");
    status = sl_generate(st->session, st->tokens, st->n_tokens, p, &stats, &err);
    cli_progress_end(&st->progress);
    if (isatty(STDOUT_FILENO) && st->last_character != '\n')
        (void)fputs("\n", stderr); /* the summary starts on a line of its own */

    const cli_run_facts facts = {st->model, p, &stats, sl_session_threads(st->session), context};
    if (!o->quiet) cli_summary_print(stderr, &facts);
    if (st->stats && cli_summary_json(st->stats, &facts) != CLI_OK) {
        cli_complain("%s: cannot write the statistics", o->stats_path);
        return CLI_FAILED;
    }
    if (st->write_error) {
        cli_complain("standard output: %s", strerror(st->write_error));
        return CLI_FAILED;
    }
    return status == SL_OK ? CLI_OK : cli_complain_status(NULL, status, &err);
}

static int run(const cli_command *self, int argc, char **argv) {
    run_options o = {.engine = cli_engine_default(), .request = cli_request_default()};
    run_state st = {0};
    int code;
    if (!parse_options(self, &o, argc, argv, &code)) return code;
    code = check_options(&o);
    if (code != CLI_OK) return code;

    code = cli_input_prompt(&st.input, o.prompt, o.file);
    if (code == CLI_OK) code = open_output(o.trace_path, &st.trace);
    if (code == CLI_OK) code = open_output(o.stats_path, &st.stats);
    if (code == CLI_OK) code = cli_open_model(&o.engine, &st.model);
    if (code == CLI_OK) code = tokenize(&o, &st);
    if (code == CLI_OK) code = generate(&o, &st);

    const int trace_code = close_output(o.trace_path, &st.trace);
    const int stats_code = close_output(o.stats_path, &st.stats);
    if (code == CLI_OK) code = trace_code != CLI_OK ? trace_code : stats_code;
    free(st.tokens);
    sl_session_close(&st.session);
    sl_model_close(&st.model);
    cli_input_free(&st.input);
    return code;
}

const cli_command cli_cmd_run = {"run", "[-p PROMPT | -f FILE] [OPTIONS]",
                                 "Generate text from a prompt", notes, run};

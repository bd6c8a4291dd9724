/* cmd_run.c - `sluice run`: a prompt in, text out.
 *
 * In this order, so that what can be wrong cheaply is found before what is expensive:
 *   1 options   2 prompt   3 output files   4 model   5 tokens and context
 *   6 generate, streaming to stdout   7 summary, statistics */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "engine_options.h"
#include "input.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "prompt.h"
#include "prompt_cache.h"
#include "request_options.h"
#include "summary.h"
#include "text_output.h"
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
    cli_prompt_cache cache;
    const char *trace_path;
    const char *stats_path;
} run_options;

typedef struct run_state { /* what the callbacks share; everything is released by run() */
    cli_input input;
    FILE *trace;
    FILE *stats;
    sl_model *model;
    sl_session *session;
    cli_draft draft;
    cli_prompt prompt;
    cli_progress progress;
    cli_text_output output;
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
        CLI_OPTIONS_PROMPT_CACHE(&o->cache),
        CLI_HEADING("Model"),
        CLI_OPTION_MODEL(&o->engine),
        CLI_OPTION_CONTEXT(&o->engine,
                           "tokens the context holds; 0: as many as prompt and -n need"),
        CLI_OPTION_THREADS(&o->engine),
        CLI_OPTIONS_BATCH(&o->engine),
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
    if (!o->cache.path && (o->cache.all || o->cache.read_only)) {
        cli_complain("--prompt-cache-%s: expected --prompt-cache FILE with it",
                     o->cache.all ? "all" : "ro");
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
    const char *failure = cli_write_failure(*out);
    if (fclose(*out) != 0 && !failure) failure = strerror(errno);
    *out = NULL;
    if (!failure) return CLI_OK;
    cli_complain("%s: %s", path, failure);
    return CLI_FAILED;
}

/* ---- prompt -------------------------------------------------------------------- */

static int tokenize(const run_options *o, run_state *st) {
    const cli_input *in = &st->input;
    sl_chat_message messages[2];
    int32_t n_messages = 0;
    if (o->raw) return cli_prompt_raw(&st->prompt, st->model, in->name, in->text, in->n);
    if (o->system) messages[n_messages++] = (sl_chat_message){"system", o->system};
    messages[n_messages++] = (sl_chat_message){"user", in->text};
    return cli_prompt_chat(&st->prompt, st->model, in->name, messages, n_messages);
}

/* Context to open: what -c says, else what prompt and -n need within what the model was
 * trained for. */
static int choose_context(const run_options *o, const run_state *st, int32_t *context) {
    const int32_t trained = sl_model_facts_of(st->model)->context_train;
    const int64_t room =
        o->request.params.max_tokens >= 0 ? o->request.params.max_tokens : ROOM_DEFAULT;
    const int64_t needed = st->prompt.n + room;
    *context =
        o->engine.context > 0 ? o->engine.context : (int32_t)(needed < trained ? needed : trained);
    if (st->prompt.n >= *context && o->request.params.max_tokens != 0) {
        cli_complain("%s: the prompt has %d tokens, expected fewer than the context's %d (-c; the "
                     "model was trained for %d)",
                     st->input.name, (int)st->prompt.n, (int)*context, (int)trained);
        return CLI_FAILED;
    }
    if (*context > trained && !o->quiet)
        cli_complain("note: -c %d is more than the %d tokens the model was trained for",
                     (int)*context, (int)trained);
    return CLI_OK;
}

/* ---- generating ------------------------------------------------------------------ */

static int on_text(void *user, const char *bytes, size_t n) {
    run_state *st = user;
    cli_progress_end(&st->progress);
    return cli_text_write(&st->output, bytes, n);
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

    int32_t context;
    int code = choose_context(o, st, &context);
    if (code == CLI_OK) code = cli_open_session(&o->engine, st->model, context, &st->session);
    if (code == CLI_OK) code = cli_prompt_cache_load(&o->cache, st->session, &st->prompt);
    if (code == CLI_OK)
        code = cli_open_draft(&o->engine, o->request.draft_path, st->session, &st->draft);
    if (code != CLI_OK) return code;
    p->draft_session = st->draft.session;
    sl_status status = sl_generate_check(st->model, p, &err);
    if (status != SL_OK) return cli_complain_status(NULL, status, &err);
    const int32_t reused = o->cache.reused;

    p->cancel = cli_interrupt_install();
    cli_progress_begin(&st->progress, "reading the prompt");
    status = sl_generate(st->session, st->prompt.tokens + reused, st->prompt.n - reused, p, &stats,
                         &err);
    cli_progress_end(&st->progress);
    if (isatty(STDOUT_FILENO) && st->output.last != '\n')
        (void)fputs("\n", stderr); /* the summary starts on a line of its own */

    if (o->cache.path && !o->quiet)
        cli_complain("note: %d of %d prompt tokens came from %s", (int)reused, (int)st->prompt.n,
                     o->cache.path);
    const cli_run_facts facts = {st->model, p, &stats, sl_session_threads(st->session), context};
    if (!o->quiet) cli_summary_print(stderr, &facts);
    if (st->stats && cli_summary_json(st->stats, &facts) != CLI_OK) {
        cli_complain("%s: cannot write the statistics", o->stats_path);
        return CLI_FAILED;
    }
    code = cli_prompt_cache_save(&o->cache, st->session, &st->prompt);
    if (cli_text_check(&st->output) != CLI_OK || code != CLI_OK) return CLI_FAILED;
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
    cli_prompt_free(&st.prompt);
    cli_close_draft(&st.draft);
    sl_session_close(&st.session);
    sl_model_close(&st.model);
    cli_input_free(&st.input);
    return code;
}

const cli_command cli_cmd_run = {"run", "[-p PROMPT | -f FILE] [OPTIONS]",
                                 "Generate text from a prompt", notes, run};

/* cmd_perplexity.c - `sluice perplexity`: how surprised a model is by a text.
 *
 * llama.cpp's definition, so that values compare. The text's tokens (no template; control
 * tokens are not parsed) are cut into chunks of N, what is left over is not used. Each chunk
 * is evaluated by itself, its first token replaced by BOS where the model wants one:
 *
 *     position   0 ........ h - 1 | h ............... N - 2 | N - 1       h = N / 2
 *                context only     | predicts the next token | only predicted
 *
 *     x = -ln p(next token), n of them;  perplexity = exp(mean x)
 *     standard error of mean x = sqrt((mean x^2 - (mean x)^2) / (n - 1)),
 *     times the perplexity: its own. (Neighbours are not independent: it is a lower bound.) */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cmd.h"
#include "engine_options.h"
#include "input.h"
#include "interrupt.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "sluice/session.h"

#define CONTEXT_DEFAULT 512

typedef struct options_of {
    cli_engine engine;
    const char *prompt;
    const char *file;
    int32_t context;
    int32_t chunks_max; /* -1: all */
    bool json;
} options_of;

typedef struct sums {
    int64_t n;
    double x, x_squared;
} sums;

typedef struct run_state {
    cli_input input;
    sl_model *model;
    sl_session *session;
    sl_token *tokens;
    int32_t n_tokens;
    int32_t context;
    int32_t n_chunks; /* to evaluate */
    int32_t n_done;
    int32_t rows_max; /* of a pass that predicts */
    float *logits;    /* [rows_max][vocab]       */
    sums all;
    double *chunk_means; /* [n_chunks] mean x of each */
    const volatile int *cancel;
    double seconds;
} run_state;

/* ---- numbers ------------------------------------------------------------------- */

static double mean(const sums *s) {
    return s->x / (double)s->n;
}

/* Of the mean; 0 for one number. */
static double standard_error(const sums *s) {
    const double variance = s->x_squared / (double)s->n - mean(s) * mean(s);
    return s->n > 1 && variance > 0 ? sqrt(variance / (double)(s->n - 1)) : 0;
}

/* -ln softmax(logits)[token], or NaN if a logit is not finite. */
static double surprise(const float *logits, int32_t vocab, sl_token token) {
    float largest = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < vocab; i++)
        if (logits[i] > largest) largest = logits[i];
    for (int32_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - (double)largest);
    return log(sum) - ((double)logits[token] - (double)largest);
}

/* ---- evaluation ---------------------------------------------------------------- */

static int complain_number(const run_state *st, int32_t position) {
    cli_complain("chunk %d, position %d: a logit is no finite number", (int)st->n_done + 1,
                 (int)position);
    return CLI_FAILED;
}

/* Evaluate chunk [context] from position `from` to the last but one, adding up. */
static int score(run_state *st, const sl_token *chunk, int32_t from, sums *s) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    const int32_t vocab = sl_model_facts_of(st->model)->vocab;
    sl_row rows[CLI_LOGIT_ROWS];
    int32_t path[CLI_LOGIT_ROWS];
    for (int32_t at = from; at < st->context - 1 && !*st->cancel;) {
        int32_t n = 0;
        for (; n < st->rows_max && at + n < st->context - 1; n++) {
            rows[n] = (sl_row){chunk[at + n], n - 1, 1};
            path[n] = n;
        }
        const sl_status status =
            sl_session_forward(st->session, rows, n, st->logits, NULL, NULL, &err);
        if (status != SL_OK) return cli_complain_status(NULL, status, &err);
        sl_session_commit(st->session, path, n);
        for (int32_t i = 0; i < n; i++, at++) {
            const double x = surprise(st->logits + (size_t)i * (size_t)vocab, vocab, chunk[at + 1]);
            if (!isfinite(x)) return complain_number(st, at);
            s->n++;
            s->x += x;
            s->x_squared += x * x;
        }
    }
    return CLI_OK;
}

static int run_chunk(run_state *st, sl_token *chunk) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sums s = {0};
    const int32_t half = st->context / 2;
    const sl_token bos = sl_token_bos(st->model);
    if (sl_model_adds_bos(st->model) && bos >= 0) chunk[0] = bos;
    sl_session_rewind(st->session, 0);
    const sl_status status = sl_session_eval(st->session, chunk, half, NULL, &err);
    if (status != SL_OK) return cli_complain_status(NULL, status, &err);
    const int code = score(st, chunk, half, &s);
    if (code != CLI_OK || *st->cancel) return code;
    st->chunk_means[st->n_done++] = mean(&s);
    st->all.n += s.n;
    st->all.x += s.x;
    st->all.x_squared += s.x_squared;
    return CLI_OK;
}

static int run_chunks(run_state *st) {
    char what[64] = "perplexity";
    struct timespec begin, end;
    cli_progress progress;
    int code = CLI_OK;
    st->cancel = cli_interrupt_install();
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    cli_progress_begin(&progress, what);
    for (int32_t i = 0; i < st->n_chunks && code == CLI_OK && !*st->cancel; i++) {
        code = run_chunk(st, st->tokens + (size_t)i * (size_t)st->context);
        if (st->n_done > 0)
            (void)snprintf(what, sizeof what, "perplexity %.4f after %d of %d chunks",
                           exp(mean(&st->all)), (int)st->n_done, (int)st->n_chunks);
        cli_progress_update(&progress, st->n_done, st->n_chunks);
    }
    cli_progress_end(&progress);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    st->seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    if (code == CLI_OK && st->n_done == 0) {
        cli_complain("interrupted before the first chunk was through");
        return CLI_FAILED;
    }
    return code;
}

/* ---- set-up -------------------------------------------------------------------- */

static int tokenize(run_state *st) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    const cli_input *in = &st->input;
    const sl_token bos = sl_token_bos(st->model);
    const int32_t first = sl_model_adds_bos(st->model) && bos >= 0;
    int32_t n = 0;
    sl_status status = sl_tokenize(st->model, in->text, in->n, 0, NULL, 0, &n, &err);
    if (status != SL_OK) return cli_complain_status(in->name, status, &err);
    st->tokens = malloc(((size_t)n + 1) * sizeof *st->tokens);
    if (!st->tokens) {
        cli_complain("%s: out of memory for %d tokens", in->name, (int)n);
        return CLI_FAILED;
    }
    st->tokens[0] = bos; /* counts as one of the first chunk's, as in llama.cpp */
    st->n_tokens = first + n;
    status = sl_tokenize(st->model, in->text, in->n, 0, st->tokens + first, n, &n, &err);
    return status == SL_OK ? CLI_OK : cli_complain_status(in->name, status, &err);
}

static int plan(const options_of *o, run_state *st) {
    const sl_model_facts *facts = sl_model_facts_of(st->model);
    st->context = o->context;
    st->n_chunks = st->n_tokens / st->context;
    if (o->chunks_max >= 0 && o->chunks_max < st->n_chunks) st->n_chunks = o->chunks_max;
    if (st->n_chunks == 0) {
        cli_complain("%s: expected %d tokens or more for one chunk (-c), found %d", st->input.name,
                     (int)st->context, (int)st->n_tokens);
        return CLI_FAILED;
    }
    if (st->context > facts->context_train)
        cli_complain("note: -c %d is more than the %d tokens the model was trained for",
                     (int)st->context, (int)facts->context_train);
    st->rows_max = cli_logit_rows(&o->engine);
    st->logits = malloc((size_t)st->rows_max * (size_t)facts->vocab * sizeof *st->logits);
    st->chunk_means = calloc((size_t)st->n_chunks, sizeof *st->chunk_means);
    if (st->logits && st->chunk_means) return CLI_OK;
    cli_complain("out of memory for %d rows of logits", (int)st->rows_max);
    return CLI_FAILED;
}

/* ---- results ------------------------------------------------------------------- */

static void print_text(const run_state *st) {
    const double perplexity = exp(mean(&st->all));
    (void)printf("perplexity %.4f +- %.4f\n", perplexity, perplexity * standard_error(&st->all));
    (void)printf("%d of %d chunks of %d tokens, %" PRId64 " predicted: %.5f +- %.5f nats each\n",
                 (int)st->n_done, (int)(st->n_tokens / st->context), (int)st->context, st->all.n,
                 mean(&st->all), standard_error(&st->all));
    (void)printf("%.2f s, %.1f tok/s\n", st->seconds,
                 (double)st->n_done * st->context / st->seconds);
}

static int print_json(const run_state *st) {
    const double perplexity = exp(mean(&st->all));
    json_t *chunks = json_array();
    int failed = !chunks;
    for (int32_t i = 0; i < st->n_done; i++)
        failed |= json_array_append_new(chunks, json_real(st->chunk_means[i])) != 0;
    json_t *root = json_pack(
        "{s:f, s:f, s:f, s:f, s:I, s:i, s:i, s:i, s:b, s:f, s:o}", "perplexity", perplexity,
        "standard_error", perplexity * standard_error(&st->all), "nll", mean(&st->all),
        "nll_standard_error", standard_error(&st->all), "predicted", (json_int_t)st->all.n,
        "context", (int)st->context, "chunks", (int)st->n_done, "tokens", (int)st->n_tokens,
        "interrupted", (int)(*st->cancel != 0), "seconds", st->seconds, "chunk_nll", chunks);
    failed |= !root || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0;
    failed |= putchar('\n') == EOF;
    json_decref(root);
    if (!failed) return CLI_OK;
    cli_complain("cannot write the result");
    return CLI_FAILED;
}

/* ---- the program --------------------------------------------------------------- */

static const char notes[] =
    "The text is cut into chunks of -c tokens. The second half of each is predicted, every\n"
    "token from all before it in its chunk, as llama.cpp's perplexity tool does. +- is one\n"
    "standard error. Ctrl-C stops, and prints the value of the chunks that are through.";

static int run(const cli_command *self, int argc, char **argv) {
    options_of o = {.engine = cli_engine_default(), .context = CONTEXT_DEFAULT, .chunks_max = -1};
    run_state st = {0};
    int code;
    const cli_option options[] = {
        CLI_TEXT("-f --file", "FILE", &o.file, "the text (- is standard input)"),
        CLI_TEXT("-p --prompt", "TEXT", &o.prompt, "or this one; without both, a pipe's"),
        CLI_INT("-c --ctx-size", "N", &o.context, 4, 1 << 28, "tokens of a chunk"),
        CLI_INT("--chunks", "N", &o.chunks_max, -1, INT32_MAX, "the first N chunks; -1: all"),
        CLI_FLAG("--json", &o.json, "for programs; with each chunk's mean"),
        CLI_OPTION_MODEL(&o.engine),
        CLI_OPTION_THREADS(&o.engine),
        CLI_OPTIONS_BATCH(&o.engine),
        CLI_OPTION_KEYS(&o.engine),
        CLI_OPTION_VALUES(&o.engine),
        CLI_OPTION_ISA(&o.engine),
        CLI_OPTION_LAYOUT(&o.engine),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    code = cli_input_prompt(&st.input, o.prompt, o.file);
    if (code == CLI_OK) code = cli_open_model(&o.engine, &st.model);
    if (code == CLI_OK) code = tokenize(&st);
    if (code == CLI_OK) code = plan(&o, &st);
    if (code == CLI_OK) code = cli_open_session(&o.engine, st.model, st.context, &st.session);
    if (code == CLI_OK) code = run_chunks(&st);
    if (code == CLI_OK && o.json)
        code = print_json(&st);
    else if (code == CLI_OK)
        print_text(&st);
    free(st.tokens);
    free(st.logits);
    free(st.chunk_means);
    sl_session_close(&st.session);
    sl_model_close(&st.model);
    cli_input_free(&st.input);
    return code;
}

const cli_command cli_cmd_perplexity = {"perplexity", "[-f FILE] [OPTIONS]",
                                        "Measure how well a model predicts a text", notes, run};

/* cmd_bench_spec.c - `sluice bench --spec`: does speculation pay, measured on real text.
 *
 *   1 options   2 model   3 workload   4 arms   5 measure   6 report */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_bench_spec.h"
#include "engine_options.h"
#include "eval.h"
#include "message.h"
#include "options.h"
#include "request_options.h"

enum { FORMAT_MD, FORMAT_JSON, FORMAT_HTML };

typedef struct spec_options {
    cli_engine engine;
    cli_request request;
    cli_list files;
    cli_list policies;
    eval_limits limits;
    int32_t rounds;
    int format;
    bool spec; /* the flag that leads here */
    const char *page_path;
} spec_options;

static const char *const default_policies[] = {"static:1..8", "cascade", "cascade:no-back-off",
                                               "cascade:no-hill-climb", "ledger"};

static const char notes[] =
    "FILE holds JSON lines with \"prompt\", \"task\", \"id\" and, to replay a recorded text,\n"
    "\"output\"; gzip is fine. Every request is decoded plainly twice and under every policy, in\n"
    "random order; all must emit the same bytes. Ctrl-C reports what is complete. Exit status 1\n"
    "if any bytes differed.";

static bool parse_options(const cli_command *self, spec_options *o, int argc, char **argv,
                          int *code) {
    static const cli_choice formats[] = {
        {"md", FORMAT_MD}, {"json", FORMAT_JSON}, {"html", FORMAT_HTML}, {0}};
    sl_generate_params *p = &o->request.params;
    const cli_option options[] = {
        CLI_FLAG("--spec", &o->spec, "evaluate speculation (this page); without: the machine"),
        CLI_HEADING("Workload"),
        CLI_LIST("-f --file", "FILE", &o->files, "prompts or recordings (up to 16 files)"),
        CLI_TEXT("--tasks", "LIST", &o->limits.tasks, "take only these tasks: code,math"),
        CLI_INT("--n-requests", "N", &o->limits.per_task, 1, 1 << 20, "requests of each task"),
        CLI_INT("-n --predict --n-predict", "N", &p->max_tokens, 2, 1 << 20, "tokens per request"),
        CLI_FLAG("--live", &o->limits.live, "ignore outputs: the model's own text"),
        CLI_FLAG("--ignore-eos", &o->request.ignore_eos, "let live answers run to -n tokens"),
        CLI_HEADING("Model"),
        CLI_OPTION_MODEL(&o->engine),
        CLI_OPTION_CONTEXT(&o->engine, "tokens the context holds; 0: what the requests need"),
        CLI_OPTION_THREADS(&o->engine),
        CLI_OPTIONS_BATCH(&o->engine),
        CLI_OPTION_KEYS(&o->engine),
        CLI_OPTION_VALUES(&o->engine),
        CLI_OPTION_ISA(&o->engine),
        CLI_OPTION_LAYOUT(&o->engine),
        CLI_HEADING("Arms"),
        CLI_LIST("--spec-policy", "POLICY", &o->policies,
                 "policy to measure beside plain decoding, or static:A..B\n"
                 "(up to 16 times; default static:1..8, cascade, cascade:no-back-off,\n"
                 "cascade:no-hill-climb, ledger)"),
        CLI_INT("-r --repetitions", "N", &o->rounds, 1, EVAL_ROUNDS_MAX,
                "rounds; a request's time is the median of its rounds"),
        CLI_INT("--spec-draft-n-max --draft-max", "K", &p->draft_max, -1, SL_DRAFT_MAX,
                "most drafted tokens per pass; -1: the policy's choice"),
        CLI_OPTIONS_DRAFTERS(&o->request),
        CLI_OPTIONS_SAMPLING(&o->request),
        CLI_HEADING("Output"),
        CLI_CHOICE("-o --output", "FORMAT", &o->format, formats, "what goes to standard output"),
        CLI_TEXT("--html", "FILE", &o->page_path, "also write a page with charts"),
    };
    return cli_parse(self, options, CLI_COUNT(options), argc, argv, code);
}

static int check_options(spec_options *o) {
    if (o->files.n == 0) {
        cli_complain(
            "bench --spec: expected -f FILE, a file of prompts (examples/workloads has some)");
        return CLI_USAGE;
    }
    return cli_request_check(&o->request);
}

static int read_workload(const spec_options *o, const sl_model *model, eval_workload *w) {
    eval_limits limits = o->limits;
    const int32_t trained = sl_model_facts_of(model)->context_train;
    limits.max_tokens = o->request.params.max_tokens;
    limits.context = o->engine.context > 0 ? o->engine.context : trained;
    int code = CLI_OK;
    for (int32_t i = 0; code == CLI_OK && i < o->files.n; i++)
        code = eval_workload_read(w, o->files.items[i], model, &limits);
    if (code != CLI_OK || w->n > 0) return code;
    cli_complain("no request to measure: %d are longer than the context of %d tokens, the others "
                 "are of other tasks",
                 (int)w->too_long, (int)limits.context);
    return CLI_FAILED;
}

/* What the longest request needs. */
static int32_t context_of(const eval_workload *w, int32_t max_tokens) {
    int32_t context = 0;
    for (int32_t i = 0; i < w->n; i++) {
        const eval_request *q = &w->requests[i];
        const int32_t needed = q->n_prompt + (q->n_output > 0 ? q->n_output : max_tokens);
        if (needed > context) context = needed;
    }
    return context;
}

static bool add_arms(const spec_options *o, eval_run *run) {
    const int32_t n = o->policies.n > 0 ? o->policies.n : CLI_COUNT(default_policies);
    for (int32_t i = 0; i < n; i++)
        if (!eval_add_arms(run, o->policies.n > 0 ? o->policies.items[i] : default_policies[i]))
            return false;
    return true;
}

static int write_page(const char *path, const eval_run *run) {
    FILE *page = fopen(path, "wb");
    const char *failure = page ? NULL : strerror(errno);
    if (page) {
        eval_print_page(page, run);
        failure = cli_write_failure(page);
        if (fclose(page) != 0 && !failure) failure = strerror(errno);
    }
    if (failure) {
        cli_complain("%s: %s", path, failure);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int report(const spec_options *o, const eval_run *run) {
    int code = CLI_OK;
    if (o->format == FORMAT_JSON)
        code = eval_print_json(stdout, run);
    else if (o->format == FORMAT_HTML)
        eval_print_page(stdout, run);
    else
        eval_print_markdown(stdout, run);
    if (fflush(stdout) != 0) code = CLI_FAILED;
    if (code == CLI_OK && o->page_path) code = write_page(o->page_path, run);
    if (code == CLI_OK && run->different > 0) {
        cli_complain("%d runs emitted other bytes than plain decoding", (int)run->different);
        code = CLI_FAILED;
    }
    return code;
}

static int run_spec(const cli_command *self, int argc, char **argv) {
    spec_options o = {.engine = cli_engine_default(),
                      .request = cli_request_default(),
                      .limits = {.per_task = 20},
                      .rounds = 1};
    int code;
    o.request.params.max_tokens = 128;
    o.request.params.sampling.temperature = 0; /* repeatable */
    o.request.seed = 0;
    if (!parse_options(self, &o, argc, argv, &code)) return code;
    code = check_options(&o);
    if (code != CLI_OK) return code;

    sl_model *model = NULL;
    eval_workload workload = {.n = 0};
    code = cli_open_model(&o.engine, &model);
    if (code == CLI_OK) code = read_workload(&o, model, &workload);
    eval_run run = {.model = model,
                    .workload = &workload,
                    .params = o.request.params,
                    .draft_path = o.request.draft_path,
                    .rounds = o.rounds,
                    .seed = o.request.params.sampling.seed};
    run.context =
        o.engine.context > 0 ? o.engine.context : context_of(&workload, run.params.max_tokens);
    if (code == CLI_OK && !add_arms(&o, &run)) code = CLI_USAGE;
    if (code == CLI_OK) code = eval_measure(&run, &o.engine);
    if (code == CLI_OK) code = report(&o, &run);
    eval_run_free(&run);
    eval_workload_free(&workload);
    sl_model_close(&model);
    return code;
}

bool cli_wants_bench_spec(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--spec") == 0) return true;
    return false;
}

const cli_command cli_cmd_bench_spec = {"bench", "--spec -f FILE [OPTIONS]",
                                        "Evaluate speculation on prompts and recorded texts", notes,
                                        run_spec};

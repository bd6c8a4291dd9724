/* cmd_bench.c - `sluice bench`: what this machine can read, and what passes cost on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "cmd.h"
#include "cmd_bench_spec.h"
#include "engine_options.h"
#include "machine.h"
#include "message.h"
#include "number_list.h"
#include "options.h"
#include "progress.h"
#include "sluice/bench.h"

typedef enum bench_format { FORMAT_MD, FORMAT_JSON, FORMAT_CSV } bench_format;

typedef struct bench_options {
    cli_engine engine;
    sl_bench_params params;
    cli_numbers rows, threads, depths;
    int32_t bandwidth_mib;
    int format; /* bench_format */
} bench_options;

/* One report for each number of threads at each depth, in their order. */
typedef struct bench_run {
    sl_model *model;
    cli_bench_report *reports; /* [n] */
    int32_t n;
} bench_run;

static const char *parse_rows(const char *value, void *target) {
    return cli_parse_numbers(value, 1, SL_LOGIT_ROWS_MAX, target)
               ? NULL
               : "up to 32 numbers of rows in 1 .. 65, as in 1,2,4,8 or 1..8";
}

static const char *parse_threads(const char *value, void *target) {
    return cli_parse_numbers(value, 0, SL_THREADS_MAX, target)
               ? NULL
               : "up to 32 numbers of threads in 0 .. 256, as in 1,2,4 or 1..4";
}

static const char *parse_depths(const char *value, void *target) {
    return cli_parse_numbers(value, 0, 1 << 20, target)
               ? NULL
               : "up to 32 depths in 0 .. 1048576, as in 0,256,4096";
}

/* 0, or enough to be memory's and not the cache's. */
static const char *parse_bandwidth(const char *value, void *target) {
    int64_t mib;
    if (!cli_parse_int64(value, &mib) || (mib != 0 && (mib < 256 || mib > 1 << 20)))
        return "0, or MiB in 256 .. 1048576";
    *(int32_t *)target = (int32_t)mib;
    return NULL;
}

static void on_progress(void *user, int32_t done, int32_t total) {
    cli_progress_update(user, done, total);
}

/* One thread's bandwidth beside that of all, which the curves' rounds have measured; all
 * are remembered for other commands. */
static int measure_bandwidth(const bench_options *o, bench_run *r) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    double one;
    if (o->params.bandwidth_bytes == 0) return CLI_OK;
    cli_progress progress;
    cli_progress_begin(&progress, "measuring the read bandwidth");
    cli_progress_show(&progress);
    const sl_status status = sl_bench_bandwidth(1, o->params.bandwidth_bytes, &one, &err);
    cli_progress_end(&progress);
    if (status != SL_OK) return cli_complain_status("read bandwidth", status, &err);
    (void)cli_bandwidth_store(1, one);
    for (int32_t i = 0; i < r->n; i++) {
        r->reports[i].bandwidth_one = one;
        (void)cli_bandwidth_store(r->reports[i].result.threads, r->reports[i].result.bandwidth);
    }
    return CLI_OK;
}

static int measure_curve(cli_bench_report *b, const char *what) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    cli_progress progress;
    b->params.progress = on_progress;
    b->params.user = &progress;
    cli_progress_begin(&progress, what);
    const sl_status status = sl_bench_curve(b->model, &b->params, &b->result, &err);
    cli_progress_end(&progress);
    return status == SL_OK ? CLI_OK : cli_complain_status(NULL, status, &err);
}

/* The prompt's speed depends on no depth: it is measured at the first. */
static int measure_curves(const bench_options *o, bench_run *r) {
    int code = CLI_OK;
    for (int32_t i = 0; i < r->n && code == CLI_OK; i++) {
        cli_bench_report *b = &r->reports[i];
        const int32_t depth = i % o->depths.n;
        char what[64] = "measuring passes";
        *b = (cli_bench_report){.model = r->model, .params = o->params};
        b->params.threads = o->threads.items[i / o->depths.n];
        b->params.depth = o->depths.items[depth];
        if (depth > 0) b->params.prompt = 0;
        if (r->n > 1)
            (void)snprintf(what, sizeof what, "measuring passes, -t %d -d %d",
                           (int)b->params.threads, (int)b->params.depth);
        code = measure_curve(b, what);
        if (depth == 0) continue;
        b->params.prompt = o->params.prompt;
        b->result.prompt_tokens_per_second = b[-depth].result.prompt_tokens_per_second;
    }
    return code;
}

static int print_reports(const bench_options *o, const bench_run *r) {
    if (o->format == FORMAT_JSON) return cli_bench_json(stdout, r->reports, r->n);
    if (o->format == FORMAT_CSV)
        cli_bench_csv(stdout, r->reports, r->n);
    else
        cli_bench_markdown(stdout, r->reports, r->n);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* What the options say, as the engine wants it. */
static void settle(bench_options *o) {
    const sl_session_params session = cli_session_params(&o->engine, 0);
    o->params.batch = session.batch;
    o->params.k_type = session.k_type;
    o->params.v_type = session.v_type;
    o->params.rows = o->rows.items;
    o->params.n_rows = o->rows.n;
    o->params.bandwidth_bytes = (uint64_t)o->bandwidth_mib << 20;
    if (o->threads.n == 1) o->engine.threads = o->threads.items[0]; /* else one per core */
}

static int measure(bench_options *o) {
    bench_run r = {.n = o->threads.n * o->depths.n};
    settle(o);
    r.reports = calloc((size_t)r.n, sizeof *r.reports);
    if (!r.reports) {
        cli_complain("out of memory for %d reports", (int)r.n);
        return CLI_FAILED;
    }
    int code = cli_open_model(&o->engine, &r.model);
    if (code == CLI_OK) code = measure_curves(o, &r);
    if (code == CLI_OK) code = measure_bandwidth(o, &r);
    if (code == CLI_OK) code = print_reports(o, &r);
    sl_model_close(&r.model);
    free(r.reports);
    return code;
}

static int run(const cli_command *self, int argc, char **argv) {
    if (cli_wants_bench_spec(argc, argv))
        return cli_cmd_bench_spec.run(&cli_cmd_bench_spec, argc, argv);
    static const cli_choice formats[] = {
        {"md", FORMAT_MD}, {"json", FORMAT_JSON}, {"csv", FORMAT_CSV}, {0}};
    bench_options o = {.engine = cli_engine_default(),
                       .params = sl_bench_params_default(),
                       .threads = {.n = 1},
                       .bandwidth_mib = 1024,
                       .format = FORMAT_MD};
    sl_bench_params *p = &o.params;
    int code;
    o.rows.n = p->n_rows;
    memcpy(o.rows.items, p->rows, (size_t)p->n_rows * sizeof p->rows[0]);
    o.depths = (cli_numbers){{p->depth}, 1};
    const cli_option options[] = {
        CLI_OPTION_MODEL(&o.engine),
        CLI_CUSTOM("-t --threads", "LIST", &o.threads, parse_threads,
                   "numbers of threads, 1,2,4 or 1..4; 0: one per core (default 0)"),
        CLI_OPTIONS_BATCH(&o.engine),
        CLI_OPTION_KEYS(&o.engine),
        CLI_OPTION_VALUES(&o.engine),
        CLI_OPTION_ISA(&o.engine),
        CLI_OPTION_LAYOUT(&o.engine),
        CLI_INT("-p --n-prompt", "N", &p->prompt, 0, 1 << 20,
                "tokens of the prompt to time; 0: none"),
        CLI_CUSTOM("-d --n-depth --depth", "LIST", &o.depths, parse_depths,
                   "committed tokens below the rows of the curve, 0,256,4096 (default 256)"),
        CLI_INT("-r --repetitions", "N", &p->rounds, 1, 1000, "timed passes per point"),
        CLI_CUSTOM("--rows", "LIST", &o.rows, parse_rows,
                   "points of the curve, 1,2,4 or 1..8 (default 1,2,3,4,6,8,12,16)"),
        CLI_CUSTOM("--bandwidth-mib", "N", &o.bandwidth_mib, parse_bandwidth,
                   "memory to read for the bandwidth; 0: do not measure it (default 1024)"),
        CLI_CHOICE("-o --output", "FORMAT", &o.format, formats, "output format"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    return measure(&o);
}

const cli_command cli_cmd_bench = {
    "bench", "[OPTIONS]", "Measure read bandwidth, speeds and the verification curve",
    "A pass over more rows costs more only where it touches more bytes. Rows of random\n"
    "tokens open many experts, rows that repeat one token hardly any. The bandwidth is\n"
    "remembered in the user's cache folder for the summaries of 'sluice run'. Each number of\n"
    "threads is measured at each depth, one after the other, with one load of the model.\n"
    "'sluice bench --spec' evaluates speculation instead; see its --help.",
    run};

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
#include "options.h"
#include "progress.h"
#include "sluice/bench.h"

typedef enum bench_format { FORMAT_MD, FORMAT_JSON, FORMAT_CSV } bench_format;

typedef struct row_list {
    int32_t rows[SL_BENCH_POINTS_MAX];
    int32_t n;
} row_list;

typedef struct bench_options {
    cli_engine engine;
    sl_bench_params params;
    row_list rows;
    int32_t bandwidth_mib;
    int format; /* bench_format */
} bench_options;

/* "1,2,4,8" */
static const char *parse_rows(const char *value, void *target) {
    static const char expected[] = "up to 32 numbers of rows in 1 .. 65, as in 1,2,4,8";
    row_list list = {.n = 0};
    while (*value) {
        char *end;
        const long rows = strtol(value, &end, 10);
        if (end == value || rows < 1 || rows > SL_LOGIT_ROWS_MAX || list.n == SL_BENCH_POINTS_MAX)
            return expected;
        list.rows[list.n++] = (int32_t)rows;
        if (*end != ',' && *end != '\0') return expected;
        if (*end == ',' && end[1] == '\0') return expected;
        value = *end == ',' ? end + 1 : end;
    }
    if (list.n == 0) return expected;
    *(row_list *)target = list;
    return NULL;
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

/* One thread's bandwidth beside that of all, which the curve's rounds have measured; both
 * are remembered for other commands. */
static int measure_bandwidth(const bench_options *o, const sl_bench_result *result,
                             cli_bench_report *b) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    if (o->params.bandwidth_bytes == 0) return CLI_OK;
    cli_progress progress;
    cli_progress_begin(&progress, "measuring the read bandwidth");
    cli_progress_show(&progress);
    const sl_status status =
        sl_bench_bandwidth(1, o->params.bandwidth_bytes, &b->bandwidth_one, &err);
    cli_progress_end(&progress);
    if (status != SL_OK) return cli_complain_status("read bandwidth", status, &err);
    (void)cli_bandwidth_store(1, b->bandwidth_one);
    (void)cli_bandwidth_store(result->threads, result->bandwidth);
    return CLI_OK;
}

static int measure_curve(bench_options *o, const sl_model *model, sl_bench_result *result) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    cli_progress progress;
    o->params.threads = o->engine.threads;
    o->params.k_type = (sl_kv_type)o->engine.k_type;
    o->params.v_type = (sl_kv_type)o->engine.v_type;
    o->params.rows = o->rows.rows;
    o->params.n_rows = o->rows.n;
    o->params.bandwidth_bytes = (uint64_t)o->bandwidth_mib << 20;
    o->params.progress = on_progress;
    o->params.user = &progress;

    cli_progress_begin(&progress, "measuring passes");
    const sl_status status = sl_bench_curve(model, &o->params, result, &err);
    cli_progress_end(&progress);
    return status == SL_OK ? CLI_OK : cli_complain_status(NULL, status, &err);
}

static int print_report(const bench_options *o, const cli_bench_report *report) {
    if (o->format == FORMAT_JSON) return cli_bench_json(stdout, report);
    if (o->format == FORMAT_CSV)
        cli_bench_csv(stdout, report);
    else
        cli_bench_markdown(stdout, report);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int run(const cli_command *self, int argc, char **argv) {
    if (cli_wants_bench_spec(argc, argv))
        return cli_cmd_bench_spec.run(&cli_cmd_bench_spec, argc, argv);
    static const cli_choice formats[] = {
        {"md", FORMAT_MD}, {"json", FORMAT_JSON}, {"csv", FORMAT_CSV}, {0}};
    bench_options o = {.engine = cli_engine_default(),
                       .params = sl_bench_params_default(),
                       .bandwidth_mib = 1024,
                       .format = FORMAT_MD};
    sl_bench_params *p = &o.params;
    int code;
    o.rows.n = p->n_rows;
    memcpy(o.rows.rows, p->rows, (size_t)p->n_rows * sizeof p->rows[0]);
    const cli_option options[] = {
        CLI_OPTION_MODEL(&o.engine),
        CLI_OPTION_THREADS(&o.engine),
        CLI_OPTION_KEYS(&o.engine),
        CLI_OPTION_VALUES(&o.engine),
        CLI_OPTION_ISA(&o.engine),
        CLI_OPTION_LAYOUT(&o.engine),
        CLI_INT("-p --n-prompt", "N", &p->prompt, 0, 1 << 20,
                "tokens of the prompt to time; 0: none"),
        CLI_INT("-d --n-depth --depth", "N", &p->depth, 0, 1 << 20,
                "committed tokens below the rows of the curve"),
        CLI_INT("-r --repetitions", "N", &p->rounds, 1, 1000, "timed passes per point"),
        CLI_CUSTOM("--rows", "LIST", &o.rows, parse_rows,
                   "points of the curve (default 1,2,3,4,6,8,12,16)"),
        CLI_CUSTOM("--bandwidth-mib", "N", &o.bandwidth_mib, parse_bandwidth,
                   "memory to read for the bandwidth; 0: do not measure it (default 1024)"),
        CLI_CHOICE("-o --output", "FORMAT", &o.format, formats, "output format"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;

    sl_model *model;
    sl_bench_result result;
    cli_bench_report report = {.params = p, .result = &result};
    code = cli_open_model(&o.engine, &model);
    report.model = model;
    if (code == CLI_OK) code = measure_curve(&o, model, &result);
    if (code == CLI_OK) code = measure_bandwidth(&o, &result, &report);
    if (code == CLI_OK) code = print_report(&o, &report);
    sl_model_close(&model);
    return code;
}

const cli_command cli_cmd_bench = {
    "bench", "[OPTIONS]", "Measure read bandwidth, speeds and the verification curve",
    "A pass over more rows costs more only where it touches more bytes. Rows of random\n"
    "tokens open many experts, rows that repeat one token hardly any. The bandwidth is\n"
    "remembered in the user's cache folder for the summaries of 'sluice run'.\n"
    "'sluice bench --spec' evaluates speculation instead; see its --help.",
    run};

/* bench_report.c - three ways to print the same points. */
#include "bench_report.h"

#include <jansson.h>
#include <stdbool.h>

#include "cmd.h"
#include "machine.h"
#include "units.h"

/* One point with everything that follows from it. */
typedef struct view {
    const sl_bench_point *point;
    const char *tokens; /* "random" or "same"                                    */
    double time_ratio;  /* to the first point of the same kind                   */
    double bytes_ratio;
    double bytes_per_second;
    double bandwidth_share; /* of the read bandwidth of the same round; 0: unknown, or
                               the weights are in the cache and it means nothing      */
} view;

static bool in_cache(const cli_bench_report *b) {
    return sl_model_facts_of(b->model)->weight_bytes <= cli_last_level_cache();
}

static double bytes_of(const sl_bench_point *p) {
    return p->weight_bytes + p->kv_bytes;
}

static int32_t n_views(const cli_bench_report *b) {
    return 2 * b->params.n_rows;
}

/* Random rows first, then the same number of repeated ones. */
static view view_of(const cli_bench_report *b, int32_t i) {
    const int32_t n = b->params.n_rows;
    const sl_bench_point *points = i < n ? b->result.random : b->result.same;
    const sl_bench_point *p = &points[i % n];
    view v = {.point = p, .tokens = i < n ? "random" : "same"};
    v.time_ratio = p->seconds / points[0].seconds;
    v.bytes_ratio = bytes_of(p) / bytes_of(&points[0]);
    v.bytes_per_second = bytes_of(p) / p->seconds;
    if (!in_cache(b)) v.bandwidth_share = p->bandwidth_share;
    return v;
}

/* Passes of one row are plain decoding; NULL, or 0, if none was measured. */
static const sl_bench_point *single_row(const cli_bench_report *b) {
    for (int32_t i = 0; i < b->params.n_rows; i++)
        if (b->result.random[i].rows == 1) return &b->result.random[i];
    return NULL;
}

static double decode_speed(const cli_bench_report *b) {
    const sl_bench_point *p = single_row(b);
    return p ? 1 / p->seconds : 0;
}

/* ---- markdown ------------------------------------------------------------------- */

static void print_machine(FILE *to, const cli_bench_report *b, int32_t n) {
    const sl_model_facts *f = sl_model_facts_of(b->model);
    char cpu[256];
    cli_cpu_name(cpu, sizeof cpu);
    (void)fprintf(to, "%s (%s, %s, %s of weights), ", f->name[0] ? f->name : f->arch, f->arch,
                  f->type, cli_bytes_text((double)f->weight_bytes).text);
    if (n == 1) (void)fprintf(to, "%d threads, ", (int)b->result.threads);
    (void)fprintf(to, "%s kernels, %s weights\n%s\n\n", sl_model_isa(b->model),
                  sl_model_layout(b->model), cpu);
}

static void print_cache_note(FILE *to, const cli_bench_report *b) {
    if (in_cache(b))
        (void)fputs("* the weights fit into the last-level cache: GB/s are not memory's\n", to);
}

static void print_speeds(FILE *to, const cli_bench_report *b) {
    if (b->result.bandwidth > 0)
        (void)fprintf(to, "* read bandwidth: %.1f GB/s with 1 thread, %.1f GB/s with %d\n",
                      b->bandwidth_one / 1e9, b->result.bandwidth / 1e9, (int)b->result.threads);
    print_cache_note(to, b);
    if (b->params.prompt > 0)
        (void)fprintf(to, "* prompt: %.1f tok/s over %d tokens\n",
                      b->result.prompt_tokens_per_second, (int)b->params.prompt);
    if (decode_speed(b) > 0)
        (void)fprintf(to, "* decode: %.1f tok/s at depth %d\n", decode_speed(b),
                      (int)b->params.depth);
}

/* A speed, or a dash where it was not measured. */
typedef struct speed_text {
    char text[24];
} speed_text;

static speed_text speed_of(double speed) {
    speed_text s = {"-"};
    if (speed > 0) (void)snprintf(s.text, sizeof s.text, "%.1f", speed);
    return s;
}

/* The speeds of several reports, one line each. */
static void print_overview(FILE *to, const cli_bench_report *b, int32_t n) {
    print_cache_note(to, b);
    if (in_cache(b)) (void)fputc('\n', to);
    (void)fputs("| threads | depth | read GB/s | prompt tok/s | decode tok/s | min .. max      |\n"
                "|--------:|------:|----------:|-------------:|-------------:|----------------:|\n",
                to);
    for (int32_t i = 0; i < n; i++) {
        const sl_bench_point *p = single_row(&b[i]);
        (void)fprintf(
            to, "| %7d | %5d | %9s | %12s | %12s | %6s .. %6s |\n", (int)b[i].result.threads,
            (int)b[i].params.depth, speed_of(b[i].result.bandwidth / 1e9).text,
            speed_of(b[i].result.prompt_tokens_per_second).text, speed_of(decode_speed(&b[i])).text,
            speed_of(p ? 1 / p->seconds_max : 0).text, speed_of(p ? 1 / p->seconds_min : 0).text);
    }
}

static void print_curve(FILE *to, const cli_bench_report *b) {
    (void)fputs("| tokens | rows |   ms     |  min .. max ms    | time x | bytes x | experts | "
                "weights  | KV       | GB/s  | of read | att | rou | exp | head |\n"
                "|--------|-----:|---------:|------------------:|-------:|--------:|--------:|"
                "---------:|---------:|------:|--------:|----:|----:|----:|-----:|\n",
                to);
    for (int32_t i = 0; i < n_views(b); i++) {
        const view v = view_of(b, i);
        const sl_bench_point *p = v.point;
        char share[16] = "-";
        if (v.bandwidth_share > 0)
            (void)snprintf(share, sizeof share, "%.0f%%", 100 * v.bandwidth_share);
        (void)fprintf(to,
                      "| %-6s | %4d | %8.3f | %7.3f .. %6.3f | %6.2f | %7.2f | %7.1f | %8s | "
                      "%8s | %5.1f | %7s | %2.0f%% | %2.0f%% | %2.0f%% |  %2.0f%% |\n",
                      v.tokens, (int)p->rows, 1e3 * p->seconds, 1e3 * p->seconds_min,
                      1e3 * p->seconds_max, v.time_ratio, v.bytes_ratio, p->experts_per_layer,
                      cli_bytes_text(p->weight_bytes).text, cli_bytes_text(p->kv_bytes).text,
                      v.bytes_per_second / 1e9, share, 100 * p->attention_seconds / p->seconds,
                      100 * p->router_seconds / p->seconds, 100 * p->expert_seconds / p->seconds,
                      100 * p->head_seconds / p->seconds);
    }
}

void cli_bench_markdown(FILE *to, const cli_bench_report *b, int32_t n) {
    print_machine(to, b, n);
    if (n == 1)
        print_speeds(to, b);
    else
        print_overview(to, b, n);
    for (int32_t i = 0; i < n; i++) {
        (void)fputs("\nVerification curve", to);
        if (n > 1) (void)fprintf(to, " with -t %d", (int)b[i].result.threads);
        (void)fprintf(to,
                      " at depth %d, medians of %d passes; attention, router, experts and head\n"
                      "are shares of the time.\n\n",
                      (int)b[i].params.depth, (int)b[i].params.rounds);
        print_curve(to, &b[i]);
    }
}

/* ---- csv ---------------------------------------------------------------------------- */

/* RFC 4180: in quotes, quotes doubled. */
static void print_quoted(FILE *to, const char *text) {
    (void)fputc('"', to);
    for (; *text; text++) {
        if (*text == '"') (void)fputc('"', to);
        (void)fputc(*text, to);
    }
    (void)fputc('"', to);
}

static void print_lines(FILE *to, const cli_bench_report *b) {
    const sl_model_facts *f = sl_model_facts_of(b->model);
    for (int32_t i = 0; i < n_views(b); i++) {
        const view v = view_of(b, i);
        const sl_bench_point *p = v.point;
        print_quoted(to, f->name[0] ? f->name : f->arch);
        (void)fprintf(to, ",%s,%s,%s,%d,%d,%d,%.6g,%.6g,%.6g,%s,%d", f->type,
                      sl_model_isa(b->model), sl_model_layout(b->model), (int)b->result.threads,
                      (int)b->params.depth, (int)b->params.rounds, b->bandwidth_one,
                      b->result.bandwidth, b->result.prompt_tokens_per_second, v.tokens,
                      (int)p->rows);
        const double numbers[] = {p->seconds,        p->seconds_min,       p->seconds_max,
                                  v.time_ratio,      v.bytes_ratio,        p->experts_per_layer,
                                  p->weight_bytes,   p->kv_bytes,          v.bytes_per_second,
                                  v.bandwidth_share, p->attention_seconds, p->router_seconds,
                                  p->expert_seconds, p->head_seconds};
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
            (void)fprintf(to, ",%.9g", numbers[n]);
        (void)fputc('\n', to);
    }
}

void cli_bench_csv(FILE *to, const cli_bench_report *b, int32_t n) {
    (void)fputs("model,type,isa,layout,threads,depth,rounds,bandwidth_one,bandwidth_all,"
                "prompt_tokens_per_second,tokens,rows,seconds,seconds_min,seconds_max,time_ratio,"
                "bytes_ratio,experts_per_layer,weight_bytes,kv_bytes,bytes_per_second,"
                "bandwidth_share,attention_seconds,router_seconds,expert_seconds,head_seconds\n",
                to);
    for (int32_t i = 0; i < n; i++)
        print_lines(to, &b[i]);
}

/* ---- json ----------------------------------------------------------------------------- */

/* Numbers that were not measured are null. */
static json_t *known(double value) {
    return value > 0 ? json_real(value) : json_null();
}

static json_t *text(const char *bytes) {
    json_t *string = json_string(bytes);
    return string ? string : json_null(); /* a name in a file need not be UTF-8 */
}

static json_t *point_object(const view *v) {
    const sl_bench_point *p = v->point;
    return json_pack(
        "{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:f, s:f, s:f, "
        "s:f}",
        "tokens", v->tokens, "rows", (int)p->rows, "seconds", p->seconds, "seconds_min",
        p->seconds_min, "seconds_max", p->seconds_max, "time_ratio", v->time_ratio, "bytes_ratio",
        v->bytes_ratio, "experts_per_layer", p->experts_per_layer, "weight_bytes", p->weight_bytes,
        "kv_bytes", p->kv_bytes, "bytes_per_second", v->bytes_per_second, "bandwidth_share",
        known(v->bandwidth_share), "attention_seconds", p->attention_seconds, "router_seconds",
        p->router_seconds, "expert_seconds", p->expert_seconds, "head_seconds", p->head_seconds);
}

static json_t *points_array(const cli_bench_report *b) {
    json_t *array = json_array();
    for (int32_t i = 0; i < n_views(b); i++) {
        const view v = view_of(b, i);
        if (json_array_append_new(array, point_object(&v)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *report_object(const cli_bench_report *b) {
    const sl_model_facts *f = sl_model_facts_of(b->model);
    char cpu[256];
    cli_cpu_name(cpu, sizeof cpu);
    return json_pack(
        "{s:o, s:o, s:s, s:I, s:s, s:s, s:o, s:i, s:i, s:i, s:b, s:o, s:o, s:i, s:o, s:o, s:o}",
        "model", text(f->name), "arch", text(f->arch), "type", f->type, "weight_bytes",
        (json_int_t)f->weight_bytes, "isa", sl_model_isa(b->model), "layout",
        sl_model_layout(b->model), "cpu", text(cpu), "threads", (int)b->result.threads, "depth",
        (int)b->params.depth, "rounds", (int)b->params.rounds, "weights_in_cache", in_cache(b),
        "bandwidth_one", known(b->bandwidth_one), "bandwidth_all", known(b->result.bandwidth),
        "prompt_tokens", (int)b->params.prompt, "prompt_tokens_per_second",
        known(b->result.prompt_tokens_per_second), "decode_tokens_per_second",
        known(decode_speed(b)), "points", points_array(b));
}

static json_t *reports_array(const cli_bench_report *b, int32_t n) {
    json_t *array = json_array();
    for (int32_t i = 0; i < n; i++)
        if (json_array_append_new(array, report_object(&b[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

int cli_bench_json(FILE *to, const cli_bench_report *b, int32_t n) {
    json_t *root = n == 1 ? report_object(b) : reports_array(b, n);
    int failed = json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
    failed |= fputc('\n', to) == EOF;
    json_decref(root);
    return failed ? CLI_FAILED : CLI_OK;
}

/* eval_report.c - the scores as Markdown tables, and everything as JSON. */
#include <jansson.h>
#include <math.h>

#include "cmd.h"
#include "eval.h"
#include "machine.h"
#include "units.h"

static int32_t finished(const eval_run *run) {
    int32_t n = 0;
    for (int32_t i = 0; i < run->workload->n; i++)
        n += run->done[i] > 0;
    return n;
}

/* "1.234", or a dash. */
static void print_ratio(FILE *to, double value) {
    if (isfinite(value))
        (void)fprintf(to, " %.3f |", value);
    else
        (void)fputs(" - |", to);
}

static void print_head(FILE *to, const eval_run *run) {
    const sl_model_facts *f = sl_model_facts_of(run->model);
    const eval_workload *w = run->workload;
    char cpu[256];
    cli_cpu_name(cpu, sizeof cpu);
    (void)fprintf(to, "%s (%s, %s, %s of weights), %d threads, %s kernels, %s weights\n%s\n\n",
                  f->name[0] ? f->name : f->arch, f->arch, f->type,
                  cli_bytes_text((double)f->weight_bytes).text, (int)run->threads,
                  sl_model_isa(run->model), sl_model_layout(run->model), cpu);
    int32_t replayed = 0;
    for (int32_t i = 0; i < w->n; i++)
        replayed += w->requests[i].n_output > 0;
    (void)fprintf(to,
                  "* %d of %d requests measured (%d replayed, the others live) under %d arms, "
                  "%d rounds,\n  at most %d tokens each, temperature %g\n",
                  (int)finished(run), (int)w->n, (int)replayed, (int)run->n_arms, (int)run->rounds,
                  (int)run->params.max_tokens, (double)run->params.sampling.temperature);
    if (w->too_long > 0 || w->cut > 0)
        (void)fprintf(to, "* %d requests left out, %d outputs cut: the context has %d tokens\n",
                      (int)w->too_long, (int)w->cut, (int)run->context);
    if (run->different > 0)
        (void)fprintf(to, "* DIFFERENT BYTES: %d runs did not emit what plain decoding emits\n",
                      (int)run->different);
    else
        (void)fputs("* tokens and logits of every run are those of plain decoding, bit for bit\n",
                    to);
}

static void print_speedups(FILE *to, const eval_run *run) {
    eval_group groups[EVAL_GROUPS_MAX];
    const int32_t n = eval_groups(run->workload, groups);
    (void)fputs("\nSpeed-up over plain decoding (the mean of two plain arms; \"plain again\" "
                "shows the drift)\n\n| task |",
                to);
    for (int32_t a = 1; a < run->n_arms; a++)
        (void)fprintf(to, " %s |", run->arms[a].name);
    (void)fputs(" oracle |\n|---|", to);
    for (int32_t a = 0; a < run->n_arms; a++)
        (void)fputs("---:|", to);
    for (int32_t g = 0; g < n; g++) {
        (void)fprintf(to, "\n| %s |", groups[g].name);
        for (int32_t a = 1; a < run->n_arms; a++)
            print_ratio(to, eval_score_of(run, a, groups[g].tasks).speedup);
        print_ratio(to, eval_oracle(run, groups[g].tasks));
    }
    (void)fputs("\n| mean over tasks |", to);
    for (int32_t a = 1; a < run->n_arms; a++)
        print_ratio(to, eval_mean_speedup(run, a));
    print_ratio(to, eval_mean_oracle(run));
    (void)fputc('\n', to);
}

/* Share of the oracle's gain that an arm reaches. */
static double gain_share(const eval_run *run, int32_t arm) {
    return (eval_mean_speedup(run, arm) - 1) / (eval_mean_oracle(run) - 1);
}

static void print_arms(FILE *to, const eval_run *run) {
    (void)fputs("\nArms, all requests; worst: of those of 100 tokens or more, if any\n\n"
                "| arm | mean over tasks | all requests, 95% | worst request | tokens/pass | "
                "drafted/pass | accepted | drafting | of the oracle's gain |\n"
                "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
                to);
    for (int32_t a = 0; a < run->n_arms; a++) {
        const eval_score s = eval_score_of(run, a, UINT32_MAX);
        (void)fprintf(to, "| %s |", run->arms[a].name);
        print_ratio(to, eval_mean_speedup(run, a));
        (void)fprintf(to, " %.3f (%.3f .. %.3f) |", s.speedup, s.low, s.high);
        print_ratio(to, s.worst);
        (void)fprintf(to, " %.2f | %.2f | ", s.tokens_per_pass, s.drafted);
        if (isfinite(s.accepted))
            (void)fprintf(to, "%.0f%% | %.1f%% |", 100 * s.accepted, 100 * s.draft_share);
        else
            (void)fputs("- | - |", to);
        if (a >= EVAL_PLAIN && isfinite(gain_share(run, a)))
            (void)fprintf(to, " %.0f%% |\n", 100 * gain_share(run, a));
        else
            (void)fputs(" - |\n", to);
    }
}

static void print_statics(FILE *to, const eval_run *run) {
    if (eval_best_static(run) < 0) return;
    (void)fputs("\nFixed K: tokens per pass / cost of a pass / utility / speed-up\n\n| task |", to);
    for (int32_t a = 0; a < run->n_arms; a++)
        if (run->arms[a].fixed_k > 0) (void)fprintf(to, " K = %d |", (int)run->arms[a].fixed_k);
    (void)fputs("\n|---|", to);
    for (int32_t a = 0; a < run->n_arms; a++)
        if (run->arms[a].fixed_k > 0) (void)fputs("---|", to);
    for (int32_t t = 0; t < run->workload->n_tasks; t++) {
        (void)fprintf(to, "\n| %s |", run->workload->tasks[t]);
        for (int32_t a = 0; a < run->n_arms; a++) {
            if (run->arms[a].fixed_k < 1) continue;
            const eval_score s = eval_score_of(run, a, 1u << t);
            (void)fprintf(to, " %.2f / %.2f / %.3f / %.3f |", s.tokens_per_pass, s.cost, s.utility,
                          s.speedup);
        }
    }
    (void)fprintf(to,
                  "\n\nUtility predicts speed-up over these with R^2 = %.4f; of one half of the "
                  "requests that of the\nother half with %.4f\n",
                  eval_r_squared(run, false), eval_r_squared(run, true));
}

static void print_times(FILE *to, const eval_run *run) {
    (void)fputs("\nMedian time of an iteration by drafted rows, against none\n\n| drafted |", to);
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0) (void)fprintf(to, " %d |", (int)k);
    (void)fputs("\n|---|", to);
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0) (void)fputs("---:|", to);
    (void)fputs("\n| time |", to);
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0)
            (void)fprintf(to, " %.2f |",
                          eval_iteration_seconds(run, k) / eval_iteration_seconds(run, 0));
    (void)fputs("\n| iterations |", to);
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0) (void)fprintf(to, " %d |", (int)run->times[k].n);
    (void)fputc('\n', to);
}

void eval_print_markdown(FILE *to, const eval_run *run) {
    print_head(to, run);
    if (finished(run) == 0) return;
    print_speedups(to, run);
    print_arms(to, run);
    print_statics(to, run);
    print_times(to, run);
}

/* ---- json ------------------------------------------------------------------------------ */

static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *bytes) {
    json_t *string = json_string(bytes);
    return string ? string : json_null(); /* a name in a file need not be UTF-8 */
}

static json_t *score_object(const eval_run *run, int32_t arm, const eval_group *group) {
    const eval_score s = eval_score_of(run, arm, group->tasks);
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "group",
                     group->name, "arm", run->arms[arm].name, "requests", (int)s.requests,
                     "speedup", real(s.speedup), "low", real(s.low), "high", real(s.high), "worst",
                     real(s.worst), "tokens_per_pass", real(s.tokens_per_pass), "cost",
                     real(s.cost), "utility", real(s.utility), "drafted_per_pass", real(s.drafted),
                     "accepted", real(s.accepted), "draft_share", real(s.draft_share));
}

static json_t *scores_array(const eval_run *run) {
    eval_group groups[EVAL_GROUPS_MAX];
    const int32_t n = eval_groups(run->workload, groups);
    json_t *array = json_array();
    for (int32_t g = 0; g < n; g++)
        for (int32_t a = 0; a < run->n_arms; a++)
            (void)json_array_append_new(array, score_object(run, a, &groups[g]));
    return array;
}

static json_t *oracles_array(const eval_run *run) {
    eval_group groups[EVAL_GROUPS_MAX];
    const int32_t n = eval_groups(run->workload, groups);
    json_t *array = json_array();
    for (int32_t g = 0; g < n; g++)
        (void)json_array_append_new(array,
                                    json_pack("{s:s, s:o}", "group", groups[g].name, "speedup",
                                              real(eval_oracle(run, groups[g].tasks))));
    return array;
}

static json_t *requests_array(const eval_run *run) {
    json_t *array = json_array();
    for (int32_t i = 0; i < run->workload->n; i++) {
        const eval_request *q = &run->workload->requests[i];
        for (int32_t a = 0; run->done[i] > 0 && a < run->n_arms; a++)
            (void)json_array_append_new(
                array,
                json_pack("{s:o, s:s, s:s, s:b, s:i, s:i, s:i, s:o}", "id", text(q->id), "task",
                          run->workload->tasks[q->task], "arm", run->arms[a].name, "replayed",
                          q->n_output > 0, "prompt_tokens", (int)q->n_prompt, "tokens",
                          (int)eval_request_tokens(run, i), "rounds", (int)run->done[i], "speedup",
                          real(eval_request_speedup(run, a, i))));
    }
    return array;
}

static json_t *times_array(const eval_run *run) {
    json_t *array = json_array();
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        if (run->times[k].n > 0)
            (void)json_array_append_new(array,
                                        json_pack("{s:i, s:i, s:o}", "drafted", (int)k,
                                                  "iterations", (int)run->times[k].n, "seconds",
                                                  real(eval_iteration_seconds(run, k))));
    return array;
}

int eval_print_json(FILE *to, const eval_run *run) {
    const sl_model_facts *f = sl_model_facts_of(run->model);
    char cpu[256];
    cli_cpu_name(cpu, sizeof cpu);
    json_t *root = json_pack(
        "{s:o, s:o, s:s, s:I, s:s, s:o, s:i, s:i, s:i, s:f, s:i, s:i, s:i, s:o, s:o, s:o, s:o, "
        "s:o, s:o}",
        "model", text(f->name), "arch", text(f->arch), "type", f->type, "weight_bytes",
        (json_int_t)f->weight_bytes, "isa", sl_model_isa(run->model), "cpu", text(cpu), "threads",
        (int)run->threads, "rounds", (int)run->rounds, "max_tokens", (int)run->params.max_tokens,
        "temperature", (double)run->params.sampling.temperature, "different_bytes",
        (int)run->different, "left_out", (int)run->workload->too_long, "cut",
        (int)run->workload->cut, "r_squared", real(eval_r_squared(run, false)),
        "r_squared_held_out", real(eval_r_squared(run, true)), "oracle", oracles_array(run),
        "scores", scores_array(run), "iterations", times_array(run), "requests",
        requests_array(run));
    int failed = !root || json_dumpf(root, to, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0;
    failed |= fputc('\n', to) == EOF;
    json_decref(root);
    return failed ? CLI_FAILED : CLI_OK;
}

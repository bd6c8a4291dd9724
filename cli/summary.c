/* summary.c - the same numbers twice. */
#include "summary.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "cmd.h"
#include "machine.h"
#include "units.h"

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static double percent(double part, double whole) {
    return 100 * ratio(part, whole);
}

/* An iteration emits the accepted tokens and one more. */
static double tokens_per_pass(const sl_generate_stats *s) {
    return ratio((double)s->accepted + s->passes, s->passes);
}

static double bytes_per_second(const sl_generate_stats *s) {
    return ratio(s->weight_bytes + s->kv_bytes, s->decode_seconds);
}

/* Measured read bandwidth the run can be held against, or 0: unknown, or meaningless
 * because the weights fit into the cache. */
static double bandwidth_bound(const cli_run_facts *run) {
    const bool in_cache = sl_model_facts_of(run->model)->weight_bytes <= cli_last_level_cache();
    return in_cache ? 0 : cli_bandwidth_load(run->threads);
}

static int32_t largest_k(const sl_generate_stats *s) {
    int32_t k = SL_DRAFT_MAX;
    while (k > 0 && s->k_histogram[k] == 0)
        k--;
    return k;
}

static const char *budget_name(const sl_budget *budget) {
    switch (budget->mode) {
    case SL_BUDGET_OFF:
        return "off";
    case SL_BUDGET_SUBSTITUTE:
        return "substitute";
    case SL_BUDGET_TRUNCATE:
        return "truncate";
    }
    return "off";
}

typedef struct drafters_text {
    char text[64];
} drafters_text;

/* "ngram-simple,draft-simple", or "none". */
static drafters_text drafters(const sl_generate_params *p) {
    drafters_text t = {"none"};
    size_t n = 0;
    for (int32_t i = 0; i < p->n_spec_types; i++)
        n += (size_t)snprintf(t.text + n, sizeof t.text - n, "%s%s", i > 0 ? "," : "",
                              sl_spec_type_name(p->spec_types[i]));
    return t;
}

/* Without a drafter the policy has nothing to decide. */
static const char *policy_name(const sl_generate_params *p) {
    return p->n_spec_types == 0 ? "off" : p->spec_policy;
}

/* ---- for people ------------------------------------------------------------- */

static const char *stop_sentence(sl_stop_reason stop) {
    switch (stop) {
    case SL_STOP_EOG:
        return "the model ended its turn";
    case SL_STOP_STRING:
        return "a stop string appeared";
    case SL_STOP_LENGTH:
        return "the asked number of tokens was reached";
    case SL_STOP_CONTEXT:
        return "the context is full";
    case SL_STOP_CALLER:
        return "interrupted";
    case SL_STOP_ERROR:
        return "an error";
    }
    return "";
}

static void print_speculation(FILE *to, const cli_run_facts *run) {
    const sl_generate_stats *s = run->stats;
    const sl_generate_params *p = run->params;
    (void)fprintf(to, "speculation  %s, policy %s", drafters(p).text, policy_name(p));
    if (s->drafted > 0)
        (void)fprintf(to, ": kept %" PRId64 " of %" PRId64 " drafted tokens (%.0f%%)", s->accepted,
                      s->drafted, percent((double)s->accepted, (double)s->drafted));
    (void)fprintf(to, "\n             %.2f tokens per pass, %d passes, %" PRId64 " rows",
                  tokens_per_pass(s), (int)s->passes, s->rows);
    if (isfinite(s->utility_mean)) (void)fprintf(to, ", mean utility %.2f", s->utility_mean);
    for (int32_t i = 0; i < p->n_spec_types && p->n_spec_types > 1; i++)
        (void)fprintf(to, "%s%s %" PRId64 " of %" PRId64,
                      i == 0 ? "\n             kept by drafter: " : ", ",
                      sl_spec_type_name(p->spec_types[i]), s->accepted_by[p->spec_types[i]],
                      s->drafted_by[p->spec_types[i]]);
    (void)fputs("\n             passes by K:", to);
    for (int32_t k = 0; k <= SL_DRAFT_MAX; k++)
        if (s->k_histogram[k] > 0) (void)fprintf(to, "  %d: %" PRId64, (int)k, s->k_histogram[k]);
    (void)fprintf(to, "\n             time: drafting %.1f%%, verifying %.1f%%, testing %.1f%%\n",
                  percent(s->draft_seconds, s->decode_seconds),
                  percent(s->verify_seconds, s->decode_seconds),
                  percent(s->test_seconds, s->decode_seconds));
}

static void print_sampling(FILE *to, const sl_sampling *s) {
    (void)fprintf(to, "sampling     temp %g, top-k %d, top-p %g, min-p %g", (double)s->temperature,
                  (int)s->top_k, (double)s->top_p, (double)s->min_p);
    if (s->repeat_penalty != 1 || s->presence_penalty != 0 || s->frequency_penalty != 0) {
        (void)fprintf(to, "\n             penalties %g repeat, %g presence, %g frequency, ",
                      (double)s->repeat_penalty, (double)s->presence_penalty,
                      (double)s->frequency_penalty);
        if (s->repeat_last_n < 0)
            (void)fputs("all tokens", to);
        else
            (void)fprintf(to, "newest %d tokens", (int)s->repeat_last_n);
    }
    if (s->n_bias > 0) (void)fprintf(to, ", %d logit biases", (int)s->n_bias);
    (void)fprintf(to, ", seed %" PRIu64 "\n", s->seed);
}

void cli_summary_print(FILE *to, const cli_run_facts *run) {
    const sl_generate_stats *s = run->stats;
    const sl_model_facts *f = sl_model_facts_of(run->model);
    const double bound = bandwidth_bound(run);

    (void)fprintf(to, "\nmodel        %s, %s, %s, %d threads, %s kernels, %s weights\n",
                  f->name[0] ? f->name : f->arch, f->arch, f->type, (int)run->threads,
                  sl_model_isa(run->model), sl_model_layout(run->model));
    (void)fprintf(to, "prompt       %d tokens in %.2f s, %.1f tok/s\n", (int)s->prompt_tokens,
                  s->prompt_seconds, ratio(s->prompt_tokens, s->prompt_seconds));
    (void)fprintf(to, "output       %d tokens in %.2f s, %.1f tok/s; stopped: %s\n", (int)s->tokens,
                  s->decode_seconds, ratio(s->tokens, s->decode_seconds), stop_sentence(s->stop));
    if (s->passes > 0) {
        (void)fprintf(to, "memory       %.1f GB/s", bytes_per_second(s) / 1e9);
        if (bound > 0)
            (void)fprintf(to, ", %.0f%% of the %.1f GB/s measured",
                          percent(bytes_per_second(s), bound), bound / 1e9);
        (void)fprintf(to, "; %s per pass",
                      cli_bytes_text(ratio(s->weight_bytes + s->kv_bytes, s->passes)).text);
        if (f->experts > 0)
            (void)fprintf(to, ", %.1f of %d experts per layer", s->experts_per_layer_pass,
                          (int)f->experts);
        (void)fputc('\n', to);
        print_speculation(to, run);
    }
    if (s->lossy)
        (void)fprintf(to,
                      "budget       LOSSY: %d of %d experts per layer (%s), %.2f%% of the routing "
                      "mass kept\n",
                      (int)run->params->budget.experts, (int)f->experts,
                      budget_name(&run->params->budget), 100 * s->budget_mass);
    print_sampling(to, &run->params->sampling);
}

/* ---- for programs -------------------------------------------------------------- */

/* Jansson has no numbers that are not finite: those become null. */
static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *hex(uint64_t value) {
    char text[17];
    (void)snprintf(text, sizeof text, "%016" PRIx64, value);
    return json_string(text);
}

static json_t *histogram(const sl_generate_stats *s) {
    json_t *array = json_array();
    for (int32_t k = 0; k <= largest_k(s); k++)
        if (json_array_append_new(array, json_integer((json_int_t)s->k_histogram[k])) != 0) break;
    return array;
}

/* {"suffix":{"drafted":10,"accepted":4}} of those that drafted. */
static json_t *by_drafter(const sl_generate_stats *s) {
    json_t *object = json_object();
    for (int32_t i = 0; i < SL_SPEC_TYPES; i++)
        if (s->drafted_by[i] > 0)
            (void)json_object_set_new(object, sl_spec_type_name((sl_spec_type)i),
                                      json_pack("{s:I, s:I}", "drafted",
                                                (json_int_t)s->drafted_by[i], "accepted",
                                                (json_int_t)s->accepted_by[i]));
    return object;
}

/* Text from a model file; null if it is no UTF-8. */
static json_t *file_text(const char *text) {
    json_t *string = json_string(text);
    return string ? string : json_null();
}

static json_t *model_object(const cli_run_facts *run) {
    const sl_model_facts *f = sl_model_facts_of(run->model);
    return json_pack("{s:o, s:o, s:s, s:I, s:I, s:i, s:i, s:i}", "name", file_text(f->name), "arch",
                     file_text(f->arch), "type", f->type, "weight_bytes",
                     (json_int_t)f->weight_bytes, "bytes_per_token", (json_int_t)f->bytes_per_token,
                     "layers", (int)f->layers, "experts", (int)f->experts, "experts_per_token",
                     (int)f->experts_per_token);
}

static json_t *sampling_object(const sl_sampling *s) {
    json_t *biases = json_array();
    for (int32_t i = 0; i < s->n_bias; i++)
        if (json_array_append_new(biases, json_pack("[i, o]", (int)s->bias[i].token,
                                                    real((double)s->bias[i].bias))) != 0)
            break;
    return json_pack("{s:I, s:f, s:i, s:f, s:f, s:i, s:f, s:f, s:f, s:o}", "seed",
                     (json_int_t)s->seed, "temperature", (double)s->temperature, "top_k",
                     (int)s->top_k, "top_p", (double)s->top_p, "min_p", (double)s->min_p,
                     "repeat_last_n", (int)s->repeat_last_n, "repeat_penalty",
                     (double)s->repeat_penalty, "presence_penalty", (double)s->presence_penalty,
                     "frequency_penalty", (double)s->frequency_penalty, "logit_bias", biases);
}

/* The settings of sampling stand among the others. */
static json_t *settings_object(const cli_run_facts *run) {
    const sl_generate_params *p = run->params;
    json_t *sampling = sampling_object(&p->sampling);
    json_t *settings =
        json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:i}", "threads", (int)run->threads,
                  "context", (int)run->context, "isa", sl_model_isa(run->model), "layout",
                  sl_model_layout(run->model), "spec_type", drafters(p).text, "spec_policy",
                  policy_name(p), "draft_max", (int)p->draft_max, "expert_budget",
                  budget_name(&p->budget), "expert_budget_experts", (int)p->budget.experts);
    const int failed = json_object_update(settings, sampling);
    json_decref(sampling);
    if (failed == 0) return settings;
    json_decref(settings);
    return NULL;
}

int cli_summary_json(FILE *to, const cli_run_facts *run) {
    const sl_generate_stats *s = run->stats;
    const struct {
        const char *key;
        json_t *value; /* ownership moves to the root */
    } members[] = {
        {"tokens", json_integer(s->tokens)},
        {"prompt_tokens", json_integer(s->prompt_tokens)},
        {"passes", json_integer(s->passes)},
        {"rows", json_integer((json_int_t)s->rows)},
        {"drafted", json_integer((json_int_t)s->drafted)},
        {"accepted", json_integer((json_int_t)s->accepted)},
        {"drafters", by_drafter(s)},
        {"k_histogram", histogram(s)},
        {"phase_passes_test", json_integer((json_int_t)s->phase_passes_test)},
        {"utility_mean", real(s->utility_mean)},
        {"experts_per_layer_pass", real(s->experts_per_layer_pass)},
        {"prompt_seconds", real(s->prompt_seconds)},
        {"decode_seconds", real(s->decode_seconds)},
        {"draft_seconds", real(s->draft_seconds)},
        {"verify_seconds", real(s->verify_seconds)},
        {"plain_seconds", real(s->plain_seconds)},
        {"test_seconds", real(s->test_seconds)},
        {"tokens_per_second", real(ratio(s->tokens, s->decode_seconds))},
        {"prompt_tokens_per_second", real(ratio(s->prompt_tokens, s->prompt_seconds))},
        {"tokens_per_pass", real(tokens_per_pass(s))},
        {"weight_bytes", real(s->weight_bytes)},
        {"kv_bytes", real(s->kv_bytes)},
        {"bytes_per_second", real(bytes_per_second(s))},
        {"read_bandwidth", bandwidth_bound(run) > 0 ? real(bandwidth_bound(run)) : json_null()},
        {"lossy", json_boolean(s->lossy)},
        {"budget_mass", real(s->budget_mass)},
        {"logits_hash", hex(s->logits_hash)},
        {"token_hash", hex(s->token_hash)},
        {"stop_reason", json_string(sl_stop_reason_name(s->stop))},
        {"model", model_object(run)},
        {"settings", settings_object(run)},
    };
    json_t *root = json_object();
    int failed = root == NULL;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        failed |= json_object_set_new(root, members[i].key, members[i].value) != 0;
    failed |= json_dumpf(root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0;
    failed |= fputc('\n', to) == EOF;
    json_decref(root);
    return failed ? CLI_FAILED : CLI_OK;
}

/* generate.c - one request, from prompt tokens to text.
 *
 * The state between iterations: every token but the newest is committed to the session;
 * the newest, `root`, was emitted and will be row 0 of the next pass. One iteration:
 *
 *     1. propose  the drafter gives as many tokens as the policy wants to see; the room left
 *                 in the context and in max_tokens clips them
 *     2. plan     the policy names how many of them to verify
 *     3. forward  root and these in one pass
 *     4. accept   walk down while the sampler's own choice is the drafted token; every
 *                 choice on the way is emitted, the last one becomes the next root
 *     5. commit   the accepted rows; tell drafter and policy
 *
 * Emitting happens inside the walk, so a request that ends in the middle of a draft ends
 * exactly where plain decoding ends. */
#include "sluice/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "engine/draft_model.h"
#include "engine/session.h"
#include "engine/sources.h"
#include "engine/text_stream.h"
#include "runtime/clock.h"
#include "sluice_policy.h"
#include "spec/accept.h"
#include "spec/ngram.h"

const char *sl_stop_reason_name(sl_stop_reason reason) {
    static const char *const names[] = {"eog", "string", "length", "context", "caller", "error"};
    return (size_t)reason < SL_COUNT(names) ? names[reason] : "unknown";
}

const char *sl_spec_type_name(sl_spec_type type) {
    static const char *const names[SL_SPEC_TYPES] = {"none", "ngram-simple", "suffix",
                                                     "draft-simple"};
    return (size_t)type < SL_SPEC_TYPES ? names[type] : "unknown";
}

sl_generate_params sl_generate_params_default(void) {
    return (sl_generate_params){.max_tokens = -1,
                                .sampling = sl_sampling_default(),
                                .spec_types = {SL_SPEC_NGRAM},
                                .n_spec_types = 1,
                                .spec_policy = "ledger",
                                .spec_loss_max = -1,
                                .draft_max = -1,
                                .ngram_max = 5};
}

/* Ledger judges every draft, so long ones and weak matches can only help it: the settings
 * docs/policy.md was measured with. */
enum { LEDGER_DRAFT_MAX = 15, LEDGER_NGRAM_MIN = 1, NGRAM_MIN = 2 };

/* ---- checks ---- */

/* The policy's configuration for these parameters: draft_tokens_max is the caller's
 * limit, else what the policy itself wants. */
static sl_status policy_config(const sl_generate_params *p, slp_config *cfg, sl_error *err) {
    slp_error policy_error;
    const char *text = p->n_spec_types == 0 ? "off" : p->spec_policy;
    slp_config_defaults(cfg);
    const int32_t wanted = cfg->draft_tokens_max;
    cfg->draft_tokens_max = p->draft_max >= 0 ? p->draft_max : SL_DRAFT_MAX;
    if (slp_policy_parse(text ? text : "", cfg, &policy_error) != SLP_OK)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "speculation policy \"%s\": %s",
                        text ? text : "", policy_error.text);
    if (p->spec_loss_max >= 0)
        cfg->ledger.loss_max_permille = (int32_t)lroundf(p->spec_loss_max * 1000);
    if (p->draft_max < 0 && cfg->policy == SLP_POLICY_STATIC)
        cfg->draft_tokens_max = cfg->static_draft_tokens;
    else if (p->draft_max < 0)
        cfg->draft_tokens_max = cfg->policy == SLP_POLICY_LEDGER ? LEDGER_DRAFT_MAX : wanted;
    return SL_OK;
}

static sl_status check_stops(const sl_generate_params *p, sl_error *err) {
    if (p->n_stop < 0 || p->n_stop > SL_STOP_STRINGS_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d stop strings, expected at most %d",
                        p->n_stop, SL_STOP_STRINGS_MAX);
    for (int32_t i = 0; i < p->n_stop; i++) {
        const size_t n = strlen(p->stop[i]);
        if (n < 1 || n > SL_STOP_BYTES_MAX)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                            "stop string %d has %zu bytes, expected 1 .. %d", i + 1, n,
                            SL_STOP_BYTES_MAX);
    }
    return SL_OK;
}

static sl_status check_replay(const sl_model *model, const sl_generate_params *p, sl_error *err) {
    const int32_t vocab = sl_model_facts_of(model)->vocab;
    for (int32_t i = 0; p->replay && i < p->n_replay; i++) {
        if (p->replay[i] < 0 || p->replay[i] >= vocab)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                            "replayed token %d of %d is %d, expected 0 .. %d", i + 1, p->n_replay,
                            p->replay[i], vocab - 1);
    }
    return SL_OK;
}

static sl_status check_draft_model(const sl_model *model, const sl_generate_params *p,
                                   sl_error *err) {
    if (!p->draft_session)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%s: expected a draft model",
                        sl_spec_type_name(SL_SPEC_DRAFT));
    if (p->draft_min < 0 || p->draft_min > SL_DRAFT_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "drafts of at least %d tokens, expected 0 .. %d",
                        p->draft_min, SL_DRAFT_MAX);
    if (!(p->draft_p_min >= 0 && p->draft_p_min <= 1))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "least confidence %g, expected 0 .. 1",
                        (double)p->draft_p_min);
    return sl__draft_model_check(model, sl_session_model(p->draft_session), err);
}

static sl_status check_sources(const sl_model *model, const sl_generate_params *p, sl_error *err) {
    if (p->n_spec_types < 0 || p->n_spec_types > SL_SPEC_SOURCES_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d drafters, expected at most %d",
                        p->n_spec_types, SL_SPEC_SOURCES_MAX);
    for (int32_t i = 0; i < p->n_spec_types; i++) {
        const sl_spec_type type = p->spec_types[i];
        if (type <= SL_SPEC_NONE || (size_t)type >= SL_SPEC_TYPES)
            return sl__fail(err, SL_E_ARG, SL_NOWHERE, "no such drafter: %d", (int)type);
        for (int32_t j = 0; j < i; j++)
            if (p->spec_types[j] == type)
                return sl__fail(err, SL_E_ARG, SL_NOWHERE, "drafter %s is named twice",
                                sl_spec_type_name(type));
        const sl_status status = type == SL_SPEC_DRAFT ? check_draft_model(model, p, err) : SL_OK;
        if (status != SL_OK) return status;
    }
    return SL_OK;
}

sl_status sl_generate_check(const sl_model *model, const sl_generate_params *p, sl_error *err) {
    const sl_model_facts *facts = sl_model_facts_of(model);
    slp_config cfg;
    sl_status status = sl_sampling_check(&p->sampling, facts->vocab, err);
    if (status == SL_OK) status = check_stops(p, err);
    if (status == SL_OK) status = check_replay(model, p, err);
    if (status != SL_OK) return status;
    status = check_sources(model, p, err);
    if (status != SL_OK) return status;
    if (p->draft_max < -1 || p->draft_max > SL_DRAFT_MAX)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%d drafted tokens, expected 0 .. %d",
                        p->draft_max, SL_DRAFT_MAX);
    if (!(p->spec_loss_max <= 1))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "largest loss %g, expected 0 .. 1",
                        (double)p->spec_loss_max);
    if (p->ngram_min < 0 || p->ngram_max < 1 || p->ngram_max > SL_NGRAM_LENGTH_MAX ||
        p->ngram_min > p->ngram_max)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "n-gram lengths %d .. %d, expected 1 <= shortest <= longest <= %d",
                        p->ngram_min, p->ngram_max, SL_NGRAM_LENGTH_MAX);
    if (p->budget.mode != SL_BUDGET_OFF &&
        (p->budget.experts < facts->experts_per_token || p->budget.experts > facts->experts))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "expert budget %d, expected %d (experts per token) .. %d (experts)",
                        p->budget.experts, facts->experts_per_token, facts->experts);
    return policy_config(p, &cfg, err);
}

/* ---- the request ---- */

struct sl_generation {
    sl_session *session;
    const sl_model *model;
    const sl_generate_params *params;
    sl_generate_stats *stats;
    sl_error *err;
    sl_status status;
    int32_t vocab;
    int32_t tokens_max; /* tokens to emit, -1: until the context is full */

    slp_config policy_cfg;
    slp_controller *policy;
    sl__sources sources;
    sl__text_stream text;
    const sl_token *banned;
    int32_t n_banned;

    float *logits; /* [draft_max + 1][vocab] */
    void *sample_scratch;
    sl_row *rows;     /* [draft_max + 1] */
    int32_t *path;    /* [draft_max + 1] */
    sl_token *chosen; /* [draft_max + 1] tokens emitted in this iteration */
    int32_t n_chosen;
    sl_token *sequence; /* [context + 1] committed and emitted tokens: what a choice comes after */
    int32_t n_sequence;
    int32_t length; /* committed tokens before the pass: row i is at length + depth */

    bool ended;
    uint64_t emit_ns; /* spent in the caller's on_text during this iteration */
    int64_t experts;  /* sum over decode passes */
    double mass;      /* sum over budgeted passes */
    int32_t budgeted;

    const sl_token *prompt; /* [n_prompt] the caller's, until the first step */
    int32_t n_prompt;
    int32_t steps;
    bool finished; /* stats are complete */
    sl__block block;
};
typedef struct sl_generation request;

static void end_request(request *q, sl_stop_reason reason) {
    if (q->ended) return;
    q->ended = true;
    q->stats->stop = reason;
}

static void hand_out(request *q, sl__text text) {
    if (text.n == 0 || !q->params->on_text) return;
    const uint64_t start = sl__now_ns();
    if (q->params->on_text(q->params->user, text.bytes, text.n) != 0)
        end_request(q, SL_STOP_CALLER);
    q->emit_ns += sl__now_ns() - start;
}

/* Choose the token at `position` from logits and emit it. False: the request is over,
 * with this token (or before it, if it ends generation). */
static bool choose_and_emit(request *q, const float *logits, int32_t position, sl_token *token) {
    sl_generate_stats *s = q->stats;
    const sl_sample_place place = {position, q->sequence, q->n_sequence};
    SL_ASSERT(q->n_sequence == position); /* the walk emits a row's ancestors before it */
    q->status = sl_sample(logits, q->vocab, &q->params->sampling, place, q->banned, q->n_banned,
                          q->sample_scratch, token, q->err);
    if (q->status != SL_OK) {
        end_request(q, SL_STOP_ERROR);
        return false;
    }
    if (q->params->replay) *token = q->params->replay[s->tokens];
    s->logits_hash = sl__hash_bytes(s->logits_hash, logits, (size_t)q->vocab * sizeof *logits);
    if (sl_token_is_eog(q->model, *token)) {
        end_request(q, SL_STOP_EOG);
        return false;
    }
    s->tokens++;
    s->token_hash = sl__hash_bytes(s->token_hash, token, sizeof *token);
    q->chosen[q->n_chosen++] = *token;
    q->sequence[q->n_sequence++] = *token;
    size_t n;
    const char *bytes = sl_token_bytes(q->model, *token, 0, &n);
    hand_out(q, sl__text_stream_push(&q->text, bytes, n));
    if (q->text.stopped) end_request(q, SL_STOP_STRING);
    if (q->tokens_max >= 0 && s->tokens >= q->tokens_max) end_request(q, SL_STOP_LENGTH);
    if (position >= sl_session_context(q->session)) end_request(q, SL_STOP_CONTEXT);
    return !q->ended;
}

/* sl__choose for the walk: rows are a chain or tree below the root. */
static bool choose_row(void *user, int32_t row, sl_token *token) {
    request *q = user;
    int32_t depth = 0;
    for (int32_t i = row; i > 0; i = q->rows[i].parent)
        depth++;
    return choose_and_emit(q, q->logits + (size_t)row * (size_t)q->vocab, q->length + depth + 1,
                           token);
}

/* ---- set-up ---- */

static void plan_request(request *q, sl__plan *plan, size_t token_bytes_max) {
    const size_t rows = (size_t)q->policy_cfg.draft_tokens_max + 1;
    const sl_generate_params *p = q->params;
    q->logits = sl__plan_take(plan, rows * (size_t)q->vocab, sizeof *q->logits);
    q->sample_scratch = sl__plan_take(plan, sl_sample_scratch_bytes(q->vocab), 1);
    q->rows = sl__plan_take(plan, rows, sizeof *q->rows);
    q->path = sl__plan_take(plan, rows, sizeof *q->path);
    q->chosen = sl__plan_take(plan, rows, sizeof *q->chosen);
    /* The newest token is known before there is room to evaluate it: one more. */
    const int32_t context = sl_session_context(q->session) + 1;
    q->sequence = sl__plan_take(plan, (size_t)context, sizeof *q->sequence);
    q->policy = sl__plan_take(plan, slp_controller_size(&q->policy_cfg), 1);
    const size_t text_bytes = sl__text_stream_bytes(token_bytes_max);
    char *text = sl__plan_take(plan, text_bytes, 1);
    if (text) sl__text_stream_init(&q->text, text, text_bytes, p->stop, p->n_stop);
    q->text.skip_space = p->own_text && sl__vocab_adds_space(q->model->vocab);
    if (q->policy_cfg.policy == SLP_POLICY_OFF) return;
    const int32_t least = q->policy_cfg.policy == SLP_POLICY_LEDGER ? LEDGER_NGRAM_MIN : NGRAM_MIN;
    const sl__sources_setting setting = {.params = p,
                                         .context = context,
                                         .vocab = q->vocab,
                                         .draft_max = q->policy_cfg.draft_tokens_max,
                                         .match_min = p->ngram_min > 0 ? p->ngram_min : least,
                                         .banned = q->banned,
                                         .n_banned = q->n_banned};
    sl__sources_plan(&q->sources, &setting, plan);
}

static sl_status set_up(request *q) {
    sl__plan plan = {NULL, 0};
    sl_status status = policy_config(q->params, &q->policy_cfg, q->err);
    if (status != SL_OK) return status;
    if (q->params->ignore_eos) q->banned = sl__vocab_eogs(q->model->vocab, &q->n_banned);
    const size_t token_bytes_max = q->model->token_bytes_max;
    plan_request(q, &plan, token_bytes_max);
    status = sl__block_acquire(&q->block, plan.used, "the request", q->err);
    if (status != SL_OK) return status;
    plan = (sl__plan){q->block.bytes, 0};
    plan_request(q, &plan, token_bytes_max);
    slp_controller *made =
        slp_controller_init(q->policy, slp_controller_size(&q->policy_cfg), &q->policy_cfg);
    SL_ASSERT(made);
    q->policy = q->sources.policy = made;
    slp_controller_use(q->policy, q->session->prior);
    return SL_OK;
}

static void append(request *q, const sl_token *tokens, int32_t n) {
    memcpy(q->sequence + q->n_sequence, tokens, (size_t)n * sizeof *tokens);
    q->n_sequence += n;
}

static bool cancelled(const request *q) {
    return q->params->cancel && *q->params->cancel;
}

/* Evaluate the prompt, emit the token after it. */
static void run_prompt(request *q) {
    const sl_token *prompt = q->prompt;
    const int32_t n_prompt = q->n_prompt;
    const int32_t batch = q->session->params.batch;
    const uint64_t start = sl__now_ns();
    append(q, sl_session_tokens(q->session), sl_session_length(q->session));
    append(q, prompt, n_prompt);
    sl__sources_observe(&q->sources, sl_session_tokens(q->session), sl_session_length(q->session));
    for (int32_t done = 0; done < n_prompt && !q->ended;) {
        const int32_t n = sl__min_i32(batch, n_prompt - done);
        float *logits = done + n == n_prompt ? q->logits : NULL;
        q->status = sl_session_eval(q->session, prompt + done, n, logits, q->err);
        if (q->status != SL_OK) end_request(q, SL_STOP_ERROR);
        done += n;
        if (q->params->on_prompt) q->params->on_prompt(q->params->user, done, n_prompt);
        if (cancelled(q)) end_request(q, SL_STOP_CALLER);
    }
    sl__sources_observe(&q->sources, prompt, n_prompt);
    if (!q->ended && q->tokens_max == 0) end_request(q, SL_STOP_LENGTH);
    sl_token token;
    if (!q->ended && choose_and_emit(q, q->logits, sl_session_length(q->session), &token))
        sl__sources_observe(&q->sources, q->chosen, q->n_chosen);
    sl__sources_follow(&q->sources);
    q->stats->prompt_seconds = (double)(sl__now_ns() - start - q->emit_ns) * 1e-9;
}

/* ---- one iteration ---- */

/* Steps 1 and 2: how many tokens the drafters may propose, and the plan for what they say. */
static slp_plan plan_pass(request *q) {
    int32_t n = slp_next(q->policy).propose;
    /* A draft must leave room for its tokens in the context and in max_tokens. */
    n = sl__min_i32(n, sl_session_context(q->session) - q->length - 1);
    if (q->tokens_max >= 0) n = sl__min_i32(n, q->tokens_max - q->stats->tokens - 1);
    n = sl__min_i32(n, q->session->params.batch - 1);
    if (n <= 0 && q->policy_cfg.policy != SLP_POLICY_LEDGER)
        sl__sources_follow(&q->sources); /* as Cascade wants it: in step while off */
    return sl__sources_plan_draft(&q->sources, sl__max_i32(n, 0));
}

/* The first drafted token that was not verified, held against the token that came out in
 * its place: known when all before it were accepted and the request goes on. */
static void observe_shadow(const request *q, slp_step *step) {
    const int32_t i = q->sources.chosen, next = step->drafted;
    if (step->accepted < step->drafted || next >= q->sources.draft[i].n_nodes) return;
    if (q->n_chosen <= next) return; /* ended before a token came out */
    step->shadow_compared = 1;
    step->shadow_matched = q->chosen[next] == q->sources.nodes[i][next].token;
}

static sl_status run_pass(request *q, sl_token root, const sl__draft_node *nodes, int32_t n_drafted,
                          sl_pass_report *report) {
    q->rows[0] = (sl_row){root, -1, 1};
    for (int32_t i = 0; i < n_drafted; i++)
        q->rows[i + 1] = (sl_row){nodes[i].token, nodes[i].parent + 1, 1};
    return sl_session_forward(q->session, q->rows, n_drafted + 1, q->logits, &q->params->budget,
                              report, q->err);
}

const char *sl_reason_text(const char *reason) {
    for (int i = 0; i < SLP_REASONS; i++)
        if (strcmp(slp_reason_name((slp_reason)i), reason) == 0)
            return slp_reason_text((slp_reason)i);
    return reason;
}

static void count_iteration(request *q, const slp_step *step, slp_plan plan,
                            const sl_pass_report *report, int32_t index) {
    sl_generate_stats *s = q->stats;
    const int32_t source = q->sources.chosen;
    const sl__draft proposal = q->sources.draft[source];
    const double pass = (double)step->pass_ns * 1e-9, draft = (double)step->draft_ns * 1e-9;
    const double all = pass + draft + (double)step->other_ns * 1e-9;
    s->passes++;
    s->rows += step->rows;
    s->drafted += step->drafted;
    s->accepted += step->accepted;
    s->k_histogram[step->drafted]++;
    s->drafted_by[q->params->spec_types[source]] += step->drafted;
    s->accepted_by[q->params->spec_types[source]] += step->accepted;
    s->decode_seconds += all;
    s->draft_seconds += draft;
    *(step->drafted > 0 ? &s->verify_seconds : &s->plain_seconds) += pass;
    if (plan.phase == SLP_PHASE_TEST) {
        s->phase_passes_test++;
        s->test_seconds += all;
    }
    s->weight_bytes += (double)report->weight_bytes;
    s->kv_bytes += (double)report->kv_bytes;
    q->experts += report->experts;
    if (q->params->budget.mode != SL_BUDGET_OFF && step->rows > 1) {
        q->mass += report->budget_mass;
        q->budgeted++;
    }
    if (!q->params->on_iteration) return;
    slp_stats policy;
    slp_controller_stats(q->policy, &policy);
    const sl_iteration record = {
        .index = index,
        .position = q->length,
        .k = plan.draft_tokens,
        .drafted = step->drafted,
        .accepted = step->accepted,
        .drafter =
            sl_spec_type_name(proposal.n_nodes > 0 ? q->params->spec_types[source] : SL_SPEC_NONE),
        .match = proposal.match,
        .experts = report->experts,
        .phase = slp_phase_name(plan.phase),
        .reason = slp_reason_name(plan.reason),
        .utility = policy.utility_step > 0 ? policy.utility_step : NAN,
        .draft_ns = step->draft_ns,
        .pass_ns = step->pass_ns,
        .other_ns = step->other_ns,
        .plain_ns = policy.plain_ns,
        .loss_ns = policy.loss_max_ns > 0 ? policy.loss_ns : NAN,
        .loss_max_ns = policy.loss_max_ns > 0 ? policy.loss_max_ns : NAN,
        .expected_tokens = policy.expected_tokens,
        .expected_ns = policy.expected_ns};
    q->params->on_iteration(q->params->user, &record);
}

static void iterate(request *q, int32_t index) {
    sl_pass_report report;
    const sl_token root = q->chosen[q->n_chosen - 1];
    const uint64_t start = sl__now_ns();
    q->length = sl_session_length(q->session);
    q->emit_ns = 0;
    q->n_chosen = 0;
    const slp_plan plan = plan_pass(q);
    const int32_t source = q->sources.chosen;
    const sl__draft_node *nodes = q->sources.nodes[source];
    const int32_t n_drafted = sl__min_i32(plan.draft_tokens, q->sources.draft[source].n_nodes);
    const uint64_t drafted = sl__now_ns();
    q->status = run_pass(q, root, nodes, n_drafted, &report);
    if (q->status != SL_OK) {
        end_request(q, SL_STOP_ERROR);
        return;
    }
    const uint64_t passed = sl__now_ns();
    const int32_t kept = sl__accept(nodes, n_drafted, choose_row, q, q->path);
    sl_session_commit(q->session, q->path, kept);
    sl__sources_observe(&q->sources, q->chosen, q->n_chosen);
    slp_step step = {.drafted = n_drafted,
                     .accepted = kept - 1,
                     .emitted = q->n_chosen,
                     .rows = n_drafted + 1,
                     .experts = report.experts,
                     .draft_ns = drafted - start,
                     .pass_ns = passed - drafted,
                     .other_ns = sl__now_ns() - passed - q->emit_ns};
    observe_shadow(q, &step);
    const slp_status observed = slp_observe(q->policy, &step);
    SL_ASSERT(observed == SLP_OK);
    sl__sources_compare(&q->sources, q->chosen, q->n_chosen);
    count_iteration(q, &step, plan, &report, index);
}

static void finish_stats(request *q) {
    sl_generate_stats *s = q->stats;
    slp_stats policy = {0};
    if (q->policy) slp_controller_stats(q->policy, &policy);
    s->utility_mean = policy.utility_mean > 0 ? policy.utility_mean : NAN;
    if (s->passes > 0)
        s->experts_per_layer_pass =
            (double)q->experts / (double)s->passes / (double)sl_model_facts_of(q->model)->layers;
    if (s->tokens > 0 && q->n_sequence > sl_session_length(q->session))
        s->pending = q->sequence[q->n_sequence - 1];
    s->lossy = q->params->budget.mode != SL_BUDGET_OFF;
    s->budget_mass = q->budgeted > 0 ? q->mass / q->budgeted : 1.0;
}

static int32_t tokens_max(const sl_generate_params *p) {
    if (!p->replay) return p->max_tokens;
    return p->max_tokens < 0 ? p->n_replay : sl__min_i32(p->max_tokens, p->n_replay);
}

/* ---- the public face ---- */

static void finish(request *q) {
    if (q->finished) return;
    q->finished = true;
    end_request(q, SL_STOP_CALLER); /* unless it ended by itself */
    if (q->stats->stop != SL_STOP_STRING) hand_out(q, sl__text_stream_finish(&q->text));
    finish_stats(q);
    slp_prior_learn(q->session->prior, q->policy);
}

static sl_status check_prompt(const sl_session *session, int32_t n_prompt,
                              const sl_generate_params *params, sl_error *err) {
    const int32_t left = sl_session_context(session) - sl_session_length(session);
    if (params->draft_session == session)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "the draft model needs a session of its own");
    if (n_prompt < 1) return sl__fail(err, SL_E_ARG, SL_NOWHERE, "the prompt is empty");
    if (n_prompt > left)
        return sl__fail(err, SL_E_CONTEXT, SL_NOWHERE,
                        "the prompt has %d tokens, %d fit (context %d, %d taken)", n_prompt, left,
                        sl_session_context(session), sl_session_length(session));
    return SL_OK;
}

sl_status sl_generation_open(sl_generation **out, sl_session *session, const sl_token *prompt,
                             int32_t n_prompt, const sl_generate_params *params,
                             sl_generate_stats *stats, sl_error *err) {
    *out = NULL;
    *stats = (sl_generate_stats){.prompt_tokens = n_prompt,
                                 .pending = -1,
                                 .utility_mean = NAN,
                                 .budget_mass = 1.0,
                                 .logits_hash = SL_HASH_SEED,
                                 .token_hash = SL_HASH_SEED,
                                 .stop = SL_STOP_ERROR};
    const sl_model *model = sl_session_model(session);
    sl_status status = sl_generate_check(model, params, err);
    if (status == SL_OK) status = check_prompt(session, n_prompt, params, err);
    if (status != SL_OK) return status;
    request *q = malloc(sizeof *q);
    if (!q) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory for a request");
    *q = (request){.session = session,
                   .model = model,
                   .params = params,
                   .stats = stats,
                   .err = err,
                   .vocab = sl_model_facts_of(model)->vocab,
                   .tokens_max = tokens_max(params),
                   .prompt = prompt,
                   .n_prompt = n_prompt};
    status = set_up(q);
    if (status != SL_OK) {
        free(q);
        return status;
    }
    *out = q;
    return SL_OK;
}

sl_status sl_generation_step(sl_generation *q, int *done, sl_error *err) {
    q->err = err;
    if (!q->ended) {
        if (q->steps == 0)
            run_prompt(q);
        else
            iterate(q, q->steps - 1);
        q->steps++;
        if (cancelled(q)) end_request(q, SL_STOP_CALLER);
    }
    if (q->ended) finish(q);
    *done = q->ended;
    return q->status;
}

void sl_generation_close(sl_generation **generation) {
    request *q = *generation;
    if (!q) return;
    finish(q);
    sl__block_release(&q->block);
    free(q);
    *generation = NULL;
}

sl_status sl_generate(sl_session *session, const sl_token *prompt, int32_t n_prompt,
                      const sl_generate_params *params, sl_generate_stats *stats, sl_error *err) {
    sl_generation *generation;
    sl_status status =
        sl_generation_open(&generation, session, prompt, n_prompt, params, stats, err);
    if (status != SL_OK) return status;
    for (int done = 0; !done;)
        status = sl_generation_step(generation, &done, err);
    sl_generation_close(&generation);
    return status;
}

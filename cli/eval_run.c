/* eval_run.c - every request under every arm, interleaved so that a machine whose speed
 * drifts drifts for all alike.
 *
 *     for each round, for each request in random order:
 *         evaluate its prompt, copy the cache to every arm's session;
 *         until all arms are done: one pass of the arm that is least far in the text
 *
 * So at any moment all arms are at the same token, give or take one pass. A session of its own
 * also means that an arm which learns from request to request learns from itself only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "eval.h"
#include "interrupt.h"
#include "message.h"
#include "progress.h"
#include "request_options.h"

/* ---- arms ---- */

static bool add_arm(eval_run *run, const char *policy, int32_t fixed_k) {
    if (run->n_arms == EVAL_ARMS_MAX || strlen(policy) >= EVAL_NAME_MAX) {
        cli_complain("--spec-policy: expected at most %d arms with short names", EVAL_ARMS_MAX);
        return false;
    }
    eval_arm *arm = &run->arms[run->n_arms];
    *arm = (eval_arm){.fixed_k = fixed_k};
    (void)snprintf(arm->name, sizeof arm->name, "%s", policy);
    (void)snprintf(arm->policy, sizeof arm->policy, "%s", policy);
    sl_generate_params params = run->params;
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    params.spec_policy = arm->policy;
    if (params.n_spec_types > 0) { /* drafters are checked when they are open */
        params.spec_types[0] = SL_SPEC_NGRAM;
        params.n_spec_types = 1;
    }
    const sl_status status = sl_generate_check(run->model, &params, &err);
    if (status != SL_OK) {
        (void)cli_complain_status("--spec-policy", status, &err);
        return false;
    }
    run->n_arms++;
    return true;
}

bool eval_add_arms(eval_run *run, const char *policy) {
    int from = 0, to = 0, end = 0;
    if (run->n_arms == 0) {
        if (!add_arm(run, "off", 0) || !add_arm(run, "off", 0)) return false;
        (void)snprintf(run->arms[0].name, EVAL_NAME_MAX, "plain");
        (void)snprintf(run->arms[1].name, EVAL_NAME_MAX, "plain again");
    }
    if (sscanf(policy, "static:%d..%d%n", &from, &to, &end) < 2 || policy[end] != '\0') {
        if (sscanf(policy, "static:%d%n", &from, &end) < 1 || policy[end] != '\0') from = 0;
        return add_arm(run, policy, from);
    }
    if (from < 1 || to < from || to > EVAL_K_MAX) {
        cli_complain("--spec-policy: %s: expected static:A..B with 1 <= A <= B <= %d", policy,
                     EVAL_K_MAX);
        return false;
    }
    for (int32_t k = from; k <= to; k++) {
        char name[EVAL_NAME_MAX];
        (void)snprintf(name, sizeof name, "static:%d", (int)k);
        if (!add_arm(run, name, k)) return false;
    }
    return true;
}

/* ---- measuring ---- */

typedef struct measuring {
    eval_run *run;
    const cli_engine *engine;
    sl_session *sessions[EVAL_ARMS_MAX]; /* the first one has the threads         */
    cli_draft drafts[EVAL_ARMS_MAX];     /* the first one has the model, if any   */
    bool out_of_memory;
    const volatile int *cancel;
    cli_progress progress;
    double cells_done, cells;
    uint64_t random;
} measuring;

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void shuffle(uint64_t *random, int32_t *order, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        const int32_t j = (int32_t)(next_random(random) % (uint64_t)(i + 1));
        const int32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static void on_iteration(void *user, const sl_iteration *record) {
    measuring *m = user;
    eval_times *times = &m->run->times[record->drafted];
    if (times->n == times->room) {
        const int32_t room = times->room ? 2 * times->room : 1024;
        float *more = realloc(times->seconds, (size_t)room * sizeof *more);
        if (!more) {
            m->out_of_memory = true;
            return;
        }
        times->seconds = more;
        times->room = room;
    }
    times->seconds[times->n++] =
        (float)((double)(record->draft_ns + record->pass_ns + record->other_ns) * 1e-9);
}

/* All on the threads of the first: only one of them works at a time. */
static sl_status open_beside(measuring *m, int32_t arm, sl_error *err) {
    const eval_run *run = m->run;
    const cli_draft *first = &m->drafts[0];
    const sl_session_params params = cli_session_params(m->engine, run->context);
    const sl_status status =
        sl_session_open_beside(&m->sessions[arm], run->model, &params, m->sessions[0], err);
    if (status != SL_OK || !first->model) return status;
    const sl_session_params draft_params =
        cli_session_params(m->engine, sl_session_context(first->session));
    return sl_session_open_beside(&m->drafts[arm].session, first->model, &draft_params,
                                  m->sessions[0], err);
}

static int open_sessions(measuring *m) {
    const eval_run *run = m->run;
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    int code = cli_open_session(m->engine, run->model, run->context, &m->sessions[0]);
    if (code == CLI_OK)
        code = cli_open_draft(m->engine, run->draft_path, m->sessions[0], &m->drafts[0]);
    for (int32_t a = 1; code == CLI_OK && a < run->n_arms; a++) {
        const sl_status status = open_beside(m, a, &err);
        if (status != SL_OK) code = cli_complain_status(NULL, status, &err);
    }
    return code;
}

static void close_sessions(measuring *m) {
    for (int32_t a = m->run->n_arms - 1; a >= 0; a--) {
        cli_close_draft(&m->drafts[a]);
        sl_session_close(&m->sessions[a]);
    }
}

/* Every session holds all of the prompt but its last token. */
static sl_status prepare(const measuring *m, const eval_request *q, sl_error *err) {
    sl_session *first = m->sessions[0];
    sl_session_rewind(first, 0);
    sl_status status =
        q->n_prompt > 1 ? sl_session_eval(first, q->tokens, q->n_prompt - 1, NULL, err) : SL_OK;
    for (int32_t a = 1; status == SL_OK && a < m->run->n_arms; a++)
        status = sl_session_copy(m->sessions[a], first, err);
    return status;
}

/* One request under one arm, in the middle of it. */
typedef struct runner {
    sl_generation *generation; /* NULL: over, or not begun */
    sl_generate_params params;
    sl_generate_stats stats;
} runner;

static sl_status begin(measuring *m, const eval_request *q, int32_t arm, runner *r, sl_error *err) {
    r->params = m->run->params;
    r->params.spec_policy = m->run->arms[arm].policy;
    r->params.replay = q->n_output > 0 ? q->tokens + q->n_prompt : NULL;
    r->params.n_replay = q->n_output;
    r->params.draft_session = m->drafts[arm].session;
    r->params.on_iteration = on_iteration;
    r->params.user = m;
    return sl_generation_open(&r->generation, m->sessions[arm], q->tokens + q->n_prompt - 1, 1,
                              &r->params, &r->stats, err);
}

/* The arm that is least far in the text; of several, the first after `last`. -1: all are done. */
static int32_t whose_turn(const runner *runners, int32_t n_arms, int32_t last) {
    int32_t turn = -1;
    for (int32_t i = 1; i <= n_arms; i++) {
        const int32_t arm = (last + i) % n_arms;
        if (runners[arm].generation &&
            (turn < 0 || runners[arm].stats.tokens < runners[turn].stats.tokens))
            turn = arm;
    }
    return turn;
}

static eval_cell cell_of(const sl_generate_stats *stats) {
    eval_cell cell = {.seconds = stats->decode_seconds,
                      .draft_seconds = stats->draft_seconds,
                      .tokens = stats->tokens,
                      .passes = stats->passes,
                      .drafted = stats->drafted,
                      .accepted = stats->accepted,
                      .newest = stats->pending,
                      .token_hash = stats->token_hash,
                      .logits_hash = stats->logits_hash};
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        cell.by_k[k] = (uint16_t)stats->k_histogram[k];
    return cell;
}

/* All arms side by side, pass by pass. */
static sl_status run_arms(measuring *m, const eval_request *q, eval_cell *cells, sl_error *err) {
    const int32_t n_arms = m->run->n_arms;
    runner *runners = calloc((size_t)n_arms, sizeof *runners);
    sl_status status = runners ? prepare(m, q, err) : SL_E_NOMEM;
    for (int32_t a = 0; status == SL_OK && a < n_arms; a++)
        status = begin(m, q, a, &runners[a], err);
    int32_t turn = (int32_t)(next_random(&m->random) % (uint64_t)n_arms);
    while (status == SL_OK && !*m->cancel && (turn = whose_turn(runners, n_arms, turn)) >= 0) {
        int done = 0;
        status = sl_generation_step(runners[turn].generation, &done, err);
        if (!done) continue;
        sl_generation_close(&runners[turn].generation);
        cells[turn] = cell_of(&runners[turn].stats);
        cli_progress_update(&m->progress, ++m->cells_done, m->cells);
    }
    for (int32_t a = 0; runners && a < n_arms; a++)
        sl_generation_close(&runners[a].generation);
    free(runners);
    return status;
}

/* What the drafters could have had right along this request's text, for the oracle. A draft
 * model is not asked, so with one there is no oracle. */
static sl_status find_matches(measuring *m, int32_t request, const eval_cell *plain,
                              sl_error *err) {
    eval_run *run = m->run;
    const eval_request *q = &run->workload->requests[request];
    const int32_t n = q->n_prompt + plain->tokens, committed = sl_session_length(m->sessions[0]);
    if (!run->matches || plain->tokens < 1) return SL_OK;
    sl_token *text = malloc((size_t)n * sizeof *text);
    if (!text) return SL_E_NOMEM;
    memcpy(text, sl_session_tokens(m->sessions[0]), (size_t)committed * sizeof *text);
    if (committed < n) text[committed] = plain->newest; /* emitted, not committed */
    const sl_status status =
        sl_draft_matches(run->model, &run->params, text, n, q->n_prompt, EVAL_K_MAX,
                         run->matches + (size_t)request * (size_t)run->params.max_tokens, err);
    free(text);
    return status;
}

static int measure_request(measuring *m, int32_t round, int32_t request) {
    eval_run *run = m->run;
    const eval_request *q = &run->workload->requests[request];
    eval_cell *cells = run->cells + ((size_t)round * (size_t)run->workload->n + (size_t)request) *
                                        (size_t)run->n_arms;
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sl_status status = run_arms(m, q, cells, &err);
    if (status == SL_OK && round == 0 && !*m->cancel)
        status = find_matches(m, request, &cells[0], &err);
    if (status != SL_OK) return cli_complain_status(q->id, status, &err);
    if (*m->cancel) return CLI_OK;
    for (int32_t a = 1; a < run->n_arms; a++)
        run->different += cells[a].token_hash != cells[0].token_hash ||
                          cells[a].logits_hash != cells[0].logits_hash;
    run->done[request]++;
    return CLI_OK;
}

static int measure_all(measuring *m) {
    const int32_t n = m->run->workload->n;
    int32_t *order = malloc((size_t)n * sizeof *order);
    int code = order ? CLI_OK : CLI_FAILED;
    for (int32_t round = 0; code == CLI_OK && round < m->run->rounds && !*m->cancel; round++) {
        shuffle(&m->random, order, n);
        for (int32_t i = 0; code == CLI_OK && i < n && !*m->cancel; i++)
            code = measure_request(m, round, order[i]);
    }
    free(order);
    if (code == CLI_OK && m->out_of_memory) cli_complain("out of memory for the iterations' times");
    return m->out_of_memory ? CLI_FAILED : code;
}

int eval_measure(eval_run *run, const cli_engine *engine) {
    const size_t requests = (size_t)run->workload->n;
    const size_t cells = (size_t)run->rounds * requests * (size_t)run->n_arms;
    measuring m = {.run = run, .engine = engine, .cells = (double)cells, .random = run->seed};
    run->cells = calloc(cells, sizeof *run->cells);
    run->done = calloc(requests, sizeof *run->done);
    if (!run->draft_path) run->matches = calloc(requests, (size_t)run->params.max_tokens);
    if (!run->cells || !run->done || (!run->draft_path && !run->matches)) {
        cli_complain("out of memory for %zu measurements", cells);
        return CLI_FAILED;
    }
    m.cancel = cli_interrupt_install();
    int code = open_sessions(&m);
    cli_progress_begin(&m.progress, "decoding");
    if (code == CLI_OK) run->threads = sl_session_threads(m.sessions[0]);
    if (code == CLI_OK) code = measure_all(&m);
    cli_progress_end(&m.progress);
    eval_sort_times(run);
    close_sessions(&m);
    return code;
}

void eval_run_free(eval_run *run) {
    for (int32_t k = 0; k <= EVAL_K_MAX; k++)
        free(run->times[k].seconds);
    free(run->cells);
    free(run->done);
    free(run->matches);
}

/* eval.h - the live evaluation of `sluice bench --spec`: what it is made of.
 *
 *     workload   requests of several tasks, each a prompt, some with a recorded output
 *     arms       ways to decode: plain, plain again, static:K, cascade, ledger ...
 *     run        every request under every arm, in random order, round after round
 *     scores     speed-up of an arm over plain for a set of tasks, with its spread
 *     report     Markdown, JSON or an HTML page
 *
 * A request with an output is replayed (sl_generate_params.replay): acceptance is that of
 * the recording, every pass is computed and timed. One without is live: the model's own
 * text. Arms other than plain must emit the same bytes as plain; the run checks it.
 *
 * Arms 0 and 1 are both plain decoding. Their mean is what all are measured against, and
 * what separates them is the machine's drift. */
#ifndef SL_CLI_EVAL_H
#define SL_CLI_EVAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine_options.h"
#include "sluice/generate.h"

enum {
    EVAL_TASKS_MAX = 16,
    EVAL_ARMS_MAX = 64,
    EVAL_ROUNDS_MAX = 15,
    EVAL_NAME_MAX = 64,
    EVAL_K_MAX = SL_DRAFT_MAX,
    EVAL_PLAIN = 2 /* arms that decode plainly */
};

/* ---- workload (eval_workload.c) ---- */

typedef struct eval_request {
    char *id;
    int32_t task;
    sl_token *tokens; /* [n_prompt + n_output] */
    int32_t n_prompt;
    int32_t n_output; /* 0: live */
} eval_request;

typedef struct eval_workload {
    char tasks[EVAL_TASKS_MAX][EVAL_NAME_MAX];
    int32_t n_tasks;
    eval_request *requests;
    int32_t n, room;
    int32_t too_long; /* left out: no room for them in the context */
    int32_t cut;      /* outputs shortened to max_tokens           */
} eval_workload;

typedef struct eval_limits {
    int32_t per_task;   /* requests taken of each task, the first ones */
    int32_t max_tokens; /* per request                                 */
    int32_t context;    /* prompt and output must fit                  */
    bool live;          /* ignore recorded outputs                     */
    const char *tasks;  /* comma-separated names to take, or NULL: all */
} eval_limits;

/* Append the requests of a file of JSON lines, compressed with gzip or not: `prompt` (or
 * `text`, `question`), `task` (default: the file's name), `id`, `output`. CLI_OK, or an
 * exit code after one line that names file and line. */
int eval_workload_read(eval_workload *w, const char *path, const sl_model *model,
                       const eval_limits *limits);
/* The same for text [n] in memory; name is what the file would be called. */
int eval_workload_parse(eval_workload *w, const char *name, const char *text, size_t n,
                        const sl_model *model, const eval_limits *limits);
void eval_workload_free(eval_workload *w);

/* ---- arms and run (eval_run.c) ---- */

typedef struct eval_arm {
    char name[EVAL_NAME_MAX];
    char policy[EVAL_NAME_MAX];
    int32_t fixed_k; /* of static:K, else 0 */
} eval_arm;

/* One request under one arm, once. */
typedef struct eval_cell {
    double seconds; /* decoding: from the prompt's last token to the last one emitted */
    double draft_seconds;
    int32_t tokens, passes;
    int64_t drafted, accepted;
    uint16_t by_k[EVAL_K_MAX + 1]; /* passes by drafted rows */
    sl_token newest;               /* sl_generate_stats.pending */
    uint64_t token_hash, logits_hash;
} eval_cell;

/* Times of whole iterations with K drafted rows, whatever the arm. */
typedef struct eval_times {
    float *seconds;
    int32_t n, room;
} eval_times;

typedef struct eval_run {
    const sl_model *model;
    const eval_workload *workload;
    sl_generate_params params; /* what all arms share */
    const char *draft_path;    /* the draft model, or NULL   */
    eval_arm arms[EVAL_ARMS_MAX];
    int32_t n_arms;
    int32_t rounds;
    uint64_t seed;
    eval_cell *cells; /* [rounds][requests][arms] */
    int32_t *done;    /* [requests] rounds finished under all arms */
    eval_times times[EVAL_K_MAX + 1];
    uint8_t *matches;  /* [requests][max_tokens] drafted tokens that are right when so many
                          tokens are out; NULL: not known */
    int32_t different; /* cells whose bytes are not plain's */
    int32_t context, threads;
} eval_run;

/* Append the arm of a policy, or of static:A..B all of its K. False: no such policy; a
 * line on stderr says why. */
bool eval_add_arms(eval_run *run, const char *policy);

/* Measure. CLI_OK also when interrupted: what is complete is kept. */
int eval_measure(eval_run *run, const cli_engine *engine);
void eval_run_free(eval_run *run);

/* ---- scores (eval_score.c) ---- */

/* The sums that scores are made of: over the rounds' medians of some requests. */
typedef struct eval_score {
    int32_t requests;
    double speedup;         /* plain time / arm's time, both summed; NaN without requests */
    double low, high;       /* 95% of bootstrap samples of the requests                   */
    double worst;           /* of requests of 100 tokens or more; of all if none has them */
    double tokens_per_pass; /* ETR: tokens per iteration                                  */
    double cost;            /* time of an iteration / time of a plain one                 */
    double utility;         /* ETR over cost, the cost from the median times of iterations
                               with so many rows (eval_iteration_seconds)                 */
    double drafted;         /* rows per pass                                              */
    double accepted;        /* of those                                                   */
    double draft_share;     /* drafter's and policy's share of the time                   */
} eval_score;

/* Sort the times of iterations, once, when all are measured. */
void eval_sort_times(eval_run *run);

/* tasks: bit t for task t. */
eval_score eval_score_of(const eval_run *run, int32_t arm, uint32_t tasks);

/* Speed-up of one request (its time is the median over rounds); NaN if not measured. */
double eval_request_speedup(const eval_run *run, int32_t arm, int32_t request);

/* Tokens of a measured request. */
int32_t eval_request_tokens(const eval_run *run, int32_t request);

/* Median seconds of an iteration with k drafted rows, over all arms; where none was seen,
 * between its neighbours; NaN without any. After eval_sort_times(). */
double eval_iteration_seconds(const eval_run *run, int32_t k);

/* Speed-up of one who knows the text: the best sequence of K over the output, with the
 * median times, given what the drafter would have proposed at every position, with no
 * more drafted rows than some arm had. NaN if that is not known. */
double eval_oracle(const eval_run *run, uint32_t tasks);

/* For qsort() of doubles without NaN. */
int eval_compare_doubles(const void *a, const void *b);

/* Geometric means over the tasks. */
double eval_mean_speedup(const eval_run *run, int32_t arm);
double eval_mean_oracle(const eval_run *run);

/* The static arm with the largest mean speed-up, -1 without any. */
int32_t eval_best_static(const eval_run *run);

/* R^2 of utility as a prediction of speed-up, over tasks and static K (0 is plain): of the
 * same requests, or, held out, the utility of one half of them and the speed-up of the
 * other. NaN with fewer than three pairs. */
double eval_r_squared(const eval_run *run, bool held_out);

/* Tasks and their mixes: each task, then every set of two or more of code, math and
 * extraction that the workload has, then all. Returns their number, fills in name and set. */
typedef struct eval_group {
    char name[EVAL_NAME_MAX];
    uint32_t tasks;
} eval_group;
enum { EVAL_GROUPS_MAX = EVAL_TASKS_MAX + 5 };
int32_t eval_groups(const eval_workload *w, eval_group groups[EVAL_GROUPS_MAX]);

/* ---- report (eval_report.c, eval_page.c) ---- */

void eval_print_markdown(FILE *to, const eval_run *run);
int eval_print_json(FILE *to, const eval_run *run); /* CLI_OK or CLI_FAILED */
void eval_print_page(FILE *to, const eval_run *run);

#endif

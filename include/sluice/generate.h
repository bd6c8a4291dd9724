/* generate.h - one request: prompt in, text out, speculation decided on the way.
 *
 * One iteration:  drafters.propose -> policy.plan -> session.forward -> accept
 *                 -> session.commit, emit -> drafter.observe, policy.observe
 *
 * Without an expert budget the text is byte-identical with speculation on or off. */
#ifndef SLUICE_GENERATE_H
#define SLUICE_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/sampler.h"
#include "sluice/session.h"
#include "sluice/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SL_DRAFT_MAX 64 /* drafted rows in one pass, whatever is asked for */

/* Where drafts come from. Values are ABI. */
typedef enum sl_spec_type {
    SL_SPEC_NONE,   /* nowhere: plain decoding                                        */
    SL_SPEC_NGRAM,  /* prompt lookup: what followed the last time                     */
    SL_SPEC_SUFFIX, /* what followed most often, however long the context            */
    SL_SPEC_DRAFT   /* a small model of the same vocabulary                           */
} sl_spec_type;

#define SL_SPEC_TYPES 4       /* how many there are, SL_SPEC_NONE included */
#define SL_SPEC_SOURCES_MAX 3 /* drafters of one request                  */

/* "none", "ngram-simple", "suffix", "draft-simple"; "unknown" for any other value */
SL_API const char *sl_spec_type_name(sl_spec_type type);

typedef enum sl_stop_reason {
    SL_STOP_EOG,     /* the model ended its turn                       */
    SL_STOP_STRING,  /* a stop string appeared (it is not emitted)     */
    SL_STOP_LENGTH,  /* max_tokens                                     */
    SL_STOP_CONTEXT, /* the session is full                            */
    SL_STOP_CALLER,  /* on_text returned non-zero, or *cancel was set  */
    SL_STOP_ERROR    /* the call failed; tokens before it were emitted */
} sl_stop_reason;

/* "eog", "string", "length", "context", "caller", "error" */
SL_API const char *sl_stop_reason_name(sl_stop_reason reason);

typedef struct sl_iteration { /* one record of a request's trace */
    int32_t index;            /* 0 is the first iteration after the prompt              */
    int32_t position;         /* committed tokens before it                             */
    int32_t k;                /* drafted tokens the policy asked for                    */
    int32_t drafted;          /* drafted rows verified, <= k                            */
    int32_t accepted;         /* of those, kept                                         */
    const char *drafter;      /* who drafted, a static string; "none" if nothing was drafted */
    int32_t match;            /* length of the drafter's match, 0 if none               */
    int32_t experts;          /* distinct (layer, expert) pairs executed                */
    const char *phase;        /* policy phase and reason, static strings                */
    const char *reason;
    double utility; /* the policy's latest utility, NaN if none yet           */
    uint64_t draft_ns;
    uint64_t pass_ns;
    uint64_t other_ns;  /* sampling, commit, emitting, policy                     */
    double plain_ns;    /* a plain iteration's time as the policy knows it; 0: unknown */
    double loss_ns;     /* ledger, else NaN: time lost by verifying rows so far; below 0: gained */
    double loss_max_ns; /* ledger, else NaN: what it may come to                     */
    double expected_tokens; /* ledger: what the plan promised: tokens in ...             */
    double expected_ns;     /* ... this time; 0: nothing                                 */
} sl_iteration;

/* The sentence for a reason's word ("worth": "these rows pay, one more would not"); the word
 * itself if it is not known. */
SL_API const char *sl_reason_text(const char *reason);

typedef struct sl_generate_params {
    int32_t max_tokens; /* tokens to emit; < 0: until the context is full. Default -1 */
    sl_sampling sampling;
    int own_text;           /* non-zero: the output is a text of its own, as in a chat, and not the
                               rest of the prompt's. A space that the vocabulary puts before texts
                               (sl_tokenize()) is then no part of what is emitted */
    int ignore_eos;         /* ban every end-of-generation token                          */
    const sl_token *replay; /* [n_replay] emit these, whatever the logits say, and end: every
                               pass and its time are real, the text is a recorded one. NULL
                               (default): the sampler's choice is the text             */
    int32_t n_replay;
    const char *const *stop; /* [n_stop] stop strings, UTF-8, none empty              */
    int32_t n_stop;

    sl_spec_type spec_types[SL_SPEC_SOURCES_MAX]; /* [n_spec_types] drafters, the preferred one
                                first, none twice; default: SL_SPEC_NGRAM             */
    int32_t n_spec_types;      /* 0: plain decoding                                     */
    const char *spec_policy;   /* "off", "static:K", "cascade", "ledger" (default); options as
                                  slp_policy_parse() says                               */
    float spec_loss_max;       /* ledger: most a request may lose against plain decoding, as a share
                                  of its time, 0 .. 1; negative (default): the policy's, 0.01 */
    int32_t draft_max;         /* most drafted rows per pass, 0 .. SL_DRAFT_MAX; -1: the policy's */
    int32_t ngram_min;         /* shortest match of prompt lookup and suffix, 1 .. 16; 0 (default):
                                  the policy's, 1 under ledger and 2 under the others   */
    int32_t ngram_max;         /* longest of prompt lookup, ngram_min .. 16; default 5  */
    sl_session *draft_session; /* SL_SPEC_DRAFT: a session on the draft model, lent for the
                                request: what it holds is the drafter's to change     */
    int32_t draft_min;         /* SL_SPEC_DRAFT: shorter drafts are thrown away, default 0 */
    float draft_p_min;         /* SL_SPEC_DRAFT: a draft ends before a token that is less sure,
                                  0 .. 1, default 0                                     */
    sl_budget budget;          /* default off                                           */

    /* Emitted text, whole UTF-8 characters only (bytes that are no UTF-8 pass through
     * once that is certain), at most one call per emitted token. Non-zero stops. */
    int (*on_text)(void *user, const char *bytes, size_t n);
    /* One call per iteration, after it. */
    void (*on_iteration)(void *user, const sl_iteration *record);
    /* Prompt tokens evaluated so far. */
    void (*on_prompt)(void *user, int32_t done, int32_t total);
    void *user;
    const volatile int *cancel; /* polled once per pass; non-zero stops cleanly; may be NULL */
} sl_generate_params;

SL_API sl_generate_params sl_generate_params_default(void);

typedef struct sl_generate_stats {
    int32_t prompt_tokens;
    int32_t tokens;   /* emitted, the end-of-generation token not counted           */
    int32_t passes;   /* decode passes, the prompt's not counted                    */
    int64_t rows;     /* rows in those passes                                       */
    int64_t drafted;  /* drafted rows verified                                      */
    int64_t accepted; /* drafted rows kept                                          */
    int64_t drafted_by[SL_SPEC_TYPES]; /* the same by drafter, [sl_spec_type]                  */
    int64_t accepted_by[SL_SPEC_TYPES];
    int64_t k_histogram[SL_DRAFT_MAX + 1]; /* passes by drafted rows verified          */
    int64_t phase_passes_test;             /* passes the policy spent testing                     */
    double utility_mean;           /* over iterations that drafted; NaN if none did              */
    double experts_per_layer_pass; /* distinct experts, mean over layers and passes    */
    double prompt_seconds;
    double decode_seconds;
    double draft_seconds;  /* parts of decode_seconds                                  */
    double verify_seconds; /* passes with drafted rows                                 */
    double plain_seconds;  /* passes without                                           */
    double test_seconds;   /* iterations of test phases, drafting included             */
    double weight_bytes;   /* read by decode passes                                    */
    double kv_bytes;
    int lossy;            /* a budget was in force                                    */
    double budget_mass;   /* routing mass kept in budgeted passes, mean; 1 without    */
    uint64_t logits_hash; /* of the logits each emitted token was chosen from, in order */
    uint64_t token_hash;  /* of the emitted token ids                                 */
    sl_token pending;     /* the newest token if it was emitted and is not in the session:
                             to go on, put it before the next prompt. -1: there is none */
    sl_stop_reason stop;
} sl_generate_stats;

/* Check everything in params that can be wrong; SL_E_ARG names it. */
SL_API SL_MUST_USE sl_status sl_generate_check(const sl_model *model,
                                               const sl_generate_params *params, sl_error *err);

/* Evaluate prompt [n_prompt >= 1] above the session's committed tokens, then generate.
 * stats is always filled in. Errors: sl_generate_check()'s; SL_E_CONTEXT if the prompt
 * does not fit; SL_E_NUMBER, SL_E_NOMEM. Allocates at the start, nothing per token. */
SL_API SL_MUST_USE sl_status sl_generate(sl_session *session, const sl_token *prompt,
                                         int32_t n_prompt, const sl_generate_params *params,
                                         sl_generate_stats *stats, sl_error *err);

/* The same, pass by pass, for callers that have several requests in hand: each on a session
 * of its own, whose passes may take turns on the same threads (sl_session_open_beside()). */
typedef struct sl_generation sl_generation;

/* Check and prepare; nothing is evaluated. prompt is borrowed until the first step, params
 * with all it points to and stats until close. On failure *out is NULL. */
SL_API SL_MUST_USE sl_status sl_generation_open(sl_generation **out, sl_session *session,
                                                const sl_token *prompt, int32_t n_prompt,
                                                const sl_generate_params *params,
                                                sl_generate_stats *stats, sl_error *err);

/* The first step evaluates the prompt and emits the token after it, every other one is one
 * iteration. *done: the request is over (also after an error) and stats are complete. */
SL_API SL_MUST_USE sl_status sl_generation_step(sl_generation *generation, int *done,
                                                sl_error *err);

/* Ends a request that is not over as the caller's wish. *generation becomes NULL. */
SL_API void sl_generation_close(sl_generation **generation);

/* What drafting could have brought along text [n], of which the first n_known tokens are
 * given: matches[i] (written, [n - n_known]) is how many tokens, 0 .. draft_max, of the best
 * draft after n_known + i tokens are those that follow. Drafts are those of params' prompt
 * lookup and suffix drafter; a draft model is not asked. Errors: sl_generate_check()'s,
 * SL_E_ARG, SL_E_NOMEM. Time: that of n drafts. */
SL_API SL_MUST_USE sl_status sl_draft_matches(const sl_model *model,
                                              const sl_generate_params *params,
                                              const sl_token *text, int32_t n, int32_t n_known,
                                              int32_t draft_max, uint8_t *matches, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif

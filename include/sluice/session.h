/* session.h - one growing token sequence, its KV cache, and passes over it.
 *
 * A session borrows its model. Sessions are independent of each other; one
 * session is driven by one thread at a time, and brings its own worker threads.
 *
 *     committed tokens                 drafted rows of the newest pass
 *     [0 ................ length)      row 0 -- row 1 -- row 2     (a tree)
 *                                           \- row 3
 *
 * sl_session_forward() evaluates rows above the committed tokens without keeping
 * them; sl_session_commit() keeps one root-to-leaf path and forgets the rest.
 *
 * The promise all speculation rests on: the logits and KV bits of a row depend on
 * its own tokens only. Other rows of the pass, their order, chunking and the number
 * of threads change nothing, and neither does the kernel table (docs/numbers.md). */
#ifndef SLUICE_SESSION_H
#define SLUICE_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/model.h"
#include "sluice/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_session sl_session;

/* Types of the cache. Q8_0: 8 bits and a scale for 32 of a head's dimensions, about half of
 * F16's bytes; head_dim must be a multiple of 32 (docs/numbers.md says what it costs). */
typedef enum sl_kv_type { SL_KV_F16, SL_KV_F32, SL_KV_Q8_0 } sl_kv_type;

#define SL_PASS_ROWS_MAX 512    /* rows in one pass                                */
#define SL_LOGIT_ROWS_MAX 65    /* rows of one pass that can ask for logits        */
#define SL_PASS_SESSIONS_MAX 64 /* sessions that can share a pass                   */
#define SL_THREADS_MAX 256

typedef struct sl_session_params {
    int32_t context;   /* tokens the session can hold; 0 = context_train            */
    int32_t threads;   /* including the caller's; 0 = one per core                  */
    int32_t batch;     /* rows per pass, 1 .. SL_PASS_ROWS_MAX; 0 = 512             */
    sl_kv_type k_type; /* SL_KV_F16 by default                                      */
    sl_kv_type v_type;
} sl_session_params;

SL_API sl_session_params sl_session_params_default(void);

/* Where the time of one pass went, and what it touched. */
typedef struct sl_pass_report {
    int32_t rows;                 /* rows of this pass                                  */
    int32_t expert_rows;          /* rows x layers x experts_per_token it routed        */
    int32_t experts;              /* distinct (layer, expert) pairs executed            */
    int32_t max_experts;          /* most distinct experts in one layer                 */
    uint64_t weight_bytes;        /* weights read, each distinct expert once            */
    uint64_t kv_bytes;            /* keys and values read                               */
    uint64_t total_ns;            /* wall time, and its parts as seen by one thread:    */
    uint64_t attention_ns;        /* norms, Q K V, RoPE, attention, output projection   */
    uint64_t router_ns;           /* router product, selection, grouping                */
    uint64_t expert_ns;           /* gate, up and down of all experts                   */
    uint64_t head_ns;             /* embedding, final norm, vocabulary product          */
    double budget_mass;           /* routing mass kept by the budget, mean over layers and
                                     rows, 1.0 without one                              */
    const int32_t *layer_experts; /* [layers] distinct experts per layer of this pass;
                                     borrowed until the session's next pass         */
} sl_pass_report;

/* An expert budget for verification passes (MoE-Spec, arXiv 2602.16052, section 3).
 * Lossy: it can change the text. */
typedef enum sl_budget_mode {
    SL_BUDGET_OFF,
    SL_BUDGET_SUBSTITUTE,
    SL_BUDGET_TRUNCATE
} sl_budget_mode;
typedef struct sl_budget {
    sl_budget_mode mode;
    int32_t experts; /* B: distinct experts allowed per layer, experts_per_token .. experts */
} sl_budget;

/* Open a session on a model. params may be NULL (all defaults). Everything the
 * session will ever need is allocated here.
 * SL_E_ARG names the field (also: Q8_0, and head_dim not whole blocks); SL_E_NOMEM says how much
 * was needed. */
SL_API SL_MUST_USE sl_status sl_session_open(sl_session **out, const sl_model *model,
                                             const sl_session_params *params, sl_error *err);

/* The same on another session's threads instead of threads of its own (params->threads is not
 * read), as a draft model beside its target: the two are driven by one thread, and the session
 * that has the threads is closed last. */
SL_API SL_MUST_USE sl_status sl_session_open_beside(sl_session **out, const sl_model *model,
                                                    const sl_session_params *params,
                                                    sl_session *threads_of, sl_error *err);
SL_API void sl_session_close(sl_session **session);

SL_API const sl_model *sl_session_model(const sl_session *session);
SL_API int32_t sl_session_length(const sl_session *session);  /* committed tokens */
SL_API int32_t sl_session_context(const sl_session *session); /* tokens it can hold */
SL_API int32_t sl_session_threads(const sl_session *session);

/* The committed tokens, [sl_session_length()]; borrowed. */
SL_API const sl_token *sl_session_tokens(const sl_session *session);

/* Bytes a session with these parameters will allocate; 0 if they are invalid. */
SL_API size_t sl_session_bytes(const sl_model *model, const sl_session_params *params);

/* One token to evaluate above the committed ones. */
typedef struct sl_row {
    sl_token token;
    int32_t parent;      /* index of an earlier row of this pass, or -1: the last committed token */
    int32_t want_logits; /* non-zero: this row gets a row of logits */
} sl_row;

/* Evaluate rows [n_rows] without committing them; an uncommitted earlier pass is
 * dropped first.
 *
 *   logits [rows that want them, vocab]  f32, in row order, written; or NULL if none do
 *   budget                               or NULL; applied when n_rows > 1
 *   report                               or NULL
 *
 * Returns SL_OK, or with nothing evaluated: SL_E_ARG (n_rows not in 1 .. batch, a
 * bad id, parent or budget, too many rows wanting logits), SL_E_CONTEXT (a row would
 * lie beyond the context). SL_E_NUMBER: a number that is not finite; err names the
 * layer, its half and the position, and nothing is committed. (Logits that are not finite
 * are sl_sample()'s to notice.)
 * No allocation. Time: about (distinct expert bytes + KV bytes) / memory bandwidth. */
SL_API SL_MUST_USE sl_status sl_session_forward(sl_session *session, const sl_row *rows,
                                                int32_t n_rows, float *logits,
                                                const sl_budget *budget, sl_pass_report *report,
                                                sl_error *err);

/* One pass over rows of several sessions: every distinct expert is read once for all of
 * them, and each row has the bits it has alone.
 *
 *   sessions    [n_sessions 1 .. SL_PASS_SESSIONS_MAX] different ones of one model, with the
 *               same context; the first one's threads, scratch and `batch` serve the pass
 *   session_of  [n_rows] whose row it is, an index into sessions; a row's parent is one of
 *               the same session. Rows of a session should follow one another: those that do
 *               share reads of its cache
 *
 * Everything else, errors too, is as in sl_session_forward(). Each session then commits for
 * itself, its path counting its own rows: 0 is its first one in the pass. */
SL_API SL_MUST_USE sl_status sl_sessions_forward(sl_session *const *sessions, int32_t n_sessions,
                                                 const sl_row *rows, const int32_t *session_of,
                                                 int32_t n_rows, float *logits,
                                                 sl_pass_report *report, sl_error *err);

/* Keep path [n] of the newest pass: path[0] has parent -1, path[i]'s parent is
 * path[i - 1] (asserted). All other rows leave no trace. n = 0 drops the pass. */
SL_API void sl_session_commit(sl_session *session, const int32_t *path, int32_t n);

/* Evaluate and commit tokens [n_tokens] as a chain, in passes of at most `batch` rows.
 * logits [vocab] of the last one are written if not NULL. Errors as in forward; on
 * failure the tokens of earlier passes stay committed. */
SL_API SL_MUST_USE sl_status sl_session_eval(sl_session *session, const sl_token *tokens,
                                             int32_t n_tokens, float *logits, sl_error *err);

/* Keep the first `length` committed tokens. Asserts 0 <= length <= sl_session_length(). */
SL_API void sl_session_rewind(sl_session *session, int32_t length);

/* Write the committed tokens and their cache to a file: to a temporary one beside it, which
 * then takes its name. The session must hold a token (SL_E_ARG). SL_E_IO, SL_E_NOMEM. */
SL_API SL_MUST_USE sl_status sl_session_save(const sl_session *session, const char *path,
                                             sl_error *err);

/* Replace what the session holds by the longest common beginning of tokens [n_tokens] and
 * the tokens of a file that sl_session_save() wrote; tokens NULL: by all of the file's. What
 * it then holds has the bits of tokens it evaluated itself. *n_file, if not NULL: tokens in
 * the file. Context, threads and kernel table need not be those of the session that wrote it.
 * SL_E_FORMAT: no such file, cut short, damaged, of another model or other cache types, and
 * which; SL_E_CONTEXT (all tokens wanted and too many); SL_E_IO, SL_E_NOMEM. On failure the
 * session is empty. A file somebody made up can make the text nonsense, and nothing worse. */
SL_API SL_MUST_USE sl_status sl_session_load(sl_session *session, const char *path,
                                             const sl_token *tokens, int32_t n_tokens,
                                             int32_t *n_file, sl_error *err);

/* Make the committed tokens of `to` those of `from`: tokens and cache, the same bits as if it
 * had evaluated them. SL_E_ARG: other models, cache types or ways to rotate positions (longrope
 * has two, by context); SL_E_CONTEXT: they do not fit. On failure `to` stays as it was. */
SL_API SL_MUST_USE sl_status sl_session_copy(sl_session *to, const sl_session *from, sl_error *err);

/* The cache's bits for one committed position of one layer, keys then values, heads
 * in order, converted to f32: out [2 * kv_heads * head_dim]. For tests and tools. */
SL_API void sl_session_read_kv(const sl_session *session, int32_t layer, int32_t position,
                               float *out);

#ifdef __cplusplus
}
#endif
#endif

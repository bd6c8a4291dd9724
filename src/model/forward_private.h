/* forward_private.h - what forward.c, forward_rope.c, attention.c and experts.c share: the scratch.
 */
#ifndef SL_FORWARD_PRIVATE_H
#define SL_FORWARD_PRIVATE_H

#include <stdatomic.h>

#include "base/base.h"
#include "model/forward.h"

enum {
    SL_UNIT_PANELS = 2, /* gate/up work is claimed in units of 32 expert columns      */
    SL_SPAN_UNITS = 2,  /* units computed in one go: their outputs stay in cache      */
    SL_SPAN_COLUMNS = SL_UNIT_PANELS * SL_SPAN_UNITS * SL_PANEL_ROWS,
    SL_TILE_QUERIES = 8,  /* attention queries that share one walk over the keys       */
    SL_VALUE_BLOCK = 128, /* positions whose weighted values are summed before adding  */
    SL_KEY_SPAN = 256,    /* cells scored in one go by queries of two terms            */
};

/* Rows of floats, and of the same values quantised for quantised weights. */
typedef struct sl__rows {
    int32_t width;
    float *values;      /* [n][width]                              */
    float **value_rows; /* [n] pointers to the rows                */
    void **act_rows;    /* [n] the same rows quantised (act.h)     */
} sl__rows;

/* Scratch of one thread. */
typedef struct sl__thread_scratch {
    uint8_t *panel;   /* one panel, for weights that are not packed   */
    float *gate, *up; /* [rows_max][SL_SPAN_COLUMNS]                  */
    float **gate_rows, **up_rows;
    const void **x_rows; /* [2 * rows_max]                               */
    float **y_rows;      /* [2 * rows_max]                               */
    float *scores;       /* [tile queries][score_stride]: scores, then probabilities */
    float **score_rows;
    float **seen_rows;       /* [tile queries] where the scores of the first cell in sight go */
    const void **query_rows; /* [tile queries] */
    float *sums;             /* [tile queries][16]: one block's share of the output */
    float **sum_rows;
    int32_t *ancestors; /* [rows_max] */
    uint8_t *gathered;  /* one value panel of a block whose cells are not in order */
    /* for a cache in q8_0, see score_q8_0() and scale_probabilities(): */
    void **query_acts;   /* [2 * tile queries] queries quantised, and what that left */
    float **query_rests; /* [tile queries] -> [SL_KEY_SPAN]: scores by the latter    */
    float **span_rows;   /* [2 * tile queries] where scores of a span go             */
    float **scaled_rows; /* [tile queries] -> [SL_VALUE_BLOCK]                       */
} sl__thread_scratch;

/* Rows of one sequence that attention handles together: they follow one another. */
typedef struct sl__tile {
    int32_t first, n;
} sl__tile;

/* What can have made numbers that are not finite, and in which layer. */
typedef struct sl__place {
    int32_t layer; /* -1: before the first */
    const char *what;
} sl__place;

struct sl__forward {
    const sl_model *model;
    sl__forward_limits limits;
    int32_t score_stride, tile_rows, tile_queries;

    /* the pass in progress */
    const sl__pass *pass;
    sl__pool *pool;
    sl_pass_report *report;
    atomic_int bad_row; /* 1 + a row with numbers that are not finite, or 0 */
    sl__place bad_place;
    int32_t *cell;       /* [rows] cell of each row in its cache                     */
    int32_t *contiguous; /* [rows] positions 0 .. contiguous - 1 lie in those cells   */
    sl__tile *tiles;     /* [n_tiles] */
    int32_t n_tiles;
    double *rope_frequency; /* [rope_dims / 2] radians per position, falling with the pair */
    double rope_amplitude;
    float *rope; /* [rows][rope_dims]: cosines, then sines */

    float *x; /* [rows][width]: the residual stream */
    float **x_rows;
    sl__rows normed;  /* width        */
    float *q, *k, *v; /* [rows][heads * head_dim], [rows][kv_heads * head_dim] */
    float **q_rows, **k_rows, **v_rows;
    sl__rows mixed; /* heads * head_dim: attention's output */
    float *out;     /* [rows][width]: of O, then of the feed-forward every row passes */
    float **out_rows;

    float *router; /* [rows][experts] logits, then probabilities */
    float **router_rows;
    float **shared_rows;  /* [rows] -> [2]: weight of the shared expert, and what is left */
    int32_t *selected;    /* [rows][k] expert ids in rank order, -1: left out */
    float *expert_weight; /* [rows][k] */
    int32_t *slot_of;     /* [rows][k] slot of that choice, or -1 */
    int32_t *slot_row;    /* [rows * k] row of a slot; slots are sorted by expert */
    int32_t n_groups;
    int32_t *group_expert; /* [experts] distinct experts, ascending */
    int32_t *group_first;  /* [experts + 1] first slot of a group */
    int32_t *expert_count; /* [experts] */
    sl__rows hidden;       /* [rows * k] expert_width */
    void **hidden_rest;    /* [rows * k] what 8 bits leave of them, quantised again */
    sl__rows always;       /* [rows] hidden rows of the feed-forward every row passes */
    void **always_rest;    /* [rows] */
    float *expert_out;     /* [rows * k][width] */
    float **expert_out_rows;

    int32_t *logit_row; /* [logit rows] */
    int32_t n_logit_rows;
    int32_t *layer_experts;      /* [layers] */
    sl__thread_scratch *threads; /* [threads] */
};

/* for (every unit this thread claims of n) with index i */
/* NOLINTBEGIN(bugprone-macro-parentheses): i is a name, not an expression */
#define SL_FOR_CLAIMED(i, pool, n)                                                                 \
    for (int32_t i##_chunk = sl__pool_chunk(pool, n), i##_end = 0, i = 0;                          \
         (i = sl__pool_claim(pool, n, i##_chunk, &i##_end)) < (n);)                                \
        for (; i < i##_end; i++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* The rows a weight multiplies: floats or their quantised form. */
static inline const void *const *sl__rows_for(const sl__rows *rows, const sl__weight *w) {
    return sl__format_is_quantised(w->format) ? (const void *const *)rows->act_rows
                                              : (const void *const *)rows->value_rows;
}

/* Phases of a pass, run by every thread; each ends where its results may be used only
 * after a barrier, which the caller places. */
void sl__attention_layer(sl__forward *f, int32_t thread, int32_t layer);
void sl__expert_layer(sl__forward *f, int32_t thread, int32_t layer);

/* Plan the parts those files own. */
void sl__attention_plan(sl__forward *f, sl__plan *plan);
void sl__attention_plan_thread(const sl__forward *f, sl__thread_scratch *t, sl__plan *plan);
void sl__expert_plan(sl__forward *f, sl__plan *plan);
void sl__rope_plan(sl__forward *f, sl__plan *plan);

/* Rows with pointers, n of them; columns beyond whole blocks have no quantised form. */
void sl__rows_plan(sl__rows *rows, sl__plan *plan, int32_t n, int32_t width);

/* [n] quantised rows of `width` columns. */
void **sl__act_rows_plan(sl__plan *plan, int32_t n, int32_t width);

/* [n] pointers to rows `stride` floats apart. */
float **sl__row_pointers(sl__plan *plan, float *first, int32_t n, size_t stride);

/* Blocks first .. of a row of `width` columns quantised, and what that left of them
 * quantised again: two rows whose products, added, are nearly those of x. */
void sl__quantise_twice(const sl__kernels *k, void *row, void *rest_row, int32_t width,
                        int32_t first, const float *x, int32_t n_blocks);

/* The quantised form of one row, where quantised weights can ask for it. */
void sl__quantise_row(const sl__kernels *k, const sl__rows *rows, int32_t r);

extern const char *const sl__feed_forward_name; /* for sl__place */

/* Note the first row that turns out not to be finite; the pass goes on and fails at its end. */
void sl__note_bad_row(sl__forward *f, int32_t r, sl__place place);

/* normed[r] = norm(x[r]), quantised too; rows shared among threads. bias may be NULL. before:
 * what was last added to x, to be named if x is not finite. */
void sl__norm_rows(sl__forward *f, const float *weight, const float *bias, sl__place before);

/* Cosines and sines of row r's position; then turn a head of that row by them, and scale
 * all of it. */
void sl__rope_row(sl__forward *f, int32_t r);
void sl__rope_turn(const sl__forward *f, int32_t r, float *head, float scale);

/* outputs[i][r] = weights[i] x[r] for all rows, columns shared among threads. */
void sl__dense_products(sl__forward *f, int32_t thread, const sl__rows *x,
                        const sl__weight *const *weights, float *const *const *outputs,
                        int32_t n_weights);

#endif

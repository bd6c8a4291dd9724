/* expand_layout.h - where a small model's numbers go in a model of larger shape.
 *
 * Every dimension of the large model is an axis of slots of 32 numbers. A slot holds a
 * block of the small model's axis, for the 2nd or 4th time perhaps, or nothing:
 *
 *     residual   | signals | block 0 | block 1 | ... | block 0 again | ... | 0 | 0 |
 *     mixed      | head 0       | head 1       | 0 | 0 |      what attention gives to O
 *     hidden     | block 0 | block 1 | 0 | 0 |               of one expert
 *
 * Matrices read an axis (their columns) and write one (their rows). Why the function stays
 * the same is told in docs/expand.md. */
#ifndef SL_EXPAND_LAYOUT_H
#define SL_EXPAND_LAYOUT_H

#include "model/expand_blocks.h"
#include "runtime/memory.h"
#include "sluice/model.h"

enum {
    SL_SIGNAL_BITS = 16,  /* slot 0 of the residual stream: 16 bits, +-1, of every token, */
    SL_SIGNAL_CONST = 16, /* and 16 channels that are always +1                           */
    SL_ROW_ZERO = -1,     /* a row that must give 0              */
    SL_ROW_FREE = -2,     /* a row nobody reads: may be anything */
};

typedef struct sl__slot {
    int32_t block; /* of the small axis; -1: none of its numbers */
    int32_t digit; /* of the weights in these columns; -1: they are 0 */
} sl__slot;

typedef struct sl__axis {
    int32_t n;       /* numbers, 32 per slot */
    sl__slot *slots; /* [n / 32]             */
} sl__axis;

typedef struct sl__expansion {
    sl_model_facts small, large;
    int32_t copies;                   /* of the residual stream                                  */
    float stretch;                    /* its channels are this many times the small model's      */
    bool signals;                     /* slot 0 of the residual stream is theirs                 */
    int32_t copy_bits;                /* every expert is there 2^copy_bits times                 */
    int32_t head_fold;                /* every head dimension that RoPE turns is there so often  */
    sl__axis residual, mixed, hidden; /* hidden: of an expert, or of a dense layer */
    int32_t *residual_rows;           /* [width], and so on: row of the small matrix, or SL_ROW_ */
    int32_t *query_rows, *key_rows, *value_rows, *hidden_rows;
    int32_t *layers; /* [large.layers] layer of the small model              */
    bool *silent;    /* [large.layers] a copy whose outputs are 0            */
} sl__expansion;

/* How a matrix will be stored decides how its columns lie. */
typedef struct sl__expand_widths {
    int32_t unit;         /* 32, or 256: a block of the small axis has 256 columns of its own */
    int32_t digits;       /* columns a number needs, 1 or 2 */
    int32_t mixed_digits; /* in attn_output; there the unit is always 32 */
} sl__expand_widths;

/* From the facts of both models. The plan is walked twice, first with plan->base NULL to
 * measure (memory.h); x must be the same, zeroed, both times. SL_E_ARG: the large shape
 * cannot hold the small model; err says which size and why. */
SL_MUST_USE sl_status sl__expansion_plan(sl__expansion *x, sl__plan *plan,
                                         const sl_model_facts *small, const sl_model_facts *large,
                                         const sl__expand_widths *widths, sl_error *err);

/* The expert of the small model that expert `e` is a copy of, and which copy it is; -1: of
 * none. Copies of an expert keep the sums over experts in their order (docs/numbers.md):
 * 16 experts, the same 16 again, the next 16 ... */
int32_t sl__expert_source(const sl__expansion *x, int32_t e, int32_t *copy);

#endif

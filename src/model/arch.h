/* arch.h - what an architecture file describes, and the structures it fills.
 *
 * One architecture = one file (arch_NAME.c) that says which keys give the facts, which
 * switches of the forward pass are on, and which tensors a layer has. No arithmetic: one
 * forward pass (forward.h) executes every description. To add an architecture, write
 * such a file and add its row to the table in model.c. */
#ifndef SL_ARCH_H
#define SL_ARCH_H

#include "model/gguf.h"
#include "model/weights.h"
#include "sluice/model.h"

/* Choices of the forward pass that facts do not show. */
typedef struct sl__switches {
    bool qk_norm;             /* RMS norm of every query and key head before RoPE        */
    bool renormalise_experts; /* the chosen experts' weights are scaled to sum to 1      */
} sl__switches;

typedef struct sl__layer {
    const float *attn_norm, *q_norm, *k_norm, *ffn_norm;
    sl__weight q, k, v, o;
    sl__weight router;         /* [width] -> [experts]                          */
    sl__weight gate, up, down; /* one matrix per expert                         */
} sl__layer;

/* Sizes a tensor can have, by name. */
typedef enum sl__dim {
    SL_DIM_NONE,
    SL_DIM_WIDTH,
    SL_DIM_HEAD,    /* head_dim            */
    SL_DIM_QUERIES, /* heads * head_dim    */
    SL_DIM_KEYS,    /* kv_heads * head_dim */
    SL_DIM_EXPERTS,
    SL_DIM_EXPERT_WIDTH,
    SL_DIM_VOCAB,
} sl__dim;

/* One tensor of a layer: "blk.N." + suffix. A vector (n_out SL_DIM_NONE) goes to the
 * const float * at `offset` of sl__layer, a matrix to the sl__weight there. */
typedef struct sl__tensor_rule {
    const char *suffix;
    size_t offset;
    sl__dim n_in, n_out;
    bool per_expert;
} sl__tensor_rule;

typedef struct sl__arch {
    const char *name; /* general.architecture */
    /* Keys to facts and switches. Checks each number on its own; model.c checks what
     * must fit together, and every tensor's shape. */
    sl_status (*describe)(const sl__gguf *g, sl_model_facts *facts, sl__switches *switches,
                          sl_error *err);
    const sl__tensor_rule *rules;
    int32_t n_rules;
} sl__arch;

extern const sl__arch sl__arch_qwen3moe;

/* Limits on what a file may ask for: far above any model, far below overflow. */
enum {
    SL_LAYERS_MAX = 1024,
    SL_WIDTH_MAX = 1 << 16,
    SL_HEADS_MAX = 1024,
    SL_HEAD_DIM_MAX = 1024,
    SL_EXPERTS_MAX = 512,
    SL_EXPERTS_PER_TOKEN_MAX = 64,
    SL_CONTEXT_MAX = 1 << 24,
};

#endif

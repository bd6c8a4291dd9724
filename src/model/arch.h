/* arch.h - what an architecture file describes, and the structures it fills.
 *
 * One architecture = one file (arch_NAME.c): its name, the switches of the forward pass,
 * and the parts its layers are made of. No arithmetic: one forward pass (forward.h)
 * executes every description, and arch.c reads the keys, which are the same for all but
 * for their prefix. To add an architecture, write such a file and add its row to the
 * table in arch.c.
 *
 *     x += O attention(rope(norm(Q x')), rope(norm(K x')), V x')        x' = norm(x)
 *     x += sum over the top k experts of p_e ffn_e(x") + g ffn(x")      x" = norm(x)
 *     ffn(x) = down(silu(gate x) * up x)
 *
 * A layer has routed experts, or a feed-forward that every row passes, or both; the
 * latter is then called the shared expert (its weight g is 1 or a gate's sigmoid). */
#ifndef SL_ARCH_H
#define SL_ARCH_H

#include "model/gguf.h"
#include "model/weights.h"
#include "sluice/model.h"

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

/* ---- switches: choices of the forward pass that shapes do not show ---- */

typedef enum sl__norm_kind { SL_NORM_RMS, SL_NORM_LAYER } sl__norm_kind;

/* Norm of queries and keys before RoPE: every head, or all heads of a row together. */
typedef enum sl__qk_norm { SL_QK_NORM_NONE, SL_QK_NORM_HEAD, SL_QK_NORM_ROW } sl__qk_norm;

/* Dimensions that RoPE turns together: i and i + n / 2 ("NeoX"), or 2 i and 2 i + 1. */
typedef enum sl__rope_pairs { SL_ROPE_HALVES, SL_ROPE_NEIGHBOURS } sl__rope_pairs;

/* Weights of the chosen experts: the softmax over all of them, or SparseMixer's (Liu et
 * al., arXiv 2409.12136): a softmax over those that nearly tie, for each rank anew. */
typedef enum sl__router_kind { SL_ROUTER_SOFTMAX, SL_ROUTER_SPARSEMIXER } sl__router_kind;

typedef enum sl__rope_scaling {
    SL_ROPE_PLAIN,
    SL_ROPE_LINEAR,
    SL_ROPE_YARN,
    SL_ROPE_LONGROPE
} sl__rope_scaling;

typedef struct sl__switches {
    sl__norm_kind norm;
    sl__qk_norm qk_norm;
    sl__rope_pairs rope_pairs;
    sl__router_kind router;
    bool renormalise_experts; /* the chosen experts' weights are scaled to sum to 1 */
    float expert_scale;       /* then multiplied by this                            */

    /* RoPE beyond the trained context, from rope.scaling.*; forward_rope.c has the rules. */
    sl__rope_scaling rope_scaling;
    float rope_factor;    /* positions are divided by it                   */
    float rope_amplitude; /* of cosines and sines (attn_factor)            */
    float yarn_fast;      /* turns within the original context: from here on not scaled, */
    float yarn_slow;      /* up to here scaled in full                                   */
    int32_t rope_context; /* original_context_length */
} sl__switches;

/* ---- layers ---- */

typedef struct sl__ffn {
    sl__weight gate, up, down; /* one matrix per expert; n_out 0: not there */
} sl__ffn;

typedef struct sl__layer {
    const float *attn_norm, *attn_norm_bias, *q_norm, *k_norm, *ffn_norm, *ffn_norm_bias;
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none */
    sl__weight q, k, v, o;
    sl__weight router;      /* [width] -> [experts]                    */
    sl__ffn experts;        /* chosen by the router                    */
    sl__ffn always;         /* dense feed-forward or shared expert     */
    sl__weight shared_gate; /* [width] -> [1]; n_out 0: the weight is 1 */
} sl__layer;

static inline bool sl__layer_has_experts(const sl__layer *l) {
    return l->experts.up.n_out > 0;
}

static inline bool sl__layer_has_always(const sl__layer *l) {
    return l->always.up.n_out > 0;
}

/* Bytes of one expert's three matrices as a pass reads them; 0 if not there. */
uint64_t sl__ffn_bytes(const sl__ffn *ffn);

/* Sizes a tensor can have, by name. */
typedef enum sl__dim {
    SL_DIM_NONE,
    SL_DIM_ONE,
    SL_DIM_WIDTH,
    SL_DIM_HEAD,    /* head_dim            */
    SL_DIM_QUERIES, /* heads * head_dim    */
    SL_DIM_KEYS,    /* kv_heads * head_dim */
    SL_DIM_EXPERTS,
    SL_DIM_EXPERT_WIDTH,
    SL_DIM_SHARED_WIDTH,
    SL_DIM_DENSE_WIDTH,
} sl__dim;

/* The size; 1 for SL_DIM_NONE, too. */
int32_t sl__arch_dim(const sl_model_facts *facts, sl__dim dim);

typedef enum sl__presence {
    SL_IN_ALL,     /* every layer has it                       */
    SL_IN_EXPERTS, /* layers with routed experts have it       */
    SL_IN_DENSE,   /* the others have it                       */
    SL_IF_THERE    /* a layer may have it                      */
} sl__presence;

/* One tensor of a layer: "blk.N." + suffix. A vector (n_out SL_DIM_NONE) goes to the
 * const float * at `offset` of sl__layer, a matrix to the sl__weight there. */
typedef struct sl__tensor_rule {
    const char *suffix;
    size_t offset;
    sl__dim n_in, n_out;
    sl__presence presence;
    bool per_expert;
} sl__tensor_rule;

/* ---- architectures ---- */

/* A part of a layer: tensors that come together. */
typedef struct sl__part {
    const sl__tensor_rule *rules;
    int32_t n_rules;
} sl__part;

extern const sl__part sl__part_attention;    /* norms, Q K V O                 */
extern const sl__part sl__part_norm_biases;  /* of the two norms               */
extern const sl__part sl__part_qkv_biases;   /* of Q K V                       */
extern const sl__part sl__part_maybe_biases; /* of Q K V O, each if there      */
extern const sl__part sl__part_head_norms;   /* Q and K, head_dim weights each */
extern const sl__part sl__part_row_norms;    /* Q and K, all heads' weights    */
extern const sl__part sl__part_dense;        /* gate, up, down                 */
extern const sl__part sl__part_experts;      /* router, gate, up, down         */
extern const sl__part sl__part_shared;       /* gate, up, down                 */
extern const sl__part sl__part_shared_gate;

typedef enum sl__has_experts {
    SL_EXPERTS_ALWAYS,
    SL_EXPERTS_NEVER,
    SL_EXPERTS_IF_SAID
} sl__has_experts;

enum { SL_ARCH_PARTS_MAX = 8 };

typedef struct sl__arch {
    const char *name; /* general.architecture */
    sl__has_experts experts;
    bool leading_dense;    /* leading_dense_block_count layers have no experts           */
    bool shared;           /* expert_shared_feed_forward_length, or _count * expert width */
    sl__switches switches; /* where a file does not say otherwise; zero is the default   */
    const sl__part *parts[SL_ARCH_PARTS_MAX]; /* NULL after the last */
} sl__arch;

extern const sl__arch sl__arch_qwen3moe;
extern const sl__arch sl__arch_olmoe;
extern const sl__arch sl__arch_qwen3;
extern const sl__arch sl__arch_llama;
extern const sl__arch sl__arch_qwen2moe;
extern const sl__arch sl__arch_deepseek;
extern const sl__arch sl__arch_phimoe;

/* The architecture a file names. SL_E_FORMAT if there is none of that name. */
sl_status sl__arch_find(const sl__arch **out, const sl__gguf *g, sl_error *err);

/* Keys to facts and switches: each number checked on its own, and those that must fit
 * together. Tensors' shapes are model.c's to check. */
sl_status sl__arch_describe(const sl__arch *arch, const sl__gguf *g, sl_model_facts *facts,
                            sl__switches *switches, sl_error *err);

/* i-th tensor of a layer, or NULL past the last; and whether layer `index` has it. */
const sl__tensor_rule *sl__arch_rule(const sl__arch *arch, int32_t i);
bool sl__arch_rule_applies(const sl__tensor_rule *rule, const sl__gguf *g,
                           const sl_model_facts *facts, int32_t index);

/* The tensor's name in a layer. */
void sl__arch_tensor_name(char out[SL_GGUF_TENSOR_NAME_MAX + 1], int32_t index, const char *suffix);

#endif

/* company.h - a row in any company: the bits it must have, and all the ways to ask for them.
 *
 * The reference is always the plainest run there is: one row per pass, one thread, the
 * best table, packed weights. Everything else must give the same bits, logits and cache:
 * any company in the pass (random trees in random order, rows of other sequences), any
 * chunking, any number of threads, every kernel table, both layouts. */
#ifndef SL_TESTS_COMPANY_H
#define SL_TESTS_COMPANY_H

#include "engine_world.h"

enum { PREFIX = 21, NODES = 56, CHAIN = 75, ROWS_MAX = 33, WIDEST = SL_LOGIT_ROWS_MAX };

typedef struct kv_types {
    sl_kv_type k, v;
} kv_types;

/* A tree of tokens below a prefix, each with the bits it must have. */
typedef struct node {
    sl_token token;
    int32_t parent;
} node;

typedef struct reference {
    kv_types types;
    int32_t vocab;
    size_t kv_floats;
    sl_token prefix[PREFIX];
    node nodes[NODES];
    float *logits; /* [NODES][vocab]     */
    float *kv;     /* [NODES][kv_floats] */
    sl_token chain[CHAIN];
    float *chain_logits; /* [CHAIN][vocab]     */
    float *chain_kv;     /* [CHAIN][kv_floats] */
} reference;

/* [n * m] zeroes; free() them. */
void *floats(size_t n, size_t m);
bool same(const float *a, const float *b, size_t n);

void make_reference(reference *ref, const char *path, kv_types types, uint64_t seed);
void drop_reference(reference *ref);

/* A pass made of nodes of the reference, ancestors before descendants. */
typedef struct batch {
    sl_row rows[ROWS_MAX];
    int32_t node_of[ROWS_MAX];
    int32_t n;
} batch;

/* 2 .. ROWS_MAX random nodes in a random order; most of them want logits. */
void draw_batch(check_random *r, const reference *ref, batch *b);

/* Random batches below the prefix, random paths of them committed. */
void try_batches(const reference *ref, sl_session *s, int32_t n_batches, uint64_t seed,
                 const char *label);

/* The chain in passes of `chunk` rows; the newest rows of each pass show their logits. */
void try_chunks(const reference *ref, const sl_model *model, int32_t chunk, int32_t threads,
                const char *label);

/* Batches and chunks, with 1 thread and another number. turn: which number; 2, 3 and 8 in
 * a full run. */
void try_model(const reference *ref, const char *path, const char *isa, sl_weight_layout layout,
               int32_t n_batches, int32_t turn, const char *name);

/* With every kernel table; both layouts in a full run, else by turns. */
void try_everywhere(const char *path, kv_types types, int32_t n_batches, uint64_t seed,
                    const char *name);

/* Rows of three sequences in one pass, random shares of it, against each sequence alone. */
void try_sequences(const char *path, const char *isa, int32_t threads, uint64_t seed,
                   const char *name);

/* Too slow for everything, unless so many batches are asked for, and the least likely to go
 * wrong. */
bool is_slow_table(const char *isa, int32_t n_batches);

#endif

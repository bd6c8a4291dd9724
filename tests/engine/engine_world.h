/* engine_world.h - what the engine's tests share: models small and real, kernel tables,
 * prompts, and how much of a long test to run in this build.
 *
 * The synthetic models are written at test time into a directory of their own, which goes
 * when the program ends. Their shapes are the awkward ones: nothing is a multiple of 16
 * that need not be. */
#ifndef SL_TESTS_ENGINE_WORLD_H
#define SL_TESTS_ENGINE_WORLD_H

#include <stdbool.h>

#include "check.h"
#include "model/arch.h"
#include "model/gguf.h"
#include "sluice/generate.h"
#include "sluice/model.h"
#include "sluice/session.h"

#ifndef SL_TEST_RACES /* built with ThreadSanitizer */
#define SL_TEST_RACES 0
#endif
#ifndef SL_TEST_SHARE /* percent of a long test that this build runs (sanitizers are slow) */
#define SL_TEST_SHARE 100
#endif

enum { WORLD_PATH_MAX = 512 };

/* Whether --full was given: the long grids. */
bool world_is_full(void);

/* Whether this build is so slow that prompts and texts should be short, too. */
bool world_is_slow(void);

/* Whether only races are looked for: one kernel table does, and fewer types of weights. */
bool world_is_for_races(void);

/* The most threads worth having in this build: 8, of which most wait; 3 in a slow one. */
int32_t world_threads_max(void);

/* n in a normal build, fewer under a sanitizer or without SIMD, at least `least`. */
int32_t world_share(int32_t n, int32_t least);

/* main() of every program here: reads --full, runs the tests, removes the directory. */
#define WORLD_MAIN(tests)                                                                          \
    int main(int argc, char **argv) {                                                              \
        world_begin(argc, argv);                                                                   \
        const int failed = cmocka_run_group_tests(tests, NULL, NULL);                              \
        world_end();                                                                               \
        return failed;                                                                             \
    }
void world_begin(int argc, char **argv);
void world_end(void);

/* A path for a file called name in the directory of this run. */
void world_path(char out[WORLD_PATH_MAX], const char *name);

/* A whole file, to be freed; and writing one. */
unsigned char *world_read_file(const char *path, size_t *n);
void world_write_file(const char *path, const unsigned char *bytes, size_t n);

/* ---- models ---- */

typedef struct tiny_shape {
    const char *name;
    const sl__arch *arch;
    int32_t layers, width, heads, kv_heads, head_dim;
    int32_t experts, experts_per_token; /* 0: a dense model */
    int32_t expert_width;               /* of shared experts and dense layers, too */
    sl__tensor_type embd, qkv, o, gate, up, down, head;
    bool tied;          /* no output.weight */
    const char *poison; /* name of an F32 tensor whose first element is NaN, or NULL */
} tiny_shape;

enum { TINY_VOCAB = 301, TINY_CONTEXT = 256, TINY_EOS = 300 };

/* Awkward shapes and mixtures of types, all of qwen3moe. */
extern const tiny_shape tiny_shapes[];
extern const int32_t n_tiny_shapes;

/* The i-th type that kernels read, used in every place of a model; the j-th architecture,
 * of which "llama" comes with and without experts. */
int32_t world_n_arches(void);
tiny_shape world_shape(sl__format format, int32_t arch);

/* Write a model of that shape with random weights: all tensors its architecture can have. */
void tiny_write(const tiny_shape *shape, uint64_t seed, const char *path);

/* The same with zeros for weights, as a hole in the file: it may be as large as it likes. */
void tiny_write_sparse(const tiny_shape *shape, const char *path);

/* The embedded model with every tensor as F32, written once; its path. */
const char *world_f32_model(void);

/* i-th table of this CPU (the best alone, if the build is for races), best first, or NULL past
 * the last. Which tables there are and
 * which of them the CPU lacks is printed once. */
const char *world_table(int32_t i);

/* Open or fail the test. isa NULL: the best, or the one SL_TEST_ISA names. */
sl_model *world_open(const char *path, const char *isa, sl_weight_layout layout);
sl_session *world_session(const sl_model *model, int32_t context, int32_t threads, int32_t batch,
                          sl_kv_type k_type, sl_kv_type v_type);

/* n random tokens that do not end generation. */
void world_tokens(check_random *r, const sl_model *model, sl_token *out, int32_t n);

/* Evaluate and commit one token, its logits to logits (may be NULL). */
void world_step(sl_session *s, sl_token token, float *logits);

/* All layers' keys and values of one position: out [layers * 2 * kv_heads * head_dim]. */
size_t world_kv_floats(const sl_model *model);
void world_read_kv(const sl_session *s, int32_t position, float *out);

/* ---- prompts ---- */

/* The i-th of tests/data/prompts.jsonl as one user turn, tokenised; how many tokens it has.
 * id may be NULL; else its id, valid until the program ends. */
int32_t world_n_prompts(void);
int32_t world_prompt(const sl_model *model, int32_t i, sl_token *tokens, int32_t max,
                     const char **id);

/* The same for a text. */
int32_t world_chat(const sl_model *model, const char *text, sl_token *tokens, int32_t max);

#endif

/* synth_shapes.h - the models `synth` imitates, and which type each of their tensors gets. */
#ifndef SL_SYNTH_SHAPES_H
#define SL_SYNTH_SHAPES_H

#include "model/arch.h"
#include "model/gguf_write.h"

/* Of `facts` the sizes count; what a file's tensors tell (bytes, types) is 0. */
typedef struct sl__synth_shape {
    const char *name;
    const sl__arch *arch;  /* whose header and tensors the file gets                   */
    sl_model_facts facts;  /* dense_layers: of the whole model                         */
    int32_t feed_forward;  /* feed_forward_length, whether a tensor has it or not      */
    int32_t shared_count;  /* experts in shared_width, where the header counts them    */
    int32_t rope_original; /* rope.scaling.original_context_length of longrope; 0: none */
    bool biases;           /* of every projection an architecture has them for         */
} sl__synth_shape;

/* i-th shape, or NULL past the last. */
const sl__synth_shape *sl__synth_shape_at(int32_t i);

/* The header's keys that say the shape, for a model of facts->layers layers. */
void sl__synth_put_shape(sl__gguf_writer *w, const sl__synth_shape *shape,
                         const sl_model_facts *facts);

/* ---- types ---- */

/* Who decides about a matrix' type: nobody, or one of llama.cpp's mixes. */
typedef enum sl__synth_mix { SL_MIX_NONE, SL_MIX_K_M, SL_MIX_MXFP4_MOE } sl__synth_mix;

typedef struct sl__synth_type {
    const char *name;
    sl__tensor_type type;
    uint32_t file_type; /* general.file_type, as llama.cpp numbers it */
    sl__synth_mix mix;
} sl__synth_type;

/* i-th type, or NULL past the last. */
const sl__synth_type *sl__synth_type_at(int32_t i);

/* The type of a large matrix: its name without the layer ("attn_v.weight"), its layer (-1:
 * outside of them), the length of its rows, and whether there is one for each expert. Where
 * rows are not whole blocks it is what llama.cpp's quantiser falls back to. */
sl__tensor_type sl__synth_matrix_type(const sl__synth_type *type, const sl_model_facts *facts,
                                      const char *suffix, int32_t layer, int32_t n_in,
                                      bool per_expert);

#endif

/* model.h - open a GGUF file and learn what is in it.
 *
 * A model is read-only after opening and may be shared by any number of sessions
 * and threads. Close every session first: sessions borrow their model. */
#ifndef SLUICE_MODEL_H
#define SLUICE_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_model sl_model;

#define SL_TYPES_MAX 16 /* tensor types a file may mix */

typedef struct sl_type_facts { /* what one tensor type holds of a file */
    char name[16];             /* as GGUF spells it, e.g. "Q8_0"       */
    int32_t tensors;
    uint64_t bytes;
} sl_type_facts;

/* What a model is: its shape and its traffic. Everything here was checked against
 * the file's tensors, so that later code may rely on it. */
typedef struct sl_model_facts {
    char arch[32]; /* GGUF general.architecture, e.g. "qwen3moe"            */
    char name[96]; /* GGUF general.name, or ""                              */
    char type[16]; /* the tensor type that holds most bytes, e.g. "Q8_0"    */

    int32_t layers;
    int32_t width;             /* embedding_length                          */
    int32_t heads;             /* attention.head_count                      */
    int32_t kv_heads;          /* attention.head_count_kv, divides heads    */
    int32_t head_dim;          /* attention.key_length                      */
    int32_t window;            /* attention.sliding_window: newest positions a
                                  row attends to, itself included; 0: all   */
    int32_t rope_dims;         /* rope.dimension_count, of head_dim         */
    int32_t experts;           /* routed experts per layer; 0: dense model  */
    int32_t experts_per_token; /* expert_used_count; 0 without experts      */
    int32_t expert_width;      /* expert_feed_forward_length; likewise      */
    int32_t shared_width;      /* of the shared expert; 0: none             */
    int32_t dense_layers;      /* leading layers without experts            */
    int32_t dense_width;       /* their feed_forward_length; 0: none        */
    int32_t vocab;             /* rows of token_embd.weight                 */
    int32_t context_train;     /* context_length                            */
    float rms_eps;             /* of all norms, LayerNorm's too             */
    float rope_base;

    uint64_t params;           /* elements of all tensors                    */
    uint64_t file_bytes;       /* size of the file, or of all its parts      */
    uint64_t weight_bytes;     /* all tensors, as stored                     */
    uint64_t bytes_per_token;  /* weights one row reads in one pass          */
    uint64_t bytes_dense;      /* of which: read whatever the router says    */
    uint64_t bytes_per_expert; /* one expert of one layer, all its matrices
                                  (of the largest layer); 0 without experts */

    int32_t n_types;
    sl_type_facts types[SL_TYPES_MAX]; /* [n_types], most bytes first */
} sl_model_facts;

/* How weights are held in memory while the model is open (docs/performance.md). */
typedef enum sl_weight_layout {
    SL_LAYOUT_AUTO,   /* packed if memory allows, else mapped                 */
    SL_LAYOUT_PACKED, /* copied once into panels of 16 output rows            */
    SL_LAYOUT_MAPPED  /* read in place from the file mapping                  */
} sl_weight_layout;

typedef struct sl_model_params {
    const char *isa;         /* kernel table by name, or NULL for the best one   */
    sl_weight_layout layout; /* SL_LAYOUT_AUTO by default                        */
    int32_t threads;         /* used while loading; 0 = one per core             */
    int no_mmap;             /* read the file into memory, do not map it         */
    int mlock;               /* lock in memory what passes read of the weights   */
    /* Called now and then while loading, on the calling thread; NULL = never. */
    void (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
    void *progress_user;
} sl_model_params;

/* All defaults: best table, automatic layout, one thread per core, file mapped, nothing
 * locked, no progress. */
SL_API sl_model_params sl_model_params_default(void);

/* Open a GGUF v2 or v3 file, or the first of several parts
 * (NAME-00001-of-00003.gguf). params may be NULL (all defaults).
 *
 * Memory: what is needed is compared with what is available before it is taken. Packed, the
 * file's pages (or those of its copy) are given back tensor by tensor, so that the model is
 * there once, and a tensor.
 *
 * Returns SL_OK and *out (release with sl_model_close), or with *out = NULL:
 *   SL_E_IO      the file cannot be opened or mapped
 *   SL_E_FORMAT  damaged or unsupported; err names the key or tensor and the offset
 *   SL_E_NOMEM   the memory needed is not there, or may not be locked; err says how much is
 *   SL_E_ISA     params->isa is not a table of this build and CPU */
SL_API SL_MUST_USE sl_status sl_model_open(sl_model **out, const char *path,
                                           const sl_model_params *params, sl_error *err);

/* Release a model and set the pointer to NULL. NULL is fine. */
SL_API void sl_model_close(sl_model **model);

/* Borrowed; valid until sl_model_close(). */
SL_API const sl_model_facts *sl_model_facts_of(const sl_model *model);

/* Name of the kernel table in use and of the layout ("packed" or "mapped"). */
SL_API const char *sl_model_isa(const sl_model *model);
SL_API const char *sl_model_layout(const sl_model *model);

/* i-th kernel table of this build, best first: its name and whether this CPU can
 * run it. Returns NULL past the last one. usable may be NULL. */
SL_API const char *sl_isa_name(int32_t i, int *usable);

#ifdef __cplusplus
}
#endif
#endif

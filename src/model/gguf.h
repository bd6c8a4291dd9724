/* gguf.h - what a GGUF file says: typed keys and the place of every tensor.
 *
 *     magic version | n_tensors n_keys | keys ... | tensor records ... | pad | data
 *
 * Versions 2 and 3, little endian. Everything is checked before it is used: when
 * sl__gguf_parse() succeeds, every key, string, array and tensor lies inside the
 * bytes, names are unique and printable as C strings, tensors are aligned, whole
 * numbers of blocks, and do not overlap. Errors have code SL_E_FORMAT, the byte
 * offset in err->at, and a text naming file, offset, key or tensor, what was found
 * and what was expected.
 *
 * A model in several files (gguf_split.c) is opened by its first file: the tensors of all
 * are then in one table, the keys are the first file's.
 *
 * What the keys and tensors mean is not known here (arch files know). Nothing here
 * writes; gguf_write.h does. */
#ifndef SL_GGUF_H
#define SL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/mapping.h"
#include "sluice/status.h"

/* Declared maxima: beyond any file in use, small enough that nothing can wrap. */
#define SL_GGUF_TENSORS_MAX (1 << 20)
#define SL_GGUF_KEYS_MAX (1 << 16)
#define SL_GGUF_KEY_NAME_MAX 256   /* bytes                                     */
#define SL_GGUF_TENSOR_NAME_MAX 63 /* bytes, as in ggml                         */
#define SL_GGUF_ALIGNMENT_MAX (1 << 20)
#define SL_GGUF_DIMS_MAX 4
#define SL_GGUF_PARTS_MAX 1024 /* files of one model */

/* ---- tensor types ---- */

/* X(name, id, elements per block, bytes per block). The ids are ggml's. */
#define SL_TENSOR_TYPE_MAP(X)                                                                      \
    X(F32, 0, 1, 4)                                                                                \
    X(F16, 1, 1, 2)                                                                                \
    X(Q4_0, 2, 32, 18)                                                                             \
    X(Q4_1, 3, 32, 20)                                                                             \
    X(Q5_0, 6, 32, 22)                                                                             \
    X(Q5_1, 7, 32, 24)                                                                             \
    X(Q8_0, 8, 32, 34)                                                                             \
    X(Q8_1, 9, 32, 36)                                                                             \
    X(Q2_K, 10, 256, 84)                                                                           \
    X(Q3_K, 11, 256, 110)                                                                          \
    X(Q4_K, 12, 256, 144)                                                                          \
    X(Q5_K, 13, 256, 176)                                                                          \
    X(Q6_K, 14, 256, 210)                                                                          \
    X(Q8_K, 15, 256, 292)                                                                          \
    X(IQ2_XXS, 16, 256, 66)                                                                        \
    X(IQ2_XS, 17, 256, 74)                                                                         \
    X(IQ3_XXS, 18, 256, 98)                                                                        \
    X(IQ1_S, 19, 256, 50)                                                                          \
    X(IQ4_NL, 20, 32, 18)                                                                          \
    X(IQ3_S, 21, 256, 110)                                                                         \
    X(IQ2_S, 22, 256, 82)                                                                          \
    X(IQ4_XS, 23, 256, 136)                                                                        \
    X(I8, 24, 1, 1)                                                                                \
    X(I16, 25, 1, 2)                                                                               \
    X(I32, 26, 1, 4)                                                                               \
    X(I64, 27, 1, 8)                                                                               \
    X(F64, 28, 1, 8)                                                                               \
    X(IQ1_M, 29, 256, 56)                                                                          \
    X(BF16, 30, 1, 2)                                                                              \
    X(TQ1_0, 34, 256, 54)                                                                          \
    X(TQ2_0, 35, 256, 66)                                                                          \
    X(MXFP4, 39, 32, 17)                                                                           \
    X(NVFP4, 40, 64, 36)                                                                           \
    X(Q1_0, 41, 128, 18)

typedef enum sl__tensor_type {
#define X(name, id, elements, bytes) SL_TYPE_##name = (id),
    SL_TENSOR_TYPE_MAP(X)
#undef X
} sl__tensor_type;

typedef struct sl__tensor_type_info {
    const char *name; /* "Q8_0" */
    uint32_t block_elements;
    uint32_t block_bytes;
} sl__tensor_type_info;

/* Facts of a type, or NULL for an id that is not in the table. */
const sl__tensor_type_info *sl__tensor_type_find(uint32_t type);

/* ---- value types ---- */

/* X(name, id, bytes). Strings and arrays have no fixed size: 0. */
#define SL_GGUF_TYPE_MAP(X)                                                                        \
    X(U8, 0, 1)                                                                                    \
    X(I8, 1, 1)                                                                                    \
    X(U16, 2, 2)                                                                                   \
    X(I16, 3, 2)                                                                                   \
    X(U32, 4, 4)                                                                                   \
    X(I32, 5, 4)                                                                                   \
    X(F32, 6, 4)                                                                                   \
    X(BOOL, 7, 1)                                                                                  \
    X(STRING, 8, 0)                                                                                \
    X(ARRAY, 9, 0)                                                                                 \
    X(U64, 10, 8)                                                                                  \
    X(I64, 11, 8)                                                                                  \
    X(F64, 12, 8)

typedef enum sl__gguf_type {
#define X(name, id, bytes) SL_GGUF_##name = (id),
    SL_GGUF_TYPE_MAP(X)
#undef X
} sl__gguf_type;

/* ---- the file ---- */

typedef struct sl__gguf_tensor {
    char name[SL_GGUF_TENSOR_NAME_MAX + 1];
    sl__tensor_type type;
    int32_t n_dims;               /* 1 .. 4                                            */
    int64_t ne[SL_GGUF_DIMS_MAX]; /* elements per dimension, >= 1, fastest first; 1 past n_dims */
    uint64_t elements;            /* product of ne                                     */
    uint64_t size;                /* bytes                                             */
    uint64_t at;                  /* offset of the data in the file                    */
    uint64_t record_at;           /* offset of the record, where errors about it point */
    const unsigned char *data;    /* [size], borrowed from the file                    */
    int32_t part;                 /* the file that holds it: sl__gguf_part()           */
} sl__gguf_tensor;

/* Where a key and its value lie. Read through the getters below. */
typedef struct sl__gguf_key {
    const char *name; /* [name_size], not terminated          */
    uint32_t name_size;
    uint32_t type;              /* sl__gguf_type of the value            */
    uint32_t element;           /* of an array's elements, else as type  */
    uint64_t count;             /* elements; 1 unless an array           */
    uint64_t at;                /* offset of the key's record            */
    const unsigned char *value; /* the scalar, string or first element */
} sl__gguf_key;

/* Read only after parsing; may be shared by threads. */
typedef struct sl__gguf sl__gguf;
struct sl__gguf {
    char *file; /* name for messages, owned */
    const unsigned char *bytes;
    size_t size;
    uint32_t version;
    uint32_t alignment;
    uint64_t data_at; /* where the tensor data starts */

    sl__gguf_tensor *tensors; /* [n_tensors] in file order, owned */
    int32_t n_tensors;
    sl__gguf_key *keys; /* [n_keys] in file order, owned */
    int32_t n_keys;

    int32_t *tensor_slots; /* open-addressing indices by name, owned */
    int32_t *key_slots;
    sl__mapping mapping; /* closed after sl__gguf_parse() */

    sl__gguf *more; /* [n_parts - 1] the model's other files, without tables; owned */
    int32_t n_parts;
};

/* Parse n bytes, which must outlive g; `file` names them in messages (copied).
 * SL_E_FORMAT or SL_E_NOMEM: g is then closed (all zero). */
SL_MUST_USE sl_status sl__gguf_parse(sl__gguf *g, const void *bytes, size_t n, const char *file,
                                     sl_error *err);

/* Map a file and parse it, and all its parts if it is the first of several. Also SL_E_IO. */
SL_MUST_USE sl_status sl__gguf_open(sl__gguf *g, const char *path, sl_error *err);

/* The same, reading the files into memory instead of mapping them. Also SL_E_NOMEM. */
SL_MUST_USE sl_status sl__gguf_read(sl__gguf *g, const char *path, sl_error *err);

/* The i-th file of a model, 0 .. n_parts - 1; the first is g itself. */
const sl__gguf *sl__gguf_part(const sl__gguf *g, int32_t i);

/* Bytes of all files. */
uint64_t sl__gguf_bytes(const sl__gguf *g);

/* Give back the memory of n bytes of an opened model's files, see sl__mapping_drop();
 * and lock all of them, see sl__memory_lock(). */
void sl__gguf_drop(const sl__gguf *g, const unsigned char *bytes, size_t n);
SL_MUST_USE sl_status sl__gguf_lock(const sl__gguf *g, sl_error *err);

/* Release; closed (all zero) is fine. */
void sl__gguf_close(sl__gguf *g);

/* The tensor of that name, or NULL. O(1). */
const sl__gguf_tensor *sl__gguf_find_tensor(const sl__gguf *g, const char *name);

/* ---- keys ----
 *
 * Each getter checks type and range. A missing key is SL_E_FORMAT at SL_NOWHERE; the
 * _or variants give `fallback` instead. A key of the wrong type or out of range is
 * SL_E_FORMAT in both. On failure *out is untouched. */

/* The key's record, or NULL. */
const sl__gguf_key *sl__gguf_find_key(const sl__gguf *g, const char *key);

/* Any integer type; the value must be in lo .. hi. */
SL_MUST_USE sl_status sl__gguf_i32(const sl__gguf *g, const char *key, int32_t lo, int32_t hi,
                                   int32_t *out, sl_error *err);
SL_MUST_USE sl_status sl__gguf_i32_or(const sl__gguf *g, const char *key, int32_t fallback,
                                      int32_t lo, int32_t hi, int32_t *out, sl_error *err);

/* f32 or f64; finite and in lo .. hi after rounding to float. */
SL_MUST_USE sl_status sl__gguf_f32(const sl__gguf *g, const char *key, float lo, float hi,
                                   float *out, sl_error *err);
SL_MUST_USE sl_status sl__gguf_f32_or(const sl__gguf *g, const char *key, float fallback, float lo,
                                      float hi, float *out, sl_error *err);

SL_MUST_USE sl_status sl__gguf_bool_or(const sl__gguf *g, const char *key, bool fallback, bool *out,
                                       sl_error *err);

/* n bytes of the file; not terminated, and may hold anything, NUL included. */
typedef struct sl__gguf_string {
    const char *bytes;
    size_t n;
} sl__gguf_string;

bool sl__gguf_string_is(sl__gguf_string string, const char *text);

SL_MUST_USE sl_status sl__gguf_str(const sl__gguf *g, const char *key, sl__gguf_string *out,
                                   sl_error *err);
/* Missing: *out = {"", 0}. */
SL_MUST_USE sl_status sl__gguf_str_or_empty(const sl__gguf *g, const char *key,
                                            sl__gguf_string *out, sl_error *err);

/* An array of one kind. Strings are read in order with sl__gguf_next_string(), numbers
 * by index. A missing array in the _or_empty variants has n = 0. */
typedef struct sl__gguf_array {
    const unsigned char *next; /* first element; moved by sl__gguf_next_string() */
    uint64_t n;                /* elements left                                  */
    uint32_t type;             /* sl__gguf_type of the elements                  */
} sl__gguf_array;

SL_MUST_USE sl_status sl__gguf_strs(const sl__gguf *g, const char *key, sl__gguf_array *out,
                                    sl_error *err);
SL_MUST_USE sl_status sl__gguf_strs_or_empty(const sl__gguf *g, const char *key,
                                             sl__gguf_array *out, sl_error *err);
/* Every element must be an integer in lo .. hi. */
SL_MUST_USE sl_status sl__gguf_i32s_or_empty(const sl__gguf *g, const char *key, int32_t lo,
                                             int32_t hi, sl__gguf_array *out, sl_error *err);
/* Every element must be finite. */
SL_MUST_USE sl_status sl__gguf_f32s_or_empty(const sl__gguf *g, const char *key,
                                             sl__gguf_array *out, sl_error *err);

/* Preconditions, asserted: elements are left; i < n. */
sl__gguf_string sl__gguf_next_string(sl__gguf_array *strings);
int32_t sl__gguf_i32_at(const sl__gguf_array *numbers, uint64_t i);
float sl__gguf_f32_at(const sl__gguf_array *numbers, uint64_t i);

/* Fail about the key or tensor itself, once its meaning is known: the message starts
 * with file, name and offset, then says what the format says.
 *     "m.gguf: key qwen3moe.block_count at offset 1234: 0, expected 1 .. 512" */
SL_PRINTF(4, 5)
sl_status sl__gguf_fail_key(const sl__gguf *g, const char *key, sl_error *err, const char *format,
                            ...);
/* The same, pointing at a byte of the key's value instead of its record. */
SL_PRINTF(5, 6)
sl_status sl__gguf_fail_value(const sl__gguf *g, const char *key, const void *value, sl_error *err,
                              const char *format, ...);
SL_PRINTF(4, 5)
sl_status sl__gguf_fail_tensor(const sl__gguf *g, const sl__gguf_tensor *tensor, sl_error *err,
                               const char *format, ...);

#endif

/* gguf_private.h - what gguf*.c share and nobody else needs. */
#ifndef SL_GGUF_PRIVATE_H
#define SL_GGUF_PRIVATE_H

#include <stdarg.h>

#include "model/gguf.h"

/* The first words of a message: "key general.name", "tensor 12", "header". */
typedef struct sl__gguf_subject {
    const char *noun;
    const char *name; /* [name_size] */
    int name_size;
} sl__gguf_subject;

/* SL_E_FORMAT: "<file>: <subject> at offset <at>: <format>". */
sl_status sl__gguf_fail_at(const sl__gguf *g, sl__gguf_subject subject, uint64_t at, sl_error *err,
                           const char *format, va_list args);

/* sl__gguf_open(), or sl__gguf_read() if `copy`, of one file, whatever it says about parts. */
SL_MUST_USE sl_status sl__gguf_open_file(sl__gguf *g, const char *path, bool copy, sl_error *err);

/* Move the tensor records of g->more to g's table. SL_E_FORMAT if a name comes twice. */
SL_MUST_USE sl_status sl__gguf_join_tensors(sl__gguf *g, sl_error *err);

/* Name and size of a value type; asserts that it is one. Size 0: strings and arrays. */
const char *sl__gguf_type_name(uint32_t type);
uint32_t sl__gguf_type_size(uint32_t type);

static inline uint32_t sl__load_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t sl__load_u64(const unsigned char *p) {
    return (uint64_t)sl__load_u32(p) | (uint64_t)sl__load_u32(p + 4) << 32;
}

#endif

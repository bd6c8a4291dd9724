/* gguf_bytes.h - small GGUF files for tests, in heap memory of exactly their size, so
 * that a sanitizer sees any byte read past the end. */
#ifndef SL_TESTS_GGUF_BYTES_H
#define SL_TESTS_GGUF_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/gguf_write.h"
#include "model/vocab_private.h"

typedef struct gguf_bytes {
    unsigned char *bytes;
    size_t n;
} gguf_bytes;

/* n bytes in a block of their own; free() it. */
static inline unsigned char *exact_copy(const void *bytes, size_t n) {
    unsigned char *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    if (n > 0) memcpy(copy, bytes, n);
    return copy;
}

/* The writer's file with its tensor data zero; closes the writer. */
static inline gguf_bytes finish_bytes(sl__gguf_writer *w) {
    assert_int_equal(sl__gguf_writer_finish(w, NULL), SL_OK);
    gguf_bytes file = {NULL, (size_t)(w->data_at + w->data_size)};
    file.bytes = calloc(1, file.n);
    assert_non_null(file.bytes);
    memcpy(file.bytes, w->bytes, w->size);
    sl__gguf_writer_fini(w);
    return file;
}

/* What test_vocab_put() adds to the 256 byte tokens, ids from 256 on. */
typedef struct extra_token {
    const char *spelling;
    int32_t kind;
} extra_token;

/* The keys of a byte-level BPE vocabulary: bytes 0 .. 255 are ids 0 .. 255. */
static inline void put_bpe_vocabulary(sl__gguf_writer *w, const char *pre, const extra_token *extra,
                                      size_t n_extra, const char *const *merges, size_t n_merges) {
    int32_t kinds[512];
    char spelling[2];
    assert_true(256 + n_extra <= 512);
    sl__gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    sl__gguf_put_str(w, "tokenizer.ggml.pre", pre);
    sl__gguf_put_strs(w, "tokenizer.ggml.tokens", 256 + n_extra);
    for (uint32_t byte = 0; byte < 256; byte++) {
        sl__gguf_put_element(w, spelling, sl__spell_byte(byte, spelling));
        kinds[byte] = SL_TOKEN_NORMAL;
    }
    for (size_t i = 0; i < n_extra; i++) {
        sl__gguf_put_element(w, extra[i].spelling, strlen(extra[i].spelling));
        kinds[256 + i] = extra[i].kind;
    }
    sl__gguf_put_i32s(w, "tokenizer.ggml.token_type", kinds, 256 + n_extra);
    sl__gguf_put_strs(w, "tokenizer.ggml.merges", n_merges);
    for (size_t i = 0; i < n_merges; i++)
        sl__gguf_put_element(w, merges[i], strlen(merges[i]));
}

static inline void put_vocabulary(sl__gguf_writer *w, const extra_token *extra, size_t n_extra,
                                  const char *const *merges, size_t n_merges) {
    put_bpe_vocabulary(w, "qwen2", extra, n_extra, merges, n_merges);
}

/* A token of a SentencePiece vocabulary, ids from 259 on. */
typedef struct scored_token {
    const char *spelling;
    int32_t kind;
    int32_t score;
} scored_token;

/* "<unk>", "<s>" and "</s>" are 0 .. 2, bytes 0 .. 255 are 3 .. 258. */
static inline void put_spm_vocabulary(sl__gguf_writer *w, const scored_token *extra,
                                      size_t n_extra) {
    static const char *const first[] = {"<unk>", "<s>", "</s>"};
    int32_t kinds[512] = {SL_TOKEN_UNKNOWN, SL_TOKEN_CONTROL, SL_TOKEN_CONTROL}, scores[512] = {0};
    assert_true(259 + n_extra <= 512);
    sl__gguf_put_str(w, "tokenizer.ggml.model", "llama");
    sl__gguf_put_strs(w, "tokenizer.ggml.tokens", 259 + n_extra);
    for (size_t i = 0; i < 3; i++)
        sl__gguf_put_element(w, first[i], strlen(first[i]));
    for (unsigned byte = 0; byte < 256; byte++) {
        char spelling[8];
        (void)snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
        sl__gguf_put_element(w, spelling, 6);
        kinds[3 + byte] = SL_TOKEN_BYTE;
    }
    for (size_t i = 0; i < n_extra; i++) {
        sl__gguf_put_element(w, extra[i].spelling, strlen(extra[i].spelling));
        kinds[259 + i] = extra[i].kind;
        scores[259 + i] = extra[i].score;
    }
    sl__gguf_put_i32s(w, "tokenizer.ggml.token_type", kinds, 259 + n_extra);
    sl__gguf_put_i32s(w, "tokenizer.ggml.scores", scores, 259 + n_extra);
}

#endif

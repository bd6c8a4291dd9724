/* vocab_private.h - the tables of a vocabulary, for the files that build and use it. */
#ifndef SL_VOCAB_PRIVATE_H
#define SL_VOCAB_PRIVATE_H

#include "model/pretokenizer.h"
#include "model/vocab.h"

/* tokenizer.ggml.token_type, in ggml's numbers. */
typedef enum sl__token_kind {
    SL_TOKEN_UNDEFINED,
    SL_TOKEN_NORMAL,       /* spelled in byte-level characters, or "▁" for a space    */
    SL_TOKEN_UNKNOWN,      /* as control                                              */
    SL_TOKEN_CONTROL,      /* markup: shown and parsed only on request                */
    SL_TOKEN_USER_DEFINED, /* spelled in plain text, matched in any text before words */
    SL_TOKEN_UNUSED,
    SL_TOKEN_BYTE,  /* "<0x41>" */
    SL_TOKEN_SHOWN, /* in no file: control, but always shown (a channel's name needs it) */
} sl__token_kind;

typedef enum sl__vocab_model {
    SL_VOCAB_BPE, /* byte-level BPE: merges by rank, inside words                 */
    SL_VOCAB_SPM  /* SentencePiece BPE: merges by score, anywhere; byte fallback  */
} sl__vocab_model;

/* left right -> result. Open addressing by (left, right); left < 0: a free slot. */
typedef struct sl__merge {
    sl_token left;
    sl_token right;
    sl_token result;
    int32_t rank; /* lowest first */
} sl__merge;

/* A token that is matched before the text is cut into words. */
typedef struct sl__special {
    const char *bytes; /* [n], n > 0, in the vocabulary's arena */
    size_t n;
    sl_token token;
    bool control;    /* only where special tokens are parsed         */
    bool eats_right; /* white space after it, up to the next special */
} sl__special;

struct sl__vocab {
    sl__vocab_model model;
    int32_t n_tokens;
    char *arena;      /* bytes of all tokens, one after another */
    uint32_t *starts; /* [n_tokens + 1] into arena              */
    uint8_t *kinds;   /* [n_tokens] sl__token_kind              */

    sl_token byte_tokens[256]; /* -1 only where lacks_bytes */
    bool lacks_bytes;          /* BPE: no token for some bytes that valid UTF-8 never has */

    /* Ordinary tokens by their bytes: an id, or -1. NULL unless looked up when encoding:
     * SPM, and BPE that knows whole words. */
    int32_t *ordinary;
    size_t ordinary_slots; /* power of two               */
    size_t ordinary_max;   /* bytes of the longest token */

    /* BPE */
    sl__merge *merges; /* [merge_slots] */
    size_t merge_slots;
    sl__pretokenizer *pre;
    bool whole_words; /* a word that is a token needs no merges */

    /* SPM */
    float *scores;     /* [n_tokens] finite; highest first              */
    bool space_prefix; /* text after its start or a special token gets one */

    sl__special *specials; /* [n_specials] ascending by bytes */
    size_t n_specials;
    bool has_user_defined;

    sl_token *eogs; /* [n_eogs] ascending */
    int32_t n_eogs;
    sl_token bos;
    sl_token eos;
    bool adds_bos;
    bool adds_eos;
};

/* How byte-level BPE spells a byte: one UTF-8 character, its length returned. */
size_t sl__spell_byte(uint32_t byte, char out[2]);

/* The slot of the merge of left and right, or the free slot where it belongs. */
sl__merge *sl__merge_slot(const sl__vocab *vocab, sl_token left, sl_token right);

/* The ordinary token of these bytes, or -1. Asserts that the table is there. */
sl_token sl__vocab_find_ordinary(const sl__vocab *vocab, const char *bytes, size_t n);

/* Hidden unless special tokens are shown. */
static inline bool sl__is_hidden(sl__token_kind kind) {
    return kind == SL_TOKEN_CONTROL || kind == SL_TOKEN_UNKNOWN;
}

/* Matched only where special tokens are parsed. */
static inline bool sl__is_control(sl__token_kind kind) {
    return sl__is_hidden(kind) || kind == SL_TOKEN_SHOWN;
}

#endif

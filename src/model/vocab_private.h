/* vocab_private.h - the tables of a vocabulary, for vocab.c (builds) and bpe.c (uses). */
#ifndef SL_VOCAB_PRIVATE_H
#define SL_VOCAB_PRIVATE_H

#include "model/pretokenizer.h"
#include "model/vocab.h"

/* tokenizer.ggml.token_type, in ggml's numbers. */
typedef enum sl__token_kind {
    SL_TOKEN_UNDEFINED,
    SL_TOKEN_NORMAL,       /* spelled in byte-level characters                        */
    SL_TOKEN_UNKNOWN,      /* as control                                              */
    SL_TOKEN_CONTROL,      /* markup: shown and parsed only on request                */
    SL_TOKEN_USER_DEFINED, /* spelled in plain text, matched in any text before words */
    SL_TOKEN_UNUSED,
    SL_TOKEN_BYTE /* "<0x41>" */
} sl__token_kind;

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
    bool control; /* only where special tokens are parsed */
} sl__special;

struct sl__vocab {
    int32_t n_tokens;
    char *arena;      /* bytes of all tokens, one after another */
    uint32_t *starts; /* [n_tokens + 1] into arena              */
    uint8_t *kinds;   /* [n_tokens] sl__token_kind              */

    sl_token byte_tokens[256];
    sl__merge *merges; /* [merge_slots] */
    size_t merge_slots;

    sl__special *specials; /* [n_specials] ascending by bytes */
    size_t n_specials;
    bool has_user_defined;

    sl_token *eogs; /* [n_eogs] ascending */
    int32_t n_eogs;
    sl_token bos;
    sl_token eos;
    bool adds_bos;

    sl__pretokenizer *pre;
};

/* How byte-level BPE spells a byte: one UTF-8 character, its length returned. */
size_t sl__spell_byte(uint32_t byte, char out[2]);

/* The slot of the merge of left and right, or the free slot where it belongs. */
sl__merge *sl__merge_slot(const sl__vocab *vocab, sl_token left, sl_token right);

#endif

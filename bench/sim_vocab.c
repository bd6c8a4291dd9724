/* sim_vocab.c - see sim_vocab.h.
 *
 * A tiktoken list gives every token a rank, and that is all of BPE: inside a word, the
 * neighbouring parts whose concatenation has the lowest rank are joined, until no two
 * neighbours are a token. Words are short, so each join looks at all pairs. */
#include "sim_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "model/pretokenizer.h"
#include "model/vocab.h"
#include "sim_text.h"

enum { WORD_MAX = 4096 }; /* longer words are cut: no real text has any */

typedef struct rank_slot {
    const char *bytes; /* NULL: free */
    uint32_t n;
    int32_t rank;
} rank_slot;

struct sim_vocab {
    sl__vocab *gguf; /* or */
    char *list;      /* the decoded bytes of all tokens */
    rank_slot *slots;
    uint32_t mask;
    sl__pretokenizer *pre;
    sl__cutter *cutter;
};

/* ---- the list --------------------------------------------------------------------- */

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decode up to the first byte that is not base64, in place of it; returns how many. */
static size_t decode(const char *in, char *out, const char **end) {
    uint32_t bits = 0;
    int have = 0;
    size_t n = 0;
    for (; base64_value(*in) >= 0; in++) {
        bits = bits << 6 | (uint32_t)base64_value(*in);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (char)(bits >> have & 255);
    }
    while (*in == '=')
        in++;
    *end = in;
    return n;
}

static rank_slot *find(const sim_vocab *v, const char *bytes, size_t n) {
    uint32_t slot = (uint32_t)sl__mix64(sl__hash_bytes(SL_HASH_SEED, bytes, n)) & v->mask;
    while (v->slots[slot].bytes &&
           (v->slots[slot].n != n || memcmp(v->slots[slot].bytes, bytes, n) != 0))
        slot = (slot + 1) & v->mask;
    return &v->slots[slot];
}

static sl_status read_list(sim_vocab *v, const char *path, sl_error *err) {
    char *text = NULL;
    size_t n = 0, lines = 0, used = 0;
    sl_status status = sim_text_read(path, &text, &n, err);
    if (status != SL_OK) return status;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    for (v->mask = 1; v->mask < 2 * lines + 1024; v->mask *= 2)
        ;
    v->slots = calloc(v->mask--, sizeof(rank_slot));
    v->list = malloc(n + 1);
    if (!v->slots || !v->list) status = sl__fail(err, SL_E_NOMEM, 0, "no memory for %s", path);
    const char *at = text;
    while (status == SL_OK && *at) {
        const char *line = at, *end = at;
        const size_t bytes = decode(at, v->list + used, &end);
        char *stop = NULL;
        const long rank = *end == ' ' ? strtol(end + 1, &stop, 10) : -1;
        if (stop && *stop == '\r') stop++;
        rank_slot *slot = bytes > 0 ? find(v, v->list + used, bytes) : NULL;
        if (!slot || slot->bytes || rank < 0 || rank > INT32_MAX || !stop || *stop != '\n') {
            status = sl__fail(err, SL_E_FORMAT, (uint64_t)(line - text),
                              "%s: expected lines of a token in base64 and its rank", path);
            break;
        }
        *slot = (rank_slot){v->list + used, (uint32_t)bytes, (int32_t)rank};
        used += bytes;
        at = stop + 1;
    }
    free(text);
    return status;
}

/* ---- words ------------------------------------------------------------------------ */

/* part[i] .. part[i + 1] are the bytes of part i; returns how many tokens. */
static int32_t merge_word(const sim_vocab *v, const char *word, size_t n, int32_t *tokens) {
    uint32_t part[WORD_MAX + 1];
    int32_t joined[WORD_MAX]; /* rank of parts i and i + 1 together; INT32_MAX: no token */
    int32_t parts = (int32_t)n;
    for (int32_t i = 0; i <= parts; i++)
        part[i] = (uint32_t)i;
#define JOINED(i)                                                                                  \
    ((i) + 2 > parts ? NULL : find(v, word + part[i], (size_t)(part[(i) + 2] - part[i])))
    for (int32_t i = 0; i < parts; i++) {
        const rank_slot *slot = JOINED(i);
        joined[i] = slot && slot->bytes ? slot->rank : INT32_MAX;
    }
    for (;;) {
        int32_t best = 0;
        for (int32_t i = 1; i < parts; i++)
            if (joined[i] < joined[best]) best = i;
        if (joined[best] == INT32_MAX) break;
        memmove(&part[best + 1], &part[best + 2], (size_t)(parts - best - 1) * sizeof(part[0]));
        memmove(&joined[best + 1], &joined[best + 2],
                (size_t)(parts - best - 2) * sizeof(joined[0]));
        parts--;
        for (int32_t i = best > 0 ? best - 1 : 0; i <= best; i++) {
            const rank_slot *slot = JOINED(i);
            joined[i] = slot && slot->bytes ? slot->rank : INT32_MAX;
        }
    }
#undef JOINED
    for (int32_t i = 0; i < parts; i++) {
        const rank_slot *slot = find(v, word + part[i], (size_t)(part[i + 1] - part[i]));
        tokens[i] = slot->bytes ? slot->rank : -1; /* -1: a list without that byte */
    }
    return parts;
}

static sl_status tokenize_by_rank(sim_vocab *v, const char *text, size_t n, int32_t *tokens,
                                  int32_t max, int32_t *n_tokens, sl_error *err) {
    int32_t word[WORD_MAX];
    sl_status status = sl__cutter_start(v->cutter, text, n, err);
    while (status == SL_OK) {
        size_t length = 0;
        status = sl__cutter_next(v->cutter, &length, err);
        if (status != SL_OK || length == 0) break;
        for (size_t done = 0; done < length;) {
            const size_t piece = length - done < WORD_MAX ? length - done : WORD_MAX;
            const rank_slot *whole = find(v, text + done, piece);
            word[0] = whole->rank;
            const int32_t parts = whole->bytes ? 1 : merge_word(v, text + done, piece, word);
            for (int32_t i = 0; i < parts; i++, (*n_tokens)++)
                if (*n_tokens < max) tokens[*n_tokens] = word[i];
            done += piece;
        }
        text += length;
    }
    return status;
}

/* ---- life ------------------------------------------------------------------------- */

static sl_status open_gguf(sim_vocab *v, const char *path, sl_error *err) {
    sl__gguf g;
    sl_status status = sl__gguf_open(&g, path, err);
    if (status != SL_OK) return status;
    status = sl__vocab_open(&v->gguf, &g, err);
    sl__gguf_close(&g);
    return status;
}

sl_status sim_vocab_open(sim_vocab **out, const char *path, sl_error *err) {
    sl_status status;
    sim_vocab *v = *out = calloc(1, sizeof(*v));
    if (!v) return sl__fail(err, SL_E_NOMEM, 0, "no memory for a vocabulary");
    if (strstr(path, ".tiktoken")) {
        status = read_list(v, path, err);
        if (status == SL_OK) status = sl__pretokenizer_open(&v->pre, "qwen2", 5, err);
        if (status == SL_OK) status = sl__cutter_open(&v->cutter, v->pre, err);
    } else {
        status = open_gguf(v, path, err);
    }
    if (status != SL_OK) {
        sim_vocab_close(v);
        *out = NULL;
    }
    return status;
}

void sim_vocab_close(sim_vocab *v) {
    if (!v) return;
    sl__vocab_close(&v->gguf);
    sl__cutter_close(&v->cutter);
    sl__pretokenizer_close(&v->pre);
    free(v->slots);
    free(v->list);
    free(v);
}

sl_status sim_vocab_tokenize(sim_vocab *v, const char *text, size_t n, int32_t *tokens, int32_t max,
                             int32_t *n_tokens, sl_error *err) {
    *n_tokens = 0;
    if (v->gguf) return sl__vocab_tokenize(v->gguf, text, n, false, tokens, max, n_tokens, err);
    return tokenize_by_rank(v, text, n, tokens, max, n_tokens, err);
}

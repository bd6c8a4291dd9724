/* vocab_tokenize.c - from text to tokens: special tokens, and the calls.
 *
 *  1. Special tokens are cut out: longest spelling first, wherever it stands in the
 *     text; ties go to the lower id, then to the earlier place (llama.cpp's order).
 *  2. Some of them take the white space after them along: it is dropped.
 *  3. What lies between them goes to bpe.c or spm.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/vocab_encoder.h"

/* A special token found in the text. */
typedef struct match {
    size_t at;
    size_t n;
    const sl__special *special;
} match;

typedef struct matcher {
    const sl__vocab *vocab;
    sl_error *err;
    match *matches;
    size_t n_matches;
    size_t matches_max;
} matcher;

static sl_status out_of_memory(sl_error *err) {
    return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
}

/* ---- special tokens ---- */

static sl_status add_match(matcher *m, match found) {
    if (m->n_matches == m->matches_max) {
        const size_t max = m->matches_max > 0 ? 2 * m->matches_max : 64;
        match *grown = realloc(m->matches, max * sizeof *grown);
        if (!grown) return out_of_memory(m->err);
        m->matches = grown;
        m->matches_max = max;
    }
    m->matches[m->n_matches++] = found;
    return SL_OK;
}

/* Specials [from, to) agree in their first `depth` bytes: move from to the first one with
 * byte `next` there, or to `to`. All are longer than depth. */
static size_t first_with(const sl__special *specials, size_t from, size_t to, size_t depth,
                         unsigned char next) {
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if ((unsigned char)specials[middle].bytes[depth] < next)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Every special token that starts at text[at]. The sorted table is walked as a trie: the
 * range of spellings that agree with the text so far shrinks byte by byte, and one that
 * ends here comes first in it. control_end: where a control token may reach, at most. */
static sl_status match_at(matcher *m, const char *text, size_t n, size_t at, size_t control_end) {
    const sl__special *specials = m->vocab->specials;
    size_t from = 0, to = m->vocab->n_specials;
    for (size_t depth = 0; from < to && at + depth < n; depth++) {
        const unsigned char next = (unsigned char)text[at + depth];
        from = first_with(specials, from, to, depth, next);
        if (next < 255) to = first_with(specials, from, to, depth, (unsigned char)(next + 1));
        for (; from < to && specials[from].n == depth + 1; from++) {
            if (specials[from].control && at + depth + 1 > control_end) continue;
            const sl_status status = add_match(m, (match){at, depth + 1, &specials[from]});
            if (status != SL_OK) return status;
        }
    }
    return SL_OK;
}

/* Matches in a text made of pieces. Control tokens must lie inside one piece that allows
 * them; user-defined ones may lie anywhere. */
static sl_status find_matches(matcher *m, const char *text, size_t n, const sl__text_piece *pieces,
                              size_t n_pieces) {
    size_t end = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        const size_t start = end;
        end += pieces[p].n;
        if (!pieces[p].parse_special && !m->vocab->has_user_defined) continue;
        for (size_t at = start; at < end; at++) {
            const sl_status status = match_at(m, text, n, at, pieces[p].parse_special ? end : 0);
            if (status != SL_OK) return status;
        }
    }
    return SL_OK;
}

static int longest_first(const void *left, const void *right) {
    const match *a = left, *b = right;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    if (a->special != b->special) return a->special->token < b->special->token ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static int by_place(const void *left, const void *right) {
    const match *a = left, *b = right;
    return (a->at > b->at) - (a->at < b->at);
}

/* Keep the matches that do not overlap an earlier one in the order of rule 1; then sort
 * them by place. A later match is never longer than the one it overlaps, so one of its
 * ends lies in it. */
static sl_status choose_matches(matcher *m, size_t n) {
    if (m->n_matches == 0) return SL_OK;
    bool *taken = calloc(n, sizeof *taken);
    if (!taken) return out_of_memory(m->err);
    size_t kept = 0;
    qsort(m->matches, m->n_matches, sizeof *m->matches, longest_first);
    for (size_t i = 0; i < m->n_matches; i++) {
        const match found = m->matches[i];
        if (taken[found.at] || taken[found.at + found.n - 1]) continue;
        memset(taken + found.at, true, found.n);
        m->matches[kept++] = found;
    }
    m->n_matches = kept;
    qsort(m->matches, kept, sizeof *m->matches, by_place);
    free(taken);
    return SL_OK;
}

/* ---- what lies between ---- */

sl_status sl__encoder_reserve(sl__encoder *e, size_t n) {
    if (n <= e->nodes_max) return SL_OK;
    size_t nodes_max = e->nodes_max > 0 ? e->nodes_max : 64;
    while (nodes_max < n)
        nodes_max *= 2;
    free(e->nodes);
    free(e->heap);
    e->nodes_max = 0;
    e->nodes = malloc(nodes_max * sizeof *e->nodes);
    e->heap = malloc(2 * nodes_max * sizeof *e->heap);
    if (!e->nodes || !e->heap) return out_of_memory(e->err);
    e->nodes_max = nodes_max;
    return SL_OK;
}

sl_status sl__encoder_reserve_scratch(sl__encoder *e, size_t n) {
    if (n <= e->scratch_max) return SL_OK;
    free(e->scratch);
    e->scratch_max = 0;
    e->scratch = malloc(n);
    if (!e->scratch) return out_of_memory(e->err);
    e->scratch_max = n;
    return SL_OK;
}

/* A text and the pieces it is made of; `piece` moves forward as the text is read. */
typedef struct reading {
    const char *text;
    size_t n;
    const sl__text_piece *pieces;
    size_t n_pieces;
    size_t piece;     /* index */
    size_t piece_end; /* place where it ends */
} reading;

/* Whether the byte at a place, later ones only, is a space that stands for the one that
 * the tokenizer would put there. */
static bool brings_space(reading *r, size_t at) {
    while (at >= r->piece_end)
        r->piece_end += r->pieces[++r->piece].n;
    return r->pieces[r->piece].brings_space && r->text[at] == ' ';
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static sl_status encode_between(sl__encoder *e, reading *r, size_t start, size_t end) {
    if (start == end) return SL_OK;
    if (e->vocab->model == SL_VOCAB_BPE) return sl__bpe_encode(e, r->text + start, end - start);
    const bool space_before = e->vocab->space_prefix && !brings_space(r, start);
    return sl__spm_encode(e, r->text + start, end - start, space_before);
}

static sl_status encode(sl__encoder *e, matcher *m, reading *r) {
    size_t pos = 0;
    sl_status status = find_matches(m, r->text, r->n, r->pieces, r->n_pieces);
    if (status != SL_OK) return status;
    if ((status = choose_matches(m, r->n)) != SL_OK) return status;

    for (size_t i = 0; i <= m->n_matches; i++) {
        const match *next = i < m->n_matches ? &m->matches[i] : NULL;
        const size_t end = next ? next->at : r->n;
        if (i > 0 && m->matches[i - 1].special->eats_right)
            while (pos < end && is_white(r->text[pos]))
                pos++;
        if ((status = encode_between(e, r, pos, end)) != SL_OK) return status;
        if (next) {
            sl__encoder_emit(e, next->special->token);
            pos = end + next->n;
        }
    }
    return SL_OK;
}

/* ---- calls ---- */

static sl_status encode_all(const sl__vocab *vocab, const char *text, size_t n,
                            const sl__text_piece *pieces, size_t n_pieces, sl_token *tokens,
                            int32_t max, int32_t *n_tokens, sl_error *err) {
    sl__encoder e = {.vocab = vocab, .err = err, .tokens = tokens, .max = max};
    matcher m = {.vocab = vocab, .err = err};
    reading r = {text, n, pieces, n_pieces, 0, pieces[0].n};
    const sl_status status = encode(&e, &m, &r);
    sl__cutter_close(&e.cutter);
    free(e.scratch);
    free(e.nodes);
    free(e.heap);
    free(m.matches);
    *n_tokens = status == SL_OK ? e.count : 0;
    return status;
}

static sl_status fail_length(sl_error *err) {
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "the text is longer than %d bytes",
                    SL_VOCAB_TEXT_MAX);
}

sl_status sl__vocab_tokenize(const sl__vocab *vocab, const char *text, size_t n, bool parse_special,
                             sl_token *tokens, int32_t max, int32_t *n_tokens, sl_error *err) {
    const sl__text_piece piece = {text, n, parse_special, false};
    *n_tokens = 0;
    if (n == 0) return SL_OK;
    if (n > SL_VOCAB_TEXT_MAX) return fail_length(err);
    return encode_all(vocab, text, n, &piece, 1, tokens, max, n_tokens, err);
}

sl_status sl__vocab_tokenize_pieces(const sl__vocab *vocab, const sl__text_piece *pieces,
                                    size_t n_pieces, sl_token *tokens, int32_t max,
                                    int32_t *n_tokens, sl_error *err) {
    size_t n = 0;
    *n_tokens = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        if (pieces[p].n > SL_VOCAB_TEXT_MAX - n) return fail_length(err);
        n += pieces[p].n;
    }
    if (n == 0) return SL_OK;
    char *text = malloc(n);
    if (!text) return out_of_memory(err);
    n = 0;
    for (size_t p = 0; p < n_pieces; p++) {
        if (pieces[p].n > 0) memcpy(text + n, pieces[p].text, pieces[p].n);
        n += pieces[p].n;
    }
    const sl_status status =
        encode_all(vocab, text, n, pieces, n_pieces, tokens, max, n_tokens, err);
    free(text);
    return status;
}

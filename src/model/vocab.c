/* vocab.c - building a vocabulary from a file, and looking tokens up.
 *
 * Byte-level BPE writes each byte as a printable character ("Ġ" is a space), so that
 * vocabulary and merges are text; SentencePiece writes a space as "▁". Both are undone
 * here, once: the arena holds the bytes each token stands for.
 *
 * What loading proves, so that encoding and decoding are inverse for any bytes:
 *     every byte has a token that stands for it, or vocab.h says what happens to it;
 *     every merge joins two tokens into the one that stands for both their bytes;
 *     no byte and no merge is a control token. */
#include "model/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "model/vocab_build.h"

#define KEY_MODEL "tokenizer.ggml.model"
#define KEY_PRE "tokenizer.ggml.pre"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES "tokenizer.ggml.token_type"
#define KEY_MERGES "tokenizer.ggml.merges"
#define KEY_SCORES "tokenizer.ggml.scores"

#define SPM_SPACE "\xe2\x96\x81" /* U+2581 */

sl_status sl__vocab_out_of_memory(const sl__vocab_builder *b) {
    return sl__fail(b->err, SL_E_NOMEM, SL_NOWHERE, "%s: no memory for the vocabulary", b->g->file);
}

static size_t power_of_two(size_t at_least) {
    size_t n = 2;
    while (n < at_least)
        n *= 2;
    return n;
}

/* ---- byte-level characters ---- */

/* The character that writes a byte: printable Latin-1 is itself; the other 68 bytes, in
 * order, are U+0100, U+0101, ... */
static uint32_t character_of_byte(uint32_t byte) {
    if (byte <= 0x20) return 0x100 + byte;
    if (byte >= 0x7f && byte <= 0xa0) return 0x121 + byte - 0x7f;
    if (byte == 0xad) return 0x143;
    return byte;
}

size_t sl__spell_byte(uint32_t byte, char out[2]) {
    const uint32_t character = character_of_byte(byte);
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    out[0] = (char)(0xc0 | character >> 6);
    out[1] = (char)(0x80 | (character & 0x3f));
    return 2;
}

static void index_characters(int16_t byte_of[SL_BYTE_CHARACTERS]) {
    memset(byte_of, 0xff, SL_BYTE_CHARACTERS * sizeof *byte_of);
    for (uint32_t byte = 0; byte < 256; byte++)
        byte_of[character_of_byte(byte)] = (int16_t)byte;
}

/* Undo the spelling: at most n bytes to out, their number returned. Characters that write
 * no byte stay as they are. */
static size_t decode_spelling(const sl__vocab_builder *b, sl__gguf_string spelling, char *out) {
    size_t size = 0;
    const unsigned char *s = (const unsigned char *)spelling.bytes;
    for (size_t i = 0; i < spelling.n; i++) {
        const bool pair =
            s[i] >= 0xc2 && s[i] <= 0xc5 && i + 1 < spelling.n && (s[i + 1] & 0xc0) == 0x80;
        const uint32_t character = pair ? (s[i] & 0x1fu) << 6 | (s[i + 1] & 0x3fu) : s[i];
        const bool known = (pair || character < 0x80) && character < SL_BYTE_CHARACTERS &&
                           b->byte_of[character] >= 0;
        if (known) {
            out[size++] = (char)b->byte_of[character];
            i += pair;
        } else {
            out[size++] = (char)s[i];
        }
    }
    return size;
}

/* "▁" stands for a space. */
static size_t decode_spaces(sl__gguf_string spelling, char *out) {
    const size_t n_space = strlen(SPM_SPACE);
    size_t size = 0;
    for (size_t i = 0; i < spelling.n; i++) {
        const bool space =
            i + n_space <= spelling.n && memcmp(spelling.bytes + i, SPM_SPACE, n_space) == 0;
        out[size++] = space ? ' ' : spelling.bytes[i];
        if (space) i += n_space - 1;
    }
    return size;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x41>" -> 0x41, or -1. */
static int decode_byte_token(sl__gguf_string spelling) {
    const char *s = spelling.bytes;
    if (spelling.n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    const int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* ---- tokens ---- */

static int32_t *spelling_slot(const sl__vocab_builder *b, const char *bytes, size_t n) {
    const size_t mask = b->n_slots - 1;
    for (size_t s = (size_t)sl__hash_bytes(SL_HASH_SEED, bytes, n) & mask;; s = (s + 1) & mask) {
        int32_t *slot = &b->slots[s];
        if (*slot < 0) return slot;
        const sl__gguf_string *found = &b->spellings[*slot];
        if (found->n == n && memcmp(found->bytes, bytes, n) == 0) return slot;
    }
}

sl_token sl__vocab_find_spelling(const sl__vocab_builder *b, const char *bytes, size_t n) {
    return n > 0 ? *spelling_slot(b, bytes, n) : -1;
}

static sl_status allocate_tokens(sl__vocab_builder *b, uint64_t n_tokens) {
    sl__vocab *v = b->vocab;
    if (n_tokens < 1 || n_tokens > SL_VOCAB_TOKENS_MAX)
        return sl__gguf_fail_key(b->g, KEY_TOKENS, b->err, "%" PRIu64 " tokens, expected 1 .. %d",
                                 n_tokens, SL_VOCAB_TOKENS_MAX);
    const size_t n = (size_t)n_tokens;
    v->n_tokens = (int32_t)n;
    b->n_slots = power_of_two(2 * n);
    b->spellings = malloc(n * sizeof *b->spellings);
    b->slots = malloc(b->n_slots * sizeof *b->slots);
    v->starts = malloc((n + 1) * sizeof *v->starts);
    v->kinds = malloc(n);
    if (!b->spellings || !b->slots || !v->starts || !v->kinds) return sl__vocab_out_of_memory(b);
    memset(b->slots, 0xff, b->n_slots * sizeof *b->slots);
    return SL_OK;
}

static sl_status read_kinds(sl__vocab_builder *b) {
    sl__gguf_array types;
    sl__vocab *v = b->vocab;
    const sl_status status =
        sl__gguf_i32s_or_empty(b->g, KEY_TYPES, SL_TOKEN_UNDEFINED, SL_TOKEN_BYTE, &types, b->err);
    if (status != SL_OK) return status;
    if (types.n != 0 && types.n != (uint64_t)v->n_tokens)
        return sl__gguf_fail_key(b->g, KEY_TYPES, b->err,
                                 "%" PRIu64 " types, expected one for each of %" PRId32 " tokens",
                                 types.n, v->n_tokens);
    for (uint64_t i = 0; i < (uint64_t)v->n_tokens; i++)
        v->kinds[i] = types.n > 0 ? (uint8_t)sl__gguf_i32_at(&types, i) : SL_TOKEN_NORMAL;
    return SL_OK;
}

/* Fail about a string inside an array key, pointing at it. */
static sl_status fail_element(const sl__vocab_builder *b, const char *key, uint64_t index,
                              sl__gguf_string element, const char *what) {
    const int shown = element.n > 40 ? 40 : (int)element.n;
    return sl__gguf_fail_value(b->g, key, element.bytes, b->err, "element %" PRIu64 " \"%.*s\" %s",
                               index, shown, element.bytes, what);
}

/* Spellings into the lookup table; each non-empty one once. */
static sl_status read_spellings(sl__vocab_builder *b, sl__gguf_array tokens, uint64_t *total) {
    *total = 0;
    for (int32_t i = 0; i < b->vocab->n_tokens; i++) {
        const sl__gguf_string spelling = sl__gguf_next_string(&tokens);
        b->spellings[i] = spelling;
        *total += spelling.n;
        if (spelling.n > b->spelling_max) b->spelling_max = spelling.n;
        if (spelling.n == 0) continue; /* padding; it can neither be matched nor shown */
        int32_t *slot = spelling_slot(b, spelling.bytes, spelling.n);
        if (*slot >= 0)
            return fail_element(b, KEY_TOKENS, (uint64_t)i, spelling, "appears a second time");
        *slot = i;
    }
    if (*total > UINT32_MAX)
        return sl__gguf_fail_key(b->g, KEY_TOKENS, b->err,
                                 "%" PRIu64 " bytes of text, expected less than 4 GiB", *total);
    return SL_OK;
}

static sl_status decode_tokens(sl__vocab_builder *b, uint64_t total) {
    sl__vocab *v = b->vocab;
    size_t used = 0;
    v->arena = malloc((size_t)total + 1);
    if (!v->arena) return sl__vocab_out_of_memory(b);

    for (int32_t i = 0; i < v->n_tokens; i++) {
        const sl__gguf_string spelling = b->spellings[i];
        char *out = v->arena + used;
        v->starts[i] = (uint32_t)used;
        switch ((sl__token_kind)v->kinds[i]) {
        case SL_TOKEN_NORMAL:
            used += v->model == SL_VOCAB_SPM ? decode_spaces(spelling, out)
                                             : decode_spelling(b, spelling, out);
            break;
        case SL_TOKEN_UNKNOWN:
        case SL_TOKEN_CONTROL:
        case SL_TOKEN_USER_DEFINED:
            memcpy(out, spelling.bytes, spelling.n);
            used += spelling.n;
            break;
        case SL_TOKEN_BYTE: {
            const int byte = decode_byte_token(spelling);
            if (byte < 0)
                return fail_element(b, KEY_TOKENS, (uint64_t)i, spelling,
                                    "is a byte token, expected \"<0x00>\" .. \"<0xFF>\"");
            *out = (char)byte;
            used += 1;
            break;
        }
        case SL_TOKEN_UNDEFINED:
        case SL_TOKEN_UNUSED:
        case SL_TOKEN_SHOWN: /* in no file */
            break;
        }
    }
    v->starts[v->n_tokens] = (uint32_t)used;
    return SL_OK;
}

static sl_status read_tokens(sl__vocab_builder *b) {
    sl__gguf_array tokens;
    uint64_t total = 0;
    sl_status status = sl__gguf_strs(b->g, KEY_TOKENS, &tokens, b->err);
    if (status != SL_OK) return status;
    if ((status = allocate_tokens(b, tokens.n)) != SL_OK) return status;
    if ((status = read_kinds(b)) != SL_OK) return status;
    if ((status = read_spellings(b, tokens, &total)) != SL_OK) return status;
    return decode_tokens(b, total);
}

/* Bytes that valid UTF-8 never has, and that some tokenizers were made without. */
static bool is_never_valid(uint32_t byte) {
    return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5;
}

static sl_status find_byte_tokens(sl__vocab_builder *b) {
    sl__vocab *v = b->vocab;
    for (uint32_t byte = 0; byte < 256; byte++) {
        char spelling[2];
        const sl_token token = sl__vocab_find_spelling(b, spelling, sl__spell_byte(byte, spelling));
        size_t n = 0;
        const char *bytes = token < 0 ? "" : sl__vocab_bytes(v, token, false, &n);
        const bool found = n == 1 && (unsigned char)bytes[0] == byte;
        if (!found && is_never_valid(byte)) { /* a user-defined "À" is no byte */
            v->byte_tokens[byte] = -1;
            v->lacks_bytes = true;
            continue;
        }
        if (!found)
            return sl__gguf_fail_key(
                b->g, KEY_TOKENS, b->err,
                "no token for byte 0x%02" PRIx32 ", expected one for each of valid UTF-8", byte);
        v->byte_tokens[byte] = token;
    }
    return SL_OK;
}

/* "<0x41>", else a token of that byte alone, else the unknown token. */
static sl_status find_fallback_tokens(sl__vocab_builder *b) {
    sl__vocab *v = b->vocab;
    sl_token unknown = -1;
    const sl_status status = sl__gguf_i32_or(b->g, "tokenizer.ggml.unknown_token_id", 0, 0,
                                             v->n_tokens - 1, &unknown, b->err);
    if (status != SL_OK) return status;
    const bool has_unknown = v->kinds[unknown] == SL_TOKEN_UNKNOWN;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const char alone = (char)byte;
        v->byte_tokens[byte] = sl__vocab_find_ordinary(v, &alone, 1);
    }
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->kinds[i] == SL_TOKEN_BYTE) v->byte_tokens[(unsigned char)v->arena[v->starts[i]]] = i;
    for (uint32_t byte = 0; byte < 256; byte++) {
        if (v->byte_tokens[byte] >= 0) continue;
        if (!has_unknown)
            return sl__gguf_fail_key(
                b->g, KEY_TOKENS, b->err,
                "neither a token for byte 0x%02" PRIx32 " nor one for the unknown", byte);
        v->byte_tokens[byte] = unknown;
    }
    return SL_OK;
}

/* Floats, or integers. */
static sl_status read_scores(sl__vocab_builder *b) {
    sl__gguf_array scores;
    sl__vocab *v = b->vocab;
    const sl__gguf_key *key = sl__gguf_find_key(b->g, KEY_SCORES);
    const bool whole = key && key->element == SL_GGUF_I32;
    const sl_status status =
        whole ? sl__gguf_i32s_or_empty(b->g, KEY_SCORES, INT32_MIN, INT32_MAX, &scores, b->err)
              : sl__gguf_f32s_or_empty(b->g, KEY_SCORES, &scores, b->err);
    if (status != SL_OK) return status;
    if (scores.n != (uint64_t)v->n_tokens)
        return sl__gguf_fail_key(b->g, KEY_SCORES, b->err,
                                 "%" PRIu64 " scores, expected one for each of %" PRId32 " tokens",
                                 scores.n, v->n_tokens);
    v->scores = malloc((size_t)v->n_tokens * sizeof *v->scores);
    if (!v->scores) return sl__vocab_out_of_memory(b);
    for (uint64_t i = 0; i < scores.n; i++)
        v->scores[i] = whole ? (float)sl__gguf_i32_at(&scores, i) : sl__gguf_f32_at(&scores, i);
    return SL_OK;
}

/* ---- ordinary tokens by their bytes ---- */

static int32_t *ordinary_slot(const sl__vocab *v, const char *bytes, size_t n) {
    const size_t mask = v->ordinary_slots - 1;
    for (size_t s = (size_t)sl__hash_bytes(SL_HASH_SEED, bytes, n) & mask;; s = (s + 1) & mask) {
        int32_t *slot = &v->ordinary[s];
        if (*slot < 0) return slot;
        const uint32_t start = v->starts[*slot];
        if (v->starts[*slot + 1] - start == n && memcmp(v->arena + start, bytes, n) == 0)
            return slot;
    }
}

sl_token sl__vocab_find_ordinary(const sl__vocab *vocab, const char *bytes, size_t n) {
    SL_ASSERT(vocab->ordinary);
    return n > vocab->ordinary_max ? -1 : *ordinary_slot(vocab, bytes, n);
}

/* What merges may end in. Where a space is spelled "▁", a token spelled with a space is
 * found by none: those are user-defined, and matched before. */
static bool is_ordinary(const sl__vocab_builder *b, sl_token token) {
    const sl__vocab *v = b->vocab;
    const sl__gguf_string spelling = b->spellings[token];
    if (v->kinds[token] != SL_TOKEN_NORMAL && v->kinds[token] != SL_TOKEN_USER_DEFINED)
        return false;
    if (v->starts[token] == v->starts[token + 1]) return false;
    return v->model != SL_VOCAB_SPM || !memchr(spelling.bytes, ' ', spelling.n);
}

static sl_status index_ordinary(sl__vocab_builder *b) {
    sl__vocab *v = b->vocab;
    v->ordinary_slots = power_of_two(2 * (size_t)v->n_tokens);
    v->ordinary = malloc(v->ordinary_slots * sizeof *v->ordinary);
    if (!v->ordinary) return sl__vocab_out_of_memory(b);
    memset(v->ordinary, 0xff, v->ordinary_slots * sizeof *v->ordinary);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!is_ordinary(b, i)) continue;
        const size_t n = v->starts[i + 1] - v->starts[i];
        int32_t *slot = ordinary_slot(v, v->arena + v->starts[i], n);
        if (*slot < 0) *slot = i; /* of two spellings of the same bytes, the first */
        if (n > v->ordinary_max) v->ordinary_max = n;
    }
    return SL_OK;
}

/* ---- merges ---- */

sl__merge *sl__merge_slot(const sl__vocab *vocab, sl_token left, sl_token right) {
    const size_t mask = vocab->merge_slots - 1;
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t s = (size_t)sl__mix64(pair) & mask;; s = (s + 1) & mask) {
        sl__merge *merge = &vocab->merges[s];
        if (merge->left < 0 || (merge->left == left && merge->right == right)) return merge;
    }
}

static bool stands_for_both(const sl__vocab *v, sl_token token, sl_token left, sl_token right) {
    size_t n, n_left, n_right;
    const char *bytes = sl__vocab_bytes(v, token, true, &n);
    const char *bytes_left = sl__vocab_bytes(v, left, true, &n_left);
    const char *bytes_right = sl__vocab_bytes(v, right, true, &n_right);
    return n == n_left + n_right && memcmp(bytes, bytes_left, n_left) == 0 &&
           memcmp(bytes + n_left, bytes_right, n_right) == 0;
}

/* "left right", both tokens, and so is what they make. */
static sl_status add_merge(sl__vocab_builder *b, sl__gguf_string text, int32_t rank) {
    sl__vocab *v = b->vocab;
    const uint64_t index = (uint64_t)rank;
    const char *space = text.n > 2 ? memchr(text.bytes + 1, ' ', text.n - 2) : NULL;
    if (!space) return fail_element(b, KEY_MERGES, index, text, "is not two parts and a space");
    const size_t n_left = (size_t)(space - text.bytes), n_right = text.n - n_left - 1;

    const sl_token left = sl__vocab_find_spelling(b, text.bytes, n_left);
    const sl_token right = sl__vocab_find_spelling(b, space + 1, n_right);
    if (left < 0 || right < 0)
        return fail_element(b, KEY_MERGES, index, text, "joins a part that is no token");
    sl_token result = -1;
    if (n_left + n_right <= b->spelling_max) {
        memcpy(b->joined, text.bytes, n_left);
        memcpy(b->joined + n_left, space + 1, n_right);
        result = sl__vocab_find_spelling(b, b->joined, n_left + n_right);
    }
    if (result < 0) return fail_element(b, KEY_MERGES, index, text, "makes no token");
    if (sl__is_control(v->kinds[result]) || !stands_for_both(v, result, left, right))
        return fail_element(b, KEY_MERGES, index, text, "makes a token of other bytes");

    sl__merge *slot = sl__merge_slot(v, left, right);
    if (slot->left < 0) *slot = (sl__merge){left, right, result, rank}; /* the first one counts */
    return SL_OK;
}

static sl_status read_merges(sl__vocab_builder *b) {
    sl__gguf_array merges;
    sl__vocab *v = b->vocab;
    sl_status status = sl__gguf_strs(b->g, KEY_MERGES, &merges, b->err);
    if (status != SL_OK) return status;
    if (merges.n > SL_VOCAB_TOKENS_MAX)
        return sl__gguf_fail_key(b->g, KEY_MERGES, b->err,
                                 "%" PRIu64 " merges, expected at most %d", merges.n,
                                 SL_VOCAB_TOKENS_MAX);
    v->merge_slots = power_of_two(2 * (size_t)merges.n);
    v->merges = malloc(v->merge_slots * sizeof *v->merges);
    b->joined = malloc(b->spelling_max);
    if (!v->merges || !b->joined) return sl__vocab_out_of_memory(b);
    memset(v->merges, 0xff, v->merge_slots * sizeof *v->merges);

    const int32_t n = (int32_t)merges.n;
    for (int32_t rank = 0; rank < n && status == SL_OK; rank++)
        status = add_merge(b, sl__gguf_next_string(&merges), rank);
    return status;
}

/* ---- the whole ---- */

static sl_status open_pretokenizer(sl__vocab_builder *b) {
    sl__gguf_string pre;
    sl_error cause = {0};
    sl_status status = sl__gguf_str(b->g, KEY_PRE, &pre, b->err);
    if (status != SL_OK) return status;
    status = sl__pretokenizer_open(&b->vocab->pre, pre.bytes, pre.n, &cause);
    if (status == SL_E_FORMAT) return sl__gguf_fail_key(b->g, KEY_PRE, b->err, "%s", cause.text);
    if (status != SL_OK) return sl__vocab_out_of_memory(b);
    b->vocab->whole_words = sl__pretokenizer_whole_words(b->vocab->pre);
    return SL_OK;
}

static sl_status read_model(sl__vocab_builder *b) {
    sl__gguf_string model;
    const sl_status status = sl__gguf_str(b->g, KEY_MODEL, &model, b->err);
    if (status != SL_OK) return status;
    if (sl__gguf_string_is(model, "gpt2")) {
        b->vocab->model = SL_VOCAB_BPE;
        return open_pretokenizer(b);
    }
    if (!sl__gguf_string_is(model, "llama"))
        return sl__gguf_fail_key(b->g, KEY_MODEL, b->err,
                                 "tokenizer \"%.*s\" is not supported, expected \"gpt2\" "
                                 "(byte-level BPE) or \"llama\" (SentencePiece BPE)",
                                 model.n > 64 ? 64 : (int)model.n, model.bytes);
    b->vocab->model = SL_VOCAB_SPM;
    return sl__gguf_bool_or(b->g, "tokenizer.ggml.add_space_prefix", true, &b->vocab->space_prefix,
                            b->err);
}

static sl_status read_bpe(sl__vocab_builder *b) {
    sl_status status = find_byte_tokens(b);
    if (status == SL_OK) status = read_merges(b);
    if (status == SL_OK && b->vocab->whole_words) status = index_ordinary(b);
    return status;
}

static sl_status read_spm(sl__vocab_builder *b) {
    sl_status status = read_scores(b);
    if (status == SL_OK) status = index_ordinary(b);
    if (status == SL_OK) status = find_fallback_tokens(b);
    return status;
}

sl_status sl__vocab_open(sl__vocab **out, const sl__gguf *g, sl_error *err) {
    sl_status status;
    sl__vocab *v = calloc(1, sizeof *v);
    sl__vocab_builder b = {.vocab = v, .g = g, .err = err};

    *out = NULL;
    if (!v) return sl__vocab_out_of_memory(&b);
    v->bos = v->eos = -1;
    index_characters(b.byte_of);
    if ((status = read_model(&b)) != SL_OK) goto done;
    if ((status = read_tokens(&b)) != SL_OK) goto done;
    if ((status = sl__vocab_find_eogs(&b)) != SL_OK) goto done; /* may change kinds */
    if ((status = v->model == SL_VOCAB_SPM ? read_spm(&b) : read_bpe(&b)) != SL_OK) goto done;
    if ((status = sl__vocab_find_specials(&b)) != SL_OK) goto done;
    status = sl__vocab_read_ends(&b);

done:
    free(b.joined);
    free(b.slots);
    free(b.spellings);
    if (status != SL_OK) sl__vocab_close(&v);
    *out = v;
    return status;
}

void sl__vocab_close(sl__vocab **vocab) {
    sl__vocab *v = *vocab;
    if (v) {
        sl__pretokenizer_close(&v->pre);
        free(v->eogs);
        free(v->specials);
        free(v->scores);
        free(v->merges);
        free(v->ordinary);
        free(v->kinds);
        free(v->starts);
        free(v->arena);
    }
    free(v);
    *vocab = NULL;
}

int32_t sl__vocab_size(const sl__vocab *vocab) {
    return vocab->n_tokens;
}

const char *sl__vocab_bytes(const sl__vocab *vocab, sl_token token, bool special, size_t *n) {
    SL_ASSERT(token >= 0 && token < vocab->n_tokens);
    const uint32_t start = vocab->starts[token];
    *n = sl__is_hidden(vocab->kinds[token]) && !special ? 0 : vocab->starts[token + 1] - start;
    return vocab->arena + start;
}

bool sl__vocab_is_eog(const sl__vocab *vocab, sl_token token) {
    for (int32_t i = 0; i < vocab->n_eogs; i++)
        if (vocab->eogs[i] == token) return true;
    return false;
}

sl_token sl__vocab_bos(const sl__vocab *vocab) {
    return vocab->bos;
}

sl_token sl__vocab_eos(const sl__vocab *vocab) {
    return vocab->eos;
}

bool sl__vocab_adds_space(const sl__vocab *vocab) {
    return vocab->model == SL_VOCAB_SPM && vocab->space_prefix;
}

bool sl__vocab_adds_bos(const sl__vocab *vocab) {
    return vocab->adds_bos;
}

bool sl__vocab_adds_eos(const sl__vocab *vocab) {
    return vocab->adds_eos;
}

const sl_token *sl__vocab_eogs(const sl__vocab *vocab, int32_t *n) {
    *n = vocab->n_eogs;
    return vocab->eogs;
}

/* vocab.c - building a vocabulary from a file, and looking tokens up.
 *
 * Byte-level BPE writes each byte as a printable character ("Ġ" is a space), so that
 * vocabulary and merges are text. It is undone here, once: the arena holds the bytes
 * each token stands for.
 *
 * What loading proves, so that encoding and decoding are inverse for any bytes:
 *     every byte has a token that stands for it;
 *     every merge joins two tokens into the one that stands for both their bytes;
 *     no byte and no merge is a control token. */
#include "model/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "model/vocab_private.h"

#define KEY_MODEL "tokenizer.ggml.model"
#define KEY_PRE "tokenizer.ggml.pre"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES "tokenizer.ggml.token_type"
#define KEY_MERGES "tokenizer.ggml.merges"

#define BYTE_CHARACTERS 324 /* bytes are spelled in U+0000 .. U+0143 */

/* Needed while loading only. */
typedef struct builder {
    sl__vocab *vocab;
    const sl__gguf *g;
    sl__gguf_string *spellings;       /* [n_tokens] as in the file                 */
    int32_t *slots;                   /* [n_slots] by spelling; an id, or -1       */
    size_t n_slots;                   /* power of two, >= 2 * n_tokens             */
    size_t spelling_max;              /* bytes of the longest                      */
    char *joined;                     /* [spelling_max] scratch: a merge's result  */
    int16_t byte_of[BYTE_CHARACTERS]; /* the byte a character spells, or -1  */
    sl_error *err;
} builder;

static sl_status out_of_memory(const builder *b) {
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

static void index_characters(int16_t byte_of[BYTE_CHARACTERS]) {
    memset(byte_of, 0xff, BYTE_CHARACTERS * sizeof *byte_of);
    for (uint32_t byte = 0; byte < 256; byte++)
        byte_of[character_of_byte(byte)] = (int16_t)byte;
}

/* Undo the spelling: at most n bytes to out, their number returned. Characters that write
 * no byte stay as they are. */
static size_t decode_spelling(const builder *b, sl__gguf_string spelling, char *out) {
    size_t size = 0;
    const unsigned char *s = (const unsigned char *)spelling.bytes;
    for (size_t i = 0; i < spelling.n; i++) {
        const bool pair =
            s[i] >= 0xc2 && s[i] <= 0xc5 && i + 1 < spelling.n && (s[i + 1] & 0xc0) == 0x80;
        const uint32_t character = pair ? (s[i] & 0x1fu) << 6 | (s[i + 1] & 0x3fu) : s[i];
        const bool known =
            (pair || character < 0x80) && character < BYTE_CHARACTERS && b->byte_of[character] >= 0;
        if (known) {
            out[size++] = (char)b->byte_of[character];
            i += pair;
        } else {
            out[size++] = (char)s[i];
        }
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

static int32_t *spelling_slot(const builder *b, const char *bytes, size_t n) {
    const size_t mask = b->n_slots - 1;
    for (size_t s = (size_t)sl__hash_bytes(SL_HASH_SEED, bytes, n) & mask;; s = (s + 1) & mask) {
        int32_t *slot = &b->slots[s];
        if (*slot < 0) return slot;
        const sl__gguf_string *found = &b->spellings[*slot];
        if (found->n == n && memcmp(found->bytes, bytes, n) == 0) return slot;
    }
}

static sl_token find_spelling(const builder *b, const char *bytes, size_t n) {
    return n > 0 ? *spelling_slot(b, bytes, n) : -1;
}

static sl_status allocate_tokens(builder *b, uint64_t n_tokens) {
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
    if (!b->spellings || !b->slots || !v->starts || !v->kinds) return out_of_memory(b);
    memset(b->slots, 0xff, b->n_slots * sizeof *b->slots);
    return SL_OK;
}

static sl_status read_kinds(builder *b) {
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
static sl_status fail_element(const builder *b, const char *key, uint64_t index,
                              sl__gguf_string element, const char *what) {
    const int shown = element.n > 40 ? 40 : (int)element.n;
    return sl__gguf_fail_value(b->g, key, element.bytes, b->err, "element %" PRIu64 " \"%.*s\" %s",
                               index, shown, element.bytes, what);
}

/* Spellings into the lookup table; each non-empty one once. */
static sl_status read_spellings(builder *b, sl__gguf_array tokens, uint64_t *total) {
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

static sl_status decode_tokens(builder *b, uint64_t total) {
    sl__vocab *v = b->vocab;
    size_t used = 0;
    v->arena = malloc((size_t)total + 1);
    if (!v->arena) return out_of_memory(b);

    for (int32_t i = 0; i < v->n_tokens; i++) {
        const sl__gguf_string spelling = b->spellings[i];
        char *out = v->arena + used;
        v->starts[i] = (uint32_t)used;
        switch ((sl__token_kind)v->kinds[i]) {
        case SL_TOKEN_NORMAL:
            used += decode_spelling(b, spelling, out);
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
            break;
        }
    }
    v->starts[v->n_tokens] = (uint32_t)used;
    return SL_OK;
}

static sl_status read_tokens(builder *b) {
    sl__gguf_array tokens;
    uint64_t total = 0;
    sl_status status = sl__gguf_strs(b->g, KEY_TOKENS, &tokens, b->err);
    if (status != SL_OK) return status;
    if ((status = allocate_tokens(b, tokens.n)) != SL_OK) return status;
    if ((status = read_kinds(b)) != SL_OK) return status;
    if ((status = read_spellings(b, tokens, &total)) != SL_OK) return status;
    return decode_tokens(b, total);
}

static bool is_markup(const sl__vocab *v, sl_token token) {
    return v->kinds[token] == SL_TOKEN_CONTROL || v->kinds[token] == SL_TOKEN_UNKNOWN;
}

static sl_status find_byte_tokens(builder *b) {
    sl__vocab *v = b->vocab;
    for (uint32_t byte = 0; byte < 256; byte++) {
        char spelling[2];
        const sl_token token = find_spelling(b, spelling, sl__spell_byte(byte, spelling));
        size_t n = 0;
        const char *bytes = token < 0 ? "" : sl__vocab_bytes(v, token, false, &n);
        if (n != 1 || (unsigned char)bytes[0] != byte)
            return sl__gguf_fail_key(
                b->g, KEY_TOKENS, b->err,
                "no token for byte 0x%02" PRIx32 ", expected one for each of the 256", byte);
        v->byte_tokens[byte] = token;
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
static sl_status add_merge(builder *b, sl__gguf_string text, int32_t rank) {
    sl__vocab *v = b->vocab;
    const uint64_t index = (uint64_t)rank;
    const char *space = text.n > 2 ? memchr(text.bytes + 1, ' ', text.n - 2) : NULL;
    if (!space) return fail_element(b, KEY_MERGES, index, text, "is not two parts and a space");
    const size_t n_left = (size_t)(space - text.bytes), n_right = text.n - n_left - 1;

    const sl_token left = find_spelling(b, text.bytes, n_left);
    const sl_token right = find_spelling(b, space + 1, n_right);
    if (left < 0 || right < 0)
        return fail_element(b, KEY_MERGES, index, text, "joins a part that is no token");
    sl_token result = -1;
    if (n_left + n_right <= b->spelling_max) {
        memcpy(b->joined, text.bytes, n_left);
        memcpy(b->joined + n_left, space + 1, n_right);
        result = find_spelling(b, b->joined, n_left + n_right);
    }
    if (result < 0) return fail_element(b, KEY_MERGES, index, text, "makes no token");
    if (is_markup(v, result) || !stands_for_both(v, result, left, right))
        return fail_element(b, KEY_MERGES, index, text, "makes a token of other bytes");

    sl__merge *slot = sl__merge_slot(v, left, right);
    if (slot->left < 0) *slot = (sl__merge){left, right, result, rank}; /* the first one counts */
    return SL_OK;
}

static sl_status read_merges(builder *b) {
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
    if (!v->merges || !b->joined) return out_of_memory(b);
    memset(v->merges, 0xff, v->merge_slots * sizeof *v->merges);

    const int32_t n = (int32_t)merges.n;
    for (int32_t rank = 0; rank < n && status == SL_OK; rank++)
        status = add_merge(b, sl__gguf_next_string(&merges), rank);
    return status;
}

/* ---- special tokens ---- */

/* Spellings that end generation, in files whose keys do not say so (llama.cpp's list).
 * They count only for tokens that are not ordinary text: "</s>" also ends a strike. */
static const char *const eog_spellings[] = {
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "</s>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

static bool token_key(const builder *b, const char *key, sl_token *token, sl_status *status) {
    if (*status == SL_OK)
        *status = sl__gguf_i32_or(b->g, key, -1, 0, b->vocab->n_tokens - 1, token, b->err);
    return *status == SL_OK && *token >= 0;
}

/* The end-of-generation set: marked in a map first, so that it is ascending and unique. */
static sl_status find_eogs(builder *b) {
    static const char *const keys[] = {
        "tokenizer.ggml.eos_token_id",     "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id",
    };
    sl__vocab *v = b->vocab;
    sl_status status = SL_OK;
    bool *ends = calloc((size_t)v->n_tokens, sizeof *ends);
    if (!ends) return out_of_memory(b);

    for (size_t i = 0; i < SL_COUNT(keys); i++) {
        sl_token token = -1;
        if (token_key(b, keys[i], &token, &status)) ends[token] = true;
        if (i == 0) v->eos = token;
    }
    for (size_t i = 0; i < SL_COUNT(eog_spellings); i++) {
        const sl_token token = find_spelling(b, eog_spellings[i], strlen(eog_spellings[i]));
        if (token < 0 || v->kinds[token] == SL_TOKEN_NORMAL) continue;
        ends[token] = true;
        if (v->kinds[token] == SL_TOKEN_USER_DEFINED) v->kinds[token] = SL_TOKEN_CONTROL;
    }
    for (int32_t i = 0; i < v->n_tokens; i++)
        v->n_eogs += ends[i];
    v->eogs = malloc(((size_t)v->n_eogs + 1) * sizeof *v->eogs);
    if (!v->eogs && status == SL_OK) status = out_of_memory(b);
    for (int32_t i = 0, n = 0; i < v->n_tokens && status == SL_OK; i++)
        if (ends[i]) v->eogs[n++] = i;
    free(ends);
    return status;
}

static int by_bytes(const void *left, const void *right) {
    const sl__special *a = left, *b = right;
    const int order = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

static sl_status find_specials(builder *b) {
    sl__vocab *v = b->vocab;
    size_t n = 0;
    for (int32_t i = 0; i < v->n_tokens; i++)
        n += is_markup(v, i) || v->kinds[i] == SL_TOKEN_USER_DEFINED;
    v->specials = malloc((n + 1) * sizeof *v->specials);
    if (!v->specials) return out_of_memory(b);

    for (int32_t i = 0; i < v->n_tokens; i++) {
        const bool control = is_markup(v, i);
        if (!control && v->kinds[i] != SL_TOKEN_USER_DEFINED) continue;
        const sl__special special = {v->arena + v->starts[i], v->starts[i + 1] - v->starts[i], i,
                                     control};
        if (special.n == 0) continue;
        v->specials[v->n_specials++] = special;
        v->has_user_defined |= !control;
    }
    qsort(v->specials, v->n_specials, sizeof *v->specials, by_bytes);
    return SL_OK;
}

static sl_status read_bos(builder *b) {
    sl__vocab *v = b->vocab;
    sl_status status = SL_OK;
    (void)token_key(b, "tokenizer.ggml.bos_token_id", &v->bos, &status);
    if (status != SL_OK) return status;
    status = sl__gguf_bool_or(b->g, "tokenizer.ggml.add_bos_token", false, &v->adds_bos, b->err);
    if (status != SL_OK) return status;
    if (v->adds_bos && v->bos < 0)
        return sl__gguf_fail_key(b->g, "tokenizer.ggml.add_bos_token", b->err,
                                 "true, expected tokenizer.ggml.bos_token_id to be there");
    return SL_OK;
}

/* ---- the whole ---- */

static sl_status open_pretokenizer(builder *b) {
    sl__gguf_string model, pre;
    sl_error cause = {0};
    sl_status status = sl__gguf_str(b->g, KEY_MODEL, &model, b->err);
    if (status != SL_OK) return status;
    if (!sl__gguf_string_is(model, "gpt2"))
        return sl__gguf_fail_key(b->g, KEY_MODEL, b->err,
                                 "tokenizer \"%.*s\" is not supported, expected \"gpt2\" "
                                 "(byte-level BPE)",
                                 model.n > 64 ? 64 : (int)model.n, model.bytes);
    if ((status = sl__gguf_str(b->g, KEY_PRE, &pre, b->err)) != SL_OK) return status;
    status = sl__pretokenizer_open(&b->vocab->pre, pre.bytes, pre.n, &cause);
    if (status == SL_E_FORMAT) return sl__gguf_fail_key(b->g, KEY_PRE, b->err, "%s", cause.text);
    if (status != SL_OK) return out_of_memory(b);
    return SL_OK;
}

sl_status sl__vocab_open(sl__vocab **out, const sl__gguf *g, sl_error *err) {
    sl_status status;
    sl__vocab *v = calloc(1, sizeof *v);
    builder b = {.vocab = v, .g = g, .err = err};

    *out = NULL;
    if (!v) return out_of_memory(&b);
    v->bos = v->eos = -1;
    index_characters(b.byte_of);
    if ((status = open_pretokenizer(&b)) != SL_OK) goto done;
    if ((status = read_tokens(&b)) != SL_OK) goto done;
    if ((status = find_byte_tokens(&b)) != SL_OK) goto done;
    if ((status = find_eogs(&b)) != SL_OK) goto done; /* may turn a token into control */
    if ((status = read_merges(&b)) != SL_OK) goto done;
    if ((status = find_specials(&b)) != SL_OK) goto done;
    status = read_bos(&b);

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
        free(v->merges);
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
    *n = is_markup(vocab, token) && !special ? 0 : vocab->starts[token + 1] - start;
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

bool sl__vocab_adds_bos(const sl__vocab *vocab) {
    return vocab->adds_bos;
}

const sl_token *sl__vocab_eogs(const sl__vocab *vocab, int32_t *n) {
    *n = vocab->n_eogs;
    return vocab->eogs;
}

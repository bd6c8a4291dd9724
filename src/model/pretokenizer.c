/* pretokenizer.c - the table of patterns, and PCRE2 behind a cutter.
 *
 * A row has one to six patterns, applied one after the other. Each cuts the pieces of the
 * one before: its matches, and the gaps between them. A piece is the whole world of the
 * next pattern: what a look-ahead sees behind its end is the end of the text.
 *
 *     "It's 2026"    \p{N}{1,3}   It's_ | 202 | 6
 *                    '[st]| ?\p{L}+      It | 's | _ | 202 | 6
 *
 * Invalid UTF-8: a text that has any is copied with each such byte replaced by U+0001,
 * one byte for one byte, so that every offset in the copy is an offset in the text. To
 * the patterns here U+0001 is what llama.cpp's U+FFFD is: no letter, number or space.
 *
 * The patterns are those the models were trained with, as llama.cpp names them. They are
 * written so that no text takes more than linear time. */
#include "model/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define STAND_IN 1
#define STAGES_MAX 6
#define NAMES_MAX 12

/* White_Space of Unicode, written out: \s of PCRE2 has U+180E too, which left that class
 * in Unicode 6.3 and is no space to the tokenizers these patterns come from. */
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"

/* ---- parts of patterns ---- */

#define CONTRACTIONS "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+" /* letters with one leading non-letter */
#define SYMBOLS " ?[^" SPACES "\\p{L}\\p{N}]+"
#define LINES "[" SPACES "]*[\\r\\n]+"
/* Spaces, the last of which goes to the next word. */
#define GAP "[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"

/* What GPT-4 began: words, numbers of so many digits, punctuation with newlines. */
#define MODERN(numbers) CONTRACTIONS "|" WORD "|" numbers "|" SYMBOLS "[\\r\\n]*|" LINES "|" GAP

#define GPT2                                                                                       \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACES "\\p{L}\\p{N}]+"                     \
    "|[" SPACES "]+(?![^" SPACES "])"

#define QWEN35                                                                                     \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                                   \
                 "| ?[^" SPACES "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" GAP

/* "HTTPServer" is "HTTPS" "erver": capitals, then small letters; `tail` may follow both. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(tail, numbers)                                                                       \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER    \
    "*" tail "|" numbers "|" SYMBOLS "[\\r\\n/]*|" LINES "|" GAP

#define BAILING CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "[\\r\\n]*|[" SPACES "]*[\\r\\n]|" GAP

#define SEED_CODER CONTRACTIONS "|" WORD "|\\p{N}| ?[^" SPACES "\\p{L}\\p{N}\\r\\n]+|" LINES "|" GAP

/* The ASCII punctuation that may lead a word, then marks as letters. */
#define DEEPSEEK3                                                                                  \
    "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"                        \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" GAP
#define CJK3 "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"

/* U+0800 .. U+9FA5 is what "one to the last common ideograph, and Samaritan to one" is. */
#define CJK "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+"

/* Letters with case, as of the Unicode that DeepSeek LLM was trained with. */
#define DEEPSEEK_LETTERS                                                                           \
    "A-Za-z\\xb5\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"            \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}"          \
    "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}"                 \
    "\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}"                     \
    "\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}"                 \
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"                 \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}"         \
    "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"        \
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}"                 \
    "\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}"         \
    "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}"         \
    "\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}"                   \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}"                  \
    "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"                 \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"                 \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"             \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"         \
    "\\x{1e900}-\\x{1e943}"
#define DEEPSEEK_SYMBOLS                                                                           \
    "!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}"

/* A run of spaces at the end of a piece. Only its first place is tried: from each place
 * of a long run it would take quadratic time to see that the run is not at the end. */
#define SPACES_AT_END "(?<![" SPACES "])[" SPACES "]++\\z"

/* ---- the table ---- */

typedef struct row {
    const char *names[NAMES_MAX];     /* tokenizer.ggml.pre */
    const char *patterns[STAGES_MAX]; /* applied in this order */
    bool whole_words;                 /* a word that is a token needs no merges          */
    bool adds_bos;                    /* unless tokenizer.ggml.add_bos_token says so     */
} row;

static const row rows[] = {
    {.names = {"gpt-2", "mpt", "olmo", "phi-2", "jais", "trillion", "granite-docling", "exaone4",
               "gigachat", "a.x-4.0", "mellum"},
     .patterns = {GPT2}},
    {.names = {"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open",
               "grok-2", "kormo"},
     .patterns = {MODERN("\\p{N}")}},
    {.names = {"qwen35"}, .patterns = {QWEN35}},
    {.names = {"llama-bpe", "llama3", "llama-v3", "pixtral", "falcon3", "falcon-h1", "lfm2",
               "midm-2.0"},
     .patterns = {MODERN("\\p{N}{1,3}")},
     .whole_words = true,
     .adds_bos = true},
    {.names = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, .patterns = {MODERN("\\p{N}{1,3}")}},
    {.names = {"gpt-4o", "llama4", "kanana2", "minimax-m2"},
     .patterns = {CASED("(?:" CONTRACTIONS ")?", "\\p{N}{1,3}")}},
    {.names = {"tekken"}, .patterns = {CASED("", "\\p{N}")}, .whole_words = true, .adds_bos = true},
    {.names = {"deepseek-llm"},
     .patterns = {"[\\r\\n]", "[" SPACES "]?[" DEEPSEEK_LETTERS "]+",
                  "[" SPACES "]?[" DEEPSEEK_SYMBOLS "]+", SPACES_AT_END, CJK, "\\p{N}+"}},
    {.names = {"deepseek-coder"},
     .patterns = {"[\\r\\n]", "[" SPACES "]?\\p{L}+", "[" SPACES "]?\\p{P}+", CJK, "\\p{N}"}},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm"},
     .patterns = {"\\p{N}{1,3}", CJK3, DEEPSEEK3}},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"}, .patterns = {BAILING}},
    {.names = {"seed-coder"}, .patterns = {SEED_CODER}},
    {.names = {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
               "mellum2"},
     .patterns = {"\\p{N}", GPT2}},
    {.names = {"falcon"}, .patterns = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {.names = {"default"}, .patterns = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

struct sl__pretokenizer {
    const row *row;
    pcre2_code *codes[STAGES_MAX]; /* [n_stages] */
    int n_stages;
};

/* What a pattern has still to cut. */
typedef struct stage {
    size_t start;   /* of the piece; all offsets are in the text            */
    size_t end;     /* of the piece                                         */
    size_t pos;     /* start of the next word                               */
    size_t matched; /* end of a match that starts at or after pos, or 0     */
} stage;

struct sl__cutter {
    const sl__pretokenizer *pre; /* borrowed */
    pcre2_match_data *match;
    pcre2_match_context *limits;
    const char *text; /* valid UTF-8: the caller's, or copy */
    stage stages[STAGES_MAX];
    char *copy; /* [copy_size], for texts with invalid bytes */
    size_t copy_size;
};

static sl_status fail_unknown(const char *name, size_t n, sl_error *err) {
    char known[144] = "";
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        const size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? " " : "",
                       rows[i].names[0]);
    }
    return sl__fail(err, SL_E_FORMAT, SL_NOWHERE,
                    "pre-tokenizer \"%.*s\" is not supported; supported: %s", n > 24 ? 24 : (int)n,
                    name, known);
}

static const row *find_row(const char *name, size_t n) {
    for (size_t r = 0; r < SL_COUNT(rows); r++)
        for (size_t i = 0; i < NAMES_MAX && rows[r].names[i]; i++)
            if (strlen(rows[r].names[i]) == n && memcmp(rows[r].names[i], name, n) == 0)
                return &rows[r];
    return NULL;
}

sl_status sl__pretokenizer_open(sl__pretokenizer **out, const char *name, size_t n, sl_error *err) {
    int code_error;
    PCRE2_SIZE at;

    *out = NULL;
    const row *found = find_row(name, n);
    if (!found) return fail_unknown(name, n, err);
    sl__pretokenizer *pre = calloc(1, sizeof *pre);
    if (!pre) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory for a pre-tokenizer");
    pre->row = found;
    for (int i = 0; i < STAGES_MAX && found->patterns[i]; i++) {
        pre->codes[i] = pcre2_compile((PCRE2_SPTR)found->patterns[i], PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP, &code_error, &at, NULL);
        if (!pre->codes[i]) { /* the patterns are ours and correct: only memory can be missing */
            sl__pretokenizer_close(&pre);
            return sl__fail(err, SL_E_NOMEM, SL_NOWHERE,
                            "cannot compile pattern %d of pre-tokenizer %s (PCRE2 error %d)", i,
                            found->names[0], code_error);
        }
        pre->n_stages = i + 1;
    }
    *out = pre;
    return SL_OK;
}

void sl__pretokenizer_close(sl__pretokenizer **pre) {
    if (*pre)
        for (int i = 0; i < STAGES_MAX; i++)
            pcre2_code_free((*pre)->codes[i]);
    free(*pre);
    *pre = NULL;
}

bool sl__pretokenizer_whole_words(const sl__pretokenizer *pre) {
    return pre->row->whole_words;
}

bool sl__pretokenizer_adds_bos(const sl__pretokenizer *pre) {
    return pre->row->adds_bos;
}

const char *sl__pretokenizer_name(size_t i) {
    for (size_t r = 0; r < SL_COUNT(rows); r++)
        for (size_t k = 0; k < NAMES_MAX && rows[r].names[k]; k++)
            if (i-- == 0) return rows[r].names[k];
    return NULL;
}

sl_status sl__cutter_open(sl__cutter **out, const sl__pretokenizer *pre, sl_error *err) {
    *out = NULL;
    sl__cutter *cutter = calloc(1, sizeof *cutter);
    if (!cutter) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
    cutter->pre = pre;
    cutter->match = pcre2_match_data_create(1, NULL);
    cutter->limits = pcre2_match_context_create(NULL);
    if (!cutter->match || !cutter->limits) {
        sl__cutter_close(&cutter);
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
    }
    *out = cutter;
    return SL_OK;
}

void sl__cutter_close(sl__cutter **cutter) {
    if (*cutter) {
        pcre2_match_data_free((*cutter)->match);
        pcre2_match_context_free((*cutter)->limits);
        free((*cutter)->copy);
    }
    free(*cutter);
    *cutter = NULL;
}

/* ---- UTF-8 ---- */

size_t sl__valid_character(const unsigned char *text, size_t n) {
    const unsigned char lead = text[0];
    if (lead < 0x80) return 1;
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if (lead == 0xe0 && text[1] < 0xa0) return 0;  /* overlong  */
    if (lead == 0xed && text[1] >= 0xa0) return 0; /* surrogate */
    if (lead == 0xf0 && text[1] < 0x90) return 0;  /* overlong  */
    if (lead == 0xf4 && text[1] >= 0x90) return 0; /* > 10ffff  */
    return length;
}

/* Bytes of valid UTF-8 that text[0 .. n) starts with. */
static size_t valid_prefix(const char *text, size_t n) {
    size_t pos = 0, length = 1;
    while (pos < n && length > 0) {
        length = sl__valid_character((const unsigned char *)text + pos, n - pos);
        pos += length;
    }
    return pos;
}

static void replace_invalid(char *text, size_t n) {
    for (size_t pos = valid_prefix(text, n); pos < n; pos += valid_prefix(text + pos, n - pos))
        text[pos] = STAND_IN;
}

/* ---- words ---- */

sl_status sl__cutter_start(sl__cutter *cutter, const char *text, size_t n, sl_error *err) {
    cutter->text = text;
    memset(cutter->stages, 0, sizeof cutter->stages);
    cutter->stages[0].end = n;
    /* One step of backtracking per byte of a run is what the patterns need. */
    (void)pcre2_set_match_limit(cutter->limits,
                                (uint32_t)(n < (1u << 30) ? n : 1u << 30) * 2 + 10000);
    if (valid_prefix(text, n) == n) return SL_OK;

    if (n > cutter->copy_size) {
        free(cutter->copy);
        cutter->copy_size = 0;
        cutter->copy = malloc(n);
        if (!cutter->copy)
            return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize %zu bytes", n);
        cutter->copy_size = n;
    }
    memcpy(cutter->copy, text, n);
    replace_invalid(cutter->copy, n);
    cutter->text = cutter->copy;
    return SL_OK;
}

/* End of the next word of stage i, which has some left. */
static sl_status cut(sl__cutter *cutter, int i, size_t *end, sl_error *err) {
    stage *s = &cutter->stages[i];
    *end = s->end;        /* no match: the rest is one word */
    if (s->matched > 0) { /* found behind a gap that was the previous word */
        *end = s->matched;
        s->matched = 0;
        return SL_OK;
    }
    const int found = pcre2_match(
        cutter->pre->codes[i], (PCRE2_SPTR)cutter->text + s->start, s->end - s->start,
        s->pos - s->start, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, cutter->match, cutter->limits);
    if (found == PCRE2_ERROR_NOMATCH) return SL_OK;
    if (found == PCRE2_ERROR_NOMEMORY)
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
    if (found < 0)
        return sl__fail(err, SL_E_ARG, s->pos, "the text cannot be cut into words (PCRE2 error %d)",
                        found);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(cutter->match);
    const size_t begin = s->start + range[0];
    *end = s->start + range[1];
    if (begin > s->pos) {
        s->matched = *end;
        *end = begin;
    }
    return SL_OK;
}

/* The deepest stage that has text left cuts a word; the stages below it then cut that. */
sl_status sl__cutter_next(sl__cutter *cutter, size_t *length, sl_error *err) {
    const int last = cutter->pre->n_stages - 1;
    int i = last;
    *length = 0;
    while (i >= 0 && cutter->stages[i].pos == cutter->stages[i].end)
        i--;
    for (; i >= 0; i++) {
        stage *s = &cutter->stages[i];
        const size_t start = s->pos;
        size_t end = 0;
        const sl_status status = cut(cutter, i, &end, err);
        if (status != SL_OK) return status;
        s->pos = end;
        if (i == last) {
            *length = end - start;
            break;
        }
        cutter->stages[i + 1] = (stage){start, end, start, 0};
    }
    return SL_OK;
}

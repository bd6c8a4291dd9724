/* pretokenizer.c - the table of patterns, and PCRE2 behind a cutter.
 *
 * Invalid UTF-8: a text that has any is copied with each such byte replaced by U+0001,
 * one byte for one byte, so that every offset in the copy is an offset in the text. To
 * the patterns here U+0001 is what llama.cpp's U+FFFD is: no letter, number or space. */
#include "model/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define STAND_IN 1

/* White_Space of Unicode, written out: \s of PCRE2 has U+180E too, which left that class
 * in Unicode 6.3 and is no space to the tokenizers these patterns come from. */
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"

/* English contractions, runs of letters with one leading non-letter, single digits,
 * punctuation with a leading space and trailing newlines, newlines, other spaces (the
 * last of which goes to the next word). */
#define QWEN2                                                                                      \
    "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"                                                   \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"                                                               \
    "|\\p{N}"                                                                                      \
    "| ?[^" SPACES "\\p{L}\\p{N}]+[\\r\\n]*"                                                       \
    "|[" SPACES "]*[\\r\\n]+"                                                                      \
    "|[" SPACES "]+(?![^" SPACES "])"                                                              \
    "|[" SPACES "]+"

static const struct {
    const char *name; /* tokenizer.ggml.pre */
    const char *pattern;
} rows[] = {
    {"qwen2", QWEN2},
};

struct sl__pretokenizer {
    pcre2_code *code;
};

struct sl__cutter {
    const pcre2_code *code; /* borrowed */
    pcre2_match_data *match;
    pcre2_match_context *limits;
    const char *text; /* valid UTF-8: the caller's, or copy */
    size_t n;
    size_t pos;     /* start of the next word                             */
    size_t matched; /* end of a match that starts at or after pos, or 0   */
    char *copy;     /* [copy_size], for texts with invalid bytes          */
    size_t copy_size;
};

static sl_status fail_unknown(const char *name, size_t n, sl_error *err) {
    char known[128] = "";
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        if (i > 0) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, rows[i].name, sizeof known - strlen(known) - 1);
    }
    return sl__fail(err, SL_E_FORMAT, SL_NOWHERE,
                    "pre-tokenizer \"%.*s\" is not supported, expected one of: %s",
                    n > 64 ? 64 : (int)n, name, known);
}

sl_status sl__pretokenizer_open(sl__pretokenizer **out, const char *name, size_t n, sl_error *err) {
    int code_error;
    PCRE2_SIZE at;
    size_t row = 0;

    *out = NULL;
    while (row < SL_COUNT(rows) &&
           !(strlen(rows[row].name) == n && memcmp(rows[row].name, name, n) == 0))
        row++;
    if (row == SL_COUNT(rows)) return fail_unknown(name, n, err);

    sl__pretokenizer *pre = malloc(sizeof *pre);
    if (!pre) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory for a pre-tokenizer");
    pre->code = pcre2_compile((PCRE2_SPTR)rows[row].pattern, PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP, &code_error, &at, NULL);
    if (!pre->code) { /* the patterns are ours and correct: only memory can be missing */
        free(pre);
        return sl__fail(err, SL_E_NOMEM, SL_NOWHERE,
                        "cannot compile the pattern of pre-tokenizer %s (PCRE2 error %d)",
                        rows[row].name, code_error);
    }
    *out = pre;
    return SL_OK;
}

void sl__pretokenizer_close(sl__pretokenizer **pre) {
    if (*pre) pcre2_code_free((*pre)->code);
    free(*pre);
    *pre = NULL;
}

sl_status sl__cutter_open(sl__cutter **out, const sl__pretokenizer *pre, sl_error *err) {
    *out = NULL;
    sl__cutter *cutter = calloc(1, sizeof *cutter);
    if (!cutter) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
    cutter->code = pre->code;
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

/* Length of the valid character at text[0 .. n), n > 0, or 0. */
static size_t valid_character(const unsigned char *text, size_t n) {
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
        length = valid_character((const unsigned char *)text + pos, n - pos);
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
    cutter->n = n;
    cutter->pos = 0;
    cutter->matched = 0;
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

sl_status sl__cutter_next(sl__cutter *cutter, size_t *length, sl_error *err) {
    size_t end = cutter->n; /* no match: the rest is one word */
    *length = 0;
    if (cutter->pos == cutter->n) return SL_OK;

    if (cutter->matched > 0) { /* found behind a gap that was the previous word */
        end = cutter->matched;
        cutter->matched = 0;
    } else {
        const int found =
            pcre2_match(cutter->code, (PCRE2_SPTR)cutter->text, cutter->n, cutter->pos,
                        PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, cutter->match, cutter->limits);
        if (found == PCRE2_ERROR_NOMEMORY)
            return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");
        if (found < 0 && found != PCRE2_ERROR_NOMATCH)
            return sl__fail(err, SL_E_ARG, cutter->pos,
                            "the text cannot be cut into words (PCRE2 error %d)", found);
        if (found >= 0) {
            const PCRE2_SIZE *range = pcre2_get_ovector_pointer(cutter->match);
            const bool gap = range[0] > cutter->pos;
            end = gap ? range[0] : range[1];
            cutter->matched = gap ? range[1] : 0;
        }
    }
    *length = end - cutter->pos;
    cutter->pos = end;
    return SL_OK;
}

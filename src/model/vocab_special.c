/* vocab_special.c - the tokens that are not text: which end generation, which structure
 * it, what they do to the white space beside them, and where a prompt begins.
 *
 * GGUF files say little of this; the rest are llama.cpp's rules, by spelling and name. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/vocab_build.h"

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

/* Spellings of "harmony" (gpt-oss): markup that says what the text after it is. */
static const char *const shown_spellings[] = {"<|start|>", "<|channel|>", "<|message|>",
                                              "<|constrain|>"};

static bool token_key(const sl__vocab_builder *b, const char *key, sl_token *token,
                      sl_status *status) {
    if (*status == SL_OK)
        *status = sl__gguf_i32_or(b->g, key, -1, 0, b->vocab->n_tokens - 1, token, b->err);
    return *status == SL_OK && *token >= 0;
}

static sl_token find(const sl__vocab_builder *b, const char *spelling) {
    return sl__vocab_find_spelling(b, spelling, strlen(spelling));
}

/* Ordinary text stays what it is, whatever it looks like. */
static void show(const sl__vocab_builder *b, sl_token token) {
    if (b->vocab->kinds[token] != SL_TOKEN_NORMAL) b->vocab->kinds[token] = SL_TOKEN_SHOWN;
}

/* Where these are, "<|end|>" ends a message, not the turn; and where a tool's
 * response has a token, "</s>" is a tag. */
static void except_eogs(const sl__vocab_builder *b, bool *ends) {
    const sl_token end = find(b, "<|end|>"), tag = find(b, "</s>");
    const bool harmony = find(b, "<|return|>") >= 0 && find(b, "<|call|>") >= 0;
    const bool solar = find(b, "<|calls|>") >= 0 && find(b, "<|flush|>") >= 0;
    if (end >= 0 && (harmony || solar)) {
        ends[end] = false;
        show(b, end);
    }
    if (tag >= 0 && tag != b->vocab->eos && find(b, "<|tool_response>") >= 0) ends[tag] = false;
    if (!harmony) return;
    for (size_t i = 0; i < SL_COUNT(shown_spellings); i++) {
        const sl_token token = find(b, shown_spellings[i]);
        if (token >= 0) show(b, token);
    }
}

/* The end-of-generation set: marked in a map first, so that it is ascending and unique. */
sl_status sl__vocab_find_eogs(sl__vocab_builder *b) {
    static const char *const keys[] = {
        "tokenizer.ggml.eos_token_id",     "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id",
    };
    sl__vocab *v = b->vocab;
    sl_status status = SL_OK;
    bool *ends = calloc((size_t)v->n_tokens, sizeof *ends);
    if (!ends) return sl__vocab_out_of_memory(b);

    for (size_t i = 0; i < SL_COUNT(keys); i++) {
        sl_token token = -1;
        if (token_key(b, keys[i], &token, &status)) ends[token] = true;
        if (i == 0) v->eos = token;
    }
    if (status == SL_OK && v->eos < 0 && v->model == SL_VOCAB_SPM && v->n_tokens > 2) {
        v->eos = 2;
        ends[v->eos] = true;
    }
    for (size_t i = 0; i < SL_COUNT(eog_spellings); i++) {
        const sl_token token = find(b, eog_spellings[i]);
        if (token < 0 || v->kinds[token] == SL_TOKEN_NORMAL) continue;
        ends[token] = true;
        if (v->kinds[token] == SL_TOKEN_USER_DEFINED) v->kinds[token] = SL_TOKEN_CONTROL;
    }
    except_eogs(b, ends);
    for (int32_t i = 0; i < v->n_tokens; i++)
        v->n_eogs += ends[i];
    v->eogs = malloc(((size_t)v->n_eogs + 1) * sizeof *v->eogs);
    if (!v->eogs && status == SL_OK) status = sl__vocab_out_of_memory(b);
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

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool name_contains(sl__gguf_string name, const char *part) {
    const size_t n = strlen(part);
    for (size_t at = 0; at + n <= name.n; at++) {
        size_t i = 0;
        while (i < n && lower(name.bytes[at + i]) == part[i])
            i++;
        if (i == n) return true;
    }
    return false;
}

static bool is_spelled(const sl__special *s, const char *spelling) {
    return s->n == strlen(spelling) && memcmp(s->bytes, spelling, s->n) == 0;
}

/* The special tokens of Phi-3 take the white space after them along, but for three. */
static void set_white_space(sl__special *s, bool is_phi3) {
    s->eats_right = is_phi3 && !is_spelled(s, "<unk>") && !is_spelled(s, "<s>") &&
                    !is_spelled(s, "<|endoftext|>");
}

sl_status sl__vocab_find_specials(sl__vocab_builder *b) {
    sl__vocab *v = b->vocab;
    sl__gguf_string name;
    size_t n = 0;
    const sl_status status = sl__gguf_str_or_empty(b->g, "general.name", &name, b->err);
    if (status != SL_OK) return status;
    const bool is_phi3 =
        name_contains(name, "phi-3") || name_contains(name, "phi 3") || name_contains(name, "phi3");
    for (int32_t i = 0; i < v->n_tokens; i++)
        n += sl__is_control(v->kinds[i]) || v->kinds[i] == SL_TOKEN_USER_DEFINED;
    v->specials = malloc((n + 1) * sizeof *v->specials);
    if (!v->specials) return sl__vocab_out_of_memory(b);

    for (int32_t i = 0; i < v->n_tokens; i++) {
        const bool control = sl__is_control(v->kinds[i]);
        if (!control && v->kinds[i] != SL_TOKEN_USER_DEFINED) continue;
        sl__special special = {.bytes = v->arena + v->starts[i],
                               .n = v->starts[i + 1] - v->starts[i],
                               .token = i,
                               .control = control};
        if (special.n == 0) continue;
        set_white_space(&special, is_phi3);
        v->specials[v->n_specials++] = special;
        v->has_user_defined |= !control;
    }
    qsort(v->specials, v->n_specials, sizeof *v->specials, by_bytes);
    return SL_OK;
}

static sl_status read_flag(const sl__vocab_builder *b, const char *key, bool fallback,
                           const char *token_key_name, sl_token token, bool *flag) {
    const bool said = sl__gguf_find_key(b->g, key) != NULL;
    const sl_status status = sl__gguf_bool_or(b->g, key, fallback, flag, b->err);
    if (status != SL_OK || !*flag || token >= 0) return status;
    *flag = false; /* a default needs no token, a word of the file does */
    if (!said) return SL_OK;
    return sl__gguf_fail_key(b->g, key, b->err, "true, expected %s to be there", token_key_name);
}

sl_status sl__vocab_read_ends(sl__vocab_builder *b) {
    sl__vocab *v = b->vocab;
    sl_status status = SL_OK;
    (void)token_key(b, "tokenizer.ggml.bos_token_id", &v->bos, &status);
    if (status != SL_OK) return status;
    if (v->bos < 0 && v->model == SL_VOCAB_SPM && v->n_tokens > 1) v->bos = 1;
    const bool usual = v->model == SL_VOCAB_SPM || sl__pretokenizer_adds_bos(v->pre);
    status = read_flag(b, "tokenizer.ggml.add_bos_token", usual, "tokenizer.ggml.bos_token_id",
                       v->bos, &v->adds_bos);
    if (status != SL_OK) return status;
    return read_flag(b, "tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id",
                     v->eos, &v->adds_eos);
}

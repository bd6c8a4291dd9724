/* chat.c - the tables of chat formats, and messages as pieces of one text.
 *
 *     opening | turn before TEXT after | before TEXT after | ... | answer
 *
 * A format is what llama.cpp writes without running the template, with the models' own
 * tokens for the end of a message. Markup is parsed, message text never is.
 *
 * Formats of SentencePiece models put a space after "[INST]", where the tokenizer puts
 * one by itself if "[INST]" is a token: it is one space then (vocab.h, brings_space). */
#include "model/chat.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define MARKERS_MAX 3
#define ROLES 3
#define PIECES_PER_MESSAGE 6

typedef enum trimming { TRIM_NOTHING, TRIM_ASSISTANT, TRIM_ALL } trimming;

/* How a message looks. */
typedef struct role_format {
    const char *before;
    bool eos; /* the model's end-of-sequence token comes behind the text */
    const char *after;
} role_format;

struct sl__chat_format {
    const char *name;
    const char *opening; /* of the conversation, or NULL */
    /* What a turn starts with that a system or user message opens, or NULL. It lasts until
     * an assistant's message, or only until a user's. */
    const char *turn;
    bool user_ends_turn;
    bool bos_between_turns;
    role_format system, user, assistant;
    trimming trim;      /* white space around texts that goes */
    const char *answer; /* what the assistant's answer is appended to */
};

/* ---- formats ---- */

#define LLAMA2_SYSTEM .system = {"<<SYS>>\n", false, "\n<</SYS>>\n\n"}
#define LLAMA2_REST                                                                                \
    .turn = "[INST] ", .user = {"", false, " [/INST]"}, .assistant = {"", true, ""}, .answer = ""

/* "<|role|>\n" and the text; what stands behind the text differs. */
#define BAR_ROLES(eos, after, answer_text)                                                         \
    .system = {"<|system|>\n", eos, after}, .user = {"<|user|>\n", eos, after},                    \
    .assistant = {"<|assistant|>\n", eos, after}, .answer = answer_text

static const sl__chat_format formats[] = {
    {.name = "chatml",
     .system = {"<|im_start|>system\n", false, "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", false, "<|im_end|>\n"},
     .assistant = {"<|im_start|>assistant\n", false, "<|im_end|>\n"},
     .answer = "<|im_start|>assistant\n"},
    {.name = "phi4",
     .system = {"<|im_start|>system<|im_sep|>", false, "<|im_end|>"},
     .user = {"<|im_start|>user<|im_sep|>", false, "<|im_end|>"},
     .assistant = {"<|im_start|>assistant<|im_sep|>", false, "<|im_end|>"},
     .answer = "<|im_start|>assistant<|im_sep|>"},
    {.name = "mistral-v1",
     .turn = " [INST] ",
     .system = {"", false, "\n\n"},
     .user = {"", false, " [/INST]"},
     .assistant = {" ", true, ""},
     .answer = ""},
    {.name = "mistral-v3",
     .turn = "[INST] ",
     .system = {"", false, "\n\n"},
     .user = {"", false, "[/INST]"},
     .assistant = {" ", true, ""},
     .trim = TRIM_ASSISTANT,
     .answer = ""},
    {.name = "mistral-v3-tekken",
     .turn = "[INST]",
     .system = {"", false, "\n\n"},
     .user = {"", false, "[/INST]"},
     .assistant = {"", true, ""},
     .answer = ""},
    {.name = "mistral-v7",
     .system = {"[SYSTEM_PROMPT] ", false, "[/SYSTEM_PROMPT]"},
     .user = {"[INST] ", false, "[/INST]"},
     .assistant = {" ", true, ""},
     .answer = ""},
    {.name = "mistral-v7-tekken",
     .system = {"[SYSTEM_PROMPT]", false, "[/SYSTEM_PROMPT]"},
     .user = {"[INST]", false, "[/INST]"},
     .assistant = {"", true, ""},
     .answer = ""},
    {.name = "llama2", LLAMA2_REST, .system = {"", false, "\n"}},
    {.name = "llama2-sys", LLAMA2_REST, LLAMA2_SYSTEM},
    {.name = "llama2-sys-bos", LLAMA2_REST, LLAMA2_SYSTEM, .bos_between_turns = true},
    {.name = "llama2-sys-strip", LLAMA2_REST, LLAMA2_SYSTEM, .trim = TRIM_ALL},
    {.name = "phi3", BAR_ROLES(false, "<|end|>\n", "<|assistant|>\n")},
    {.name = "zephyr", BAR_ROLES(true, "\n", "<|assistant|>\n")},
    {.name = "tulu", /* and OLMoE */
     .system = {"<|system|>\n", false, "\n"},
     .user = {"<|user|>\n", false, "\n"},
     .assistant = {"<|assistant|>\n", true, "\n"},
     .answer = "<|assistant|>\n"},
    {.name = "falcon3", BAR_ROLES(false, "\n", "<|assistant|>\n")},
    {.name = "glmedge", BAR_ROLES(false, "", "<|assistant|>")},
    {.name = "chatglm4", .opening = "[gMASK]<sop>", BAR_ROLES(false, "", "<|assistant|>\n")},
    {.name = "gemma",
     .turn = "<start_of_turn>user\n",
     .user_ends_turn = true,
     .system = {"", false, "\n\n"},
     .user = {"", false, "<end_of_turn>\n"},
     .assistant = {"<start_of_turn>model\n", false, "<end_of_turn>\n"},
     .trim = TRIM_ALL,
     .answer = "<start_of_turn>model\n"},
    {.name = "deepseek", /* Coder */
     .system = {"", false, ""},
     .user = {"### Instruction:\n", false, "\n"},
     .assistant = {"### Response:\n", false, "\n<|EOT|>\n"},
     .answer = "### Response:\n"},
    {.name = "deepseek2", /* LLM, MoE, V2 */
     .system = {"", false, "\n\n"},
     .user = {"User: ", false, "\n\n"},
     .assistant = {"Assistant: ", true, ""},
     .answer = "Assistant:"},
    {.name = "deepseek3",
     .system = {"", false, "\n\n"},
     .user = {"<｜User｜>", false, ""},
     .assistant = {"<｜Assistant｜>", true, ""},
     .answer = "<｜Assistant｜>"},
    {.name = "llama3",
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", false, "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n", false, "<|eot_id|>"},
     .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", false, "<|eot_id|>"},
     .trim = TRIM_ALL,
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n"},
    {.name = "llama4",
     .system = {"<|header_start|>system<|header_end|>\n\n", false, "<|eot|>"},
     .user = {"<|header_start|>user<|header_end|>\n\n", false, "<|eot|>"},
     .assistant = {"<|header_start|>assistant<|header_end|>\n\n", false, "<|eot|>"},
     .trim = TRIM_ALL,
     .answer = "<|header_start|>assistant<|header_end|>\n\n"},
    {.name = "bailing", /* Ling */
     .system = {"<role>SYSTEM</role>", false, ""},
     .user = {"<role>HUMAN</role>", false, ""},
     .assistant = {"<role>ASSISTANT</role>", false, ""},
     .answer = "<role>ASSISTANT</role>"},
    {.name = "hunyuan-moe",
     .system = {"<|startoftext|>", false, "<|extra_4|>"},
     .user = {"<|startoftext|>", false, "<|extra_0|>"},
     .assistant = {"", false, "<|eos|>"},
     .answer = ""},
    /* Harmony without tools, date and a choice of effort; a system message is what it calls
     * the developer's. */
    {.name = "gpt-oss",
     .opening = "<|start|>system<|message|>You are ChatGPT, a large language model trained by "
                "OpenAI.\nKnowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: "
                "analysis, commentary, final. Channel must be included for every "
                "message.<|end|>",
     .system = {"<|start|>developer<|message|># Instructions\n\n", false, "<|end|>"},
     .user = {"<|start|>user<|message|>", false, "<|end|>"},
     .assistant = {"<|start|>assistant<|channel|>final<|message|>", false, "<|end|>"},
     .answer = "<|start|>assistant"},
};

/* ---- which template is which ---- */

/* The first row whose markers are all in the template, and whose `absent` is not. */
static const struct {
    const char *name;
    const char *markers[MARKERS_MAX];
    const char *absent;
} templates[] = {
    {"gpt-oss", {"<|start|>", "<|channel|>", "<|message|>"}, NULL},
    {"phi4", {"<|im_start|>", "<|im_sep|>"}, NULL},
    {"chatml", {"<|im_start|>", "<|im_end|>"}, "<end_of_utterance>"},
    {"mistral-v7", {"[INST]", "[SYSTEM_PROMPT]", "[INST] "}, NULL},
    {"mistral-v7-tekken", {"[INST]", "[SYSTEM_PROMPT]"}, NULL},
    {"mistral-v1", {"' [INST] ' + system_message"}, NULL},
    {"mistral-v1", {"[AVAILABLE_TOOLS]", " [INST]"}, NULL},
    {"mistral-v3-tekken", {"[AVAILABLE_TOOLS]", "\"[INST]\""}, NULL},
    {"mistral-v3", {"[AVAILABLE_TOOLS]", "[INST]"}, NULL},
    {"llama2-sys-strip", {"[INST]", "content.strip()"}, NULL},
    {"llama2-sys-bos", {"[INST]", "bos_token + '[INST]"}, NULL},
    {"llama2-sys", {"[INST]", "<<SYS>>"}, NULL},
    {"llama2", {"[INST]"}, NULL},
    {"phi3", {"<|assistant|>", "<|end|>"}, NULL},
    {"chatglm4", {"[gMASK]<sop>"}, NULL},
    {"zephyr",
     {"<|user|>", "<|assistant|>", "' + message['content'] + eos_token"},
     "content'] + '"},
    {"tulu", {"<|user|>", "<|assistant|>", "eos_token"}, NULL},
    {"falcon3", {"<|user|>", "<|assistant|>", "</s>"}, NULL},
    {"glmedge", {"<|user|>", "<|assistant|>"}, "<|endoftext|>"},
    {"zephyr", {"<|user|>", "<|endoftext|>"}, NULL},
    {"gemma", {"<start_of_turn>"}, NULL},
    {"deepseek", {"### Instruction:", "<|EOT|>"}, NULL},
    {"llama3", {"<|start_header_id|>", "<|end_header_id|>"}, NULL},
    {"deepseek2", {"'Assistant: ' + message['content'] + eos_token"}, NULL},
    {"deepseek3", {"<｜Assistant｜>", "<｜User｜>", "<｜end▁of▁sentence｜>"}, NULL},
    {"bailing", {"<role>ASSISTANT</role>", "'HUMAN'"}, NULL},
    {"llama4", {"<|header_start|>", "<|header_end|>"}, NULL},
    {"hunyuan-moe", {"<|startoftext|>", "<|extra_4|>"}, NULL},
};

static const sl__chat_format *find_format(const char *name, size_t n) {
    for (size_t f = 0; f < SL_COUNT(formats); f++)
        if (strlen(formats[f].name) == n && memcmp(formats[f].name, name, n) == 0)
            return &formats[f];
    return NULL;
}

static bool contains(sl__gguf_string text, const char *part) {
    const size_t n = strlen(part);
    for (size_t at = 0; at + n <= text.n; at++)
        if (memcmp(text.bytes + at, part, n) == 0) return true;
    return false;
}

const sl__chat_format *sl__chat_recognise(sl__gguf_string chat_template) {
    for (size_t t = 0; t < SL_COUNT(templates); t++) {
        bool all = !templates[t].absent || !contains(chat_template, templates[t].absent);
        for (size_t m = 0; m < MARKERS_MAX && templates[t].markers[m]; m++)
            all = all && contains(chat_template, templates[t].markers[m]);
        if (all) return find_format(templates[t].name, strlen(templates[t].name));
    }
    return find_format(chat_template.bytes, chat_template.n); /* some files have just the name */
}

const char *sl__chat_name(const sl__chat_format *format) {
    return format->name;
}

/* ---- conversations ---- */

typedef struct writer {
    const sl__chat_format *format;
    const sl__vocab *vocab;
    sl__text_piece *pieces; /* PIECES_PER_MESSAGE for each message, and three */
    size_t n_pieces;
    bool in_turn;
    bool had_turn;
} writer;

static void put(writer *w, sl__text_piece piece) {
    if (piece.n > 0) w->pieces[w->n_pieces++] = piece;
}

static void put_markup(writer *w, const char *text) {
    if (text) put(w, (sl__text_piece){text, strlen(text), true, true});
}

static void put_token(writer *w, sl_token token) {
    size_t n = 0;
    if (token < 0) return;
    const char *bytes = sl__vocab_bytes(w->vocab, token, true, &n);
    put(w, (sl__text_piece){bytes, n, true, false});
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void put_text(writer *w, const char *text, bool trim) {
    size_t start = 0, end = strlen(text);
    while (trim && start < end && is_white(text[start]))
        start++;
    while (trim && start < end && is_white(text[end - 1]))
        end--;
    put(w, (sl__text_piece){text + start, end - start, false, false});
}

static void open_turn(writer *w) {
    if (!w->format->turn || w->in_turn) return;
    if (w->had_turn && w->format->bos_between_turns) put_token(w, sl__vocab_bos(w->vocab));
    put_markup(w, w->format->turn);
    w->in_turn = w->had_turn = true;
}

static void put_end(writer *w, const role_format *role) {
    if (role->eos) put_token(w, sl__vocab_eos(w->vocab));
    put_markup(w, role->after);
}

/* False if the message's role is none of the three. */
static bool put_message(writer *w, const sl_chat_message *message) {
    const sl__chat_format *f = w->format;
    const bool system = strcmp(message->role, "system") == 0,
               user = strcmp(message->role, "user") == 0,
               assistant = strcmp(message->role, "assistant") == 0;
    if (!system && !user && !assistant) return false;
    const role_format *role = system ? &f->system : user ? &f->user : &f->assistant;
    if (!assistant) open_turn(w);
    put_markup(w, role->before);
    put_text(w, message->text, f->trim == TRIM_ALL || (f->trim == TRIM_ASSISTANT && assistant));
    put_end(w, role);
    if (assistant || (user && f->user_ends_turn)) w->in_turn = false;
    return true;
}

/* From the beginning, or (`next`) from behind an answer on. */
static sl_status tokenize(const sl__chat_format *format, const sl__vocab *vocab, bool next,
                          const sl_chat_message *messages, int32_t n_messages, sl_token *tokens,
                          int32_t max, int32_t *n_tokens, sl_error *err) {
    *n_tokens = 0;
    if (!format)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "the model has no chat template, or one that is none of the known "
                        "formats (docs/tokenizers.md lists them)");
    if (n_messages < 1)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%" PRId32 " messages, expected at least 1",
                        n_messages);
    writer w = {.format = format, .vocab = vocab, .had_turn = next};
    w.pieces = malloc((PIECES_PER_MESSAGE * (size_t)n_messages + 3) * sizeof *w.pieces);
    if (!w.pieces) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "no memory to tokenize");

    sl_status status = SL_OK;
    if (next)
        put_end(&w, &format->assistant);
    else
        put_markup(&w, format->opening);
    for (int32_t i = 0; i < n_messages && status == SL_OK; i++)
        if (!put_message(&w, &messages[i]))
            status = sl__fail(err, SL_E_ARG, SL_NOWHERE,
                              "message %" PRId32 " has role \"%s\", expected \"system\", \"user\" "
                              "or \"assistant\"",
                              i, messages[i].role);
    put_markup(&w, format->answer);
    if (status == SL_OK)
        status = sl__vocab_tokenize_pieces(vocab, w.pieces, w.n_pieces, tokens, max, n_tokens, err);
    free(w.pieces);
    return status;
}

sl_status sl__chat_tokenize(const sl__chat_format *format, const sl__vocab *vocab,
                            const sl_chat_message *messages, int32_t n_messages, sl_token *tokens,
                            int32_t max, int32_t *n_tokens, sl_error *err) {
    return tokenize(format, vocab, false, messages, n_messages, tokens, max, n_tokens, err);
}

sl_status sl__chat_tokenize_next(const sl__chat_format *format, const sl__vocab *vocab,
                                 const sl_chat_message *messages, int32_t n_messages,
                                 sl_token *tokens, int32_t max, int32_t *n_tokens, sl_error *err) {
    return tokenize(format, vocab, true, messages, n_messages, tokens, max, n_tokens, err);
}

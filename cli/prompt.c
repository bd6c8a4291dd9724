/* prompt.c - count, then write. */
#include "prompt.h"

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"

typedef enum kind { RAW, CHAT, NEXT } kind;

typedef struct source {
    kind kind;
    const sl_model *model;
    const char *name;
    const char *text; /* [n] */
    size_t n;
    const sl_chat_message *messages; /* [n_messages] */
    int32_t n_messages;
} source;

static sl_status tokenize(const source *s, sl_token *tokens, int32_t max, int32_t *n,
                          sl_error *err) {
    switch (s->kind) {
    case RAW:
        return sl_tokenize(s->model, s->text, s->n, 1, tokens, max, n, err);
    case CHAT:
        return sl_chat_tokenize(s->model, s->messages, s->n_messages, tokens, max, n, err);
    case NEXT:
        break;
    }
    return sl_chat_tokenize_next(s->model, s->messages, s->n_messages, tokens, max, n, err);
}

/* The tokens lie behind a free place. */
static int read_source(cli_prompt *out, const source *s) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    int32_t n = 0;
    *out = (cli_prompt){NULL, 0};
    if (s->kind != RAW && !sl_chat_format(s->model)) {
        cli_complain("this model has no chat template that is known here: expected "
                     "'sluice run --raw'");
        return CLI_FAILED;
    }
    sl_status status = tokenize(s, NULL, 0, &n, &err);
    if (status != SL_OK) return cli_complain_status(s->name, status, &err);
    sl_token *block = malloc(((size_t)n + 2) * sizeof *block);
    if (!block) {
        cli_complain("%s: out of memory for %d tokens", s->name, (int)n);
        return CLI_FAILED;
    }
    *out = (cli_prompt){block, n};
    status = tokenize(s, block, n, &out->n, &err);
    return status == SL_OK ? CLI_OK : cli_complain_status(s->name, status, &err);
}

void cli_prompt_prepend(cli_prompt *p, sl_token token) {
    memmove(p->tokens + 1, p->tokens, (size_t)p->n * sizeof *p->tokens);
    p->tokens[0] = token;
    p->n++;
}

static int read_beginning(cli_prompt *out, const source *s) {
    const int code = read_source(out, s);
    const sl_token bos = sl_token_bos(s->model);
    if (code == CLI_OK && sl_model_adds_bos(s->model) && bos >= 0 &&
        (out->n == 0 || out->tokens[0] != bos))
        cli_prompt_prepend(out, bos);
    return code;
}

int cli_prompt_raw(cli_prompt *out, const sl_model *model, const char *name, const char *text,
                   size_t n) {
    return read_beginning(out, &(source){RAW, model, name, text, n, NULL, 0});
}

int cli_prompt_chat(cli_prompt *out, const sl_model *model, const char *name,
                    const sl_chat_message *messages, int32_t n_messages) {
    return read_beginning(out, &(source){CHAT, model, name, NULL, 0, messages, n_messages});
}

int cli_prompt_next(cli_prompt *out, const sl_model *model, const char *name,
                    const sl_chat_message *messages, int32_t n_messages) {
    return read_source(out, &(source){NEXT, model, name, NULL, 0, messages, n_messages});
}

void cli_prompt_free(cli_prompt *p) {
    free(p->tokens);
    *p = (cli_prompt){NULL, 0};
}

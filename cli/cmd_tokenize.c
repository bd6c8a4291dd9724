/* cmd_tokenize.c - `sluice tokenize`: text to token ids. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "engine_options.h"
#include "input.h"
#include "message.h"
#include "options.h"
#include "sluice/tokenizer.h"

typedef struct tokenize_options {
    cli_engine engine;
    const char *prompt;
    const char *file;
    bool special;
    bool chat;
    bool pieces;
    bool count;
} tokenize_options;

static sl_status tokenize(const tokenize_options *o, const sl_model *model, const cli_input *in,
                          sl_token *tokens, int32_t max, int32_t *n, sl_error *err) {
    if (!o->chat) return sl_tokenize(model, in->text, in->n, o->special, tokens, max, n, err);
    const sl_chat_message message = {"user", in->text};
    return sl_chat_tokenize(model, &message, 1, tokens, max, n, err);
}

/* The bytes of a token between quotes, on one line whatever they are. */
static void print_piece(const sl_model *model, sl_token token) {
    size_t n;
    const unsigned char *bytes = (const unsigned char *)sl_token_bytes(model, token, 1, &n);
    const int is_text = cli_utf8_valid((const char *)bytes, n) == n;
    (void)printf("%d\t\"", (int)token);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            (void)printf("\\%c", bytes[i]);
        else if (bytes[i] == '\n')
            (void)fputs("\\n", stdout);
        else if (bytes[i] < 0x20 || bytes[i] == 0x7F || (bytes[i] >= 0x80 && !is_text))
            (void)printf("\\x%02X", (unsigned)bytes[i]);
        else
            (void)putchar(bytes[i]);
    }
    (void)fputs("\"\n", stdout);
}

static int print_tokens(const tokenize_options *o, const sl_model *model, const cli_input *in) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    int32_t n = 0;
    sl_status status = tokenize(o, model, in, NULL, 0, &n, &err);
    if (status != SL_OK) return cli_complain_status(in->name, status, &err);
    if (o->count) {
        (void)printf("%d\n", (int)n);
        return CLI_OK;
    }

    sl_token *tokens = malloc(((size_t)n + 1) * sizeof *tokens);
    if (!tokens) {
        cli_complain("%s: out of memory for %d tokens", in->name, (int)n);
        return CLI_FAILED;
    }
    status = tokenize(o, model, in, tokens, n, &n, &err);
    for (int32_t i = 0; i < n && status == SL_OK; i++) {
        if (o->pieces)
            print_piece(model, tokens[i]);
        else
            (void)printf("%d%c", (int)tokens[i], i + 1 < n ? ' ' : '\n');
    }
    free(tokens);
    return status == SL_OK ? CLI_OK : cli_complain_status(in->name, status, &err);
}

static int run(const cli_command *self, int argc, char **argv) {
    tokenize_options o = {.engine = cli_engine_default()};
    int code;
    const cli_option options[] = {
        CLI_TEXT("-p --prompt", "TEXT", &o.prompt,
                 "the text; without -p and -f it is read from a pipe"),
        CLI_TEXT("-f --file", "FILE", &o.file, "read it from a file (- is standard input)"),
        CLI_OPTION_MODEL(&o.engine),
        CLI_FLAG("--special", &o.special, "the spelling of a control token is that token"),
        CLI_FLAG("--chat", &o.chat, "the text is a user's turn: apply the chat template"),
        CLI_FLAG("--pieces", &o.pieces, "one token per line, with its bytes"),
        CLI_FLAG("--count", &o.count, "only how many there are"),
    };
    o.engine.layout = (int)SL_LAYOUT_MAPPED; /* nothing is going to run */
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    if (o.special && o.chat) {
        cli_complain("--special: expected no --chat, a user's turn is plain text");
        return CLI_USAGE;
    }

    cli_input in;
    sl_model *model = NULL;
    code = cli_input_prompt(&in, o.prompt, o.file);
    if (code != CLI_OK) return code;
    code = cli_open_model(&o.engine, &model);
    if (code == CLI_OK) code = print_tokens(&o, model, &in);
    sl_model_close(&model);
    cli_input_free(&in);
    return code;
}

const cli_command cli_cmd_tokenize = {"tokenize", "[-p TEXT | -f FILE] [OPTIONS]",
                                      "Turn text into token ids", NULL, run};

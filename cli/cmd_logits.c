/* cmd_logits.c - `sluice logits`: what the model says at every position of given ids.
 *
 * For comparing with other implementations, so nothing is between file and numbers: no
 * template, no BOS, no sampler. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "engine_options.h"
#include "input.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "sluice/session.h"

#define IDS_FILE_MAX ((size_t)64 << 20)

/* All sequences of the file, one after the other. */
typedef struct sequences {
    sl_token *ids;
    size_t n_ids;
    size_t *ends; /* [n] index after the last id of each */
    size_t n;
    size_t longest;
} sequences;

static void free_sequences(sequences *s) {
    free(s->ids);
    free(s->ends);
}

/* One line: ids in [0, vocab) separated by blanks. CLI_OK or CLI_FAILED. */
static int parse_line(sequences *s, char *line, const char *file, size_t number, int32_t vocab) {
    const size_t before = s->n_ids;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \t\r", &rest); word; word = strtok_r(NULL, " \t\r", &rest)) {
        int64_t id;
        if (!cli_parse_int64(word, &id) || id < 0 || id >= vocab) {
            cli_complain("%s, line %zu: '%.20s': expected a token id in 0 .. %d", file, number,
                         word, (int)vocab - 1);
            return CLI_FAILED;
        }
        s->ids[s->n_ids++] = (sl_token)id;
    }
    if (s->n_ids == before) return CLI_OK; /* an empty line is no sequence */
    if (s->n_ids - before > s->longest) s->longest = s->n_ids - before;
    s->ends[s->n++] = s->n_ids;
    return CLI_OK;
}

static int parse_ids(sequences *s, cli_input *in, int32_t vocab) {
    *s = (sequences){0};
    if (memchr(in->text, '\0', in->n)) {
        cli_complain("%s: expected text, found a zero byte", in->name);
        return CLI_FAILED;
    }
    size_t lines = 1;
    for (size_t i = 0; i < in->n; i++)
        lines += in->text[i] == '\n';
    s->ids = malloc((in->n / 2 + 1) * sizeof *s->ids); /* an id and a blank: two bytes */
    s->ends = malloc(lines * sizeof *s->ends);
    if (!s->ids || !s->ends) {
        cli_complain("%s: out of memory", in->name);
        return CLI_FAILED;
    }
    size_t number = 0;
    for (char *line = in->text; line;) {
        char *newline = strchr(line, '\n');
        if (newline) *newline = '\0';
        if (parse_line(s, line, in->name, ++number, vocab) != CLI_OK) return CLI_FAILED;
        line = newline ? newline + 1 : NULL;
    }
    if (s->n > 0) return CLI_OK;
    cli_complain("%s: expected lines of token ids, found none", in->name);
    return CLI_FAILED;
}

typedef struct writer {
    sl_session *session;
    int32_t rows_max; /* of a pass */
    size_t vocab;
    float *logits; /* [rows_max][vocab] */
    FILE *to;
} writer;

/* Evaluate one sequence from an empty session and append its logits to the file. */
static int write_sequence(const writer *w, const sl_token *ids, size_t n) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    sl_row rows[CLI_LOGIT_ROWS];
    int32_t path[CLI_LOGIT_ROWS];
    sl_session_rewind(w->session, 0);
    for (size_t at = 0; at < n;) {
        int32_t n_rows = 0;
        for (; n_rows < w->rows_max && at < n; n_rows++) {
            rows[n_rows] = (sl_row){ids[at++], n_rows - 1, 1};
            path[n_rows] = n_rows;
        }
        const sl_status status =
            sl_session_forward(w->session, rows, n_rows, w->logits, NULL, NULL, &err);
        if (status != SL_OK) return cli_complain_status(NULL, status, &err);
        sl_session_commit(w->session, path, n_rows);
        const size_t n_logits = (size_t)n_rows * w->vocab;
        if (fwrite(w->logits, sizeof(float), n_logits, w->to) != n_logits) return CLI_FAILED;
    }
    return CLI_OK;
}

static int write_all(writer *w, const sequences *s, const char *to_name) {
    w->vocab = (size_t)sl_model_facts_of(sl_session_model(w->session))->vocab;
    w->logits = malloc((size_t)w->rows_max * w->vocab * sizeof *w->logits);
    if (!w->logits) {
        cli_complain("out of memory for %d rows of logits", (int)w->rows_max);
        return CLI_FAILED;
    }
    int code = CLI_OK;
    cli_progress progress;
    cli_progress_begin(&progress, "evaluating");
    for (size_t i = 0; i < s->n && code == CLI_OK; i++) {
        const size_t begin = i == 0 ? 0 : s->ends[i - 1];
        cli_progress_update(&progress, (double)begin, (double)s->n_ids);
        code = write_sequence(w, s->ids + begin, s->ends[i] - begin);
    }
    cli_progress_end(&progress);
    free(w->logits);
    if (code == CLI_OK && fflush(w->to) == 0) return CLI_OK;
    if (ferror(w->to)) cli_complain("%s: %s", to_name, strerror(errno));
    return code == CLI_OK ? CLI_FAILED : code;
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_engine engine = cli_engine_default();
    const char *ids = NULL, *output = NULL;
    int code;
    const cli_option options[] = {
        CLI_TEXT("--ids", "FILE", &ids, "one sequence of token ids per line (- is standard input)"),
        CLI_TEXT("-o --output", "FILE", &output,
                 "f32 logits, [positions of all lines][vocabulary]"),
        CLI_OPTION_MODEL(&engine),
        CLI_OPTION_THREADS(&engine),
        CLI_OPTIONS_BATCH(&engine),
        CLI_OPTION_KEYS(&engine),
        CLI_OPTION_VALUES(&engine),
        CLI_OPTION_ISA(&engine),
        CLI_OPTION_LAYOUT(&engine),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;
    if (!ids || !output) {
        cli_complain("%s: expected a file", ids ? "-o" : "--ids");
        return CLI_USAGE;
    }

    cli_input in;
    sequences s = {0};
    sl_model *model = NULL;
    code = cli_input_file(&in, ids, IDS_FILE_MAX);
    if (code != CLI_OK) return code;
    writer w = {.rows_max = cli_logit_rows(&engine), .to = fopen(output, "wb")};
    if (!w.to) {
        cli_complain("%s: %s", output, strerror(errno));
        code = CLI_FAILED;
    }
    if (code == CLI_OK) code = cli_open_model(&engine, &model);
    if (code == CLI_OK) code = parse_ids(&s, &in, sl_model_facts_of(model)->vocab);
    if (code == CLI_OK) code = cli_open_session(&engine, model, (int32_t)s.longest, &w.session);
    if (code == CLI_OK) code = write_all(&w, &s, output);
    if (w.to && fclose(w.to) != 0 && code == CLI_OK) {
        cli_complain("%s: %s", output, strerror(errno));
        code = CLI_FAILED;
    }
    sl_session_close(&w.session);
    sl_model_close(&model);
    free_sequences(&s);
    cli_input_free(&in);
    return code;
}

const cli_command cli_cmd_logits = {"logits", "--ids FILE -o FILE [OPTIONS]",
                                    "Write the logits of every position of given token ids", NULL,
                                    run};

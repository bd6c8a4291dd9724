/* eval_workload.c - prompts and recordings from JSON lines, tokenized and cut to size. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cmd.h"
#include "eval.h"
#include "message.h"
#include "prompt.h"
#include "sluice/tokenizer.h"

enum { FILE_MAX = 256 << 20, CHUNK = 1 << 16 };

/* A whole file, unpacked if need be; NULL after one line on stderr. */
static char *read_file(const char *path, size_t *n) {
    gzFile file = gzopen(path, "rb");
    char *text = NULL;
    size_t room = 0;
    *n = 0;
    errno = file ? 0 : errno;
    while (file) {
        if (room - *n < CHUNK) {
            room = 2 * room + 2 * (size_t)CHUNK;
            char *more = room <= FILE_MAX ? realloc(text, room) : NULL;
            if (!more) {
                cli_complain("%s: no memory for %zu bytes", path, room);
                break;
            }
            text = more;
        }
        const int got = gzread(file, text + *n, CHUNK);
        if (got < 0) {
            int code;
            cli_complain("%s: %s", path, gzerror(file, &code));
            break;
        }
        *n += (size_t)got;
        if (got > 0) continue;
        text[*n] = '\0';
        (void)gzclose(file);
        return text;
    }
    if (file)
        (void)gzclose(file);
    else
        cli_complain("%s: %s", path, errno ? strerror(errno) : "out of memory");
    free(text);
    return NULL;
}

/* ---- one line ---- */

static const char *text_of(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    if (!value && strcmp(key, "prompt") == 0) {
        value = json_object_get(line, "text");
        if (!value) value = json_object_get(line, "question");
    }
    return json_string_value(value);
}

/* Whether a comma-separated list, if there is one, has the name. */
static bool listed(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    }
    return !list;
}

/* The number of a task, -1 if there are too many. */
static int32_t task_number(eval_workload *w, const char *name) {
    for (int32_t t = 0; t < w->n_tasks; t++)
        if (strcmp(w->tasks[t], name) == 0) return t;
    if (w->n_tasks == EVAL_TASKS_MAX || strlen(name) >= EVAL_NAME_MAX) return -1;
    (void)snprintf(w->tasks[w->n_tasks], EVAL_NAME_MAX, "%s", name);
    return w->n_tasks++;
}

static int32_t requests_of(const eval_workload *w, int32_t task) {
    int32_t n = 0;
    for (int32_t i = 0; i < w->n; i++)
        n += w->requests[i].task == task;
    return n;
}

/* The user's turn in the model's chat format, or as it is if there is none, and the output
 * behind it. CLI_OK, or an exit code after one line on stderr that begins with place. */
static int tokenize(const sl_model *model, const char *place, const char *prompt,
                    const char *output, eval_request *q) {
    const sl_chat_message message = {"user", prompt};
    cli_prompt tokens = {0};
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    int code = sl_chat_format(model)
                   ? cli_prompt_chat(&tokens, model, place, &message, 1)
                   : cli_prompt_raw(&tokens, model, place, prompt, strlen(prompt));
    sl_status status = SL_OK;
    q->n_prompt = tokens.n;
    q->n_output = 0;
    if (code == CLI_OK && output)
        status = sl_tokenize(model, output, strlen(output), 0, NULL, 0, &q->n_output, &err);
    q->tokens = malloc(((size_t)q->n_prompt + (size_t)q->n_output + 1) * sizeof *q->tokens);
    if (!q->tokens) status = SL_E_NOMEM;
    if (code == CLI_OK && status == SL_OK) {
        memcpy(q->tokens, tokens.tokens, (size_t)tokens.n * sizeof *q->tokens);
        if (output)
            status = sl_tokenize(model, output, strlen(output), 0, q->tokens + q->n_prompt,
                                 q->n_output, &q->n_output, &err);
    }
    cli_prompt_free(&tokens);
    if (code == CLI_OK && status != SL_OK) code = cli_complain_status(place, status, &err);
    return code;
}

static bool append(eval_workload *w, eval_request q) {
    if (w->n == w->room) {
        const int32_t room = w->room ? 2 * w->room : 64;
        eval_request *more = realloc(w->requests, (size_t)room * sizeof *more);
        if (!more) return false;
        w->requests = more;
        w->room = room;
    }
    w->requests[w->n++] = q;
    return true;
}

/* Take the request, or leave it out if it does not fit. */
static int take(eval_workload *w, const char *place, eval_request *q, const eval_limits *limits) {
    if (q->n_output > limits->max_tokens) {
        q->n_output = limits->max_tokens;
        w->cut++;
    }
    const int32_t room = q->n_output > 0 ? q->n_output : limits->max_tokens;
    if (q->n_prompt + room > limits->context) {
        w->too_long++;
        return CLI_OK;
    }
    if (q->n_prompt < 1 || !append(w, *q)) {
        cli_complain("%s: %s", place, q->n_prompt < 1 ? "the prompt is empty" : "out of memory");
        return CLI_FAILED;
    }
    *q = (eval_request){0};
    return CLI_OK;
}

static int add_line(eval_workload *w, const char *place, const json_t *line, const char *file_task,
                    const sl_model *model, const eval_limits *limits) {
    const char *prompt = text_of(line, "prompt"), *task = text_of(line, "task");
    const char *output = limits->live ? NULL : text_of(line, "output"), *id = text_of(line, "id");
    if (!prompt) {
        cli_complain("%s: expected a string \"prompt\" (or \"text\", \"question\")", place);
        return CLI_FAILED;
    }
    if (!task) task = file_task;
    if (!listed(limits->tasks, task)) return CLI_OK;
    const int32_t number = task_number(w, task);
    if (number < 0) {
        cli_complain("%s: expected at most %d tasks, with names of fewer than %d bytes", place,
                     EVAL_TASKS_MAX, EVAL_NAME_MAX);
        return CLI_FAILED;
    }
    if (requests_of(w, number) >= limits->per_task) return CLI_OK;

    eval_request q = {.task = number, .id = strdup(id ? id : "")};
    int code = tokenize(model, place, prompt, output, &q);
    if (code == CLI_OK) code = take(w, place, &q, limits);
    free(q.id);
    free(q.tokens);
    return code;
}

/* ---- files ---- */

/* "dir/replay_code.jsonl.gz" is the task "replay_code". */
static void task_of_file(const char *path, char out[EVAL_NAME_MAX]) {
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    (void)snprintf(out, EVAL_NAME_MAX, "%.*s", (int)strcspn(base, "."), base);
}

int eval_workload_parse(eval_workload *w, const char *name, const char *text, size_t n,
                        const sl_model *model, const eval_limits *limits) {
    char task[EVAL_NAME_MAX];
    int code = CLI_OK, number = 1;
    task_of_file(name, task);
    for (const char *at = text, *end; code == CLI_OK && at < text + n; at = end + 1, number++) {
        end = memchr(at, '\n', (size_t)(text + n - at));
        if (!end) end = text + n;
        if (end == at) continue;
        char place[512];
        json_error_t why;
        (void)snprintf(place, sizeof place, "%s:%d", name, number);
        json_t *line = json_loadb(at, (size_t)(end - at), 0, &why);
        if (line) {
            code = add_line(w, place, line, task, model, limits);
        } else {
            cli_complain("%s: %s", place, why.text);
            code = CLI_FAILED;
        }
        json_decref(line);
    }
    return code;
}

int eval_workload_read(eval_workload *w, const char *path, const sl_model *model,
                       const eval_limits *limits) {
    size_t n;
    char *text = read_file(path, &n);
    const int code = text ? eval_workload_parse(w, path, text, n, model, limits) : CLI_FAILED;
    free(text);
    return code;
}

void eval_workload_free(eval_workload *w) {
    for (int32_t i = 0; i < w->n; i++) {
        free(w->requests[i].id);
        free(w->requests[i].tokens);
    }
    free(w->requests);
    *w = (eval_workload){.n = 0};
}

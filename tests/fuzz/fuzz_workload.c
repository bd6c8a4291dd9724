/* fuzz_workload.c - any bytes as the requests of `sluice bench --spec`: one complaint, or
 * requests that keep to the limits. The first byte says which: 1 live, 2 two tasks only. */
#include "fuzz_complaints.h"

#include <string.h>

#include "eval.h"
#include "sluice/model.h"

enum { PER_TASK = 3, TOKENS = 8, CONTEXT = 96 };

static const sl_model *open_once(void) {
    static sl_model *model; /* closed with the process */
    sl_error err = {0};
    sl_model_params how = sl_model_params_default();
    how.layout = SL_LAYOUT_MAPPED;
    how.threads = 1;
    if (!model && sl_model_open(&model, SL_MODEL_FILE, &how, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return model;
}

static void check_request(const eval_workload *w, const eval_request *q, bool live,
                          const sl_model *model) {
    const int32_t vocab = sl_model_facts_of(model)->vocab;
    FUZZ_CHECK(q->id && q->task >= 0 && q->task < w->n_tasks);
    FUZZ_CHECK(q->n_prompt > 0 && q->n_output >= 0 && q->n_output <= (live ? 0 : TOKENS));
    FUZZ_CHECK(q->n_prompt + (q->n_output > 0 ? q->n_output : TOKENS) <= CONTEXT);
    for (int32_t i = 0; i < q->n_prompt + q->n_output; i++)
        FUZZ_CHECK(q->tokens[i] >= 0 && q->tokens[i] < vocab);
}

static void check_workload(const eval_workload *w, bool live, bool listed, const sl_model *model) {
    int32_t of_task[EVAL_TASKS_MAX] = {0};
    FUZZ_CHECK(w->n_tasks <= (listed ? 2 : EVAL_TASKS_MAX));
    for (int32_t t = 0; t < w->n_tasks; t++)
        FUZZ_CHECK(memchr(w->tasks[t], '\0', EVAL_NAME_MAX));
    for (int32_t i = 0; i < w->n; i++) {
        check_request(w, &w->requests[i], live, model);
        FUZZ_CHECK(++of_task[w->requests[i].task] <= PER_TASK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const sl_model *model = open_once();
    if (size < 1) return 0;
    const bool live = data[0] & 1, listed = data[0] & 2;
    const eval_limits limits = {PER_TASK, TOKENS, CONTEXT, live, listed ? "code,math" : NULL};
    eval_workload w = {.n = 0};
    fuzz_complaints = 0;
    const int code = eval_workload_parse(&w, "folder/code.jsonl", (const char *)data + 1, size - 1,
                                         model, &limits);
    FUZZ_CHECK(fuzz_complaints == (code == CLI_OK ? 0 : 1));
    check_workload(&w, live, listed, model);
    eval_workload_free(&w);
    return 0;
}

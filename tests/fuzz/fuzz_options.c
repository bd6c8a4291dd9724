/* fuzz_options.c - any lines as the arguments of a command that generates: one complaint, or a
 * request with every number in its range. */
#include "fuzz_complaints.h"

#include <math.h>
#include <string.h>

#include "number_list.h"
#include "request_options.h"

enum { ARGUMENTS_MAX = 64 };

/* Copies of the lines, each an argument; argv[0] is the command's name. */
static int split(char *text, char *argv[ARGUMENTS_MAX]) {
    int argc = 0;
    static char name[] = "run";
    argv[argc++] = name;
    for (char *at = text; *at && argc < ARGUMENTS_MAX;) {
        argv[argc++] = at;
        at += strcspn(at, "\n");
        if (*at) *at++ = '\0';
    }
    return argc;
}

static void check_sampling(const sl_sampling *s) {
    FUZZ_CHECK(s->temperature >= 0 && s->temperature <= 1e6f && s->top_k >= 0);
    FUZZ_CHECK(s->top_p > 0 && s->top_p <= 1 && s->min_p >= 0 && s->min_p <= 1);
    FUZZ_CHECK(s->repeat_penalty > 0 && isfinite(s->repeat_penalty) && s->repeat_last_n >= -1);
    FUZZ_CHECK(s->n_bias >= 0 && s->n_bias <= CLI_BIASES_MAX);
    for (int32_t i = 0; i < s->n_bias; i++)
        FUZZ_CHECK(s->bias[i].token >= 0 && !isnan(s->bias[i].bias) && s->bias[i].bias <= 1e6f);
}

static void check_request(const cli_request *r) {
    const sl_generate_params *p = &r->params;
    check_sampling(&p->sampling);
    FUZZ_CHECK(p->max_tokens >= -1 && p->n_stop >= 0 && p->n_stop <= CLI_LIST_MAX);
    for (int32_t i = 0; i < p->n_stop; i++)
        FUZZ_CHECK(p->stop[i][0] != '\0');
    FUZZ_CHECK(p->n_spec_types >= 0 && p->n_spec_types <= SL_SPEC_SOURCES_MAX);
    FUZZ_CHECK(p->ngram_min >= 0 && p->ngram_min <= p->ngram_max && p->ngram_max <= 16);
    FUZZ_CHECK(p->draft_max >= -1 && p->draft_max <= SL_DRAFT_MAX && p->draft_min >= 0);
    FUZZ_CHECK(p->draft_p_min >= 0 && p->draft_p_min <= 1);
    FUZZ_CHECK(p->spec_loss_max <= 1 && !isnan(p->spec_loss_max));
    FUZZ_CHECK(p->budget.mode == SL_BUDGET_OFF || p->budget.experts >= 1);
}

static void check_engine(const cli_engine *e) {
    const sl_session_params s = cli_session_params(e, 64);
    FUZZ_CHECK(e->threads >= 0 && s.batch >= 1 && s.batch <= SL_PASS_ROWS_MAX);
    FUZZ_CHECK(cli_logit_rows(e) >= 1 && cli_logit_rows(e) <= CLI_LOGIT_ROWS);
}

static void try_list(const char *text) {
    cli_numbers list;
    if (!cli_parse_numbers(text, 1, 512, &list)) return;
    FUZZ_CHECK(list.n >= 1 && list.n <= CLI_NUMBERS_MAX);
    for (int32_t i = 0; i < list.n; i++)
        FUZZ_CHECK(list.items[i] >= 1 && list.items[i] <= 512);
}

static int run_nothing(const cli_command *self, int argc, char **argv) {
    (void)self;
    (void)argc;
    (void)argv;
    return CLI_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *nowhere;
    static const cli_command command = {"run", "[options]", "Nothing", NULL, run_nothing};
    char *argv[ARGUMENTS_MAX], *text = malloc(size + 1);
    const char *file = NULL;
    cli_request r = cli_request_default();
    cli_engine e = cli_engine_default();
    int code = CLI_OK;
    if (!nowhere) nowhere = freopen("/dev/null", "w", stdout); /* --help */
    FUZZ_CHECK(text && nowhere);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    const cli_option options[] = {
        CLI_TEXT(NULL, "FILE", &file, "one file"),
        CLI_HEADING("Model"),
        CLI_OPTION_MODEL(&e),
        CLI_OPTION_THREADS(&e),
        CLI_OPTIONS_BATCH(&e),
        CLI_OPTION_KEYS(&e),
        CLI_OPTION_ISA(&e),
        CLI_OPTION_LAYOUT(&e),
        CLI_OPTIONS_STOPPING(&r),
        CLI_OPTIONS_SAMPLING(&r),
        CLI_OPTIONS_SPECULATION(&r),
    };
    const int argc = split(text, argv);
    for (int i = 1; i < argc; i++)
        try_list(argv[i]);
    fuzz_complaints = 0;
    if (cli_parse(&command, options, CLI_COUNT(options), argc, argv, &code)) {
        FUZZ_CHECK(code == CLI_OK && fuzz_complaints == 0);
        code = cli_request_check(&r);
        if (code == CLI_OK) check_request(&r);
        check_engine(&e);
    }
    FUZZ_CHECK(fuzz_complaints == (code == CLI_OK ? 0 : 1) &&
               (code == CLI_OK || code == CLI_USAGE));
    free(text);
    return 0;
}

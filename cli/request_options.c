/* request_options.c - from options to the parameters of a request. */
#include "request_options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "input.h"
#include "message.h"

cli_request cli_request_default(void) {
    const sl_generate_params params = sl_generate_params_default();
    return (cli_request){.seed = -1, .params = params};
}

static bool find_spec_type(const char *name, size_t n, sl_spec_type *type) {
    static const struct {
        const char *name;
        sl_spec_type type;
    } names[] = {{"none", SL_SPEC_NONE},          {"ngram-simple", SL_SPEC_NGRAM},
                 {"ngram", SL_SPEC_NGRAM},        {"suffix", SL_SPEC_SUFFIX},
                 {"draft-simple", SL_SPEC_DRAFT}, {"draft", SL_SPEC_DRAFT}};
    for (int i = 0; i < CLI_COUNT(names); i++) {
        if (strlen(names[i].name) != n || memcmp(names[i].name, name, n) != 0) continue;
        *type = names[i].type;
        return true;
    }
    return false;
}

/* TYPE[,TYPE...]; none stands alone. */
const char *cli_parse_spec_types(const char *value, void *target) {
    static const char expected[] =
        "none, or of ngram-simple, suffix and draft-simple each at most once";
    cli_spec_types types = {.given = true};
    for (bool more = true; more;) {
        const size_t n = strcspn(value, ",");
        sl_spec_type type;
        if (!find_spec_type(value, n, &type) || types.n == SL_SPEC_SOURCES_MAX) return expected;
        for (int32_t i = 0; i < types.n; i++)
            if (types.items[i] == type) return expected;
        more = value[n] == ',';
        if (type == SL_SPEC_NONE && (more || types.n > 0)) return expected;
        if (type != SL_SPEC_NONE) types.items[types.n++] = type;
        value += n + more;
    }
    *(cli_spec_types *)target = types;
    return NULL;
}

/* The policy library has the last word on options after the colon; its name and K are
 * checked here, before a model is loaded. */
const char *cli_parse_policy(const char *value, void *target) {
    static const char expected[] = "off, static:K with K in 0 .. 64, cascade or ledger";
    int64_t k;
    if (strncmp(value, "static:", 7) == 0) {
        if (!cli_parse_int64(value + 7, &k) || k < 0 || k > SL_DRAFT_MAX) return expected;
    } else if (strcmp(value, "off") != 0 && strcmp(value, "cascade") != 0 &&
               strncmp(value, "cascade:", 8) != 0 && strcmp(value, "ledger") != 0) {
        return expected;
    }
    *(const char **)target = value;
    return NULL;
}

/* llama.cpp's spelling: TOKEN+VALUE or TOKEN-VALUE. */
const char *cli_parse_bias(const char *value, void *target) {
    static const char expected[] = "a token id, + or -, and a number, like 15043-1 or 15043-inf";
    cli_biases *biases = target;
    char token[12];
    int64_t id;
    double bias;
    const size_t n = strspn(value, "0123456789");
    if (n == 0 || n >= sizeof token || (value[n] != '+' && value[n] != '-')) return expected;
    memcpy(token, value, n);
    token[n] = '\0';
    if (!cli_parse_int64(token, &id) || id > INT32_MAX) return expected;
    if (strcmp(value + n, "-inf") == 0)
        bias = -INFINITY;
    else if (!cli_parse_double(value + n, &bias) || fabs(bias) > 1e6)
        return expected;
    if (biases->n == CLI_BIASES_MAX) return "at most 256 biases";
    biases->items[biases->n++] = (sl_logit_bias){(sl_token)id, (float)bias};
    return NULL;
}

/* "1%" or "0.5": a percentage, to a share. */
const char *cli_parse_loss(const char *value, void *target) {
    char number[16];
    double percent;
    const size_t n = strcspn(value, "%");
    if (n >= sizeof number || (value[n] == '%' && value[n + 1] != '\0')) return "0% .. 100%";
    memcpy(number, value, n);
    number[n] = '\0';
    if (!cli_parse_double(number, &percent) || !(percent >= 0 && percent <= 100))
        return "0% .. 100%";
    *(float *)target = (float)(percent / 100);
    return NULL;
}

/* off | moespec:B[,substitute|truncate] */
const char *cli_parse_budget(const char *value, void *target) {
    static const char expected[] = "off or moespec:B[,substitute|truncate], B experts per layer";
    sl_budget *budget = target;
    char number[12];
    int64_t experts;
    if (strcmp(value, "off") == 0) {
        *budget = (sl_budget){SL_BUDGET_OFF, 0};
        return NULL;
    }
    if (strncmp(value, "moespec:", 8) != 0) return expected;
    value += 8;
    const size_t n = strcspn(value, ",");
    if (n >= sizeof number) return expected;
    memcpy(number, value, n);
    number[n] = '\0';
    if (!cli_parse_int64(number, &experts) || experts < 1 || experts > INT32_MAX) return expected;

    sl_budget_mode mode = SL_BUDGET_SUBSTITUTE;
    if (strcmp(value + n, ",truncate") == 0)
        mode = SL_BUDGET_TRUNCATE;
    else if (value[n] != '\0' && strcmp(value + n, ",substitute") != 0)
        return expected;
    *budget = (sl_budget){mode, (int32_t)experts};
    return NULL;
}

/* A seed short enough to be typed again. */
static int64_t random_seed(void) {
    uint32_t seed = 0;
    FILE *f = fopen("/dev/urandom", "rb");
    if (f) {
        if (fread(&seed, sizeof seed, 1, f) != 1) seed = 0;
        (void)fclose(f);
    }
    return seed;
}

static int check_drafters(cli_request *r) {
    sl_generate_params *p = &r->params;
    cli_spec_types *types = &r->spec_types;
    bool drafts = false;
    if (!types->given && r->draft_path) *types = (cli_spec_types){{SL_SPEC_DRAFT}, 1, true};
    if (types->given) {
        memcpy(p->spec_types, types->items, sizeof types->items);
        p->n_spec_types = types->n;
    }
    for (int32_t i = 0; i < p->n_spec_types; i++)
        drafts |= p->spec_types[i] == SL_SPEC_DRAFT;
    if (drafts && !r->draft_path) {
        cli_complain("--spec-type draft-simple: expected -md FILE, the draft model");
        return CLI_USAGE;
    }
    if (!drafts && r->draft_path) {
        cli_complain("-md: expected draft-simple among --spec-type");
        return CLI_USAGE;
    }
    return CLI_OK;
}

int cli_request_check(cli_request *r) {
    sl_generate_params *p = &r->params;
    if (p->ngram_min > p->ngram_max) {
        cli_complain("--spec-ngram-min %d: expected at most --spec-ngram-max, which is %d",
                     (int)p->ngram_min, (int)p->ngram_max);
        return CLI_USAGE;
    }
    for (int32_t i = 0; i < r->stop.n; i++)
        if (cli_input_argument("-r", r->stop.items[i]) != CLI_OK) return CLI_USAGE;
    if (r->seed < 0) r->seed = random_seed();
    p->sampling.seed = (uint64_t)r->seed;
    p->sampling.bias = r->biases.items;
    p->sampling.n_bias = r->biases.n;
    p->ignore_eos = r->ignore_eos;
    p->stop = r->stop.items;
    p->n_stop = r->stop.n;
    return check_drafters(r);
}

int cli_open_draft(const cli_engine *e, const char *path, sl_session *target, cli_draft *draft) {
    cli_engine engine = *e;
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    *draft = (cli_draft){NULL, NULL};
    if (!path) return CLI_OK;
    engine.model = path;
    const int code = cli_open_model(&engine, &draft->model);
    if (code != CLI_OK) return code;
    const int32_t trained = sl_model_facts_of(draft->model)->context_train;
    const int32_t context = sl_session_context(target);
    const sl_session_params params = cli_session_params(e, context < trained ? context : trained);
    const sl_status status =
        sl_session_open_beside(&draft->session, draft->model, &params, target, &err);
    return status == SL_OK ? CLI_OK : cli_complain_status(path, status, &err);
}

void cli_close_draft(cli_draft *draft) {
    sl_session_close(&draft->session);
    sl_model_close(&draft->model);
}

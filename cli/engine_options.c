/* engine_options.c - from options to an open model. */
#include "engine_options.h"

#include <stddef.h>
#include <string.h>

#include "message.h"
#include "model_path.h"
#include "progress.h"

const cli_choice cli_layouts[] = {
    {"auto", SL_LAYOUT_AUTO}, {"packed", SL_LAYOUT_PACKED}, {"mapped", SL_LAYOUT_MAPPED}, {0}};
const cli_choice cli_kv_types[] = {
    {"f16", SL_KV_F16}, {"f32", SL_KV_F32}, {"q8_0", SL_KV_Q8_0}, {0}};

cli_engine cli_engine_default(void) {
    const sl_model_params model = sl_model_params_default();
    const sl_session_params session = sl_session_params_default();
    return (cli_engine){.isa = model.isa,
                        .layout = (int)model.layout,
                        .threads = session.threads,
                        .context = session.context,
                        .batch = 2048,
                        .ubatch = SL_PASS_ROWS_MAX,
                        .k_type = (int)session.k_type,
                        .v_type = (int)session.v_type};
}

/* Names are checked against the build's tables here, before anything is opened;
 * whether the CPU has the instructions is the library's answer. */
const char *cli_parse_isa(const char *value, void *target) {
    const char *name;
    for (int32_t i = 0; (name = sl_isa_name(i, NULL)) != NULL; i++) {
        if (strcmp(name, value) != 0) continue;
        *(const char **)target = value;
        return NULL;
    }
    return "a kernel table of this build; 'sluice info' lists them";
}

int cli_open_model(const cli_engine *e, sl_model **out) {
    char embedded[CLI_PATH_MAX];
    const char *path = e->model;
    *out = NULL;
    if (!path) {
        if (!cli_find_embedded_model(embedded)) return CLI_FAILED;
        path = embedded;
    }
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    cli_progress progress;
    sl_model_params params = sl_model_params_default();
    params.isa = e->isa;
    params.layout = (sl_weight_layout)e->layout;
    params.threads = e->threads;
    params.no_mmap = e->no_mmap;
    params.mlock = e->mlock;
    params.progress = cli_progress_bytes;
    params.progress_user = &progress;

    cli_progress_begin(&progress, "loading the model");
    const sl_status status = sl_model_open(out, path, &params, &err);
    cli_progress_end(&progress);
    return status == SL_OK ? CLI_OK : cli_complain_status(NULL, status, &err);
}

sl_session_params cli_session_params(const cli_engine *e, int32_t context) {
    sl_session_params params = sl_session_params_default();
    params.context = context;
    params.threads = e->threads;
    params.batch = e->batch < e->ubatch ? e->batch : e->ubatch;
    if (params.batch > SL_PASS_ROWS_MAX) params.batch = SL_PASS_ROWS_MAX;
    params.k_type = (sl_kv_type)e->k_type;
    params.v_type = (sl_kv_type)e->v_type;
    return params;
}

int32_t cli_logit_rows(const cli_engine *e) {
    const int32_t batch = cli_session_params(e, 0).batch;
    return batch < CLI_LOGIT_ROWS ? batch : CLI_LOGIT_ROWS;
}

int cli_open_session(const cli_engine *e, const sl_model *model, int32_t context,
                     sl_session **out) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    const sl_session_params params = cli_session_params(e, context);
    const sl_status status = sl_session_open(out, model, &params, &err);
    return status == SL_OK ? CLI_OK : cli_complain_status(NULL, status, &err);
}

/* engine_options.h - the options of every command that opens a model, and opening it. */
#ifndef SL_CLI_ENGINE_OPTIONS_H
#define SL_CLI_ENGINE_OPTIONS_H

#include <stdint.h>

#include "options.h"
#include "sluice/model.h"
#include "sluice/session.h"

typedef struct cli_engine {
    const char *model; /* NULL: the embedded one */
    const char *isa;
    int layout; /* sl_weight_layout */
    bool no_mmap, mlock;
    int32_t threads;
    int32_t context;
    int32_t batch, ubatch; /* rows of a pass: the smaller of them */
    int k_type, v_type;    /* sl_kv_type */
} cli_engine;

cli_engine cli_engine_default(void);

extern const cli_choice cli_layouts[];
extern const cli_choice cli_kv_types[];
const char *cli_parse_isa(const char *value, void *target);

#define CLI_OPTION_MODEL(e)                                                                        \
    CLI_TEXT("-m --model", "FILE", &(e)->model, "GGUF model (default: the embedded one)")
#define CLI_OPTION_THREADS(e)                                                                      \
    CLI_INT("-t --threads", "N", &(e)->threads, 0, SL_THREADS_MAX, "threads; 0: one per core")
#define CLI_OPTION_CONTEXT(e, help) CLI_INT("-c --ctx-size", "N", &(e)->context, 0, 1 << 28, help)
#define CLI_OPTIONS_BATCH(e)                                                                       \
    CLI_INT("-b --batch-size", "N", &(e)->batch, 1, 1 << 28,                                       \
            "most prompt tokens to evaluate at once, as -ub"),                                     \
        CLI_INT("-ub --ubatch-size", "N", &(e)->ubatch, 1, 1 << 28,                                \
                "most tokens in a pass, up to 512; fewer take less memory")
#define CLI_OPTION_KEYS(e)                                                                         \
    CLI_CHOICE("-ctk --cache-type-k", "TYPE", &(e)->k_type, cli_kv_types, "keys in the cache")
#define CLI_OPTION_VALUES(e)                                                                       \
    CLI_CHOICE("-ctv --cache-type-v", "TYPE", &(e)->v_type, cli_kv_types, "values in the cache")
#define CLI_OPTION_ISA(e)                                                                          \
    CLI_CUSTOM("--isa", "NAME", &(e)->isa, cli_parse_isa,                                          \
               "kernel table (default: the best this CPU has)")
#define CLI_OPTION_LAYOUT(e)                                                                       \
    CLI_CHOICE("--layout", "HOW", &(e)->layout, cli_layouts, "weights in memory"),                 \
        CLI_FLAG("--no-mmap", &(e)->no_mmap, "read the file into memory, do not map it"),          \
        CLI_FLAG("--mlock", &(e)->mlock, "lock the weights in memory")

/* Open with progress. CLI_OK, or an exit code after one line on stderr. */
int cli_open_model(const cli_engine *e, sl_model **out);
int cli_open_session(const cli_engine *e, const sl_model *model, int32_t context, sl_session **out);

/* The session parameters the options ask for. */
sl_session_params cli_session_params(const cli_engine *e, int32_t context);

/* Rows of a pass that all want logits: up to CLI_LOGIT_ROWS, fewer where -b or -ub say so. */
enum { CLI_LOGIT_ROWS = SL_LOGIT_ROWS_MAX - 1 };
int32_t cli_logit_rows(const cli_engine *e);

#endif

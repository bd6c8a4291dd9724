/* cmd_info.c - `sluice info`: what is in a model file and what running it will cost. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cmd.h"
#include "engine_options.h"
#include "machine.h"
#include "message.h"
#include "options.h"
#include "sluice/tokenizer.h"
#include "units.h"

typedef struct info {
    const sl_model *model;
    const sl_model_facts *facts;
    int32_t context;
    size_t session_bytes; /* of a session with that context */
} info;

static cli_bytes bytes(uint64_t n) {
    return cli_bytes_text((double)n);
}

static void print_types(const sl_model_facts *f) {
    for (int32_t i = 0; i < f->n_types; i++)
        (void)printf("%-10s %-5s %5d tensors, %s\n", i == 0 ? "types" : "", f->types[i].name,
                     (int)f->types[i].tensors, bytes(f->types[i].bytes).text);
}

static void print_kernels(const sl_model *model) {
    const char *name;
    int usable;
    (void)printf("kernels    %s in use; this build has", sl_model_isa(model));
    for (int32_t i = 0; (name = sl_isa_name(i, &usable)) != NULL; i++)
        (void)printf("%s %s%s", i ? "," : "", name, usable ? "" : " (not on this CPU)");
    (void)putchar('\n');
}

static void print_feed_forward(const sl_model_facts *f) {
    if (f->experts > 0)
        (void)printf("experts    %d of %d per token, width %d, %s each\n",
                     (int)f->experts_per_token, (int)f->experts, (int)f->expert_width,
                     bytes(f->bytes_per_expert).text);
    if (f->shared_width > 0)
        (void)printf("           and a shared one, width %d\n", (int)f->shared_width);
    if (f->dense_layers > 0)
        (void)printf("dense      %d of %d layers, width %d\n", (int)f->dense_layers, (int)f->layers,
                     (int)f->dense_width);
}

static void print_text(const info *in) {
    const sl_model_facts *f = in->facts;
    const char *chat = sl_chat_format(in->model);
    (void)printf("model      %s (%s, %s)\n", f->name[0] ? f->name : "unnamed", f->arch, f->type);
    (void)printf("size       %.2f M parameters, %s of weights in a file of %s\n",
                 (double)f->params / 1e6, bytes(f->weight_bytes).text, bytes(f->file_bytes).text);
    (void)printf("shape      %d layers, width %d, vocabulary %d, trained for %d tokens\n",
                 (int)f->layers, (int)f->width, (int)f->vocab, (int)f->context_train);
    (void)printf("attention  %d heads of %d, %d key/value heads", (int)f->heads, (int)f->head_dim,
                 (int)f->kv_heads);
    if (f->window > 0) (void)printf(", the newest %d positions", (int)f->window);
    (void)putchar('\n');
    print_feed_forward(f);
    (void)printf("a token    reads %s: %s always, %s of experts\n", bytes(f->bytes_per_token).text,
                 bytes(f->bytes_dense).text, bytes(f->bytes_per_token - f->bytes_dense).text);
    print_types(f);
    (void)printf("chat       %s\n", chat ? chat : "no template known here (use --raw)");
    (void)printf("memory     %s for a context of %d tokens, beside the weights\n",
                 bytes(in->session_bytes).text, (int)in->context);
    print_kernels(in->model);
}

/* Text from the file; null if it is no UTF-8. */
static json_t *file_text(const char *text) {
    json_t *string = text ? json_string(text) : NULL;
    return string ? string : json_null();
}

static json_t *types_array(const sl_model_facts *f) {
    json_t *array = json_array();
    for (int32_t i = 0; i < f->n_types; i++)
        (void)json_array_append_new(array, json_pack("{s:s, s:i, s:I}", "type", f->types[i].name,
                                                     "tensors", (int)f->types[i].tensors, "bytes",
                                                     (json_int_t)f->types[i].bytes));
    return array;
}

static json_t *kernels_array(void) {
    json_t *array = json_array();
    const char *name;
    int usable;
    for (int32_t i = 0; (name = sl_isa_name(i, &usable)) != NULL; i++)
        (void)json_array_append_new(array, json_pack("{s:s, s:b}", "isa", name, "usable", usable));
    return array;
}

static int print_json(const info *in) {
    const sl_model_facts *f = in->facts;
    const struct {
        const char *key;
        json_t *value; /* ownership moves to the root */
    } members[] = {
        {"name", file_text(f->name)},
        {"arch", file_text(f->arch)},
        {"type", file_text(f->type)},
        {"layers", json_integer(f->layers)},
        {"width", json_integer(f->width)},
        {"heads", json_integer(f->heads)},
        {"kv_heads", json_integer(f->kv_heads)},
        {"head_dim", json_integer(f->head_dim)},
        {"experts", json_integer(f->experts)},
        {"experts_per_token", json_integer(f->experts_per_token)},
        {"expert_width", json_integer(f->expert_width)},
        {"shared_width", json_integer(f->shared_width)},
        {"dense_layers", json_integer(f->dense_layers)},
        {"dense_width", json_integer(f->dense_width)},
        {"window", json_integer(f->window)},
        {"rope_dims", json_integer(f->rope_dims)},
        {"vocab", json_integer(f->vocab)},
        {"context_train", json_integer(f->context_train)},
        {"rms_eps", json_real((double)f->rms_eps)},
        {"rope_base", json_real((double)f->rope_base)},
        {"params", json_integer((json_int_t)f->params)},
        {"file_bytes", json_integer((json_int_t)f->file_bytes)},
        {"weight_bytes", json_integer((json_int_t)f->weight_bytes)},
        {"bytes_per_token", json_integer((json_int_t)f->bytes_per_token)},
        {"bytes_dense", json_integer((json_int_t)f->bytes_dense)},
        {"bytes_per_expert", json_integer((json_int_t)f->bytes_per_expert)},
        {"types", types_array(f)},
        {"chat_format", file_text(sl_chat_format(in->model))},
        {"context", json_integer(in->context)},
        {"session_bytes", json_integer((json_int_t)in->session_bytes)},
        {"isa", file_text(sl_model_isa(in->model))},
        {"kernels", kernels_array()},
    };
    json_t *root = json_object();
    int failed = root == NULL;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        failed |= json_object_set_new(root, members[i].key, members[i].value) != 0;
    failed |= json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
    json_decref(root);
    if (failed) {
        cli_complain("cannot write the facts");
        return CLI_FAILED;
    }
    (void)putchar('\n');
    return CLI_OK;
}

static int run(const cli_command *self, int argc, char **argv) {
    cli_engine engine = cli_engine_default();
    bool json = false;
    int code;
    engine.layout = (int)SL_LAYOUT_MAPPED; /* nothing is going to run */
    const cli_option options[] = {
        CLI_TEXT(NULL, "MODEL", &engine.model, "the file, as -m"),
        CLI_OPTION_MODEL(&engine),
        CLI_OPTION_CONTEXT(&engine, "context to state the memory of; 0: the model's"),
        CLI_OPTION_THREADS(&engine),
        CLI_OPTIONS_BATCH(&engine),
        CLI_OPTION_KEYS(&engine),
        CLI_OPTION_VALUES(&engine),
        CLI_FLAG("--json", &json, "for programs"),
    };
    if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &code)) return code;

    sl_model *model;
    code = cli_open_model(&engine, &model);
    if (code != CLI_OK) return code;

    const sl_session_params params = cli_session_params(&engine, engine.context);
    info in = {.model = model, .facts = sl_model_facts_of(model)};
    in.context = engine.context > 0 ? engine.context : in.facts->context_train;
    in.session_bytes = sl_session_bytes(model, &params);
    sl_session *refused = NULL;
    if (in.session_bytes == 0) /* what opening one says to that */
        code = cli_open_session(&engine, model, engine.context, &refused);
    else if (json)
        code = print_json(&in);
    else
        print_text(&in);
    sl_session_close(&refused);
    sl_model_close(&model);
    return code;
}

const cli_command cli_cmd_info = {"info", "[MODEL] [OPTIONS]",
                                  "Show a model's shape, traffic and memory", NULL, run};

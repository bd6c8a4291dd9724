/* request_options.h - the options of every command that generates: when to stop, how to
 * sample, how to speculate. */
#ifndef SL_CLI_REQUEST_OPTIONS_H
#define SL_CLI_REQUEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine_options.h"
#include "options.h"
#include "sluice/generate.h"

#define CLI_BIASES_MAX 256

typedef struct cli_biases {
    sl_logit_bias items[CLI_BIASES_MAX];
    int32_t n;
} cli_biases;

typedef struct cli_spec_types {
    sl_spec_type items[SL_SPEC_SOURCES_MAX];
    int32_t n;
    bool given;
} cli_spec_types;

typedef struct cli_request {
    sl_generate_params params; /* complete after cli_request_check(), callbacks aside */
    cli_list stop;
    cli_biases biases;
    bool ignore_eos;
    int64_t seed; /* -1: a new one */
    cli_spec_types spec_types;
    const char *draft_path; /* the draft model, or NULL */
} cli_request;

cli_request cli_request_default(void);

/* What no single option can be blamed for, then params from the rest. CLI_OK, or CLI_USAGE
 * after one line on stderr. The request must stay where it is: params point into it. */
int cli_request_check(cli_request *r);

const char *cli_parse_spec_types(const char *value, void *target);
const char *cli_parse_policy(const char *value, void *target);
const char *cli_parse_bias(const char *value, void *target);
const char *cli_parse_loss(const char *value, void *target);
const char *cli_parse_budget(const char *value, void *target);

/* The draft model that -md names; both NULL without it. */
typedef struct cli_draft {
    sl_model *model;
    sl_session *session;
} cli_draft;

/* Open the model at path beside the target's session, whose threads it shares; nothing if path
 * is NULL. The session belongs into params.draft_session. CLI_OK, or an exit code after one
 * line on stderr. Close it before the target's session. */
int cli_open_draft(const cli_engine *e, const char *path, sl_session *target, cli_draft *draft);
void cli_close_draft(cli_draft *draft);

/* Rows of a table (options.h). */
#define CLI_OPTIONS_STOPPING(r)                                                                    \
    CLI_INT("-n --predict --n-predict", "N", &(r)->params.max_tokens, -1, INT32_MAX,               \
            "tokens to generate; -1: until the model ends its turn\n"                              \
            "or the context is full"),                                                             \
        CLI_LIST("-r --reverse-prompt", "TEXT", &(r)->stop,                                        \
                 "stop before this text (up to 16 times)"),                                        \
        CLI_FLAG("--ignore-eos", &(r)->ignore_eos, "never choose an end-of-generation token")
#define CLI_OPTIONS_SAMPLING(r)                                                                    \
    CLI_HEADING("Sampling"),                                                                       \
        CLI_FLOAT("--temp", "T", &(r)->params.sampling.temperature, 0, 1e6,                        \
                  "temperature; 0: always the likeliest token"),                                   \
        CLI_INT("--top-k", "N", &(r)->params.sampling.top_k, 0, INT32_MAX,                         \
                "choose among the N likeliest; 0: all"),                                           \
        CLI_FLOAT_ABOVE("--top-p", "P", &(r)->params.sampling.top_p, 0, 1,                         \
                        "choose among the likeliest with this mass; 1: all"),                      \
        CLI_FLOAT("--min-p", "P", &(r)->params.sampling.min_p, 0, 1,                               \
                  "drop tokens below P times the likeliest; 0: none"),                             \
        CLI_INT("--repeat-last-n", "N", &(r)->params.sampling.repeat_last_n, -1, INT32_MAX,        \
                "newest tokens, prompt included, that penalties look at;\n"                        \
                "0: none, -1: all"),                                                               \
        CLI_FLOAT_ABOVE("--repeat-penalty", "P", &(r)->params.sampling.repeat_penalty, 0, 1e6,     \
                        "divide the logits of tokens among them; 1: off"),                         \
        CLI_FLOAT("--presence-penalty", "P", &(r)->params.sampling.presence_penalty, -1e6, 1e6,    \
                  "subtract P from the logits of tokens among them"),                              \
        CLI_FLOAT("--frequency-penalty", "P", &(r)->params.sampling.frequency_penalty, -1e6, 1e6,  \
                  "subtract P for each time they occur"),                                          \
        CLI_CUSTOM("-l --logit-bias", "TOKEN(+/-)VALUE", &(r)->biases, cli_parse_bias,             \
                   "add to a token's logit: 15043+1, 15043-0.5, 15043-inf for\n"                   \
                   "never (up to 256 times; 'sluice tokenize' shows ids)"),                        \
        CLI_INT64("-s --seed", "N", &(r)->seed, -1, (double)INT64_MAX,                             \
                  "seed of the choices; -1: a new one, shown in the summary")
#define CLI_OPTIONS_DRAFTERS(r)                                                                    \
    CLI_CUSTOM("--spec-type", "TYPE[,TYPE]", &(r)->spec_types, cli_parse_spec_types,               \
               "drafters, the preferred one first: ngram-simple (ngram),\n"                        \
               "suffix, draft-simple (draft), or none\n"                                           \
               "(default ngram-simple; draft-simple with -md)"),                                   \
        CLI_TEXT("-md --spec-draft-model --model-draft", "FILE", &(r)->draft_path,                 \
                 "GGUF model of the same vocabulary that drafts"),                                 \
        CLI_INT("--spec-draft-n-min --draft-min", "N", &(r)->params.draft_min, 0, SL_DRAFT_MAX,    \
                "throw away shorter drafts of the draft model"),                                   \
        CLI_FLOAT("--spec-draft-p-min --draft-p-min", "P", &(r)->params.draft_p_min, 0, 1,         \
                  "end its drafts before a token that is less sure"),                              \
        CLI_INT("--spec-ngram-min", "N", &(r)->params.ngram_min, 0, 16,                            \
                "shortest match to draft from; 0: 1 under ledger, else 2"),                        \
        CLI_INT("--spec-ngram-max", "N", &(r)->params.ngram_max, 1, 16,                            \
                "longest match looked for")
#define CLI_OPTIONS_SPECULATION(r)                                                                 \
    CLI_HEADING("Speculation"), CLI_OPTIONS_DRAFTERS(r),                                           \
        CLI_CUSTOM("--spec-policy", "POLICY", &(r)->params.spec_policy, cli_parse_policy,          \
                   "how many drafted tokens to verify: off, static:K, or\n"                        \
                   "what pays: cascade by trials, ledger row by row\n"                             \
                   "(default ledger)"),                                                            \
        CLI_CUSTOM("--spec-loss-max", "PERCENT", &(r)->params.spec_loss_max, cli_parse_loss,       \
                   "ledger: the most speculation may cost a request (default 1%)"),                \
        CLI_INT("--spec-draft-n-max --draft-max", "K", &(r)->params.draft_max, -1, SL_DRAFT_MAX,   \
                "most drafted tokens per pass; -1: the policy's choice"),                          \
        CLI_CUSTOM("--expert-budget", "MODE", &(r)->params.budget, cli_parse_budget,               \
                   "experts a verification pass may use, LOSSY: off or\n"                          \
                   "moespec:B[,substitute|truncate] (default off)")

#endif

/* prompt_cache.h - --prompt-cache: a prompt's evaluation kept in a file between runs. */
#ifndef SL_CLI_PROMPT_CACHE_H
#define SL_CLI_PROMPT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "prompt.h"
#include "sluice/session.h"

typedef struct cli_prompt_cache {
    const char *path; /* NULL: none */
    bool read_only;
    bool all;       /* keep the answer, too */
    int32_t reused; /* prompt tokens that need not be evaluated */
    bool complete;  /* the file has all of the prompt */
} cli_prompt_cache;

#define CLI_OPTIONS_PROMPT_CACHE(c)                                                                \
    CLI_TEXT("--prompt-cache", "FILE", &(c)->path,                                                 \
             "keep the evaluated prompt in this file, and start from it next time"),               \
        CLI_FLAG("--prompt-cache-all", &(c)->all, "keep the answer, too"),                         \
        CLI_FLAG("--prompt-cache-ro", &(c)->read_only, "start from the file, do not write it")

/* Fill the session with what file and prompt begin with alike, all but the prompt's last
 * token at most. A file that is not there is an empty one. CLI_OK, or an exit code after one
 * line on stderr. */
int cli_prompt_cache_load(cli_prompt_cache *cache, sl_session *session, const cli_prompt *prompt);

/* After the request: keep the prompt, if the file lacks some of it, or all with `all`. */
int cli_prompt_cache_save(const cli_prompt_cache *cache, sl_session *session,
                          const cli_prompt *prompt);

#endif

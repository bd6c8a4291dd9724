/* prompt_cache.c - see prompt_cache.h. A file that does not fit is an error and stays as it
 * is: it may be another prompt's, and cost minutes to make. */
#include "prompt_cache.h"

#include <errno.h>
#include <unistd.h>

#include "cmd.h"
#include "message.h"

int cli_prompt_cache_load(cli_prompt_cache *cache, sl_session *session, const cli_prompt *prompt) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    if (!cache->path) return CLI_OK;
    if (!cache->read_only && access(cache->path, F_OK) != 0 && errno == ENOENT) return CLI_OK;
    const sl_status status =
        sl_session_load(session, cache->path, prompt->tokens, prompt->n, NULL, &err);
    if (status != SL_OK) return cli_complain_status("--prompt-cache", status, &err);
    cache->reused = sl_session_length(session);
    cache->complete = cache->reused == prompt->n;
    if (cache->complete && cache->reused > 0) /* someone has to say what comes next */
        sl_session_rewind(session, --cache->reused);
    return CLI_OK;
}

int cli_prompt_cache_save(const cli_prompt_cache *cache, sl_session *session,
                          const cli_prompt *prompt) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    const int32_t length = sl_session_length(session);
    if (!cache->path || cache->read_only || length == 0) return CLI_OK;
    if (!cache->all && (cache->complete || length < prompt->n)) return CLI_OK;
    if (!cache->all) sl_session_rewind(session, prompt->n);
    const sl_status status = sl_session_save(session, cache->path, &err);
    return status == SL_OK ? CLI_OK : cli_complain_status("--prompt-cache", status, &err);
}

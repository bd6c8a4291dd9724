/* session.h (internal) - what a session consists of. */
#ifndef SL_ENGINE_SESSION_H
#define SL_ENGINE_SESSION_H

#include <stdio.h>

#include "model/forward.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "sluice/session.h"
#include "sluice_policy.h"

struct sl_session {
    const sl_model *model;
    sl_session_params params; /* resolved: no zeroes                          */
    sl__pool *pool;
    bool borrows_pool; /* of another session                                       */
    sl__block block;   /* everything below lies in it                           */
    sl__forward *forward;
    sl__kv kv;
    sl_token *tokens;        /* [context] the committed ones                          */
    sl__row *rows;           /* [batch] its own of the newest pass, parents among them */
    int32_t n_pass_rows;     /* rows that can be committed                         */
    sl__row *pass_rows;      /* [batch] all of a pass that it runs                    */
    int32_t *own_index;      /* [batch] of each of them among its session's own       */
    int32_t *path_cells;     /* [batch]                                            */
    sl_budget budget;        /* of the pass in progress                            */
    slp_prior *prior;        /* what its requests taught the policy               */
    uint8_t *budget_allowed; /* [experts]                                      */
};

/* sl_session_load() of an open file of `size` bytes, called `name` in messages. */
sl_status sl__session_read(sl_session *s, FILE *file, uint64_t size, const char *name,
                           const sl_token *tokens, int32_t n_tokens, int32_t *n_file,
                           sl_error *err);

/* First bytes of a file for n tokens of this session, and bytes of all of it. */
enum { SL_SESSION_HEADER = 48 };
void sl__session_header(const sl_session *s, int32_t n, unsigned char out[SL_SESSION_HEADER]);
uint64_t sl__session_file_bytes(const sl_session *s, int32_t n);

#endif

/* session.h (internal) - what a session consists of. */
#ifndef SL_ENGINE_SESSION_H
#define SL_ENGINE_SESSION_H

#include "model/forward.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "sluice/session.h"
#include "sluice_policy.h"

struct sl_session {
    const sl_model *model;
    sl_session_params params; /* resolved: no zeroes                          */
    sl__pool *pool;
    sl__block block; /* everything below lies in it                           */
    sl__forward *forward;
    sl__kv kv;
    sl_token *tokens;        /* [context] the committed ones                          */
    sl__row *rows;           /* [batch] of the newest pass                            */
    int32_t n_pass_rows;     /* rows that can be committed                         */
    int32_t *path_cells;     /* [batch]                                            */
    sl_budget budget;        /* of the pass in progress                            */
    slp_prior *prior;        /* what its requests taught the policy               */
    uint8_t *budget_allowed; /* [experts]                                      */
};

#endif

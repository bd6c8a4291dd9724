/* bandwidth.h - the read bandwidth of this machine's memory. */
#ifndef SL_BANDWIDTH_H
#define SL_BANDWIDTH_H

#include <stdint.h>

#include "base/base.h"
#include "runtime/memory.h"
#include "runtime/pool.h"

/* A buffer to read again and again, so that measurements can stand between others. */
typedef struct sl__bandwidth {
    sl__block block;
    sl__pool *pool;
    size_t per_thread; /* bytes */
} sl__bandwidth;

/* Take `bytes` (at least a MiB per thread) and start threads - 1 workers. SL_E_NOMEM. */
sl_status sl__bandwidth_open(sl__bandwidth *b, int32_t threads, uint64_t bytes, sl_error *err);
void sl__bandwidth_close(sl__bandwidth *b);

/* Bytes per second of the fastest pattern, each walked once over the whole buffer. */
double sl__bandwidth_measure(sl__bandwidth *b);

#endif

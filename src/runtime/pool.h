/* pool.h - a fixed team of threads that runs one job at a time, in step.
 *
 *     caller       run(job) |---work---|barrier|---work---| returns
 *     worker 1..n  (waits)  |---work---|barrier|---work---| (waits)
 *
 * Work inside a phase is claimed in chunks from a shared counter, which a barrier
 * resets; results must not depend on who claimed what. Waits spin for a moment and
 * then sleep: long while every thread has a core of its own, so that a pass makes
 * no system call, short when threads outnumber cores.
 *
 * A pool is driven by one thread at a time. */
#ifndef SL_POOL_H
#define SL_POOL_H

#include <stdint.h>

#include "base/base.h"

typedef struct sl__pool sl__pool;

/* thread is 0 .. threads - 1; 0 is the caller of sl__pool_run(). */
typedef void sl__job(void *arg, int32_t thread);

/* Start threads - 1 workers; asserts threads >= 1. */
sl_status sl__pool_open(sl__pool **out, int32_t threads, sl_error *err);
void sl__pool_close(sl__pool **pool);
int32_t sl__pool_threads(const sl__pool *pool);

/* Run job on every thread; returns when all have finished. */
void sl__pool_run(sl__pool *pool, sl__job *job, void *arg);

/* Inside a job: wait for all threads, then restart the claim counter at 0.
 * Everything written before it is visible after it, on every thread. */
void sl__pool_barrier(sl__pool *pool);

/* Inside a job, between two barriers: claim the next chunk of [0, n). Returns the
 * first index and sets *end, or returns n when nothing is left. All threads must
 * pass the same n and chunk. */
int32_t sl__pool_claim(sl__pool *pool, int32_t n, int32_t chunk, int32_t *end);

/* A chunk that gives every thread about four turns at n units, at least 1. */
int32_t sl__pool_chunk(const sl__pool *pool, int32_t n);

#endif

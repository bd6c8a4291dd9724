/* pool.c - generation-counting barrier over C11 atomics, sleeping on a condition.
 *
 * The barrier counts arrivals; the last arrival resets the counters and moves the
 * generation on, which is what the others wait for. A sleeper announces itself in
 * `sleepers` before it looks at the generation a last time, and the last arrival
 * looks at `sleepers` after it has moved the generation: with both sequentially
 * consistent one of them always sees the other, so no wake-up is lost. */
#include "runtime/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#else
#define RELAX() ((void)0)
#endif

enum {
    SPINS_ALONE = 1 << 17,  /* about 5 ms: a pass of a small model never sleeps    */
    SPINS_CROWDED = 1 << 6, /* more threads than cores: the other one needs ours   */
};

struct sl__pool {
    int32_t threads;
    int32_t spins_max;
    atomic_int spins;   /* before the next sleep; see wait_for_generation() */
    pthread_t *handles; /* [threads - 1] */
    sl__job *job;
    void *arg;
    bool closing;

    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool complete; /* every worker exists and `threads` is final; under mutex */

    _Alignas(SL_CACHE_LINE) atomic_int arrived;
    _Alignas(SL_CACHE_LINE) atomic_uint generation;
    atomic_int sleepers;
    _Alignas(SL_CACHE_LINE) atomic_int next;
};

/* Spinning in vain means that another program has a core that a thread of ours needs; a
 * spinner keeps it waiting even longer. So each vain wait makes the next ones a quarter as
 * long, and each that ends in time longer again. */
static void wait_for_generation(sl__pool *p, unsigned old) {
    const int32_t spins = atomic_load_explicit(&p->spins, memory_order_relaxed);
    for (int32_t i = 0; i < spins; i++) {
        if (atomic_load_explicit(&p->generation, memory_order_acquire) != old) {
            if (spins < p->spins_max)
                atomic_store_explicit(&p->spins, sl__min_i32(spins + spins / 4, p->spins_max),
                                      memory_order_relaxed);
            return;
        }
        RELAX();
    }
    atomic_store_explicit(&p->spins, sl__max_i32(spins / 4, SPINS_CROWDED), memory_order_relaxed);
    (void)pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->generation) == old)
        (void)pthread_cond_wait(&p->moved, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    (void)pthread_mutex_unlock(&p->mutex);
}

void sl__pool_barrier(sl__pool *p) {
    if (p->threads == 1) {
        atomic_store_explicit(&p->next, 0, memory_order_relaxed);
        return;
    }
    const unsigned old = atomic_load_explicit(&p->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) + 1 < p->threads) {
        wait_for_generation(p, old);
        return;
    }
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        (void)pthread_mutex_lock(&p->mutex);
        (void)pthread_cond_broadcast(&p->moved);
        (void)pthread_mutex_unlock(&p->mutex);
    }
}

typedef struct worker_start {
    sl__pool *pool;
    int32_t thread;
} worker_start;

static void *worker_main(void *arg) {
    const worker_start start = *(worker_start *)arg;
    sl__pool *p = start.pool;
    free(arg);
    (void)pthread_mutex_lock(&p->mutex);
    while (!p->complete)
        (void)pthread_cond_wait(&p->moved, &p->mutex);
    (void)pthread_mutex_unlock(&p->mutex);
    for (;;) {
        sl__pool_barrier(p); /* the start of a job */
        if (p->closing) return NULL;
        p->job(p->arg, start.thread);
        sl__pool_barrier(p); /* its end */
    }
}

void sl__pool_run(sl__pool *p, sl__job *job, void *arg) {
    p->job = job;
    p->arg = arg;
    sl__pool_barrier(p);
    job(arg, 0);
    sl__pool_barrier(p);
}

int32_t sl__pool_claim(sl__pool *p, int32_t n, int32_t chunk, int32_t *end) {
    const int32_t first = atomic_fetch_add_explicit(&p->next, chunk, memory_order_relaxed);
    if (first >= n) return n;
    *end = sl__min_i32(first + chunk, n);
    return first;
}

int32_t sl__pool_chunk(const sl__pool *p, int32_t n) {
    return p->threads == 1 ? sl__max_i32(n, 1) : sl__max_i32(1, n / (4 * p->threads));
}

int32_t sl__pool_threads(const sl__pool *p) {
    return p->threads;
}

/* Leaves p->threads at the number that exist, and lets them run, also on failure. */
static sl_status start_workers(sl__pool *p, int32_t threads, sl_error *err) {
    sl_status status = SL_OK;
    while (p->threads < threads && status == SL_OK) {
        worker_start *start = malloc(sizeof *start);
        int failed = ENOMEM;
        if (start) {
            *start = (worker_start){p, p->threads};
            failed = pthread_create(&p->handles[p->threads - 1], NULL, worker_main, start);
        }
        if (failed) {
            free(start);
            status = sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "cannot start thread %d of %d: %s",
                              p->threads + 1, threads, strerror(failed));
        } else {
            p->threads++;
        }
    }
    (void)pthread_mutex_lock(&p->mutex);
    p->complete = true;
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->mutex);
    return status;
}

sl_status sl__pool_open(sl__pool **out, int32_t threads, sl_error *err) {
    *out = NULL;
    SL_ASSERT(threads >= 1);
    sl__pool *p = aligned_alloc(SL_CACHE_LINE, sl__round_up(sizeof *p, SL_CACHE_LINE));
    if (!p) return sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for a thread pool");
    memset(p, 0, sizeof *p);
    p->threads = 1;
    p->spins_max = threads <= sl__cpu_cores() ? SPINS_ALONE : SPINS_CROWDED;
    atomic_store(&p->spins, p->spins_max);
    p->handles = calloc((size_t)threads, sizeof *p->handles);
    (void)pthread_mutex_init(&p->mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&p->moved, NULL);
    sl_status status =
        p->handles ? SL_OK
                   : sl__fail(err, SL_E_NOMEM, SL_NOWHERE, "out of memory for a thread pool");
    if (status == SL_OK) status = start_workers(p, threads, err);
    if (status != SL_OK) {
        sl__pool_close(&p);
        return status;
    }
    *out = p;
    return SL_OK;
}

void sl__pool_close(sl__pool **pool) {
    sl__pool *p = *pool;
    *pool = NULL;
    if (!p) return;
    p->closing = true;
    if (p->threads > 1) sl__pool_barrier(p);
    for (int32_t i = 1; i < p->threads; i++)
        (void)pthread_join(p->handles[i - 1], NULL);
    (void)pthread_cond_destroy(&p->moved);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p->handles);
    free(p);
}

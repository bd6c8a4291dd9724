/* test_pool.c - a team of threads in step, on as many or fewer cores. */
#include "engine_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/base.h"
#include "runtime/pool.h"

enum { THREADS_MAX = 8, INDICES = 997 };

/* ---- failing pthread_create ---- */

static atomic_int creations_left = -1; /* before one fails; below zero: none does */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg) {
    if (atomic_load(&creations_left) == 0) return EAGAIN;
    if (atomic_load(&creations_left) > 0) atomic_fetch_sub(&creations_left, 1);
    return __real_pthread_create(thread, attr, start, arg);
}

/* Mutations: report success with fewer threads; leave the started ones waiting for ever
 * (the test then hangs); forget the reason in the message. */
static void a_thread_that_cannot_start_is_reported_and_the_others_end(void **state) {
    (void)state;
    for (int32_t threads = 2; threads <= THREADS_MAX; threads++)
        for (int32_t n = 0; n < threads - 1; n++) {
            sl__pool *pool = (sl__pool *)&creations_left; /* must become NULL */
            sl_error err = {0};
            atomic_store(&creations_left, n);
            assert_int_equal(sl__pool_open(&pool, threads, &err), SL_E_NOMEM);
            atomic_store(&creations_left, -1);
            assert_null(pool);
            char place[64];
            (void)snprintf(place, sizeof place, "thread %d of %d", n + 2, threads);
            CHECK_CASE(strstr(err.text, place) && strstr(err.text, strerror(EAGAIN)), "%s",
                       err.text);
        }
}

/* ---- barriers ---- */

typedef struct job {
    sl__pool *pool;
    int32_t threads, rounds;
    int32_t counters[THREADS_MAX][16]; /* plain memory: barriers are what orders it */
    int32_t claims[INDICES];
    atomic_int wrong;
} job;

/* Every thread counts its own rounds and looks at everyone's after each barrier. */
static void count_in_step(void *arg, int32_t thread) {
    job *j = arg;
    for (int32_t round = 1; round <= j->rounds; round++) {
        j->counters[thread][0] = round;
        sl__pool_barrier(j->pool);
        for (int32_t i = 0; i < j->threads; i++)
            if (j->counters[i][0] != round) atomic_fetch_add(&j->wrong, 1);
        sl__pool_barrier(j->pool);
    }
}

/* Mutations: let the last arrival go before it has reset the counter; look for sleepers
 * before moving the generation on (a lost wake-up: the test hangs). */
static void no_thread_passes_a_barrier_before_all_have_come(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++) {
        job j = {.threads = threads, .rounds = world_share(threads <= 2 ? 4000 : 1500, 200)};
        assert_int_equal(sl__pool_open(&j.pool, threads, NULL), SL_OK);
        assert_int_equal(sl__pool_threads(j.pool), threads);
        sl__pool_run(j.pool, count_in_step, &j);
        assert_int_equal(atomic_load(&j.wrong), 0);
        for (int32_t i = 0; i < threads; i++)
            assert_int_equal(j.counters[i][0], j.rounds);
        sl__pool_close(&j.pool);
        assert_null(j.pool);
    }
}

static void claim_all(void *arg, int32_t thread) {
    job *j = arg;
    for (int32_t round = 0; round < j->rounds; round++) {
        const int32_t chunk = round % 3 == 0 ? sl__pool_chunk(j->pool, INDICES) : 1 + round % 41;
        for (int32_t i, end = 0; (i = sl__pool_claim(j->pool, INDICES, chunk, &end)) < INDICES;)
            for (; i < end; i++)
                j->claims[i]++; /* not atomic: each index has one owner per round */
        sl__pool_barrier(j->pool);
    }
    (void)thread;
}

/* Mutations: end a chunk past n; keep the counter over a barrier; claim with a load and a
 * store. */
static void every_index_is_claimed_once_between_two_barriers(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++) {
        job j = {.threads = threads, .rounds = world_share(400, 60)};
        assert_int_equal(sl__pool_open(&j.pool, threads, NULL), SL_OK);
        for (int32_t run = 1; run <= 3; run++) {
            sl__pool_run(j.pool, claim_all, &j);
            for (int32_t i = 0; i < INDICES; i++)
                CHECK_CASE(j.claims[i] == run * j.rounds, "%d threads, index %d", threads, i);
        }
        sl__pool_close(&j.pool);
    }
}

static void count_run(void *arg, int32_t thread) {
    job *j = arg;
    j->counters[thread][0]++;
}

/* Mutations: return from run before a worker has finished; start a job twice. */
static void every_run_is_done_by_every_thread_when_it_returns(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= THREADS_MAX; threads += 1 + threads / 3) {
        job j = {.threads = threads};
        assert_int_equal(sl__pool_open(&j.pool, threads, NULL), SL_OK);
        for (int32_t run = 1; run <= world_share(1000, 100); run++) {
            sl__pool_run(j.pool, count_run, &j);
            for (int32_t i = 0; i < threads; i++)
                CHECK_CASE(j.counters[i][0] == run, "%d threads, run %d", threads, run);
        }
        sl__pool_close(&j.pool);
    }
}

/* Mutations: miss the closing flag; join fewer threads than there are. */
static void pools_open_and_close_over_and_over(void **state) {
    (void)state;
    sl__pool *none = NULL;
    sl__pool_close(&none);
    for (int32_t i = 0; i < world_share(400, 60); i++) {
        job j = {.threads = 1 + i % THREADS_MAX};
        assert_int_equal(sl__pool_open(&j.pool, j.threads, NULL), SL_OK);
        if (i % 2) sl__pool_run(j.pool, count_run, &j);
        sl__pool_close(&j.pool);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(no_thread_passes_a_barrier_before_all_have_come),
    cmocka_unit_test(every_index_is_claimed_once_between_two_barriers),
    cmocka_unit_test(every_run_is_done_by_every_thread_when_it_returns),
    cmocka_unit_test(pools_open_and_close_over_and_over),
    cmocka_unit_test(a_thread_that_cannot_start_is_reported_and_the_others_end),
};

WORLD_MAIN(tests)

/* bandwidth.c - how fast this machine reads memory.
 *
 * Four ways of walking, because no single one is the fastest everywhere: one stream per
 * thread, four streams per thread, one stream that asks for lines ahead of time, and one that
 * asks for those of four pages in turn, as kernels/walk.h does. The best pattern counts: it is
 * the ceiling a kernel is judged by. */
#include "runtime/bandwidth.h"

#include <stdatomic.h>

#include "runtime/clock.h"

enum { WORDS_PER_LINE = SL_CACHE_LINE / 8, AHEAD_LINES = 64, PAGES = 4, PAGE_LINES = 64 };

typedef enum pattern { ONE_STREAM, FOUR_STREAMS, PREFETCHED, FOUR_PAGES, PATTERNS } pattern;

typedef struct read_job {
    const uint64_t *words;
    size_t n_words; /* per thread, a multiple of 4 lines */
    pattern how;
    atomic_ullong sum; /* keeps the reads alive */
} read_job;

static uint64_t sum_lines(const uint64_t *p, size_t n_words) {
    uint64_t sum[WORDS_PER_LINE] = {0}, total = 0;
    for (size_t i = 0; i < n_words; i += WORDS_PER_LINE)
        for (size_t j = 0; j < WORDS_PER_LINE; j++)
            sum[j] += p[i + j];
    for (size_t j = 0; j < WORDS_PER_LINE; j++)
        total += sum[j];
    return total;
}

static uint64_t sum_four_streams(const uint64_t *p, size_t n_words) {
    const size_t quarter = n_words / 4;
    uint64_t sum[WORDS_PER_LINE] = {0}, total = 0;
    for (size_t i = 0; i < quarter; i += WORDS_PER_LINE)
        for (size_t s = 0; s < 4; s++)
            for (size_t j = 0; j < WORDS_PER_LINE; j++)
                sum[j] += p[s * quarter + i + j];
    for (size_t j = 0; j < WORDS_PER_LINE; j++)
        total += sum[j];
    return total;
}

static uint64_t sum_prefetched(const uint64_t *p, size_t n_words) {
    uint64_t sum[WORDS_PER_LINE] = {0}, total = 0;
    for (size_t i = 0; i < n_words; i += WORDS_PER_LINE) {
#if defined(__GNUC__)
        __builtin_prefetch(p + i + AHEAD_LINES * WORDS_PER_LINE);
#endif
        for (size_t j = 0; j < WORDS_PER_LINE; j++)
            sum[j] += p[i + j];
    }
    for (size_t j = 0; j < WORDS_PER_LINE; j++)
        total += sum[j];
    return total;
}

static uint64_t sum_four_pages(const uint64_t *p, size_t n_words) {
    const size_t window = (size_t)PAGES * PAGE_LINES;
    uint64_t sum[WORDS_PER_LINE] = {0}, total = 0;
    for (size_t i = 0; i < n_words; i += WORDS_PER_LINE) {
#if defined(__GNUC__)
        const size_t line = i / WORDS_PER_LINE % window;
        const size_t asked = window - line + line % PAGES * PAGE_LINES + line / PAGES;
        __builtin_prefetch(p + i + asked * WORDS_PER_LINE, 0, 2);
#endif
        for (size_t j = 0; j < WORDS_PER_LINE; j++)
            sum[j] += p[i + j];
    }
    for (size_t j = 0; j < WORDS_PER_LINE; j++)
        total += sum[j];
    return total;
}

static void read_on_thread(void *arg, int32_t thread) {
    read_job *job = arg;
    const uint64_t *p = job->words + (size_t)thread * job->n_words;
    uint64_t sum = 0;
    switch (job->how) {
    case ONE_STREAM:
        sum = sum_lines(p, job->n_words);
        break;
    case FOUR_STREAMS:
        sum = sum_four_streams(p, job->n_words);
        break;
    case PREFETCHED:
        sum = sum_prefetched(p, job->n_words);
        break;
    case FOUR_PAGES:
        sum = sum_four_pages(p, job->n_words);
        break;
    case PATTERNS:
        break;
    }
    atomic_fetch_add(&job->sum, sum);
}

typedef struct fill_job {
    uint8_t *bytes;
    size_t per_thread;
} fill_job;

static void fill_on_thread(void *arg, int32_t thread) { /* real pages, not the zero page */
    const fill_job *job = arg;
    uint8_t *p = job->bytes + (size_t)thread * job->per_thread;
    for (size_t i = 0; i < job->per_thread; i += SL_CACHE_LINE)
        p[i] = (uint8_t)(i >> 6);
}

sl_status sl__bandwidth_open(sl__bandwidth *b, int32_t threads, uint64_t bytes, sl_error *err) {
    const size_t granule = 4 * SL_CACHE_LINE;
    *b = (sl__bandwidth){.per_thread = (size_t)(bytes / (uint64_t)threads) / granule * granule};
    sl_status status =
        sl__block_acquire(&b->block, b->per_thread * (size_t)threads, "measuring bandwidth", err);
    if (status == SL_OK) status = sl__pool_open(&b->pool, threads, err);
    if (status != SL_OK) {
        sl__bandwidth_close(b);
        return status;
    }
    fill_job fill = {b->block.bytes, b->per_thread};
    sl__pool_run(b->pool, fill_on_thread, &fill);
    return SL_OK;
}

void sl__bandwidth_close(sl__bandwidth *b) {
    sl__pool_close(&b->pool);
    sl__block_release(&b->block);
}

double sl__bandwidth_measure(sl__bandwidth *b) {
    double best = 0;
    for (int32_t how = 0; how < PATTERNS; how++) {
        read_job job = {(const uint64_t *)(const void *)b->block.bytes, b->per_thread / 8,
                        (pattern)how, 0};
        const uint64_t start = sl__now_ns();
        sl__pool_run(b->pool, read_on_thread, &job);
        const double seconds = (double)(sl__now_ns() - start) * 1e-9;
        const double speed = (double)b->per_thread * (double)sl__pool_threads(b->pool) / seconds;
        if (speed > best) best = speed;
    }
    return best;
}

/* fuzz_recording.c - any bytes as what the simulator reads: an error that says something, or
 * drafts, costs and routes that fit together.
 *
 * The first byte says what the rest is:
 *     n, s   recordings, drafted by n-gram or suffix, in the embedded model's vocabulary
 *     p      recordings, in a vocabulary that puts a space before a text
 *     c      a curve
 *     r, q   routes: recordings, a zero byte, expert ids; n-gram or suffix
 *     t      a vocabulary as a tiktoken list, a zero byte, a text */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "sim_curve.h"
#include "sim_recording.h"
#include "sim_routing.h"
#include "sim_text.h"
#include "sim_vocab.h"

/* The input, cut at its first zero byte: files "1.tiktoken" and "2". */
static struct part {
    const uint8_t *bytes;
    size_t n;
} parts[2];

/* In the place of sim_text.c. */
sl_status sim_text_read(const char *path, char **text, size_t *n, sl_error *err) {
    const struct part *p = &parts[path[0] == '2'];
    *text = malloc(p->n + 1);
    *n = *text ? p->n : 0;
    if (!*text) return sl__fail(err, SL_E_NOMEM, 0, "no memory");
    if (p->n > 0) memcpy(*text, p->bytes, p->n);
    (*text)[p->n] = '\0';
    return SL_OK;
}

static void take_parts(const uint8_t *data, size_t size) {
    const uint8_t *zero = size > 0 ? memchr(data, '\0', size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    parts[0] = (struct part){data, n};
    parts[1] = (struct part){zero ? zero + 1 : data, zero ? size - n - 1 : 0};
}

static void check_error(sl_status status, const sl_error *err) {
    FUZZ_CHECK(status == SL_OK || (err->code == status && err->text[0] != '\0'));
    FUZZ_CHECK(strlen(err->text) < sizeof err->text);
}

/* routed: whether every pass has known experts, of at most so many slots. */
static void check_points(const sim_request *q, int32_t slots) {
    for (int32_t i = 1; i < q->output_tokens; i++) {
        const sim_point *p = &q->points[i];
        FUZZ_CHECK(p->drafted <= SIM_DRAFT_MAX && p->matched <= p->drafted);
        FUZZ_CHECK(i + p->matched <= q->output_tokens);
        for (int32_t k = 0; k <= SIM_DRAFT_MAX; k++)
            FUZZ_CHECK(p->experts[k] >= 0 && p->experts[k] <= (float)(slots * (k + 1)) * 1.001f);
        for (int32_t k = 0; k < p->drafted; k++)
            FUZZ_CHECK(p->agreed[k] <= p->seen[k]);
    }
}

static void check_recordings(sim_recordings *r, int32_t slots) {
    for (size_t i = 0; i < r->n; i++) {
        FUZZ_CHECK(r->requests[i].task && r->requests[i].id);
        FUZZ_CHECK(r->requests[i].prompt_tokens >= 0 && r->requests[i].output_tokens >= 2);
        check_points(&r->requests[i], slots);
    }
    sim_recordings_free(r);
}

static void try_recordings(const char *vocab_file, sim_vocab **vocab, sim_drafter drafter) {
    sim_recordings r = {NULL, 0, 0};
    sl_error err = {0};
    if (!*vocab && sim_vocab_open(vocab, vocab_file, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    const sl_status status = sim_recordings_add(&r, "1", *vocab, drafter, &err);
    check_error(status, &err);
    check_recordings(&r, 0);
}

static void try_routes(sim_drafter drafter) {
    const sim_routing_shape shape = {2, 3};
    sim_recordings r = {NULL, 0, 0};
    sim_union mean;
    sl_error err = {0};
    const sl_status status = sim_routing_add(&r, "1", "2", shape, drafter, &mean, &err);
    check_error(status, &err);
    check_recordings(&r, shape.slots);
}

static void try_curve(void) {
    sim_curve curve;
    sl_error err = {0};
    const sl_status status = sim_curve_open(&curve, "1.csv", &err);
    check_error(status, &err);
    for (int32_t rows = 1; status == SL_OK && rows <= SIM_ROWS_MAX; rows++)
        FUZZ_CHECK(isfinite(curve.cost[rows]) && curve.cost[rows] > 0);
}

static void try_list(void) {
    enum { TOKENS_MAX = 512 };
    sim_vocab *vocab = NULL;
    sl_error err = {0};
    const sl_status status = sim_vocab_open(&vocab, "1.tiktoken", &err);
    check_error(status, &err);
    FUZZ_CHECK((status == SL_OK) == (vocab != NULL));
    if (status == SL_OK) {
        int32_t tokens[TOKENS_MAX], n_tokens = -1;
        const size_t n = parts[1].n < TOKENS_MAX ? parts[1].n : TOKENS_MAX;
        check_error(sim_vocab_tokenize(vocab, (const char *)parts[1].bytes, n, tokens, TOKENS_MAX,
                                       &n_tokens, &err),
                    &err);
        FUZZ_CHECK(n_tokens >= 0 && n_tokens <= (int32_t)n);
    }
    sim_vocab_close(vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sim_vocab *embedded, *spaced; /* closed with the process */
    if (size < 1) return 0;
    take_parts(data + 1, size - 1);
    switch (data[0]) {
    case 'n':
    case 's':
        try_recordings(SL_MODEL_FILE, &embedded, data[0] == 'n' ? SIM_NGRAM : SIM_SUFFIX);
        break;
    case 'p':
        try_recordings(SL_SPACED_FILE, &spaced, SIM_NGRAM);
        break;
    case 'c':
        try_curve();
        break;
    case 'r':
    case 'q':
        try_routes(data[0] == 'r' ? SIM_NGRAM : SIM_SUFFIX);
        break;
    case 't':
        try_list();
        break;
    default:
        break;
    }
    return 0;
}

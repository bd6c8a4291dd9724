/* sim_routing.c - see sim_routing.h. */
#include "sim_routing.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sim_text.h"

enum { WORDS = 4 }; /* 256 experts */

typedef struct routes {
    const uint8_t *ids; /* [tokens][layers][slots] of one request */
    int32_t n;
    sim_routing_shape shape;
} routes;

/* Experts of one token in one layer that `seen` does not hold; they are added to it. */
static int32_t add_token(const routes *r, int32_t token, int32_t layer, uint64_t seen[WORDS]) {
    const uint8_t *ids =
        r->ids + ((size_t)token * (size_t)r->shape.layers + (size_t)layer) * (size_t)r->shape.slots;
    int32_t n = 0;
    for (int32_t s = 0; s < r->shape.slots; s++) {
        uint64_t *word = &seen[ids[s] / 64];
        const uint64_t bit = (uint64_t)1 << (ids[s] % 64);
        n += !(*word & bit);
        *word |= bit;
    }
    return n;
}

/* Distinct experts, all layers, of tokens from .. from + n - 1: experts [n] for every n. */
static void count_unions(const routes *r, int32_t from, int32_t n, int32_t *experts) {
    memset(experts, 0, (size_t)(n + 1) * sizeof(*experts));
    for (int32_t layer = 0; layer < r->shape.layers; layer++) {
        uint64_t seen[WORDS] = {0};
        int32_t distinct = 0;
        for (int32_t i = 0; i < n; i++) {
            distinct += add_token(r, from + i, layer, seen);
            experts[i + 1] += distinct;
        }
    }
}

/* ---- mean unions ------------------------------------------------------------------------ */

/* [i]: what the i-th of consecutive tokens adds, summed over all places that have i. */
typedef struct tally {
    double added[SIM_DRAFT_MAX + 2], n[SIM_DRAFT_MAX + 2];
} tally;

static void add_to_tally(tally *t, const routes *r) {
    int32_t experts[SIM_DRAFT_MAX + 2];
    for (int32_t from = 0; from < r->n; from++) {
        const int32_t n = sl__min_i32(SIM_DRAFT_MAX + 1, r->n - from);
        count_unions(r, from, n, experts);
        for (int32_t i = 1; i <= n; i++) {
            t->added[i] += (double)(experts[i] - experts[i - 1]) / r->shape.layers;
            t->n[i]++;
        }
    }
}

/* ---- requests --------------------------------------------------------------------------- */

/* Of the pass at output token `at`: rows are generated tokens at - 1, at, at + 1 ... */
static void price(sim_point *p, const routes *r, int32_t at, const sim_union *mean) {
    int32_t experts[SIM_DRAFT_MAX + 2];
    const int32_t known = sl__min_i32(p->matched + 1, r->n - (at - 1));
    if (known < 1) return;
    count_unions(r, at - 1, known, experts);
    for (int32_t k = 0; k <= SIM_DRAFT_MAX; k++) {
        const int32_t exact = sl__min_i32(k + 1, known);
        p->experts[k] = (float)((double)experts[exact] / r->shape.layers + mean->experts[k + 1] -
                                mean->experts[exact]);
    }
}

static void price_request(sim_request *q, const routes *r, const sim_union *mean) {
    for (int32_t at = 1; at < q->output_tokens; at++)
        price(&q->points[at], r, at, mean);
}

static routes routes_of(json_t *line, const char *ids, size_t n, sim_routing_shape shape) {
    const json_int_t offset = json_integer_value(json_object_get(line, "tok_offset"));
    const json_int_t routed = json_integer_value(json_object_get(line, "n_routed"));
    const size_t bytes = (size_t)shape.layers * (size_t)shape.slots, tokens = n / bytes;
    routes r = {NULL, 0, shape};
    if (offset >= 0 && routed > 0 && (size_t)offset < tokens && (size_t)routed <= tokens &&
        (size_t)offset + (size_t)routed <= tokens) {
        r.ids = (const uint8_t *)ids + (size_t)offset * bytes;
        r.n = (int32_t)routed;
    }
    return r;
}

/* Every line of the meta file: `visit` with its routes. */
typedef sl_status visitor(void *self, json_t *line, const routes *r, sl_error *err);

static sl_status each_line(const char *meta, size_t meta_n, const char *path, const char *ids,
                           size_t ids_n, sim_routing_shape shape, visitor *visit, void *self,
                           sl_error *err) {
    int number = 1;
    sl_status status = SL_OK;
    for (const char *at = meta, *end; status == SL_OK && at < meta + meta_n;
         at = end + 1, number++) {
        end = memchr(at, '\n', (size_t)(meta + meta_n - at));
        if (!end) end = meta + meta_n;
        if (end == at) continue;
        sl_error why = {0};
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        const routes r = routes_of(line, ids, ids_n, shape);
        status = r.ids ? visit(self, line, &r, &why)
                       : sl__fail(&why, SL_E_FORMAT, 0,
                                  "expected tok_offset and n_routed within "
                                  "the routes");
        json_decref(line);
        if (status != SL_OK)
            status =
                sl__fail(err, status, (uint64_t)(at - meta), "%s:%d: %s", path, number, why.text);
    }
    return status;
}

static sl_status visit_tally(void *self, json_t *line, const routes *r, sl_error *err) {
    (void)line;
    (void)err;
    add_to_tally(self, r);
    return SL_OK;
}

typedef struct adder {
    sim_recordings *recordings;
    sim_drafter drafter;
    const sim_union *mean;
} adder;

static sl_status visit_add(void *self, json_t *line, const routes *r, sl_error *err) {
    adder *a = self;
    const size_t before = a->recordings->n;
    const sl_status status = sim_recordings_add_tokens(
        a->recordings, "routed", json_string_value(json_object_get(line, "id")),
        json_object_get(line, "prompt_ids"), json_object_get(line, "gen_ids"), a->drafter, err);
    if (status == SL_OK && a->recordings->n > before)
        price_request(&a->recordings->requests[before], r, a->mean);
    return status;
}

sl_status sim_routing_add(sim_recordings *r, const char *meta, const char *ids,
                          sim_routing_shape shape, sim_drafter drafter, sim_union *mean,
                          sl_error *err) {
    char *meta_text = NULL, *ids_text = NULL;
    size_t meta_n = 0, ids_n = 0;
    tally t = {{0}, {0}};
    adder a = {r, drafter, mean};
    *mean = (sim_union){{0}};
    sl_status status = sim_text_read(meta, &meta_text, &meta_n, err);
    if (status == SL_OK) status = sim_text_read(ids, &ids_text, &ids_n, err);
    if (status == SL_OK)
        status = each_line(meta_text, meta_n, meta, ids_text, ids_n, shape, visit_tally, &t, err);
    for (int32_t n = 1; n <= SIM_DRAFT_MAX + 1; n++)
        mean->experts[n] = mean->experts[n - 1] + (t.n[n] > 0 ? t.added[n] / t.n[n] : 0);
    if (status == SL_OK)
        status = each_line(meta_text, meta_n, meta, ids_text, ids_n, shape, visit_add, &a, err);
    free(meta_text);
    free(ids_text);
    return status;
}

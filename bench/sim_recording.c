/* sim_recording.c - see sim_recording.h. */
#include "sim_recording.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "sim_text.h"
#include "spec/ngram.h"
#include "spec/suffix.h"

enum { NGRAM_MAX = 5 };                /* longest match of prompt lookup */
enum { REQUEST_TOKENS_MAX = 1 << 24 }; /* what drafters have room for  */

typedef struct token_list {
    int32_t *tokens;
    int32_t n, prompt;
} token_list;

static uint8_t byte_of(int32_t n) {
    return (uint8_t)(n < 255 ? n : 255);
}

static sim_point point_of(sl__drafter *drafter, const token_list *t, int32_t next) {
    sl__draft_node nodes[SIM_DRAFT_MAX];
    sim_point p = {0};
    const sl__draft draft = drafter->propose(drafter, SIM_DRAFT_MAX, nodes);
    p.drafted = (uint8_t)draft.n_nodes;
    p.match = byte_of(draft.match);
    for (int32_t i = 0; i < draft.n_nodes; i++) {
        p.seen[i] = byte_of(nodes[i].seen);
        p.agreed[i] =
            byte_of(nodes[i].seen > 255 ? nodes[i].agreed * 255 / nodes[i].seen : nodes[i].agreed);
        if (p.matched == i && next + i < t->n && nodes[i].token == t->tokens[next + i]) p.matched++;
    }
    return p;
}

static void draft_along(sim_request *q, const token_list *t, sl__drafter *drafter) {
    drafter->observe(drafter, t->tokens, t->prompt);
    for (int32_t i = 1; i < q->output_tokens; i++) {
        drafter->observe(drafter, t->tokens + t->prompt + i - 1, 1);
        q->points[i] = point_of(drafter, t, t->prompt + i);
    }
}

static sl_status draft_all(sim_request *q, const token_list *t, sim_drafter drafter,
                           sl_error *err) {
    sl__ngram ngram;
    sl__suffix suffix;
    void *memory = malloc(drafter == SIM_SUFFIX ? sl__suffix_bytes(t->n)
                                                : sl__ngram_bytes(t->n, 1, NGRAM_MAX));
    q->points = calloc((size_t)q->output_tokens, sizeof(sim_point));
    if (!memory || !q->points) {
        free(memory);
        return sl__fail(err, SL_E_NOMEM, 0, "no memory for a request of %d tokens", t->n);
    }
    if (drafter == SIM_SUFFIX) {
        sl__suffix_init(&suffix, memory, t->n, 1);
        draft_along(q, t, &suffix.drafter);
    } else {
        sl__ngram_init(&ngram, memory, t->n, 1, NGRAM_MAX);
        draft_along(q, t, &ngram.drafter);
    }
    free(memory);
    return SL_OK;
}

static char *copy_of(const char *text) {
    const size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* Draft a request's tokens and append it. Outputs of one token have no iteration after the
 * prompt's: they are left out. */
static sl_status append(sim_recordings *r, const char *task, const char *id, const token_list *t,
                        sim_drafter drafter, sl_error *err) {
    if (t->n - t->prompt < 2) return SL_OK;
    if (r->n == r->room) {
        const size_t room = r->room ? 2 * r->room : 64;
        sim_request *more = realloc(r->requests, room * sizeof(*more));
        if (!more) return sl__fail(err, SL_E_NOMEM, 0, "no memory");
        r->requests = more;
        r->room = room;
    }
    sim_request q = {copy_of(task), copy_of(id ? id : ""), t->prompt, t->n - t->prompt, NULL};
    sl_status status = sl__fail(err, SL_E_NOMEM, 0, "no memory");
    if (q.task && q.id) status = draft_all(&q, t, drafter, err);
    if (status == SL_OK) {
        r->requests[r->n++] = q;
        return SL_OK;
    }
    free(q.task);
    free(q.id);
    free(q.points);
    return status;
}

/* Append a text's tokens; a vocabulary that puts a space before it may give more than bytes. */
static sl_status add_text(token_list *t, sim_vocab *vocab, const char *text, sl_error *err) {
    const size_t n = strlen(text);
    int32_t more = 0;
    sl_status status = sim_vocab_tokenize(vocab, text, n, NULL, 0, &more, err);
    if (status != SL_OK) return status;
    if (more > REQUEST_TOKENS_MAX - t->n)
        return sl__fail(err, SL_E_FORMAT, 0, "more than %d tokens", REQUEST_TOKENS_MAX);
    int32_t *tokens = realloc(t->tokens, ((size_t)t->n + (size_t)more + 1) * sizeof(int32_t));
    if (!tokens) return sl__fail(err, SL_E_NOMEM, 0, "no memory");
    t->tokens = tokens;
    status = sim_vocab_tokenize(vocab, text, n, tokens + t->n, more, &more, err);
    t->n += more;
    return status;
}

static sl_status add_request(sim_recordings *r, json_t *line, sim_vocab *vocab, sim_drafter drafter,
                             sl_error *err) {
    const char *id = json_string_value(json_object_get(line, "id"));
    const char *task = json_string_value(json_object_get(line, "task"));
    const char *prompt = json_string_value(json_object_get(line, "prompt"));
    const char *output = json_string_value(json_object_get(line, "output"));
    if (!task || !prompt || !output)
        return sl__fail(err, SL_E_FORMAT, 0, "expected task, prompt and output");
    token_list t = {NULL, 0, 0};
    sl_status status = add_text(&t, vocab, prompt, err);
    t.prompt = t.n;
    if (status == SL_OK) status = add_text(&t, vocab, output, err);
    if (status == SL_OK) status = append(r, task, id, &t, drafter, err);
    free(t.tokens);
    return status;
}

static bool take_tokens(token_list *t, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_int_t id = json_integer_value(json_array_get(list, i));
        if (id < 0 || id > INT32_MAX) return false;
        t->tokens[t->n++] = (int32_t)id;
    }
    return true;
}

sl_status sim_recordings_add_tokens(sim_recordings *r, const char *task, const char *id,
                                    const json_t *prompt, const json_t *output, sim_drafter drafter,
                                    sl_error *err) {
    const size_t n = json_array_size(prompt) + json_array_size(output);
    if (n == 0 || n > REQUEST_TOKENS_MAX)
        return sl__fail(err, SL_E_FORMAT, 0, "expected prompt_ids and gen_ids");
    token_list t = {malloc(n * sizeof(int32_t)), 0, (int32_t)json_array_size(prompt)};
    if (!t.tokens) return sl__fail(err, SL_E_NOMEM, 0, "no memory");
    sl_status status = take_tokens(&t, prompt) && take_tokens(&t, output)
                           ? append(r, task, id, &t, drafter, err)
                           : sl__fail(err, SL_E_FORMAT, 0, "a token id is out of range");
    free(t.tokens);
    return status;
}

sl_status sim_recordings_add(sim_recordings *r, const char *path, sim_vocab *vocab,
                             sim_drafter drafter, sl_error *err) {
    char *text = NULL;
    size_t n = 0;
    int line = 1;
    sl_error why = {0};
    sl_status status = sim_text_read(path, &text, &n, err);
    if (status != SL_OK) return status;
    for (char *at = text, *end; status == SL_OK && at < text + n; at = end + 1, line++) {
        end = memchr(at, '\n', (size_t)(text + n - at));
        if (!end) end = text + n;
        if (end == at) continue;
        json_error_t json_why;
        json_t *object = json_loadb(at, (size_t)(end - at), 0, &json_why);
        if (!object)
            status = sl__fail(&why, SL_E_FORMAT, 0, "%s", json_why.text);
        else
            status = add_request(r, object, vocab, drafter, &why);
        json_decref(object);
        if (status != SL_OK)
            status =
                sl__fail(err, status, (uint64_t)(at - text), "%s:%d: %s", path, line, why.text);
    }
    free(text);
    return status;
}

void sim_recordings_free(sim_recordings *r) {
    for (size_t i = 0; i < r->n; i++) {
        free(r->requests[i].task);
        free(r->requests[i].id);
        free(r->requests[i].points);
    }
    free(r->requests);
    *r = (sim_recordings){NULL, 0, 0};
}

void sim_recordings_shuffle(sim_recordings *r, uint64_t seed) {
    for (size_t i = r->n; i > 1; i--) {
        const size_t j = (size_t)(sl__random_u64(seed, 0x5f1e, i) % i);
        const sim_request swap = r->requests[i - 1];
        r->requests[i - 1] = r->requests[j];
        r->requests[j] = swap;
    }
}

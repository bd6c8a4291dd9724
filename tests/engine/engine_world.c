/* engine_world.c - see engine_world.h. */
#include "engine_world.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "kernels/convert.h"
#include "kernels/panel.h"
#include "unit/gguf_bytes.h"

static bool full;
static char directory[64];
static char f32_path[WORLD_PATH_MAX];
static json_t *prompts;

bool world_is_full(void) {
    return full;
}

bool world_is_slow(void) {
    return SL_TEST_SHARE < 10;
}

int32_t world_share(int32_t n, int32_t least) {
    return sl__max_i32(least, (int32_t)((int64_t)n * SL_TEST_SHARE / 100));
}

void world_begin(int argc, char **argv) {
    const bool shared_memory = access("/dev/shm", W_OK) == 0;
    for (int i = 1; i < argc; i++)
        full |= strcmp(argv[i], "--full") == 0;
    (void)snprintf(directory, sizeof directory, "%s/sluice-test-XXXXXX",
                   shared_memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(directory)) {
        perror(directory);
        exit(1);
    }
}

/* Files are made by name, so names are all that is needed to remove them. */
static char made[64][64];
static size_t n_made;

void world_path(char out[WORLD_PATH_MAX], const char *name) {
    const int n = snprintf(out, WORLD_PATH_MAX, "%s/%s", directory, name);
    assert_true(n > 0 && n < WORLD_PATH_MAX);
    for (size_t i = 0; i < n_made; i++)
        if (strcmp(made[i], name) == 0) return;
    assert_true(n_made < SL_COUNT(made) && strlen(name) < sizeof made[0]);
    (void)snprintf(made[n_made++], sizeof made[0], "%s", name);
}

void world_end(void) {
    for (size_t i = 0; i < n_made; i++) {
        char path[WORLD_PATH_MAX];
        world_path(path, made[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
    json_decref(prompts);
}

/* ---- synthetic models ---- */

#define ALL(type) type, type, type, type, type, type, type
const tiny_shape tiny_shapes[] = {
    /* name, layers, width, heads, kv, head_dim, experts, k, expert_width, types, tied */
    {"f32", 2, 96, 3, 1, 40, 5, 2, 96, ALL(SL_TYPE_F32), false, NULL},
    {"f16_odd", 2, 90, 3, 3, 26, 5, 2, 41, ALL(SL_TYPE_F16), false, NULL},
    {"bf16_tied", 2, 96, 6, 2, 24, 6, 3, 32, ALL(SL_TYPE_BF16), true, NULL},
    {"q8_0", 2, 96, 3, 1, 40, 5, 2, 96, SL_TYPE_Q8_0, SL_TYPE_Q8_0, SL_TYPE_F16, SL_TYPE_Q8_0,
     SL_TYPE_Q8_0, SL_TYPE_Q8_0, SL_TYPE_Q8_0, false, NULL},
    {"q8_0_tied", 3, 160, 4, 4, 40, 9, 4, 32, ALL(SL_TYPE_Q8_0), true, NULL},
    {"q4_0", 2, 96, 3, 1, 64, 5, 2, 160, ALL(SL_TYPE_Q4_0), false, NULL},
    {"mixed", 2, 96, 4, 2, 40, 5, 2, 96, SL_TYPE_BF16, SL_TYPE_F16, SL_TYPE_Q4_0, SL_TYPE_Q4_0,
     SL_TYPE_F32, SL_TYPE_Q8_0, SL_TYPE_BF16, false, NULL},
};
const int32_t n_tiny_shapes = (int32_t)SL_COUNT(tiny_shapes);

/* Uniform with deviation d: bits are what is tested, not statistics. */
static float draw(check_random *r, float d) {
    return (float)((double)(check_u64(r) >> 11) * 0x1p-53 - 0.5) * 3.4641016f * d;
}

static void put_half(unsigned char *out, uint16_t half) {
    memcpy(out, &half, sizeof half);
}

/* `elements` values of deviation d (0: all ones) as tensor data. */
static void fill_data(check_random *r, sl__tensor_type type, unsigned char *out, uint64_t elements,
                      float d) {
    const sl__tensor_type_info *info = sl__tensor_type_find(type);
    for (uint64_t i = 0; i < elements / info->block_elements; i++, out += info->block_bytes) {
        const float x = d > 0 ? draw(r, d) : 1.0f;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (type == SL_TYPE_F32) memcpy(out, &x, sizeof x);
        if (type == SL_TYPE_F16) put_half(out, sl__float_to_half(x));
        if (type == SL_TYPE_BF16) put_half(out, (uint16_t)(bits >> 16));
        if (info->block_elements == 1) continue;
        put_half(out, sl__float_to_half(d / (type == SL_TYPE_Q8_0 ? 74.0f : 4.6f)));
        for (uint32_t b = 2; b < info->block_bytes; b++)
            out[b] = (unsigned char)check_u64(r);
    }
}

typedef struct tensor_plan {
    sl__tensor_type type;
    uint64_t offset, elements;
    float deviation;
    bool poison;
} tensor_plan;

typedef struct tiny_writer {
    const tiny_shape *shape;
    sl__gguf_writer w;
    tensor_plan plans[64];
    int32_t n_plans;
} tiny_writer;

static void put_tensor(tiny_writer *t, const char *name, sl__tensor_type type, float deviation,
                       int32_t n_in, int32_t n_out, int32_t n_experts) {
    const int64_t ne[3] = {n_in, n_out, n_experts};
    assert_true(t->n_plans < (int32_t)SL_COUNT(t->plans));
    t->plans[t->n_plans++] =
        (tensor_plan){.type = type,
                      .offset = sl__gguf_put_tensor(&t->w, name, type,
                                                    n_experts > 1 ? 3
                                                    : n_out > 1   ? 2
                                                                  : 1,
                                                    ne),
                      .elements = (uint64_t)n_in * (uint64_t)n_out * (uint64_t)n_experts,
                      .deviation = deviation,
                      .poison = t->shape->poison && strcmp(t->shape->poison, name) == 0};
}

static void put_layer(tiny_writer *t, int32_t layer) {
    const tiny_shape *s = t->shape;
    const int32_t queries = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
    const float inner = 1.0f / sqrtf((float)s->width);
    const struct {
        const char *suffix;
        sl__tensor_type type;
        float deviation;
        int32_t n_in, n_out, n_experts;
    } rows[] = {
        {"attn_norm", SL_TYPE_F32, 0, s->width, 1, 1},
        {"attn_q", s->qkv, inner, s->width, queries, 1},
        {"attn_k", s->qkv, inner, s->width, keys, 1},
        {"attn_v", s->qkv, inner, s->width, keys, 1},
        {"attn_q_norm", SL_TYPE_F32, 0, s->head_dim, 1, 1},
        {"attn_k_norm", SL_TYPE_F32, 0, s->head_dim, 1, 1},
        {"attn_output", s->o, 1.0f / sqrtf((float)queries), queries, s->width, 1},
        {"ffn_norm", SL_TYPE_F32, 0, s->width, 1, 1},
        {"ffn_gate_inp", SL_TYPE_F32, 2 * inner, s->width, s->experts, 1},
        {"ffn_gate_exps", s->gate, inner, s->width, s->expert_width, s->experts},
        {"ffn_up_exps", s->up, inner, s->width, s->expert_width, s->experts},
        {"ffn_down_exps", s->down, 1.0f / sqrtf((float)s->expert_width), s->expert_width, s->width,
         s->experts},
    };
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "blk.%d.%s.weight", layer, rows[i].suffix);
        put_tensor(t, name, rows[i].type, rows[i].deviation, rows[i].n_in, rows[i].n_out,
                   rows[i].n_experts);
    }
}

static void put_facts(sl__gguf_writer *w, const tiny_shape *s) {
    const struct {
        const char *key;
        int32_t value;
    } rows[] = {
        {"block_count", s->layers},
        {"context_length", TINY_CONTEXT},
        {"embedding_length", s->width},
        {"attention.head_count", s->heads},
        {"attention.head_count_kv", s->kv_heads},
        {"attention.key_length", s->head_dim},
        {"attention.value_length", s->head_dim},
        {"expert_count", s->experts},
        {"expert_used_count", s->experts_per_token},
        {"expert_feed_forward_length", s->expert_width},
    };
    sl__gguf_put_str(w, "general.architecture", "qwen3moe");
    sl__gguf_put_str(w, "general.name", s->name);
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "qwen3moe.%s", rows[i].key);
        sl__gguf_put_u32(w, key, (uint32_t)rows[i].value);
    }
    sl__gguf_put_f32(w, "qwen3moe.attention.layer_norm_rms_epsilon", 1e-6f);
    sl__gguf_put_f32(w, "qwen3moe.rope.freq_base", 10000.0f);
}

static void put_tiny_vocabulary(sl__gguf_writer *w) {
    enum { WORDS = TINY_VOCAB - 256 - 3 };
    static char spellings[WORDS][4];
    extra_token extra[WORDS + 3];
    for (size_t i = 0; i < WORDS; i++) {
        (void)snprintf(spellings[i], sizeof spellings[i], "%c%c", (int)('a' + i / 26),
                       (int)('a' + i % 26));
        extra[i] = (extra_token){spellings[i], SL_TOKEN_NORMAL};
    }
    extra[WORDS] = (extra_token){"<|endoftext|>", SL_TOKEN_CONTROL};
    extra[WORDS + 1] = (extra_token){"<|im_start|>", SL_TOKEN_CONTROL};
    extra[WORDS + 2] = (extra_token){"<|im_end|>", SL_TOKEN_CONTROL};
    put_vocabulary(w, extra, SL_COUNT(extra), NULL, 0);
    sl__gguf_put_u32(w, "tokenizer.ggml.eos_token_id", TINY_EOS);
}

static void write_file(const char *path, const unsigned char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void tiny_write(const tiny_shape *s, uint64_t seed, const char *path) {
    tiny_writer t = {.shape = s};
    check_random r = {.seed = seed};
    sl__gguf_writer_init(&t.w);
    put_facts(&t.w, s);
    put_tiny_vocabulary(&t.w);
    put_tensor(&t, "token_embd.weight", s->embd, 1.0f, s->width, TINY_VOCAB, 1);
    put_tensor(&t, "output_norm.weight", SL_TYPE_F32, 0, s->width, 1, 1);
    if (!s->tied)
        put_tensor(&t, "output.weight", s->head, 4.0f / sqrtf((float)s->width), s->width,
                   TINY_VOCAB, 1);
    for (int32_t l = 0; l < s->layers; l++)
        put_layer(&t, l);
    assert_int_equal(sl__gguf_writer_finish(&t.w, NULL), SL_OK);
    const uint64_t data_at = t.w.data_at;
    gguf_bytes file = finish_bytes(&t.w);
    for (int32_t i = 0; i < t.n_plans; i++) {
        const tensor_plan *p = &t.plans[i];
        fill_data(&r, p->type, file.bytes + data_at + p->offset, p->elements, p->deviation);
        const float nan = NAN;
        if (p->poison) memcpy(file.bytes + data_at + p->offset, &nan, sizeof nan);
    }
    write_file(path, file.bytes, file.n);
    free(file.bytes);
}

/* ---- the embedded model in F32 ---- */

static sl__format format_of(sl__tensor_type type) {
    switch (type) {
    case SL_TYPE_F16:
        return SL_FORMAT_F16;
    case SL_TYPE_BF16:
        return SL_FORMAT_BF16;
    case SL_TYPE_Q8_0:
        return SL_FORMAT_Q8_0;
    case SL_TYPE_Q4_0:
        return SL_FORMAT_Q4_0;
    default:
        assert_int_equal(type, SL_TYPE_F32);
        return SL_FORMAT_F32;
    }
}

/* The file's keys are copied as they are: everything between the counts and the first
 * tensor record. */
static void write_f32(const sl__gguf *g, const char *path) {
    sl__gguf_writer w;
    uint64_t *offsets = calloc((size_t)g->n_tensors, sizeof *offsets);
    assert_non_null(offsets);
    sl__gguf_writer_init(&w);
    for (int32_t i = 0; i < g->n_tensors; i++)
        offsets[i] = sl__gguf_put_tensor(&w, g->tensors[i].name, SL_TYPE_F32, g->tensors[i].n_dims,
                                         g->tensors[i].ne);
    enum { COUNTS = 24 }; /* magic, version, two counts */
    const size_t keys = (size_t)g->tensors[0].record_at - COUNTS;
    const size_t records = w.size - COUNTS, head = COUNTS + keys + records;
    const size_t data_at = sl__round_up(head, SL_GGUF_WRITE_ALIGNMENT);
    const size_t n = data_at + (size_t)w.data_size;
    unsigned char *bytes = calloc(1, n);
    assert_non_null(bytes);
    memcpy(bytes, g->bytes, COUNTS + keys);
    memcpy(bytes + COUNTS + keys, w.bytes + COUNTS, records);
    for (int32_t i = 0; i < g->n_tensors; i++) {
        const sl__gguf_tensor *t = &g->tensors[i];
        assert_true(t->elements < INT32_MAX);
        sl__row_to_float(format_of(t->type), (float *)(void *)(bytes + data_at + offsets[i]),
                         t->data, (int32_t)t->elements);
    }
    sl__gguf_writer_fini(&w);
    write_file(path, bytes, n);
    free(bytes);
    free(offsets);
}

const char *world_f32_model(void) {
    sl__gguf g;
    sl_error err;
    if (f32_path[0]) return f32_path;
    CHECK_CASE(sl__gguf_open(&g, SL_MODEL_FILE, &err) == SL_OK, "%s", err.text);
    assert_int_equal(g.alignment, SL_GGUF_WRITE_ALIGNMENT);
    world_path(f32_path, "f32.gguf");
    write_f32(&g, f32_path);
    sl__gguf_close(&g);
    return f32_path;
}

/* ---- opening ---- */

const char *world_table(int32_t n) {
    static bool told;
    const char *name, *found = NULL;
    int usable;
    for (int32_t i = 0; (name = sl_isa_name(i, &usable)) != NULL; i++) {
        if (!usable && !told) print_message("skip %s: not on this CPU\n", name);
        if (usable && n-- == 0) found = name;
    }
    told = true;
    return found;
}

sl_model *world_open(const char *path, const char *isa, sl_weight_layout layout) {
    sl_model *model;
    sl_error err = {0};
    const sl_model_params params = {.isa = isa, .layout = layout, .threads = 1};
    CHECK_CASE(sl_model_open(&model, path, &params, &err) == SL_OK, "%s: %s", path, err.text);
    return model;
}

sl_session *world_session(const sl_model *model, int32_t context, int32_t threads, int32_t batch,
                          sl_kv_type k_type, sl_kv_type v_type) {
    sl_session *session;
    sl_error err = {0};
    const sl_session_params params = {context, threads, batch, k_type, v_type};
    CHECK_CASE(sl_session_open(&session, model, &params, &err) == SL_OK, "%s", err.text);
    return session;
}

void world_tokens(check_random *r, const sl_model *model, sl_token *out, int32_t n) {
    const int32_t vocab = sl_model_facts_of(model)->vocab;
    for (int32_t i = 0; i < n;) {
        out[i] = check_below(r, vocab);
        i += !sl_token_is_eog(model, out[i]);
    }
}

void world_step(sl_session *s, sl_token token, float *logits) {
    sl_error err = {0};
    CHECK_CASE(sl_session_eval(s, &token, 1, logits, &err) == SL_OK, "%s", err.text);
}

size_t world_kv_floats(const sl_model *model) {
    const sl_model_facts *f = sl_model_facts_of(model);
    return (size_t)f->layers * 2 * (size_t)f->kv_heads * (size_t)f->head_dim;
}

void world_read_kv(const sl_session *s, int32_t position, float *out) {
    const sl_model_facts *f = sl_model_facts_of(sl_session_model(s));
    for (int32_t l = 0; l < f->layers; l++)
        sl_session_read_kv(s, l, position,
                           out + (size_t)l * 2 * (size_t)f->kv_heads * (size_t)f->head_dim);
}

/* ---- prompts ---- */

static void load_prompts(void) {
    if (prompts) return;
    FILE *f = fopen(SL_TEST_DATA "/data/prompts.jsonl", "rb");
    char *line = NULL;
    size_t size = 0;
    assert_non_null(f);
    prompts = json_array();
    while (getline(&line, &size, f) > 0) {
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        CHECK_CASE(object != NULL, "%s", error.text);
        assert_int_equal(json_array_append_new(prompts, object), 0);
    }
    free(line);
    assert_int_equal(fclose(f), 0);
}

int32_t world_n_prompts(void) {
    load_prompts();
    return (int32_t)json_array_size(prompts);
}

int32_t world_chat(const sl_model *model, const char *text, sl_token *tokens, int32_t max) {
    const sl_chat_message message = {"user", text};
    int32_t n;
    sl_error err = {0};
    CHECK_CASE(sl_chat_tokenize(model, &message, 1, tokens, max, &n, &err) == SL_OK, "%s",
               err.text);
    assert_true(n <= max);
    return n;
}

int32_t world_prompt(const sl_model *model, int32_t i, sl_token *tokens, int32_t max,
                     const char **id) {
    load_prompts();
    const json_t *object = json_array_get(prompts, (size_t)i);
    const char *text = json_string_value(json_object_get(object, "text"));
    assert_non_null(text);
    if (id) *id = json_string_value(json_object_get(object, "id"));
    return world_chat(model, text, tokens, max);
}

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

bool world_is_for_races(void) {
    return SL_TEST_RACES;
}

int32_t world_threads_max(void) {
    return world_is_slow() ? 3 : 8;
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

unsigned char *world_read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    CHECK_CASE(f != NULL, "%s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

void world_write_file(const char *path, const unsigned char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
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
    /* clang-format off */
    /* name, arch, layers, width, heads, kv, head_dim, experts, k, expert_width, types, tied, poison */
    {"f32", &sl__arch_qwen3moe, 2, 96, 3, 1, 40, 5, 2, 96, ALL(SL_TYPE_F32), false, NULL},
    {"f16_odd", &sl__arch_qwen3moe, 2, 90, 3, 3, 26, 5, 2, 41, ALL(SL_TYPE_F16), false, NULL},
    {"bf16_tied", &sl__arch_qwen3moe, 2, 96, 6, 2, 24, 6, 3, 32, ALL(SL_TYPE_BF16), true, NULL},
    {"q8_0", &sl__arch_qwen3moe, 2, 96, 3, 1, 40, 5, 2, 96, SL_TYPE_Q8_0, SL_TYPE_Q8_0, SL_TYPE_F16,
     SL_TYPE_Q8_0, SL_TYPE_Q8_0, SL_TYPE_Q8_0, SL_TYPE_Q8_0, false, NULL},
    {"q8_0_tied", &sl__arch_qwen3moe, 3, 160, 4, 4, 40, 9, 4, 32, ALL(SL_TYPE_Q8_0), true, NULL},
    {"q4_0", &sl__arch_qwen3moe, 2, 96, 3, 1, 64, 5, 2, 160, ALL(SL_TYPE_Q4_0), false, NULL},
    {"mixed", &sl__arch_qwen3moe, 2, 96, 4, 2, 40, 5, 2, 96, SL_TYPE_BF16, SL_TYPE_F16, SL_TYPE_Q4_0,
     SL_TYPE_Q4_0, SL_TYPE_F32, SL_TYPE_Q8_0, SL_TYPE_BF16, false, NULL},
    /* clang-format on */
};
const int32_t n_tiny_shapes = (int32_t)SL_COUNT(tiny_shapes);

static const struct {
    const sl__arch *arch;
    bool dense; /* without experts, where it can be */
} arches[] = {{&sl__arch_qwen3moe, false}, {&sl__arch_olmoe, false}, {&sl__arch_llama, false},
              {&sl__arch_llama, true},     {&sl__arch_qwen3, true},  {&sl__arch_qwen2moe, false},
              {&sl__arch_deepseek, false}, {&sl__arch_phimoe, false}};

int32_t world_n_arches(void) {
    return (int32_t)SL_COUNT(arches);
}

static sl__tensor_type type_of(sl__format format) {
    static const sl__tensor_type types[SL_FORMATS] = {
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = SL_TYPE_##NAME,
        SL_FORMAT_MAP(X)
#undef X
    };
    return types[format];
}

/* Rows are whole blocks, and no more of them than that takes. */
tiny_shape world_shape(sl__format format, int32_t arch) {
    const sl__tensor_type type = type_of(format);
    const bool dense = arches[arch].dense, large = sl__format_block(format) == 256;
    return (tiny_shape){.name = sl__format_name(format),
                        .arch = arches[arch].arch,
                        .layers = 2,
                        .width = large ? 256 : 96,
                        .heads = large ? 4 : 3,
                        .kv_heads = large ? 2 : 1,
                        .head_dim = 64,
                        .experts = dense ? 0 : 5,
                        .experts_per_token = dense ? 0 : 2,
                        .expert_width = large ? 256 : 160,
                        .embd = type,
                        .qkv = type,
                        .o = type,
                        .gate = type,
                        .up = type,
                        .down = type,
                        .head = type};
}

/* Uniform with deviation d: bits are what is tested, not statistics. */
static float draw(check_random *r, float d) {
    return (float)((double)(check_u64(r) >> 11) * 0x1p-53 - 0.5) * 3.4641016f * d;
}

static void put_half(unsigned char *out, uint16_t half) {
    memcpy(out, &half, sizeof half);
}

static void fill_values(check_random *r, sl__tensor_type type, unsigned char *out, uint64_t n,
                        float d) {
    for (uint64_t i = 0; i < n; i++) {
        const float x = d > 0 ? draw(r, d) : 1.0f;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (type == SL_TYPE_F32) memcpy(out + 4 * i, &x, sizeof x);
        if (type == SL_TYPE_F16) put_half(out + 2 * i, sl__float_to_half(x));
        if (type == SL_TYPE_BF16) put_half(out + 2 * i, (uint16_t)(bits >> 16));
    }
}

static sl__format format_of(sl__tensor_type type) {
    for (int32_t f = 0; f < SL_FORMATS; f++)
        if (type_of((sl__format)f) == type) return (sl__format)f;
    fail_msg("type %d", (int)type);
    return SL_FORMAT_F32;
}

/* What scales a block: a half, and of some types another one for minima, whose ratio to
 * the first makes the mean about 0. MXFP4 has a power of two instead. */
static void scale_block(sl__tensor_type type, unsigned char *block, float d) {
    static const struct {
        sl__tensor_type type;
        size_t scale_at, min_at;
        float min_ratio;
    } rows[] = {
        {SL_TYPE_Q4_1, 0, 2, -7.5f}, {SL_TYPE_Q5_1, 0, 2, -15.5f}, {SL_TYPE_Q2_K, 80, 82, 1.5f},
        {SL_TYPE_Q4_K, 0, 2, 7.5f},  {SL_TYPE_Q5_K, 0, 2, 15.5f},  {SL_TYPE_Q3_K, 108, 0, 0},
        {SL_TYPE_Q6_K, 208, 0, 0},
    };
    size_t i = 0;
    while (i < SL_COUNT(rows) && rows[i].type != type)
        i++;
    if (type == SL_TYPE_MXFP4) {
        block[0] = (unsigned char)(128 + ilogbf(fabsf(d)));
    } else {
        put_half(block + (i < SL_COUNT(rows) ? rows[i].scale_at : 0), sl__float_to_half(d));
        if (i < SL_COUNT(rows) && rows[i].min_at > 0)
            put_half(block + rows[i].min_at, sl__float_to_half(d * rows[i].min_ratio));
    }
}

/* Random bytes, under scales of either sign that give the deviation. */
static void fill_blocks(check_random *r, sl__tensor_type type, unsigned char *out, uint64_t n,
                        float d) {
    const sl__tensor_type_info *info = sl__tensor_type_find(type);
    float numbers[256];
    double squares = 0;
    for (uint64_t i = 0; i < n * info->block_bytes; i++)
        out[i] = (unsigned char)check_u64(r);
    for (uint64_t b = 0; b < n; b++) {
        unsigned char *block = out + b * info->block_bytes;
        scale_block(type, block, 1.0f);
        sl__row_to_float(format_of(type), numbers, block, (int32_t)info->block_elements);
        for (uint32_t i = 0; i < info->block_elements; i++)
            squares += (double)numbers[i] * (double)numbers[i];
    }
    d /= (float)sqrt(squares / (double)(n * info->block_elements));
    for (uint64_t b = 0; b < n; b++)
        scale_block(type, out + b * info->block_bytes, check_u64(r) & 1 ? d : -d);
}

/* `elements` values of deviation d (0: all ones) as tensor data. */
static void fill_data(check_random *r, sl__tensor_type type, unsigned char *out, uint64_t elements,
                      float d) {
    const uint64_t block = sl__tensor_type_find(type)->block_elements;
    if (block == 1)
        fill_values(r, type, out, elements, d);
    else
        fill_blocks(r, type, out, elements / block, d);
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

static int32_t size_of(const tiny_shape *s, sl__dim dim) {
    switch (dim) {
    case SL_DIM_WIDTH:
        return s->width;
    case SL_DIM_HEAD:
        return s->head_dim;
    case SL_DIM_QUERIES:
        return s->heads * s->head_dim;
    case SL_DIM_KEYS:
        return s->kv_heads * s->head_dim;
    case SL_DIM_EXPERTS:
        return s->experts;
    case SL_DIM_EXPERT_WIDTH:
    case SL_DIM_SHARED_WIDTH:
    case SL_DIM_DENSE_WIDTH:
        return s->expert_width;
    case SL_DIM_NONE:
    case SL_DIM_ONE:
        break;
    }
    return 1;
}

static int32_t dense_layers(const tiny_shape *s) {
    return s->experts == 0 ? s->layers : s->arch->leading_dense ? 1 : 0;
}

/* The router and the gate of shared experts stay F32, as llama.cpp's quantiser leaves them. */
static sl__tensor_type type_in_place(const tiny_shape *s, const sl__tensor_rule *rule) {
    const struct {
        const char *prefix;
        sl__tensor_type type;
    } rows[] = {
        {"attn_output", s->o}, {"attn_", s->qkv}, {"ffn_gate_inp", SL_TYPE_F32},
        {"ffn_gate", s->gate}, {"ffn_up", s->up}, {"ffn_down", s->down},
    };
    for (size_t i = 0; rule->n_out != SL_DIM_NONE && i < SL_COUNT(rows); i++)
        if (strncmp(rule->suffix, rows[i].prefix, strlen(rows[i].prefix)) == 0) return rows[i].type;
    return SL_TYPE_F32;
}

static float deviation_in_place(const tiny_shape *s, const sl__tensor_rule *rule) {
    if (strstr(rule->suffix, ".bias")) return 0.1f;
    if (rule->n_out == SL_DIM_NONE) return 0; /* norms */
    return (strstr(rule->suffix, "gate_inp") ? 2.0f : 1.0f) / sqrtf((float)size_of(s, rule->n_in));
}

/* Every tensor the architecture's description knows for the layer. */
static void put_layer(tiny_writer *t, int32_t layer) {
    const tiny_shape *s = t->shape;
    const bool dense = layer < dense_layers(s);
    const sl__tensor_rule *rule;
    for (int32_t i = 0; (rule = sl__arch_rule(s->arch, i)) != NULL; i++) {
        char name[SL_GGUF_TENSOR_NAME_MAX + 1];
        if (rule->presence == (dense ? SL_IN_EXPERTS : SL_IN_DENSE)) continue;
        sl__arch_tensor_name(name, layer, rule->suffix);
        put_tensor(t, name, type_in_place(s, rule), deviation_in_place(s, rule),
                   size_of(s, rule->n_in), size_of(s, rule->n_out),
                   rule->per_expert ? s->experts : 1);
    }
}

/* Tensors outside the layers. */
static void put_outer(tiny_writer *t) {
    const tiny_shape *s = t->shape;
    put_tensor(t, "token_embd.weight", s->embd, 1.0f, s->width, TINY_VOCAB, 1);
    put_tensor(t, "output_norm.weight", SL_TYPE_F32, 0, s->width, 1, 1);
    if (s->arch->switches.norm == SL_NORM_LAYER) {
        put_tensor(t, "output_norm.bias", SL_TYPE_F32, 0.1f, s->width, 1, 1);
        put_tensor(t, "output.bias", SL_TYPE_F32, 0.1f, TINY_VOCAB, 1, 1);
    }
    if (!s->tied)
        put_tensor(t, "output.weight", s->head, 4.0f / sqrtf((float)s->width), s->width, TINY_VOCAB,
                   1);
}

/* Keys that an architecture does not read are there all the same. */
static void put_facts(sl__gguf_writer *w, const tiny_shape *s) {
    const struct {
        const char *key;
        int32_t value;
    } rows[] = {
        {"block_count", s->layers},
        {"context_length", TINY_CONTEXT},
        {"embedding_length", s->width},
        {"feed_forward_length", s->expert_width},
        {"attention.head_count", s->heads},
        {"attention.head_count_kv", s->kv_heads},
        {"attention.key_length", s->head_dim},
        {"attention.value_length", s->head_dim},
        {"leading_dense_block_count", dense_layers(s)},
        {"expert_count", s->experts},
        {"expert_used_count", s->experts_per_token},
        {"expert_feed_forward_length", s->expert_width},
        {"expert_shared_count", 1},
    };
    char key[64];
    sl__gguf_put_str(w, "general.architecture", s->arch->name);
    sl__gguf_put_str(w, "general.name", s->name);
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        (void)snprintf(key, sizeof key, "%s.%s", s->arch->name, rows[i].key);
        sl__gguf_put_u32(w, key, (uint32_t)rows[i].value);
    }
    (void)snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", s->arch->name);
    sl__gguf_put_f32(w, key, 1e-6f);
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

static void put_all(tiny_writer *t) {
    sl__gguf_writer_init(&t->w);
    put_facts(&t->w, t->shape);
    put_tiny_vocabulary(&t->w);
    put_outer(t);
    for (int32_t l = 0; l < t->shape->layers; l++)
        put_layer(t, l);
    assert_int_equal(sl__gguf_writer_finish(&t->w, NULL), SL_OK);
}

void tiny_write_sparse(const tiny_shape *s, const char *path) {
    tiny_writer t = {.shape = s};
    put_all(&t);
    world_write_file(path, t.w.bytes, t.w.size);
    assert_int_equal(truncate(path, (off_t)(t.w.data_at + t.w.data_size)), 0);
    sl__gguf_writer_fini(&t.w);
}

void tiny_write(const tiny_shape *s, uint64_t seed, const char *path) {
    tiny_writer t = {.shape = s};
    check_random r = {.seed = seed};
    put_all(&t);
    const uint64_t data_at = t.w.data_at;
    gguf_bytes file = finish_bytes(&t.w);
    for (int32_t i = 0; i < t.n_plans; i++) {
        const tensor_plan *p = &t.plans[i];
        fill_data(&r, p->type, file.bytes + data_at + p->offset, p->elements, p->deviation);
        const float nan = NAN;
        if (p->poison) memcpy(file.bytes + data_at + p->offset, &nan, sizeof nan);
    }
    world_write_file(path, file.bytes, file.n);
    free(file.bytes);
}

/* ---- the embedded model in F32 ---- */

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
    world_write_file(path, bytes, n);
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

static void tell_tables(void) {
    const char *name;
    int usable;
    for (int32_t i = 0; (name = sl_isa_name(i, &usable)) != NULL; i++)
        print_message("  kernel table %s: %s\n", name,
                      usable ? "runs" : "skipped, not on this CPU");
}

/* The one table that SL_TEST_ISA asks for, or NULL: all, and the best where a test names none. */
static const char *forced_table(void) {
    return getenv("SL_TEST_ISA");
}

const char *world_table(int32_t n) {
    if (forced_table()) return n == 0 ? forced_table() : NULL;
    static bool told;
    const char *name, *found = NULL;
    int usable;
    if (world_is_for_races() && n > 0) return NULL;
    if (!told) tell_tables();
    told = true;
    for (int32_t i = 0; (name = sl_isa_name(i, &usable)) != NULL; i++)
        if (usable && n-- == 0) found = name;
    return found;
}

sl_model *world_open(const char *path, const char *isa, sl_weight_layout layout) {
    sl_model *model;
    sl_error err = {0};
    const sl_model_params params = {
        .isa = isa ? isa : forced_table(), .layout = layout, .threads = 1};
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

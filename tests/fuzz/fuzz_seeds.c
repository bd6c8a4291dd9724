/* fuzz_seeds.c - writes the seed corpus: `fuzz_seeds tests/fuzz/corpus`.
 *
 * Small files that reach every branch of a good load, so that fuzzing starts there. Seeds
 * that are lines of text are written by hand and lie beside these. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "model/gguf_write.h"
#include "model/vocab_private.h"
#include "sluice_policy.h"

static bool write_bytes(const char *folder, const char *name, const void *bytes, size_t n) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(bytes, 1, n, file) == n;
    if (file && fclose(file) != 0) ok = false;
    if (!ok) perror(path);
    return ok;
}

/* Header and zero data; closes the writer. */
static bool write_gguf(const char *folder, const char *name, sl__gguf_writer *w) {
    unsigned char bytes[16384] = {0};
    bool ok = sl__gguf_writer_finish(w, NULL) == SL_OK && w->size + w->data_size <= sizeof bytes;
    if (ok) {
        memcpy(bytes, w->bytes, w->size);
        ok = write_bytes(folder, name, bytes, (size_t)(w->size + w->data_size));
    }
    sl__gguf_writer_fini(w);
    return ok;
}

static bool write_empty(const char *folder) {
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    return write_gguf(folder, "gguf/empty", &w);
}

static bool write_keys(const char *folder) {
    static const int32_t numbers[] = {1, -2, 3};
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    sl__gguf_put_u32(&w, "general.alignment", 32);
    sl__gguf_put_f32(&w, "f", 1e-6f);
    sl__gguf_put_bool(&w, "b", true);
    sl__gguf_put_str(&w, "s", "text");
    sl__gguf_put_i32s(&w, "i", numbers, 3);
    sl__gguf_put_strs(&w, "a", 2);
    sl__gguf_put_element(&w, "one", 3);
    sl__gguf_put_element(&w, "", 0);
    return write_gguf(folder, "gguf/keys", &w);
}

static bool write_tensors(const char *folder) {
    static const int64_t ne[4] = {32, 2, 1, 1};
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    (void)sl__gguf_put_tensor(&w, "a", SL_TYPE_F32, 1, ne);
    (void)sl__gguf_put_tensor(&w, "b", SL_TYPE_Q8_0, 2, ne);
    (void)sl__gguf_put_tensor(&w, "c", SL_TYPE_F16, 4, ne);
    return write_gguf(folder, "gguf/tensors", &w);
}

static bool write_vocabulary(const char *folder) {
    static const char *const extra[] = {"th", "the", "<|im_end|>", "::", "<0xE4>", "[PAD]"};
    static const char *const merges[] = {"t h", "th e"};
    static const int32_t extra_kinds[] = {SL_TOKEN_NORMAL,       SL_TOKEN_NORMAL, SL_TOKEN_CONTROL,
                                          SL_TOKEN_USER_DEFINED, SL_TOKEN_BYTE,   SL_TOKEN_UNUSED};
    enum { EXTRA = sizeof extra / sizeof *extra };
    int32_t kinds[256 + EXTRA];
    char spelling[2];
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    sl__gguf_put_str(&w, "tokenizer.ggml.model", "gpt2");
    sl__gguf_put_str(&w, "tokenizer.ggml.pre", "qwen2");
    sl__gguf_put_strs(&w, "tokenizer.ggml.tokens", 256 + EXTRA);
    for (uint32_t byte = 0; byte < 256; byte++) {
        sl__gguf_put_element(&w, spelling, sl__spell_byte(byte, spelling));
        kinds[byte] = SL_TOKEN_NORMAL;
    }
    for (int i = 0; i < EXTRA; i++) {
        sl__gguf_put_element(&w, extra[i], strlen(extra[i]));
        kinds[256 + i] = extra_kinds[i];
    }
    sl__gguf_put_i32s(&w, "tokenizer.ggml.token_type", kinds, 256 + EXTRA);
    sl__gguf_put_strs(&w, "tokenizer.ggml.merges", 2);
    for (int i = 0; i < 2; i++)
        sl__gguf_put_element(&w, merges[i], strlen(merges[i]));
    sl__gguf_put_u32(&w, "tokenizer.ggml.eos_token_id", 258);
    sl__gguf_put_u32(&w, "tokenizer.ggml.bos_token_id", 258);
    sl__gguf_put_bool(&w, "tokenizer.ggml.add_bos_token", false);
    return write_gguf(folder, "gguf/vocabulary", &w);
}

static bool write_spm_vocabulary(const char *folder) {
    static const char *const tokens[] = {"<unk>", "<s>",    "</s>",   "\xe2\x96\x81",
                                         "a",     "<0x41>", "[INST]", "::"};
    static const int32_t kinds[] = {SL_TOKEN_UNKNOWN, SL_TOKEN_CONTROL,     SL_TOKEN_CONTROL,
                                    SL_TOKEN_NORMAL,  SL_TOKEN_NORMAL,      SL_TOKEN_BYTE,
                                    SL_TOKEN_CONTROL, SL_TOKEN_USER_DEFINED};
    static const int32_t scores[] = {0, 0, 0, -1, -2, 0, 0, 0};
    enum { N = sizeof tokens / sizeof *tokens };
    sl__gguf_writer w;
    sl__gguf_writer_init(&w);
    sl__gguf_put_str(&w, "general.name", "Phi-3");
    sl__gguf_put_str(&w, "tokenizer.ggml.model", "llama");
    sl__gguf_put_strs(&w, "tokenizer.ggml.tokens", N);
    for (int i = 0; i < N; i++)
        sl__gguf_put_element(&w, tokens[i], strlen(tokens[i]));
    sl__gguf_put_i32s(&w, "tokenizer.ggml.token_type", kinds, N);
    sl__gguf_put_i32s(&w, "tokenizer.ggml.scores", scores, N);
    sl__gguf_put_u32(&w, "tokenizer.ggml.unknown_token_id", 0);
    sl__gguf_put_bool(&w, "tokenizer.ggml.add_space_prefix", true);
    sl__gguf_put_bool(&w, "tokenizer.ggml.add_eos_token", true);
    return write_gguf(folder, "gguf/spm", &w);
}

static bool write_texts(const char *folder) {
    static const struct {
        const char *name, *bytes; /* flags, cut, text */
    } texts[] = {
        {"tokenizer/markup", "1A<|im_start|>user\nI'll say 12 things.<|im_end|>\n"},
        {"tokenizer/plain", "0 The  end.\r\n\n\tif (x >= 10) { y += 'z'; }  "},
        {"tokenizer/unicode", "1 \xd0\xbc\xd0\xb8\xd1\x80 \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x98\x80"
                              "e\xcc\x81 \xe2\x80\x89x"},
        {"tokenizer/spm", "3A the\xe4\xb8\xad  </s>the ::\xe2\x96\x81<|im_end|> th"},
        {"tokenizer/spm_prefix", "5 </s>the  the</s></s> ::x"},
        {"tokenizer/stages", "P \xe4\xb8\xad 12345\r\n the-HTTPServer's  \xe2\x80\x9c"},
        {"tokenizer/invalid", "0 \xff\xfe a\xc0\x80 \xed\xa0\x80 \xe4\xb8 \xf5\xf0\x9f"},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ok = write_bytes(folder, texts[i].name, texts[i].bytes, strlen(texts[i].bytes)) && ok;
    return ok;
}

/* Flags of fuzz_session.c, then a header of the embedded model's shape and tokens. */
static bool write_sessions(const char *folder) {
    unsigned char bytes[1 + 48 + 12] = {15, 'S', 'L', 'U', 'I', 'C', 'E', 'P', 'C', 1, 0, 0, 0, 3};
    static const unsigned char shape[] = {6, 2, 128, 0, 2, 0}; /* layers .. types, long */
    for (size_t i = 0; i < sizeof shape; i++)
        bytes[1 + 24 + 4 * i] = shape[i];
    for (size_t i = 0; i < 3; i++)
        bytes[1 + 48 + 4 * i] = (unsigned char)(5 + i);
    bool ok = write_bytes(folder, "session/all", bytes, sizeof bytes);
    bytes[0] = 7;
    ok = write_bytes(folder, "session/common", bytes, sizeof bytes) && ok;
    bytes[0] = 0;
    return write_bytes(folder, "session/foreign", bytes, sizeof bytes) && ok;
}

/* A request of 12 iterations under a policy, all of whose drafts come true to the half. */
static bool write_policy(const char *folder, const char *name, const char *policy) {
    enum { ITERATIONS = 12, DRAFT = 4 };
    static _Alignas(max_align_t) unsigned char memory[SLP_CONTROLLER_BYTES_MAX];
    static char text[(ITERATIONS + 1) * SLP_TRACE_LINE_MAX];
    const slp_draft_node nodes[DRAFT] = {{2, 3, 3, 0.5f}, {2, 3, 3, 0.5f}, {2, 3, 1, 0.5f}};
    slp_config cfg;
    size_t n = 0, length = 0;
    slp_config_defaults(&cfg);
    bool ok = slp_policy_parse(policy, &cfg, NULL) == SLP_OK;
    slp_controller *ctl = slp_controller_init(memory, sizeof memory, &cfg);
    ok = ok && ctl && slp_trace_format_header(text, sizeof text, &cfg, &n) == SLP_OK;
    for (int i = 0; ok && i < ITERATIONS; i++) {
        const slp_draft draft = {.n_nodes = DRAFT, .nodes = nodes};
        const slp_plan plan = slp_plan_draft(ctl, &draft);
        slp_step step = {.drafted = plan.draft_tokens, .pass_ns = 1000};
        step.accepted = step.drafted / 2;
        step.emitted = step.accepted + 1;
        step.rows = step.drafted + 1;
        step.pass_ns += 100 * (uint64_t)step.drafted;
        text[n++] = '\n';
        ok = slp_observe(ctl, &step) == SLP_OK;
        const slp_trace_record record = slp_trace_record_of(ctl, &plan, &step);
        ok = ok && slp_trace_format_record(text + n, sizeof text - n, &record, &length) == SLP_OK;
        n += length;
    }
    return ok && write_bytes(folder, name, text, n);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
        return 2;
    }
    const bool ok = write_empty(argv[1]) && write_keys(argv[1]) && write_tensors(argv[1]) &&
                    write_vocabulary(argv[1]) && write_spm_vocabulary(argv[1]) &&
                    write_texts(argv[1]) && write_sessions(argv[1]) &&
                    write_policy(argv[1], "policy/cascade", "cascade") &&
                    write_policy(argv[1], "policy/ledger", "ledger:50%") &&
                    write_policy(argv[1], "policy/static", "static:3");
    return ok ? 0 : 1;
}

/* test_generate.c - what a request leaves behind for the next one, and where its text
 * begins. That speculation changes nothing is test_same_bytes.c's. */
#include "engine_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "model/model.h"
#include "model/vocab_private.h"

enum { CONTEXT = 512, PROMPT_MAX = 256, TEXT_MAX = 4096 };

typedef struct output {
    char text[TEXT_MAX];
    size_t n;
    size_t stop_at; /* bytes of text from which on the caller has enough */
    int cancel;
} output;

static int keep_text(void *user, const char *bytes, size_t n) {
    output *o = user;
    assert_true(o->n + n <= sizeof o->text);
    memcpy(o->text + o->n, bytes, n);
    o->n += n;
    return o->n >= o->stop_at;
}

static sl_generate_params request(output *o, const char *policy, float temperature) {
    sl_generate_params p = sl_generate_params_default();
    *o = (output){.stop_at = TEXT_MAX};
    p.spec_policy = policy;
    p.sampling.temperature = temperature;
    p.max_tokens = 60;
    p.on_text = keep_text;
    p.user = o;
    p.cancel = &o->cancel;
    return p;
}

static int32_t next_turn(const sl_model *model, const char *text, sl_token *tokens) {
    const sl_chat_message message = {"user", text};
    int32_t n = 0;
    assert_int_equal(sl_chat_tokenize_next(model, &message, 1, tokens, PROMPT_MAX, &n, NULL),
                     SL_OK);
    assert_in_range(n, 1, PROMPT_MAX);
    return n;
}

/* Three turns in one session, each ended in another way; then the third answer from a fresh
 * session that reads all before it at once. Mutations: forget the pending token, or report
 * one that is committed already; leave a rejected draft in the cache. */
static void a_session_goes_on_as_if_it_had_read_everything_at_once(void **state) {
    static const char *const policies[] = {"off", "static:6", "cascade", "ledger"};
    static const char *const turns[] = {"Tell a story about a river.", "Repeat the story.",
                                        "Repeat it again word for word."};
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    for (size_t i = 0; i < 3 * SL_COUNT(policies); i++) {
        sl_session *s = world_session(model, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
        sl_token all[CONTEXT], tokens[PROMPT_MAX + 1];
        output have, want;
        sl_generate_stats stats = {.pending = -1};
        int32_t n_all = 0;
        for (int turn = 0; turn < 3; turn++) {
            int32_t n = 0;
            sl_generate_params p = request(&have, policies[i / 3], i % 2 ? 0.0f : 0.8f);
            if (turn == (int)(i % 3)) p.max_tokens = 13;
            if (turn == (int)((i + 1) % 3)) have.stop_at = 20;
            if (stats.pending >= 0) tokens[n++] = stats.pending;
            n += turn == 0 ? world_chat(model, turns[0], tokens, PROMPT_MAX)
                           : next_turn(model, turns[turn], tokens + n);
            if (turn == 2) {
                n_all = sl_session_length(s);
                memcpy(all, sl_session_tokens(s), (size_t)n_all * sizeof *all);
                memcpy(all + n_all, tokens, (size_t)n * sizeof *all);
                n_all += n;
            }
            assert_int_equal(sl_generate(s, tokens, n, &p, &stats, NULL), SL_OK);
            assert_true(stats.stop != SL_STOP_EOG || stats.pending == -1);
            assert_true(stats.stop == SL_STOP_EOG || stats.pending >= 0);
        }
        sl_session_close(&s);

        s = world_session(model, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
        sl_generate_stats fresh;
        sl_generate_params p = request(&want, "off", i % 2 ? 0.0f : 0.8f);
        if (i % 3 == 2) p.max_tokens = 13;
        if ((i + 1) % 3 == 2) want.stop_at = 20;
        assert_int_equal(sl_generate(s, all, n_all, &p, &fresh, NULL), SL_OK);
        CHECK_CASE(fresh.token_hash == stats.token_hash && fresh.logits_hash == stats.logits_hash &&
                       want.n == have.n && memcmp(want.text, have.text, have.n) == 0,
                   "%s: \"%.*s\" and \"%.*s\"", policies[i / 3], (int)want.n, want.text,
                   (int)have.n, have.text);
        sl_session_close(&s);
    }
    sl_model_close(&model);
}

/* Mutation: name the prompt's last token pending, or a token of the request before. */
static void a_request_without_a_token_has_none_pending(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    sl_session *s = world_session(model, CONTEXT, 1, 4, SL_KV_F16, SL_KV_F16);
    sl_token tokens[PROMPT_MAX];
    sl_generate_stats stats;
    output o;
    const int32_t n = world_chat(model, "Tell a story about a river.", tokens, PROMPT_MAX);
    sl_generate_params p = request(&o, "cascade", 0);
    p.max_tokens = 0;
    assert_int_equal(sl_generate(s, tokens, n, &p, &stats, NULL), SL_OK);
    assert_int_equal(stats.pending, -1);
    assert_int_equal(sl_session_length(s), n);

    p.max_tokens = 10;
    o.cancel = 1; /* before the first batch of the prompt is through */
    assert_int_equal(sl_generate(s, tokens, n, &p, &stats, NULL), SL_OK);
    assert_int_equal(stats.stop, SL_STOP_CALLER);
    assert_int_equal(stats.pending, -1);
    assert_int_equal(sl_session_length(s), n + 4);
    sl_session_close(&s);
    sl_model_close(&model);
}

/* A SentencePiece vocabulary's space before a text is no part of an answer, and a part of
 * what goes on a prompt. Mutations: strip it always, never, or before every token. */
static void an_answer_does_not_begin_with_the_vocabularys_space(void **state) {
    (void)state;
    sl_model *model = world_open(SL_MODEL_FILE, NULL, SL_LAYOUT_PACKED);
    sl_token word[8], prompt[PROMPT_MAX];
    int32_t n_word = 0;
    assert_int_equal(sl_tokenize(model, " the", 4, 0, word, 8, &n_word, NULL), SL_OK);
    assert_int_equal(n_word, 1);
    const int32_t n = world_chat(model, "Say something.", prompt, PROMPT_MAX);
    const sl_logit_bias bias = {word[0], 1000};
    for (int i = 0; i < 4; i++) {
        sl_session *s = world_session(model, CONTEXT, 1, 64, SL_KV_F16, SL_KV_F16);
        sl_generate_stats stats;
        output o;
        sl_generate_params p = request(&o, "static:2", 0);
        p.sampling.bias = &bias;
        p.sampling.n_bias = 1;
        p.max_tokens = 3;
        p.own_text = i & 1;
        model->vocab->model =
            i & 2 ? SL_VOCAB_SPM : SL_VOCAB_BPE; /* all that asks is the request */
        model->vocab->space_prefix = true;
        assert_int_equal(sl_generate(s, prompt, n, &p, &stats, NULL), SL_OK);
        const char *want = i == 3 ? "the the the" : " the the the";
        CHECK_CASE(o.n == strlen(want) && memcmp(o.text, want, o.n) == 0, "%d: \"%.*s\"", i,
                   (int)o.n, o.text);
        sl_session_close(&s);
    }
    model->vocab->model = SL_VOCAB_BPE;
    model->vocab->space_prefix = false;
    sl_model_close(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_session_goes_on_as_if_it_had_read_everything_at_once),
    cmocka_unit_test(a_request_without_a_token_has_none_pending),
    cmocka_unit_test(an_answer_does_not_begin_with_the_vocabularys_space),
};

WORLD_MAIN(tests)

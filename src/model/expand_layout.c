/* expand_layout.c - see expand_layout.h. */
#include "model/expand_layout.h"

#include "base/base.h"
#include "model/arch.h"

enum { EXPERTS_ABREAST = 16, BIG_SLOTS = 256 / SL_SLOT };

/* Hidden numbers of an expert, or of a dense model's feed-forward part. */
static int32_t hidden_width(const sl_model_facts *f) {
    return f->experts > 0 ? f->expert_width : f->dense_width;
}

/* ---- checks ---- */

/* The power of two that large is of small, or -1. */
static int32_t log2_ratio(int32_t large, int32_t small) {
    int32_t n = 0;
    for (; small < large; n++)
        small *= 2;
    return small == large ? n : -1;
}

static sl_status fail_size(const char *what, int32_t large, int32_t small, const char *why,
                           sl_error *err) {
    return sl__fail(err, SL_E_ARG, SL_NOWHERE, "%s: %d cannot hold the small model's %d: %s", what,
                    large, small, why);
}

static sl_status check_sizes(const sl_model_facts *s, const sl_model_facts *l, sl_error *err) {
    if (s->width % SL_SLOT != 0 || s->head_dim % SL_SLOT != 0 || hidden_width(s) % SL_SLOT != 0)
        return sl__fail(err, SL_E_ARG, SL_NOWHERE,
                        "the small model's width %d, head size %d and feed-forward width %d must "
                        "be multiples of 32",
                        s->width, s->head_dim, hidden_width(s));
    if ((s->experts > 0) != (l->experts > 0))
        return sl__fail(err, SL_E_ARG, SL_NOWHERE, "a %s model in a %s shape",
                        s->experts > 0 ? "Mixture-of-Experts" : "dense",
                        l->experts > 0 ? "Mixture-of-Experts" : "dense");
    if (l->layers < s->layers) return fail_size("layers", l->layers, s->layers, "too few", err);
    if (log2_ratio(l->width, s->width) < 0)
        return fail_size("width", l->width, s->width, "not a power of two times as wide", err);
    if (log2_ratio(l->head_dim, s->head_dim) < 0)
        return fail_size("head size", l->head_dim, s->head_dim, "not a power of two times as large",
                         err);
    if (l->experts < s->experts)
        return fail_size("experts", l->experts, s->experts, "too few", err);
    if (l->experts_per_token != s->experts_per_token)
        return fail_size("experts per token", l->experts_per_token, s->experts_per_token,
                         "must be equal", err);
    if (l->vocab < s->vocab) return fail_size("vocabulary", l->vocab, s->vocab, "too small", err);
    return SL_OK;
}

/* ---- axes ---- */

static sl__axis take_axis(sl__plan *plan, int32_t n) {
    const size_t slots = (size_t)(n / SL_SLOT);
    sl__axis axis = {n, sl__plan_take(plan, slots, sizeof *axis.slots)};
    for (size_t i = 0; axis.slots && i < slots; i++)
        axis.slots[i] = (sl__slot){-1, -1};
    return axis;
}

/* `copies` of the blocks of a small axis, of which the first `digits` hold digits of the
 * weights and the others zeros. Slot 0 is left free where that is asked. */
static sl_status lay_copies(const sl__axis *axis, int32_t blocks, int32_t copies, int32_t digits,
                            int32_t unit, bool leave_first, const char *what, sl_error *err) {
    const bool big = unit > SL_SLOT;
    const int32_t first = big || leave_first, n = axis->n / SL_SLOT;
    const int32_t needed = big ? blocks * BIG_SLOTS : first + blocks * copies;
    if (needed > n || (big && first + copies > BIG_SLOTS) || axis->n % unit != 0)
        return fail_size(what, axis->n, blocks * SL_SLOT, "too narrow for its copies", err);
    for (int32_t b = 0; axis->slots && b < blocks; b++)
        for (int32_t c = 0; c < copies; c++)
            axis->slots[big ? b * BIG_SLOTS + first + c : first + c * blocks + b] =
                (sl__slot){b, c < digits ? c : -1};
    return SL_OK;
}

/* Rows that write an axis: where it has no block they must give `otherwise`. */
static int32_t *take_rows(sl__plan *plan, const sl__axis *axis, int32_t otherwise) {
    int32_t *rows = sl__plan_take(plan, (size_t)axis->n, sizeof *rows);
    for (int32_t i = 0; rows && i < axis->n; i++) {
        const int32_t block = axis->slots[i / SL_SLOT].block;
        rows[i] = block < 0 ? otherwise : block * SL_SLOT + i % SL_SLOT;
    }
    return rows;
}

/* ---- the residual stream ---- */

/* As many copies as digits need, and so many that the stretch is a power of two: then
 * norms give the same bits. */
static sl_status lay_residual(sl__expansion *x, sl__plan *plan, const sl__expand_widths *w,
                              sl_error *err) {
    const int32_t ratio = log2_ratio(x->large.width, x->small.width);
    x->copies = ratio % 2 ? 2 : 1;
    while (x->copies < w->digits)
        x->copies *= 4;
    x->signals = x->large.experts > x->small.experts || x->large.vocab > x->small.vocab;
    x->stretch = 1;
    for (int32_t r = x->large.width / x->small.width; r > x->copies; r /= 4)
        x->stretch *= 2;
    x->residual = take_axis(plan, x->large.width);
    const sl_status status = lay_copies(&x->residual, x->small.width / SL_SLOT, x->copies,
                                        w->digits, w->unit, x->signals, "width", err);
    if (status != SL_OK) return status;
    x->residual_rows = take_rows(plan, &x->residual, SL_ROW_ZERO);
    return SL_OK;
}

/* ---- attention ---- */

/* One head's rows in Q or K. Pair p of `fold` times as many turns as fast as pair p / fold
 * of the small head, if p is a multiple of fold; the others are there so that the head's
 * mean square stays, and have no weight in q_norm and k_norm. */
static void lay_turned_head(const sl__expansion *x, int32_t *rows, int32_t large, int32_t small) {
    const int32_t pairs = x->large.head_dim / 2, small_pairs = x->small.head_dim / 2;
    for (int32_t i = 0; rows && i < x->large.head_dim; i++)
        rows[large * x->large.head_dim + i] =
            small * x->small.head_dim + i / pairs * small_pairs + i % pairs / x->head_fold;
}

static void lay_value_head(const sl__expansion *x, int32_t *rows, int32_t large, int32_t small) {
    for (int32_t i = 0; rows && i < x->small.head_dim; i++)
        rows[large * x->large.head_dim + i] = small * x->small.head_dim + i;
}

static void lay_mixed_head(const sl__expansion *x, int32_t large, int32_t small, int32_t digit) {
    const int32_t n = x->small.head_dim / SL_SLOT;
    for (int32_t i = 0; x->mixed.slots && i < n; i++)
        x->mixed.slots[large * x->large.head_dim / SL_SLOT + i] = (sl__slot){small * n + i, digit};
}

static int32_t *take_free_rows(sl__plan *plan, int32_t n) {
    int32_t *rows = sl__plan_take(plan, (size_t)n, sizeof *rows);
    for (int32_t i = 0; rows && i < n; i++)
        rows[i] = SL_ROW_FREE;
    return rows;
}

/* The query heads of small key/value head k, once for every digit of attn_output, are those
 * of one or several large key/value heads, all copies of k. */
static sl_status lay_attention(sl__expansion *x, sl__plan *plan, const sl__expand_widths *w,
                               sl_error *err) {
    const sl_model_facts *s = &x->small, *l = &x->large;
    const int32_t group = s->heads / s->kv_heads, large_group = l->heads / l->kv_heads;
    const int32_t queries = group * w->mixed_digits;
    const int32_t copies = sl__div_up_i32(queries, large_group);
    if (s->kv_heads * copies > l->kv_heads)
        return fail_size("key/value heads", l->kv_heads, s->kv_heads * copies,
                         "too few for its groups of query heads", err);
    x->head_fold = l->head_dim / s->head_dim;
    x->mixed = take_axis(plan, l->heads * l->head_dim);
    x->query_rows = take_free_rows(plan, l->heads * l->head_dim);
    x->key_rows = take_free_rows(plan, l->kv_heads * l->head_dim);
    x->value_rows = take_free_rows(plan, l->kv_heads * l->head_dim);
    for (int32_t k = 0; k < s->kv_heads; k++)
        for (int32_t i = 0; i < copies; i++) {
            lay_turned_head(x, x->key_rows, k * copies + i, k);
            lay_value_head(x, x->value_rows, k * copies + i, k);
        }
    for (int32_t k = 0; k < s->kv_heads; k++)
        for (int32_t i = 0; i < queries; i++) {
            const int32_t kv = k * copies + i / large_group;
            const int32_t large = kv * large_group + i % large_group;
            lay_turned_head(x, x->query_rows, large, k * group + i % group);
            lay_mixed_head(x, large, k * group + i % group, i / group);
        }
    return SL_OK;
}

/* ---- experts and layers ---- */

static sl_status lay_experts(sl__expansion *x, sl__plan *plan, const sl__expand_widths *w,
                             sl_error *err) {
    const int32_t small = hidden_width(&x->small), large = hidden_width(&x->large);
    const char *what = x->small.experts > 0 ? "expert width" : "feed-forward width";
    while (x->small.experts > 0 && x->small.experts << (x->copy_bits + 1) <= x->large.experts)
        x->copy_bits++;
    x->hidden = take_axis(plan, large / SL_SLOT * SL_SLOT);
    if (large % SL_SLOT != 0) return fail_size(what, large, small, "not a multiple of 32", err);
    const sl_status status =
        lay_copies(&x->hidden, small / SL_SLOT, w->digits, w->digits, w->unit, false, what, err);
    if (status != SL_OK) return status;
    x->hidden_rows = take_rows(plan, &x->hidden, SL_ROW_FREE);
    return SL_OK;
}

int32_t sl__expert_source(const sl__expansion *x, int32_t e, int32_t *copy) {
    const int32_t abreast =
        x->small.experts % EXPERTS_ABREAST == 0 ? EXPERTS_ABREAST : x->small.experts;
    const int32_t row = e / abreast;
    *copy = row % (1 << x->copy_bits);
    const int32_t source = (row >> x->copy_bits) * abreast + e % abreast;
    return source < x->small.experts ? source : -1;
}

/* Layers of the small model at even distances, each the last of a run of its copies. */
static void lay_layers(sl__expansion *x, sl__plan *plan) {
    const int32_t large = x->large.layers, small = x->small.layers;
    x->layers = sl__plan_take(plan, (size_t)large, sizeof *x->layers);
    x->silent = sl__plan_take(plan, (size_t)large, sizeof *x->silent);
    for (int32_t l = 0; x->layers && x->silent && l < large; l++) {
        x->layers[l] = l * small / large;
        x->silent[l] = l + 1 < large && (l + 1) * small / large == x->layers[l];
    }
}

sl_status sl__expansion_plan(sl__expansion *x, sl__plan *plan, const sl_model_facts *small,
                             const sl_model_facts *large, const sl__expand_widths *widths,
                             sl_error *err) {
    *x = (sl__expansion){.small = *small, .large = *large};
    sl_status status = check_sizes(small, large, err);
    if (status == SL_OK) status = lay_residual(x, plan, widths, err);
    if (status == SL_OK) status = lay_attention(x, plan, widths, err);
    if (status == SL_OK) status = lay_experts(x, plan, widths, err);
    if (status == SL_OK) lay_layers(x, plan);
    return status;
}

/* weights.c - from file tensors to panels, and the product over a range of panels. */
#include "model/weights.h"

#include <string.h>

#include "base/base.h"

/* The tensor types that kernels read. */
static const sl__tensor_type types[SL_FORMATS] = {
#define X(NAME, name, columns, bytes) [SL_FORMAT_##NAME] = SL_TYPE_##NAME,
    SL_FORMAT_MAP(X)
#undef X
};

static sl_status fail_type(const sl__gguf *g, const sl__gguf_tensor *tensor, sl_error *err) {
    char known[SL_FORMATS * 10] = "";
    for (int32_t f = 0; f < SL_FORMATS; f++) {
        if (f > 0) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, sl__format_name((sl__format)f), sizeof known - strlen(known) - 1);
    }
    return sl__gguf_fail_tensor(g, tensor, err, "type %s, expected one of %s",
                                sl__tensor_type_find(tensor->type)->name, known);
}

sl_status sl__weight_bind(sl__weight *w, const sl__gguf *g, const sl__gguf_tensor *tensor,
                          sl_error *err) {
    int32_t f = 0;
    while (f < SL_FORMATS && types[f] != tensor->type)
        f++;
    if (f == SL_FORMATS) return fail_type(g, tensor, err);
    /* The file's tensors lie inside memory, so none of these products can wrap. */
    *w = (sl__weight){.format = (sl__format)f,
                      .n_in = (int32_t)tensor->ne[0],
                      .n_out = (int32_t)tensor->ne[1],
                      .n_experts = (int32_t)tensor->ne[2],
                      .n_panels = sl__div_up_i32((int32_t)tensor->ne[1], SL_PANEL_ROWS),
                      .rows = tensor->data,
                      .name = tensor->name};
    return SL_OK;
}

size_t sl__weight_panel_bytes(const sl__weight *w) {
    return sl__format_panel_bytes(w->format, w->n_in);
}

size_t sl__weight_matrix_bytes(const sl__weight *w) {
    return (size_t)w->n_out * sl__format_row_bytes(w->format, w->n_in);
}

size_t sl__weight_bytes(const sl__weight *w) {
    return (size_t)w->n_experts * (size_t)w->n_panels * sl__weight_panel_bytes(w);
}

const uint8_t *sl__weight_matrix(const sl__weight *w, int32_t expert) {
    return w->matrices ? w->matrices[expert]
                       : w->rows + (size_t)expert * sl__weight_matrix_bytes(w);
}

int32_t sl__weight_panel_rows(const sl__weight *w, int32_t i, int32_t *first) {
    *first = i % w->n_panels * SL_PANEL_ROWS;
    return sl__min_i32(SL_PANEL_ROWS, w->n_out - *first);
}

void sl__weight_pack_panel(const sl__weight *w, int32_t i, uint8_t *panel) {
    int32_t first;
    const int32_t rows = sl__weight_panel_rows(w, i, &first);
    const size_t before = (size_t)first * sl__format_row_bytes(w->format, w->n_in);
    sl__panel_pack(w->format, panel, sl__weight_matrix(w, i / w->n_panels) + before, rows, w->n_in);
}

enum { ROW_GROUP = 32 };

/* A last panel with fewer than 16 outputs: into a corner of our own, then copied. */
static void multiply_partial(const sl__kernels *k, const sl__weight *w, const uint8_t *panel,
                             const void *const *x, float *const *y, int32_t column,
                             int32_t n_rows) {
    const int32_t outputs = w->n_out % SL_PANEL_ROWS;
    float corner[ROW_GROUP][SL_PANEL_ROWS];
    float *out[ROW_GROUP];
    for (int32_t i = 0; i < ROW_GROUP; i++)
        out[i] = corner[i];
    for (int32_t r = 0; r < n_rows; r += ROW_GROUP) {
        const int32_t n = sl__min_i32(ROW_GROUP, n_rows - r);
        k->matmul[w->format](panel, w->n_in, 1, x + r, out, n);
        for (int32_t i = 0; i < n; i++)
            memcpy(y[r + i] + column, corner[i], (size_t)outputs * sizeof(float));
    }
}

static void multiply_whole(const sl__kernels *k, const sl__weight *w, const uint8_t *panels,
                           int32_t n_panels, const void *const *x, float *const *y, int32_t column,
                           int32_t n_rows) {
    float *out[ROW_GROUP];
    for (int32_t r = 0; r < n_rows; r += ROW_GROUP) {
        const int32_t n = sl__min_i32(ROW_GROUP, n_rows - r);
        for (int32_t i = 0; i < n; i++)
            out[i] = y[r + i] + column;
        k->matmul[w->format](panels, w->n_in, n_panels, x + r, out, n);
    }
}

void sl__weight_multiply(const sl__kernels *k, const sl__weight *w, int32_t expert, int32_t first,
                         int32_t last, const void *const *x, float *const *y, int32_t column,
                         int32_t n_rows, uint8_t *scratch) {
    SL_DCHECK(0 <= first && first <= last && last <= w->n_panels && expert < w->n_experts);
    const size_t panel_bytes = sl__weight_panel_bytes(w);
    const int32_t base = expert * w->n_panels;
    const int32_t whole = w->n_out / SL_PANEL_ROWS; /* panels with 16 outputs */
    const int32_t step = w->panels ? last - first : 1;
    for (int32_t p = first; p < last; p += step) {
        const uint8_t *panels = scratch;
        if (w->panels)
            panels = w->panels + (size_t)(base + p) * panel_bytes;
        else
            sl__weight_pack_panel(w, base + p, scratch);
        const int32_t n_whole = sl__min_i32(p + step, whole) - p;
        const int32_t at = column + (p - first) * SL_PANEL_ROWS;
        if (n_whole > 0) multiply_whole(k, w, panels, n_whole, x, y, at, n_rows);
        if (n_whole < step)
            multiply_partial(k, w, panels + (size_t)n_whole * panel_bytes, x, y,
                             at + n_whole * SL_PANEL_ROWS, n_rows);
    }
}

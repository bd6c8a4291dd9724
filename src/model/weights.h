/* weights.h - matrices as the forward pass sees them.
 *
 * A weight is one matrix, or one per expert, of n_out rows and n_in columns. It is read
 * in panels of 16 output rows (kernels/panel.h): packed panels if the model was copied
 * at load, else panels are packed from the mapped file on the way, into scratch, with
 * the same bits. */
#ifndef SL_WEIGHTS_H
#define SL_WEIGHTS_H

#include "kernels/kernels.h"
#include "model/gguf.h"

typedef struct sl__weight {
    sl__format format;
    int32_t n_in, n_out;
    int32_t n_experts;              /* matrices; 1 for a dense weight                      */
    int32_t n_panels;               /* of one matrix                                       */
    const uint8_t *rows;            /* as in the file: [n_experts][n_out] rows             */
    const uint8_t *const *matrices; /* [n_experts] instead: a tensor per expert; or NULL */
    uint8_t *panels;                /* [n_experts][n_panels] panels, or NULL: not packed   */
    const char *name;               /* tensor name, borrowed from the file                 */
} sl__weight;

/* Describe a tensor that was checked to be [n_in, n_out] or [n_in, n_out, n_experts].
 * SL_E_FORMAT if no kernel reads its type or n_in is not whole blocks. */
sl_status sl__weight_bind(sl__weight *w, const sl__gguf *g, const sl__gguf_tensor *tensor,
                          sl_error *err);

/* Bytes of all its panels, of one matrix as read by a pass, and of one panel. */
size_t sl__weight_bytes(const sl__weight *w);
size_t sl__weight_matrix_bytes(const sl__weight *w);
size_t sl__weight_panel_bytes(const sl__weight *w);

/* One expert's rows in the file. */
const uint8_t *sl__weight_matrix(const sl__weight *w, int32_t expert);

/* Output rows that panel i has, from *first on; i as below. */
int32_t sl__weight_panel_rows(const sl__weight *w, int32_t i, int32_t *first);

/* Write panel i (0 .. n_experts * n_panels - 1, experts in order) to panel. */
void sl__weight_pack_panel(const sl__weight *w, int32_t i, uint8_t *panel);

/* Outputs 16 first .. 16 last - 1 (those below n_out) of one expert's matrix, for every
 * row: y[r][column ..] = W x[r]. x [n_rows] as in sl__matmul_fn. scratch: one panel's
 * bytes, used when the weight is not packed. */
void sl__weight_multiply(const sl__kernels *k, const sl__weight *w, int32_t expert, int32_t first,
                         int32_t last, const void *const *x, float *const *y, int32_t column,
                         int32_t n_rows, uint8_t *scratch);

#endif

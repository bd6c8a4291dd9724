/* accept.h - keep the drafted tokens that the target would have chosen itself.
 *
 * A drafted token is accepted iff it equals the sampler's own choice at its parent.
 * As that choice is a pure function of the parent's logits and position, the text is
 * the plain decoder's whatever was drafted; a draft x is accepted with probability
 * p(x) (docs/exactness.md). No probabilities are compared and nothing is resampled. */
#ifndef SL_ACCEPT_H
#define SL_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/drafter.h"

/* The token that follows `row` of the pass: row 0 is the root, row i + 1 is node i.
 * False ends the walk at this row: the request is over, or choosing failed. */
typedef bool (*sl__choose)(void *user, int32_t row, sl_token *token);

/* Walk down from the root as long as a child carries the chosen token (the first
 * such child, should siblings repeat one). `choose` is called once for every row on
 * the path, in order, and for no other.
 *
 *   path [n_nodes + 1]  the rows to commit, path[0] = 0
 *
 * Returns their number, 1 .. n_nodes + 1: one more than drafted tokens accepted. */
int32_t sl__accept(const sl__draft_node *nodes, int32_t n_nodes, sl__choose choose, void *user,
                   int32_t *path);

#endif

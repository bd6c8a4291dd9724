/* accept.c - one step down the tree per accepted token. */
#include "spec/accept.h"

#include "base/base.h"

/* First child of a row that carries the token, or -1. */
static int32_t find_child(const sl__draft_node *nodes, int32_t n_nodes, int32_t row,
                          sl_token token) {
    const int32_t parent = row - 1;
    for (int32_t i = parent + 1; i < n_nodes; i++) /* children come after their parent */
        if (nodes[i].parent == parent && nodes[i].token == token) return i;
    return -1;
}

int32_t sl__accept(const sl__draft_node *nodes, int32_t n_nodes, sl__choose choose, void *user,
                   int32_t *path) {
    SL_ASSERT(n_nodes >= 0);
    int32_t n_path = 0;
    int32_t row = 0;

    for (;;) {
        sl_token token = -1;
        path[n_path++] = row;
        if (!choose(user, row, &token)) return n_path;

        const int32_t child = find_child(nodes, n_nodes, row, token);
        if (child < 0) return n_path;
        row = child + 1;
    }
}

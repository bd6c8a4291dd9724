/* pool.c - several requests in one pass: which of all drafted nodes are worth a row.
 *
 *     request 0   root - a - b          one pass: 2 roots and the chosen nodes,
 *     request 1   root - c - d - e      here {c, d, a}: 5 rows
 *
 * Every request waits for the whole pass, so a row is paid for by all of them. A pass over
 * the R roots alone emits R tokens in time T(roots); extra time is worth what would have been
 * emitted in it:
 *
 *     net(set) = sum of survival over set - R (T(roots + set) - T(roots)) / T(roots)
 *     T(rows)  = row_ns[rows] + expert_ns * distinct experts of the rows
 *
 * Experts that the roots use are read anyway and cost nothing more; nor do those of a node
 * that was chosen before. The best set is grown node by node, each time by the node with the
 * largest net, and the best stage is kept: the time of rows need not be convex, and three
 * nodes can pay where one does not. Without experts that is the optimum, because survival
 * falls along a path and rows are all alike; with experts it is a heuristic, as choosing
 * among overlapping sets is hard (tests/policy/test_row_pool.c holds both against every subset). */
#include "sluice_policy.h"

#include <string.h>

static int32_t ones(uint64_t word) {
    int32_t n = 0;
    for (; word; word &= word - 1)
        n++;
    return n;
}

/* Distinct experts of `set` that `read` does not hold. */
static int32_t new_experts(const uint64_t *set, const uint64_t *read, int32_t words) {
    int32_t n = 0;
    for (int32_t w = 0; set && w < words; w++)
        n += ones(set[w] & ~read[w]);
    return n;
}

static void add_experts(const uint64_t *set, uint64_t *read, int32_t words) {
    for (int32_t w = 0; set && w < words; w++)
        read[w] |= set[w];
}

static int is_sound(const slp_pool *pool) {
    if (pool->n_requests < 1 || pool->n_requests > SLP_POOL_REQUESTS_MAX || pool->n_nodes < 0 ||
        pool->n_nodes > SLP_POOL_NODES_MAX || !pool->requests || (pool->n_nodes && !pool->nodes))
        return 0;
    if (pool->expert_words < 0 || pool->expert_words > SLP_POOL_EXPERT_WORDS_MAX ||
        !(pool->expert_ns >= 0) || !pool->row_ns || !(pool->row_ns[pool->n_requests] > 0))
        return 0;
    for (int32_t i = 0; i < pool->n_nodes; i++) {
        const slp_pool_node *node = &pool->nodes[i];
        if (node->request < 0 || node->request >= pool->n_requests || node->parent < -1 ||
            node->parent >= i || !(node->chance >= 0 && node->chance <= 1))
            return 0;
        if (node->parent >= 0 && pool->nodes[node->parent].request != node->request) return 0;
    }
    return 1;
}

/* The extra time no request has room for is the least of their rooms: all of them wait. */
static double least_room(const slp_pool *pool) {
    double room = pool->requests[0].room_ns;
    for (int32_t r = 1; r < pool->n_requests; r++)
        if (pool->requests[r].room_ns < room) room = pool->requests[r].room_ns;
    return room;
}

static int can_join(const slp_pool *pool, const uint8_t *chosen, int32_t i) {
    const int32_t parent = pool->nodes[i].parent;
    return !chosen[i] && (parent < 0 || chosen[parent]);
}

slp_status slp_pool_plan(const slp_pool *pool, uint8_t *chosen, slp_pool_report *report) {
    uint64_t read[SLP_POOL_EXPERT_WORDS_MAX] = {0};
    double survival[SLP_POOL_NODES_MAX];
    int16_t order[SLP_POOL_NODES_MAX];
    if (!is_sound(pool)) return SLP_E_ARG;

    const int32_t words = pool->expert_words, roots = pool->n_requests;
    int32_t experts = 0;
    for (int32_t r = 0; r < roots; r++) {
        experts += new_experts(pool->requests[r].experts, read, words);
        add_experts(pool->requests[r].experts, read, words);
    }
    for (int32_t i = 0; i < pool->n_nodes; i++) {
        const int32_t parent = pool->nodes[i].parent;
        survival[i] = pool->nodes[i].chance * (parent < 0 ? 1 : survival[parent]);
    }
    const double plain_ns = pool->row_ns[roots] + pool->expert_ns * experts;
    const double room_ns = least_room(pool);
    double tokens = 0, best = 0;
    int32_t n_best = 0;
    slp_pool_report out = {0, roots, plain_ns, plain_ns};

    memset(chosen, 0, (size_t)pool->n_nodes);
    for (int32_t n = 0; n < pool->n_nodes; n++) {
        int32_t pick = -1, pick_new = 0;
        double most = 0;
        for (int32_t i = 0; i < pool->n_nodes; i++) {
            if (!can_join(pool, chosen, i)) continue;
            const int32_t more = new_experts(pool->nodes[i].experts, read, words);
            const double gain = survival[i] - roots * pool->expert_ns * more / plain_ns;
            if (pick < 0 || gain > most) {
                pick = i;
                most = gain;
                pick_new = more;
            }
        }
        chosen[pick] = 1;
        order[n] = (int16_t)pick;
        experts += pick_new;
        add_experts(pool->nodes[pick].experts, read, words);
        tokens += survival[pick];
        const double pass_ns = pool->row_ns[roots + n + 1] + pool->expert_ns * experts;
        const double net = tokens - roots * (pass_ns - plain_ns) / plain_ns;
        if (net > best && pass_ns - plain_ns <= room_ns) {
            best = net;
            n_best = n + 1;
            out = (slp_pool_report){tokens, roots + n_best, pass_ns, plain_ns};
        }
    }
    for (int32_t n = n_best; n < pool->n_nodes; n++)
        chosen[order[n]] = 0;
    if (report) *report = out;
    return SLP_OK;
}

/* drafter.h - what every source of drafted tokens can do.
 *
 * A drafter follows one request: it is told every token of prompt and output, in
 * order, and asked now and then what comes next. Its answer is a tree below the
 * newest token (a chain is a tree):
 *
 *     ... newest token --- node 0 --- node 1 --- node 2
 *                               \---- node 3                parents: -1 0 1 0
 *
 * A new drafter is a struct whose first member is an sl__drafter with every
 * function set; see ngram.h. A draft can be wrong at no risk to the text, only to
 * the time spent on it (accept.h), so a drafter never fails: it proposes nothing.
 * How many nodes are worth verifying is the policy's business, not the drafter's. */
#ifndef SL_DRAFTER_H
#define SL_DRAFTER_H

#include <stdint.h>

#include "sluice/tokenizer.h"

typedef struct sl__draft_node {
    sl_token token;
    int32_t parent;   /* index of an earlier node, or -1: follows the newest token      */
    float confidence; /* (0, 1): the drafter's estimate that the token is right given
                         that its parent is. Orders nodes; not a calibrated chance.     */
    int32_t seen;     /* how often the two tokens before this one occurred before, with
                         something after them; 0 if the drafter does not count          */
    int32_t agreed;   /* of those, how often this token came next, 0 .. seen            */
} sl__draft_node;

typedef struct sl__draft {
    int32_t n_nodes; /* 0: nothing to propose                                           */
    int32_t match;   /* tokens of context the draft rests on; 0 if that has no meaning  */
} sl__draft;

typedef struct sl__drafter sl__drafter;
struct sl__drafter {
    const char *name; /* as --spec-type spells it */

    /* Forget everything: a new request begins. */
    void (*reset)(sl__drafter *self);

    /* The sequence grew by tokens [n]. Called for every token, also while nothing is
     * being drafted, so that the drafter is in step when drafting resumes. */
    void (*observe)(sl__drafter *self, const sl_token *tokens, int32_t n);

    /* Write at most max nodes, parents before children. Leaves no trace in later answers:
     * asking twice gives the same one. */
    sl__draft (*propose)(sl__drafter *self, int32_t max, sl__draft_node *nodes);

    /* Both NULL where drafting is free. A drafter that computes puts off the work that
     * observed tokens make until it is asked to propose. */

    /* Do it now: all of it that the next observed token cannot undo. */
    void (*follow)(sl__drafter *self);

    /* Tokens whose work was put off. */
    int32_t (*behind)(sl__drafter *self);
};

#endif

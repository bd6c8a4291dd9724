/* sim_routing.h - recorded outputs with the experts that each token used.
 *
 * Two files: JSON lines with id, prompt_ids, gen_ids, tok_offset, n_routed; and bytes
 * [token][layer][slot], expert ids. Route i of a request belongs to the pass whose input is
 * generated token i. */
#ifndef SIM_ROUTING_H
#define SIM_ROUTING_H

#include "sim_recording.h"

typedef struct sim_routing_shape {
    int32_t layers, slots; /* routed experts per token and layer */
} sim_routing_shape;

/* Mean distinct experts per layer of n consecutive tokens: [n], n = 1 .. SIM_DRAFT_MAX + 1;
 * the sum of what the first adds, the second ..., each over all the places that have it, so
 * that one more token never takes any away. */
typedef struct sim_union {
    double experts[SIM_DRAFT_MAX + 2];
} sim_union;

/* Append the requests, drafted, with sim_point.experts set: for every K the distinct experts
 * per layer of the newest token and K drafted ones. Exact as far as drafted tokens came out;
 * a token that did not has no recorded route and adds what one more consecutive token adds on
 * average (*mean, measured over all the routes). Same errors as sim_recordings_add(). */
SL_MUST_USE sl_status sim_routing_add(sim_recordings *r, const char *meta, const char *ids,
                                      sim_routing_shape shape, sim_drafter drafter, sim_union *mean,
                                      sl_error *err);

#endif

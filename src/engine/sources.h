/* sources.h - where the drafts of one request come from.
 *
 * The drafters that the request names, in its order, and what each proposes in this
 * iteration, in the policy's words. Which draft is verified, and whether one that takes time
 * is made at all, is the policy's choice (sluice_policy.h, slp_plan_offers()). */
#ifndef SL_SOURCES_H
#define SL_SOURCES_H

#include "engine/draft_model.h"
#include "runtime/memory.h"
#include "sluice/generate.h"
#include "sluice_policy.h"
#include "spec/drafter.h"

typedef struct sl__sources {
    int32_t n; /* 0: nothing is ever drafted                                             */
    sl__drafter *drafter[SL_SPEC_SOURCES_MAX];
    slp_controller *policy; /* asked by a draft model whether to go on                   */
    sl__draft_model *model; /* one of the drafters, or NULL                              */

    /* this iteration */
    sl__draft draft[SL_SPEC_SOURCES_MAX];
    sl__draft_node *nodes[SL_SPEC_SOURCES_MAX];       /* [draft_max]                     */
    slp_draft_node *shown_nodes[SL_SPEC_SOURCES_MAX]; /* [draft_max] as the policy sees them */
    slp_offer offer[SL_SPEC_SOURCES_MAX];
    int32_t chosen; /* by the policy                                                     */
} sl__sources;

/* What the drafters need to know of their request. */
typedef struct sl__sources_setting {
    const sl_generate_params *params;
    int32_t context; /* tokens of prompt and output, the newest included                 */
    int32_t vocab;
    int32_t draft_max;
    int32_t match_min;      /* shortest match to draft from                              */
    const sl_token *banned; /* [n_banned] what the sampler may not choose                */
    int32_t n_banned;
} sl__sources_setting;

/* Walked twice, as every plan (memory.h): measure, then hand out and begin. */
void sl__sources_plan(sl__sources *sources, const sl__sources_setting *setting, sl__plan *plan);

/* The text grew by tokens [n]. */
void sl__sources_observe(sl__sources *sources, const sl_token *tokens, int32_t n);

/* Drafters that compute do now what they put off. */
void sl__sources_follow(sl__sources *sources);

/* Have at most `max` tokens drafted and let the policy choose: its plan. The draft to verify
 * is nodes[chosen], draft[chosen]. */
slp_plan sl__sources_plan_draft(sl__sources *sources, int32_t max);

/* After the policy observed the iteration: hold the drafts that were not verified against
 * the tokens that came out, tokens [n]. */
void sl__sources_compare(sl__sources *sources, const sl_token *tokens, int32_t n);

#endif

/* sim_recording.h - recorded outputs, and what a drafter would have proposed in them.
 *
 * A recording is JSON lines with `task`, `prompt`, `output` and, for reports, `id`. Output
 * is given, so what a drafter proposes after each of its tokens, and how much of that would
 * have been accepted under greedy decoding, does not depend on the policy: it is worked out
 * once, and every policy is then a walk over numbers.
 *
 *     output   o0 o1 o2 o3 ...       o0 comes from the prompt's pass
 *     point i  the draft after o[i-1], judged against o[i] o[i+1] ...     i = 1 .. n - 1 */
#ifndef SIM_RECORDING_H
#define SIM_RECORDING_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "sim_vocab.h"

enum { SIM_DRAFT_MAX = 16 };

typedef struct sim_point {
    uint8_t drafted; /* nodes of the draft, 0 .. SIM_DRAFT_MAX      */
    uint8_t match;   /* tokens of context it rests on, at most 255  */
    uint8_t matched; /* of its nodes, how many came out as drafted  */
    uint8_t seen[SIM_DRAFT_MAX], agreed[SIM_DRAFT_MAX]; /* see sl__draft_node; at most 255 */
    /* Distinct experts per layer of a pass over the newest token and [K] drafted ones; all 0
     * where routes were not recorded (sim_routing.h). */
    float experts[SIM_DRAFT_MAX + 1];
} sim_point;

typedef struct sim_request {
    char *task, *id;
    int32_t prompt_tokens, output_tokens;
    sim_point *points; /* [output_tokens]; points[0] is unused */
} sim_request;

typedef struct sim_recordings {
    sim_request *requests;
    size_t n, room;
} sim_recordings;

/* Who drafts, from matches of one token on: prompt lookup (ngram.h, at most 5 tokens) or
 * what followed most often (suffix.h). */
typedef enum sim_drafter { SIM_NGRAM, SIM_SUFFIX } sim_drafter;

/* Append a file's recordings as drafted. SL_OK, or an error that names file and line; what
 * was read before stays. */
SL_MUST_USE sl_status sim_recordings_add(sim_recordings *r, const char *path, sim_vocab *vocab,
                                         sim_drafter drafter, sl_error *err);
/* Append one request given as arrays of token ids; the same errors, without a place. */
SL_MUST_USE sl_status sim_recordings_add_tokens(sim_recordings *r, const char *task, const char *id,
                                                const json_t *prompt, const json_t *output,
                                                sim_drafter drafter, sl_error *err);
void sim_recordings_free(sim_recordings *r);

/* The same order for the same seed, whatever files they came from. */
void sim_recordings_shuffle(sim_recordings *r, uint64_t seed);

#endif

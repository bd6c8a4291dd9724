/* sluice_policy.h - decide how far to speculate on a Mixture-of-Experts model,
 * and which experts a verification pass may touch.
 *
 * A library of pure functions and one small state machine: no allocation, no
 * clock, no I/O, no globals, no engine types. The host measures, the policy
 * decides. The same inputs always give the same decisions, so a recorded run
 * can be replayed in a unit test. C99 and C++ clean; needs no other library.
 *
 *     slp_plan plan = slp_next(ctl);          // before drafting
 *     ... draft at most plan.propose tokens ...
 *     plan = slp_plan_draft(ctl, &draft);     // how many of them are worth verifying
 *     ... verify the first plan.draft_tokens of them, time it ...
 *     slp_observe(ctl, &step);                // after verification
 *
 * Words. Iteration: draft, one pass of the target model, accept. K: tokens
 * drafted per iteration; K = 0 is plain decoding. ETR: tokens emitted per
 * iteration, accepted + 1. Cost: time of an iteration / time of a plain one.
 * Utility: ETR / cost, which is the speed-up over plain decoding.
 *
 * Threads: distinct controllers are independent; one controller is used by one
 * thread at a time. Every other function depends on its arguments alone.
 *
 * Sources: "Cascade" is arXiv 2506.20675 (utility-driven speculation), "MoE-Spec"
 * is arXiv 2602.16052 (expert budgeting). A default marked (?) is not stated by
 * the sources we had; the comment beside it says what we chose and why. */
#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* all of a shared library's symbols are here */
#endif

/* Declared limits. */
enum {
    SLP_DRAFT_TOKENS_MAX = 64,          /* largest draft_tokens_max                       */
    SLP_EXPERTS_MAX = 512,              /* largest number of routed experts per layer     */
    SLP_ROWS_MAX = 4096,                /* largest number of rows in a budgeted pass      */
    SLP_PLAIN_ITERATIONS_MAX = 16,      /* largest cascade.plain_iterations               */
    SLP_PHASE_ITERATIONS_MAX = 1 << 20, /* largest length of any phase, in iterations  */
    SLP_DRAFTERS_MAX = 4,               /* sources of drafts a controller tells apart     */
    SLP_CONTROLLER_BYTES_MAX = 16384,   /* every controller fits; for static buffers      */
    SLP_PRIOR_BYTES_MAX = 8192,         /* every prior fits                               */
    SLP_TRACE_LINE_MAX = 640            /* every trace line fits, terminating NUL included */
};

/* Longest time one part of an iteration can take, about 18 minutes. Longer times
 * are read as this, so that no sum of a long run overflows. */
#define SLP_STEP_NS_MAX ((uint64_t)1 << 40)

/* ---- status and errors -------------------------------------------------- */

/* Values are ABI: append, never renumber. */
typedef enum slp_status {
    SLP_OK = 0,
    SLP_E_ARG = -1,    /* an argument, or a number in a configuration, is out of range */
    SLP_E_FORMAT = -2, /* text does not parse                                         */
    SLP_E_SPACE = -3   /* the caller's buffer is too small                            */
} slp_status;

/* Details of a failure. Plain data owned by the caller; pass NULL when the code
 * is enough. On success: code SLP_OK, at 0, text empty. */
typedef struct slp_error {
    slp_status code;
    size_t at;      /* byte offset in the text that was parsed, else 0              */
    char text[160]; /* one line, English, no trailing period or newline             */
} slp_error;

/* ---- configuration ------------------------------------------------------ */

typedef enum slp_policy {
    SLP_POLICY_OFF = 0,     /* plain decoding                             */
    SLP_POLICY_STATIC = 1,  /* the same K in every iteration              */
    SLP_POLICY_CASCADE = 2, /* Cascade's controller, one per request     */
    SLP_POLICY_LEDGER = 3   /* row by row what pays, within a bound on loss */
} slp_policy;

enum { SLP_POLICIES = 4 };

/* Constants of the cascade controller (Cascade; the state machine is written
 * out at the top of cascade.c). */
typedef struct slp_cascade_config {
    /* Plain iterations that give t_plain, at the start and at each refresh:
     * 1 .. SLP_PLAIN_ITERATIONS_MAX. Default 4 (?): "the first few"; as many as
     * a trial has, so both sides of the ratio are equally noisy. */
    int32_t plain_iterations;

    /* A t_plain older than this many iterations is refreshed: in an off phase
     * from the latest plain times, otherwise by inserted plain iterations that
     * do not count towards the set phase (?): the paper gives no mechanism, this
     * one is free when off and unbiased when on. 0 = never. Default 100. */
    int32_t plain_refresh_iterations;

    /* K of the first trial ever, 1 .. ; lowered to draft_tokens_max if that is
     * less. Default 1 (?): the cheapest question to ask. */
    int32_t first_draft_tokens;

    /* Iterations per trial, 1 .. 64. Default 4. */
    int32_t trial_iterations;

    /* Trials per test phase, 1 .. 64. Default 4. 1 switches hill climbing off
     * (the paper's ablation): a test then only asks whether its first K pays. */
    int32_t trials_max;

    /* A trial with fewer non-empty drafts says nothing and ends the test,
     * 0 .. trial_iterations. Default 2 (?): ours; without it an n-gram drafter
     * that finds nothing would read as utility 1 at any K. */
    int32_t trial_drafts_min;

    /* From the second trial on, a utility that moved by at most this share of
     * the previous one, in thousandths, ends the test: 0 .. 1000. Default 100;
     * (?): the base of the percentage is the previous trial. */
    int32_t steady_permille;

    /* Distance between neighbouring K of the hill climb, 1 .. 64. Default 1 (?):
     * with up to four trials a larger step would skip the usual optimum of 1-4. */
    int32_t climb_step;

    /* S, iterations of a set phase: 1 .. SLP_PHASE_ITERATIONS_MAX. Default 16. */
    int32_t set_iterations;

    /* Each off phase is this many times as long as the one before, counted from
     * S and from S again once a K > 0 was chosen (reset (?)): 1 .. 16. Default 2.
     * 1 switches back-off off (the paper's ablation). */
    int32_t off_growth;

    /* Longest off phase, set_iterations .. SLP_PHASE_ITERATIONS_MAX. Default
     * 1024 (?): no cap is stated; this one bounds both the reaction time to a
     * change and the price of asking (4 test iterations in 1028). */
    int32_t off_iterations_max;

    /* 1: any trial below utility 1 ends the test and chooses K = 0; 0: only one
     * at K = 1 does. Default 0 (?): the paper's abstract can be read as either. */
    int32_t disable_at_any_k;
} slp_cascade_config;

/* The one promise of the ledger policy (ledger.c; the proof is in docs/policy.md). */
typedef struct slp_ledger_config {
    /* e: a request costs at most (1 + e) times plain decoding, in thousandths, and e of
     * a hundred plain iterations more: 0 .. 1000. Default 10. 0 is plain decoding. */
    int32_t loss_max_permille;
} slp_ledger_config;

typedef struct slp_config {
    slp_policy policy;
    int32_t draft_tokens_max;    /* never plan more, 0 .. SLP_DRAFT_TOKENS_MAX          */
    int32_t static_draft_tokens; /* K of SLP_POLICY_STATIC, 0 .. draft_tokens_max       */
    slp_cascade_config cascade;  /* read by SLP_POLICY_CASCADE, valid in every config   */
    slp_ledger_config ledger;    /* read by SLP_POLICY_LEDGER, likewise                 */
} slp_config;

/* Fill *cfg with the defaults: policy off, draft_tokens_max 7 (?: the largest K
 * the paper plots), static K 0, every other field as documented above. */
void slp_config_defaults(slp_config *cfg);

/* SLP_OK, or SLP_E_ARG with the offending field and its range in err->text. */
slp_status slp_config_check(const slp_config *cfg, slp_error *err);

/* Read a policy option, NUL-terminated, into *cfg:
 *
 *     off
 *     static:K                K in 0 .. cfg->draft_tokens_max
 *     cascade[:OPTION,...]    OPTION: no-back-off | no-hill-climb | disable-at-any-k
 *     ledger[:LOSS%]          LOSS: 0 .. 100 with at most one decimal, as in ledger:0.5%
 *
 * Sets policy, static_draft_tokens (static only) and the fields the options
 * name; everything else keeps its value, so set draft_tokens_max first.
 * SLP_E_FORMAT or SLP_E_ARG: *cfg unchanged, err says what was expected where. */
slp_status slp_policy_parse(const char *text, slp_config *cfg, slp_error *err);

/* "off", "static", "cascade", "ledger"; "?" for any other value. */
const char *slp_policy_name(slp_policy policy);

/* ---- controller --------------------------------------------------------- */

/* What an iteration is for. X(name, value, text); values are ABI. */
#define SLP_PHASE_MAP(X)                                                                           \
    X(SLP_PHASE_OFF, 0, "off")         /* plain: policy off, or Cascade's set phase at K = 0 */    \
    X(SLP_PHASE_STATIC, 1, "static")   /* policy static                                      */    \
    X(SLP_PHASE_START, 2, "start")     /* plain: t_plain is not known yet                    */    \
    X(SLP_PHASE_REFRESH, 3, "refresh") /* plain: t_plain is out of date                      */    \
    X(SLP_PHASE_TEST, 4, "test")       /* a trial of some K > 0                              */    \
    X(SLP_PHASE_SET, 5, "set")         /* the chosen K > 0 in use                            */    \
    X(SLP_PHASE_PLAIN, 6, "plain")     /* ledger: no row is verified                         */    \
    X(SLP_PHASE_PAY, 7, "pay")         /* ledger: rows that pay are verified                 */

/* Why the plan is what it is. X(name, value, short name, sentence). In the set
 * and off phases of cascade it is the rule that ended the test before. */
#define SLP_REASON_MAP(X)                                                                          \
    X(SLP_REASON_POLICY, 0, "policy", "the policy always plans this K")                            \
    X(SLP_REASON_PLAIN_UNKNOWN, 1, "plain-unknown", "measuring the time of a plain iteration")     \
    X(SLP_REASON_PLAIN_STALE, 2, "plain-stale", "measuring the time of a plain iteration again")   \
    X(SLP_REASON_FIRST, 3, "first", "nothing was tried yet: the first K")                          \
    X(SLP_REASON_BEST, 4, "best", "the K with the best latest utility")                            \
    X(SLP_REASON_UP, 5, "up", "climbing to a larger K")                                            \
    X(SLP_REASON_DOWN, 6, "down", "climbing to a smaller K")                                       \
    X(SLP_REASON_ONE_LOSES, 7, "one-loses", "K = 1 is slower than plain decoding")                 \
    X(SLP_REASON_ANY_LOSES, 8, "any-loses", "a K is slower than plain decoding")                   \
    X(SLP_REASON_STEADY, 9, "steady", "the utility hardly changed with K")                         \
    X(SLP_REASON_BRACKETED, 10, "bracketed", "the next K was tried already")                       \
    X(SLP_REASON_EDGE, 11, "edge", "the next K is outside 1 .. draft_tokens_max")                  \
    X(SLP_REASON_TRIALS_SPENT, 12, "trials-spent", "the test used all its trials")                 \
    X(SLP_REASON_NO_DRAFTS, 13, "no-drafts", "too few drafts to judge")                            \
    X(SLP_REASON_ASK, 14, "ask", "how many rows pay depends on the draft: slp_plan_draft()")       \
    X(SLP_REASON_NOTHING, 15, "nothing", "nothing was drafted")                                    \
    X(SLP_REASON_UNLIKELY, 16, "unlikely", "no row is likely enough to pay for itself")            \
    X(SLP_REASON_WORTH, 17, "worth", "these rows pay, one more would not")                         \
    X(SLP_REASON_ALL, 18, "all", "every drafted row pays")                                         \
    X(SLP_REASON_LEDGER, 19, "ledger", "more rows would pay, but the loss so far allows no more")  \
    X(SLP_REASON_SHARED, 20, "shared", "the rows of the pass were chosen for several requests")

typedef enum slp_phase {
#define X(name, value, text) name = (value),
    SLP_PHASE_MAP(X)
#undef X
} slp_phase;

typedef enum slp_reason {
#define X(name, value, text, sentence) name = (value),
    SLP_REASON_MAP(X)
#undef X
} slp_reason;

enum { SLP_PHASES = 8, SLP_REASONS = 21 }; /* how many there are */

/* Short names as traces spell them; "?" for values out of range. */
const char *slp_phase_name(slp_phase phase);
const char *slp_reason_name(slp_reason reason);
const char *slp_reason_text(slp_reason reason); /* the sentence */

/* The decision for one iteration. */
typedef struct slp_plan {
    int32_t draft_tokens; /* K: verify at most this many, 0 .. draft_tokens_max; 0 = plain */
    slp_phase phase;
    slp_reason reason;
    int32_t propose; /* have this many drafted, >= draft_tokens, where drafting is free;
                        more than draft_tokens only under ledger, which judges drafts    */
} slp_plan;

/* What a drafter says of one drafted token. Every field but the place in the chain is a
 * hint: 0 where the drafter does not know. */
typedef struct slp_draft_node {
    int32_t match;    /* tokens of context the draft rests on (prompt lookup, suffix), or 0   */
    int32_t seen;     /* earlier occurrences of the two tokens before this one, or 0          */
    int32_t agreed;   /* of those, how many went on with this token, 0 .. seen                */
    float confidence; /* (0, 1): the drafter's own chance, given its parent; read if match is
                         0. Any monotone scale will do: what it is worth is measured.         */
} slp_draft_node;

/* A chain: node i follows node i - 1, node 0 the newest token. */
typedef struct slp_draft {
    const slp_draft_node *nodes; /* [n_nodes], read during the call only           */
    int32_t n_nodes;             /* 0: nothing found                                */
    int32_t drafter;             /* who drafted, 0 .. SLP_DRAFTERS_MAX - 1          */
} slp_draft;

/* What one iteration did. Prompt evaluation is not an iteration. */
typedef struct slp_step {
    int32_t drafted;   /* tokens proposed and verified, 0 .. plan.draft_tokens; fewer than
                          planned is normal (nothing found, end of context)             */
    int32_t accepted;  /* of those, kept by verification, 0 .. drafted                    */
    int32_t emitted;   /* tokens the request grew by, 0 .. accepted + 1; less than
                          accepted + 1 only where the request ends                        */
    int32_t rows;      /* rows of the pass, > drafted; 0 = not counted. Recorded only     */
    int64_t experts;   /* distinct (layer, expert) pairs the pass read, >= 0; 0 = not
                          counted. Recorded only                                          */
    uint64_t draft_ns; /* drafting, including a drafter that keeps step while K = 0       */
    uint64_t pass_ns;  /* the target model's pass                                         */
    uint64_t other_ns; /* accepting, sampling, committing                                 */
    /* Shadow of the draft: its nodes after the verified ones, held against what came out.
     * When every verified node was accepted, the token after them shows whether the next
     * node was right: compared 1, matched 0 or 1. Exact evidence, and it costs nothing.
     * A host that leaves both at 0 loses what can be learnt while nothing is verified. */
    int32_t shadow_compared; /* 0 .. nodes of the draft - drafted; 0 unless accepted = drafted */
    int32_t shadow_matched;  /* 0 .. shadow_compared                                      */
} slp_step;

/* One request's state. Lives in caller memory, owns nothing. */
typedef struct slp_controller slp_controller;

/* Bytes a controller for cfg needs, at most SLP_CONTROLLER_BYTES_MAX; 0 if
 * slp_config_check() rejects cfg. */
size_t slp_controller_size(const slp_config *cfg);

/* Build a controller in mem[0 .. size), aligned to 8 bytes. cfg is copied.
 * NULL if cfg is invalid, size too small or mem misaligned. Nothing to free;
 * start a new request by calling it again. Copying the bytes to other memory
 * (aligned to 8) copies the controller. With draft_tokens_max 0 every policy is
 * plain decoding. */
slp_controller *slp_controller_init(void *mem, size_t size, const slp_config *cfg);

/* The plan of the coming iteration before anything is drafted. Pure: the same answer
 * until slp_observe() or slp_plan_draft(). */
slp_plan slp_next(const slp_controller *ctl);

/* The plan in the light of a draft. Ask once per iteration, after slp_next() and before
 * slp_observe(); asking again with another draft replaces the first. Verify the first
 * draft_tokens nodes, or all if there are fewer. Under ledger draft_tokens is at most
 * draft->n_nodes, and a host that never asks gets plain decoding; the other policies give
 * slp_next()'s plan whatever the draft. NULL or a draft out of range (n_nodes outside
 * 0 .. propose, drafter unknown) counts as empty. O(n_nodes * rows ever verified). */
slp_plan slp_plan_draft(slp_controller *ctl, const slp_draft *draft);

/* What one of several drafters has to offer. */
typedef struct slp_offer {
    slp_draft draft; /* paid and not made yet: empty                                        */
    int32_t paid;    /* 1: drafting takes time, so it waits until the policy asks for it; 0:
                        the rest is not read                                                */
    int32_t made;    /* 1: it was made in this iteration                                    */
    int32_t behind;  /* tokens it had or has to catch up with before, >= 0                  */
    uint64_t ns;     /* made: the time it took, catching up included                        */
} slp_offer;

typedef struct slp_choice {
    int32_t offer; /* the one whose first plan.draft_tokens nodes to verify               */
    int32_t ask;   /* 0, or: nothing is decided yet. Have that offer's draft made, of at most
                      this many tokens, and show all offers again                         */
} slp_choice;

/* slp_plan_draft() for several drafters: offers [n], the preferred one first, each of another
 * drafter. Ask again after each choice->ask. Ledger takes the draft that promises most, and
 * asks for a paid one where that has lately been worth its time, or where the loss allows to
 * find out (sources.c). The other policies take the first draft that is not empty, and ask
 * for a paid one when its turn comes. n outside 1 .. SLP_DRAFTERS_MAX counts as one empty
 * draft. */
slp_plan slp_plan_offers(slp_controller *ctl, const slp_offer *offers, int32_t n,
                         slp_choice *choice);

/* While a paid draft is being made: 1 if one more token after its nodes [n], 1 .., is worth
 * the time. The other policies always go on. */
int32_t slp_draft_goes_on(const slp_controller *ctl, int32_t drafter, const slp_draft_node *nodes,
                          int32_t n);

/* After slp_observe() of the iteration: a draft that was not verified, held against what came
 * out. compared nodes stand in places whose tokens are known and follow matched ones, 0 ..
 * n_nodes; the first matched were right, compared - 1 .. compared. Teaches ledger about
 * drafters it did not choose; everything else ignores it. */
void slp_observe_draft(slp_controller *ctl, const slp_draft *draft, int32_t compared,
                       int32_t matched);

/* ---- what earlier requests taught -------------------------------------------- */

/* Acceptance and cost as measured so far by requests under ledger: what a new request
 * begins with. Plain bytes without pointers, so it can be stored and loaded on a machine
 * of the same kind. One per model and machine. */
typedef struct slp_prior slp_prior;

/* An empty prior in mem[0 .. size), aligned to 8; NULL if size < slp_prior_size() (at
 * most SLP_PRIOR_BYTES_MAX) or misaligned. */
size_t slp_prior_size(void);
slp_prior *slp_prior_init(void *mem, size_t size);

/* Bytes from elsewhere as a prior, in place: NULL unless they are a sound one of this
 * version of the library. */
slp_prior *slp_prior_open(void *mem, size_t size);

/* Begin a request with what is known; call before its first slp_next(). NULL and policies
 * other than ledger: nothing happens. */
void slp_controller_use(slp_controller *ctl, const slp_prior *prior);

/* Add what a request learnt, once, at its end. Several requests may begin with one prior
 * and end in any order. */
void slp_prior_learn(slp_prior *prior, const slp_controller *ctl);

/* ---- after an iteration ------------------------------------------------------ */

/* Tell the controller what the planned iteration did.
 *
 * Times are clamped, never refused: each part to SLP_STEP_NS_MAX, and an
 * iteration that took 0 ns took 1. SLP_E_ARG if the counts contradict the plan
 * or each other (the ranges at slp_step); the controller is then unchanged but
 * for stats.refused, and slp_next() repeats its plan. O(draft_tokens_max). */
slp_status slp_observe(slp_controller *ctl, const slp_step *step);

/* Sums over the request so far, refused steps left out. */
typedef struct slp_stats {
    int64_t iterations;
    int64_t phase_iterations[SLP_PHASES]; /* how they were spent; sum = iterations         */
    uint64_t phase_ns[SLP_PHASES];        /* draft + pass + other                          */
    int64_t emitted;
    int64_t drafted;
    int64_t accepted;
    int64_t refused;          /* calls of slp_observe() that returned SLP_E_ARG              */
    int64_t tests;            /* test phases begun                                           */
    int64_t trials;           /* trials completed                                            */
    double plain_ns;          /* t_plain in use: pass + other of a plain iteration; 0 = unknown */
    double utility_step;      /* of the latest iteration; 0 = unknown                        */
    double utility_trial;     /* of the latest trial that had enough drafts; 0 = none        */
    double utility_mean;      /* of all iterations planned with K > 0 while t_plain was known:
                                 tokens / sum(time / t_plain); 0 = none                      */
    int32_t set_draft_tokens; /* K of the current set or off phase, or of the last one     */
    int32_t set_iterations;   /* S of that phase; 0 before the first                       */
    /* ledger only, else 0 */
    double loss_ns;         /* the ledger: time spent beyond tokens * t_plain on iterations
                               that verified rows; negative: gained                       */
    double loss_max_ns;     /* no row is verified that could take the loss above this     */
    double expected_tokens; /* what the latest plan promised: tokens ...                  */
    double expected_ns;     /* ... in this time; 0 = t_plain unknown                      */
    double stutter_ns;      /* time of passes far beyond what their rows cost: the machine's,
                               and not in loss_ns                                         */
} slp_stats;

void slp_controller_stats(const slp_controller *ctl, slp_stats *out);

/* ---- several requests in one pass ------------------------------------------- */

enum {
    SLP_POOL_REQUESTS_MAX = 64,     /* requests in one pass                           */
    SLP_POOL_NODES_MAX = 512,       /* drafted nodes of all of them                   */
    SLP_POOL_EXPERT_WORDS_MAX = 512 /* 64 (layer, expert) pairs each                  */
};

/* A request in the pass: its root, the newest token, always has a row. */
typedef struct slp_pool_request {
    double room_ns;          /* most extra time this request may lose should nothing be
                                accepted: slp_pool_room()                                 */
    const uint64_t *experts; /* [expert_words] bit per (layer, expert) its root will read,
                                or NULL: not known                                       */
} slp_pool_request;

/* A drafted node of one of the requests. */
typedef struct slp_pool_node {
    int32_t request;         /* whose                                                        */
    int32_t parent;          /* an earlier node of the same request, or -1: its root           */
    double chance;           /* that it is right if its parent is, 0 .. 1: slp_draft_chances() */
    const uint64_t *experts; /* [expert_words] as above: a prediction, or NULL           */
} slp_pool_node;

typedef struct slp_pool {
    const slp_pool_request *requests; /* [n_requests] 1 .. SLP_POOL_REQUESTS_MAX           */
    const slp_pool_node *nodes;       /* [n_nodes] 0 .. SLP_POOL_NODES_MAX                 */
    int32_t n_requests, n_nodes;
    const double *row_ns; /* [n_requests + n_nodes + 1] time of a pass by rows, without what
                             expert_ns counts; ascending, [n_requests] > 0               */
    double expert_ns;     /* of one more distinct (layer, expert); 0: rows say it all      */
    int32_t expert_words; /* 0 .. SLP_POOL_EXPERT_WORDS_MAX                              */
} slp_pool;

typedef struct slp_pool_report {
    double tokens;   /* expected beyond one per request                              */
    int32_t rows;    /* roots and chosen nodes                                       */
    double pass_ns;  /* of the pass as chosen                                        */
    double plain_ns; /* of a pass over the roots alone                               */
} slp_pool_report;

/* Choose the nodes of all requests that are worth their rows together: those that maximise
 * expected tokens minus what plain decoding of the same requests would emit in the extra time,
 * among sets whose extra time no request lacks the room for. Experts that the roots read anyway
 * are sunk cost. chosen [n_nodes] is written: 1 = verify; a chosen node's parent is chosen.
 * report (nullable) is written. SLP_E_ARG: a number is out of range, nothing written.
 * Without experts the optimum, else a greedy choice. O(n_nodes^2 * expert_words); about 9 KB
 * of stack. Source: the rule follows MoE cost models as in Cascade, section 3, over the rows of a
 * whole batch; the choice is ours (pool.c). */
slp_status slp_pool_plan(const slp_pool *pool, uint8_t *chosen, slp_pool_report *report);

/* Chances of the nodes of the draft that was last given to slp_plan_draft(), each given those
 * before it: chance [] is written, at most SLP_DRAFT_TOKENS_MAX; returns how many. 0 under
 * policies other than ledger and before the first draft. */
int32_t slp_draft_chances(const slp_controller *ctl, double *chance);

/* How much longer than plain_ns, the time of a pass over the roots alone, this request's next
 * pass may take, in ns: what its ledger has left, or 1e300 under policies without one. */
double slp_pool_room(const slp_controller *ctl, double plain_ns);

/* A request's part in a shared pass. */
typedef struct slp_grant {
    int32_t draft_tokens; /* K: how many nodes of its draft got a row                     */
    double pass_ns;       /* expected of the whole pass, >= plain_ns                      */
    double plain_ns;      /* of a pass over the roots alone, > 0                          */
} slp_grant;

/* The coming iteration is part of a shared pass. Call between slp_plan_draft() and
 * slp_observe(), and report the time of the whole pass there.
 *
 * Under ledger slp_next() is then the grant: the first draft_tokens nodes, whatever was planned
 * before. plain_ns is this iteration's t_plain, and a pass longer than that is charged even
 * where K = 0: a request waits for the others' rows as well. So the bound of docs/policy.md holds
 * for a request that shares some passes or all, if pass_ns - plain_ns is within slp_pool_room().
 * The cost of its own rows is not learnt from a pass it shares.
 *
 * Under other policies the plan stays, and fewer rows than planned are always allowed.
 *
 * SLP_E_ARG, nothing changed: times out of order or over 3 SLP_STEP_NS_MAX, or draft_tokens
 * outside 0 .. n; n is the nodes of the draft last shown under ledger, else the planned
 * draft_tokens. slp_replay() cannot follow a request that shared a pass. */
slp_status slp_plan_grant(slp_controller *ctl, const slp_grant *grant);

/* ---- expert budget ------------------------------------------------------ */

typedef enum slp_budget_mode {
    SLP_BUDGET_OFF = 0,        /* every expert is allowed: exact routing                  */
    SLP_BUDGET_SUBSTITUTE = 1, /* a row takes its top k among the allowed experts         */
    SLP_BUDGET_TRUNCATE = 2    /* a row keeps those of its own top k that are allowed     */
} slp_budget_mode;

typedef struct slp_budget {
    slp_budget_mode mode;
    int32_t experts; /* B, experts allowed per layer and pass, k .. experts; unread if off */
} slp_budget;

/* Read a budget option, NUL-terminated, for a model with `experts` routed
 * experts per layer of which a row takes `experts_per_token`:
 *
 *     off
 *     moespec:B[,substitute|truncate]   B in experts_per_token .. experts;
 *                                       substitute if neither is named
 *
 * SLP_E_FORMAT or SLP_E_ARG: *budget unchanged, err says what was expected. */
slp_status slp_budget_parse(const char *text, int32_t experts, int32_t experts_per_token,
                            slp_budget *budget, slp_error *err);

/* What a selection cost. "Exact" is each row's own top k, as without a budget. */
typedef struct slp_budget_report {
    double mass_kept;     /* sum of P[t][e] over rows t and their exact experts e that are
                             allowed / the same sum over all exact experts; 1 if that is 0  */
    int32_t union_before; /* distinct experts over all rows' exact selections               */
    int32_t union_after;  /* distinct experts over all rows' selections                     */
    int32_t flips;        /* exact (row, expert) choices that are not allowed               */
    int32_t rows_flipped; /* rows with at least one of those                                */
    double mass_allowed;  /* share of all router probability that lies in S, the paper's
                             "mass"; 1 if there is none                                     */
} slp_budget_report;

/* Choose the experts of one layer in one verification pass (MoE-Spec, method).
 *
 *   probs     [rows][experts]  router softmax over all routed experts, >= 0, finite
 *   weights   [rows] or NULL   weight of each row in the ranking, >= 0; NULL = all 1 as
 *                              in the paper; 0 for the root leaves it out (?: whether the
 *                              paper counts the root is not stated)
 *   allowed   [experts]        written: 1 = in the set S, 0 = not
 *   selected  [rows][k]        written: expert ids by descending probability of the row;
 *                              truncate keeps the slots of the exact top k and writes -1
 *                              for a dropped one
 *   report    or NULL          written
 *
 * S holds the B experts with the largest s[e] = sum over t of weights[t] P[t][e],
 * added in double in row order. Every tie, in S and in a row, goes to the lower
 * index. How a row's weights follow from `selected` (renormalise or not) is the
 * model's rule and stays in the engine; so do shared experts, outside any budget.
 *
 * Two invariants: one row (weight > 0) selects its exact top k for any B >= k, and
 * B = experts selects everyone's exact top k.
 *
 * SLP_E_ARG with nothing written unless 1 <= k <= B <= experts <= SLP_EXPERTS_MAX
 * and 1 <= rows <= SLP_ROWS_MAX. NaN in probs: some valid selection, no more.
 * About 14 KiB of stack, no allocation. Close to one comparison per probability:
 * 64 rows of 128 experts, k = 8, B = 32 take 35 us (one thread of an AMD EPYC VM,
 * gcc 12 -O2, mean of 2000 calls). */
slp_status slp_moespec_select(const float *probs, const float *weights, int32_t rows,
                              int32_t experts, int32_t k, slp_budget budget, uint8_t *allowed,
                              int32_t *selected, slp_budget_report *report);

/* ---- trace and replay --------------------------------------------------- */

/* A trace is text, one line per iteration after one header line with the whole
 * configuration, each line made of key=value fields in a fixed order. Numbers are
 * written and read without regard to the locale.
 *
 *     slp-trace 3 policy=cascade draft_tokens_max=7 ...
 *     i=0 k=0 phase=start reason=plain-unknown drafted=0 ... utility=- ... nodes=-
 *
 * The host formats a record after each accepted slp_observe() and writes the
 * line where it likes; no function here ends a line or reads a file. */
typedef struct slp_trace_record {
    int64_t iteration; /* 0, 1, 2, ... within the request              */
    slp_plan plan;
    slp_step step;
    uint64_t plain_ns;                    /* t_plain after the step, rounded; 0 = unknown */
    double utility;                       /* stats.utility_step, to 1/1000; 0 = unknown   */
    int32_t drafter;                      /* ledger: who drafted                          */
    char nodes[SLP_DRAFT_TOKENS_MAX + 1]; /* ledger: the draft, one letter per node for all the
                          policy knows of it (acceptance.c), terminated */
    uint64_t paid_ns; /* ledger: of step.draft_ns, making drafts that were asked for   */
} slp_trace_record;

/* Write one line, NUL-terminated, without newline, to out[0 .. size); *length
 * (nullable) gets its length. SLP_E_SPACE, and out empty if size > 0, if it does
 * not fit; SLP_TRACE_LINE_MAX always does. SLP_E_ARG likewise for values that no
 * controller produces (enums out of range, negative counts, utility not finite). */
slp_status slp_trace_format_header(char *out, size_t size, const slp_config *cfg, size_t *length);
slp_status slp_trace_format_record(char *out, size_t size, const slp_trace_record *record,
                                   size_t *length);

/* The record of the iteration that slp_observe() has just accepted: plan as it
 * was before that call, step as it was passed. */
slp_trace_record slp_trace_record_of(const slp_controller *ctl, const slp_plan *plan,
                                     const slp_step *step);

/* Read one line of `length` bytes, without newline, need not be NUL-terminated.
 * SLP_E_FORMAT: *cfg or *record unchanged, err->at is the offset in the line.
 * A header is also checked with slp_config_check(), SLP_E_ARG. */
slp_status slp_trace_parse_header(const char *line, size_t length, slp_config *cfg, slp_error *err);
slp_status slp_trace_parse_record(const char *line, size_t length, slp_trace_record *record,
                                  slp_error *err);

typedef struct slp_replay_report {
    int64_t iterations; /* records read and compared                                    */
    int64_t mismatch;   /* index of the first record whose decision differs, or -1      */
    slp_plan recorded;  /* of that record; of the last one if none differs              */
    slp_plan replayed;  /* what the fresh controller decided there                      */
} slp_replay_report;

/* Feed a whole trace of a request that began without a prior and had one drafter (with several, a
 * record names the one that was chosen, and what the others taught is not in it) (header line,
 * record lines, '\n' or
 * "\r\n" between them, a final one or none) to a fresh controller of the recorded configuration and
 * compare K, phase and reason of every iteration; stops at the first difference.
 * SLP_OK whether they differ or not: report->mismatch tells. SLP_E_FORMAT or
 * SLP_E_ARG: the text is no trace, err->at is the offset in text, *report covers
 * what came before. */
slp_status slp_replay(const char *text, size_t size, slp_replay_report *report, slp_error *err);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* SLUICE_POLICY_H */

/* ledger_constants.h - every number in the ledger that was chosen and not derived.
 *
 * Read as slp__k.NAME. A build with SLP__TUNABLE leaves them to whoever defines slp__k:
 * tests/policy/test_sensitivity.c halves and doubles each (docs/policy.md, section 7). Numbers
 * of drafters that take time are in sources.c. Internal. */
#ifndef SLUICE_POLICY_LEDGER_CONSTANTS_H
#define SLUICE_POLICY_LEDGER_CONSTANTS_H

/* X(name, value). Weights are in trials or passes; what is forgotten is a share of the
 * evidence, per trial: 0.03 remembers about 33. */
#define SLP__CONSTANTS_MAP(X)                                                                      \
    /* acceptance.c */                                                                             \
    X(built_in_weight, 8)    /* of the built-in chance in the pool                       */        \
    X(pool_trials_max, 4000) /* remembered by the pool, of a kind                        */        \
    X(shift_step, 2)         /* between the odds of neighbouring shifts                  */        \
    X(shift_tail, 0.15)      /* chance of a shift against the next smaller one's         */        \
    X(shift_redraw, 0.03)    /* chance per trial that the text changes its nature        */        \
    X(shifted_weight, 10)    /* of the shifted pool in a kind's own chance               */        \
    X(own_forget, 0.04)      /* of a kind's own evidence                                 */        \
    /* How far below its mean an uncertain chance is taken, in standard deviations. An argmax      \
     * over estimates favours the overestimated: without this the gain is 3% smaller, and the      \
     * worst requests lose most. */                                                                \
    X(pessimism, 0.8)                                                                              \
    /* cost.c */                                                                                   \
    X(shape_passes, 1)  /* weight of "as the shape says"                                 */        \
    X(mean_passes, 0.5) /* weight of the mean correction at a number of rows             */        \
    X(passes_max, 48)   /* what is remembered                                            */        \
    X(nearness, 8)      /* how fast neighbours lose their say                            */        \
    /* ledger.c */                                                                                 \
    X(plain_age_max, 64) /* iterations: a fresh t_plain costs one draft, 1-2% of them    */        \
    X(grace_tokens, 100) /* e of this many tokens may be lost at once                    */

typedef struct slp__constants {
#define X(name, value) double name;
    SLP__CONSTANTS_MAP(X)
#undef X
} slp__constants;

#ifdef SLP__TUNABLE
extern slp__constants slp__k;
#else
static const slp__constants slp__k = {
#define X(name, value) value,
    SLP__CONSTANTS_MAP(X)
#undef X
};
#endif

#endif /* SLUICE_POLICY_LEDGER_CONSTANTS_H */

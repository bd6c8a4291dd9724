/* acceptance.c - how likely is a drafted token to be right?
 *
 * Nodes are sorted into kinds, by what their drafter says of them and by depth. A chance is
 * built in four steps, each a correction of the one before (docs/policy.md, section 3):
 *
 *     built in  --(earlier requests saw)-->  pool  --(this request is easier or harder)-->
 *     shifted  --(this request saw, at this kind)-->  own  --(what is not known)-->  chance
 *
 * Evidence fades at every level, so that a text that changes its nature is followed.
 * Odds are shifted by products; nothing here needs a logarithm. */
#include "ledger_constants.h"
#include "ledger_parts.h"

/* Of a paid drafter's next token, before anything was seen: half a chance would never be
 * tried. */
static const double mean_built_in = 0.7, mean_weight = 4;

/* ---- kinds --------------------------------------------------------------------------- */

/* How the earlier occurrences of the two tokens before a node went on. */
enum { UNSEEN, NEVER, FEW, MOST, ONCE, ALWAYS, AGREEMENTS };

static int32_t agreement(int32_t seen, int32_t agreed) {
    if (seen <= 0) return UNSEEN;
    if (agreed <= 0) return NEVER;
    if (agreed >= seen) return seen == 1 ? ONCE : ALWAYS;
    return agreed > seen - agreed ? MOST : FEW;
}

uint8_t slp__node_class(const slp_draft_node *node) {
    if (node->match > 0) {
        const int32_t length = node->match < 5 ? node->match - 1 : 4;
        return (uint8_t)(AGREEMENTS * length + agreement(node->seen, node->agreed));
    }
    /* A drafter with chances of its own: what they are worth is measured too. */
    const float c = node->confidence;
    if (!(c > 0)) return 0;
    return (uint8_t)(c < 1 ? (int32_t)(c * SLP__CLASSES) : SLP__CLASSES - 1);
}

/* Before anything was seen: a rough guess from the kind alone, right to about 0.15 on
 * recorded outputs. It serves the first few hundred tokens of a model's life. */
static double built_in(int32_t kind) {
    static const double at_one[AGREEMENTS] = {0.25, 0.15, 0.25, 0.5, 0.4, 0.7};
    const double low = at_one[kind % AGREEMENTS];
    const int32_t longer = kind / AGREEMENTS; /* 0 .. 4 tokens of match beyond one */
    return low + (0.95 - low) * longer / (longer + 4);
}

static int32_t depth_bucket(int32_t depth) {
    if (depth < 4) return depth;
    return depth < 6 ? 4 : 5;
}

/* ---- what earlier requests saw -------------------------------------------------------- */

static double square_root(double x) {
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 12; i++) /* from above: halves until close, then doubles its digits */
        r = 0.5 * (r + x / r);
    return r;
}

static double pooled(const slp__ledger *l, int32_t drafter, int32_t kind, int32_t depth) {
    const slp__cell *c = &l->pool.cell[drafter][kind][depth_bucket(depth)];
    const double p = ((double)c->hits + slp__k.built_in_weight * built_in(kind)) /
                     ((double)c->trials + slp__k.built_in_weight);
    return p < 0.01 ? 0.01 : p > 0.995 ? 0.995 : p;
}

/* ---- this request against the others ---------------------------------------------------- */

/* A filter over a hidden state, the shift: before anything was seen large ones are unlikely,
 * each outcome weighs them by how likely they made it, and now and then the state is drawn
 * anew. A copy is recognised after a few hits, which a running mean shrunk to the usual
 * is not made for. */

static double usual_belief(int32_t i) {
    const int32_t middle = SLP__SHIFTS / 2;
    double belief = (1 - slp__k.shift_tail) / (1 + slp__k.shift_tail); /* of an endless row */
    for (int32_t d = i < middle ? middle - i : i - middle; d > 0; d--)
        belief *= slp__k.shift_tail;
    return belief;
}

/* out [SLP__SHIFTS]: a chance under each shift. */
static void under_each_shift(double chance, double *out) {
    double odds = chance / (1 - chance);
    for (int32_t i = 0; i < SLP__SHIFTS / 2; i++)
        odds /= slp__k.shift_step;
    for (int32_t i = 0; i < SLP__SHIFTS; i++, odds *= slp__k.shift_step)
        out[i] = odds / (1 + odds);
}

void slp__shift_init(slp__shift *s) {
    for (int32_t i = 0; i < SLP__SHIFTS; i++)
        s->belief[i] = usual_belief(i);
}

static double shifted(const slp__shift *s, double chance) {
    double under[SLP__SHIFTS], mean = 0, sum = 0;
    under_each_shift(chance, under);
    for (int32_t i = 0; i < SLP__SHIFTS; i++) {
        mean += s->belief[i] * under[i];
        sum += s->belief[i];
    }
    return mean / sum;
}

static void shift_learn(slp__shift *s, double chance, int right) {
    double under[SLP__SHIFTS], sum = 0;
    under_each_shift(chance, under);
    for (int32_t i = 0; i < SLP__SHIFTS; i++) {
        s->belief[i] *= right ? under[i] : 1 - under[i];
        sum += s->belief[i];
    }
    for (int32_t i = 0; i < SLP__SHIFTS; i++)
        s->belief[i] =
            (1 - slp__k.shift_redraw) * s->belief[i] / sum + slp__k.shift_redraw * usual_belief(i);
}

/* ---- a node's chance --------------------------------------------------------------------- */

double slp__accept_chance(const slp__ledger *l, int32_t drafter, int32_t kind, int32_t depth) {
    const slp__cell *c = &l->mine.cell[drafter][kind][depth_bucket(depth)];
    const double usual = shifted(&l->shift, pooled(l, drafter, kind, depth));
    const double trials = (double)c->trials + slp__k.shifted_weight;
    const double own = ((double)c->hits + slp__k.shifted_weight * usual) / trials;
    const double chance = own - slp__k.pessimism * square_root(own * (1 - own) / trials);
    return chance > 0 ? chance : 0;
}

double slp__accept_mean(const slp__ledger *l, int32_t drafter, int32_t depth) {
    const int32_t bucket = depth_bucket(depth);
    double hits = mean_weight * mean_built_in, trials = mean_weight;
    for (int32_t kind = 0; kind < SLP__CLASSES; kind++) {
        const slp__cell *pool = &l->pool.cell[drafter][kind][bucket];
        const slp__cell *mine = &l->mine.cell[drafter][kind][bucket];
        hits += (double)pool->hits + (double)mine->hits;
        trials += (double)pool->trials + (double)mine->trials;
    }
    return hits / trials;
}

/* ---- evidence ------------------------------------------------------------------------ */

void slp__accept_learn(slp__ledger *l, int32_t drafter, int32_t kind, int32_t depth, int right) {
    slp__cell *c = &l->mine.cell[drafter][kind][depth_bucket(depth)];
    const float own_keep = (float)(1 - slp__k.own_forget);
    shift_learn(&l->shift, pooled(l, drafter, kind, depth), right);
    c->hits = c->hits * own_keep + (right ? 1.0f : 0.0f);
    c->trials = c->trials * own_keep + 1.0f;
}

void slp__accept_merge(slp__accept *all, const slp__accept *request) {
    for (int32_t d = 0; d < SLP_DRAFTERS_MAX; d++)
        for (int32_t kind = 0; kind < SLP__CLASSES; kind++)
            for (int32_t i = 0; i < SLP__DEPTHS; i++) {
                slp__cell *to = &all->cell[d][kind][i];
                const slp__cell *from = &request->cell[d][kind][i];
                const double trials = (double)to->trials + (double)from->trials;
                const double keep =
                    trials > slp__k.pool_trials_max ? slp__k.pool_trials_max / trials : 1;
                to->hits = (float)(((double)to->hits + (double)from->hits) * keep);
                to->trials = (float)(trials * keep);
            }
}

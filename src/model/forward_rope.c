/* forward_rope.c - rotary positions: how far each pair of dimensions turns, and turning.
 *
 *     pair i of n / 2 turns by position * frequency[i],   frequency[i] = base^(-2i / n)
 *
 * Models stretched beyond their first context scale the frequencies:
 *     factors    frequency[i] / factors[i]                    (Llama 3, in rope_freqs.weight)
 *     linear     frequency[i] / factor
 *     yarn       between the two: pairs that turn often within the original context stay,
 *                slow ones are scaled, linear in i between; cosines and sines grow by
 *                1 + 0.1 ln factor (Peng et al., arXiv 2309.00071, sections 3.2 to 3.4)
 *     longrope   factors too, one set for contexts up to the original one, one beyond.
 *                The session's context decides, not the text's length so far: a row's bits
 *                must not depend on what comes later. */
#include <math.h>

#include "model/forward_private.h"

#define TWO_PI 6.283185307179586476925

/* The pair that turns `turns` times within the original context. */
static double yarn_pair(const sl__forward *f, double turns) {
    const sl_model_facts *facts = &f->model->facts;
    return facts->rope_dims * log((double)f->model->switches.rope_context / (turns * TWO_PI)) /
           (2 * log((double)facts->rope_base));
}

/* 1 for pairs that keep their frequency, 0 for those that are scaled. */
static double yarn_share(const sl__forward *f, int32_t i) {
    const sl__switches *s = &f->model->switches;
    const double low = fmax(0, floor(yarn_pair(f, (double)s->yarn_fast)));
    const double high =
        fmin(f->model->facts.rope_dims - 1, ceil(yarn_pair(f, (double)s->yarn_slow)));
    const double ramp = (i - low) / fmax(0.001, high - low);
    return 1 - fmin(1, fmax(0, ramp));
}

bool sl__forward_is_long(const sl__forward *f) {
    return f->model->rope_factors_long && f->limits.context > f->model->switches.rope_context;
}

static void fill_frequencies(sl__forward *f) {
    const sl_model *m = f->model;
    const sl__switches *s = &m->switches;
    const int32_t n = m->facts.rope_dims;
    const double factor = (double)s->rope_factor;
    const float *divisors = m->rope_factors;
    if (m->rope_factors_long)
        divisors = sl__forward_is_long(f) ? m->rope_factors_long : m->rope_factors_short;
    f->rope_amplitude = (double)s->rope_amplitude;
    if (s->rope_scaling == SL_ROPE_YARN) f->rope_amplitude *= 1 + 0.1 * log(factor);
    for (int32_t i = 0; i < n / 2; i++) {
        double turn = pow((double)m->facts.rope_base, -2.0 * i / n);
        if (divisors) turn /= (double)divisors[i];
        if (s->rope_scaling == SL_ROPE_LINEAR) turn /= factor;
        if (s->rope_scaling == SL_ROPE_YARN) {
            const double keep = yarn_share(f, i);
            turn = turn * keep + turn / factor * (1 - keep);
        }
        f->rope_frequency[i] = turn;
    }
}

void sl__rope_plan(sl__forward *f, sl__plan *plan) {
    const size_t dims = (size_t)f->model->facts.rope_dims;
    f->rope = sl__plan_take(plan, (size_t)f->limits.rows_max * dims, sizeof *f->rope);
    f->rope_frequency = sl__plan_take(plan, dims / 2, sizeof *f->rope_frequency);
    if (f->rope_frequency) fill_frequencies(f);
}

void sl__rope_row(sl__forward *f, int32_t r) {
    const int32_t pairs = f->model->facts.rope_dims / 2;
    float *rope = f->rope + (size_t)r * 2 * (size_t)pairs;
    for (int32_t i = 0; i < pairs; i++) {
        const double angle = (double)f->pass->rows[r].position * f->rope_frequency[i];
        rope[i] = (float)(cos(angle) * f->rope_amplitude);
        rope[pairs + i] = (float)(sin(angle) * f->rope_amplitude);
    }
}

static void turn_halves(float *head, const float *rope, int32_t pairs, float scale) {
    for (int32_t i = 0; i < pairs; i++) {
        const float a = head[i], b = head[pairs + i];
        head[i] = (a * rope[i] - b * rope[pairs + i]) * scale;
        head[pairs + i] = (b * rope[i] + a * rope[pairs + i]) * scale;
    }
}

static void turn_neighbours(float *head, const float *rope, int32_t pairs, float scale) {
    for (int32_t i = 0; i < pairs; i++) {
        const float a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = (a * rope[i] - b * rope[pairs + i]) * scale;
        head[2 * i + 1] = (b * rope[i] + a * rope[pairs + i]) * scale;
    }
}

void sl__rope_turn(const sl__forward *f, int32_t r, float *head, float scale) {
    const sl_model_facts *facts = &f->model->facts;
    const float *rope = f->rope + (size_t)r * (size_t)facts->rope_dims;
    if (f->model->switches.rope_pairs == SL_ROPE_HALVES)
        turn_halves(head, rope, facts->rope_dims / 2, scale);
    else
        turn_neighbours(head, rope, facts->rope_dims / 2, scale);
    for (int32_t i = facts->rope_dims; i < facts->head_dim; i++)
        head[i] *= scale;
}

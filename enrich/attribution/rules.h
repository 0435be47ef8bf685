/*
 * The rule models: pure functions from a path to the weights of its touches.
 *
 * Weights are integers in a unit of their own, so that shares follow exactly and alike on every
 * machine. Source: ATTRIBUTION, "Rule models".
 */
#pragma once

#include "schemas/bytes.h"
#include "schemas/conversion.avro.h" /* enum rule_model */

/* What the models ask of a touch. */
struct rule_touch {
    int64_t touched_at; /* micros */
    bool direct;        /* came without campaign or referrer */
};

/* Parts of a position model; whole numbers in any unit, not all zero, each at most 1000. */
struct rule_position {
    uint32_t first;
    uint32_t middle; /* shared by all touches between */
    uint32_t last;
};

struct rule_config {
    int64_t half_life_micros; /* of time_decay; over 0 */
    struct rule_position position;
    struct rule_position j_shape;
    struct rule_position inverse_j;
};

/* Half-life 7 d; 40/20/40, 20/20/60, 60/20/20. */
struct rule_config rule_config_default(void);

/* Most touches of a path: five models give each a credit, and a record holds 65,536 of them. */
#define RULE_TOUCHES_MAX ((size_t)10000)

/*
 * Weights of a path in time order, 1 to RULE_TOUCHES_MAX touches: their sum is over 0 and below
 * 2^64. `model` is any but unknown.
 *
 *   first, last       all to that touch
 *   last_non_direct   the last that is not direct; all direct: the last
 *   linear            each alike
 *   time_decay        2^(-age/half-life), age against the newest touch (the conversion's time
 *                     cancels), to a relative 2^-40; a touch of 41 half-lives weighs nothing
 *   position ...      two touches: without the middle
 */
void rule_weights(enum rule_model model, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, uint64_t *weights);

/* 2^(-age/half_life) in units of 2^-40, rounded to nearest within one unit; integers only. age is
 * not negative, half_life over 0. */
uint64_t rule_decay(uint64_t age, uint64_t half_life);
#define RULE_DECAY_ONE ((uint64_t)1 << 40)

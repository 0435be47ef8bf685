/*
 * The rule models: pure functions from a path to the weights of its touches.
 *
 * Weights are integers in a unit of their own, so that shares follow exactly and alike on every
 * machine. Source: ATTRIBUTION, "Rule models".
 */
#pragma once

#include "schemas/bytes.h"
#include "schemas/conversion.avro.h" /* enum rule_model */

/* What was reached through a touch; as PathTouch has it. */
#define RULE_TOUCH_LEAD 1u
#define RULE_TOUCH_OPPORTUNITY 2u

/* What the models ask of a touch. */
struct rule_touch {
    int64_t touched_at; /* micros */
    bool direct;        /* came without campaign or referrer */
    uint32_t milestones;
    uint32_t channel; /* a number */
};

/* Models below this one are always credited by; others, and these with other parameters, where the
 * configuration has them. */
#define RULE_MODEL_CONFIGURED RULE_MODEL_W_SHAPE

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
    struct rule_position custom;
};

/* Half-life 7 d; 40/20/40, 20/20/60, 60/20/20; custom 1/1/1. */
struct rule_config rule_config_default(void);

/* Most touches of a path: five models give each a credit, and a record holds so many of them. */
#define RULE_TOUCHES_MAX ((size_t)10000)
#define RULE_CREDITS_MAX ((size_t)65536)

/* Whether the model may give every touch of a path a credit. */
bool rule_shares(enum rule_model model);

/*
 * Weights of a path in time order, 1 to RULE_TOUCHES_MAX touches: their sum is over 0 and below
 * 2^64. `model` is any but unknown and participation, which has no weights that sum.
 *
 *   first, last       all to that touch
 *   last_non_direct   the last that is not direct; all direct: the last
 *   linear            each alike
 *   time_decay        2^(-age/half-life), age against the newest touch (the conversion's time
 *                     cancels), to a relative 2^-50; a touch of 51 half-lives weighs nothing
 *   position ...      two touches: without the middle
 *   w_shape           30 % each to the first, to the first through which a lead and the first
 *                     through which an opportunity was reached; 10 % shared by the others. Parts of
 *                     one touch add up, absent ones are dropped
 *   full_path         22.5 % each to those and to the last, 10 % shared by the others
 */
void rule_weights(enum rule_model model, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, uint64_t *weights);

/* 2^(-age/half_life) in units of 2^-50, rounded to nearest within one unit; integers only. age is
 * not negative, half_life over 0. */
uint64_t rule_decay(uint64_t age, uint64_t half_life);
#define RULE_DECAY_ONE ((uint64_t)1 << 50)

/*
 * Rule models as parts of one, for reports over paths of others: the pipeline itself credits in
 * integers (rules.h). Source: ATTRIBUTION, "Rule models".
 */
#pragma once

#include "enrich/attribution/sum.h"
#include "schemas/bytes.h"

enum path_rule {
    PATH_RULE_FIRST,
    PATH_RULE_LAST,
    PATH_RULE_LAST_NON_DIRECT,
    PATH_RULE_LINEAR,
    PATH_RULE_TIME_DECAY, /* needs the touches' times */
    PATH_RULE_POSITION,
    PATH_RULE_J_SHAPE,
    PATH_RULE_INVERSE_J,
    PATH_RULE_W_SHAPE,
    PATH_RULE_FULL_PATH,
    PATH_RULE_CUSTOM,
    PATH_RULE_COUNT,
};

/* What a touch is besides a touch. */
#define PATH_STEP_DIRECT 1
#define PATH_STEP_LEAD 2
#define PATH_STEP_OPPORTUNITY 4

struct path_step {
    int64_t at; /* micros; 0 where no times are known */
    uint32_t channel;
    uint32_t flags;
};

struct path_rule_config {
    double half_life_micros; /* over 0 */
    double custom[3];        /* first, middle (shared), last; not negative, not all 0 */
};

/* Weights of count > 0 touches in time order, in a unit of their own: whole numbers but for
 * time_decay, and for custom ones that are none. Returns their sum, over 0, of which they are parts
 * (sum_part_of()). Threads: any. */
struct sum_part path_rule_weights(enum path_rule rule, const struct path_rule_config *config,
    const struct path_step *touches, size_t count, double *weights);

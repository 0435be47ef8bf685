#include "enrich/attribution/path_rules.h"

#include <math.h>

/* Parts of the models. Source: ATTRIBUTION, "Rule models". */
static const double position_parts[3] = {40, 20, 40};
static const double j_parts[3] = {20, 20, 60};
static const double inverse_j_parts[3] = {60, 20, 20};
/* In tenths of a per cent. */
#define W_MILESTONE 300
#define FULL_PATH_MILESTONE 225
#define MILESTONES_REST 100

static size_t last_non_direct(const struct path_step *touches, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (!(touches[i - 1].flags & PATH_STEP_DIRECT))
            return i - 1;
    return count - 1;
}

static void decay(const struct path_rule_config *config, const struct path_step *touches,
    size_t count, double *weights)
{
    /* Against the newest touch: the conversion's own time cancels. */
    int64_t newest = touches[count - 1].at;
    for (size_t i = 0; i < count; i++)
        weights[i] =
            exp2(-(double)((uint64_t)newest - (uint64_t)touches[i].at) / config->half_life_micros);
}

/* The middle is shared by those between, so that the ends weigh as many times as much. */
static void position(const double parts[3], size_t count, double *weights)
{
    double between = count > 2 ? (double)(count - 2) : 1;
    for (size_t i = 0; i < count; i++)
        weights[i] = parts[1];
    weights[0] = parts[0] * between;
    weights[count - 1] = parts[2] * between;
    if (count == 1 || (count == 2 && parts[0] + parts[2] == 0))
        weights[0] = weights[count - 1] = 1;
}

static size_t first_with(const struct path_step *touches, size_t count, uint32_t flag)
{
    size_t i = 0;
    while (i < count && !(touches[i].flags & flag))
        i++;
    return i;
}

/* First, lead, opportunity and perhaps the last get `part` each, which adds up where they are one;
 * the others share the rest. */
static void milestones(
    const struct path_step *touches, size_t count, double part, bool close, double *weights)
{
    for (size_t i = 0; i < count; i++)
        weights[i] = 0;
    size_t lead = first_with(touches, count, PATH_STEP_LEAD);
    size_t opportunity = first_with(touches, count, PATH_STEP_OPPORTUNITY);
    weights[0] += part;
    if (lead < count)
        weights[lead] += part;
    if (opportunity < count)
        weights[opportunity] += part;
    if (close)
        weights[count - 1] += part;
    size_t others = 0;
    for (size_t i = 0; i < count; i++)
        others += weights[i] == 0;
    for (size_t i = 0; i < count; i++)
        weights[i] = weights[i] == 0 ? MILESTONES_REST : weights[i] * (double)(others ? others : 1);
}

static void one(double *weights, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        weights[i] = i == index;
}

static void weigh(enum path_rule rule, const struct path_rule_config *config,
    const struct path_step *touches, size_t count, double *weights)
{
    switch (rule) {
    case PATH_RULE_FIRST:
        one(weights, count, 0);
        return;
    case PATH_RULE_LAST:
        one(weights, count, count - 1);
        return;
    case PATH_RULE_LAST_NON_DIRECT:
        one(weights, count, last_non_direct(touches, count));
        return;
    case PATH_RULE_LINEAR:
        for (size_t i = 0; i < count; i++)
            weights[i] = 1;
        return;
    case PATH_RULE_TIME_DECAY:
        decay(config, touches, count, weights);
        return;
    case PATH_RULE_POSITION:
        position(position_parts, count, weights);
        return;
    case PATH_RULE_J_SHAPE:
        position(j_parts, count, weights);
        return;
    case PATH_RULE_INVERSE_J:
        position(inverse_j_parts, count, weights);
        return;
    case PATH_RULE_W_SHAPE:
        milestones(touches, count, W_MILESTONE, false, weights);
        return;
    case PATH_RULE_FULL_PATH:
        milestones(touches, count, FULL_PATH_MILESTONE, true, weights);
        return;
    case PATH_RULE_CUSTOM:
        position(config->custom, count, weights);
        return;
    case PATH_RULE_COUNT:
        break;
    }
    check(false && "a model");
}

struct sum_part path_rule_weights(enum path_rule rule, const struct path_rule_config *config,
    const struct path_step *touches, size_t count, double *weights)
{
    struct sum sum = {0};
    check(count > 0);
    weigh(rule, config, touches, count, weights);
    for (size_t i = 0; i < count; i++)
        sum_add(&sum, weights[i], 0);
    return (struct sum_part){sum.whole, sum.rest};
}

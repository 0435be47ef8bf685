/* No state, no floating point: the C library's exp2() differs in the last bit from machine to
 * machine, and a last bit can move a yen. */
#include "enrich/attribution/rules.h"

__extension__ typedef unsigned __int128 uint128;

#define TIME_DAY_MICROS ((int64_t)86400 * 1000000)
#define HALF_LIFE_DAYS_DEFAULT 7
#define DECAY_BITS 50

/* Parts in tenths of a per cent. Source: ATTRIBUTION, "Rule models". */
#define W_MILESTONE 300
#define FULL_PATH_MILESTONE 225
#define MILESTONES_REST 100

struct rule_config rule_config_default(void)
{
    return (struct rule_config){
        .half_life_micros = HALF_LIFE_DAYS_DEFAULT * TIME_DAY_MICROS,
        .position = {40, 20, 40},
        .j_shape = {20, 20, 60},
        .inverse_j = {60, 20, 20},
        .custom = {1, 1, 1},
    };
}

/* 2^(-2^-i) for i = 1..., in units of 2^-63. Source: repeated square roots, rounded to nearest. */
static const uint64_t roots[] = {0x5a827999fcef3242, 0x6ba27e656b4eb57a, 0x75606373ee921c97,
    0x7a92be8a92436616, 0x7d41d96db915019d, 0x7e9f06067a4360ba, 0x7f4f08ae3dc7c426,
    0x7fa765aca88f6453, 0x7fd3ab290e46d769, 0x7fe9d3a8e07bf086, 0x7ff4e9597bed93ab,
    0x7ffa748dff8dc61f, 0x7ffd3a3f50020332, 0x7ffe9d1dbc0a75aa, 0x7fff4e8e6306ed59,
    0x7fffa74712c3cdfd, 0x7fffd3a381b1fa29, 0x7fffe9d1beed018a, 0x7ffff4e8defb81d7,
    0x7ffffa746f5f012f, 0x7ffffd3a37a7d0a8, 0x7ffffe9d1bd1fc58, 0x7fffff4e8de8832d,
    0x7fffffa746f422d7, 0x7fffffd3a37a09bb, 0x7fffffe9d1bd02f2, 0x7ffffff4e8de80fe,
    0x7ffffffa746f4060, 0x7ffffffd3a37a028, 0x7ffffffe9d1bd012, 0x7fffffff4e8de809,
    0x7fffffffa746f404, 0x7fffffffd3a37a02, 0x7fffffffe9d1bd01, 0x7ffffffff4e8de81,
    0x7ffffffffa746f40, 0x7ffffffffd3a37a0, 0x7ffffffffe9d1bd0, 0x7fffffffff4e8de8,
    0x7fffffffffa746f4, 0x7fffffffffd3a37a, 0x7fffffffffe9d1bd, 0x7ffffffffff4e8df,
    0x7ffffffffffa746f, 0x7ffffffffffd3a38, 0x7ffffffffffe9d1c, 0x7fffffffffff4e8e,
    0x7fffffffffffa747, 0x7fffffffffffd3a3, 0x7fffffffffffe9d2, 0x7ffffffffffff4e9,
    0x7ffffffffffffa74, 0x7ffffffffffffd3a, 0x7ffffffffffffe9d, 0x7fffffffffffff4f,
    0x7fffffffffffffa7, 0x7fffffffffffffd4, 0x7fffffffffffffea, 0x7ffffffffffffff5,
    0x7ffffffffffffffa};
#define ROOTS_COUNT (sizeof roots / sizeof roots[0])

uint64_t rule_decay(uint64_t age, uint64_t half_life)
{
    uint64_t halvings = age / half_life;
    if (halvings > DECAY_BITS)
        return 0;
    /* The fraction's bits pick the roots to multiply. */
    uint64_t fraction = (uint64_t)(((uint128)(age % half_life) << 64) / half_life);
    uint64_t product = (uint64_t)1 << 63;
    for (size_t i = 0; i < ROOTS_COUNT; i++)
        if (fraction >> (63 - i) & 1)
            product = (uint64_t)((uint128)product * roots[i] >> 63);
    unsigned shift = 63 - DECAY_BITS + (unsigned)halvings;
    return shift > 63 ? 0 : (product + ((uint64_t)1 << (shift - 1))) >> shift;
}

static void one(uint64_t *weights, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        weights[i] = i == index;
}

static size_t last_non_direct(const struct rule_touch *touches, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (!touches[i - 1].direct)
            return i - 1;
    return count - 1;
}

static void decay(const struct rule_config *config, const struct rule_touch *touches, size_t count,
    uint64_t *weights)
{
    uint64_t newest = (uint64_t)touches[count - 1].touched_at;
    for (size_t i = 0; i < count; i++)
        weights[i] = rule_decay(
            newest - (uint64_t)touches[i].touched_at, (uint64_t)config->half_life_micros);
}

static void position(const struct rule_position *parts, size_t count, uint64_t *weights)
{
    uint64_t between = count > 2 ? count - 2 : 1;
    for (size_t i = 0; i < count; i++)
        weights[i] = parts->middle;
    weights[0] = parts->first * between;
    weights[count - 1] = parts->last * between;
    if (count == 1 || (count == 2 && parts->first + parts->last == 0))
        weights[0] = weights[count - 1] = 1;
}

static size_t first_with(const struct rule_touch *touches, size_t count, uint32_t milestone)
{
    size_t i = 0;
    while (i < count && !(touches[i].milestones & milestone))
        i++;
    return i;
}

/* In tenths of a per cent, times the number of touches that share the rest. */
static void milestones(
    const struct rule_touch *touches, size_t count, uint64_t part, bool close, uint64_t *weights)
{
    size_t lead = first_with(touches, count, RULE_TOUCH_LEAD);
    size_t opportunity = first_with(touches, count, RULE_TOUCH_OPPORTUNITY);
    uint64_t others = 0;
    for (size_t i = 0; i < count; i++) {
        weights[i] =
            (uint64_t)(i == 0) + (i == lead) + (i == opportunity) + (close && i == count - 1);
        others += weights[i] == 0;
    }
    for (size_t i = 0; i < count; i++)
        weights[i] = weights[i] ? weights[i] * part * (others ? others : 1) : MILESTONES_REST;
}

bool rule_shares(enum rule_model model)
{
    return model > RULE_MODEL_LAST_NON_DIRECT;
}

void rule_weights(enum rule_model model, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, uint64_t *weights)
{
    check(count > 0 && count <= RULE_TOUCHES_MAX);
    switch (model) {
    case RULE_MODEL_FIRST:
        one(weights, count, 0);
        return;
    case RULE_MODEL_LAST:
        one(weights, count, count - 1);
        return;
    case RULE_MODEL_LAST_NON_DIRECT:
        one(weights, count, last_non_direct(touches, count));
        return;
    case RULE_MODEL_LINEAR:
        for (size_t i = 0; i < count; i++)
            weights[i] = 1;
        return;
    case RULE_MODEL_TIME_DECAY:
        decay(config, touches, count, weights);
        return;
    case RULE_MODEL_POSITION:
        position(&config->position, count, weights);
        return;
    case RULE_MODEL_J_SHAPE:
        position(&config->j_shape, count, weights);
        return;
    case RULE_MODEL_INVERSE_J:
        position(&config->inverse_j, count, weights);
        return;
    case RULE_MODEL_W_SHAPE:
        milestones(touches, count, W_MILESTONE, false, weights);
        return;
    case RULE_MODEL_FULL_PATH:
        milestones(touches, count, FULL_PATH_MILESTONE, true, weights);
        return;
    case RULE_MODEL_CUSTOM:
        position(&config->custom, count, weights);
        return;
    case RULE_MODEL_PARTICIPATION:
    case RULE_MODEL_UNKNOWN:
        break;
    }
    check(false && "a model");
}

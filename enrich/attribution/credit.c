/* Invariant: the credits of one model stand together. */
#include "enrich/attribution/credit.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define ITEMS_MIN ((size_t)64)
#define ROOM_MIN ((size_t)32)

static int make_room(struct credits *credits, size_t count)
{
    if (count <= credits->room)
        return 0;
    size_t room = credits->room ? credits->room : ROOM_MIN;
    while (room < count)
        room *= 2;
    uint64_t *weights = realloc(credits->weights, room * sizeof *weights);
    if (!weights)
        return ERR_NO_MEMORY;
    credits->weights = weights;
    int64_t *shares = realloc(credits->shares, 2 * room * sizeof *shares);
    if (!shares)
        return ERR_NO_MEMORY;
    credits->shares = shares;
    uint64_t *own_ties = realloc(credits->own_ties, room * sizeof *own_ties);
    if (!own_ties)
        return ERR_NO_MEMORY;
    credits->own_ties = own_ties;
    credits->room = room;
    return 0;
}

/* ---- ties ---- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t mix_key(uint64_t x, const uint8_t key[KEY_SIZE])
{
    return mix(mix(x ^ get_be64(key)) ^ get_be64(key + KEY_SIZE / 2));
}

uint64_t credit_tie(const uint8_t conversion[KEY_SIZE], const uint8_t touch[KEY_SIZE])
{
    return mix_key(mix_key(0, conversion), touch);
}

int credits_set_keys(struct credits *credits, const struct credit_keys *keys)
{
    credits->ties_count = 0;
    if (credits->ties_room < keys->count) {
        size_t room = credits->ties_room ? credits->ties_room : ROOM_MIN;
        while (room < keys->count)
            room *= 2;
        uint64_t *ties = realloc(credits->ties, room * sizeof *ties);
        if (!ties)
            return ERR_NO_MEMORY;
        credits->ties = ties;
        credits->ties_room = room;
    }
    uint64_t begun = keys->count ? mix_key(0, keys->conversion) : 0;
    for (size_t i = 0; i < keys->count; i++)
        credits->ties[i] = mix_key(begun, keys->touches + i * keys->stride);
    credits->ties_count = keys->count;
    return 0;
}

/* Of `count` touches from that index on; NULL: not all have one. */
static const uint64_t *ties_from(const struct credits *credits, size_t index, size_t count)
{
    return index <= credits->ties_count && count <= credits->ties_count - index && count
               ? credits->ties + index
               : NULL;
}

/* ---- credits ---- */

static int add(struct credits *credits, const struct credit *credit)
{
    if (credits->count == credits->items_room) {
        size_t room = credits->items_room ? credits->items_room * 2 : ITEMS_MIN;
        struct credit *items = realloc(credits->items, room * sizeof *items);
        if (!items)
            return ERR_NO_MEMORY;
        credits->items = items;
        credits->items_room = room;
    }
    credits->items[credits->count++] = *credit;
    return 0;
}

/* Index of the only weight that is not zero; count when there are several. */
static size_t only_weight(const uint64_t *weights, size_t count)
{
    size_t only = count;
    for (size_t i = 0; i < count; i++) {
        if (weights[i] == 0)
            continue;
        if (only != count)
            return count;
        only = i;
    }
    return only;
}

static int add_one(struct credits *credits, const struct credit *like, size_t at, int64_t revenue)
{
    struct credit credit = *like;
    credit.touch_index += (int32_t)at;
    credit.weight_ppb = CREDIT_WHOLE_PPB;
    credit.revenue_minor = revenue;
    return add(credits, &credit);
}

static int add_unattributed(struct credits *credits, struct credit like, int64_t revenue)
{
    like.touch_index = CREDIT_UNATTRIBUTED;
    return add_one(credits, &like, 0, revenue);
}

/* Whether its weights are those of rule_weights(), each below 2^63. */
static bool of_rule(const struct credit *like)
{
    return like->model != RULE_MODEL_UNKNOWN;
}

/* By credits->weights, for touches from like->touch_index on. */
static int add_model(
    struct credits *credits, const struct credit *like, size_t count, int64_t revenue)
{
    size_t only = only_weight(credits->weights, count);
    if (only < count)
        return add_one(credits, like, only, revenue);
    int64_t *ppb = credits->shares, *minor = credits->shares + credits->room;
    credits->split.ties = ties_from(credits, (size_t)like->touch_index, count);
    int r = split_amount(&credits->split, CREDIT_WHOLE_PPB, credits->weights, count, ppb);
    if (r == 0)
        r = split_amount(&credits->split, revenue, credits->weights, count, minor);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct credit credit = *like;
        credit.touch_index += (int32_t)i;
        credit.weight_ppb = ppb[i];
        credit.revenue_minor = minor[i];
        credit.weight = of_rule(like) ? (int64_t)credits->weights[i] : 0;
        if (credit.weight || ppb[i] || minor[i])
            r = add(credits, &credit);
    }
    return r;
}

/* The whole to each channel, at its first touch. */
static int add_participants(struct credits *credits, const struct credit *like,
    const struct rule_touch *touches, size_t count, int64_t revenue)
{
    size_t found = 0;
    int r = 0;
    if (credits->channels_room < count) {
        uint32_t *more = realloc(credits->channels, count * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        credits->channels = more;
        credits->channels_room = count;
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        size_t k = 0;
        while (k < found && credits->channels[k] != touches[i].channel)
            k++;
        if (k < found)
            continue;
        credits->channels[found++] = touches[i].channel;
        r = add_one(credits, like, i, revenue);
    }
    return r;
}

int credits_of_conversion(struct credits *credits, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, int64_t revenue)
{
    if (count > RULE_TOUCHES_MAX)
        return ERR_TOO_MANY;
    credits->count = 0;
    int r = make_room(credits, count);
    for (int m = RULE_MODEL_UNKNOWN + 1; r == 0 && m < RULE_MODEL_CONFIGURED; m++) {
        const struct credit like = {.model = (enum rule_model)m};
        if (count == 0) {
            r = add_unattributed(credits, like, revenue);
            continue;
        }
        rule_weights(like.model, config, touches, count, credits->weights);
        r = add_model(credits, &like, count, revenue);
    }
    return r;
}

int credits_add_rule(struct credits *credits, const struct credit_rule *rule,
    const struct rule_touch *touches, size_t count, int64_t revenue)
{
    const struct credit like = {
        .model = rule->model, .name = rule->name, .touch_index = (int32_t)rule->from};
    if (count > RULE_TOUCHES_MAX)
        return ERR_TOO_MANY;
    if (rule->from >= count)
        return add_unattributed(credits, like, revenue);
    touches += rule->from;
    count -= rule->from;
    if (rule->model == RULE_MODEL_PARTICIPATION)
        return add_participants(credits, &like, touches, count, revenue);
    int r = make_room(credits, count);
    if (r < 0)
        return r;
    rule_weights(rule->model, rule->config, touches, count, credits->weights);
    return add_model(credits, &like, count, revenue);
}

int credits_of_weights(struct credits *credits, enum rule_model model, const uint64_t *weights,
    size_t count, int64_t revenue)
{
    if (count > SPLIT_COUNT_MAX)
        return ERR_TOO_MANY;
    credits->count = 0;
    int r = make_room(credits, count);
    if (r < 0)
        return r;
    const struct credit like = {.model = model};
    if (count == 0)
        return add_unattributed(credits, like, revenue);
    memcpy(credits->weights, weights, count * sizeof *weights);
    return add_model(credits, &like, count, revenue);
}

/* Of one model's credits, which need not be of all touches. */
static const uint64_t *ties_of(struct credits *credits, const struct credit *original, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t index = original[i].touch_index;
        if (index < 0 || (size_t)index >= credits->ties_count)
            return NULL;
        credits->own_ties[i] = credits->ties[index];
    }
    return credits->own_ties;
}

/* One model's credits of the original. */
static int refund_model(struct credits *credits, const struct credit *original, size_t count,
    int64_t before, int64_t after)
{
    int64_t *was = credits->shares, *is = credits->shares + credits->room, sum = 0;
    int r = 0;
    for (size_t i = 0; before != after && i < count; i++) {
        int64_t revenue = original[i].revenue_minor;
        if (revenue < 0 || __builtin_add_overflow(sum, revenue, &sum))
            return ERR_VALUE;
        credits->weights[i] = (uint64_t)revenue;
    }
    credits->split.ties = ties_of(credits, original, count);
    if (before != after)
        r = split_amount(&credits->split, before, credits->weights, count, was);
    if (r == 0 && before != after)
        r = split_amount(&credits->split, after, credits->weights, count, is);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct credit credit = original[i];
        credit.weight_ppb = 0;
        credit.revenue_minor = before != after ? was[i] - is[i] : 0;
        r = add(credits, &credit);
    }
    return r;
}

/* Whether two credits share one revenue. */
static bool share_one(const struct credit *a, const struct credit *b)
{
    return a->model == b->model && a->model != RULE_MODEL_PARTICIPATION &&
           str_equal(a->name, b->name);
}

int credits_of_refund(struct credits *credits, const struct credit *original, size_t count,
    int64_t before, int64_t after)
{
    credits->count = 0;
    size_t end;
    int r = 0;
    for (size_t begin = 0; r == 0 && begin < count; begin = end) {
        end = begin + 1;
        while (end < count && share_one(&original[begin], &original[end]))
            end++;
        if (end - begin > RULE_TOUCHES_MAX)
            return ERR_TOO_MANY;
        r = make_room(credits, end - begin);
        if (r == 0)
            r = refund_model(credits, original + begin, end - begin, before, after);
    }
    return r;
}

void credits_free(struct credits *credits)
{
    free(credits->items);
    free(credits->weights);
    free(credits->shares);
    free(credits->channels);
    free(credits->ties);
    free(credits->own_ties);
    split_free(&credits->split);
    *credits = (struct credits){.count = 0};
}

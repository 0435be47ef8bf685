/* Invariant: the credits of one model stand together, in the order of the enum. */
#include "enrich/attribution/credit.h"

#include <stdlib.h>

#include "schemas/error.h"

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
    credits->room = room;
    return 0;
}

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

static int add_model(struct credits *credits, enum rule_model model, size_t count, int64_t revenue)
{
    size_t only = only_weight(credits->weights, count);
    if (only < count)
        return add(credits, &(struct credit){model, (int32_t)only, CREDIT_WHOLE_PPB, revenue});
    int64_t *ppb = credits->shares, *minor = credits->shares + credits->room;
    int r = split_amount(&credits->split, CREDIT_WHOLE_PPB, credits->weights, count, ppb);
    if (r == 0)
        r = split_amount(&credits->split, revenue, credits->weights, count, minor);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (ppb[i] || minor[i])
            r = add(credits, &(struct credit){model, (int32_t)i, ppb[i], minor[i]});
    return r;
}

int credits_of_conversion(struct credits *credits, const struct rule_config *config,
    const struct rule_touch *touches, size_t count, int64_t revenue)
{
    if (count > RULE_TOUCHES_MAX)
        return ERR_TOO_MANY;
    credits->count = 0;
    int r = make_room(credits, count);
    for (int m = RULE_MODEL_UNKNOWN + 1; r == 0 && m < RULE_MODEL_COUNT; m++) {
        enum rule_model model = (enum rule_model)m;
        if (count == 0) {
            r = add(
                credits, &(struct credit){model, CREDIT_UNATTRIBUTED, CREDIT_WHOLE_PPB, revenue});
            continue;
        }
        rule_weights(model, config, touches, count, credits->weights);
        r = add_model(credits, model, count, revenue);
    }
    return r;
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
    if (count == 0)
        return add(
            credits, &(struct credit){model, CREDIT_UNATTRIBUTED, CREDIT_WHOLE_PPB, revenue});
    memcpy(credits->weights, weights, count * sizeof *weights);
    return add_model(credits, model, count, revenue);
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
    if (before != after)
        r = split_amount(&credits->split, before, credits->weights, count, was);
    if (r == 0 && before != after)
        r = split_amount(&credits->split, after, credits->weights, count, is);
    for (size_t i = 0; r == 0 && i < count; i++) {
        int64_t taken = before != after ? was[i] - is[i] : 0;
        r = add(credits, &(struct credit){original[i].model, original[i].touch_index, 0, taken});
    }
    return r;
}

int credits_of_refund(struct credits *credits, const struct credit *original, size_t count,
    int64_t before, int64_t after)
{
    credits->count = 0;
    size_t end;
    int r = 0;
    for (size_t begin = 0; r == 0 && begin < count; begin = end) {
        end = begin + 1;
        while (end < count && original[end].model == original[begin].model)
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
    split_free(&credits->split);
    *credits = (struct credits){.count = 0};
}

/*
 * Exact integers throughout: amount * weight has at most 63 + 64 bits.
 *
 * Invariant: after the cut, fewer units are left than there are weights with a remainder.
 */
#include "enrich/attribution/split.h"

#include <stdlib.h>

#include "schemas/error.h"

#define FEW                                                                                        \
    ((size_t)48) /* up to here picking the largest again and again is faster than sorting          \
                  */

__extension__ typedef unsigned __int128 uint128;

static int make_room(struct split *split, size_t count)
{
    if (count <= split->room)
        return 0;
    uint64_t *remainders = realloc(split->remainders, count * sizeof *remainders);
    if (!remainders)
        return ERR_NO_MEMORY;
    split->remainders = remainders;
    uint32_t *order = realloc(split->order, count * sizeof *order);
    if (!order)
        return ERR_NO_MEMORY;
    split->order = order;
    split->room = count;
    return 0;
}

void split_free(struct split *split)
{
    free(split->remainders);
    free(split->order);
    *split = (struct split){.room = 0};
}

static void cut(uint64_t amount, uint64_t weight, uint64_t sum, int64_t *share, uint64_t *remainder)
{
    uint64_t product;
    if (!__builtin_mul_overflow(amount, weight, &product)) {
        *share = (int64_t)(product / sum);
        *remainder = product % sum;
        return;
    }
    uint128 wide = (uint128)amount * weight;
    *share = (int64_t)(uint64_t)(wide / sum);
    *remainder = (uint64_t)(wide % sum);
}

/* Whether the share at i is given a unit before the one at k. */
static bool goes_before(const struct split *split, size_t i, size_t k)
{
    if (split->remainders[i] != split->remainders[k])
        return split->remainders[i] > split->remainders[k];
    if (split->ties && split->ties[i] != split->ties[k])
        return split->ties[i] < split->ties[k];
    return i < k;
}

/* A share that has been given one has no remainder any more, and fewer units are left than there
 * are others. */
static void give_to_few(struct split *split, size_t count, uint64_t left, int64_t *shares)
{
    for (; left; left--) {
        size_t best = 0;
        for (size_t i = 1; i < count; i++)
            if (goes_before(split, i, best))
                best = i;
        shares[best]++;
        split->remainders[best] = 0;
    }
}

static int compare_remainders(const void *a, const void *b, void *split)
{
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    return i == k ? 0 : goes_before(split, i, k) ? -1 : 1;
}

static void give_to_many(struct split *split, size_t count, uint64_t left, int64_t *shares)
{
    for (size_t i = 0; i < count; i++)
        split->order[i] = (uint32_t)i;
    qsort_r(split->order, count, sizeof *split->order, compare_remainders, split);
    for (size_t i = 0; i < left; i++)
        shares[split->order[i]]++;
}

static void split_equally(struct split *split, uint64_t amount, size_t count, int64_t *shares)
{
    for (size_t i = 0; i < count; i++) {
        shares[i] = (int64_t)(amount / count);
        split->remainders[i] = 1;
    }
    give_to_many(split, count, amount % count, shares);
}

double split_rest(int64_t amount, uint64_t weight, uint64_t sum, int64_t share)
{
    int64_t quota;
    uint64_t remainder;
    cut(amount < 0 ? -(uint64_t)amount : (uint64_t)amount, weight, sum, &quota, &remainder);
    uint64_t given = amount < 0 ? -(uint64_t)share : (uint64_t)share;
    double rest = (double)(int64_t)((uint64_t)quota - given) + (double)remainder / (double)sum;
    return amount < 0 && rest != 0 ? -rest : rest;
}

int split_amount(
    struct split *split, int64_t amount, const uint64_t *weights, size_t count, int64_t *shares)
{
    check(count > 0 && count <= SPLIT_COUNT_MAX);
    int r = make_room(split, count);
    if (r < 0)
        return r;
    uint64_t size = amount < 0 ? -(uint64_t)amount : (uint64_t)amount;
    uint64_t sum = 0;
    bool fits = true;
    for (size_t i = 0; i < count; i++)
        fits = fits && !__builtin_add_overflow(sum, weights[i], &sum);
    check(fits);
    if (sum == 0) {
        split_equally(split, size, count, shares);
    } else {
        uint64_t left = size;
        for (size_t i = 0; i < count; i++) {
            cut(size, weights[i], sum, &shares[i], &split->remainders[i]);
            left -= (uint64_t)shares[i];
        }
        if (count <= FEW)
            give_to_few(split, count, left, shares);
        else if (left)
            give_to_many(split, count, left, shares);
    }
    /* Through unsigned, since the mirror of INT64_MIN does not fit. */
    for (size_t i = 0; amount < 0 && i < count; i++)
        shares[i] = (int64_t)(-(uint64_t)shares[i]);
    return 0;
}

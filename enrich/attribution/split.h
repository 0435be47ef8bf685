/*
 * Splits an amount into whole units in proportion of weights, so that the shares sum to the amount.
 */
#pragma once

#include "schemas/bytes.h"

#define SPLIT_COUNT_MAX ((size_t)1 << 16)

/* Room that a split needs; reused from split to split. {0} is empty; end with split_free(). */
struct split {
    const uint64_t
        *ties; /* borrowed, by index: who goes first where cut parts are equal; or NULL */
    uint64_t *remainders;
    uint32_t *order;
    size_t room;
};

/*
 * Largest remainder: each share is the exact quota amount * weight / sum, cut towards zero; what is
 * left goes, one unit each, to the largest cut parts, of equal ones to the lower tie, then to the
 * lower index. A negative amount is the mirror of its positive one. All weights zero: all counts as
 * of equal weight.
 *
 * Ties are frequent, not rare: a linear path of three has no other cut parts. By index alone the
 * first would gain in each of them, and in a sum of many paths that is no rounding any more.
 * Needs the sum of weights below 2^64 and count from 1 to SPLIT_COUNT_MAX (checked).
 * Errors: ERR_NO_MEMORY. Threads: one a struct split.
 * Source: Hamilton's method of apportionment.
 */
MUST_CHECK int split_amount(
    struct split *split, int64_t amount, const uint64_t *weights, size_t count, int64_t *shares);

/* What `share` is less than the exact quota amount * weight / sum, in units: 0 or near it. weight
 * is at most sum, sum over 0. The same bits on every machine. */
double split_rest(int64_t amount, uint64_t weight, uint64_t sum, int64_t share);

void split_free(struct split *split);

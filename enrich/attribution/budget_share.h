/*
 * The budget at which the last unit of money earns the same everywhere: money shared out among
 * channels of which each has a Hill curve and bounds.
 *
 * Pure; threads: any.
 * Source: ATTRIBUTION, "Beyond attribution".
 */
#pragma once

#include "enrich/attribution/response.h"

#define BUDGET_CHANNELS_MAX 256
#define BUDGET_STEPS 400 /* of the plan that the search begins with */

struct budget_line {
    struct hill hill;
    double low; /* 0 <= low <= high; high may be INFINITY */
    double high;
    double spend; /* out */
};

/*
 * Shares `total` out so that the sum of values is the largest within the bounds, to 1e-10 of it,
 * where curves are S-shaped too. A line ends at one of its bounds, or at the marginal that all
 * lines between their bounds have in common; at most one of those is on its rising side. Where many
 * S-shaped lines make the search longer than its limit, that holds and the sum is at least the
 * best on a grid of BUDGET_STEPS. Deterministic.
 * Errors: ERR_EMPTY (no line); ERR_TOO_MANY (over BUDGET_CHANNELS_MAX); ERR_VALUE (a bound or total
 * that is no amount, low > high); ERR_NUMBER_RANGE (total below the sum of low or above that of
 * high); ERR_NO_MEMORY. Lines are unchanged on error.
 */
MUST_CHECK int budget_share(struct budget_line *lines, size_t count, double total);

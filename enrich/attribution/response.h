/*
 * How value answers to spend: a Hill curve a channel, fitted over periods, and the budget at which
 * the last unit of money earns the same everywhere.
 *
 * Units: spend and value are in major units of one currency, a period. Pure; threads: any.
 * Source: ATTRIBUTION, "Beyond attribution".
 */
#pragma once

#include <stddef.h>

#include "schemas/bytes.h"

#define HILL_PERIODS_MIN 4  /* one more than the curve has parameters */
#define HILL_DISTINCT_MIN 3 /* different spends among them */
#define BUDGET_CHANNELS_MAX 256

/* value(x) = beta x^alpha / (x^alpha + gamma^alpha): beta is what endless spend would earn, gamma
 * the spend that earns half of it, alpha above 1 makes it an S. */
struct hill {
    double beta;
    double alpha;
    double gamma;
};

/* x >= 0. */
double hill_value(const struct hill *hill, double x);

/* Value of the next unit of spend at x >= 0: the derivative. At 0 infinite where alpha < 1. */
double hill_marginal(const struct hill *hill, double x);

/* Spend beyond which each further unit earns less than the one before; 0 unless alpha > 1. */
double hill_inflection(const struct hill *hill);

/*
 * Least squares over `count` periods of spend x > 0 and value y, alpha in [0.2, 5], gamma in [0.01,
 * 100] times the largest spend, beta >= 0. *rms is the root of the mean squared residual.
 * Errors: ERR_EMPTY (no period); ERR_TOO_FEW (fewer than HILL_PERIODS_MIN periods, or
 * HILL_DISTINCT_MIN different spends); ERR_VALUE (a spend that is not above 0, or a number that is
 * not finite); ERR_NO_MEMORY.
 */
MUST_CHECK int hill_fit(
    const double *x, const double *y, size_t count, struct hill *out, double *rms);

struct budget_line {
    struct hill hill;
    double low; /* 0 <= low <= high; high may be INFINITY */
    double high;
    double spend; /* out */
};

/*
 * Shares `total` out so that the sum of values is the largest within the bounds: exact to the grid
 * of BUDGET_STEPS even where curves are S-shaped, then refined to equal marginals. What no bound
 * lets anyone take is an error. Deterministic.
 * Errors: ERR_EMPTY (no line); ERR_TOO_MANY (over BUDGET_CHANNELS_MAX); ERR_VALUE (a bound or total
 * that is no amount, low > high); ERR_NUMBER_RANGE (total below the sum of low or above that of
 * high); ERR_NO_MEMORY. Lines are unchanged on error.
 */
#define BUDGET_STEPS 400
MUST_CHECK int budget_share(struct budget_line *lines, size_t count, double total);

/*
 * How value answers to spend: a Hill curve a channel, fitted over periods.
 *
 * Units: spend and value are in major units of one currency, a period. Pure; threads: any.
 * Source: ATTRIBUTION, "Beyond attribution".
 */
#pragma once

#include <stddef.h>

#include "schemas/bytes.h"

#define HILL_PERIODS_MIN 4  /* one more than the curve has parameters */
#define HILL_DISTINCT_MIN 3 /* different spends among them */

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

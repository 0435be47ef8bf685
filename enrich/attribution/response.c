/*
 * Fit: beta is linear, so it is solved for and only alpha and gamma are searched: a coarse grid in
 * logarithms, then BOBYQA from its best point.
 */
#include "enrich/attribution/response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <nlopt.h>

#include "schemas/error.h"

#define ALPHA_MIN 0.2
#define ALPHA_MAX 5.0
#define GAMMA_MIN 0.01 /* of the largest spend */
#define GAMMA_MAX 100.0
#define GRID 25 /* points a parameter */
#define EVALUATIONS_MAX 4000
#define STEP_TOLERANCE 1e-12

/* ---- the curve ---- */

/* x^alpha / (x^alpha + gamma^alpha), without overflow. */
static double share_at(double alpha, double gamma, double x)
{
    return x > 0 ? 1 / (1 + pow(gamma / x, alpha)) : 0;
}

double hill_value(const struct hill *hill, double x)
{
    return hill->beta * share_at(hill->alpha, hill->gamma, x);
}

double hill_marginal(const struct hill *hill, double x)
{
    if (x > 0) {
        double share = share_at(hill->alpha, hill->gamma, x);
        return hill->beta * hill->alpha * share * (1 - share) / x;
    }
    if (hill->beta <= 0 || hill->alpha > 1)
        return 0;
    return hill->alpha < 1 ? INFINITY : hill->beta / hill->gamma;
}

double hill_inflection(const struct hill *hill)
{
    if (hill->alpha <= 1)
        return 0;
    return hill->gamma * pow((hill->alpha - 1) / (hill->alpha + 1), 1 / hill->alpha);
}

/* ---- fit ---- */

struct points {
    const double *x;
    const double *y;
    size_t count;
};

/* Sum of squares at (ln alpha, ln gamma), with the best beta. */
static double squares(const struct points *points, const double logs[2], double *beta)
{
    double alpha = exp(logs[0]), gamma = exp(logs[1]);
    double product = 0, square = 0, rest = 0;
    for (size_t i = 0; i < points->count; i++) {
        double share = share_at(alpha, gamma, points->x[i]);
        product += share * points->y[i];
        square += share * share;
    }
    *beta = square > 0 && product > 0 ? product / square : 0;
    for (size_t i = 0; i < points->count; i++) {
        double off = points->y[i] - *beta * share_at(alpha, gamma, points->x[i]);
        rest += off * off;
    }
    return rest;
}

static double objective(unsigned n, const double *logs, double *gradient, void *context)
{
    double beta;
    (void)n;
    (void)gradient;
    return squares(context, logs, &beta);
}

static int check_points(const struct points *points, double *largest)
{
    double distinct[HILL_DISTINCT_MIN];
    size_t distinct_count = 0;
    if (points->count == 0)
        return ERR_EMPTY;
    *largest = 0;
    for (size_t i = 0; i < points->count; i++) {
        double x = points->x[i];
        if (!isfinite(x) || x <= 0 || !isfinite(points->y[i]))
            return ERR_VALUE;
        *largest = fmax(*largest, x);
        bool seen = false;
        for (size_t k = 0; k < distinct_count; k++)
            seen |= fabs(distinct[k] - x) <= 1e-9 * x;
        if (!seen && distinct_count < HILL_DISTINCT_MIN)
            distinct[distinct_count++] = x;
    }
    bool enough = points->count >= HILL_PERIODS_MIN && distinct_count == HILL_DISTINCT_MIN;
    return enough ? 0 : ERR_TOO_FEW;
}

static void search_grid(
    const struct points *points, const double low[2], const double high[2], double best[2])
{
    double least = INFINITY;
    for (int i = 0; i < GRID; i++)
        for (int k = 0; k < GRID; k++) {
            double beta;
            const double logs[2] = {low[0] + (high[0] - low[0]) * i / (GRID - 1),
                low[1] + (high[1] - low[1]) * k / (GRID - 1)};
            double rest = squares(points, logs, &beta);
            if (rest < least) {
                least = rest;
                memcpy(best, logs, sizeof logs);
            }
        }
}

/* Refines *best in place; where the search ends early, the best seen so far stands. */
static int refine(
    const struct points *points, const double low[2], const double high[2], double best[2])
{
    double least;
    double at[2] = {best[0], best[1]};
    double beta, before = squares(points, best, &beta);
    struct points context = *points;
    nlopt_opt search = nlopt_create(NLOPT_LN_BOBYQA, 2);
    if (!search)
        return ERR_NO_MEMORY;
    const double step[2] = {(high[0] - low[0]) / GRID, (high[1] - low[1]) / GRID};
    nlopt_result r = nlopt_set_min_objective(search, objective, &context);
    if (r >= 0)
        r = nlopt_set_lower_bounds(search, low);
    if (r >= 0)
        r = nlopt_set_upper_bounds(search, high);
    if (r >= 0)
        r = nlopt_set_initial_step(search, step);
    if (r >= 0)
        r = nlopt_set_xtol_rel(search, STEP_TOLERANCE);
    if (r >= 0)
        r = nlopt_set_maxeval(search, EVALUATIONS_MAX);
    if (r >= 0)
        r = nlopt_optimize(search, at, &least);
    nlopt_destroy(search);
    if (r == NLOPT_OUT_OF_MEMORY)
        return ERR_NO_MEMORY;
    if (squares(points, at, &beta) < before)
        memcpy(best, at, sizeof at);
    return 0;
}

int hill_fit(const double *x, const double *y, size_t count, struct hill *out, double *rms)
{
    const struct points points = {x, y, count};
    double largest, beta, best[2] = {0, 0};
    int r = check_points(&points, &largest);
    if (r < 0)
        return r;
    const double low[2] = {log(ALPHA_MIN), log(GAMMA_MIN * largest)};
    const double high[2] = {log(ALPHA_MAX), log(GAMMA_MAX * largest)};
    search_grid(&points, low, high, best);
    r = refine(&points, low, high, best);
    if (r < 0)
        return r;
    double rest = squares(&points, best, &beta);
    *out = (struct hill){.beta = beta, .alpha = exp(best[0]), .gamma = exp(best[1])};
    *rms = sqrt(rest / (double)count);
    return 0;
}

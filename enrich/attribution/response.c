/*
 * Fit: beta is linear, so it is solved for and only alpha and gamma are searched: a coarse grid in
 * logarithms, then BOBYQA from its best point.
 *
 * Budget: S-shaped curves make equal marginals ambiguous, so a plan over a grid of money says first
 * which side of its inflection each channel is on. The channels on their falling side then share
 * what the others leave, by bisection of the marginal that they have in common.
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
#define BISECTIONS 200

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

/* ---- budget ---- */

static int check_lines(const struct budget_line *lines, size_t count, double total)
{
    double low = 0, high = 0;
    if (count == 0)
        return ERR_EMPTY;
    if (count > BUDGET_CHANNELS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(lines[i].low) || lines[i].low < 0 || !(lines[i].high >= lines[i].low))
            return ERR_VALUE;
        low += lines[i].low;
        high += lines[i].high;
    }
    if (!isfinite(total) || total < 0)
        return ERR_VALUE;
    double slack = 1e-9 * fmax(1, total);
    return total < low - slack || total > high + slack ? ERR_NUMBER_RANGE : 0;
}

static double value_of(const struct budget_line *lines, const double *spend, size_t count)
{
    double value = 0;
    for (size_t i = 0; i < count; i++)
        value += hill_value(&lines[i].hill, spend[i]);
    return value;
}

/* The best of each amount of money over the lines so far, in steps above the lower bounds. */
struct plan {
    double step;
    double *best; /* BUDGET_STEPS + 1, of the lines so far */
    double *next;
    uint16_t *choice; /* steps of line i where s are left: [i * (BUDGET_STEPS + 1) + s] */
};

static void plan_line(struct plan *plan, const struct budget_line *line, uint16_t *choice)
{
    double value[BUDGET_STEPS + 1];
    int most = BUDGET_STEPS;
    if ((line->high - line->low) / plan->step < BUDGET_STEPS)
        most = (int)floor((line->high - line->low) / plan->step + 1e-9);
    for (int k = 0; k <= most; k++)
        value[k] = hill_value(&line->hill, line->low + k * plan->step);
    for (int s = 0; s <= BUDGET_STEPS; s++) {
        int chosen = 0;
        for (int k = 1; k <= s && k <= most; k++)
            if (plan->best[s - k] + value[k] > plan->best[s - chosen] + value[chosen])
                chosen = k;
        plan->next[s] = plan->best[s - chosen] + value[chosen];
        choice[s] = (uint16_t)chosen;
    }
    double *swap = plan->best;
    plan->best = plan->next;
    plan->next = swap;
}

static void plan_all(
    struct plan *plan, const struct budget_line *lines, size_t count, double *spend)
{
    for (size_t i = 0; i < count; i++)
        plan_line(plan, &lines[i], plan->choice + i * (BUDGET_STEPS + 1));
    int left = BUDGET_STEPS;
    for (size_t i = count; i-- > 0;) {
        int steps = plan->choice[i * (BUDGET_STEPS + 1) + (size_t)left];
        spend[i] = lines[i].low + steps * plan->step;
        left -= steps;
    }
}

/* On the falling side: the spend within [from, high] whose marginal is the given one. */
static double spend_at(const struct budget_line *line, double from, double high, double marginal)
{
    double low = from;
    if (hill_marginal(&line->hill, low) <= marginal)
        return low;
    if (hill_marginal(&line->hill, high) >= marginal)
        return high;
    for (int i = 0; i < BISECTIONS && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (hill_marginal(&line->hill, middle) > marginal)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Spends of one common marginal; returns their sum. Lines on their rising side keep what they
 * have. */
static double spends_at(const struct budget_line *lines, const double *planned, double *spend,
    size_t count, const double limits[3]) /* marginal, total, step */
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double from = fmax(lines[i].low, hill_inflection(&lines[i].hill));
        double high = fmin(lines[i].high, limits[1]);
        bool falls = planned[i] + limits[2] >= from && from <= high && planned[i] > lines[i].low;
        bool concave = from <= lines[i].low;
        spend[i] =
            falls || concave ? spend_at(&lines[i], from, fmax(from, high), limits[0]) : planned[i];
        sum += spend[i];
    }
    return sum;
}

/* Hands what rounding left over to whoever may take it. */
static void settle_rest(const struct budget_line *lines, double *spend, size_t count, double total)
{
    double rest = total;
    for (size_t i = 0; i < count; i++)
        rest -= spend[i];
    for (size_t i = 0; i < count && rest != 0; i++) {
        double given = fmin(fmax(spend[i] + rest, lines[i].low), lines[i].high);
        rest -= given - spend[i];
        spend[i] = given;
    }
}

static void equalise(const struct budget_line *lines, const double *planned, double *spend,
    size_t count, const double money[2]) /* total, step */
{
    double low = -700, high = 700; /* ln of the marginal: all that a double holds */
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        const double limits[3] = {exp(middle), money[0], money[1]};
        if (spends_at(lines, planned, spend, count, limits) > money[0])
            low = middle;
        else
            high = middle;
    }
    const double limits[3] = {exp(high), money[0], money[1]};
    (void)spends_at(lines, planned, spend, count, limits);
    settle_rest(lines, spend, count, money[0]);
}

int budget_share(struct budget_line *lines, size_t count, double total)
{
    int r = check_lines(lines, count, total);
    if (r < 0)
        return r;
    double low = 0;
    for (size_t i = 0; i < count; i++)
        low += lines[i].low;
    struct plan plan = {.step = fmax(0, total - low) / BUDGET_STEPS};
    double *numbers = calloc(2 * (BUDGET_STEPS + 1) + 2 * count, sizeof *numbers);
    plan.choice = calloc(count * (BUDGET_STEPS + 1), sizeof *plan.choice);
    if (numbers && plan.choice) {
        plan.best = numbers;
        plan.next = numbers + BUDGET_STEPS + 1;
        double *planned = numbers + 2 * (BUDGET_STEPS + 1), *spend = planned + count;
        for (size_t i = 0; i < count; i++)
            planned[i] = lines[i].low;
        if (plan.step > 0)
            plan_all(&plan, lines, count, planned);
        const double money[2] = {total, plan.step};
        equalise(lines, planned, spend, count, money);
        settle_rest(lines, planned, count, total);
        bool better = value_of(lines, spend, count) >= value_of(lines, planned, count);
        for (size_t i = 0; i < count; i++)
            lines[i].spend = better ? spend[i] : planned[i];
    } else {
        r = ERR_NO_MEMORY;
    }
    free(plan.choice);
    free(numbers);
    return r;
}

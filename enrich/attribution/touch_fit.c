/* Conversions are summed by the set of their channels, since nothing else of a path matters here.
 */
#include "enrich/attribution/touch_fit.h"

#include <math.h>
#include <stdlib.h>

#include "enrich/attribution/transform.h"
#include "schemas/error.h"

#define FACTOR_MIN 1e-280 /* of a channel that is to have credit: keeps quotients finite */
#define WEIGHT_UNIT 0x1p52
#define SWEEPS_MIN 100
#define LEAP_MAX 1000.0
#define LOG_MAX 600.0 /* exp() of it is finite */

/* One fitting. Arrays by channel but for the sets. */
struct fitting {
    struct path_set sets; /* distinct channels of converting paths */
    double conversions;   /* of all of them */
    size_t elements;      /* of all sets */
    double *wanted;
    double *sums; /* that the factors give */
    double *before;
    double *trail[3]; /* factors of the last sweeps, and where a leap goes */
};

static void fitting_free(struct fitting *fitting)
{
    path_set_free(&fitting->sets);
    free(fitting->wanted);
    free(fitting->sums);
    free(fitting->before);
    for (size_t i = 0; i < 3; i++)
        free(fitting->trail[i]);
}

static int fitting_begin(struct fitting *fitting, const struct path_set *set)
{
    size_t room = set->channels_count + 1;
    *fitting = (struct fitting){0};
    fitting->wanted = calloc(room, sizeof(double));
    fitting->sums = calloc(room, sizeof(double));
    fitting->before = calloc(room, sizeof(double));
    bool whole = fitting->wanted && fitting->sums && fitting->before;
    for (size_t i = 0; i < 3; i++)
        whole = (fitting->trail[i] = calloc(room, sizeof(double))) && whole;
    if (!whole)
        return ERR_NO_MEMORY;
    int r = transform_paths(set, TRANSFORM_SORTED, &fitting->sets);
    for (size_t i = 0; r == 0 && i < fitting->sets.paths_count; i++) {
        const struct path *path = fitting->sets.paths[i];
        fitting->conversions += path->length ? path->conversions : 0;
        fitting->elements += path->length;
    }
    return r;
}

/* The positive credits, scaled to the conversions. */
static void want(struct fitting *fitting, const double *credits, size_t count, double *factors)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += credits[i] > 0 ? credits[i] : 0;
    for (size_t i = 0; i < count; i++) {
        double part = credits[i] > 0 ? credits[i] / sum : 0;
        fitting->wanted[i] = part * fitting->conversions;
        factors[i] = fitting->wanted[i] > 0;
    }
}

/* What the factors give each channel. */
static void sum_up(struct fitting *fitting, const double *factors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fitting->before[i] = fitting->sums[i];
        fitting->sums[i] = 0;
    }
    for (size_t i = 0; i < fitting->sets.paths_count; i++) {
        const struct path *path = fitting->sets.paths[i];
        double all = 0;
        if (path->length == 0 || !(path->conversions > 0))
            continue;
        for (size_t k = 0; k < path->length; k++)
            all += factors[path->channels[k]];
        double share = path->conversions / (all > 0 ? all : (double)path->length);
        for (size_t k = 0; k < path->length; k++)
            fitting->sums[path->channels[k]] +=
                all > 0 ? share * factors[path->channels[k]] : share;
    }
}

/* Half the sum of the differences: what would have to go from one channel to another. */
static double apart(const double *a, const double *b, size_t count, double all)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fabs(a[i] - b[i]) / 2;
    return all > 0 ? sum / all : 0;
}

/* The divergence of the sums from what is wanted: no sweep makes it grow. */
static double divergence(const struct fitting *fitting, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        if (fitting->wanted[i] > 0)
            sum += fitting->wanted[i] * log(fitting->wanted[i] / fitting->sums[i]);
    return sum;
}

/* The largest factor becomes 1. */
static void level(const struct fitting *fitting, double *factors, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = factors[i] > largest ? factors[i] : largest;
    for (size_t i = 0; largest > 0 && i < count; i++) {
        factors[i] /= largest;
        if (fitting->wanted[i] > 0 && factors[i] < FACTOR_MIN)
            factors[i] = FACTOR_MIN;
    }
}

/* One sweep. Returns what part of the conversions it moved. */
static double sweep(struct fitting *fitting, double *factors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fitting->sums[i] > 0)
            factors[i] *= fitting->wanted[i] / fitting->sums[i];
    level(fitting, factors, count);
    sum_up(fitting, factors, count);
    return apart(fitting->sums, fitting->before, count, fitting->conversions);
}

/* Goes on in the way that three states in a row show, in logarithms: SQUAREM (Varadhan, Roland
 * 2008). Kept only where it brings the sums nearer. */
static void leap(struct fitting *fitting, double *factors, size_t count)
{
    double steps = 0, bends = 0, before = divergence(fitting, count);
    const double *first = fitting->trail[0], *second = fitting->trail[1];
    double *to = fitting->trail[2];
    for (size_t i = 0; i < count; i++) {
        if (!(fitting->wanted[i] > 0))
            continue;
        double step = log(second[i] / first[i]), bend = log(factors[i] / second[i]) - step;
        steps += step * step;
        bends += bend * bend;
    }
    double length = bends > 0 ? sqrt(steps / bends) : LEAP_MAX;
    length = length < 1 ? 1 : length > LEAP_MAX ? LEAP_MAX : length;
    for (size_t i = 0; i < count; i++) {
        to[i] = factors[i];
        if (!(fitting->wanted[i] > 0))
            continue;
        double step = log(second[i] / first[i]), bend = log(factors[i] / second[i]) - step;
        double way = 2 * length * step + length * length * bend + log(first[i]);
        to[i] = exp(way < -LOG_MAX ? -LOG_MAX : way > LOG_MAX ? LOG_MAX : way);
    }
    level(fitting, to, count);
    sum_up(fitting, to, count);
    if (divergence(fitting, count) <= before)
        memcpy(factors, to, count * sizeof *to);
    else
        sum_up(fitting, factors, count);
}

static int fit_factors(struct fitting *fitting, double *factors, size_t count)
{
    double most = TOUCH_FIT_STEPS_MAX / ((double)fitting->elements + 1), change = 1;
    most = most > TOUCH_FIT_SWEEPS_MAX ? TOUCH_FIT_SWEEPS_MAX
           : most < SWEEPS_MIN         ? SWEEPS_MIN
                                       : most;
    int sweeps = 0;
    sum_up(fitting, factors, count);
    while (sweeps < most && change > TOUCH_FIT_CHANGE_MAX) {
        for (int k = 0; k < 2; k++) {
            memcpy(fitting->trail[k], factors, count * sizeof *factors);
            change = sweep(fitting, factors, count);
            sweeps++;
        }
        if (change > TOUCH_FIT_CHANGE_MAX)
            leap(fitting, factors, count);
    }
    return sweeps;
}

int touch_fit_solve(const struct path_set *set, const double *credits, struct touch_fit *out)
{
    struct fitting fitting;
    size_t count = set->channels_count;
    struct touch_fit fit = {.count = count};
    fit.factors = calloc(count + 1, sizeof *fit.factors);
    int r = fitting_begin(&fitting, set);
    if (r == 0 && !fit.factors)
        r = ERR_NO_MEMORY;
    if (r == 0) {
        want(&fitting, credits, count, fit.factors);
        fit.sweeps = fit_factors(&fitting, fit.factors, count);
        fit.distance = apart(fitting.sums, credits, count, fitting.conversions);
        *out = fit;
        fit.factors = NULL;
    }
    fitting_free(&fitting);
    free(fit.factors);
    return r;
}

void touch_fit_free(struct touch_fit *fit)
{
    free(fit->factors);
    *fit = (struct touch_fit){0};
}

/* ---- weights ---- */

static int make_room(struct touch_room *room, size_t count)
{
    if (count <= room->count)
        return 0;
    uint32_t *more = realloc(room->occurrences, count * sizeof *more);
    if (!more)
        return ERR_NO_MEMORY;
    memset(more + room->count, 0, (count - room->count) * sizeof *more);
    room->occurrences = more;
    room->count = count;
    return 0;
}

static double factor_of(const struct touch_fit *fit, uint32_t channel)
{
    return channel < fit->count ? fit->factors[channel] : 0;
}

int touch_fit_weights(const struct touch_fit *fit, struct touch_room *room,
    const uint32_t *channels, size_t count, uint64_t *weights)
{
    check(count > 0 && count <= TOUCH_FIT_LENGTH_MAX);
    size_t known = fit->count;
    for (size_t i = 0; i < count; i++)
        known = channels[i] >= known ? (size_t)channels[i] + 1 : known;
    int r = make_room(room, known);
    if (r < 0)
        return r;
    double all = 0, distinct = 0;
    for (size_t i = 0; i < count; i++) {
        if (room->occurrences[channels[i]]++ == 0) {
            all += factor_of(fit, channels[i]);
            distinct++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        double share = all > 0 ? factor_of(fit, channels[i]) / all : 1 / distinct;
        weights[i] = (uint64_t)(share / room->occurrences[channels[i]] * WEIGHT_UNIT + 0.5);
    }
    for (size_t i = 0; i < count; i++)
        room->occurrences[channels[i]] = 0;
    return 0;
}

void touch_room_free(struct touch_room *room)
{
    free(room->occurrences);
    *room = (struct touch_room){0};
}

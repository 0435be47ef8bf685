/* Replicates are made from paths in one order, so that rounding too does not depend on that of
 * `set`. Channels have the same numbers in a replicate, which lacks their names. */
#include "enrich/attribution/model_interval.h"

#include <stdlib.h>

#include "enrich/attribution/transform.h"
#include "schemas/error.h"

#define PART_LOW 0.025
#define PART_HIGH 0.975

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the ranks on both sides. */
static double quantile(const double *sorted, size_t count, double part)
{
    double at = part * (double)(count - 1);
    size_t below = (size_t)at;
    double rest = at - (double)below;
    return below + 1 < count ? sorted[below] + rest * (sorted[below + 1] - sorted[below])
                             : sorted[below];
}

/* Conversions of each channel into drawn[channel * stride]. */
static int replicate(const struct model_options *options, const struct path_set *set, size_t number,
    size_t stride, double *drawn)
{
    struct path_set drawing = {0};
    struct model_credit rest;
    size_t channels = set->channels_count;
    struct model_credit *credits = calloc(channels + 1, sizeof *credits);
    int r = credits ? transform_resample(set, options->seed, number, &drawing) : ERR_NO_MEMORY;
    drawing.channels_count = channels;
    if (r == 0)
        r = model_solve_paths(options, &drawing, credits, &rest);
    for (size_t i = 0; r >= 0 && i < channels; i++)
        drawn[i * stride] = credits[i].conversions;
    drawing.channels_count = 0;
    path_set_free(&drawing);
    free(credits);
    return r < 0 ? r : 0;
}

int model_solve_intervals(const struct model_options *options, const struct path_set *set,
    size_t replicates, struct model_credit *credits)
{
    check(replicates > 0 && replicates <= MODEL_REPLICATES_MAX);
    struct path_set ordered = {0};
    double *drawn = malloc((set->channels_count + 1) * replicates * sizeof *drawn);
    uint32_t *numbers = malloc((set->channels_count + 1) * sizeof *numbers);
    int r = drawn && numbers ? transform_order(set, &ordered, numbers) : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < replicates; i++)
        r = replicate(options, &ordered, i, replicates, drawn + i);
    for (size_t i = 0; r == 0 && i < set->channels_count; i++) {
        double *own = drawn + numbers[i] * replicates;
        qsort(own, replicates, sizeof *own, compare_doubles);
        credits[i].low = quantile(own, replicates, PART_LOW);
        credits[i].high = quantile(own, replicates, PART_HIGH);
    }
    path_set_free(&ordered);
    free(numbers);
    free(drawn);
    return r;
}

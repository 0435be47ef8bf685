/* Coalitions become a path set of their own: coalition models do not tell a path from its channels.
 */
#include "enrich/attribution/model_solve.h"

#include <math.h>
#include <stdlib.h>

#include "enrich/attribution/shapley.h"
#include "schemas/error.h"

#define INTERVAL_ERRORS 1.959963984540054 /* standard errors of a normal number to 95 % */

static void clear(struct model_credit *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (struct model_credit){.effect = NAN, .value_effect = NAN, .low = NAN, .high = NAN};
}

static void take_markov(
    struct markov *markov, struct model_credit *out, struct model_credit *unattributed)
{
    unattributed->value += markov->unattributed;
    for (size_t i = 0; i < markov->credits_count; i++) {
        out[i].conversions = markov->credits[i].conversions;
        out[i].value = markov->credits[i].value;
        out[i].effect = markov->credits[i].effect;
        out[i].value_effect = markov->credits[i].value_effect;
    }
    free(markov->credits);
}

static int call_coalition(const struct model_options *options, struct path_set *set,
    struct coalition_credit *credits, double *rest)
{
    const struct shapley_options how = {.seed = options->seed,
        .samples = options->samples,
        .names = options->names ? options->names : set->channels};
    switch (options->kind) {
    case MODEL_KIND_SHAPLEY:
    case MODEL_KIND_SHAPLEY_ORDERED:
        return shapley_additive(set, credits);
    case MODEL_KIND_SHAPLEY_RATE:
        return shapley_rate(set, &how, credits, rest);
    case MODEL_KIND_SHAPLEY_PATHS:
        return shapley_paths(set, false, credits, rest);
    case MODEL_KIND_SHAPLEY_PATHS_ORDERED:
        return shapley_paths(set, true, credits, rest);
    case MODEL_KIND_SHAO_LI:
        return shao_li(set, credits, rest);
    default:
        return ERR_VALUE;
    }
}

static int solve_coalition(const struct model_options *options, struct path_set *set,
    struct model_credit *out, struct model_credit *unattributed)
{
    double rest = 0;
    struct coalition_credit *credits = calloc(set->channels_count + 1, sizeof *credits);
    if (!credits)
        return ERR_NO_MEMORY;
    int r = call_coalition(options, set, credits, &rest);
    unattributed->value += rest;
    for (size_t i = 0; r == 0 && i < set->channels_count; i++) {
        const struct coalition_credit *credit = &credits[i];
        out[i].conversions = credit->conversions;
        out[i].value = credit->value;
        if (credit->error > 0) { /* sampled */
            double unit = credit->effect != 0 ? credit->conversions / credit->effect : 0;
            double range = INTERVAL_ERRORS * fabs(credit->error * unit);
            out[i].low = credit->conversions - range;
            out[i].high = credit->conversions + range;
        }
    }
    free(credits);
    return r;
}

int model_solve_paths(const struct model_options *options, struct path_set *set,
    struct model_credit *out, struct model_credit *unattributed)
{
    const struct path *empty = path_set_find(set, NULL, 0);
    clear(out, set->channels_count);
    clear(unattributed, 1);
    unattributed->conversions = empty ? empty->conversions : 0;
    unattributed->value = empty ? empty->value : 0;
    if (options->kind != MODEL_KIND_MARKOV)
        return solve_coalition(options, set, out, unattributed);
    const struct markov_options how = {
        .order = options->order, .ignore_nulls = options->ignore_nulls};
    struct markov markov;
    int r = markov_solve(set, &how, &markov);
    if (r < 0)
        return r;
    take_markov(&markov, out, unattributed);
    return markov.value_follows ? MODEL_VALUE_FOLLOWS : 0;
}

static int solve_coalitions(const struct model_options *options, const struct markov_count *counts,
    size_t counts_count, size_t channels_count, struct model_credit *out,
    struct model_credit *unattributed)
{
    struct path_set set = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < counts_count; i++) {
        struct path_count count = {.nulls = counts[i].paths};
        if (counts[i].converts)
            count = (struct path_count){counts[i].paths, counts[i].value, 0};
        if (counts[i].to_count)
            r = path_set_add(&set, counts[i].channels, counts[i].to_count, &count);
    }
    set.channels_count = channels_count; /* which have no names here */
    if (r == 0)
        r = solve_coalition(options, &set, out, unattributed);
    set.channels_count = 0;
    path_set_free(&set);
    return r;
}

int model_solve_counts(const struct model_options *options, const struct markov_count *counts,
    size_t counts_count, size_t channels_count, struct model_credit *out,
    struct model_credit *unattributed)
{
    double all = 0;
    clear(out, channels_count);
    clear(unattributed, 1);
    for (size_t i = 0; i < counts_count; i++) {
        const struct markov_count *count = &counts[i];
        all += count->from_count ? 0 : count->paths;
        if (count->from_count || count->to_count || !count->converts)
            continue;
        unattributed->conversions += count->paths;
        unattributed->value += count->value;
    }
    if (all > PATH_SET_TOTAL_MAX)
        return ERR_TOO_LARGE;
    if (options->kind != MODEL_KIND_MARKOV)
        return solve_coalitions(options, counts, counts_count, channels_count, out, unattributed);
    struct markov markov;
    int r = markov_solve_counts(counts, counts_count, options->order, channels_count, &markov);
    if (r == 0)
        take_markov(&markov, out, unattributed);
    return r;
}

/*
 * Coalition models over paths. Arrays have an element a channel, by number. *unattributed gets the
 * value of paths that the model credits to nobody: those whose channels never convert.
 *
 * Source: ATTRIBUTION, "Shapley"; Zhao, Mahboobi, Bagheri 2018 (additive game in closed form); Shao
 * and Li 2011; the games of single paths as in DP6's Marketing Attribution Models.
 */
#pragma once

#include "enrich/attribution/path_set.h"

struct coalition_credit {
    double effect; /* the model's own measure, before it is scaled to the totals */
    double conversions;
    double value;
    double error; /* standard error of effect, where it was sampled; else 0 */
};

/* A conversion's credit is shared equally by the distinct channels of its path. In order or not:
 * of an occurrence the share is 1 / (occurrences * distinct channels), which sums alike. */
MUST_CHECK int shapley_additive(struct path_set *set, struct coalition_credit *out);

#define SHAPLEY_EXACT_CHANNELS_MAX 24
struct shapley_options {
    uint64_t seed;  /* of permutations, where there are more channels than can be enumerated */
    size_t samples; /* so many */
    const struct str
        *names; /* of channels; sampled values then depend on these and not on numbers */
};
/* The game over all channels whose worth is the conversion rate of the journeys that met no others:
 * exact to SHAPLEY_EXACT_CHANNELS_MAX channels, sampled beyond. May be negative. Scaled to the
 * conversions. Errors: ERR_NO_MEMORY. */
MUST_CHECK int shapley_rate(struct path_set *set, const struct shapley_options *options,
    struct coalition_credit *out, double *unattributed);

#define SHAPLEY_PATH_CHANNELS_MAX 20
/* Of each path its own game: the worth of some of its channels is the conversion rate of the paths
 * that have exactly those, in any order or (`ordered`) in the path's. Errors: ERR_TOO_LARGE (a path
 * of more distinct channels), ERR_NO_MEMORY. */
MUST_CHECK int shapley_paths(
    struct path_set *set, bool ordered, struct coalition_credit *out, double *unattributed);

#define SHAO_LI_CHANNELS_MAX 8192
/* First and second order conversion rates of the channels of a path, summed over conversions and
 * scaled to them. Errors: ERR_TOO_LARGE, ERR_NO_MEMORY. */
MUST_CHECK int shao_li(struct path_set *set, struct coalition_credit *out, double *unattributed);

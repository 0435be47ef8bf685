/*
 * Credit of models that are solved over all paths, down to the touch: weights that sum to 1 for
 * each conversion and, over all conversions, to the model's credit of each channel.
 *
 * Each channel has a factor; a conversion's credit is shared by the distinct channels of its path
 * in proportion of their factors, a channel's share equally by its touches. The factors are fitted
 * by iterative proportional fitting from equal ones: each sweep multiplies a channel's by what it
 * should have over what it has, and extrapolation takes many sweeps at once. So equal factors are
 * the additive Shapley game itself, and of all weights with those sums the fitted ones are nearest
 * to it (Csiszar 1975).
 *
 * Not every credit can be met: conversions whose only channel is A are A's, whatever the model
 * says. Weights then still sum to 1 for each conversion, and their sums are as near to the credits
 * as can be, by Kullback-Leibler divergence (Csiszar and Tusnady 1984); `distance` tells how near.
 * A channel without credit, or with a negative one (which no share can be), has factor 0. Where all
 * channels of a path have, they share alike.
 *
 * Source: ATTRIBUTION, "Path level".
 */
#pragma once

#include "enrich/attribution/path_set.h"

/* The fitting ends when a sweep moves no more than this part of all conversions, or after
 * TOUCH_FIT_SWEEPS_MAX sweeps (fewer where paths are many: TOUCH_FIT_STEPS_MAX in all). */
#define TOUCH_FIT_CHANGE_MAX 1e-13
#define TOUCH_FIT_SWEEPS_MAX 10000
#define TOUCH_FIT_STEPS_MAX 2e9

struct touch_fit {
    double *factors; /* by channel, 0 to 1, the largest 1 */
    size_t count;    /* channels */
    double distance; /* part of all conversions that lie with other channels than the credits say */
    int sweeps;
};

/* Room that weights need; reused. {0} is empty; end with touch_room_free(). */
struct touch_room {
    uint32_t *occurrences; /* by channel; 0 between calls */
    size_t count;
};

/*
 * Fits factors to `credits` (conversions, by channel; finite), whose positive ones are scaled to
 * the set's conversions with a path. *out is freed by touch_fit_free(). Errors: ERR_NO_MEMORY,
 * ERR_TOO_LARGE. Threads: any, one a path_set.
 */
MUST_CHECK int touch_fit_solve(
    const struct path_set *set, const double *credits, struct touch_fit *out);
void touch_fit_free(struct touch_fit *fit);

/* Weights of a path's touches, in a unit of their own: their sum is over 0 and below 2^54.
 * channels: one that the fit does not know has factor 0; count from 1 to TOUCH_FIT_LENGTH_MAX
 * (checked). Errors: ERR_NO_MEMORY. Threads: one a struct touch_room. */
#define TOUCH_FIT_LENGTH_MAX ((size_t)1 << 16)
MUST_CHECK int touch_fit_weights(const struct touch_fit *fit, struct touch_room *room,
    const uint32_t *channels, size_t count, uint64_t *weights);
void touch_room_free(struct touch_room *room);

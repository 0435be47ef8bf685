/*
 * Path sets made from path sets. Channels keep their numbers; the new set knows no names
 * unless it is said. *out is
 * {0} before and freed by the caller with path_set_free(), after an error too.
 */
#pragma once

#include "enrich/attribution/path_set.h"

enum transform {
    TRANSFORM_FIRST,  /* of each channel the first occurrence */
    TRANSFORM_SORTED, /* each channel once, by number: the path as a set */
};

/* Errors: ERR_NO_MEMORY, ERR_TOO_LARGE. */
MUST_CHECK int transform_paths(
    const struct path_set *set, enum transform transform, struct path_set *out);

/* The same paths in one order, whatever order they came in: channels by the bytes of their names,
 * which `out` has, paths by their channels. numbers: room for each channel of `set`; gets its
 * number in `out`. Errors likewise. */
MUST_CHECK int transform_order(const struct path_set *set, struct path_set *out, uint32_t *numbers);

/* One replicate of a bootstrap: each path's conversions and nulls drawn anew, as Poisson numbers
 * with the counts as means, its value in proportion. A function of (seed, replicate, the path by
 * its channels' names, which `set` has): the same whatever thread draws, wherever the path stands
 * and whichever others there are. Errors likewise. */
MUST_CHECK int transform_resample(
    const struct path_set *set, uint64_t seed, uint64_t replicate, struct path_set *out);

/* A uniform number in (0, 1) from a counter. */
double counter_uniform(uint64_t seed, uint64_t stream, uint64_t counter);

/*
 * Path sets made from path sets. Channels keep their numbers; the new set knows no names. *out is
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

/* One replicate of a bootstrap: each path's conversions and nulls drawn anew, as Poisson numbers
 * with the counts as means, its value in proportion. A function of (seed, replicate, path): the
 * same whatever thread draws, and in whatever order. Errors likewise. */
MUST_CHECK int transform_resample(
    const struct path_set *set, uint64_t seed, uint64_t replicate, struct path_set *out);

/* A uniform number in (0, 1) from a counter. */
double counter_uniform(uint64_t seed, uint64_t stream, uint64_t counter);

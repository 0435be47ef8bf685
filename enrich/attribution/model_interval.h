/*
 * Intervals of what channels earn, by a seeded bootstrap over paths: a function of the paths,
 * whatever their order, the model, the number of replicates and the seed.
 *
 * Source: ATTRIBUTION, "Algorithmic models".
 */
#pragma once

#include "enrich/attribution/model_solve.h"

#define MODEL_REPLICATES_MAX ((size_t)100000)

/* Sets low and high of `credits`, an element a channel of the set, which names them, to where
 * conversions of 95 % of `replicates` (1 to MODEL_REPLICATES_MAX, checked) lie. Errors: as
 * model_solve_paths(). */
MUST_CHECK int model_solve_intervals(const struct model_options *options,
    const struct path_set *set, size_t replicates, struct model_credit *credits);

/*
 * Counts of models from scratch: what TABLE_MODEL_COUNT of all partitions has to add up to, given
 * the final conversions and open paths. Written as plainly as it can be said; shares no code with
 * the counting.
 */
#pragma once

#include "enrich/attribution/model.h"
#include "tests/sim/sim.h"

/* Whether the sim's tables agree, exactly, and the credits of each conversion and refund by each
 * rule sum to it. Models with neither types nor a lookback. Adds the
 * number of counts that stand to *compared. Errors: of the sim, ERR_NO_MEMORY. */
MUST_CHECK int recount_agrees(struct sim *sim, const struct model *models, size_t models_count,
    bool *agrees, uint64_t *compared);

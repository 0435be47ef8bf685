/*
 * What configured models count of a partition's paths (TABLE_MODEL_COUNT): absolute numbers that
 * follow the paths of TABLE_CONVERSION and the open paths of TABLE_PROFILE, row by row. Changes are
 * gathered in memory over a batch; each count that changed is then read and put once.
 *
 * Revenue is net: a refund takes its amount from the path of the conversion that it is of, and
 * counts as no path of its own.
 */
#pragma once

#include "enrich/attribution/model.h"
#include "enrich/journey/fold.h"
#include "ingest/stream/stream.h"
#include "schemas/profile.avro.h"

/* {0} with config and intern set; end with model_counter_fini(). */
struct model_counter {
    const struct journey_config *config;
    struct intern *intern;
    struct counts counts; /* changes of the batch; channels are numbers of the intern */
    uint32_t *before;     /* the running person's open path so far */
    size_t before_count, before_room;
    uint32_t *path; /* the path that is counted */
    size_t path_room;
    struct arena row;
    struct buf value;
};

void model_counter_fini(struct model_counter *counter);

/* Drops the changes of the batch. */
void model_counter_reset(struct model_counter *counter);

/* Without models all of these do nothing. Errors: ERR_NO_MEMORY. */

/* The open path that has been counted of the person that is settled: as the fold had it, or as the
 * stored profile has it. */
MUST_CHECK int model_counter_before(
    struct model_counter *counter, const struct fold_touch *touches, size_t count);
MUST_CHECK int model_counter_before_stored(
    struct model_counter *counter, const struct profile *profile);
/* The one that stands in its place. */
MUST_CHECK int model_counter_after(
    struct model_counter *counter, const struct fold_touch *touches, size_t count);

/* A conversion or refund that now stands (1), or no longer does (-1). of: the conversion that a
 * refund is of; of a conversion itself. */
MUST_CHECK int model_counter_conversion(struct model_counter *counter,
    const struct conversion *conversion, const struct conversion *of, int sign);

/* Puts every count that changed. Errors: ERR_STATE (a stored count is none, or falls below 0),
 * ERR_NO_MEMORY, those of the state. */
MUST_CHECK int model_counter_flush(struct model_counter *counter, struct task *task);

/* Deletes all counts of the partition. Errors: those of the state. */
MUST_CHECK int model_counter_forget(struct task *task);

/*
 * What models that are solved over all journeys give the touches of one conversion: solved when
 * asked, from the journeys as they stand in the conversion's currency.
 */
#pragma once

#include "deploy/attribute/stored.h"
#include "sinks/sqlite/read.h"

struct explain_solved;

/* stored: the models that are wanted, all solved; options: how those by kind are; both and path
 * outlive it. Errors: as database_open_reader(). */
MUST_CHECK int explain_solved_open(struct explain_solved **out, const char *path,
    struct attribute_stored *stored, const struct attribute_options *options);
/* Accepts NULL inside, leaves NULL. */
void explain_solved_close(struct explain_solved **solved);

/* Makes the credits of a conversion those that explain_solved_get() gives. Errors: ERR_CONFIG (said
 * on options->messages), as database_error(), ERR_NO_MEMORY. */
MUST_CHECK int explain_solved_conversion(
    struct explain_solved *solved, const struct reader_conversion *conversion);

/* What the model at that place of stored->wanted gives a touch; NULL: nothing. */
const struct credit *explain_solved_get(
    const struct explain_solved *solved, size_t place, int64_t touch_index);

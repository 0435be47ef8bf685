/*
 * What the columns of a file of paths or of touches are: as the user says, else by usual names.
 */
#pragma once

#include "deploy/attribute/attribute.h"

#define HEADER_NO_FIELD SIZE_MAX

struct attribute_header {
    size_t count;
    size_t fields[COLUMN_COUNT]; /* index, or HEADER_NO_FIELD */
    bool events;                 /* a row a touch, not a path */
    size_t event;                /* index of event names that tell conversions, where no column of
                                    their own does; or HEADER_NO_FIELD */
    bool dates;                  /* the times are dates: 20261120 is no count of seconds */
};

/* Errors: ERR_CONFIG, after naming on options->messages a column that is missing, with the nearest,
 * or two that may both be meant. */
MUST_CHECK int attribute_header_read(const struct attribute_options *options,
    const struct str *names, size_t count, struct attribute_header *out);

/* Whether a row of that event converts: a purchase by a usual name, "Order Completed". */
bool attribute_event_converts(struct str event);

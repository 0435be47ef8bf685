/*
 * One row to touchpoints, as a mapping says. Pure.
 */
#pragma once

#include "ingest/import/mapping.h"
#include "schemas/event_json.h"

/* Makes the event that mapping->events[index] gives of a row. values: of mapping->columns, UTF-8.
 * Sets type, protocol, source, sequence (index, where no field says it) and what fields say;
 * event_id stays empty where none says it; identifiers as they stand, sorted by namespace. Slices
 * of *out live in the values, the mapping or the arena. Returns 0, or MAPPER_NONE when a condition
 * does not hold. Errors: REJECT class with *problem set, its pointer being the value as the mapping
 * has it (a column's name, mostly); ERR_NO_MEMORY. */
#define MAPPER_NONE 1
MUST_CHECK int mapper_apply(const struct mapping *mapping, size_t index, const struct str *values,
    struct arena *arena, struct touchpoint *out, struct event_problem *problem);

/* The column that a JSON pointer of the event (door_accept()) comes from, or the pointer itself. */
struct str mapper_column(const struct mapping *mapping, size_t index, struct str pointer);

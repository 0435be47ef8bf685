/*
 * From the errors of the house to those of the library, with the collector's words.
 */
#pragma once

#include "ingest/producer/tabiji.h"
#include "schemas/event_json.h"

/* TABIJI_ERROR_NO_MEMORY, or TABIJI_ERROR_INVALID for what is wrong with an event. */
int producer_error_of(int error);

/* Writes a problem into what the caller gave; accepts NULL. Texts that are too long are cut. */
void producer_problem_set(struct tabiji_problem *problem, int error, struct str code,
    struct str pointer, struct str hint);
/* That of an event: error may be 0, for a warning or none. Returns the library's error. */
int producer_problem_of(struct tabiji_problem *problem, int error, const struct event_problem *of);

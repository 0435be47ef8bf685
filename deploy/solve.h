/*
 * The meaning of identity applied to a file: the pipeline's own reducers, in a directory that is
 * deleted afterwards. Nothing is normalised: values count as they stand.
 *
 * A line of input: {"id": "e1", "time": 7, "ids": [["login", "u-1"], ["cookie", "c-1"]]}. Lines of
 * output are those of identity_spec.py: {"id": ["cookie", "c-1"], "root": ["login", "u-1"]} sorted
 * by id, or, for places, {"event": "e1", "root": ["login", "u-1"]} sorted by event; of an event
 * that stands in several lines the last counts.
 */
#pragma once

#include <stdio.h>

#include "ingest/normalise/namespace.h"

struct solve_options {
    const struct namespace_table *namespaces; /* outlives the call */
    bool places;
    FILE *in;
    const char *name; /* of `in`, for messages */
    FILE *out;
    FILE *messages; /* a line for each line that cannot be read: NAME:LINE: reason: text */
};

struct solve_counts {
    unsigned long long lines;
    unsigned long long bad;
};

/* Errors: ERR_IO, ERR_FULL, ERR_NO_MEMORY; *counts is set in any case. Threads: any. */
MUST_CHECK int solve(const struct solve_options *options, struct solve_counts *counts);

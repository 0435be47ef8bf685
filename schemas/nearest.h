/*
 * "Did you mean ...?": the known name nearest to a misspelt one. For fields, flags, configuration
 * keys.
 */
#pragma once

#include "schemas/bytes.h"

#define NEAREST_NAME_SIZE_MAX 64

/* The known name with the least edit distance (insert, delete, replace, swap of neighbours; letter
 * case and - _ space do not count), of equals the one of the same length, then the first; empty
 * when none is near (over a third of the letters wrong) or name is over NEAREST_NAME_SIZE_MAX
 * bytes. The slice is of `known`. Threads: any. Source: optimal string alignment distance. */
struct str nearest_name(struct str name, const struct str *known, size_t count);

/* The same, of names that are at most so many edits away: a slip, where other names are as good. */
struct str nearest_within(struct str name, const struct str *known, size_t count, size_t edits_max);

/*
 * Typed values of options, from text.
 */
#pragma once

#include "ingest/config/config.h"
#include "schemas/arena.h"

#define VALUE_ITEMS_MAX 10000

/* A value as config keeps it; slices live in the arena and end with a NUL behind them. */
struct value {
    struct str text; /* trimmed, as written */
    int64_t number;  /* INT SIZE DURATION BOOL */
    const struct str *items;
    size_t items_count;
};

/* Reads text for an option. Errors: ERR_CONFIG with *why (in the arena or static) set: "is not a
 * number from 1 to 256"; ERR_NO_MEMORY. */
MUST_CHECK int value_parse(const struct option *option, struct str text, struct arena *arena,
    struct value *out, const char **why);

/* Copies text into the arena with a NUL behind it. Errors: ERR_NO_MEMORY. */
MUST_CHECK int value_copy(struct arena *arena, struct str text, struct str *out);

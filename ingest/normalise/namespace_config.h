/*
 * The table of namespaces as [identity] of the configuration says it, and its text, by which stored
 * state tells whether it was built with the same.
 */
#pragma once

#include "ingest/normalise/namespace.h"

#define NAMESPACE_NAME_SIZE_MAX 32
#define NAMESPACE_PROTECTED_MAX 100

/* Lists as configured. Items of the last three are "NAME N", or "N" for all that are not named; of
 * the generic ones, without such an N those keep the default. */
struct namespace_lists {
    const struct str *names; /* strongest first */
    size_t names_count;
    const struct str *protected_counts;
    size_t protected_count;
    const struct str *up;
    size_t up_count;
    const struct str *down;
    size_t down_count;
};

#define NAMESPACE_WHY_SIZE 256

/* Makes the table; its names are slices of the lists'. Errors: ERR_CONFIG with a sentence in why:
 * no namespace, too many, a name that is none ([a-z][a-z0-9_]*), stands twice or is not in `names`
 * (the nearest is told), a number that is none or beyond its maximum, another than 1 for the
 * strongest in `protected`. Threads: any. */
MUST_CHECK int namespace_table_read(
    const struct namespace_lists *lists, struct namespace_table *out, char why[NAMESPACE_WHY_SIZE]);

/* Appends a line a namespace: "namespace 2 email: protected 0, generic up 3, down 1000". Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int namespace_table_text(const struct namespace_table *table, struct buf *out);

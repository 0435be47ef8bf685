/*
 * Bodies of forms. Source: WHATWG URL, "application/x-www-form-urlencoded parsing".
 */
#pragma once

#include "ingest/collector/exchange.h"

#define FORM_PAIRS_MAX 1024

/* Splits a body into its pairs, in order, unescaped; in the arena. An empty body has none. Errors:
 * ERR_UTF8, ERR_KEYS over FORM_PAIRS_MAX, ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int form_read(
    struct str body, struct arena *arena, const struct exchange_pair **pairs, size_t *count);

/* The value of the first pair by this name, in whatever case; empty: none, or an empty one. */
struct str form_value(const struct exchange_pair *pairs, size_t count, struct str name);

/* Writes the pairs as a JSON object into the arena; of a name that comes twice the first stands.
 * Errors: ERR_NO_MEMORY. */
MUST_CHECK int form_write_json(
    const struct exchange_pair *pairs, size_t count, struct arena *arena, struct str *out);

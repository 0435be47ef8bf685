/*
 * How often each row has come: the n-th of identical rows gets an id of its own. Rows are known by
 * their hash; 16 bytes a row, grown as needed.
 */
#pragma once

#include "schemas/bytes.h"

struct occurrences;
MUST_CHECK int occurrences_new(struct occurrences **out);
/* Accepts NULL inside, leaves NULL. */
void occurrences_free(struct occurrences **occurrences);

/* Counts the row; *nth is 1 for the first of its kind. Errors: ERR_NO_MEMORY; ERR_TOO_MANY behind
 * the 2^32nd. */
MUST_CHECK int occurrences_count(struct occurrences *occurrences, struct str row, uint64_t *nth);

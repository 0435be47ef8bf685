/*
 * The plain peer of identity: a hash table of identifiers and union by path halving. It has no
 * order, no limits, no evidence and nothing to take back; all that meets is one person.
 */
#pragma once

#include "schemas/bytes.h"
#include "schemas/event.h"

struct union_find;

/* Room for about so many identifiers; it grows. NULL without memory. */
struct union_find *union_find_new(size_t identifiers);
void union_find_free(struct union_find *sets);
/* All identifiers of an event are one person. False without memory. */
bool union_find_event(struct union_find *sets, const struct identifier *identifiers, size_t count);
/* The identifier's number, new or not. Out of memory it ends the program. */
uint32_t union_find_index(struct union_find *sets, const struct identifier *identifier);
size_t union_find_identifiers(const struct union_find *sets);
/* Bytes in memory. */
size_t union_find_bytes(const struct union_find *sets);

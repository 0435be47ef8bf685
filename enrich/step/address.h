/* The client's network address: where it is, and cutting it so that it names nobody. */
#pragma once

#include "schemas/arena.h"
#include "schemas/touchpoint.avro.h"

#define ADDRESS_WHY_SIZE 256
#define ADDRESS_PREFIX_V4 24 /* bits that stay */
#define ADDRESS_PREFIX_V6 48

/* Cuts an address to its network: 203.0.113.77 to 203.0.113.0, 2001:db8:1:2::3 to 2001:db8:1::. A
 * mapped one
 * (::ffff:203.0.113.77) is an IPv4 address. What is none gives an empty text: it must not stay as
 * it is. The result lives in the arena. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int address_cut(struct str address, struct arena *arena, struct str *out);

/* A MaxMind database of countries or cities. Source: MaxMind DB File Format Specification 2.0. */
struct address_places;

/* Errors: ERR_NOT_FOUND, ERR_CONFIG (not such a database) with an English reason in why
 * (ADDRESS_WHY_SIZE bytes); ERR_NO_MEMORY. */
MUST_CHECK int address_places_open(struct address_places **out, const char *path, char *why);
/* Accepts NULL inside, leaves NULL. */
void address_places_close(struct address_places **places);

/* Country (ISO 3166), region (ISO 3166-2, without the country), city (English), as far as the
 * database has them; texts live in the arena. Of an unknown or malformed address, and of a damaged
 * entry, all are empty. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int address_place(
    struct address_places *places, struct str address, struct arena *arena, struct geo *out);

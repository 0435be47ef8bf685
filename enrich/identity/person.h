/*
 * Who a person is: a UUID made from the root node, so that a login's person never changes.
 */
#pragma once

#include "schemas/hash.h"

/* Writes the person of a root node: the first 16 bytes of HMAC-SHA-256(tenant key, node id) with
 * the bits of UUID version 8 set. Threads: any. Source: IDENTITY, "Meaning"; RFC 9562, 5.8. */
void person_id(
    const struct hmac_key *tenant_key, const uint8_t root[KEY_SIZE], uint8_t out[KEY_SIZE]);

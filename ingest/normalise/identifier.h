/*
 * Identifiers at the door: normalised, blocked values taken out, e-mail and phone made pseudonyms.
 * Source: IDENTITY, "Normalisation" and rule 1.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "schemas/arena.h"

/* HMAC keys are derived per tenant and field from the tenant key: HMAC(tenant key, "email"). */
struct identifier_config {
    const struct namespace_table *namespaces;
    uint8_t tenant_key[32];
    struct str key_id;           /* "k1" */
    const struct str *blocked;   /* more blocked values, compared after normalisation */
    size_t blocked_count;
};

/* True for a value that never identifies anybody: empty, null, undefined, NaN, none, 0, -1, anonymous, guest,
 * true, false, [object Object] (any case, also quoted), all-zero UUIDs, and config->blocked. */
bool identifier_blocked(const struct identifier_config *config, struct str name, struct str value);

/* Normalises event->identifiers in place (a new array in the arena): NFKC and trim; e-mail lower-cased, phone to E.164 with
 * region JP, both then "k1:" + 32 hex digits of HMAC-SHA-256, unless they already are; blocked values and numbers that cannot link
 * dropped; duplicates dropped; an order's order_id added as namespace order, a call's call_id as case.
 * Errors: ERR_NAMESPACE and ERR_VALUE with *index of the identifier; ERR_NO_IDENTIFIER when none is left; ERR_TOO_MANY. */
MUST_CHECK int identifier_normalise(const struct identifier_config *config, struct arena *arena,
    struct touchpoint *event, size_t *index);

/*
 * The owner of one node: what it does with each message, and what it tells others until all is
 * quiet. Source: IDENTITY, "Meaning" and "Actors and messages"; its executable protocol.
 */
#pragma once

#include "enrich/identity/owner.h"

struct actor {
    const struct namespace_table *namespaces;
    struct str tenant_key;
    struct owners *owners;
    struct state *state;
    struct outbox *outbox;
    struct arena *scratch;
    struct owner *owner; /* whose turn it is */
};

/* Person of a root: the first 16 bytes of HMAC-SHA-256(tenant key, root), as a UUID of version 8.
 */
void actor_person(struct str tenant_key, const uint8_t root[KEY_SIZE], uint8_t person[KEY_SIZE]);

/* Makes actor->owner exist, with its text (which may come later) or its members. Errors: ERR_VALUE
 * for a set without members. */
MUST_CHECK int actor_create(
    struct actor *actor, struct str namespace, struct str value, struct str members);

/* One message but event and stay. Errors: ERR_VALUE for a kind or a shape that no node sends; those
 * of state and outbox. */
MUST_CHECK int actor_receive(struct actor *actor, const struct identity_message *message);

/*
 * A rotation of the tenant key, as the log is told of it. While two keys live, events bear the
 * pseudonyms of the old one; beside the first event that shows a value, the door appends an event
 * that says which pseudonym the next key gives it:
 *     {"id":"<hash of the pair>","source":"rotation","type":"identifier_rotated","time":"<when the
 *      next key was made>","ids":{"email":"k1:…"},
 *      "evidence":{"a":{"email":"k1:…"},"b":{"email":"k2:…"},"sign":1,"reason":"key rotation"}}
 * Every byte of it follows from the pair and the key file: whoever tells it, and however often,
 * tells the same. What it means: enrich/identity/rotation.h. No client may send that type.
 *
 * A cache says which pairs this process has told, so that a value is told once a process and not
 * with each event. It forgets (a slot holds one pair), and telling again does no harm. A pair
 * counts as told when its event is durable.
 */
#pragma once

#include "ingest/normalise/identifier.h"
#include "ingest/stream/stream.h"

#define ROTATION_SOURCE "rotation"
#define ROTATION_EVENT_TYPE "identifier_rotated"
#define ROTATION_SLOTS ((size_t)1 << 16) /* pairs that a cache remembers at most */

struct rotation_cache;

/* In the arena. NULL when out of memory. */
struct rotation_cache *rotation_cache_new(struct arena *arena);

/* What the log is to be told: pairs of one request or one chunk. {0} is an empty one; lists live in
 * the arena that rotation_add() is given. */
struct rotation_list {
    struct append_record *records;
    uint64_t *marks;
    size_t count;
    size_t room;
};

/* Adds the pair's event, unless the cache (may be NULL) or the end of the list has it. Errors:
 * ERR_NAMESPACE, ERR_NO_MEMORY. Threads: any; each its own list and arena. */
MUST_CHECK int rotation_add(struct rotation_list *list, const struct identifier_config *config,
    const struct identifier_pair *pair, const struct rotation_cache *cache, struct arena *arena);

/* Adds what another list has and this lacks at its end. Errors: ERR_NO_MEMORY. */
MUST_CHECK int rotation_add_list(
    struct rotation_list *list, const struct rotation_list *more, struct arena *arena);

/* The list's records are durable. cache may be NULL. Threads: any. */
void rotation_told(struct rotation_cache *cache, const struct rotation_list *list);

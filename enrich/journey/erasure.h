/*
 * The part that timelines have in an erasure: an erased person drops, at once, what stands there;
 * signatures that were forgotten, and identifiers that are suppressed, are followed to where their
 * events are. Source: IDENTITY, "Erasure"; enrich/identity/evidence.h (what it means),
 * enrich/identity/reach.h and erasure.h.
 *
 * Events that bear a device's identifier alone and occurred at or after the erasure are kept: a
 * device lives on. So are those that a lift of the erasure's time or later let in.
 */
#pragma once

#include "enrich/journey/timeline.h"

/* Returns 1 when an event that comes to the node must not stand: what follows has been sent. */
MUST_CHECK int erasure_drops(struct timeline *timeline, struct person *person,
    const uint8_t node[KEY_SIZE], const struct touchpoint *event, int64_t lifted_at);

/* The node's events have left: suppressed signatures follow them. */
MUST_CHECK int erasure_gone(
    struct timeline *timeline, struct person *person, const struct gone_node *gone);

/* Messages erase and suppress. Errors: as timeline_put(). */
MUST_CHECK int erasure_erase(struct timeline *timeline, const struct journey_message *message);
MUST_CHECK int erasure_suppress(struct timeline *timeline, const struct journey_message *message);

/*
 * Brings a node to rest after its neighbours changed: bridge, root, place, each telling only what
 * changed. Source: IDENTITY, "Meaning", rules 2 to 5.
 */
#pragma once

#include "enrich/identity/actor.h"

/* Invariants afterwards:
 *  I1 its root is what its live neighbours above say (rule 3), accepted where that is needed; of a
 *     member of a group, but the first, that of whom it follows, who believes what it would claim;
 *  I2 every neighbour below (linked or bridged) believes that root, but those below a generic node,
 *     who do not ask; all others believe that it is its own, also those that evidence has parted;
 *  I3 the ends of every pair that it bridges (rule 2), or joins (group.h), were told so, others
 * not; I4 its person is that of its root, of a set that of rule 5; the old person was told of the
 * move. Errors: those of state and outbox. */
MUST_CHECK int settle(struct actor *actor, struct owner *owner);

/* The node crosses a limit: neighbours below hear it, then are forgotten; settles. */
MUST_CHECK int settle_generic(struct actor *actor, struct owner *owner);

/* Tells both ends of a pair that the node links them, or no more. */
MUST_CHECK int settle_tell_bridge(struct actor *actor, const struct owner *owner,
    const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE], bool on);

/* Tells a neighbour below the root; where the two are neighbours no more, that it is its own. */
MUST_CHECK int settle_tell(
    struct actor *actor, const struct owner *owner, const uint8_t below[KEY_SIZE], bool neighbours);

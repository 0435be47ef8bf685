/*
 * What a rotation of the tenant key means: two pseudonyms of one value are one identifier.
 *
 * An event of type identifier_rotated (ingest/rotation.h) pairs a pseudonym of the old key with the
 * newer one of the next. The meaning of a set of events is that of the events with every newer
 * pseudonym put back to the oldest that it is paired with, whatever came first. So persons are who
 * they would be without a rotation: an identifier seen beside both counts one neighbour, is shared
 * by nobody, bridges as before. (Linking the two by evidence would not do: of a pair of one rank
 * only the later in id order claims, so half of the new pseudonyms would be persons of their own;
 * and what had been seen with both would have two neighbours of one kind, and bridge no more.) The
 * event itself stands in no timeline.
 *
 * Events are not written anew: the newer pseudonym is a node of their chains, with its place. But
 * it takes no part in links. A signature that has one gives its links by way of it (pass_link;
 * pass_unlink when the signature is forgotten; pass_evidence, pass_retract for an operator's word):
 * the message visits each newer pseudonym, which puts the older one in its stead where it knows it,
 * and the last one sends the links. One that knows no older one remembers what passed; when it
 * learns of one (rotate), it takes that back on the same way and sends it on anew. So the channels'
 * order holds, and the rest of the protocol knows nothing of rotations.
 *
 * Whether an event is another's than an erased person's is told by the older one's links, too: its
 * node asks on the same way (pass_event), and waits with the event for the answer.
 *
 * The newer node follows the older one: its root is what that says, it dies when that is generic
 * and each is suppressed with the other. Where the newer one was erased before its pair was told,
 * the older one is erased then. Its row of person_of stands, since it is how the value is looked
 * up, until it is suppressed and no event shows it.
 *
 * Cost: a new signature with newer pseudonyms costs a message each; known ones cost what they do
 * without a rotation. A pseudonym of a second or later key that has no older one keeps a row of
 * some 100 bytes a signature.
 *
 * Limits. What crosses a limit of generic identifiers before a pair is told stays generic; doors
 * tell pairs before any event bears the newer pseudonym, so that takes a rebuild whose partitions
 * run far apart. A signature forgotten under one key is not forgotten under the other: what keeps
 * an erased person's events away under both is the suppression of its e-mail and phone, not where
 * the event's first node is another's or generic. Where the strongest identifiers of an event are
 * several pseudonyms of one kind with different roots of one rank, the first in id order decides,
 * and the two keys may differ in it. A pseudonym that was generic before its pair was told keeps
 * the events that have nothing but generic identifiers. A visit of an e-mail or phone that names no
 * device, under way when the old key is retired, becomes two sessions.
 */
#pragma once

#include "enrich/identity/actor.h"
#include "enrich/identity/signature.h"

/* Whether the identifier may have an older pseudonym: one of a second or later key. */
bool rotation_newer(struct str namespace, struct str value);

/* An event of type identifier_rotated, at the node of the older pseudonym. Errors: ERR_VALUE for an
 * event that pairs no pseudonyms so; those of state and outbox. */
MUST_CHECK int rotation_on_event(
    struct actor *actor, struct owner *owner, const struct touchpoint *event);

/* A signature that is new to its first node, and has newer pseudonyms: its links, but those of
 * sets, are to be given by way of them. members: as the signature has them, with their values;
 * newer: ascending indexes of such members. */
struct rotation_passage {
    struct link_end *members;
    size_t members_count;
    const uint8_t *newer;
    size_t newer_count;
    const uint8_t *digest; /* of the signature */
};
MUST_CHECK int rotation_link(
    struct actor *actor, struct owner *first, const struct rotation_passage *passage);

/* Takes that back. Returns 1 when the signature's links
 * were given so, else 0, and nothing was done. */
MUST_CHECK int rotation_unlink(
    struct actor *actor, struct owner *first, const struct signature *signature);

/* Messages pass_* and rotate. Errors: as actor_receive(). */
MUST_CHECK int rotation_on_pass(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int rotation_on_rotate(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

/* An event that came to a suppressed node behind generic ones: whether it is others' (erasure.h) is
 * asked by way of its newer pseudonyms, at the oldest of the node's value. The answer brings the
 * event back (IdentityMessage.number). Errors: those of outbox. */
#define ROTATION_OTHERS 1
#define ROTATION_NOT_OTHERS 2
struct rotation_question {
    struct link_end *ends; /* those before the node, and it; their values are taken away */
    size_t ends_count;
    const uint8_t *newer;
    size_t newer_count;
    struct travelling_event event; /* its chain_index: of the node */
};
MUST_CHECK int rotation_ask(
    struct actor *actor, const struct owner *owner, const struct rotation_question *question);

/* The newer ones hear of the node's root, and whether it is generic. Its value's other pseudonyms
 * hear that it is suppressed, and of lifts. */
#define ROTATION_SUPPRESSES 1 /* `number` of such a message: it counts where it is the later */
MUST_CHECK int rotation_tell(struct actor *actor, const struct owner *owner);
/* Sends the message to each pseudonym that its value has beside it; *sent: so many more. */
MUST_CHECK int rotation_reach(struct actor *actor, const struct owner *owner,
    struct identity_message *message, int64_t *sent);
MUST_CHECK int rotation_lift(struct actor *actor, const struct owner *owner, int64_t at);
MUST_CHECK int rotation_suppress(
    struct actor *actor, const struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at);

/* What a newer pseudonym's node (OWNER_NEWER) knows of the older one. */
struct rotation_older {
    uint8_t node[KEY_SIZE];
    struct str value; /* valid until the batch ends */
    int64_t at;       /* when the newer key was made */
    int64_t passages; /* signatures that show the newer pseudonym */
};
MUST_CHECK int rotation_older(
    struct owners *owners, const struct owner *owner, struct rotation_older *out);

/*
 * The part that owners of nodes have in an erasure. Source: IDENTITY, "Erasure"; evidence.h says
 * what an erasure means.
 *
 * Suppression reaches all partitions without any that all must read: an event of a forgotten
 * signature is refused by its first node, which is where every event enters. Those that passed it
 * before are on their way along the places of the chain's nodes; a `suppress` that names the
 * signature follows them on the same way (owner to timeline, timeline to timeline, down the chain
 * where a node is dead), takes them away wherever it meets them, and rests as one row where their
 * node's events would rest. So the cost is one row and a few messages a signature, whatever the
 * number of partitions, and no timeline looks for a signature's events elsewhere than at one node.
 *
 * The mark of a suppressed identifier follows its node's events likewise. That the erased person
 * drops what comes to it is not enough: while a node goes back and forth, a chunk of its events
 * that is late at one person is passed on to where the node went from there the last time, and so
 * past persons where it was in between, the erased one among them. The mark rests where the node
 * is, and there every event of it arrives, whatever its way.
 *
 * What an erasure takes. Which identifiers are suppressed, and which signatures forgotten, depends
 * on who was the person's when the erasure came (and, while events are under way, on how far they
 * had come): later links cannot be known, and what was taken cannot be asked again. All else is a
 * function of the set of events, of these marks, and of the generic ones. An event vanishes
 *  - when its signature is forgotten; or
 *  - when the first node of its chain is suppressed, if that is no device's, or the event occurred
 *    before the erasure, unless the node is generic: then what came to it before its mark, and
 *    stands with a weaker node, stays there;
 * and no other, but for what a device says alone from the erasure on while it still belongs to an
 * erased person that is no device's. What stands, with its persons, is what it would be had the
 * others never come (tests/property/test_protocol.c checks just this).
 */
#pragma once

#include "enrich/identity/actor.h"
#include "enrich/identity/signature.h"

/* Whether the namespace names devices, which are shared and live on: install, device, cookie,
 * session. Threads: any. */
bool erasure_is_device(struct str namespace);

/* Whether identifiers of the node's namespace are suppressed for good; else, a device's, for events
 * that occurred before the erasure. */
bool erasure_for_good(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE]);

/* Whether a suppressed node's mark keeps an event away that comes to it, as the first node of its
 * chain or as another. is_older: it occurred before the erasure. */
bool erasure_keeps_away(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE],
    bool is_first, bool is_older);

/* Each identifier of an erasure request is told. Errors: ERR_NO_MEMORY, those of outbox_send(). */
MUST_CHECK int erasure_request(
    struct actor *actor, const struct touchpoint *event, const struct owner *first);

/* Messages erase, forget, suppress and alone. Errors: as actor_receive(). */
MUST_CHECK int erasure_on_erase(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int erasure_on_forget(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int erasure_on_suppress(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

MUST_CHECK int erasure_on_alone(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

/* The person is erased: where it is the owner's, the owner is suppressed, and those below it hear
 * it before they may hear of another root. */
MUST_CHECK int erasure_reach(
    struct actor *actor, struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at);

/* What an erased person's event had said is taken back: sends forget to its first node, and
 * retract. at: occurred_at of the erasure. Errors: those of signature_of_event() and outbox_send().
 * Threads: any. */
struct erased {
    const struct namespace_table *namespaces;
    const uint8_t *person;
    int64_t at;
    const uint8_t *seat; /* the node whose person that was; NULL: not known */
};
MUST_CHECK int erasure_take_back(const struct erased *erased, const struct touchpoint *event,
    struct arena *arena, struct outbox *outbox);

/* The evidence of an event that is no more, if it has any, says nothing any more. Errors: as
 * erasure_take_back(). */
MUST_CHECK int erasure_retract(const struct namespace_table *namespaces,
    const struct touchpoint *event, struct outbox *outbox);

/* An event of one identifier stands with an erased person all the same: tells its node, which
 * might else think that nothing shows it. Errors: as erasure_take_back(). */
MUST_CHECK int erasure_keep(
    const struct erased *erased, const struct touchpoint *event, struct outbox *outbox);

/* A signature's suppression, on from a timeline or node that has it no more: to the node of its
 * chain behind chain_index, or back to the first to stay. */
MUST_CHECK int erasure_pass_on(const struct signature *signature, int32_t chain_index,
    const uint8_t from[KEY_SIZE], struct outbox *outbox);

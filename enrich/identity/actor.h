/*
 * What the owner of one node does with a message. Source: IDENTITY, "Meaning" and "Actors and
 * messages"; its executable protocol identity_actors.py, from which it differs in what it leaves
 * out:
 *  - the links that a signature gives one weaker node are one message;
 *  - a generic node is told of to weaker neighbours only, and keeps none of them;
 *  - a root is told when it differs from what the other believes, which at first is that everybody
 *    is its own root; who ceases to be a neighbour is told that again;
 *  - a node that has put no event anywhere moves without `gone`;
 *  - what a generic node links later is counted by the stronger end: it attaches, and detaches,
 * with each signature;
 *  - a suppressed signature follows its events (erasure.h) instead of being told to all timelines;
 *  - an erasure finds all identifiers of the person before it takes anything, and the person drops
 *    nothing that comes later (reach.h): there, links taken back one after the other can bring
 *    another's events to the erased person, which drops them;
 *  - of the bridges that derive a link, their number is kept.
 */
#pragma once

#include "enrich/identity/message.h"
#include "enrich/identity/owner.h"

/* A node with more neighbours of one namespace, or a member of more sets, is generic whatever the
 * table of namespaces says: no node's state, and no answer to one message, is unbounded. */
#define ACTOR_NEIGHBOURS_MAX NAMESPACE_GENERIC_MAX

/* What an actor works with during one call of the stage. */
struct actor {
    const struct namespace_table *namespaces;
    struct owners *owners;
    struct outbox *outbox;
    struct buf *mail; /* reused for messages */
};

/* Handles any valid message but event and stay. Errors: ERR_VALUE when `to` cannot be who it was
 * sent for; those of state and outbox. */
MUST_CHECK int actor_receive(struct actor *actor, const struct identity_message *message);

/* The node learns links to stronger ones, or, a set, to its members: what a message of kind link
 * says. For a first node that links itself. Errors: as actor_receive(). */
MUST_CHECK int actor_link(
    struct actor *actor, struct owner *owner, const struct link_end *links, size_t count);

/* Sends, with `from` and `to` set. Errors: ERR_NO_MEMORY, those of outbox_send(). */
MUST_CHECK int actor_send(struct actor *actor, const struct owner *from, const uint8_t to[KEY_SIZE],
    struct identity_message *message);

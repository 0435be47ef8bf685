/*
 * Who is erased: the identifiers whose root is a person's when it is asked to go, found whole
 * before anything is taken. Source: IDENTITY, "Erasure".
 *
 * Were a person's signatures forgotten while others are still looked for, there would be moments
 * with half of its links. An identifier with fewer links may bridge what it did not before (rule 2
 * wants it exclusive): then another's events come to the person by a link that is about to go. So
 * an erasure has two parts, and what it takes is settled in the first:
 *
 * 1. reach. The root's owner suppresses its node, and sends `reach` to all below it; whoever has
 *    the person does the same, and answers `reached` when all that it sent to have answered; others
 *    answer at once. (A diffusing computation; Dijkstra and Scholten, Termination detection for
 *    diffusing computations, 1980.) Nothing is taken back yet: a suppressed node only learns no new
 *    event. When the root has all answers, every identifier of the person has been reached.
 * 2. The root's owner has the person's timeline erased: all that stands there goes, at once, and is
 *    forgotten. That done, `go` runs along the ways of the answers, and the marks of suppressed
 *    nodes follow what was still under way. Who comes to that person from now on is not its
 *    by right, and stays; the nodes' marks and the forgotten signatures know what is.
 *
 * So an erasure of what rests takes a function of the set of events: those whose place is the
 * person, but a device's own of the erasure and later. Where events are under way when it comes,
 * it takes what had come, and what names a suppressed identifier first.
 *
 * Which identifier was asked for is suppressed in any case, also where it has just become another
 * person's. A request that is no later than what its identifier was last suppressed by does
 * nothing: it is a copy, or its person is gone already, and the identifier another's now.
 *
 * Cost: two messages a link of the person and one an identifier. State: while an erasure lasts, of
 * each node a row, and one in the node that reached it.
 */
#pragma once

#include "enrich/identity/actor.h"

/* A line of the text by which stored state tells what it was built to mean (stream/meaning.h):
 * before, an erased person also dropped whatever came to it later. */
#define REACH_MEANING "erasure: a person at once\n"

/* Messages erase, reach, reached and go. Errors: as actor_receive(). */
MUST_CHECK int reach_on_erase(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int reach_on_reach(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int reach_on_reached(
    struct actor *actor, struct owner *owner, const struct identity_message *message);
MUST_CHECK int reach_on_go(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

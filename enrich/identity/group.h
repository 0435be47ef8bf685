/*
 * Groups: identifiers of one rank that standing evidence connects are one person. What one member
 * does for the others; evidence.h says what a group means, settle.h what a node does besides.
 *
 * The members are not asked for: who belongs to a group is nowhere written. A member knows those
 * that a word links it to, and those that later members have joined it to; of them it looks at the
 * earlier ones, in id order:
 *  - it joins the first of them to each of the others (a derived link, as a bridge is), and
 *  - it follows the first: it tells it which root it would claim by itself, and has its root.
 * This is the elimination of nodes from the latest to the earliest: where a node is taken out of a
 * graph and its neighbours are made a star around one of them, what was connected stays so, with
 * one edge less. So each member but the first of its group has somebody to follow, and following
 * leads to the first, which thus hears of all that the members have above them and claims for all
 * (rules 3 and 4); its root comes back the same way. Joins, and what is told to whom is followed,
 * depend on later members only, roots on earlier ones: both settle.
 * Source: the elimination tree of a sparse matrix (Liu, "The Role of Elimination Trees in Sparse
 * Factorization", SIAM J. Matrix Anal. Appl. 11(1), 1990), a star instead of a clique as only
 * connection is to be kept.
 */
#pragma once

#include "enrich/identity/actor.h"
#include "enrich/identity/edge.h"

/* Whether the neighbour is of the node's own rank, so of its group if anything stands between. */
static inline bool group_kin(const struct owner *owner, const struct edge *edge)
{
    return node_class(edge->node) == node_class(owner->id);
}

/* The member that the node follows, of its neighbours above: NULL for none. */
const struct edge *group_followed(const struct owner *owner, const struct edge_list *above);

/* The node joins whom it has to, and no others; whom it follows no more believes that it claims
 * nothing. */
MUST_CHECK int group_settle(struct actor *actor, struct owner *owner);

/* Tells whom the node follows what it would claim: candidate, NULL for nothing, and whether there
 * are several of that rank. */
MUST_CHECK int group_tell(struct actor *actor, struct owner *owner,
    const uint8_t followed[KEY_SIZE], const uint8_t *candidate, bool several);

/* A message of kind candidate. Errors: as actor_receive(). */
MUST_CHECK int group_on_candidate(
    struct actor *actor, struct owner *owner, const struct identity_message *message);

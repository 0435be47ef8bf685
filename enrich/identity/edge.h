/*
 * Neighbours of a node, and claims on a root. The first few neighbours live in the node's own row,
 * further ones in rows of their own, so that one more costs one small row however many there are.
 */
#pragma once

#include "enrich/identity/owner.h"
#include "schemas/identity_message.avro.h"

/* So many on either side are kept in the node's own row. (Tests build with smaller limits.) */
#ifndef EDGES_ABOVE_MAX
#define EDGES_ABOVE_MAX 16
#define EDGES_BELOW_MAX 8
#endif

/* Most claimants of one namespace that a root may accept. */
#define CLAIMS_ACCEPTED_MAX 64

/* A node's class says its rank and whether it is a set; smaller is stronger. Source: namespace.h.
 */
static inline int node_class(const uint8_t id[KEY_SIZE])
{
    return id[0];
}

static inline int node_rank(const uint8_t id[KEY_SIZE])
{
    return id[0] / 2;
}

static inline bool node_is_set(const uint8_t id[KEY_SIZE])
{
    return id[0] & 1;
}

/* Bits of IdentityEdge.flags; they never change their meaning. */
enum edge_flag {
    EDGE_GENERIC = 1 << 0, /* the stronger neighbour said that it is generic */
    EDGE_BRIDGED = 1 << 1, /* this node links that neighbour to others that it bridges */
    EDGE_MEMBER = 1 << 2,  /* this node is a set, the neighbour its member */
    EDGE_SAID = 1 << 3,    /* evidence links the two */
    EDGE_CUT = 1 << 4,     /* evidence unlinks the two */
    EDGE_JOINED = 1 << 5,  /* an earlier member of its group: told so; group.h */
    EDGE_SEVERAL = 1 << 6, /* the follower would claim several of that rank */
    EDGE_OTHERS = 1 << 7, /* signatures have shown the link since this node was suppressed, and were
                           * not the erased person's; erasure.h */
};

struct edge {
    uint8_t node[KEY_SIZE]; /* the neighbour */
    uint8_t root[KEY_SIZE]; /* what one above said of its root, a follower of what it would claim;
                             * else itself */
    int32_t links;          /* signatures that show the link up, or attachments from below */
    int32_t bridges;        /* nodes that link the two, or join them */
    unsigned flags;
    bool in_row; /* where edge_get() found it */
};

/* Whether there is a link, but that either end may be generic. */
static inline bool edge_linked(const struct edge *edge)
{
    return !(edge->flags & EDGE_CUT) && (edge->links > 0 || (edge->flags & EDGE_SAID));
}

struct edge_list {
    struct edge *edges;
    size_t count;
};

/* Reads the neighbour; an unknown one has no links, bridges and flags. Costs a look-up only where
 * rows of its class exist. Errors: ERR_STATE, those of state_get(). */
MUST_CHECK int edge_get(struct owners *owners, const struct owner *owner,
    const uint8_t other[KEY_SIZE], struct edge *out);

/* Writes what edge_get() or a list gave, changed; one that says nothing any more is deleted.
 * Errors: ERR_NO_MEMORY, those of state_put(). */
MUST_CHECK int edge_put(struct owners *owners, struct owner *owner, const struct edge *edge);

/* Lists neighbours on one side; members of a set come in id order. *out is valid until the next
 * edge_put() of this owner, or the end of the call of the stage. Errors: as edge_get(). */
MUST_CHECK int edges_above(struct owners *owners, const struct owner *owner, struct edge_list *out);
MUST_CHECK int edges_below(struct owners *owners, const struct owner *owner, struct edge_list *out);

/* Marks the links up that signatures show: what an erasure leaves of them is others'. Errors: as
 * edge_put(). */
MUST_CHECK int edges_spare(struct owners *owners, struct owner *owner);

/* Returns 1 when all these are marked so, else 0. Errors: as edge_get(). */
MUST_CHECK int edges_spared(
    struct owners *owners, const struct owner *owner, const struct link_end *others, size_t count);

/* Lists neighbours of its own rank on one side, copied: *out is valid until the end of the call of
 * the stage. Costs nothing where there are none. Errors: as edge_get(). */
MUST_CHECK int edges_kin(
    struct owners *owners, const struct owner *owner, bool above, struct edge_list *out);

/* How many neighbours of a class have links. */
int64_t edges_linked(const struct owner *owner, int class);

/* Deletes all neighbours below. */
MUST_CHECK int edges_drop_below(struct owners *owners, struct owner *owner);

/* ---- claims on a root, of protected namespaces: rows root | ff | claimant ---- */

struct claim {
    uint8_t claimant[KEY_SIZE];
    int64_t number;
    int64_t told_number; /* of the claim that was answered last; 0: none */
    bool told;           /* the answer */
};

/* Returns 0, or STATE_ABSENT. Errors: ERR_STATE, those of state_get(). */
MUST_CHECK int claim_get(struct owners *owners, const struct owner *root,
    const uint8_t claimant[KEY_SIZE], struct claim *out);
MUST_CHECK int claim_put(
    struct owners *owners, const struct owner *root, const struct claim *claim);
MUST_CHECK int claim_delete(
    struct owners *owners, const struct owner *root, const uint8_t claimant[KEY_SIZE]);

/* The first claimants of a class in id order, at most `count_max`; *count is set. */
MUST_CHECK int claims_first(
    struct owners *owners, const struct owner *root, int class, struct claim *out, size_t *count);

/*
 * The nodes of one partition in memory during a batch, and their neighbours in the table edge.
 */
#pragma once

#include "enrich/identity/message.h"
#include "schemas/identity_node.avro.h"

/* A node. `node` is what its row says; slices in it are valid until the batch ends. */
struct owner {
    uint8_t id[KEY_SIZE];
    bool exists; /* else `node` is empty: nothing has been said to it yet */
    bool dirty;
    struct identity_node node;
    int32_t up_counts[NAMESPACES_MAX];
    int32_t down_counts[NAMESPACES_MAX];
};

/* A neighbour's row: key node | neighbour. */
struct edge {
    uint32_t up;           /* signatures that show the link from this node up to the neighbour */
    uint32_t derived_up;   /* bridges that say the neighbour stands above */
    uint32_t derived_down; /* bridges that say the neighbour stands below */
    uint32_t claim_number; /* of the neighbour's claim on this node */
    uint32_t told_number;  /* the claim that the last verdict was about; 0: none */
    bool down;             /* the neighbour attached itself from below */
    bool generic;          /* the neighbour said that it is generic */
    bool has_root;         /* the neighbour told its root */
    bool claimant;         /* the neighbour, of a protected namespace, claims this node */
    bool told_accepted;
    uint8_t root[KEY_SIZE];
};

struct neighbour {
    uint8_t id[KEY_SIZE];
    struct edge edge;
};

/* True for the id of a set of identifiers. */
static inline bool node_is_set(const uint8_t id[KEY_SIZE])
{
    return id[0] & 1;
}

static inline int node_rank(const uint8_t id[KEY_SIZE])
{
    return id[0] / 2;
}

struct owners;
MUST_CHECK int owners_new(struct owners **out);
void owners_free(struct owners **owners);

/* The node of this id, read from its row at its first use in a batch. *out is valid until
 * owners_forget(). Errors: ERR_STATE (its row is damaged), ERR_NO_MEMORY, those of state_get(). */
MUST_CHECK int owners_get(
    struct owners *owners, struct state *state, const uint8_t id[KEY_SIZE], struct owner **out);

/* Writes every dirty node's row. */
MUST_CHECK int owners_flush(struct owners *owners, struct state *state);

/* Memory that lives as long as the nodes. */
struct arena *owners_arena(struct owners *owners);

/* Drops all from memory, written or not. */
void owners_forget(struct owners *owners);

/* A neighbour's row; all zero where there is none. */
MUST_CHECK int edge_get(struct state *state, const uint8_t node[KEY_SIZE],
    const uint8_t other[KEY_SIZE], struct edge *out);
/* Writes it, or deletes the row when all is zero. */
MUST_CHECK int edge_put(struct state *state, const uint8_t node[KEY_SIZE],
    const uint8_t other[KEY_SIZE], const struct edge *edge);

/* Neighbours whose id begins with `prefix` bytes, in id order, in the arena. prefix_size 0: all. */
MUST_CHECK int edges_list(struct state *state, const uint8_t node[KEY_SIZE], struct str prefix,
    struct arena *arena, struct neighbour **out, size_t *count);

/* Those above the node: stronger, or members of the set. They come first in id order, so the scan
 * ends early. */
MUST_CHECK int edges_above(struct state *state, const uint8_t node[KEY_SIZE], struct arena *arena,
    struct neighbour **out, size_t *count);

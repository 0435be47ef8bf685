/*
 * The table of identifier namespaces, totally ranked, strongest first (IDENTITY, "Meaning"), and what
 * follows from it: node ids and event keys.
 */
#pragma once

#include "schemas/event.h"
#include "schemas/hash.h"

#define NAMESPACES_MAX 32
#define NODES_MAX NAMESPACES_MAX /* a chain has at most one node a rank */

struct namespace_rule {
    struct str name;
    int32_t protected_max;  /* most values a person; 0: not protected */
    int32_t generic_up_max; /* most distinct neighbours of one stronger namespace; 0: never generic by it */
    int32_t generic_down_max;
};

struct namespace_table {
    struct namespace_rule rules[NAMESPACES_MAX]; /* index = rank */
    size_t count;
};

/* login loyalty email phone install device cookie order receipt case, with IDENTITY's limits. Static. */
const struct namespace_table *namespace_table_default(void);

/* Rank, or ERR_NAMESPACE. */
int namespace_rank(const struct namespace_table *table, struct str name);

/*
 * A node: an identifier, or a set of several of one rank that stood in one event. Its id has rank * 2 (+ 1
 * for a set) in byte 0, then the first 15 bytes of SHA-256(namespace 0x1f value), for a set of SHA-256(of its
 * members' 16-byte ids, ascending). So memcmp order is: stronger first, within a rank the spec's order_key.
 */
struct node {
    uint8_t id[KEY_SIZE];
    const struct identifier *const *members; /* in id order */
    size_t members_count;
};

/* The chain of an event: its nodes, strongest rank first; identical identifiers count once.
 * chain has room for NODES_MAX. Errors: ERR_NAMESPACE, ERR_NO_IDENTIFIER (none), ERR_NO_MEMORY. */
MUST_CHECK int namespace_chain(const struct namespace_table *table, const struct identifier *identifiers,
    size_t count, struct arena *arena, struct node *chain, size_t *chain_count);

void namespace_node_id(const struct namespace_table *table, int rank, struct str value, uint8_t id[KEY_SIZE]);

/* Sets event->event_key from source, event_id and the members of chain[0] (EVENT, "event_key"). */
void namespace_event_key(const struct node *strongest, struct touchpoint *event);

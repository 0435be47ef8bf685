/*
 * The table of identifier namespaces, totally ranked, strongest first (IDENTITY, "Meaning"), and
 * what follows from it: node ids and event keys.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"
#include "schemas/hash.h"

#define NAMESPACES_MAX 32
/* An owner counts no further, whatever is configured: what one node keeps stays bounded. */
#define NAMESPACE_GENERIC_MAX 10000
#define NODES_MAX NAMESPACES_MAX /* a chain has at most one node a rank */

struct namespace_rule {
    struct str name;
    int32_t protected_max;    /* most values a person; 0: not protected */
    int32_t generic_up_max;   /* most distinct neighbours of one stronger namespace; 0: no limit */
    int32_t generic_down_max; /* most distinct neighbours of one weaker namespace; 0: no limit */
};

struct namespace_table {
    struct namespace_rule rules[NAMESPACES_MAX]; /* index = rank */
    size_t count;
};

/* login loyalty email phone install device cookie order receipt case, with IDENTITY's limits. (A
 * login needs no protection: nothing is stronger, so it is a root and unique a person.) Static. */
const struct namespace_table *namespace_table_default(void);

/* Rank, or ERR_NAMESPACE. Threads: any. */
int namespace_rank(const struct namespace_table *table, struct str name);

/*
 * A node: an identifier, or a set of several of one rank that stood in one event. Its id has rank *
 * 2 (+ 1 for a set) in byte 0, then the first 15 bytes of SHA-256(namespace 0x1f value), for a set
 * of SHA-256(of its members' 16-byte ids, ascending). So memcmp order is: stronger first, within a
 * rank the order of IDENTITY's fixed order (order_key of its executable spec).
 */
struct node {
    uint8_t id[KEY_SIZE];
    const struct identifier *const *members; /* in id order; in the arena */
    size_t members_count;
};

/* The chain of an event: its nodes, strongest rank first; identical identifiers count once.
 * chain has room for NODES_MAX. Errors: ERR_NAMESPACE, ERR_NO_IDENTIFIER (none), ERR_TOO_MANY (over
 * EVENT_IDENTIFIERS_MAX), ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int namespace_chain(const struct namespace_table *table,
    const struct identifier *identifiers, size_t count, struct arena *arena, struct node *chain,
    size_t *chain_count);

/* The first node of the chain alone, for those that need no more. Errors as namespace_chain(). */
MUST_CHECK int namespace_strongest(const struct namespace_table *table,
    const struct identifier *identifiers, size_t count, struct arena *arena, struct node *out);

void namespace_node_id(
    const struct namespace_table *table, int rank, struct str value, uint8_t id[KEY_SIZE]);

/* Sets event->event_key: the first 16 bytes of SHA-256(source, event_id, then namespace and value
 * of each member of the strongest node in id order), every piece after its size (8 bytes,
 * big-endian). Source: EVENT, "Record" and "Ids". */
void namespace_event_key(const struct node *strongest, struct touchpoint *event);

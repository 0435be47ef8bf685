/*
 * The signature of an event: the set of its identifiers, as node ids. What outlives the event when
 * it is erased: hashes only.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "schemas/identity_message.avro.h"

struct signature {
    uint8_t members[EVENT_IDENTIFIERS_MAX][KEY_SIZE]; /* identifiers in id order, distinct */
    size_t count;
};

/* One node of its chain: an identifier, or a set of several members. */
struct signature_node {
    uint8_t id[KEY_SIZE];
    size_t first; /* of its members */
    size_t count;
};

/* Errors: those of namespace_chain(). Threads: any. */
MUST_CHECK int signature_of_event(const struct namespace_table *namespaces,
    const struct touchpoint *event, struct arena *arena, struct signature *out);

/* From messages and rows. Returns false where the bytes, or links, are none of a signature. */
bool signature_of_links(const struct link_end *links, size_t count, struct signature *out);
bool signature_of_bytes(struct str bytes, struct signature *out);
struct str signature_bytes(const struct signature *signature);

/* The chain, strongest first; returns the number of nodes, at most NODES_MAX. */
size_t signature_chain(const struct signature *signature, struct signature_node chain[NODES_MAX]);

/* A hash of the chain's ids: a node's id says its members. */
void signature_digest(const struct signature *signature, uint8_t digest[SHA256_SIZE]);
void signature_chain_digest(const struct node *chain, size_t count, uint8_t digest[SHA256_SIZE]);

/*
 * Messages to the owners of nodes. Source: IDENTITY, "Actors and messages".
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"
#include "schemas/identity_message.avro.h"

/* Chain index of an event that stays with its first node since all nodes are dead. */
#define CHAIN_INDEX_STAY 255

/* An event on its way from one node of its chain to the next. Slices are borrowed. */
struct travelling_event {
    struct str event;   /* enriched Touchpoint, Avro */
    struct str channel; /* of the rule table */
    int64_t position;
    int32_t chain_index; /* of the node that it leaves */
    int64_t lifted_at;   /* the lift that let it in, or 0 */
    uint8_t from[KEY_SIZE];
};

/*
 * Sends the event to the node of its chain behind chain_index, or, behind the last, back to the
 * first to stay. Needs the namespaces that the chain was made with. Errors: ERR_AVRO,
 * ERR_NAMESPACE, ERR_NO_IDENTIFIER (of the event's bytes), ERR_NO_MEMORY, those of outbox_send().
 * Threads: any.
 */
MUST_CHECK int identity_message_pass_on(const struct namespace_table *namespaces,
    const struct travelling_event *event, struct arena *arena, struct outbox *outbox);

/* What that message says, for those that have the chain. Slices are borrowed from event. */
void identity_message_onward(const struct node *chain, size_t chain_count,
    const struct travelling_event *event, struct identity_message *out);

/* True for a message that an owner may get: node ids of configured ranks, and what its kind needs.
 * Events are not looked into. Threads: any. */
bool identity_message_valid(
    const struct namespace_table *namespaces, const struct identity_message *message);

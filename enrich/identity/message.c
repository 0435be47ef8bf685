/* No state. */
#include "enrich/identity/message.h"

#include "schemas/error.h"

int identity_message_send(const struct identity_message *message, struct outbox *outbox)
{
    CLEANUP(buf_free) struct buf value = {0};
    int r = identity_message_encode(message, &value);
    if (r < 0)
        return r;
    return outbox_send(outbox, TOPIC_IDENTITY, str_make(message->to, KEY_SIZE), buf_str(&value));
}

int identity_message_pass_on(const struct namespace_table *namespaces,
    const struct travelling_event *event, struct arena *arena, struct outbox *outbox)
{
    struct touchpoint touchpoint;
    struct node chain[NODES_MAX];
    size_t count;
    int r = touchpoint_decode(&touchpoint, event->event, arena);
    if (r == 0)
        r = namespace_chain(
            namespaces, touchpoint.identifiers, touchpoint.identifiers_count, arena, chain, &count);
    if (r < 0)
        return r;
    struct identity_message message;
    identity_message_init(&message);
    bool next = event->chain_index >= 0 && (size_t)event->chain_index + 1 < count;
    size_t index = next ? (size_t)event->chain_index + 1 : 0;
    message.kind = next ? IDENTITY_KIND_EVENT : IDENTITY_KIND_STAY;
    message.position = event->position;
    message.chain_index = (int32_t)index;
    message.channel = event->channel;
    message.event = event->event;
    memcpy(message.to, chain[index].id, KEY_SIZE);
    memcpy(message.from, event->from, KEY_SIZE);
    return identity_message_send(&message, outbox);
}

/* No state. */
#include "enrich/identity/message.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/signature.h"
#include "schemas/error.h"

void identity_message_onward(const struct node *chain, size_t chain_count,
    const struct travelling_event *event, struct identity_message *out)
{
    bool next = event->chain_index >= 0 && (size_t)event->chain_index + 1 < chain_count;
    size_t index = next ? (size_t)event->chain_index + 1 : 0;
    identity_message_init(out);
    out->kind = next ? IDENTITY_KIND_EVENT : IDENTITY_KIND_STAY;
    out->position = event->position;
    out->chain_index = (int32_t)index;
    out->channel = event->channel;
    out->event = event->event;
    out->lifted_at = event->lifted_at;
    memcpy(out->to, chain[index].id, KEY_SIZE);
    memcpy(out->from, event->from, KEY_SIZE);
}

int identity_message_pass_on(const struct namespace_table *namespaces,
    const struct travelling_event *event, struct arena *arena, struct outbox *outbox)
{
    struct touchpoint touchpoint;
    struct node chain[NODES_MAX];
    struct identity_message message;
    CLEANUP(buf_free) struct buf value = {0};
    size_t count;
    int r = touchpoint_decode(&touchpoint, event->event, arena);
    if (r == 0)
        r = namespace_chain(
            namespaces, touchpoint.identifiers, touchpoint.identifiers_count, arena, chain, &count);
    if (r < 0)
        return r;
    identity_message_onward(chain, count, event, &message);
    r = identity_message_encode(&message, &value);
    if (r < 0)
        return r;
    return outbox_send(outbox, TOPIC_IDENTITY, str_make(message.to, KEY_SIZE), buf_str(&value));
}

/* ---- validity ---- */

static bool configured(const struct namespace_table *namespaces, const uint8_t id[KEY_SIZE])
{
    return (size_t)node_rank(id) < namespaces->count;
}

/* By rank, within a rank (where evidence alone links) by id. */
static bool stronger(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) < 0;
}

static bool identifier(const uint8_t id[KEY_SIZE])
{
    return !node_is_set(id);
}

/* A set is linked to all its members, which are of its rank, in id order; an identifier to
 * identifiers of stronger ranks. */
static bool link_valid(const struct identity_message *message)
{
    bool set = node_is_set(message->to);
    if (message->links_count < (set ? 2 : 1))
        return false;
    for (size_t i = 0; i < message->links_count; i++) {
        const uint8_t *strong = message->links[i].node;
        if (node_is_set(strong) || node_class(strong) >= node_class(message->to))
            return false;
        if (set && node_rank(strong) != node_rank(message->to))
            return false;
        if (set && i && memcmp(message->links[i - 1].node, strong, KEY_SIZE) >= 0)
            return false;
    }
    return true;
}

/* Of two ranks, or, within a group, all of one. */
static bool bridge_valid(const struct identity_message *message)
{
    if (!message->has_other || !identifier(message->to) || !identifier(message->other) ||
        !identifier(message->from) || memcmp(message->to, message->other, KEY_SIZE) == 0)
        return false;
    bool group = node_class(message->to) == node_class(message->other);
    return stronger(message->to, message->from) && stronger(message->other, message->from) &&
           (!group || node_class(message->to) == node_class(message->from));
}

static bool candidate_valid(const struct identity_message *message)
{
    if (!identifier(message->to) || node_class(message->to) != node_class(message->from) ||
        !stronger(message->to, message->from))
        return false;
    return !message->has_other ||
           (identifier(message->other) && node_class(message->other) < node_class(message->to));
}

static bool root_valid(const struct identity_message *message)
{
    if (!message->has_other || !identifier(message->other) || !identifier(message->from))
        return false;
    return stronger(message->from, message->to) &&
           node_class(message->other) <= node_class(message->from); /* within a rank by evidence */
}

/* Of an erasure: the identifiers of a signature, and where in its chain `to` is. */
static bool signature_valid(const struct identity_message *message)
{
    struct signature signature;
    struct signature_node chain[NODES_MAX];
    if (!signature_of_links(message->links, message->links_count, &signature))
        return false;
    size_t count = signature_chain(&signature, chain);
    size_t index = message->chain_index == CHAIN_INDEX_STAY ? 0 : (size_t)message->chain_index;
    return message->chain_index >= 0 && index < count &&
           memcmp(chain[index].id, message->to, KEY_SIZE) == 0;
}

/* A pass is at one of the pseudonyms that it names; an event's, at last, at whom that is about. */
static bool pass_valid(const struct identity_message *message)
{
    bool evidence =
        message->kind == IDENTITY_KIND_PASS_EVIDENCE || message->kind == IDENTITY_KIND_PASS_RETRACT;
    bool event = message->kind == IDENTITY_KIND_PASS_EVENT;
    if (message->links_count < 2 || message->links_count > EVENT_IDENTIFIERS_MAX ||
        message->chain_index < 0 ||
        (size_t)message->chain_index >= message->newer.size + (size_t)event)
        return false;
    if (event && (!message->has_other || message->number < 1 || message->number >= NODES_MAX))
        return false;
    if (evidence && (message->links_count != 2 || !message->has_event_key))
        return false;
    for (size_t i = 0; i < message->newer.size; i++)
        if ((uint8_t)message->newer.data[i] >= message->links_count)
            return false;
    bool behind = (size_t)message->chain_index == message->newer.size;
    size_t index =
        behind ? message->links_count - 1 : (uint8_t)message->newer.data[message->chain_index];
    return memcmp(message->links[index].node, message->to, KEY_SIZE) == 0;
}

static bool rotation_valid(
    const struct namespace_table *namespaces, const struct identity_message *message)
{
    for (size_t i = 0; i < message->links_count; i++)
        if (!identifier(message->links[i].node) || !configured(namespaces, message->links[i].node))
            return false;
    if (message->kind != IDENTITY_KIND_ROTATE)
        return pass_valid(message);
    return message->has_other && identifier(message->other) && identifier(message->to) &&
           identifier(message->from) && node_class(message->from) == node_class(message->to) &&
           message->links_count == 1 &&
           memcmp(message->links[0].node, message->from, KEY_SIZE) == 0;
}

static bool erasure_valid(const struct identity_message *message)
{
    switch (message->kind) {
    case IDENTITY_KIND_ERASE:
        return identifier(message->to) &&
               (!message->has_person || (message->has_other && identifier(message->other)));
    case IDENTITY_KIND_REACH:
    case IDENTITY_KIND_REACHED:
    case IDENTITY_KIND_GO:
        return message->has_person && identifier(message->to) && identifier(message->from);
    case IDENTITY_KIND_EVIDENCE: /* to both ends */
        return message->has_event_key && message->has_other && identifier(message->to) &&
               identifier(message->other) && message->links_count <= 1 &&
               memcmp(message->other, message->to, KEY_SIZE) != 0;
    case IDENTITY_KIND_RETRACT:
        return message->has_event_key && message->has_other && identifier(message->to) &&
               identifier(message->other) && stronger(message->other, message->to);
    case IDENTITY_KIND_LIFT:
        return identifier(message->to);
    case IDENTITY_KIND_ALONE:
        return message->has_person && identifier(message->to);
    case IDENTITY_KIND_FORGET:
        return message->has_person && message->chain_index == 0 && signature_valid(message);
    case IDENTITY_KIND_SUPPRESS:
        return message->links_count ? signature_valid(message)
                                    : message->has_person && identifier(message->to);
    default:
        return false;
    }
}

static bool kind_valid(
    const struct namespace_table *namespaces, const struct identity_message *message)
{
    switch (message->kind) {
    case IDENTITY_KIND_EVENT:
        return message->chain_index >= 0 && message->chain_index < NODES_MAX &&
               (message->number == 0 || message->chain_index > 0);
    case IDENTITY_KIND_STAY:
        return true;
    case IDENTITY_KIND_LINK:
    case IDENTITY_KIND_UNLINK:
        return link_valid(message);
    case IDENTITY_KIND_ATTACH:
    case IDENTITY_KIND_DETACH:
        return identifier(message->to) && stronger(message->to, message->from);
    case IDENTITY_KIND_GENERIC:
        return identifier(message->from) && stronger(message->from, message->to);
    case IDENTITY_KIND_BRIDGE:
        return bridge_valid(message);
    case IDENTITY_KIND_ROOT:
        return root_valid(message);
    case IDENTITY_KIND_CANDIDATE:
        return candidate_valid(message);
    case IDENTITY_KIND_CLAIM:
    case IDENTITY_KIND_UNCLAIM:
        return identifier(message->to) && identifier(message->from) &&
               stronger(message->to, message->from) &&
               namespaces->rules[node_rank(message->from)].protected_max > 0;
    case IDENTITY_KIND_VERDICT:
        return identifier(message->to) && identifier(message->from) &&
               stronger(message->from, message->to);
    case IDENTITY_KIND_ROTATE:
    case IDENTITY_KIND_PASS_LINK:
    case IDENTITY_KIND_PASS_UNLINK:
    case IDENTITY_KIND_PASS_EVIDENCE:
    case IDENTITY_KIND_PASS_RETRACT:
    case IDENTITY_KIND_PASS_EVENT:
        return rotation_valid(namespaces, message);
    default: /* and kinds of a later version */
        return erasure_valid(message);
    }
}

bool identity_message_valid(
    const struct namespace_table *namespaces, const struct identity_message *message)
{
    if (!configured(namespaces, message->to) || !configured(namespaces, message->from))
        return false;
    if (message->has_other && !configured(namespaces, message->other))
        return false;
    return kind_valid(namespaces, message);
}

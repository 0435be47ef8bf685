/*
 * What was told is remembered by EDGE_JOINED: of the neighbours that have it, the first is whom the
 * node follows and has joined to each of the others. Of what a follower would claim the follower
 * has the last word in owner->candidate, whom it follows in the root of that edge.
 */
#include "enrich/identity/group.h"

#include "enrich/identity/settle.h"

static bool same(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) == 0;
}

/* An earlier member that the node has, by a word or joined; a word against the pair unsays the
 * pair's own words only. */
static bool is_member(const struct owner *owner, const struct edge *edge)
{
    return group_kin(owner, edge) && !(owner->flags & OWNER_GENERIC) &&
           !(edge->flags & EDGE_GENERIC) && (edge_linked(edge) || edge->bridges > 0);
}

static bool was_member(const struct edge *edge)
{
    return edge->flags & EDGE_JOINED;
}

/* The first of those that are members, or, before, that were. */
static const struct edge *first_of(
    const struct owner *owner, const struct edge_list *above, bool before)
{
    const struct edge *first = NULL;
    for (size_t i = 0; i < above->count; i++) {
        const struct edge *edge = &above->edges[i];
        if ((before ? was_member(edge) : is_member(owner, edge)) &&
            (!first || memcmp(edge->node, first->node, KEY_SIZE) < 0))
            first = edge;
    }
    return first;
}

const struct edge *group_followed(const struct owner *owner, const struct edge_list *above)
{
    return first_of(owner, above, false);
}

/* Tells the pairs that are joined no more, then those that are from now on. */
static int tell_joins(struct actor *actor, const struct owner *owner, const struct edge_list *above,
    const struct edge *before, const struct edge *after)
{
    bool moved = before != after;
    int r = 0;
    for (size_t i = 0; r == 0 && before && i < above->count; i++) {
        const struct edge *edge = &above->edges[i];
        if (edge != before && was_member(edge) && (moved || !is_member(owner, edge)))
            r = settle_tell_bridge(actor, owner, before->node, edge->node, false);
    }
    for (size_t i = 0; r == 0 && after && i < above->count; i++) {
        const struct edge *edge = &above->edges[i];
        if (edge != after && is_member(owner, edge) && (moved || !was_member(edge)))
            r = settle_tell_bridge(actor, owner, after->node, edge->node, true);
    }
    return r;
}

static int mark_members(struct actor *actor, struct owner *owner, const struct edge_list *above)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < above->count; i++) {
        struct edge edge = above->edges[i];
        bool joined = is_member(owner, &edge);
        if (joined == was_member(&edge))
            continue;
        edge.flags ^= EDGE_JOINED;
        r = edge_put(actor->owners, owner, &edge);
    }
    return r;
}

int group_settle(struct actor *actor, struct owner *owner)
{
    struct edge_list above; /* a copy: edge_put() leaves it as it is */
    bool changes = false;
    int r = edges_kin(actor->owners, owner, true, &above);
    if (r < 0)
        return r;
    for (size_t i = 0; i < above.count; i++)
        changes |= is_member(owner, &above.edges[i]) != was_member(&above.edges[i]);
    if (!changes)
        return 0;
    const struct edge *before = first_of(owner, &above, true),
                      *after = group_followed(owner, &above);
    bool moved = before != after, told = !same(owner->candidate, owner->id);
    r = tell_joins(actor, owner, &above, before, after);
    if (r == 0)
        r = mark_members(actor, owner, &above);
    if (r == 0 && before && moved && told)
        r = group_tell(actor, owner, before->node, NULL, false);
    return r;
}

int group_tell(struct actor *actor, struct owner *owner, const uint8_t followed[KEY_SIZE],
    const uint8_t *candidate, bool several)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_CANDIDATE;
    message.on = several;
    message.has_other = candidate != NULL;
    if (candidate)
        memcpy(message.other, candidate, KEY_SIZE);
    memcpy(owner->candidate, candidate ? candidate : owner->id, KEY_SIZE);
    owner_changed(actor->owners, owner);
    return actor_send(actor, owner, followed, &message);
}

int group_on_candidate(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct edge edge;
    if (owner->flags & OWNER_GENERIC)
        return 0; /* nobody follows it any more */
    int r = edge_get(actor->owners, owner, message->from, &edge);
    if (r < 0)
        return r;
    edge.flags &= ~(unsigned)EDGE_SEVERAL;
    if (message->has_other && message->on)
        edge.flags |= EDGE_SEVERAL;
    memcpy(edge.root, message->has_other ? message->other : edge.node, KEY_SIZE);
    r = edge_put(actor->owners, owner, &edge);
    return r < 0 ? r : settle(actor, owner);
}

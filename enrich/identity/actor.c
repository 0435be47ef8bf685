/*
 * Every handler changes the node or one neighbour's row, then settle() brings the node to rest:
 * generic, bridge, root, place, in this order, each telling only what changed.
 *
 * Invariants after settle():
 *  I1 generic never goes back.
 *  I2 every node below (attached or by a bridge) was told the present root last.
 *  I3 bridging lists what the two ends of each pair were told last.
 *  I4 epoch rose by one for each change of place; a dead node's place never changes again.
 */
#include "enrich/identity/actor.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "schemas/person_of.avro.h"

void actor_person(struct str tenant_key, const uint8_t root[KEY_SIZE], uint8_t person[KEY_SIZE])
{
    uint8_t digest[32];
    hmac_sha256(tenant_key, str_make(root, KEY_SIZE), digest);
    memcpy(person, digest, KEY_SIZE);
    person[6] = (uint8_t)((person[6] & 0x0f) | 0x80); /* version 8, RFC 9562 */
    person[8] = (uint8_t)((person[8] & 0x3f) | 0x80);
}

static int send_message(
    struct actor *actor, struct identity_message *message, const uint8_t to[KEY_SIZE])
{
    memcpy(message->to, to, KEY_SIZE);
    memcpy(message->from, actor->owner->id, KEY_SIZE);
    return identity_message_send(message, actor->outbox);
}

static int send_kind(struct actor *actor, enum identity_kind kind, const uint8_t to[KEY_SIZE])
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = kind;
    return send_message(actor, &message, to);
}

static int send_root(struct actor *actor, const uint8_t to[KEY_SIZE])
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ROOT;
    message.has_other = true;
    memcpy(message.other, actor->owner->node.root, KEY_SIZE);
    return send_message(actor, &message, to);
}

/* What other nodes above told, with what this node believes of those that did not yet. */
static const uint8_t *root_of(const struct neighbour *neighbour)
{
    return neighbour->edge.has_root ? neighbour->edge.root : neighbour->id;
}

static bool live(const struct neighbour *neighbour)
{
    return neighbour->edge.up && !neighbour->edge.generic;
}

/* The only root of the strongest rank; NULL for none. *several: there were more than one. */
static const uint8_t *strongest_claim(const uint8_t *const *roots, size_t count, bool *several)
{
    const uint8_t *best = NULL;
    *several = false;
    for (size_t i = 0; i < count; i++) {
        if (!best || node_rank(roots[i]) < node_rank(best)) {
            best = roots[i];
            *several = false;
        } else if (node_rank(roots[i]) == node_rank(best) &&
                   memcmp(roots[i], best, KEY_SIZE) != 0) {
            *several = true;
        }
    }
    return *several ? NULL : best;
}

static int put_person_of(struct actor *actor, const char *why)
{
    struct owner *owner = actor->owner;
    struct person_of row;
    if (!owner->node.namespace.size)
        return 0;
    CLEANUP(buf_free) struct buf value = {0};
    person_of_init(&row);
    memcpy(row.node, owner->id, KEY_SIZE);
    row.namespace = owner->node.namespace;
    row.value = owner->node.value;
    row.epoch = owner->node.epoch;
    row.why = str_of(why);
    if (memcmp(owner->node.root, owner->node.place, KEY_SIZE) == 0)
        memcpy(row.person, owner->node.person, KEY_SIZE);
    else
        actor_person(actor->tenant_key, owner->node.root, row.person);
    int r = person_of_encode(&row, &value);
    if (r < 0)
        return r;
    return state_put(actor->state, TABLE_PERSON_OF, str_make(owner->id, KEY_SIZE), buf_str(&value));
}

/* The node's text, once it is known: a claim can come before the message that names the node. */
static int name_node(struct actor *actor, struct str namespace, struct str value)
{
    struct owner *owner = actor->owner;
    struct arena *arena = owners_arena(actor->owners);
    if (owner->node.namespace.size || !namespace.size)
        return 0;
    int r = arena_dup(arena, namespace, &owner->node.namespace);
    if (r == 0)
        r = arena_dup(arena, value, &owner->node.value);
    owner->dirty = true;
    return r < 0 ? r : put_person_of(actor, "self");
}

int actor_create(struct actor *actor, struct str namespace, struct str value, struct str members)
{
    struct owner *owner = actor->owner;
    if (owner->exists)
        return name_node(actor, namespace, value);
    bool set = node_is_set(owner->id);
    if (set && (members.size < 2 * KEY_SIZE || members.size % KEY_SIZE))
        return ERR_VALUE;
    int r = arena_dup(owners_arena(actor->owners), members, &owner->node.members);
    if (r < 0)
        return r;
    const char *self = set ? members.data : (const char *)owner->id;
    memcpy(owner->node.root, self, KEY_SIZE);
    memcpy(owner->node.claim, self, KEY_SIZE);
    memcpy(owner->node.place, self, KEY_SIZE);
    actor_person(actor->tenant_key, owner->node.place, owner->node.person);
    owner->exists = owner->dirty = true;
    return set ? 0 : name_node(actor, namespace, value);
}

/* ---- to rest ---- */

static bool over_limit(const int32_t counts[NAMESPACES_MAX], int32_t limit)
{
    for (size_t i = 0; limit && i < NAMESPACES_MAX; i++)
        if (counts[i] > limit)
            return true;
    return false;
}

static int settle_generic(struct actor *actor)
{
    struct owner *owner = actor->owner;
    if (owner->node.generic || node_is_set(owner->id))
        return 0;
    const struct namespace_rule *rule = &actor->namespaces->rules[node_rank(owner->id)];
    if (!over_limit(owner->up_counts, rule->generic_up_max) &&
        !over_limit(owner->down_counts, rule->generic_down_max))
        return 0;
    owner->node.generic = owner->dirty = true;
    struct neighbour *all;
    size_t count;
    int r = edges_list(actor->state, owner->id, (struct str){0}, actor->scratch, &all, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (all[i].edge.up || all[i].edge.down)
            r = send_kind(actor, IDENTITY_KIND_GENERIC, all[i].id);
    return r;
}

static bool lists(struct str keys, const uint8_t id[KEY_SIZE])
{
    for (size_t i = 0; i < keys.size; i += KEY_SIZE)
        if (memcmp(keys.data + i, id, KEY_SIZE) == 0)
            return true;
    return false;
}

static int send_bridge(
    struct actor *actor, const uint8_t to[KEY_SIZE], const uint8_t other[KEY_SIZE], bool on)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_BRIDGE;
    message.on = on;
    message.has_other = true;
    memcpy(message.other, other, KEY_SIZE);
    return send_message(actor, &message, to);
}

/* Tells both ends of every pair of `keys` that `others` does not have. Keys are of different ranks.
 */
static int send_pairs(struct actor *actor, struct str keys, struct str others, bool on)
{
    int r = 0;
    for (size_t i = 0; i < keys.size; i += KEY_SIZE) {
        for (size_t k = i + KEY_SIZE; r == 0 && k < keys.size; k += KEY_SIZE) {
            const uint8_t *a = (const uint8_t *)keys.data + i, *b = (const uint8_t *)keys.data + k;
            if (lists(others, a) && lists(others, b))
                continue;
            r = send_bridge(actor, a, b, on);
            if (r == 0)
                r = send_bridge(actor, b, a, on);
        }
    }
    return r;
}

static int settle_bridge(struct actor *actor, const struct neighbour *above, size_t count)
{
    struct owner *owner = actor->owner;
    char *now = arena_alloc(owners_arena(actor->owners), (count + 1) * KEY_SIZE);
    if (!now)
        return ERR_NO_MEMORY;
    size_t size = 0;
    bool exclusive = !owner->node.generic && !node_is_set(owner->id);
    for (size_t i = 0; exclusive && i < count; i++) {
        if (!live(&above[i]))
            continue;
        exclusive = size == 0 ||
                    node_rank((const uint8_t *)now + size - KEY_SIZE) != node_rank(above[i].id);
        memcpy(now + size, above[i].id, KEY_SIZE);
        size += KEY_SIZE;
    }
    struct str next = str_make(now, exclusive && size > KEY_SIZE ? size : 0);
    if (str_equal(next, owner->node.bridging))
        return 0;
    int r = send_pairs(actor, owner->node.bridging, next, false);
    if (r == 0)
        r = send_pairs(actor, next, owner->node.bridging, true);
    owner->node.bridging = next;
    owner->dirty = true;
    return r;
}

/* The roots that are candidates for the claim, in the arena. */
static int candidates(struct actor *actor, const struct neighbour *above, size_t count,
    const uint8_t ***out, size_t *out_count)
{
    const uint8_t **roots = arena_alloc(actor->scratch, (count + 1) * sizeof *roots);
    if (!roots)
        return ERR_NO_MEMORY;
    size_t found = 0;
    for (size_t i = 0; !actor->owner->node.generic && i < count; i++)
        if (live(&above[i]) || above[i].edge.derived_up)
            roots[found++] = root_of(&above[i]);
    *out = roots;
    *out_count = found;
    return 0;
}

static int change_claim(struct actor *actor, const uint8_t claim[KEY_SIZE], bool protected)
{
    struct owner *owner = actor->owner;
    struct identity_node *node = &owner->node;
    int r = 0;
    if (memcmp(node->claim, claim, KEY_SIZE) == 0)
        return 0;
    if (protected && memcmp(node->claim, owner->id, KEY_SIZE) != 0)
        r = send_kind(actor, IDENTITY_KIND_UNCLAIM, node->claim);
    memcpy(node->claim, claim, KEY_SIZE);
    owner->dirty = true;
    if (r < 0 || !protected || memcmp(claim, owner->id, KEY_SIZE) == 0)
        return r;
    node->claim_number++;
    node->accepted = false;
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_CLAIM;
    message.number = node->claim_number;
    return send_message(actor, &message, claim);
}

static int tell_below(struct actor *actor)
{
    struct neighbour *all;
    size_t count;
    int r =
        edges_list(actor->state, actor->owner->id, (struct str){0}, actor->scratch, &all, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (all[i].edge.down || all[i].edge.derived_down)
            r = send_root(actor, all[i].id);
    return r;
}

/* tell: a node below that is to be told anew, or NULL. */
static int settle_root(
    struct actor *actor, const struct neighbour *above, size_t count, const uint8_t *tell)
{
    struct owner *owner = actor->owner;
    struct identity_node *node = &owner->node;
    if (node_is_set(owner->id))
        return 0;
    const uint8_t **roots;
    size_t roots_count;
    bool several;
    int r = candidates(actor, above, count, &roots, &roots_count);
    if (r < 0)
        return r;
    const uint8_t *claim = strongest_claim(roots, roots_count, &several);
    if (!claim)
        claim = owner->id;
    bool protected = actor->namespaces->rules[node_rank(owner->id)].protected_max > 0;
    r = change_claim(actor, claim, protected);
    bool self = memcmp(node->claim, owner->id, KEY_SIZE) == 0;
    const uint8_t *root = !protected || self || node->accepted ? node->claim : owner->id;
    bool moved = memcmp(node->root, root, KEY_SIZE) != 0;
    if (moved) {
        memcpy(node->root, root, KEY_SIZE);
        owner->dirty = true;
    }
    if (r == 0 && moved)
        r = tell_below(actor);
    else if (r == 0 && tell)
        r = send_root(actor, tell);
    return r;
}

static int send_gone(struct actor *actor, const uint8_t *to)
{
    const struct identity_node *node = &actor->owner->node;
    struct journey_message message;
    CLEANUP(buf_free) struct buf value = {0};
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_GONE;
    memcpy(message.person, node->person, KEY_SIZE);
    memcpy(message.node, actor->owner->id, KEY_SIZE);
    message.epoch = node->epoch;
    message.has_to = to != NULL;
    if (to)
        memcpy(message.to, to, KEY_SIZE);
    int r = journey_message_encode(&message, &value);
    if (r < 0)
        return r;
    return outbox_send(
        actor->outbox, TOPIC_JOURNEY, str_make(node->person, KEY_SIZE), buf_str(&value));
}

/* Where a set's events are: the strongest claim of its live members' roots, else the first's. */
static int place_of_set(
    struct actor *actor, const struct neighbour *above, size_t count, const uint8_t **place)
{
    struct str members = actor->owner->node.members;
    const uint8_t **roots = arena_alloc(actor->scratch, members.size);
    size_t found = 0, at = 0;
    bool several;
    if (!roots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < members.size; i += KEY_SIZE) {
        const uint8_t *member = (const uint8_t *)members.data + i;
        while (at < count && memcmp(above[at].id, member, KEY_SIZE) < 0)
            at++;
        bool known = at < count && memcmp(above[at].id, member, KEY_SIZE) == 0;
        if (!known)
            roots[found++] = member;
        else if (!above[at].edge.generic)
            roots[found++] = root_of(&above[at]);
    }
    *place = strongest_claim(roots, found, &several);
    if (!*place && found)
        *place = roots[0];
    return 0;
}

static int settle_place(struct actor *actor, const struct neighbour *above, size_t count)
{
    struct owner *owner = actor->owner;
    struct identity_node *node = &owner->node;
    const uint8_t *place = node->generic ? NULL : node->root;
    if (node->dead)
        return 0;
    int r = node_is_set(owner->id) ? place_of_set(actor, above, count, &place) : 0;
    if (r < 0)
        return r;
    if (place && memcmp(place, node->place, KEY_SIZE) == 0)
        return 0;
    owner->dirty = true;
    node->epoch++;
    if (!place) {
        node->dead = true;
        return send_gone(actor, NULL);
    }
    uint8_t person[KEY_SIZE];
    actor_person(actor->tenant_key, place, person);
    r = send_gone(actor, person);
    memcpy(node->place, place, KEY_SIZE);
    memcpy(node->person, person, KEY_SIZE);
    return r;
}

static const char *why(const struct actor *actor, const struct neighbour *above, size_t count)
{
    const struct identity_node *node = &actor->owner->node;
    if (node->generic)
        return "generic";
    if (memcmp(node->root, actor->owner->id, KEY_SIZE) != 0)
        return "claim";
    if (memcmp(node->claim, actor->owner->id, KEY_SIZE) != 0)
        return "rejected";
    for (size_t i = 0; i < count; i++)
        if (live(&above[i]) || above[i].edge.derived_up)
            return "shared";
    return "self";
}

static int settle(struct actor *actor, const uint8_t *tell)
{
    struct neighbour *above;
    size_t count;
    int r = edges_above(actor->state, actor->owner->id, actor->scratch, &above, &count);
    if (r == 0)
        r = settle_generic(actor);
    if (r == 0)
        r = settle_bridge(actor, above, count);
    if (r == 0)
        r = settle_root(actor, above, count, tell);
    if (r == 0)
        r = settle_place(actor, above, count);
    if (r < 0 || node_is_set(actor->owner->id))
        return r;
    return put_person_of(actor, why(actor, above, count));
}

/* ---- messages ---- */

static int on_link(struct actor *actor, const struct identity_message *message)
{
    struct owner *owner = actor->owner;
    struct edge edge;
    if (!message->has_other)
        return ERR_VALUE;
    int r = actor_create(actor, message->namespace, message->value, message->members);
    if (r == 0)
        r = edge_get(actor->state, owner->id, message->other, &edge);
    if (r < 0)
        return r;
    edge.up++;
    r = edge_put(actor->state, owner->id, message->other, &edge);
    if (r < 0 || edge.up > 1)
        return r;
    owner->up_counts[node_rank(message->other)]++;
    owner->dirty = true;
    struct identity_message attach;
    identity_message_init(&attach);
    attach.kind = IDENTITY_KIND_ATTACH;
    attach.namespace = message->other_namespace;
    attach.value = message->other_value;
    r = send_message(actor, &attach, message->other);
    if (r == 0 && owner->node.generic)
        r = send_kind(actor, IDENTITY_KIND_GENERIC, message->other);
    return r < 0 ? r : settle(actor, NULL);
}

static int on_attach(struct actor *actor, const struct identity_message *message)
{
    struct owner *owner = actor->owner;
    struct edge edge;
    int r = actor_create(actor, message->namespace, message->value, message->members);
    if (r == 0)
        r = edge_get(actor->state, owner->id, message->from, &edge);
    if (r < 0)
        return r;
    if (!edge.down && !node_is_set(message->from)) {
        owner->down_counts[node_rank(message->from)]++;
        owner->dirty = true;
    }
    edge.down = true;
    r = edge_put(actor->state, owner->id, message->from, &edge);
    if (r == 0 && owner->node.generic)
        r = send_kind(actor, IDENTITY_KIND_GENERIC, message->from);
    return r < 0 ? r : settle(actor, message->from);
}

static int on_generic(struct actor *actor, const struct identity_message *message)
{
    struct edge edge;
    int r = edge_get(actor->state, actor->owner->id, message->from, &edge);
    if (r < 0)
        return r;
    edge.generic = true;
    r = edge_put(actor->state, actor->owner->id, message->from, &edge);
    return r < 0 ? r : settle(actor, NULL);
}

static int on_bridge(struct actor *actor, const struct identity_message *message)
{
    struct owner *owner = actor->owner;
    struct edge edge;
    if (!message->has_other)
        return ERR_VALUE;
    int r = edge_get(actor->state, owner->id, message->other, &edge);
    if (r < 0)
        return r;
    bool above = node_rank(message->other) < node_rank(owner->id);
    uint32_t *count = above ? &edge.derived_up : &edge.derived_down;
    if (!message->on && *count == 0)
        return ERR_VALUE;
    *count += message->on ? 1 : UINT32_MAX;
    r = edge_put(actor->state, owner->id, message->other, &edge);
    return r < 0 ? r : settle(actor, !above && message->on ? message->other : NULL);
}

static int on_root(struct actor *actor, const struct identity_message *message)
{
    struct edge edge;
    if (!message->has_other)
        return ERR_VALUE;
    int r = edge_get(actor->state, actor->owner->id, message->from, &edge);
    if (r < 0)
        return r;
    edge.has_root = true;
    memcpy(edge.root, message->other, KEY_SIZE);
    r = edge_put(actor->state, actor->owner->id, message->from, &edge);
    return r < 0 ? r : settle(actor, NULL);
}

/* Tells each claimant of one namespace whether it is among the first that the rule lets in. */
static int send_verdicts(struct actor *actor, uint8_t rank_byte)
{
    struct neighbour *rivals;
    size_t count;
    int32_t room = actor->namespaces->rules[rank_byte / 2].protected_max;
    int r = edges_list(
        actor->state, actor->owner->id, str_make(&rank_byte, 1), actor->scratch, &rivals, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct edge *edge = &rivals[i].edge;
        if (!edge->claimant)
            continue;
        bool accepted = room-- > 0;
        if (edge->told_number == edge->claim_number && edge->told_accepted == accepted)
            continue;
        edge->told_number = edge->claim_number;
        edge->told_accepted = accepted;
        r = edge_put(actor->state, actor->owner->id, rivals[i].id, edge);
        struct identity_message message;
        identity_message_init(&message);
        message.kind = IDENTITY_KIND_VERDICT;
        message.on = accepted;
        message.number = edge->claim_number;
        if (r == 0)
            r = send_message(actor, &message, rivals[i].id);
    }
    return r;
}

static int on_claim(struct actor *actor, const struct identity_message *message)
{
    struct edge edge;
    bool claims = message->kind == IDENTITY_KIND_CLAIM;
    int r = actor_create(actor, (struct str){0}, (struct str){0}, (struct str){0});
    if (r == 0)
        r = edge_get(actor->state, actor->owner->id, message->from, &edge);
    if (r < 0)
        return r;
    edge.claimant = claims;
    edge.claim_number = claims ? (uint32_t)message->number : 0;
    edge.told_number = claims ? edge.told_number : 0;
    edge.told_accepted = claims && edge.told_accepted;
    r = edge_put(actor->state, actor->owner->id, message->from, &edge);
    return r < 0 ? r : send_verdicts(actor, message->from[0]);
}

static int on_verdict(struct actor *actor, const struct identity_message *message)
{
    struct owner *owner = actor->owner;
    struct identity_node *node = &owner->node;
    bool current =
        memcmp(message->from, node->claim, KEY_SIZE) == 0 && message->number == node->claim_number;
    if (!current || node->accepted == message->on)
        return 0;
    node->accepted = message->on;
    owner->dirty = true;
    return settle(actor, NULL);
}

int actor_receive(struct actor *actor, const struct identity_message *message)
{
    bool creates = message->kind == IDENTITY_KIND_LINK || message->kind == IDENTITY_KIND_ATTACH ||
                   message->kind == IDENTITY_KIND_CLAIM;
    if (!creates && !actor->owner->exists)
        return ERR_VALUE;
    switch (message->kind) {
    case IDENTITY_KIND_LINK:
        return on_link(actor, message);
    case IDENTITY_KIND_ATTACH:
        return on_attach(actor, message);
    case IDENTITY_KIND_GENERIC:
        return on_generic(actor, message);
    case IDENTITY_KIND_BRIDGE:
        return on_bridge(actor, message);
    case IDENTITY_KIND_ROOT:
        return on_root(actor, message);
    case IDENTITY_KIND_CLAIM:
    case IDENTITY_KIND_UNCLAIM:
        return on_claim(actor, message);
    case IDENTITY_KIND_VERDICT:
        return on_verdict(actor, message);
    default:
        return ERR_VALUE;
    }
}

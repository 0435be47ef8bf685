/* The rules of one node; settle.h has the invariants. */
#include "enrich/identity/settle.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/group.h"
#include "enrich/identity/rotation.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"

static bool live(const struct edge *edge)
{
    return edge_linked(edge) && !(edge->flags & EDGE_GENERIC);
}

static bool same(const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE])
{
    return memcmp(a, b, KEY_SIZE) == 0;
}

/* ---- rule 2: bridges ---- */

static int send_bridge(struct actor *actor, const struct owner *owner, const uint8_t to[KEY_SIZE],
    const uint8_t other[KEY_SIZE], bool on)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_BRIDGE;
    message.on = on;
    message.has_other = true;
    memcpy(message.other, other, KEY_SIZE);
    return actor_send(actor, owner, to, &message);
}

int settle_tell_bridge(struct actor *actor, const struct owner *owner, const uint8_t a[KEY_SIZE],
    const uint8_t b[KEY_SIZE], bool on)
{
    int r = send_bridge(actor, owner, a, b, on);
    return r < 0 ? r : send_bridge(actor, owner, b, a, on);
}

/* Those of its own rank are what it is itself: it bridges by what is stronger. */
static bool bridgeable(const struct owner *owner, const struct edge *edge)
{
    return live(edge) && !group_kin(owner, edge);
}

/* Live and exclusive: at least two, no two of one namespace. */
static bool may_bridge(const struct owner *owner, const struct edge_list *above)
{
    uint64_t classes = 0;
    size_t count = 0;
    if (owner->flags & OWNER_GENERIC)
        return false;
    for (size_t i = 0; i < above->count; i++) {
        if (!bridgeable(owner, &above->edges[i]))
            continue;
        uint64_t class = (uint64_t)1 << node_class(above->edges[i].node);
        if (classes & class)
            return false;
        classes |= class;
        count++;
    }
    return count > 1;
}

/* Tells the ends of pairs that are bridged from now on, or no more. */
static int tell_pairs(
    struct actor *actor, const struct owner *owner, const struct edge_list *above, bool bridges)
{
    int r = 0;
    for (size_t i = 0; i < above->count; i++) {
        for (size_t k = i + 1; k < above->count; k++) {
            const struct edge *a = &above->edges[i], *b = &above->edges[k];
            bool before = (a->flags & EDGE_BRIDGED) && (b->flags & EDGE_BRIDGED);
            bool after = bridges && bridgeable(owner, a) && bridgeable(owner, b);
            if (before == after)
                continue;
            r = settle_tell_bridge(actor, owner, a->node, b->node, after);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int settle_bridge(struct actor *actor, struct owner *owner)
{
    struct edge_list above;
    int r = edges_above(actor->owners, owner, &above);
    if (r < 0)
        return r;
    bool bridges = may_bridge(owner, &above), changes = false;
    for (size_t i = 0; i < above.count; i++)
        changes |= (bridges && bridgeable(owner, &above.edges[i])) !=
                   !!(above.edges[i].flags & EDGE_BRIDGED);
    if (!changes)
        return 0;
    r = tell_pairs(actor, owner, &above, bridges);
    for (size_t i = 0; r == 0 && i < above.count; i++) {
        struct edge edge = above.edges[i];
        edge.flags &= ~(unsigned)EDGE_BRIDGED;
        if (bridges && bridgeable(owner, &edge))
            edge.flags |= EDGE_BRIDGED;
        if (edge.flags != above.edges[i].flags)
            r = edge_put(actor->owners, owner, &edge);
    }
    return r;
}

/* ---- rules 3 and 4: claim, root ---- */

/* The only root of the strongest rank among some, or the first of several; to be started with {0}.
 */
struct candidates {
    const uint8_t *best;
    bool several;
};

static void consider(struct candidates *candidates, const uint8_t root[KEY_SIZE])
{
    const uint8_t *best = candidates->best;
    if (!best || node_class(root) < node_class(best)) {
        *candidates = (struct candidates){.best = root};
    } else if (node_class(root) == node_class(best) && !same(root, best)) {
        candidates->several = true;
        candidates->best = memcmp(root, best, KEY_SIZE) < 0 ? root : best;
    }
}

/* Its own neighbours', and what those that follow it would claim. */
static int find_candidates(struct actor *actor, const struct owner *owner,
    const struct edge_list *above, struct candidates *out)
{
    struct edge_list followers;
    *out = (struct candidates){.several = false};
    if (owner->flags & OWNER_GENERIC)
        return 0;
    for (size_t i = 0; i < above->count; i++) {
        const struct edge *edge = &above->edges[i];
        if (!group_kin(owner, edge) &&
            (live(edge) || (edge->bridges > 0 && !(edge->flags & EDGE_CUT))))
            consider(out, edge->root);
    }
    int r = edges_kin(actor->owners, owner, false, &followers);
    for (size_t i = 0; r == 0 && i < followers.count; i++) {
        const struct edge *edge = &followers.edges[i];
        if (same(edge->root, edge->node))
            continue;
        consider(out, edge->root);
        if ((edge->flags & EDGE_SEVERAL) && node_class(edge->root) == node_class(out->best))
            out->several = true;
    }
    return r;
}

/* A claim of its own, or what it has of whom it follows. */
static int change_claim(
    struct actor *actor, struct owner *owner, const uint8_t claim[KEY_SIZE], bool follows)
{
    struct identity_message message;
    bool protected = actor->namespaces->rules[node_rank(owner->id)].protected_max > 0;
    int r = 0;
    identity_message_init(&message);
    if (protected && !same(owner->claim, owner->id) && !(owner->flags & OWNER_FOLLOWS)) {
        message.kind = IDENTITY_KIND_UNCLAIM;
        r = actor_send(actor, owner, owner->claim, &message);
    }
    memcpy(owner->claim, claim, KEY_SIZE);
    owner->flags &= ~(unsigned)(OWNER_ACCEPTED | OWNER_FOLLOWS);
    owner->flags |= follows ? OWNER_FOLLOWS : 0u;
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    if (r < 0 || !protected || follows || same(claim, owner->id))
        return r;
    message.kind = IDENTITY_KIND_CLAIM;
    message.number = ++owner->claim_number;
    return actor_send(actor, owner, claim, &message);
}

int settle_tell(
    struct actor *actor, const struct owner *owner, const uint8_t below[KEY_SIZE], bool neighbours)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ROOT;
    message.has_other = true;
    memcpy(message.other, neighbours ? owner->root : owner->id, KEY_SIZE);
    return actor_send(actor, owner, below, &message);
}

/* Neighbours hear of a root. One that is cut off, or is none any more, believes that everybody is
 * its own: so nobody need remember what it was told last. */
static int change_root(struct actor *actor, struct owner *owner, const uint8_t root[KEY_SIZE])
{
    struct edge_list below;
    memcpy(owner->root, root, KEY_SIZE);
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    int r = edges_below(actor->owners, owner, &below);
    for (size_t i = 0; r == 0 && i < below.count; i++)
        if (edge_linked(&below.edges[i]) || below.edges[i].bridges > 0)
            r = settle_tell(actor, owner, below.edges[i].node, true);
    return r < 0 ? r : rotation_tell(actor, owner);
}

/* Whom it follows hears what it would claim, where that is not what it was told. */
static int tell_followed(struct actor *actor, struct owner *owner, const struct edge *followed,
    const struct candidates *candidates)
{
    const uint8_t *candidate = candidates->best ? candidates->best : owner->id;
    bool told_several = owner->flags & OWNER_SHARED;
    if (same(candidate, owner->candidate) && candidates->several == told_several)
        return 0;
    return group_tell(actor, owner, followed->node, candidates->best, candidates->several);
}

static int settle_root(struct actor *actor, struct owner *owner)
{
    struct edge_list above;
    struct candidates candidates;
    uint8_t claim[KEY_SIZE];
    if (owner->flags & OWNER_NEWER) /* it claims what it was told */
        return same(owner->claim, owner->root) ? 0 : change_root(actor, owner, owner->claim);
    int r = edges_above(actor->owners, owner, &above);
    if (r == 0)
        r = find_candidates(actor, owner, &above, &candidates);
    if (r < 0)
        return r;
    const struct edge *followed = group_followed(owner, &above);
    bool claims = candidates.best && !candidates.several;
    memcpy(claim, followed ? followed->root : claims ? candidates.best : owner->id, KEY_SIZE);
    if (followed)
        r = tell_followed(actor, owner, followed, &candidates);
    if (r == 0 && (!same(claim, owner->claim) || !followed != !(owner->flags & OWNER_FOLLOWS)))
        r = change_claim(actor, owner, claim, followed != NULL);
    bool accepted = (owner->flags & (OWNER_ACCEPTED | OWNER_FOLLOWS)) ||
                    actor->namespaces->rules[node_rank(owner->id)].protected_max == 0;
    const uint8_t *root = accepted ? owner->claim : owner->id;
    if (r == 0 && !same(root, owner->root))
        r = change_root(actor, owner, root);
    if (candidates.several != !!(owner->flags & OWNER_SHARED)) {
        owner->flags ^= OWNER_SHARED;
        owner->person_due = true;
        owner_changed(actor->owners, owner);
    }
    return r;
}

/* ---- rule 5: place ---- */

static int send_gone(struct actor *actor, const struct owner *owner, const uint8_t *to)
{
    struct journey_message message;
    if (!(owner->flags & OWNER_SEATED))
        return 0; /* no timeline has anything of this node */
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_GONE;
    memcpy(message.person, owner->person, KEY_SIZE);
    memcpy(message.node, owner->id, KEY_SIZE);
    message.epoch = owner->epoch;
    message.has_to = to != NULL;
    if (to)
        memcpy(message.to, to, KEY_SIZE);
    buf_clear(actor->mail);
    int r = journey_message_encode(&message, actor->mail);
    if (r < 0)
        return r;
    return outbox_send(
        actor->outbox, TOPIC_JOURNEY, str_make(owner->person, KEY_SIZE), buf_str(actor->mail));
}

/* The root whose person has the node's events; *place is NULL when it seats none any more. */
static int find_place(struct actor *actor, const struct owner *owner, const uint8_t **place)
{
    struct edge_list above;
    struct candidates candidates = {0};
    const uint8_t *first = NULL;
    if (!node_is_set(owner->id)) {
        *place = owner->flags & OWNER_GENERIC ? NULL : owner->root;
        return 0;
    }
    int r = edges_above(actor->owners, owner, &above);
    if (r < 0)
        return r;
    for (size_t i = 0; i < above.count; i++) {
        if (above.edges[i].flags & EDGE_GENERIC)
            continue;
        first = first ? first : above.edges[i].root;
        consider(&candidates, above.edges[i].root);
    }
    *place = candidates.several ? first : candidates.best;
    return 0;
}

static int settle_place(struct actor *actor, struct owner *owner)
{
    uint8_t person[KEY_SIZE];
    const uint8_t *place;
    if (owner->flags & OWNER_DEAD)
        return 0;
    int r = find_place(actor, owner, &place);
    if (r < 0)
        return r;
    if (place) {
        owners_person(actor->owners, place, person);
        if (same(person, owner->person))
            return 0;
    }
    owner->epoch++;
    owner_changed(actor->owners, owner);
    r = send_gone(actor, owner, place ? person : NULL);
    if (place)
        memcpy(owner->person, person, KEY_SIZE);
    else
        owner->flags |= OWNER_DEAD;
    return r;
}

int settle(struct actor *actor, struct owner *owner)
{
    uint8_t before[KEY_SIZE];
    if (node_is_set(owner->id))
        return settle_place(actor, owner);
    memcpy(before, owner->root, KEY_SIZE);
    int r = settle_bridge(actor, owner);
    if (r == 0)
        r = group_settle(actor, owner);
    if (r == 0)
        r = settle_root(actor, owner);
    if (r < 0 || (same(before, owner->root) && !(owner->flags & OWNER_GENERIC)))
        return r;
    return settle_place(actor, owner);
}

/* ---- rule 1 ---- */

/* Neighbours that others bridge to this node: a generic one is no end of derived links. */
static int forget_derived(struct actor *actor, struct owner *owner)
{
    struct edge_list above;
    int r = edges_above(actor->owners, owner, &above);
    for (size_t i = r == 0 ? above.count : 0; r == 0 && i > 0; i--) {
        struct edge edge = above.edges[i - 1];
        if (edge.links > 0 || (edge.flags & (EDGE_SAID | EDGE_CUT)))
            continue;
        edge.bridges = 0;
        memcpy(edge.root, edge.node, KEY_SIZE);
        r = edge_put(actor->owners, owner, &edge);
    }
    return r;
}

int settle_generic(struct actor *actor, struct owner *owner)
{
    struct identity_message message;
    struct edge_list below;
    int64_t count = 0;
    owner->flags |= OWNER_GENERIC;
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    int r = edges_below(actor->owners, owner, &below);
    for (size_t i = 0; r == 0 && i < below.count; i++) {
        const struct edge *edge = &below.edges[i];
        count += edge->links;
        if (edge->flags & (EDGE_SAID | EDGE_CUT))
            owner->flags |= OWNER_WORDED;
        identity_message_init(&message);
        message.kind = IDENTITY_KIND_GENERIC;
        if (edge_linked(edge))
            r = actor_send(actor, owner, edge->node, &message);
        else if (!same(owner->root, owner->id))
            r = settle_tell(actor, owner, edge->node, false);
    }
    if (r == 0)
        r = owner_count_begin(actor->owners, owner, count);
    if (r == 0)
        r = edges_drop_below(actor->owners, owner);
    if (r == 0)
        r = forget_derived(actor, owner);
    if (r == 0)
        r = settle(actor, owner);
    return r < 0 ? r : rotation_tell(actor, owner); /* with the root that it has now */
}

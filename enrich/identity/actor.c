/*
 * One function a kind of message. Each changes what the node knows of one neighbour, then lets the
 * node settle where that can matter.
 *
 * Invariant: a generic node learns nothing more of neighbours; it answers who attaches, and
 * attaches itself, since others count it.
 */
#include "enrich/identity/actor.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/erasure.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/group.h"
#include "enrich/identity/reach.h"
#include "enrich/identity/rotation.h"
#include "enrich/identity/settle.h"
#include "schemas/error.h"

int actor_send(struct actor *actor, const struct owner *from, const uint8_t to[KEY_SIZE],
    struct identity_message *message)
{
    memcpy(message->from, from->id, KEY_SIZE);
    memcpy(message->to, to, KEY_SIZE);
    buf_clear(actor->mail);
    int r = identity_message_encode(message, actor->mail);
    if (r < 0)
        return r;
    return outbox_send(
        actor->outbox, TOPIC_IDENTITY, str_make(message->to, KEY_SIZE), buf_str(actor->mail));
}

/* True when neighbours of that class are more than the node may have. Sets count by themselves. */
static bool over_limit(const struct actor *actor, const struct owner *owner, int class)
{
    const struct namespace_rule *rule = &actor->namespaces->rules[node_rank(owner->id)];
    int32_t limit = class < node_class(owner->id) ? rule->generic_up_max : rule->generic_down_max;
    if (class % 2 || limit <= 0 || limit > ACTOR_NEIGHBOURS_MAX)
        limit = ACTOR_NEIGHBOURS_MAX;
    return edges_linked(owner, class) > limit;
}

/* ---- links ---- */

static int attach(struct actor *actor, const struct owner *owner, const struct link_end *strong)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ATTACH;
    message.value = strong->value;
    return actor_send(actor, owner, strong->node, &message);
}

/* One more signature shows the link. *is_new: it was the first. */
static int link_one(
    struct actor *actor, struct owner *owner, const struct link_end *strong, bool *is_new)
{
    struct edge edge;
    int r = edge_get(actor->owners, owner, strong->node, &edge);
    if (r < 0)
        return r;
    bool first = edge.links == 0;
    *is_new |= first;
    if (!first || !(owner->flags & OWNER_GENERIC)) {
        edge.links += edge.links < INT32_MAX;
        r = edge_put(actor->owners, owner, &edge);
    } else {
        r = owner_count_add(actor->owners, owner, 1);
    }
    return r == 0 && first ? attach(actor, owner, strong) : r;
}

int actor_link(struct actor *actor, struct owner *owner, const struct link_end *links, size_t count)
{
    bool is_new = false, generic = false;
    for (size_t i = 0; i < count; i++) {
        int r = link_one(actor, owner, &links[i], &is_new);
        if (r < 0)
            return r;
    }
    if (!is_new || (owner->flags & OWNER_GENERIC))
        return 0;
    for (size_t i = 0; i < count && !node_is_set(owner->id); i++)
        generic |= over_limit(actor, owner, node_class(links[i].node));
    return generic ? settle_generic(actor, owner) : settle(actor, owner);
}

/* A set of which a suppression on its way down the chain came first. */
static int make_set(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct signature signature;
    struct signature_node chain[NODES_MAX];
    size_t index = message->chain_index == CHAIN_INDEX_STAY ? 0 : (size_t)message->chain_index;
    if (message->kind != IDENTITY_KIND_SUPPRESS && message->kind != IDENTITY_KIND_FORGET)
        return ERR_VALUE; /* a set that nobody has made */
    if (!signature_of_links(message->links, message->links_count, &signature))
        return ERR_VALUE;
    (void)signature_chain(&signature, chain);
    return owner_make_set(actor->owners, owner,
        (const uint8_t(*)[KEY_SIZE])signature.members + chain[index].first, chain[index].count);
}

static int on_link(struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    if (node_is_set(owner->id) && !owner->exists) {
        uint8_t members[EVENT_IDENTIFIERS_MAX][KEY_SIZE];
        if (message->links_count > EVENT_IDENTIFIERS_MAX)
            return ERR_VALUE;
        for (size_t i = 0; i < message->links_count; i++)
            memcpy(members[i], message->links[i].node, KEY_SIZE);
        int r = owner_make_set(
            actor->owners, owner, (const uint8_t(*)[KEY_SIZE])members, message->links_count);
        if (r < 0)
            return r;
    }
    return actor_link(actor, owner, message->links, message->links_count);
}

static int send_detach(
    struct actor *actor, const struct owner *owner, const uint8_t strong[KEY_SIZE])
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_DETACH;
    return actor_send(actor, owner, strong, &message);
}

/* Only of those that it is linked to, and of a set's members, a node knows that they are generic.
 */
static void drop_generic(struct edge *edge)
{
    if (!edge_linked(edge) && !(edge->flags & EDGE_MEMBER))
        edge->flags &= ~(unsigned)EDGE_GENERIC;
}

/* One signature less shows the link. What a generic node no longer counts, the stronger one does.
 */
static int unlink_one(
    struct actor *actor, struct owner *owner, const uint8_t strong[KEY_SIZE], bool *is_last)
{
    struct edge edge;
    int r = edge_get(actor->owners, owner, strong, &edge);
    if (r < 0)
        return r;
    if (edge.links > 0) {
        edge.links--;
        drop_generic(&edge);
        if (edge.links == 0)
            edge.flags &= ~(unsigned)EDGE_OTHERS;
        r = edge_put(actor->owners, owner, &edge);
    } else if (owner->flags & OWNER_GENERIC) {
        r = owner_count_add(actor->owners, owner, -1);
    }
    if (r < 0 || edge.links > 0)
        return r;
    *is_last = true;
    return send_detach(actor, owner, strong);
}

static int on_unlink(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    bool is_last = false;
    int r = 0;
    for (size_t i = 0; r == 0 && i < message->links_count; i++)
        r = unlink_one(actor, owner, message->links[i].node, &is_last);
    if (r < 0 || !is_last)
        return r;
    owner_lost(actor->owners, owner);
    return settle(actor, owner);
}

/* The pair is linked from now on, or no more: the weaker one must believe the right root. */
static int tell_changed(
    struct actor *actor, const struct owner *owner, const struct edge *edge, bool before)
{
    bool after = edge_linked(edge) || edge->bridges > 0;
    bool itself = memcmp(owner->root, owner->id, KEY_SIZE) == 0;
    return before == after || itself ? 0 : settle_tell(actor, owner, edge->node, after);
}

static int on_detach(struct actor *actor, struct owner *owner, const uint8_t from[KEY_SIZE])
{
    struct edge edge;
    if (owner->flags & OWNER_GENERIC)
        return owner_count_add(actor->owners, owner, -1); /* it keeps none */
    int r = edge_get(actor->owners, owner, from, &edge);
    if (r < 0)
        return r;
    if (edge.links == 0)
        return ERR_VALUE;
    bool before = edge_linked(&edge) || edge.bridges > 0;
    edge.links--;
    owner_lost(actor->owners, owner);
    r = edge_put(actor->owners, owner, &edge);
    return r < 0 ? r : tell_changed(actor, owner, &edge, before);
}

static void say(struct edge *edge, int64_t sign)
{
    edge->flags &= ~(unsigned)(EDGE_SAID | EDGE_CUT);
    edge->flags |= sign > 0 ? EDGE_SAID : sign < 0 ? EDGE_CUT : 0u;
    drop_generic(edge);
}

/* It answers that it is so, and only counts. */
static int attach_to_generic(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct identity_message generic;
    identity_message_init(&generic);
    generic.kind = IDENTITY_KIND_GENERIC;
    if (message->on)
        owner->flags |= OWNER_WORDED;
    owner_changed(actor->owners, owner);
    int r = message->on ? 0 : owner_count_add(actor->owners, owner, 1);
    return r < 0 ? r : actor_send(actor, owner, message->from, &generic);
}

/* on: the weaker one says what evidence makes of the two. */
static int on_attach(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    const uint8_t *from = message->from;
    struct edge edge;
    if (owner->flags & OWNER_GENERIC)
        return attach_to_generic(actor, owner, message);
    int r = edge_get(actor->owners, owner, from, &edge);
    if (r < 0)
        return r;
    bool before = edge_linked(&edge) || edge.bridges > 0, first = edge.links == 0;
    if (message->on)
        say(&edge, message->number);
    else /* a generic one attaches with each signature */
        edge.links += edge.links < INT32_MAX;
    r = edge_put(actor->owners, owner, &edge);
    if (message->on)
        owner_lost(actor->owners, owner); /* what was linked before may be no more */
    if (r < 0)
        return r;
    if (first && !message->on && over_limit(actor, owner, node_class(from)))
        return settle_generic(actor, owner);
    return tell_changed(actor, owner, &edge, before);
}

static int on_generic(struct actor *actor, struct owner *owner, const uint8_t from[KEY_SIZE])
{
    struct edge edge;
    int r = edge_get(actor->owners, owner, from, &edge);
    if (r < 0)
        return r;
    if (!edge_linked(&edge) && !(edge.flags & EDGE_MEMBER))
        return 0; /* linked no more, or a generic node that keeps no links */
    edge.flags |= EDGE_GENERIC;
    r = edge_put(actor->owners, owner, &edge);
    return r < 0 ? r : settle(actor, owner);
}

/* ---- what is said of two ---- */

/* Makes the edge what the evidence that stands says, and tells its other end. */
static int apply_evidence(struct actor *actor, struct owner *owner, const uint8_t other[KEY_SIZE],
    const struct evidence_row *stands)
{
    struct identity_message message;
    struct edge edge;
    int r = edge_get(actor->owners, owner, other, &edge);
    if (r < 0)
        return r;
    unsigned before = edge.flags & (EDGE_SAID | EDGE_CUT);
    say(&edge, stands->sign);
    if (before == (edge.flags & (EDGE_SAID | EDGE_CUT)))
        return 0;
    r = edge_put(actor->owners, owner, &edge);
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ATTACH;
    message.on = true;
    message.number = stands->sign;
    message.value = stands->other_value;
    if (r == 0)
        r = actor_send(actor, owner, other, &message);
    owner_lost(actor->owners, owner);
    return r < 0 ? r : settle(actor, owner);
}

/* Settles on what now stands of a pair, of which the owner is the weaker end. */
static int stand(struct actor *actor, struct owner *owner, const struct evidence_set *set,
    const uint8_t other[KEY_SIZE])
{
    struct evidence_row stands;
    evidence_stands(set, other, &stands);
    int r = owner_name(actor->owners, owner, stands.value);
    return r < 0 ? r : apply_evidence(actor, owner, other, &stands);
}

static bool is_weaker(const struct owner *owner, const uint8_t other[KEY_SIZE])
{
    return memcmp(owner->id, other, KEY_SIZE) > 0;
}

/* The weaker end is who says what stands: at the stronger end a word only takes a place. */
static int send_dropped(
    struct actor *actor, const struct owner *owner, const struct identity_evidence *dropped)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_RETRACT;
    message.has_other = true;
    memcpy(message.other, owner->id, KEY_SIZE);
    message.has_event_key = true;
    memcpy(message.event_key, dropped->event_key, KEY_SIZE);
    message.number = dropped->authority;
    message.at = dropped->at;
    return actor_send(actor, owner, dropped->other, &message);
}

static int on_evidence(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct evidence_set set;
    int r = evidence_take(actor->owners, owner, message, &set);
    if (r <= 0)
        return r;
    r = is_weaker(owner, message->other) ? stand(actor, owner, &set, message->other) : 0;
    if (r < 0 || !set.dropped)
        return r;
    r = evidence_report(actor->outbox, owners_scratch(actor->owners), owner);
    if (r < 0)
        return r;
    return is_weaker(owner, set.dropped_row.other)
               ? stand(actor, owner, &set, set.dropped_row.other)
               : send_dropped(actor, owner, &set.dropped_row);
}

/* ---- derived links and roots ---- */

static int on_bridge(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct edge edge;
    if (owner->flags & OWNER_GENERIC)
        return 0;
    int r = edge_get(actor->owners, owner, message->other, &edge);
    if (r < 0)
        return r;
    if (!message->on && edge.bridges == 0)
        return ERR_VALUE;
    bool before = edge_linked(&edge) || edge.bridges > 0;
    edge.bridges += message->on ? 1 : -1;
    bool after = edge_linked(&edge) || edge.bridges > 0;
    r = edge_put(actor->owners, owner, &edge);
    if (r < 0)
        return r;
    if (memcmp(message->other, owner->id, KEY_SIZE) < 0)
        return settle(actor, owner);
    bool itself = memcmp(owner->root, owner->id, KEY_SIZE) == 0;
    return before == after || itself ? 0 : settle_tell(actor, owner, message->other, after);
}

static int on_root(struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct edge edge;
    if (owner->flags & OWNER_GENERIC)
        return 0;
    int r = edge_get(actor->owners, owner, message->from, &edge);
    if (r < 0)
        return r;
    memcpy(edge.root, message->other, KEY_SIZE);
    r = edge_put(actor->owners, owner, &edge);
    return r < 0 ? r : settle(actor, owner);
}

/* ---- claims of protected namespaces, at the root ---- */

static int send_verdict(
    struct actor *actor, const struct owner *root, struct claim *claim, bool accepted)
{
    struct identity_message message;
    if (claim->told_number == claim->number && claim->told == accepted)
        return 0;
    claim->told_number = claim->number;
    claim->told = accepted;
    int r = claim_put(actor->owners, root, claim);
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_VERDICT;
    message.on = accepted;
    message.number = claim->number;
    return r < 0 ? r : actor_send(actor, root, claim->claimant, &message);
}

/* A claimant came or went: of the others only the first behind those accepted can fare otherwise.
 */
static int send_verdicts(struct actor *actor, const struct owner *root, const uint8_t *changed)
{
    struct claim claims[CLAIMS_ACCEPTED_MAX + 1], own;
    size_t accepted = (size_t)actor->namespaces->rules[node_rank(changed)].protected_max;
    if (accepted > CLAIMS_ACCEPTED_MAX)
        accepted = CLAIMS_ACCEPTED_MAX;
    size_t count = accepted + 1;
    int r = claims_first(actor->owners, root, node_class(changed), claims, &count);
    bool among = false;
    for (size_t i = 0; r == 0 && i < count; i++) {
        among |= memcmp(claims[i].claimant, changed, KEY_SIZE) == 0;
        r = send_verdict(actor, root, &claims[i], i < accepted);
    }
    if (r < 0 || among)
        return r;
    r = claim_get(actor->owners, root, changed, &own);
    return r == 0 ? send_verdict(actor, root, &own, false) : r < 0 ? r : 0;
}

static int on_claim(
    struct actor *actor, const struct owner *root, const struct identity_message *message)
{
    struct claim claim = {.number = message->number};
    memcpy(claim.claimant, message->from, KEY_SIZE);
    int r = message->kind == IDENTITY_KIND_CLAIM ? claim_put(actor->owners, root, &claim)
                                                 : claim_delete(actor->owners, root, message->from);
    return r < 0 ? r : send_verdicts(actor, root, message->from);
}

static int on_verdict(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    bool current = memcmp(message->from, owner->claim, KEY_SIZE) == 0 &&
                   message->number == owner->claim_number;
    if (owner->flags & OWNER_NEWER) /* it has no claims of its own any more */
        return 0;
    if (!current || message->on == !!(owner->flags & OWNER_ACCEPTED))
        return 0;
    owner->flags ^= OWNER_ACCEPTED;
    owner_changed(actor->owners, owner);
    return settle(actor, owner);
}

int actor_receive(struct actor *actor, const struct identity_message *message)
{
    struct owner *owner;
    int r = owners_get(actor->owners, message->to, &owner);
    if (r < 0)
        return r;
    if (!owner->exists && message->kind != IDENTITY_KIND_LINK)
        r = make_set(actor, owner, message);
    if (r < 0)
        return r;
    if (message->kind != IDENTITY_KIND_EVIDENCE) /* which may not stand */
        r = owner_name(actor->owners, owner, message->value);
    if (r < 0)
        return r;
    switch (message->kind) {
    case IDENTITY_KIND_LINK:
        return on_link(actor, owner, message);
    case IDENTITY_KIND_UNLINK:
        return on_unlink(actor, owner, message);
    case IDENTITY_KIND_ATTACH:
        return on_attach(actor, owner, message);
    case IDENTITY_KIND_DETACH:
        return on_detach(actor, owner, message->from);
    case IDENTITY_KIND_GENERIC:
        return on_generic(actor, owner, message->from);
    case IDENTITY_KIND_BRIDGE:
        return on_bridge(actor, owner, message);
    case IDENTITY_KIND_ROOT:
        return on_root(actor, owner, message);
    case IDENTITY_KIND_CANDIDATE:
        return group_on_candidate(actor, owner, message);
    case IDENTITY_KIND_CLAIM:
    case IDENTITY_KIND_UNCLAIM:
        return on_claim(actor, owner, message);
    case IDENTITY_KIND_VERDICT:
        return on_verdict(actor, owner, message);
    case IDENTITY_KIND_EVIDENCE:
    case IDENTITY_KIND_RETRACT:
        return on_evidence(actor, owner, message);
    case IDENTITY_KIND_ERASE:
        return reach_on_erase(actor, owner, message);
    case IDENTITY_KIND_REACH:
        return reach_on_reach(actor, owner, message);
    case IDENTITY_KIND_REACHED:
        return reach_on_reached(actor, owner, message);
    case IDENTITY_KIND_GO:
        return reach_on_go(actor, owner, message);
    case IDENTITY_KIND_FORGET:
        return erasure_on_forget(actor, owner, message);
    case IDENTITY_KIND_SUPPRESS:
        return erasure_on_suppress(actor, owner, message);
    case IDENTITY_KIND_LIFT:
        return erasure_on_lift(actor, owner, message);
    case IDENTITY_KIND_ALONE:
        return erasure_on_alone(actor, owner, message);
    case IDENTITY_KIND_ROTATE:
        return rotation_on_rotate(actor, owner, message);
    case IDENTITY_KIND_PASS_LINK:
    case IDENTITY_KIND_PASS_UNLINK:
    case IDENTITY_KIND_PASS_EVIDENCE:
    case IDENTITY_KIND_PASS_RETRACT:
    case IDENTITY_KIND_PASS_EVENT:
        return rotation_on_pass(actor, owner, message);
    default:
        return ERR_VALUE;
    }
}

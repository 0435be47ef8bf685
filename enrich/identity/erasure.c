/* Messages of erasure; no state but that of owners. */
#include "enrich/identity/erasure.h"

#include "enrich/identity/edge.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/rotation.h"
#include "enrich/identity/suppression.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"

bool erasure_is_device(struct str namespace)
{
    static const struct str devices[] = {
        STR_INIT("install"), STR_INIT("device"), STR_INIT("cookie"), STR_INIT("session")};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (str_equal(namespace, devices[i]))
            return true;
    return false;
}

bool erasure_for_good(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE])
{
    return !erasure_is_device(namespaces->rules[node_rank(node)].name);
}

static int send_identity(struct outbox *outbox, const struct identity_message *message)
{
    CLEANUP(buf_free) struct buf value = {0};
    int r = identity_message_encode(message, &value);
    if (r < 0)
        return r;
    return outbox_send(outbox, TOPIC_IDENTITY, str_make(message->to, KEY_SIZE), buf_str(&value));
}

static int send_journey(struct actor *actor, const struct journey_message *message)
{
    buf_clear(actor->mail);
    int r = journey_message_encode(message, actor->mail);
    if (r < 0)
        return r;
    return outbox_send(
        actor->outbox, TOPIC_JOURNEY, str_make(message->person, KEY_SIZE), buf_str(actor->mail));
}

static void to_links(const struct signature *signature, struct link_end *links)
{
    for (size_t i = 0; i < signature->count; i++) {
        links[i] = (struct link_end){.value = {0}};
        memcpy(links[i].node, signature->members[i], KEY_SIZE);
    }
}

/* ---- the request ---- */

int erasure_request(struct actor *actor, const struct touchpoint *event, const struct owner *first,
    enum identity_kind kind)
{
    struct signature signature;
    struct identity_message message;
    int r = signature_of_event(actor->namespaces, event, owners_scratch(actor->owners), &signature);
    identity_message_init(&message);
    message.kind = kind;
    message.at = event->occurred_at;
    for (size_t i = 0; r == 0 && i < signature.count; i++)
        r = actor_send(actor, first, signature.members[i], &message);
    return r;
}

/* ---- marks ---- */

int erasure_erase_person(
    struct actor *actor, const struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at)
{
    struct journey_message erase;
    journey_message_init(&erase);
    erase.kind = JOURNEY_KIND_ERASE;
    memcpy(erase.person, person, KEY_SIZE);
    memcpy(erase.node, owner->id, KEY_SIZE);
    erase.at = at;
    return send_journey(actor, &erase);
}

int erasure_mark(struct actor *actor, struct owner *owner)
{
    struct journey_message message;
    struct suppression since;
    if (!(owner->flags & OWNER_DEAD)) /* else no mark goes: what is taken says forget, alone */
        owner->flags &= ~(unsigned)OWNER_ALONE; /* what the mark meets and leaves says so again */
    owner_lost(actor->owners, owner);
    if ((owner->flags & OWNER_DEAD) || !(owner->flags & OWNER_SEATED))
        return 0;
    int r = owner_suppression(actor->owners, owner, &since);
    if (r)
        return r < 0 ? r : ERR_STATE;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_SUPPRESS;
    memcpy(message.person, owner->person, KEY_SIZE);
    memcpy(message.node, owner->id, KEY_SIZE);
    message.epoch = owner->epoch;
    message.has_to = true;
    memcpy(message.to, since.person, KEY_SIZE);
    message.at = since.at;
    return send_journey(actor, &message);
}

/* The node by itself, and its value's other pseudonyms: nothing else is reached from here. */
static int suppress(
    struct actor *actor, struct owner *owner, const uint8_t person[KEY_SIZE], int64_t at)
{
    int r = owner_suppress(actor->owners, owner, person, at);
    if (r <= 0)
        return r;
    r = erasure_mark(actor, owner);
    return r < 0 ? r : rotation_suppress(actor, owner, person, at);
}

/* ---- signatures ---- */

/* The way that the signature's events went from this node. */
static int follow(struct actor *actor, struct owner *owner, const struct signature *signature,
    int32_t chain_index, int64_t at)
{
    struct journey_message message;
    bool stays = chain_index == CHAIN_INDEX_STAY;
    if (!stays && (owner->flags & OWNER_DEAD))
        return erasure_pass_on(signature, chain_index, at, owner->id, actor->outbox);
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_SUPPRESS;
    message.stay = stays;
    memcpy(message.node, owner->id, KEY_SIZE);
    message.members = signature_bytes(signature);
    message.at = at;
    if (stays) {
        owner_stay_person(actor->owners, owner, signature->members[0], message.person);
    } else {
        memcpy(message.person, owner->person, KEY_SIZE);
        message.epoch = owner->epoch;
        owner->flags |= OWNER_SEATED; /* what the timeline now has must follow the node */
        owner_changed(actor->owners, owner);
    }
    return send_journey(actor, &message);
}

static int take_links_back(
    struct actor *actor, struct owner *owner, const struct signature *signature)
{
    struct signature_node chain[NODES_MAX];
    struct link_end links[EVENT_IDENTIFIERS_MAX];
    struct identity_message message;
    size_t nodes = signature_chain(signature, chain);
    int r = rotation_unlink(actor, owner, signature);
    bool passed = r == 1; /* then only sets are unlinked here */
    if (r < 0)
        return r;
    r = 0;
    to_links(signature, links);
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_UNLINK;
    for (size_t i = 0; r == 0 && i < nodes; i++) {
        message.links = links;
        message.links_count = chain[i].first;
        for (size_t k = 0; r == 0 && !passed && k < chain[i].count && chain[i].first; k++)
            r = actor_send(actor, owner, signature->members[chain[i].first + k], &message);
        message.links = links + chain[i].first;
        message.links_count = chain[i].count;
        if (r == 0 && chain[i].count > 1)
            r = actor_send(actor, owner, chain[i].id, &message);
    }
    return r;
}

int erasure_on_forget(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct signature signature;
    uint8_t digest[SHA256_SIZE];
    check(signature_of_links(message->links, message->links_count, &signature));
    bool device = !erasure_for_good(actor->namespaces, owner->id);
    bool seat = message->on && !node_is_set(owner->id);
    int r = seat ? suppress(actor, owner, message->person, message->at) : 0;
    if (r == 0 && message->has_event_key)
        r = owner_refuse(actor->owners, owner, message->event_key);
    if (r < 0 || (signature.count == 1 && device))
        return r; /* such events are kept away by when they occurred */
    signature_digest(&signature, digest);
    int was = owner_forget(actor->owners, owner, digest, message->at);
    if (was >= 0 && was != SIGNATURE_STAYS && signature.count == 1) {
        owner->flags &= ~(unsigned)OWNER_ALONE; /* also of one that came, and was refused, again */
        owner_lost(actor->owners, owner);
    }
    if (was < 0 || was == SIGNATURE_FORGOTTEN)
        return was < 0 ? was : 0;
    if (was == SIGNATURE_KNOWN)
        r = take_links_back(actor, owner, &signature);
    return r < 0 ? r : follow(actor, owner, &signature, 0, message->at);
}

int erasure_on_suppress(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct signature signature;
    struct suppression since;
    if (message->number == ROTATION_SUPPRESSES && (owner->flags & OWNER_SUPPRESSED)) {
        int r = owner_suppression(actor->owners, owner, &since);
        if (r || since.at >= message->at)
            return r; /* pseudonyms of one value tell each other: no further than that */
    }
    if (message->links_count == 0)
        return suppress(actor, owner, message->person, message->at);
    check(signature_of_links(message->links, message->links_count, &signature));
    return follow(actor, owner, &signature, message->chain_index, message->at);
}

int erasure_on_lift(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    int r = owner_lift(actor->owners, owner, message->at);
    return r <= 0 ? r : rotation_lift(actor, owner, message->at);
}

int erasure_on_alone(
    struct actor *actor, struct owner *owner, const struct identity_message *message)
{
    struct suppression since = {.at = message->at};
    int r = 0;
    if (!(owner->flags & OWNER_ALONE))
        r = owner_suppression(actor->owners, owner, &since);
    if (r < 0 || (owner->flags & OWNER_ALONE) || since.at > message->at)
        return r < 0 ? r : 0; /* of an older mark: the newer one follows the event, too */
    owner->flags |= OWNER_ALONE;
    owner->person_due = true;
    owner_changed(actor->owners, owner);
    return 0;
}

bool erasure_keeps_away(const struct namespace_table *namespaces, const uint8_t node[KEY_SIZE],
    bool is_first, bool is_older)
{
    return erasure_for_good(namespaces, node) || (is_first && is_older);
}

int erasure_pass_on(const struct signature *signature, int32_t chain_index, int64_t at,
    const uint8_t from[KEY_SIZE], struct outbox *outbox)
{
    struct signature_node chain[NODES_MAX];
    struct link_end links[EVENT_IDENTIFIERS_MAX];
    struct identity_message message;
    size_t nodes = signature_chain(signature, chain);
    bool next = chain_index >= 0 && (size_t)chain_index + 1 < nodes;
    to_links(signature, links);
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_SUPPRESS;
    message.at = at;
    message.chain_index = next ? chain_index + 1 : CHAIN_INDEX_STAY;
    message.links = links;
    message.links_count = signature->count;
    memcpy(message.to, chain[next ? message.chain_index : 0].id, KEY_SIZE);
    memcpy(message.from, from, KEY_SIZE);
    return send_identity(outbox, &message);
}

/* ---- for timelines ---- */

int erasure_retract(
    const struct namespace_table *namespaces, const struct touchpoint *event, struct outbox *outbox)
{
    struct evidence_message evidence;
    if (!event->has_evidence)
        return 0;
    int r = evidence_of_event(namespaces, event, IDENTITY_KIND_RETRACT, &evidence);
    memcpy(evidence.message.from, evidence.message.to, KEY_SIZE);
    return r < 0 ? r : send_identity(outbox, &evidence.message);
}

int erasure_take_back(const struct erased *erased, const struct touchpoint *event,
    struct arena *arena, struct outbox *outbox)
{
    struct signature signature;
    struct signature_node chain[NODES_MAX];
    struct link_end links[EVENT_IDENTIFIERS_MAX];
    struct identity_message message;
    int r = signature_of_event(erased->namespaces, event, arena, &signature);
    if (r == 0)
        r = erasure_retract(erased->namespaces, event, outbox);
    if (r < 0)
        return r;
    (void)signature_chain(&signature, chain);
    to_links(&signature, links);
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_FORGET;
    message.links = links;
    message.links_count = signature.count;
    message.has_person = true;
    memcpy(message.person, erased->person, KEY_SIZE);
    message.at = erased->at;
    memcpy(message.to, chain[0].id, KEY_SIZE);
    memcpy(message.from, chain[0].id, KEY_SIZE);
    message.has_event_key = erased->refused;
    memcpy(message.event_key, event->event_key, KEY_SIZE);
    message.on = erased->seat && memcmp(erased->seat, chain[0].id, KEY_SIZE) == 0;
    r = send_identity(outbox, &message);
    if (r < 0 || !erased->seat || message.on || node_is_set(erased->seat))
        return r;
    message.kind = IDENTITY_KIND_SUPPRESS;
    message.links_count = 0;
    memcpy(message.to, erased->seat, KEY_SIZE);
    memcpy(message.from, erased->seat, KEY_SIZE);
    return send_identity(outbox, &message);
}

int erasure_go(const uint8_t node[KEY_SIZE], const uint8_t person[KEY_SIZE], struct outbox *outbox)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_GO;
    message.has_person = true;
    memcpy(message.person, person, KEY_SIZE);
    memcpy(message.to, node, KEY_SIZE);
    memcpy(message.from, node, KEY_SIZE);
    return send_identity(outbox, &message);
}

int erasure_keep(const struct erased *erased, const struct touchpoint *event, struct outbox *outbox)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_ALONE;
    message.has_person = true;
    memcpy(message.person, erased->person, KEY_SIZE);
    message.at = erased->at;
    message.value = event->identifiers[0].value;
    memcpy(message.to, erased->seat, KEY_SIZE);
    memcpy(message.from, erased->seat, KEY_SIZE);
    return send_identity(outbox, &message);
}

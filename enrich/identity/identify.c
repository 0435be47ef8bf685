/*
 * Takes records apart, finds the owner that each is for, and brings events to a person. An instance
 * keeps only caches: owners in memory, buffers.
 *
 * Invariant: whatever can be wrong with a record is found before an owner changes.
 */
#include "enrich/identity/identify.h"

#include <stdlib.h>

#include "enrich/identity/actor.h"
#include "enrich/identity/edge.h"
#include "enrich/identity/erasure.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/rotation.h"
#include "enrich/identity/suppression.h"
#include "ingest/door.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"

#define STAGE_NAME "identify"
#define ERASURE_TYPE "erasure_requested"
#define LIFT_TYPE "erasure_lifted"

struct identify {
    const struct identify_config *config;
    struct owners *owners;
    struct buf event; /* the enriched touchpoint */
    struct buf mail;
};

/* An event before one node of its chain. */
struct visit {
    struct identify *identify;
    struct actor *actor;
    struct owner *owner;
    struct touchpoint event;
    struct node chain[NODES_MAX];
    size_t chain_count;
    size_t index;
    int64_t position;
    int64_t answer;    /* to rotation_ask(); 0: not asked */
    int64_t lifted_at; /* the lift that let it in at its first node, or 0 */
    struct str bytes;  /* the event, Avro */
    struct str channel;
};

static const enum topic inputs[] = {TOPIC_EVENTS, TOPIC_IDENTITY};

/* ---- signatures and their links ---- */

static int send_link(struct visit *visit, const uint8_t weak[KEY_SIZE], struct str value,
    struct link_end *strong, size_t count)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_LINK;
    message.value = value;
    message.links = strong;
    message.links_count = count;
    return actor_send(visit->actor, visit->owner, weak, &message);
}

/* The members of a node, as ends of links. */
static void members_of(const struct visit *visit, const struct node *node, struct link_end *ends)
{
    for (size_t i = 0; i < node->members_count; i++) {
        ends[i].value = node->members[i]->value;
        if (node->members_count == 1)
            memcpy(ends[i].node, node->id, KEY_SIZE);
        else
            namespace_node_id(
                visit->actor->namespaces, node_rank(node->id), ends[i].value, ends[i].node);
    }
}

/* A set learns its members, from the event in hand or by mail. */
static int link_set(struct visit *visit, const struct node *set, struct link_end *members)
{
    if (set == &visit->chain[visit->index])
        return actor_link(visit->actor, visit->owner, members, set->members_count);
    return send_link(visit, set->id, (struct str){0}, members, set->members_count);
}

/* The members of the first nodes of the chain, strongest first, and which of them are newer
 * pseudonyms. */
struct members {
    struct link_end ends[EVENT_IDENTIFIERS_MAX];
    size_t count;
    uint8_t newer[EVENT_IDENTIFIERS_MAX];
    size_t newer_count;
};

static void first_members(const struct visit *visit, size_t nodes, struct members *out)
{
    out->count = out->newer_count = 0;
    for (size_t i = 0; i < nodes; i++) {
        const struct node *node = &visit->chain[i];
        members_of(visit, node, out->ends + out->count);
        for (size_t k = 0; k < node->members_count; k++, out->count++)
            if (rotation_newer(node->members[k]->namespace, node->members[k]->value))
                out->newer[out->newer_count++] = (uint8_t)out->count;
    }
}

/* Its links go by way of pseudonyms that may have older ones: returns 1 where there are any. */
static int pass_links(struct visit *visit, const uint8_t *digest)
{
    struct members all;
    struct link_end set[EVENT_IDENTIFIERS_MAX];
    first_members(visit, visit->chain_count, &all);
    if (all.newer_count == 0)
        return 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < visit->chain_count; i++) {
        members_of(visit, &visit->chain[i], set);
        if (node_is_set(visit->chain[i].id))
            r = link_set(visit, &visit->chain[i], set);
    }
    const struct rotation_passage passage = {
        .members = all.ends,
        .members_count = all.count,
        .newer = all.newer,
        .newer_count = all.newer_count,
        .digest = digest,
    };
    if (r == 0)
        r = rotation_link(visit->actor, visit->owner, &passage);
    return r < 0 ? r : 1;
}

/* A new signature: each weaker identifier learns of all stronger ones, each set of its members. */
static int send_links(struct visit *visit)
{
    struct link_end strong[EVENT_IDENTIFIERS_MAX], members[EVENT_IDENTIFIERS_MAX];
    size_t strong_count = 0;
    for (size_t i = 0; i < visit->chain_count; i++) {
        const struct node *node = &visit->chain[i];
        int r = 0;
        members_of(visit, node, members);
        for (size_t k = 0; r == 0 && k < node->members_count && strong_count; k++)
            r = send_link(visit, members[k].node, members[k].value, strong, strong_count);
        if (r == 0 && node_is_set(node->id))
            r = link_set(visit, node, members);
        if (r < 0)
            return r;
        for (size_t k = 0; k < node->members_count; k++) {
            strong[strong_count] = members[k];
            strong[strong_count++].value = (struct str){0};
        }
    }
    return 0;
}

/* ---- events ---- */

static int send_put(const struct visit *visit, const uint8_t person[KEY_SIZE], bool stay)
{
    struct placed_event placed = {
        .position = visit->position,
        .chain_index = stay ? CHAIN_INDEX_STAY : (int32_t)visit->index,
        .channel = visit->channel,
        .event = visit->bytes,
        .lifted_at = visit->lifted_at,
    };
    struct journey_message message = {
        .kind = JOURNEY_KIND_PUT,
        .stay = stay,
        .epoch = stay ? 0 : visit->owner->epoch,
        .events = &placed,
        .events_count = 1,
    };
    memcpy(message.person, person, KEY_SIZE);
    memcpy(message.node, visit->owner->id, KEY_SIZE);
    struct buf *mail = visit->actor->mail;
    buf_clear(mail);
    int r = journey_message_encode(&message, mail);
    if (r < 0)
        return r;
    return outbox_send(
        visit->actor->outbox, TOPIC_JOURNEY, str_make(person, KEY_SIZE), buf_str(mail));
}

/* To the next node of the chain, or back to the first to stay. */
static int send_on(const struct visit *visit)
{
    struct identity_message message;
    struct travelling_event event = {
        .event = visit->bytes,
        .channel = visit->channel,
        .position = visit->position,
        .chain_index = (int32_t)visit->index,
        .lifted_at = visit->lifted_at,
    };
    identity_message_onward(visit->chain, visit->chain_count, &event, &message);
    return actor_send(visit->actor, visit->owner, message.to, &message);
}

/* The first event of a node may come before any message that says what the node is. */
static int introduce(struct visit *visit)
{
    const struct node *node = &visit->chain[visit->index];
    if (!node_is_set(node->id))
        return owner_name(visit->actor->owners, visit->owner, node->members[0]->value);
    if (visit->owner->exists)
        return 0;
    struct link_end members[EVENT_IDENTIFIERS_MAX];
    uint8_t ids[EVENT_IDENTIFIERS_MAX][KEY_SIZE];
    members_of(visit, node, members);
    for (size_t i = 0; i < node->members_count; i++)
        memcpy(ids[i], members[i].node, KEY_SIZE);
    return owner_make_set(
        visit->actor->owners, visit->owner, (const uint8_t(*)[KEY_SIZE])ids, node->members_count);
}

/* Returns 1: the event goes. */
static int refuse(const struct visit *visit)
{
    int r = owner_refuse(visit->actor->owners, visit->owner, visit->event.event_key);
    return r < 0 ? r : 1;
}

/* Returns 1 when the signature was erased. */
static int learn_signature(struct visit *visit)
{
    uint8_t digest[SHA256_SIZE];
    struct owner *owner = visit->owner;
    bool alone = visit->chain_count == 1 && !node_is_set(owner->id);
    int r = SIGNATURE_NEW;
    if (!alone || (visit->lifted_at && erasure_for_good(visit->actor->namespaces, owner->id))) {
        signature_chain_digest(visit->chain, visit->chain_count, digest);
        r = owner_know(visit->actor->owners, owner, digest, visit->lifted_at);
    }
    if (r == SIGNATURE_FORGOTTEN || r < 0)
        return r < 0 ? r : refuse(visit);
    if (alone && !(owner->flags & OWNER_ALONE)) {
        owner->flags |= OWNER_ALONE;
        owner->person_due |= owner->flags & OWNER_LOST;
        owner_changed(visit->actor->owners, owner);
    }
    if (alone || r == SIGNATURE_KNOWN)
        return 0; /* nothing to link */
    r = pass_links(visit, digest);
    return r < 0 ? r : r == 1 ? 0 : send_links(visit);
}

/* ---- erasure ---- */

/* Returns 1 when the node keeps the event away; its first node counts it. One whose first node has
 * learned its signature is taken back there. */
static int keep_away(
    struct visit *visit, const struct suppression *since, int64_t lift, bool learned)
{
    struct owners *owners = visit->actor->owners;
    int r = 0;
    if (lift || !erasure_keeps_away(visit->actor->namespaces, visit->owner->id, visit->index == 0,
                    visit->event.occurred_at < since->at))
        return 0;
    if (!learned || visit->index == 0)
        r = owner_refuse(owners, visit->owner, visit->event.event_key);
    if (r < 0 || !learned)
        return r < 0 ? r : 1;
    const struct erased erased = {.namespaces = visit->actor->namespaces,
        .person = since->person,
        .at = visit->index > 0 ? INT64_MAX : since->at, /* no lift of the first node ends that */
        .refused = visit->index > 0};
    r = erasure_take_back(&erased, &visit->event, owners_scratch(owners), visit->actor->outbox);
    return r < 0 ? r : 1;
}

/* A node that only generic ones come before. Returns 0 when all these are others' beside it: events
 * that show them so stood when its person was erased, and were not that person's; 1 when not: the
 * event is kept away, or when that has to be asked first. */
static int unless_of_others(struct visit *visit, const struct suppression *since)
{
    struct members members;
    if (visit->answer)
        return visit->answer == ROTATION_OTHERS ? 0 : keep_away(visit, since, 0, true);
    first_members(visit, visit->index + 1, &members);
    int r = edges_spared(visit->actor->owners, visit->owner, members.ends, members.count - 1);
    if (r)
        return r < 0 ? r : 0;
    if (members.newer_count == 0 || !erasure_for_good(visit->actor->namespaces, visit->owner->id))
        return keep_away(visit, since, 0, true);
    const struct rotation_question question = {
        .ends = members.ends,
        .ends_count = members.count,
        .newer = members.newer,
        .newer_count = members.newer_count,
        .event = {.event = visit->bytes,
            .channel = visit->channel,
            .position = visit->position,
            .chain_index = (int32_t)visit->index,
            .lifted_at = visit->lifted_at},
    };
    r = rotation_ask(visit->actor, visit->owner, &question);
    return r < 0 ? r : 1;
}

/* A generic identifier that was erased names nobody: the event goes on to the next node, and is
 * kept away where it would stay here. While an erasure has yet to take, it takes no event that
 * others may have linked; the mark will follow it. */
static int suppressed(struct visit *visit)
{
    unsigned flags = visit->owner->flags;
    struct suppression since;
    int r = owner_suppression(visit->actor->owners, visit->owner, &since);
    if (r)
        return r < 0 ? r : 0;
    int64_t lift = suppression_lift(&since, visit->event.occurred_at);
    if (visit->index == 0)
        visit->lifted_at = lift;
    if ((flags & OWNER_ERASED_DEAD) || (visit->index > 0 && (flags & OWNER_REACHED)))
        return 0;
    return visit->index > 0 && !lift ? unless_of_others(visit, &since)
                                     : keep_away(visit, &since, lift, false);
}

static int send_evidence(struct visit *visit)
{
    struct evidence_message evidence;
    struct identity_message counted;
    int r = evidence_of_event(
        visit->actor->namespaces, &visit->event, IDENTITY_KIND_EVIDENCE, &evidence);
    if (r == 0)
        r = actor_send(visit->actor, visit->owner, evidence.message.to, &evidence.message);
    if (r < 0 || evidence.message.kind != IDENTITY_KIND_EVIDENCE) /* rotation tells both ends */
        return r;
    evidence_to_stronger(&evidence.message, &counted);
    return actor_send(visit->actor, visit->owner, counted.to, &counted);
}

static int on_event(struct visit *visit)
{
    struct owner *owner = visit->owner;
    int r = suppressed(visit);
    if (r == 0)
        r = introduce(visit);
    if (r == 0 && visit->index == 0)
        r = learn_signature(visit);
    if (r == 0 && visit->index == 0 && visit->event.has_evidence)
        r = send_evidence(visit);
    if (r)
        return r < 0 ? r : 0;
    if (owner->flags & OWNER_DEAD)
        return send_on(visit);
    if (!(owner->flags & OWNER_SEATED)) {
        owner->flags |= OWNER_SEATED;
        owner_changed(visit->actor->owners, owner);
    }
    return send_put(visit, owner->person, false);
}

static int on_stay(struct visit *visit)
{
    struct link_end members[EVENT_IDENTIFIERS_MAX];
    uint8_t person[KEY_SIZE];
    struct suppression since;
    int r = owner_suppression(visit->actor->owners, visit->owner, &since);
    if (r == 0) /* a lift that let it in here when it came */
        r = keep_away(visit, &since, visit->lifted_at >= since.at ? visit->lifted_at : 0, true);
    else if (r == STATE_ABSENT)
        r = 0;
    if (r)
        return r < 0 ? r : 0;
    members_of(visit, &visit->chain[0], members);
    owner_stay_person(visit->actor->owners, visit->owner, members[0].node, person);
    return send_put(visit, person, true);
}

/* Reads the event and its chain. */
static int read_event(struct visit *visit, struct str bytes)
{
    struct arena *scratch = owners_scratch(visit->actor->owners);
    visit->bytes = bytes;
    int r = touchpoint_decode(&visit->event, bytes, scratch);
    if (r < 0) {
        touchpoint_init(&visit->event); /* a rejection says only what was read whole */
        return r;
    }
    r = namespace_chain(visit->actor->namespaces, visit->event.identifiers,
        visit->event.identifiers_count, scratch, visit->chain, &visit->chain_count);
    struct evidence_message evidence;
    if (r == 0 && visit->event.has_evidence)
        r = evidence_of_event(
            visit->actor->namespaces, &visit->event, IDENTITY_KIND_EVIDENCE, &evidence);
    for (size_t i = 0; r == 0 && i < visit->event.identifiers_count; i++) {
        size_t size = visit->event.identifiers[i].value.size;
        if (size == 0 || size > IDENTIFIER_VALUE_SIZE_MAX)
            r = ERR_VALUE;
    }
    return r;
}

static int enrich(struct visit *visit)
{
    const struct identify_config *config = visit->identify->config;
    struct buf *event = &visit->identify->event;
    if (config->enrich) {
        int r = config->enrich(config->enrich_context, &visit->event,
            owners_scratch(visit->actor->owners), &visit->channel);
        buf_clear(event);
        if (r >= 0)
            r = touchpoint_encode(&visit->event, event);
        if (r < 0)
            return r;
        visit->bytes = buf_str(event);
    }
    return visit->bytes.size > IDENTIFY_EVENT_SIZE_MAX ? ERR_TOO_LARGE : 0;
}

/* An event whose key is not its first node (a producer with another table of namespaces) lies in a
 * partition whose owners are others: it goes by mail. */
static int redirect(const struct visit *visit)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_EVENT;
    message.position = visit->position;
    message.channel = visit->channel;
    message.event = visit->bytes;
    struct owner nobody = {.exists = false};
    memcpy(nobody.id, visit->chain[0].id, KEY_SIZE);
    return actor_send(visit->actor, &nobody, visit->chain[0].id, &message);
}

static int arrive(struct visit *visit)
{
    if (visit->index == 0 && str_equal(visit->event.type, STR(ERASURE_TYPE)))
        return erasure_request(visit->actor, &visit->event, visit->owner, IDENTITY_KIND_ERASE);
    if (visit->index == 0 && str_equal(visit->event.type, STR(LIFT_TYPE)))
        return erasure_request(visit->actor, &visit->event, visit->owner, IDENTITY_KIND_LIFT);
    if (visit->index == 0 && str_equal(visit->event.type, STR(ROTATION_EVENT_TYPE)))
        return rotation_on_event(visit->actor, visit->owner, &visit->event);
    return on_event(visit);
}

static int process_event(struct visit *visit, const struct record *record)
{
    visit->position = record->position;
    int r = read_event(visit, record->value);
    if (r == 0)
        r = enrich(visit);
    if (r < 0)
        return r;
    if (!str_equal(record->key, str_make(visit->chain[0].id, KEY_SIZE)))
        return redirect(visit);
    r = owners_get(visit->actor->owners, visit->chain[0].id, &visit->owner);
    return r < 0 ? r : arrive(visit);
}

static int process_travelling(struct visit *visit, const struct identity_message *message)
{
    bool stays = message->kind == IDENTITY_KIND_STAY;
    int r = read_event(visit, message->event);
    if (r < 0)
        return r;
    visit->index = stays ? 0 : (size_t)message->chain_index;
    visit->answer = stays ? 0 : message->number;
    visit->position = message->position;
    visit->channel = message->channel;
    visit->lifted_at = message->lifted_at;
    if (visit->index >= visit->chain_count ||
        memcmp(visit->chain[visit->index].id, message->to, KEY_SIZE) != 0)
        return ERR_VALUE;
    r = owners_get(visit->actor->owners, message->to, &visit->owner);
    if (r < 0)
        return r;
    return stays ? on_stay(visit) : arrive(visit);
}

static int process_mail(struct visit *visit, const struct record *record)
{
    struct identity_message message;
    struct arena *scratch = owners_scratch(visit->actor->owners);
    int r = identity_message_decode(&message, record->value, scratch);
    if (r < 0)
        return r;
    if (!identity_message_valid(visit->actor->namespaces, &message) ||
        !str_equal(record->key, str_make(message.to, KEY_SIZE)))
        return ERR_VALUE;
    if (message.kind == IDENTITY_KIND_EVENT || message.kind == IDENTITY_KIND_STAY)
        return process_travelling(visit, &message);
    return actor_receive(visit->actor, &message);
}

/* ---- the stage ---- */

static int reject(
    struct task *task, const struct record *record, const struct visit *visit, int error)
{
    const struct door_rejection rejection = {
        .source = visit->event.source,
        .stage = STR(STAGE_NAME),
        .payload = record->value,
        .event_id = visit->event.event_id,
    };
    const struct event_problem problem = {.error = error};
    struct append_record out;
    int r = door_reject(&rejection, &problem, visit->event.received_at, task->scratch, &out);
    return r < 0 ? r : outbox_send(task->outbox, TOPIC_REJECTED, out.key, out.value);
}

static void stage_close(void *instance)
{
    struct identify *identify = instance;
    owners_free(&identify->owners);
    buf_free(&identify->event);
    buf_free(&identify->mail);
    free(identify);
}

static int stage_open(const void *config, void **instance)
{
    struct identify *identify = calloc(1, sizeof *identify);
    if (!identify)
        return ERR_NO_MEMORY;
    identify->config = config;
    int r =
        owners_new(identify->config->namespaces, identify->config->tenant_key, &identify->owners);
    if (r < 0) {
        stage_close(identify);
        return r;
    }
    owners_cache_max(identify->owners, identify->config->cache_bytes_max);
    *instance = identify;
    return 0;
}

static int stage_process(void *instance, struct task *task, const struct record *record)
{
    struct identify *identify = instance;
    struct actor actor = {
        .namespaces = identify->config->namespaces,
        .owners = identify->owners,
        .outbox = task->outbox,
        .mail = &identify->mail,
    };
    struct visit visit;
    visit.identify = identify;
    visit.actor = &actor;
    visit.channel = (struct str){0};
    visit.index = 0;
    visit.answer = 0;
    visit.lifted_at = 0;
    touchpoint_init(&visit.event);
    owners_enter(identify->owners, task);
    int r = record->topic == TOPIC_EVENTS ? process_event(&visit, record)
                                          : process_mail(&visit, record);
    if (r < 0 && error_class(r) == ERROR_CLASS_REJECT)
        return reject(task, record, &visit, r);
    return r;
}

static int stage_settle(void *instance, struct task *task)
{
    struct identify *identify = instance;
    owners_enter(identify->owners, task);
    return owners_flush(identify->owners);
}

static void stage_reset(void *instance)
{
    owners_forget(((struct identify *)instance)->owners);
}

void identify_stage(struct stage *out, const struct identify_config *config)
{
    *out = (struct stage){
        .name = STAGE_NAME,
        .inputs = inputs,
        .inputs_count = sizeof inputs / sizeof *inputs,
        .config = config,
        .open = stage_open,
        .process = stage_process,
        .settle = stage_settle,
        .reset = stage_reset,
        .close = stage_close,
    };
}

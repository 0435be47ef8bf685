/* Dispatches records to the owners of nodes. An instance keeps only what a batch needs: nodes in
 * memory, buffers. */
#include "enrich/identity/identify.h"

#include <stdlib.h>

#include "enrich/identity/actor.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/journey_message.avro.h"
#include "schemas/rejected.avro.h"

#define SIGNATURES_INLINE_MAX 8
#define STAGE_NAME "identify"

struct identify {
    const struct identify_config *config;
    struct owners *owners;
    struct buf event;   /* the enriched touchpoint */
    struct buf message; /* the put */
};

/* One event before one of its nodes. */
struct visit {
    struct actor *actor;
    struct identify *identify;
    const struct node *chain;
    size_t chain_count;
    size_t index;
    int64_t position;
    struct str event;
    struct str channel;
};

static const enum topic inputs[] = {TOPIC_EVENTS, TOPIC_IDENTITY};

static int reject(struct task *task, struct str payload, int error, struct str event_id)
{
    struct rejected rejected;
    struct sha256 hash;
    uint8_t digest[32];
    CLEANUP(buf_free) struct buf value = {0};
    rejected_init(&rejected);
    rejected.stage = STR(STAGE_NAME);
    rejected.reason = str_of(error_name(error));
    rejected.payload = payload;
    rejected.event_id = event_id;
    sha256_init(&hash);
    sha256_update_sized(&hash, rejected.source);
    sha256_update_sized(&hash, rejected.stage);
    sha256_update_sized(&hash, rejected.reason);
    sha256_update_sized(&hash, rejected.pointer);
    sha256_update_sized(&hash, rejected.payload);
    sha256_final(&hash, digest);
    memcpy(rejected.rejected_key, digest, KEY_SIZE);
    int r = rejected_encode(&rejected, &value);
    if (r < 0)
        return r;
    return outbox_send(task->outbox, TOPIC_REJECTED, str_make(digest, KEY_SIZE), buf_str(&value));
}

/* Ids of a node's members, 16 bytes each; empty for an identifier. */
static int member_ids(const struct namespace_table *namespaces, const struct node *node,
    struct arena *arena, struct str *out)
{
    *out = (struct str){0};
    if (!node_is_set(node->id))
        return 0;
    uint8_t *ids = arena_alloc(arena, node->members_count * KEY_SIZE);
    if (!ids)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < node->members_count; i++)
        namespace_node_id(
            namespaces, node_rank(node->id), node->members[i]->value, ids + i * KEY_SIZE);
    *out = str_make(ids, node->members_count * KEY_SIZE);
    return 0;
}

/* ---- signatures: sets of identifiers that the first node has seen ---- */

/* SHA-256 of the chain's ids: a node's id says its members. */
static void signature_of(const struct node *chain, size_t count, uint8_t digest[32])
{
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        sha256_update(&hash, str_make(chain[i].id, KEY_SIZE));
    sha256_final(&hash, digest);
}

/* Returns 1 when the owner knew the signature; else remembers it and returns 0. */
static int know_signature(struct actor *actor, const uint8_t digest[32])
{
    struct identity_node *node = &actor->owner->node;
    int64_t brief;
    memcpy(&brief, digest, sizeof brief);
    for (size_t i = 0; i < node->signatures_count; i++)
        if (node->signatures[i] == brief)
            return 1;
    if (node->signatures_count < SIGNATURES_INLINE_MAX) {
        size_t count = node->signatures_count + 1;
        int64_t *more = arena_alloc(owners_arena(actor->owners), count * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (count > 1)
            memcpy(more, node->signatures, (count - 1) * sizeof *more);
        more[count - 1] = brief;
        node->signatures = more;
        node->signatures_count = count;
        actor->owner->dirty = true;
        return 0;
    }
    uint8_t key[2 * KEY_SIZE];
    struct str found;
    memcpy(key, actor->owner->id, KEY_SIZE);
    memcpy(key + KEY_SIZE, digest, KEY_SIZE);
    int r = state_get(actor->state, TABLE_SIGNATURE, str_make(key, sizeof key), &found);
    if (r != STATE_ABSENT)
        return r < 0 ? r : 1;
    return state_put(actor->state, TABLE_SIGNATURE, str_make(key, sizeof key), (struct str){0});
}

static int send_link(const struct visit *visit, const struct node *weak,
    const uint8_t weak_id[KEY_SIZE], const struct identifier *weak_text,
    const uint8_t strong_id[KEY_SIZE], const struct identifier *strong_text)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_LINK;
    memcpy(message.to, weak_id, KEY_SIZE);
    memcpy(message.from, visit->actor->owner->id, KEY_SIZE);
    message.has_other = true;
    memcpy(message.other, strong_id, KEY_SIZE);
    message.other_namespace = strong_text->namespace;
    message.other_value = strong_text->value;
    if (weak_text) {
        message.namespace = weak_text->namespace;
        message.value = weak_text->value;
    } else {
        int r = member_ids(visit->actor->namespaces, weak, visit->actor->scratch, &message.members);
        if (r < 0)
            return r;
    }
    return identity_message_send(&message, visit->actor->outbox);
}

/* Links of one weaker identifier to every member of one stronger node. */
static int link_identifier(const struct visit *visit, const struct node *weak,
    const struct identifier *member, const struct node *strong)
{
    const struct namespace_table *namespaces = visit->actor->namespaces;
    uint8_t weak_id[KEY_SIZE], strong_id[KEY_SIZE];
    int r = 0;
    namespace_node_id(namespaces, node_rank(weak->id), member->value, weak_id);
    for (size_t i = 0; r == 0 && i < strong->members_count; i++) {
        namespace_node_id(namespaces, node_rank(strong->id), strong->members[i]->value, strong_id);
        r = send_link(visit, weak, weak_id, member, strong_id, strong->members[i]);
    }
    return r;
}

/* A new signature: every pair of different rank, and every set with its members, is told to its
 * weaker end. */
static int send_links(const struct visit *visit)
{
    int r = 0;
    for (size_t w = 0; r == 0 && w < visit->chain_count; w++) {
        const struct node *weak = &visit->chain[w];
        for (size_t m = 0; r == 0 && m < weak->members_count; m++) {
            for (size_t s = 0; r == 0 && s < w; s++)
                r = link_identifier(visit, weak, weak->members[m], &visit->chain[s]);
            if (r < 0 || !node_is_set(weak->id))
                continue;
            uint8_t member_id[KEY_SIZE];
            namespace_node_id(
                visit->actor->namespaces, node_rank(weak->id), weak->members[m]->value, member_id);
            r = send_link(visit, weak, weak->id, NULL, member_id, weak->members[m]);
        }
    }
    return r;
}

/* ---- events ---- */

/* The touchpoint for a person's timeline. */
static int send_put(const struct visit *visit, const uint8_t person[KEY_SIZE], bool stay)
{
    const struct owner *owner = visit->actor->owner;
    struct placed_event placed = {
        .position = visit->position,
        .chain_index = stay ? CHAIN_INDEX_STAY : (int32_t)visit->index,
        .channel = visit->channel,
        .event = visit->event,
    };
    struct journey_message message;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_PUT;
    memcpy(message.person, person, KEY_SIZE);
    memcpy(message.node, owner->id, KEY_SIZE);
    message.stay = stay;
    message.epoch = stay ? 0 : owner->node.epoch;
    message.events = &placed;
    message.events_count = 1;
    buf_clear(&visit->identify->message);
    int r = journey_message_encode(&message, &visit->identify->message);
    if (r < 0)
        return r;
    return outbox_send(visit->actor->outbox, TOPIC_JOURNEY, str_make(person, KEY_SIZE),
        buf_str(&visit->identify->message));
}

/* The event to the next node of its chain, or back to the first to stay. */
static int send_on(const struct visit *visit)
{
    struct identity_message message;
    identity_message_init(&message);
    bool next = visit->index + 1 < visit->chain_count;
    size_t index = next ? visit->index + 1 : 0;
    message.kind = next ? IDENTITY_KIND_EVENT : IDENTITY_KIND_STAY;
    memcpy(message.to, visit->chain[index].id, KEY_SIZE);
    memcpy(message.from, visit->actor->owner->id, KEY_SIZE);
    message.position = visit->position;
    message.chain_index = (int32_t)index;
    message.channel = visit->channel;
    message.event = visit->event;
    return identity_message_send(&message, visit->actor->outbox);
}

static int on_event(const struct visit *visit, bool from_log)
{
    struct actor *actor = visit->actor;
    const struct node *node = &visit->chain[visit->index];
    int r = 0;
    if (!actor->owner->exists) {
        struct str members;
        r = member_ids(actor->namespaces, node, actor->scratch, &members);
        if (r == 0)
            r = actor_create(actor, node->members[0]->namespace, node->members[0]->value, members);
    }
    if (r == 0 && from_log) {
        uint8_t digest[32];
        signature_of(visit->chain, visit->chain_count, digest);
        r = know_signature(actor, digest);
        if (r == 0 && (visit->chain_count > 1 || node_is_set(node->id)))
            r = send_links(visit);
    }
    if (r < 0)
        return r;
    return actor->owner->node.dead ? send_on(visit)
                                   : send_put(visit, actor->owner->node.person, false);
}

static int on_stay(const struct visit *visit)
{
    struct actor *actor = visit->actor;
    const struct owner *owner = actor->owner;
    uint8_t person[KEY_SIZE];
    if (!owner->exists)
        return ERR_VALUE;
    const uint8_t *first =
        node_is_set(owner->id) ? (const uint8_t *)owner->node.members.data : owner->id;
    actor_person(actor->tenant_key, first, person);
    return send_put(visit, person, true);
}

static int process_event(
    struct identify *identify, struct actor *actor, const struct record *record)
{
    struct touchpoint event;
    struct node chain[NODES_MAX];
    struct visit visit = {
        .actor = actor, .identify = identify, .chain = chain, .position = record->position};
    int r = touchpoint_decode(&event, record->value, actor->scratch);
    if (r == 0)
        r = namespace_chain(actor->namespaces, event.identifiers, event.identifiers_count,
            actor->scratch, chain, &visit.chain_count);
    if (r == 0 && identify->config->enrich)
        r = identify->config->enrich(
            identify->config->enrich_context, &event, actor->scratch, &visit.channel);
    buf_clear(&identify->event);
    if (r >= 0)
        r = touchpoint_encode(&event, &identify->event);
    if (r == 0)
        r = owners_get(actor->owners, actor->state, chain[0].id, &actor->owner);
    visit.event = buf_str(&identify->event);
    return r < 0 ? r : on_event(&visit, true);
}

static int process_travelling(
    struct identify *identify, struct actor *actor, const struct identity_message *message)
{
    struct touchpoint event;
    struct node chain[NODES_MAX];
    struct visit visit = {
        .actor = actor,
        .identify = identify,
        .chain = chain,
        .index = (size_t)(message->chain_index < 0 ? 0 : message->chain_index),
        .position = message->position,
        .event = message->event,
        .channel = message->channel,
    };
    int r = touchpoint_decode(&event, message->event, actor->scratch);
    if (r == 0)
        r = namespace_chain(actor->namespaces, event.identifiers, event.identifiers_count,
            actor->scratch, chain, &visit.chain_count);
    if (r < 0)
        return r;
    if (visit.index >= visit.chain_count ||
        memcmp(chain[visit.index].id, actor->owner->id, KEY_SIZE) != 0)
        return ERR_VALUE;
    return message->kind == IDENTITY_KIND_STAY ? on_stay(&visit) : on_event(&visit, false);
}

static int process_message(
    struct identify *identify, struct actor *actor, const struct record *record)
{
    struct identity_message message;
    int r = identity_message_decode(&message, record->value, actor->scratch);
    if (r == 0 && (size_t)node_rank(message.to) >= actor->namespaces->count)
        r = ERR_NAMESPACE;
    if (r == 0 && (size_t)node_rank(message.from) >= actor->namespaces->count)
        r = ERR_NAMESPACE;
    if (r == 0 && message.has_other && (size_t)node_rank(message.other) >= actor->namespaces->count)
        r = ERR_NAMESPACE;
    if (r == 0)
        r = owners_get(actor->owners, actor->state, message.to, &actor->owner);
    if (r < 0)
        return r;
    if (message.kind == IDENTITY_KIND_EVENT || message.kind == IDENTITY_KIND_STAY)
        return process_travelling(identify, actor, &message);
    return actor_receive(actor, &message);
}

/* ---- the stage ---- */

static void stage_close(void *instance)
{
    struct identify *identify = instance;
    owners_free(&identify->owners);
    buf_free(&identify->event);
    buf_free(&identify->message);
    free(identify);
}

static int stage_open(const void *config, void **instance)
{
    struct identify *identify = calloc(1, sizeof *identify);
    if (!identify)
        return ERR_NO_MEMORY;
    identify->config = config;
    int r = owners_new(&identify->owners);
    if (r < 0) {
        stage_close(identify);
        return r;
    }
    *instance = identify;
    return 0;
}

static int stage_process(void *instance, struct task *task, const struct record *record)
{
    struct identify *identify = instance;
    struct actor actor = {
        .namespaces = identify->config->namespaces,
        .tenant_key = str_make(identify->config->tenant_key, sizeof identify->config->tenant_key),
        .owners = identify->owners,
        .state = task->state,
        .outbox = task->outbox,
        .scratch = task->scratch,
    };
    int r = record->topic == TOPIC_EVENTS ? process_event(identify, &actor, record)
                                          : process_message(identify, &actor, record);
    if (r < 0 && error_class(r) == ERROR_CLASS_REJECT)
        return reject(task, record->value, r, (struct str){0});
    return r;
}

static int stage_settle(void *instance, struct task *task)
{
    struct identify *identify = instance;
    int r = owners_flush(identify->owners, task->state);
    if (r == 0)
        owners_forget(identify->owners);
    return r;
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

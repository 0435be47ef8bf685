/*
 * Invariant: a suppressed signature stands once for each node of its chain that its events passed,
 * where events of that node would stand.
 */
#include "enrich/journey/erasure.h"

#include "enrich/identity/erasure.h"
#include "enrich/identity/message.h"
#include "schemas/error.h"

#define ERASED_SIZE (8 + 8 + 1)
#define STAY_SIZE 1
#define RECENT_MAX 64 /* signatures just taken back; more come again, and change nothing */

/* ---- erased persons: a row person | marker -> at (8) | count (8) | for good (1) ---- */

bool erasure_load(struct person *person, struct str key, struct str value)
{
    if (key.size != GONE_KEY_SIZE || value.size != ERASED_SIZE ||
        memcmp(key.data + KEY_SIZE, gone_erased, KEY_SIZE) != 0)
        return false;
    person->erased = true;
    person->erased_at = get_be64_signed((const uint8_t *)value.data);
    person->erased_count = get_be64_signed((const uint8_t *)value.data + 8);
    person->erased_for_good = value.data[16];
    return true;
}

static int put_erased(struct timeline *timeline, const struct person *person)
{
    uint8_t key[GONE_KEY_SIZE], value[ERASED_SIZE];
    gone_key(key, person->id, gone_erased);
    put_be64_signed(value, person->erased_at);
    put_be64_signed(value + 8, person->erased_count);
    value[16] = person->erased_for_good;
    return state_put(timeline->task->state, TABLE_GONE, str_make(key, sizeof key),
        str_make(value, sizeof value));
}

/* What an erasure works with: signatures told of just now need not be told again. */
struct erasing {
    struct timeline *timeline;
    struct person *person;
    uint64_t recent[RECENT_MAX];
    size_t recent_count;
};

static bool told(struct erasing *erasing, const struct signature *signature)
{
    uint8_t digest[SHA256_SIZE];
    signature_digest(signature, digest);
    uint64_t hash = get_be64(digest);
    for (size_t i = 0; i < erasing->recent_count && i < RECENT_MAX; i++)
        if (erasing->recent[i] == hash)
            return true;
    erasing->recent[erasing->recent_count++ % RECENT_MAX] = hash;
    return false;
}

static int drop_erased(void *context, const uint8_t node[KEY_SIZE], const struct touchpoint *event)
{
    struct erasing *erasing = context;
    struct person *person = erasing->person;
    struct task *task = erasing->timeline->task;
    const struct namespace_table *namespaces = erasing->timeline->config->namespaces;
    struct signature signature;
    int r = signature_of_event(namespaces, event, task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    bool alone = signature.count == 1 && !person->erased_for_good &&
                 !erasure_for_good(namespaces, signature.members[0]);
    const struct erased erased = {namespaces, person->id, person->erased_at, node};
    if (alone && event->occurred_at >= person->erased_at)
        return erasure_keep(&erased, event, task->outbox);
    person->erased_count++;
    if (!event->has_evidence && told(erasing, &signature))
        return 1;
    r = erasure_take_back(&erased, event, task->scratch, task->outbox);
    return r < 0 ? r : 1;
}

int erasure_erase(struct timeline *timeline, const struct journey_message *message)
{
    struct erasing erasing = {.timeline = timeline};
    int r = timeline_person(timeline, message->person, &erasing.person);
    if (r < 0)
        return r;
    struct person *person = erasing.person;
    person->erased_for_good |= message->for_good;
    if (!person->erased || message->at > person->erased_at)
        person->erased_at = message->at;
    person->erased = true;
    r = timeline_drop(timeline, person, NULL, drop_erased, &erasing);
    return r < 0 ? r : put_erased(timeline, person);
}

/* ---- suppressed signatures ---- */

static void suppressed_key(uint8_t key[SUPPRESSED_KEY_SIZE], const struct person *person,
    const uint8_t node[KEY_SIZE], const struct signature *signature)
{
    uint8_t digest[SHA256_SIZE];
    gone_key(key, person->id, node);
    signature_digest(signature, digest);
    memcpy(key + GONE_KEY_SIZE, digest, KEY_SIZE);
}

static int drop_erased_arrival(struct timeline *timeline, struct person *person,
    const uint8_t node[KEY_SIZE], const struct touchpoint *event)
{
    struct erasing erasing = {.timeline = timeline, .person = person};
    int r = drop_erased(&erasing, node, event);
    if (r != 1)
        return r;
    r = put_erased(timeline, person);
    return r < 0 ? r : 1;
}

int erasure_drops(struct timeline *timeline, struct person *person, const uint8_t node[KEY_SIZE],
    const struct touchpoint *event)
{
    uint8_t key[SUPPRESSED_KEY_SIZE];
    struct signature signature;
    struct str value;
    int r = person->erased ? drop_erased_arrival(timeline, person, node, event) : 0;
    if (r || !person->suppresses)
        return r;
    r = signature_of_event(
        timeline->config->namespaces, event, timeline->task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    suppressed_key(key, person, node, &signature);
    r = state_get(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), &value);
    if (r)
        return r < 0 ? r : 0;
    r = erasure_retract(timeline->config->namespaces, event, timeline->task->outbox);
    return r < 0 ? r : 1;
}

/* Onward from a node that is gone: with its events, or down the chain. */
static int pass_on(
    struct timeline *timeline, const struct gone_node *gone, const struct signature *signature)
{
    struct signature_node chain[NODES_MAX];
    if (gone->scattered) {
        size_t nodes = signature_chain(signature, chain), at = 0;
        while (at < nodes && memcmp(chain[at].id, gone->node, KEY_SIZE) != 0)
            at++;
        return at == nodes
                   ? ERR_STATE
                   : erasure_pass_on(signature, (int32_t)at, gone->node, timeline->task->outbox);
    }
    struct journey_message message;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_SUPPRESS;
    memcpy(message.person, gone->to, KEY_SIZE);
    memcpy(message.node, gone->node, KEY_SIZE);
    message.epoch = gone->epoch;
    message.members = signature_bytes(signature);
    buf_clear(timeline->value);
    int r = journey_message_encode(&message, timeline->value);
    if (r < 0)
        return r;
    return outbox_send(timeline->task->outbox, TOPIC_JOURNEY, str_make(message.person, KEY_SIZE),
        buf_str(timeline->value));
}

int erasure_gone(struct timeline *timeline, struct person *person, const struct gone_node *gone)
{
    uint8_t prefix[GONE_KEY_SIZE];
    struct state_scan *scan;
    struct str key, value;
    if (!person->suppresses)
        return 0;
    gone_key(prefix, person->id, gone->node);
    int r =
        state_scan_begin(timeline->task->state, TABLE_GONE, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct signature signature;
        if (key.size != SUPPRESSED_KEY_SIZE)
            continue;
        if (value.size < STAY_SIZE ||
            !signature_of_bytes(
                str_make(value.data + STAY_SIZE, value.size - STAY_SIZE), &signature))
            r = ERR_STATE;
        else if (value.data[0])
            continue;
        else
            r = pass_on(timeline, gone, &signature);
        if (r == 0)
            r = state_delete(timeline->task->state, TABLE_GONE, key);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

struct following {
    struct timeline *timeline;
    const struct signature *signature;
};

static int drop_suppressed(
    void *context, const uint8_t node[KEY_SIZE], const struct touchpoint *event)
{
    const struct following *following = context;
    (void)node;
    struct signature signature;
    int r = signature_of_event(following->timeline->config->namespaces, event,
        following->timeline->task->scratch, &signature);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    if (!str_equal(signature_bytes(&signature), signature_bytes(following->signature)))
        return 0;
    r = erasure_retract(
        following->timeline->config->namespaces, event, following->timeline->task->outbox);
    return r < 0 ? r : 1;
}

int erasure_suppress(struct timeline *timeline, const struct journey_message *message)
{
    uint8_t key[SUPPRESSED_KEY_SIZE];
    struct signature signature;
    struct person *person;
    struct gone_node *gone;
    CLEANUP(buf_free) struct buf value = {0};
    if (!timeline_epoch_valid(message->epoch) || !signature_of_bytes(message->members, &signature))
        return ERR_VALUE;
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = timeline_admit(timeline, person, message, &gone);
    if (r == 1)
        return pass_on(timeline, gone, &signature);
    if (r == 0)
        r = buf_append(&value, message->stay ? "\1" : "\0", STAY_SIZE);
    if (r == 0)
        r = buf_append_str(&value, message->members);
    if (r < 0)
        return r;
    person->suppresses = true;
    suppressed_key(key, person, message->node, &signature);
    r = state_put(timeline->task->state, TABLE_GONE, str_make(key, sizeof key), buf_str(&value));
    struct following following = {timeline, &signature};
    return r < 0 ? r : timeline_drop(timeline, person, message->node, drop_suppressed, &following);
}

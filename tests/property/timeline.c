/* No instance state: everything is in rows. */
#include "tests/property/timeline.h"

#include "enrich/identity/message.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"

#define CHUNK 2
#define EVENTS_MAX 512
#define HEAD_SIZE 16 /* position, chain index */
#define MARK_SIZE (2 * KEY_SIZE)

struct gone {
    int64_t epoch;
    bool has_to;
    uint8_t to[KEY_SIZE];
};

static const enum topic inputs[] = {TOPIC_JOURNEY};

static int gone_get(struct task *task, const uint8_t *mark, struct gone *out)
{
    struct str value;
    int r = state_get(task->state, TABLE_GONE, str_make(mark, MARK_SIZE), &value);
    if (r)
        return r;
    out->epoch = (int64_t)get_be64((const uint8_t *)value.data);
    out->has_to = value.size > 8;
    if (out->has_to)
        memcpy(out->to, value.data + 8, KEY_SIZE);
    return 0;
}

static int gone_put(struct task *task, const uint8_t *mark, const struct gone *gone)
{
    uint8_t value[8 + KEY_SIZE];
    put_be64(value, (uint64_t)gone->epoch);
    memcpy(value + 8, gone->to, KEY_SIZE);
    return state_put(task->state, TABLE_GONE, str_make(mark, MARK_SIZE),
        str_make(value, gone->has_to ? sizeof value : 8));
}

static int send_chunk(struct task *task, const uint8_t node[KEY_SIZE], const struct gone *gone,
    struct placed_event *events, size_t count)
{
    struct journey_message message;
    CLEANUP(buf_free) struct buf value = {0};
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_PUT;
    memcpy(message.person, gone->to, KEY_SIZE);
    memcpy(message.node, node, KEY_SIZE);
    message.epoch = gone->epoch;
    message.events = events;
    message.events_count = count;
    int r = journey_message_encode(&message, &value);
    if (r < 0)
        return r;
    return outbox_send(
        task->outbox, TOPIC_JOURNEY, str_make(message.person, KEY_SIZE), buf_str(&value));
}

static int pass_on(const struct namespace_table *namespaces, struct task *task,
    const struct journey_message *from, const struct gone *gone)
{
    int r = 0;
    for (size_t i = 0; r == 0 && gone->has_to && i < from->events_count; i += CHUNK) {
        size_t left = from->events_count - i;
        r = send_chunk(task, from->node, gone, from->events + i, left < CHUNK ? left : CHUNK);
    }
    for (size_t i = 0; r == 0 && !gone->has_to && i < from->events_count; i++) {
        const struct placed_event *event = &from->events[i];
        struct travelling_event onward = {.event = event->event,
            .channel = event->channel,
            .position = event->position,
            .chain_index = event->chain_index};
        memcpy(onward.from, from->node, KEY_SIZE);
        r = identity_message_pass_on(namespaces, &onward, task->scratch, task->outbox);
    }
    return r;
}

static int put_event(
    struct task *task, const uint8_t *mark, bool stay, const struct placed_event *event)
{
    struct touchpoint touchpoint;
    uint8_t key[TIMELINE_KEY_SIZE];
    struct str old;
    CLEANUP(buf_free) struct buf value = {0};
    int r = touchpoint_decode(&touchpoint, event->event, task->scratch);
    if (r < 0)
        return ERR_INTERNAL;
    memcpy(key, mark, MARK_SIZE);
    key[MARK_SIZE] = stay;
    memcpy(key + MARK_SIZE + 1, touchpoint.event_key, KEY_SIZE);
    r = state_get(task->state, TABLE_RECORD, str_make(key, sizeof key), &old);
    if (r < 0)
        return r;
    int64_t position = event->position;
    if (r == 0 && (int64_t)get_be64((const uint8_t *)old.data) < position)
        position = (int64_t)get_be64((const uint8_t *)old.data);
    uint8_t head[HEAD_SIZE];
    put_be64(head, (uint64_t)position);
    put_be64(head + 8, (uint64_t)event->chain_index);
    r = buf_append(&value, head, sizeof head);
    if (r == 0)
        r = buf_append_str(&value, event->event);
    return r < 0 ? r
                 : state_put(task->state, TABLE_RECORD, str_make(key, sizeof key), buf_str(&value));
}

static int on_put(const struct namespace_table *namespaces, struct task *task, const uint8_t *mark,
    const struct journey_message *message)
{
    struct gone gone;
    int r = message->stay ? STATE_ABSENT : gone_get(task, mark, &gone);
    if (r == 0 && message->epoch < gone.epoch)
        return pass_on(namespaces, task, message, &gone);
    if (r == 0 && message->epoch > gone.epoch)
        r = state_delete(task->state, TABLE_GONE, str_make(mark, MARK_SIZE));
    for (size_t i = 0; r >= 0 && i < message->events_count; i++)
        r = put_event(task, mark, message->stay, &message->events[i]);
    return r < 0 ? r : 0;
}

/* Takes all events of (person, node) away and sends them where they belong now. */
static int on_gone(const struct namespace_table *namespaces, struct task *task, const uint8_t *mark,
    struct journey_message *message)
{
    struct gone gone = {.epoch = message->epoch, .has_to = message->has_to};
    struct placed_event events[EVENTS_MAX];
    struct str key, value, keys[EVENTS_MAX];
    uint8_t prefix[MARK_SIZE + 1];
    struct state_scan *scan;
    size_t count = 0;
    memcpy(gone.to, message->to, KEY_SIZE);
    memcpy(prefix, mark, MARK_SIZE);
    prefix[MARK_SIZE] = 0;
    int r = gone_put(task, mark, &gone);
    if (r == 0)
        r = state_scan_begin(task->state, TABLE_RECORD, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        check(count < EVENTS_MAX);
        const uint8_t *head = (const uint8_t *)value.data;
        events[count] = (struct placed_event){.position = (int64_t)get_be64(head),
            .chain_index = (int32_t)get_be64(head + 8),
            .event = str_make(value.data + HEAD_SIZE, value.size - HEAD_SIZE)};
        keys[count++] = key;
    }
    state_scan_end(&scan);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = state_delete(task->state, TABLE_RECORD, keys[i]);
    message->events = events;
    message->events_count = count;
    return r < 0 ? r : pass_on(namespaces, task, message, &gone);
}

static int process(void *instance, struct task *task, const struct record *record)
{
    struct journey_message message;
    uint8_t mark[MARK_SIZE];
    int r = journey_message_decode(&message, record->value, task->scratch);
    if (r < 0 || !str_equal(record->key, str_make(message.person, KEY_SIZE)))
        return ERR_INTERNAL;
    memcpy(mark, message.person, KEY_SIZE);
    memcpy(mark + KEY_SIZE, message.node, KEY_SIZE);
    return message.kind == JOURNEY_KIND_GONE ? on_gone(instance, task, mark, &message)
                                             : on_put(instance, task, mark, &message);
}

static int open(const void *config, void **instance)
{
    *instance = (void *)(uintptr_t)config;
    return 0;
}

static int settle(void *instance, struct task *task)
{
    return 0;
}

static void nothing(void *instance)
{
}

void timeline_stage(struct stage *out, const struct namespace_table *namespaces)
{
    *out = (struct stage){
        .name = "timeline",
        .inputs = inputs,
        .inputs_count = 1,
        .config = namespaces,
        .open = open,
        .process = process,
        .settle = settle,
        .reset = nothing,
        .close = nothing,
    };
}

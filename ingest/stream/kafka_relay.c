/* See the header. */
#include "ingest/stream/kafka_relay.h"

#include "ingest/stream/fault.h"
#include "schemas/error.h"

#define SLACK_PART 8 /* of bytes_max: what the record that fills a batch may still cause */
#define MEMORY_BLOCK_MAX ((size_t)1 << 22)
#define MEMORY_MAX ((size_t)1 << 36)

struct kafka_relayed {
    struct kafka_relayed *next;
    struct kafka_input *input;
    struct record record;
};

void kafka_relay_open(struct kafka_relay *relay, struct kafka_inputs *inputs,
    struct kafka_producer *producer, size_t bytes_max)
{
    *relay = (struct kafka_relay){.inputs = inputs, .producer = producer, .bytes_max = bytes_max};
    relay->memory.size_max = MEMORY_MAX;
    relay->memory.block_size_max = MEMORY_BLOCK_MAX;
    relay->last = &relay->first;
}

void kafka_relay_close(struct kafka_relay *relay)
{
    arena_free(&relay->memory);
}

/* ---- fences ---- */

static bool is_mail(enum topic topic)
{
    return topic == TOPIC_IDENTITY || topic == TOPIC_JOURNEY;
}

struct syncing {
    struct kafka_relay *relay;
    struct kafka_client *ends;
};

static int ask_end(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    const struct syncing *syncing = context;
    char name[KAFKA_TOPIC_SIZE_MAX];
    int64_t low, high;
    if (!is_mail(topic))
        return 0;
    kafka_topic_name(syncing->relay->inputs->config, topic, name);
    int r = kafka_client_ends(syncing->ends, name, partition, &low, &high);
    if (r == 0)
        input->fence = high < input->next ? KAFKA_RELAY_FENCE_NONE : high;
    return r;
}

int kafka_relay_sync(struct kafka_relay *relay, struct kafka_client *ends)
{
    struct syncing syncing = {relay, ends};
    return kafka_inputs_each(relay->inputs, ask_end, &syncing);
}

static int raise_fence(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    if (input->posted)
        input->fence = input->posts.next > input->next ? input->posts.next : KAFKA_RELAY_FENCE_NONE;
    input->posted = false;
    return 0;
}

static void forget(struct kafka_relay *relay)
{
    relay->first = NULL;
    relay->last = &relay->first;
    relay->bytes = 0;
    arena_reset(&relay->memory);
}

void kafka_relay_committed(struct kafka_relay *relay)
{
    check(!relay->first);
    (void)kafka_inputs_each(relay->inputs, raise_fence, NULL);
    relay->full = false;
}

static int close_fence(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    input->fence = KAFKA_RELAY_FENCE_NONE;
    input->posted = false;
    return 0;
}

void kafka_relay_drop(struct kafka_relay *relay)
{
    forget(relay);
    (void)kafka_inputs_each(relay->inputs, close_fence, NULL);
    relay->full = false;
}

static int find_behind(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    return is_mail(topic) && input->fence != KAFKA_RELAY_FENCE_NONE && input->next < input->fence;
}

bool kafka_relay_behind(struct kafka_relay *relay)
{
    return kafka_inputs_each(relay->inputs, find_behind, NULL) != 0;
}

/* ---- mail ---- */

/* A fence beyond all is that of the partition at hand too, until the commit tells where it is. */
static int post(struct kafka_relay *relay, const struct record *record, struct kafka_input *input)
{
    bool ours = input && input->task;
    if (ours) {
        input->posts.next = input->posted ? input->posts.next : 0;
        input->posted = true;
    }
    return kafka_producer_send(relay->producer, record->topic, record->partition, record->key,
        record->value, ours ? &input->posts : NULL);
}

static int queue(struct kafka_relay *relay, const struct record *record, struct kafka_input *input)
{
    struct kafka_relayed *item = arena_alloc(&relay->memory, sizeof *item);
    if (!item)
        return ERR_NO_MEMORY;
    *item = (struct kafka_relayed){.input = input, .record = *record};
    int r = arena_dup(&relay->memory, record->key, &item->record.key);
    if (r == 0)
        r = arena_dup(&relay->memory, record->value, &item->record.value);
    if (r < 0)
        return r;
    *relay->last = item;
    relay->last = &item->next;
    relay->bytes += sizeof *item + record->key.size + record->value.size;
    return 0;
}

int kafka_relay_put(struct kafka_relay *relay, enum topic topic, struct str key, struct str value)
{
    const struct record record = {.topic = topic,
        .partition = topic_partition(key, relay->producer->layout.partitions[topic]),
        .key = key,
        .value = value.data ? value : STR("")};
    struct kafka_input *input = kafka_inputs_find(relay->inputs, (int)topic, record.partition);
    if (is_mail(topic) && input && input->task && !relay->full && !input->posted &&
        input->next >= input->fence && FAULT_POINT("kafka_relay") == 0)
        return queue(relay, &record, input);
    return post(relay, &record, is_mail(topic) ? input : NULL);
}

/* R6. */
static int post_all(struct kafka_relay *relay)
{
    int r = 0;
    relay->full = true;
    for (const struct kafka_relayed *item = relay->first; item && r == 0; item = item->next)
        r = post(relay, &item->record, item->input);
    if (r == 0)
        forget(relay);
    return r;
}

static int hand_over(struct kafka_relay *relay, struct kafka_relayed *item, struct arena *scratch,
    struct kafka_relay_batch *batch)
{
    struct kafka_task *task = item->input->task;
    size_t before = state_used(task->state);
    int r = kafka_task_receive(task, &item->record, scratch);
    size_t size = item->record.key.size + item->record.value.size;
    batch->records++;
    batch->bytes += size + state_used(task->state) - before;
    relay->bytes -= sizeof *item + size;
    relay->first = item->next;
    if (!relay->first)
        forget(relay);
    return r;
}

int kafka_relay_run(
    struct kafka_relay *relay, struct arena *scratch, struct kafka_relay_batch *batch)
{
    int r = 0;
    while (r == 0 && relay->first) {
        if (batch->bytes + relay->bytes >= relay->bytes_max + relay->bytes_max / SLACK_PART)
            r = post_all(relay);
        else
            r = hand_over(relay, relay->first, scratch, batch);
    }
    return r;
}

bool kafka_relay_waits(const struct kafka_relay *relay)
{
    return relay->first != NULL;
}

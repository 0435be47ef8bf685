/*
 * See the header. A step polls messages, keeps them while their rows go into one LMDB transaction a
 * task, then lets them go; so a restore that is cut off goes on where it stopped.
 */
#include "ingest/stream/kafka_restore.h"

#include <stdlib.h>
#include <syslog.h>

#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"

#define STEP_RECORDS 20000
#define STEP_BYTES ((size_t)32 << 20)

#define NONE SIZE_MAX

struct part {
    struct kafka_task *task;
    size_t owner; /* index of the task */
    enum topic topic;
    int64_t target;
};

/* A task's messages of the running step, oldest first. */
struct chain {
    size_t first;
    size_t last;
};

struct kafka_restore {
    struct kafka_client *reader;
    struct kafka_topic_cache cache;
    struct kafka_frame frame;
    struct arena translated; /* values of the step that other builds wrote */
    struct part *parts;
    size_t parts_count;
    size_t *places; /* index of a part by topic and partition, or NONE */
    int32_t partitions;
    struct kafka_task **tasks;
    struct chain *chains; /* beside tasks */
    size_t tasks_count;
    rd_kafka_message_t **messages;
    rd_kafka_message_t *held;          /* comes before what is polled: its schema is awaited */
    struct state_change *changes;      /* beside messages */
    size_t *following;                 /* beside messages: the next of the same task */
    struct state_change *task_changes; /* those of one task, in order */
    size_t count;
    uint64_t rows;
    uint64_t rebuilt;
};

/* ---- begin ---- */

/* Adds the task's changelog partitions with their ends. */
static int add_parts(struct kafka_restore *restore, size_t owner, struct kafka_client *ends)
{
    struct kafka_task *task = restore->tasks[owner];
    bool lost = false;
    int remade = task->damaged ? kafka_task_remake(task) : 0;
    if (remade < 0)
        return remade;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (!task->changelogs[i].used)
            continue;
        char name[KAFKA_TOPIC_SIZE_MAX];
        int64_t low;
        int64_t high;
        kafka_topic_name(task->config, (enum topic)i, name);
        int r = kafka_client_ends(ends, name, task->partition, &low, &high);
        if (r < 0)
            return r;
        int64_t next = task->changelogs[i].next;
        /* Beyond the end: another topic of that name. Before the beginning: changes are missing. */
        lost |= next > high || (next > 0 && next < low);
        restore->places[(size_t)i * (size_t)restore->partitions + (size_t)task->partition] =
            restore->parts_count;
        restore->parts[restore->parts_count++] = (struct part){task, owner, (enum topic)i, high};
        task->changelogs[i].now.next = next;
    }
    if (!lost)
        return 0;
    kafka_log(task->config, LOG_NOTICE, "kafka_rebuild",
        "%s %d: the changelog does not lead on from it", task->stage->name, task->partition);
    restore->rebuilt++;
    return kafka_task_rebuild(task);
}

static bool part_done(const struct part *part)
{
    return part->task->changelogs[part->topic].now.next >= part->target;
}

/* Reads only what is behind: an idle changelog costs nothing. */
static int assign(struct kafka_restore *restore)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);
    for (size_t i = 0; i < restore->parts_count; i++) {
        const struct part *part = &restore->parts[i];
        char name[KAFKA_TOPIC_SIZE_MAX];
        if (part_done(part))
            continue;
        kafka_topic_name(part->task->config, part->topic, name);
        rd_kafka_topic_partition_list_add(list, name, part->task->partition)->offset =
            part->task->changelogs[part->topic].now.next;
    }
    int r = list->cnt ? kafka_error_of(rd_kafka_assign(restore->reader->rk, list)) : 0;
    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

static int allocate(struct kafka_restore *restore)
{
    size_t places = TOPIC_COUNT * (size_t)restore->partitions;
    restore->parts = calloc(restore->tasks_count * TOPIC_COUNT + 1, sizeof *restore->parts);
    restore->places = calloc(places + 1, sizeof *restore->places);
    restore->chains = calloc(restore->tasks_count + 1, sizeof *restore->chains);
    restore->messages = calloc(STEP_RECORDS, sizeof *restore->messages);
    restore->changes = calloc(STEP_RECORDS, sizeof *restore->changes);
    restore->following = calloc(STEP_RECORDS, sizeof *restore->following);
    restore->task_changes = calloc(STEP_RECORDS, sizeof *restore->task_changes);
    if (!restore->parts || !restore->places || !restore->chains || !restore->messages ||
        !restore->changes || !restore->following || !restore->task_changes)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < places; i++)
        restore->places[i] = NONE;
    for (size_t i = 0; i < restore->tasks_count; i++)
        restore->chains[i] = (struct chain){NONE, NONE};
    return 0;
}

static int take_tasks(struct kafka_restore *restore, struct kafka_task *const *tasks, size_t count)
{
    restore->tasks = calloc(count + 1, sizeof(struct kafka_task *));
    if (!restore->tasks)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        restore->tasks[restore->tasks_count++] = tasks[i];
        if (tasks[i]->partition >= restore->partitions)
            restore->partitions = tasks[i]->partition + 1;
    }
    return allocate(restore);
}

int kafka_restore_begin(struct kafka_restore **out, struct kafka_task *const *tasks, size_t count,
    struct kafka_client *ends, struct kafka_client *reader)
{
    struct kafka_restore *restore = calloc(1, sizeof *restore);
    if (!restore)
        return ERR_NO_MEMORY;
    restore->reader = reader;
    restore->frame.config = reader->config;
    int r = take_tasks(restore, tasks, count);
    for (size_t i = 0; i < count && r == 0; i++)
        r = add_parts(restore, i, ends);
    if (r == 0)
        r = assign(restore);
    if (r < 0) {
        kafka_restore_end(&restore);
        return r;
    }
    *out = restore;
    return 0;
}

/* ---- steps ---- */

static struct part *part_of(struct kafka_restore *restore, const rd_kafka_message_t *message)
{
    int topic = kafka_topic_cached(&restore->cache, restore->reader->config, message->rkt);
    if (topic < 0 || message->partition < 0 || message->partition >= restore->partitions)
        return NULL;
    size_t place = (size_t)topic * (size_t)restore->partitions + (size_t)message->partition;
    return restore->places[place] == NONE ? NULL : &restore->parts[restore->places[place]];
}

static void keep(
    struct kafka_restore *restore, const struct part *part, rd_kafka_message_t *message)
{
    struct chain *chain = &restore->chains[part->owner];
    size_t index = restore->count++;
    restore->messages[index] = message;
    restore->following[index] = NONE;
    if (chain->first == NONE)
        chain->first = index;
    else
        restore->following[chain->last] = index;
    chain->last = index;
}

/* The row that a changelog record is about. */
static int change_of(struct kafka_restore *restore, const struct part *part,
    const rd_kafka_message_t *message, struct state_change *out)
{
    const struct str whole_key = str_make(message->key, message->key_len);
    struct str key = whole_key;
    int table = topic_table(part->topic);
    if (table < 0) {
        if (key.size == 0)
            return ERR_STATE;
        table = (unsigned char)key.data[0];
        key = str_make(key.data + 1, key.size - 1);
    }
    if (table >= TABLE_COUNT || table_topic((enum table)table) != part->topic ||
        key.size < GROUP_SIZE || key.size > STATE_KEY_SIZE_MAX)
        return ERR_STATE;
    *out = (struct state_change){
        .table = (enum table)table, .key = key, .deleted = message->payload == NULL};
    if (out->deleted)
        return 0;
    int r = kafka_frame_take(&restore->frame, part->topic, whole_key,
        str_make(message->payload, message->len), &restore->translated, &out->value);
    if (r == ERR_SCHEMA_UNKNOWN || r == ERR_SCHEMA_INCOMPATIBLE)
        return ERR_NEWER;
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

static int on_error(struct kafka_restore *restore, const rd_kafka_message_t *message)
{
    int r = kafka_error_of(message->err);
    kafka_log(restore->reader->config, LOG_WARNING, "kafka_restore", "%s",
        rd_kafka_message_errstr(message));
    return r == ERR_AGAIN ? 0 : r; /* librdkafka goes on by itself when brokers come back */
}

/* Takes one message in: keeps or destroys it. Returns 0, or KAFKA_FRAME_AWAITED: it is held. */
static int take_in(struct kafka_restore *restore, rd_kafka_message_t *message)
{
    bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    int r = 0;
    struct part *part = NULL;
    if (message->err && !at_end)
        r = on_error(restore, message);
    else
        part = part_of(restore, message);
    if (part) {
        int64_t *next = &part->task->changelogs[part->topic].now.next;
        int64_t after = at_end ? message->offset : message->offset + 1;
        if (!at_end)
            r = change_of(restore, part, message, &restore->changes[restore->count]);
        if (r == KAFKA_FRAME_AWAITED) {
            restore->held = message;
            return r;
        }
        if (r == 0 && after > *next)
            *next = after;
    }
    if (r < 0 || !part || at_end) {
        if (r == ERR_NEWER)
            kafka_log(restore->reader->config, LOG_ERR, "kafka_newer",
                "%s %d at %lld has schema id %u", rd_kafka_topic_name(message->rkt),
                message->partition, (long long)message->offset, restore->frame.unknown);
        if (r == ERR_STATE)
            kafka_log(restore->reader->config, LOG_ERR, "kafka_restore",
                "%s %d at %lld is no row of a table", rd_kafka_topic_name(message->rkt),
                message->partition, (long long)message->offset);
        rd_kafka_message_destroy(message);
        return r;
    }
    keep(restore, part, message);
    return 0;
}

/* What comes next: the held message once its schema may be known. */
static rd_kafka_message_t *poll_next(struct kafka_restore *restore, int wait_ms)
{
    rd_kafka_message_t *message = restore->held;
    if (!message)
        return rd_kafka_consumer_poll(restore->reader->rk, wait_ms);
    if (!kafka_frame_wait(&restore->frame, wait_ms))
        return NULL;
    restore->held = NULL;
    return message;
}

static void release(struct kafka_restore *restore)
{
    for (size_t i = 0; i < restore->count; i++)
        rd_kafka_message_destroy(restore->messages[i]);
    restore->count = 0;
    arena_reset(&restore->translated);
    for (size_t i = 0; restore->chains && i < restore->tasks_count; i++)
        restore->chains[i] = (struct chain){NONE, NONE};
}

/* Writes what was polled: one LMDB transaction a task, with its offsets. */
static int write(struct kafka_restore *restore)
{
    for (size_t t = 0; t < restore->tasks_count; t++) {
        struct kafka_task *task = restore->tasks[t];
        size_t count = 0;
        bool moved = false;
        for (size_t i = restore->chains[t].first; i != NONE; i = restore->following[i])
            restore->task_changes[count++] = restore->changes[i];
        for (int i = 0; i < TOPIC_COUNT; i++)
            moved |= task->changelogs[i].now.next != task->changelogs[i].next;
        int r = moved ? kafka_task_replay(task, restore->task_changes, count) : 0;
        if (r < 0)
            return r;
        restore->rows += count;
    }
    return 0;
}

static bool all_done(const struct kafka_restore *restore)
{
    for (size_t i = 0; i < restore->parts_count; i++)
        if (!part_done(&restore->parts[i]))
            return false;
    return true;
}

int kafka_restore_step(struct kafka_restore *restore, int timeout_ms)
{
    int64_t end = kafka_clock_ms() + timeout_ms;
    size_t bytes = 0;
    int r = 0;
    while (r == 0 && !all_done(restore) && restore->count < STEP_RECORDS && bytes < STEP_BYTES) {
        int64_t left = end - kafka_clock_ms();
        if (left <= 0)
            break;
        rd_kafka_message_t *message = poll_next(restore, (int)left);
        if (!message)
            break;
        bytes += message->len;
        r = take_in(restore, message);
    }
    if (r >= 0)
        r = write(restore);
    release(restore);
    if (r < 0)
        return r;
    if (!all_done(restore))
        return 0;
    for (size_t i = 0; i < restore->tasks_count; i++)
        restore->tasks[i]->current = true;
    return KAFKA_RESTORED;
}

void kafka_restore_counts(const struct kafka_restore *restore, uint64_t *rows, uint64_t *rebuilt)
{
    *rows = restore->rows;
    *rebuilt = restore->rebuilt;
}

int64_t kafka_restore_left(const struct kafka_restore *restore)
{
    int64_t left = 0;
    for (size_t i = 0; i < restore->parts_count; i++) {
        const struct part *part = &restore->parts[i];
        if (!part_done(part))
            left += part->target - part->task->changelogs[part->topic].now.next;
    }
    return left;
}

void kafka_restore_end(struct kafka_restore **restore)
{
    struct kafka_restore *gone = *restore;
    if (!gone)
        return;
    release(gone);
    if (gone->held)
        rd_kafka_message_destroy(gone->held);
    rd_kafka_assign(gone->reader->rk, NULL);
    kafka_frame_fini(&gone->frame);
    arena_free(&gone->translated);
    free(gone->parts);
    free(gone->tasks);
    free(gone->messages);
    free(gone->changes);
    free(gone->places);
    free(gone->chains);
    free(gone->following);
    free(gone->task_changes);
    free(gone);
    *restore = NULL;
}

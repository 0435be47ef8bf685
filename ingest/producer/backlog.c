/*
 * Invariants:
 * 1. `end` is not 0 while a batch of the spool is held by the queue, in halves too.
 * 2. A record is consumed when its event has met its end, never before: a process that ends between
 *    the two sends it again, with the same id.
 */
#include "ingest/producer/backlog.h"

#include <stdio.h>

#include "ingest/producer/error.h"
#include "schemas/error.h"

#define FORMAT 1
#define PAUSE_MS 50       /* when there is no memory, or nothing where there should be */
#define DISK_PAUSE_MS 500 /* when the disk fails to read */
#define ROOM_LOOK_MS 50   /* room may have come before one waited for it */
#define SEGMENTS 8        /* of a spool that is small */

struct record_head {
    uint32_t format;
    uint32_t id_size;
    uint64_t session;
    uint64_t opaque;
};

static void lock(struct producer_backlog *backlog)
{
    (void)pthread_mutex_lock(&backlog->queue->lock);
}

static void unlock(struct producer_backlog *backlog)
{
    (void)pthread_mutex_unlock(&backlog->queue->lock);
}

/* ---- life ---- */

static void *resize(void *context, void *memory, size_t size)
{
    const struct tabiji_allocator *allocator = context;
    if (size == 0) {
        producer_memory_free(allocator, memory);
        return NULL;
    }
    return memory ? allocator->resize(allocator->context, memory, size)
                  : producer_memory_get(allocator, size);
}

/* Of what producer_spool_open() says. */
static int fail_open(struct tabiji_problem *problem, int error)
{
    int r = TABIJI_ERROR_IO;
    struct str hint = STR("it cannot be read or written");
    if (error == ERR_NO_MEMORY)
        return TABIJI_ERROR_NO_MEMORY;
    if (error == ERR_LOCKED) {
        r = TABIJI_ERROR_LOCKED;
        hint = STR("another producer has it");
    } else if (error == ERR_CONFIG) {
        r = TABIJI_ERROR_ARGUMENT;
        hint = STR("it is no directory, and none can be made there");
    } else if (error == ERR_FULL) {
        hint = STR("the disk has no room");
    }
    producer_problem_set(problem, r, str_of(tabiji_error_name(r)), STR("spool_dir"), hint);
    return r;
}

int producer_backlog_open(struct producer_backlog *backlog,
    const struct producer_settings *settings, struct producer_queue *queue,
    struct producer_random *random, struct tabiji_problem *problem)
{
    *backlog = (struct producer_backlog){.memory = queue->memory, .queue = queue};
    if (!settings->spool_dir)
        return TABIJI_OK;
    uint64_t segment = settings->spool_bytes_max / SEGMENTS;
    struct producer_spool_options options = {
        .dir = settings->spool_dir,
        .bytes_max = settings->spool_bytes_max,
        .segment_size = segment < PRODUCER_SPOOL_SEGMENT_SIZE_DEFAULT
                            ? (size_t)segment
                            : PRODUCER_SPOOL_SEGMENT_SIZE_DEFAULT,
        .record_size_max = segment < PRODUCER_SPOOL_RECORD_SIZE_MAX_DEFAULT / (SEGMENTS / 2)
                               ? (size_t)segment * (SEGMENTS / 2)
                               : PRODUCER_SPOOL_RECORD_SIZE_MAX_DEFAULT,
        .age_max_ms = settings->spool_age_max_ms,
        .interval_ms = settings->spool_interval_ms,
        .sync = settings->spool_sync == TABIJI_SPOOL_SYNC_EVERY  ? PRODUCER_SPOOL_SYNC_EVERY
                : settings->spool_sync == TABIJI_SPOOL_SYNC_NONE ? PRODUCER_SPOOL_SYNC_NONE
                                                                 : PRODUCER_SPOOL_SYNC_INTERVAL,
        .full = queue->limits.policy == TABIJI_POLICY_DROP_OLDEST ? PRODUCER_SPOOL_DROP_OLDEST
                                                                  : PRODUCER_SPOOL_REFUSE_NEWEST,
        .batch_records_max = queue->limits.batch_events_max,
        .batch_bytes_max = queue->limits.batch_bytes_max,
        .resize = resize,
        .resize_context = (void *)(uintptr_t)queue->memory,
    };
    char id[PRODUCER_UUID_SIZE + 1];
    if (producer_random_uuid(random, id) < 0)
        return TABIJI_ERROR_IO;
    memcpy(&backlog->session, id + PRODUCER_UUID_SIZE - sizeof backlog->session,
        sizeof backlog->session);
    int r = producer_spool_open(&options, &backlog->spool);
    if (r < 0)
        return fail_open(problem, r);
    struct producer_spool_statistics disk;
    producer_spool_statistics(backlog->spool, &disk);
    backlog->seen = disk.last;
    return TABIJI_OK;
}

void producer_backlog_close(struct producer_backlog *backlog)
{
    producer_spool_close(&backlog->spool);
}

/* ---- adding ---- */

/* Waits for a batch to be settled, or a moment. False: it has waited long enough. */
static bool wait_for_room(struct producer_backlog *backlog, int64_t until_ms)
{
    struct producer_queue *queue = backlog->queue;
    int64_t left_ms = until_ms - producer_now_ms();
    if (queue->limits.policy != TABIJI_POLICY_BLOCK || left_ms <= 0)
        return false;
    struct timespec at = producer_deadline(left_ms < ROOM_LOOK_MS ? left_ms : ROOM_LOOK_MS);
    lock(backlog);
    queue->waiters++;
    if (!queue->stopped)
        (void)pthread_cond_timedwait(&queue->room, &queue->lock, &at);
    queue->waiters--;
    unlock(backlog);
    return true;
}

static bool is_stopped(struct producer_backlog *backlog)
{
    lock(backlog);
    bool stopped = backlog->queue->stopped;
    unlock(backlog);
    return stopped;
}

/* A record's head and the rest of it. */
enum part { PART_HEAD, PART_BYTES, PARTS };

static int append(
    struct producer_backlog *backlog, const struct str parts[PARTS], bool durable, bool may_wait)
{
    int block_ms = backlog->queue->limits.block_ms;
    int64_t until_ms = block_ms < 0 ? INT64_MAX : 0; /* 0: the clock was not asked yet */
    for (;;) {
        if (is_stopped(backlog))
            return PRODUCER_QUEUE_STOPPED;
        int r = producer_spool_append_parts(backlog->spool, parts, PARTS, durable);
        if (r != ERR_FULL || !may_wait)
            return r;
        if (until_ms == 0)
            until_ms = producer_now_ms() + block_ms;
        if (!wait_for_room(backlog, until_ms))
            return r;
    }
}

/* Whether the sender's thread has something to do now. */
static bool note_added(struct producer_backlog *backlog, size_t size)
{
    struct producer_queue *queue = backlog->queue;
    queue->counts.events_taken++;
    backlog->fresh++;
    if (backlog->fresh_ms == 0)
        backlog->fresh_ms = producer_now_ms();
    backlog->fresh_bytes += size;
    bool due =
        backlog->fresh >= queue->wake_at ||
        (queue->wake_at != SIZE_MAX && backlog->fresh_bytes >= queue->limits.batch_bytes_max);
    if (due)
        queue->wake_at = SIZE_MAX;
    return due;
}

int producer_backlog_add(struct producer_backlog *backlog, const struct producer_entry *entry,
    bool durable, bool may_wait)
{
    const struct record_head head = {
        FORMAT, (uint32_t)entry->id_size, backlog->session, (uint64_t)(uintptr_t)entry->opaque};
    const struct str parts[PARTS] = {
        [PART_HEAD] = str_make(&head, sizeof head),
        [PART_BYTES] = str_make(entry->bytes, entry->id_size + 1 + entry->json_size),
    };
    bool wake = false;
    int r = append(backlog, parts, durable, may_wait);
    lock(backlog);
    if (r == 0)
        wake = note_added(backlog, parts[PART_HEAD].size + parts[PART_BYTES].size);
    else if (r == ERR_FULL)
        backlog->queue->counts.events_dropped++;
    unlock(backlog);
    if (wake)
        backlog->queue->wake(backlog->queue->wake_context);
    return r;
}

/* ---- batches ---- */

static struct producer_entry *make_entry(
    const struct producer_backlog *backlog, const struct producer_spool_record *record)
{
    struct record_head head;
    const char *bytes = (const char *)record->data + sizeof head;
    memcpy(&head, record->data, sizeof head);
    size_t json_size = record->size - sizeof head - head.id_size - 1;
    void *opaque = head.session == backlog->session ? (void *)(uintptr_t)head.opaque : NULL;
    const struct producer_parts parts = {
        .id = str_make(bytes, head.id_size), .json = str_make(bytes + head.id_size + 1, json_size)};
    return producer_entry_new(backlog->memory, &parts, opaque);
}

static bool is_event(const struct producer_spool_record *record)
{
    struct record_head head;
    if (record->size < sizeof head)
        return false;
    memcpy(&head, record->data, sizeof head);
    return head.format == FORMAT && record->size - sizeof head > (uint64_t)head.id_size + 1;
}

/* Copies records into the batch while there is memory. */
static void fill(struct producer_backlog *backlog, struct producer_batch *batch,
    const struct producer_spool_batch *records)
{
    struct producer_entry **place = &batch->first;
    for (size_t i = 0; i < records->count; i++) {
        const struct producer_spool_record *record = &records->records[i];
        bool event = is_event(record);
        if (event) {
            *place = make_entry(backlog, record);
            if (!*place)
                return;
            batch->events++;
            batch->bytes += (*place)->json_size + 1;
            place = &(*place)->next;
        }
        backlog->end = record->position;
        lock(backlog);
        backlog->strange += !event;
        unlock(backlog);
    }
}

/* Whether a batch is to be read; *due_ms otherwise. Who waits for an empty spool learns of it. */
static bool is_due(struct producer_backlog *backlog, bool now, int64_t now_ms, int64_t *due_ms)
{
    struct producer_queue *queue = backlog->queue;
    struct producer_spool_statistics disk;
    lock(backlog);
    producer_spool_statistics(backlog->spool, &disk);
    bool passed_over = disk.last - disk.records < backlog->seen;
    bool full = disk.records >= queue->limits.batch_events_max ||
                backlog->fresh_bytes >= queue->limits.batch_bytes_max;
    *due_ms = INT64_MIN;
    if (disk.records == 0) {
        *due_ms = INT64_MAX;
        if (queue->flushing)
            (void)pthread_cond_broadcast(&queue->settled);
    } else if (!now && !passed_over && !full) {
        if (backlog->fresh_ms == 0)
            backlog->fresh_ms = now_ms; /* whose thread has not said so yet */
        *due_ms = backlog->fresh_ms + queue->limits.linger_ms;
    }
    bool due = *due_ms <= now_ms;
    queue->wake_at = due ? SIZE_MAX : disk.records ? queue->limits.batch_events_max : 1;
    if (due)
        backlog->seen = disk.last;
    if (due || disk.records == 0) {
        backlog->fresh = backlog->fresh_bytes = 0;
        backlog->fresh_ms = 0;
    }
    unlock(backlog);
    return due;
}

struct producer_batch *producer_backlog_take(
    struct producer_backlog *backlog, bool now, int64_t now_ms, int64_t *due_ms)
{
    struct producer_spool_batch records;
    if (!is_due(backlog, now, now_ms, due_ms))
        return NULL;
    int r = producer_spool_peek(backlog->spool, &records);
    lock(backlog);
    backlog->unreadable = r < 0 && r != ERR_NO_MEMORY;
    unlock(backlog);
    struct producer_batch *batch =
        r == 0 ? producer_memory_zero(backlog->memory, sizeof *batch) : NULL;
    *due_ms = now_ms + (backlog->unreadable ? DISK_PAUSE_MS : PAUSE_MS);
    if (!batch)
        return NULL;
    fill(backlog, batch, &records);
    if (batch->events == 0) {
        producer_memory_free(backlog->memory, batch);
        producer_backlog_settled(backlog);
        return NULL;
    }
    producer_queue_hold(backlog->queue, batch);
    *due_ms = INT64_MAX;
    return batch;
}

static bool is_held(struct producer_backlog *backlog)
{
    lock(backlog);
    bool held = backlog->queue->held != NULL;
    unlock(backlog);
    return held;
}

void producer_backlog_settled(struct producer_backlog *backlog)
{
    if (backlog->end == 0 || is_held(backlog))
        return;
    /* Where the mark cannot be written the next process sends these events again: with their ids.
     */
    int r = producer_spool_consume(backlog->spool, backlog->end);
    (void)r;
    backlog->end = 0;
    lock(backlog);
    (void)pthread_cond_broadcast(&backlog->queue->room);
    (void)pthread_cond_broadcast(&backlog->queue->settled);
    unlock(backlog);
}

void producer_backlog_keep(struct producer_backlog *backlog)
{
    backlog->end = 0;
    while (is_held(backlog)) {
        struct producer_batch *batch = backlog->queue->held;
        producer_queue_settle(backlog->queue, &batch);
    }
}

/* ---- figures ---- */

uint64_t producer_backlog_events(const struct producer_backlog *backlog)
{
    struct producer_spool_statistics now;
    producer_spool_statistics(backlog->spool, &now);
    return now.records;
}

void producer_backlog_tell(struct producer_backlog *backlog, struct producer_reports *reports)
{
    struct producer_spool_statistics now, *told = &backlog->told;
    producer_spool_statistics(backlog->spool, &now);
    lock(backlog);
    uint64_t strange = backlog->strange;
    unlock(backlog);
    const struct {
        uint64_t events;
        int error;
        struct str code, hint;
    } news[] = {
        {now.dropped_full - told->dropped_full, TABIJI_ERROR_QUEUE_FULL, STR_INIT("spool_full"),
            STR_INIT("the oldest events were dropped for later ones")},
        {now.dropped_age - told->dropped_age, TABIJI_ERROR_DISCARDED, STR_INIT("spool_age"),
            STR_INIT("events became older than spool_age_max_ms")},
        {now.lost_records - told->lost_records + strange - backlog->strange_told, TABIJI_ERROR_IO,
            STR_INIT("spool_damaged"), STR_INIT("events on the disk could not be read")},
        {now.cuts - told->cuts, TABIJI_ERROR_IO, STR_INIT("spool_cut"),
            STR_INIT("the end of a file was torn, and cut: an event that was never whole")},
    };
    *told = now;
    backlog->strange_told = strange;
    for (size_t i = 0; i < sizeof news / sizeof news[0]; i++) {
        struct tabiji_problem problem = {.size = sizeof problem};
        producer_problem_set(&problem, news[i].error, news[i].code, STR("spool_dir"), news[i].hint);
        if (news[i].events)
            producer_reports_tell_spool(reports, &problem, news[i].events);
    }
}

void producer_backlog_count(struct producer_backlog *backlog, struct tabiji_statistics *out)
{
    struct producer_spool_statistics now;
    producer_spool_statistics(backlog->spool, &now);
    lock(backlog);
    uint64_t strange = backlog->strange;
    bool unreadable = backlog->unreadable;
    unlock(backlog);
    if (unreadable)
        (void)snprintf(out->last_failure, sizeof out->last_failure, "the spool cannot be read");
    out->spool_events = now.records;
    out->spool_bytes = now.bytes;
    out->spool_oldest_ms = now.oldest_age_ms;
    out->spool_dropped_full = now.dropped_full;
    out->spool_dropped_age = now.dropped_age;
    out->spool_lost = now.lost_records + strange;
    out->spool_cuts = now.cuts;
    out->events_dropped += now.dropped_full + now.dropped_age;
}

int producer_backlog_flush(struct producer_backlog *backlog, int timeout_ms)
{
    struct producer_queue *queue = backlog->queue;
    struct timespec at = producer_deadline(timeout_ms < 0 ? 0 : timeout_ms);
    struct producer_spool_statistics now;
    int waited = 0;
    lock(backlog);
    queue->flushing++;
    unlock(backlog);
    producer_spool_statistics(backlog->spool, &now);
    uint64_t target = now.last;
    if (now.records)
        queue->wake(queue->wake_context);
    lock(backlog);
    while (producer_spool_statistics(backlog->spool, &now),
        waited == 0 && !queue->unauthorised && now.last - now.records < target)
        waited = pthread_cond_timedwait(&queue->settled, &queue->lock, &at);
    queue->flushing--;
    bool unauthorised = queue->unauthorised;
    unlock(backlog);
    if (now.last - now.records >= target)
        return 0;
    return unauthorised ? ERR_AUTH : ERR_AGAIN;
}

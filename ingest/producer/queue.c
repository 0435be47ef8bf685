/*
 * Invariants, under the lock:
 * 1. held_events = waiting_events + the events of all batches in `held`; bytes likewise.
 * 2. `held` is in the order of sequences, and all its sequences are below those that wait.
 * 3. counts.events_taken = settled + dropped (oldest) + held_events; but with a spool.
 */
#include "ingest/producer/queue.h"

#include <errno.h>
#include <time.h>

#include "schemas/error.h"

#define MILLIS_PER_SECOND 1000
#define NANOS_PER_MILLI 1000000
#define NANOS_PER_SECOND 1000000000L
#define MEMORY_PAUSE_MS 50

int64_t producer_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MILLIS_PER_SECOND + now.tv_nsec / NANOS_PER_MILLI;
}

struct timespec producer_deadline(int64_t timeout_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / MILLIS_PER_SECOND;
    at.tv_nsec += timeout_ms % MILLIS_PER_SECOND * NANOS_PER_MILLI;
    if (at.tv_nsec >= NANOS_PER_SECOND) {
        at.tv_sec++;
        at.tv_nsec -= NANOS_PER_SECOND;
    }
    return at;
}

int producer_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return ERR_NO_MEMORY;
    int r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (r == 0)
        r = pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return r == 0 ? 0 : ERR_NO_MEMORY;
}

/* ---- entries ---- */

struct producer_entry *producer_entry_new(
    const struct tabiji_allocator *memory, const struct producer_parts *parts, void *opaque)
{
    struct str id = parts->id, json = parts->json, sealed = parts->sealed;
    struct producer_entry *entry =
        producer_memory_get(memory, sizeof *entry + id.size + 1 + json.size + sealed.size);
    if (!entry)
        return NULL;
    *entry = (struct producer_entry){
        .opaque = opaque, .id_size = id.size, .json_size = json.size, .sealed_size = sealed.size};
    if (id.size)
        memcpy(entry->bytes, id.data, id.size);
    entry->bytes[id.size] = '\0';
    memcpy(entry->bytes + id.size + 1, json.data, json.size);
    if (sealed.size)
        memcpy(entry->bytes + id.size + 1 + json.size, sealed.data, sealed.size);
    return entry;
}

size_t producer_entry_size(const struct producer_entry *entry)
{
    return sizeof *entry + entry->id_size + 1 + entry->json_size + entry->sealed_size;
}

static void free_entries(const struct tabiji_allocator *memory, struct producer_entry *first)
{
    while (first) {
        struct producer_entry *next = first->next;
        producer_memory_free(memory, first);
        first = next;
    }
}

/* ---- life ---- */

int producer_queue_init(struct producer_queue *queue, const struct tabiji_allocator *memory,
    const struct producer_queue_limits *limits)
{
    *queue = (struct producer_queue){.memory = memory, .limits = *limits, .next_sequence = 1};
    if (pthread_mutex_init(&queue->lock, NULL) != 0)
        return ERR_NO_MEMORY;
    int r = producer_condition_init(&queue->room);
    if (r < 0) {
        (void)pthread_mutex_destroy(&queue->lock);
        return r;
    }
    r = producer_condition_init(&queue->settled);
    if (r < 0) {
        (void)pthread_cond_destroy(&queue->room);
        (void)pthread_mutex_destroy(&queue->lock);
    }
    return r;
}

void producer_queue_fini(struct producer_queue *queue)
{
    free_entries(queue->memory, queue->first);
    free_entries(queue->memory, queue->dropped);
    (void)pthread_cond_destroy(&queue->settled);
    (void)pthread_cond_destroy(&queue->room);
    (void)pthread_mutex_destroy(&queue->lock);
}

static void lock(struct producer_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
}

static void unlock(struct producer_queue *queue)
{
    (void)pthread_mutex_unlock(&queue->lock);
}

/* ---- adding ---- */

static bool fits(const struct producer_queue *queue, size_t size)
{
    return queue->held_events < queue->limits.events_max && size <= queue->limits.bytes_max &&
           queue->held_bytes <= queue->limits.bytes_max - size;
}

/* Takes the oldest waiting entry out; NULL: none waits. */
static struct producer_entry *pop(struct producer_queue *queue)
{
    struct producer_entry *entry = queue->first;
    if (!entry)
        return NULL;
    queue->first = entry->next;
    if (!queue->first)
        queue->last = NULL;
    queue->waiting_events--;
    queue->waiting_bytes -= entry->json_size;
    entry->next = NULL;
    return entry;
}

/* Puts a dropped entry where the sender reports it from. */
static void put_dropped(struct producer_queue *queue, struct producer_entry *entry)
{
    queue->counts.events_dropped++;
    queue->held_events--;
    queue->held_bytes -= producer_entry_size(entry);
    if (queue->dropped_count == PRODUCER_DROPPED_MAX) {
        queue->counts.reports_lost++;
        producer_memory_free(queue->memory, entry);
        return;
    }
    entry->next = queue->dropped;
    queue->dropped = entry;
    queue->dropped_count++;
    (void)pthread_cond_broadcast(&queue->settled);
}

static bool drop_for(struct producer_queue *queue, size_t size)
{
    while (!fits(queue, size)) {
        struct producer_entry *oldest = pop(queue);
        if (!oldest)
            return false;
        put_dropped(queue, oldest);
    }
    return true;
}

/* Waits under the lock until it fits, it is stopped, or the time is over. */
static void wait_for_room(struct producer_queue *queue, size_t size)
{
    int block_ms = queue->limits.block_ms;
    struct timespec at = producer_deadline(block_ms < 0 ? 0 : block_ms);
    int r = 0;
    queue->waiters++;
    while (r == 0 && !queue->stopped && !fits(queue, size))
        r = block_ms < 0 ? pthread_cond_wait(&queue->room, &queue->lock)
                         : pthread_cond_timedwait(&queue->room, &queue->lock, &at);
    queue->waiters--;
}

static int make_room(struct producer_queue *queue, size_t size, bool may_wait)
{
    if (fits(queue, size))
        return 0;
    if (queue->limits.policy == TABIJI_POLICY_DROP_OLDEST && drop_for(queue, size))
        return 0;
    if (may_wait && queue->limits.policy == TABIJI_POLICY_BLOCK && size <= queue->limits.bytes_max)
        wait_for_room(queue, size);
    if (queue->stopped)
        return PRODUCER_QUEUE_STOPPED;
    if (fits(queue, size))
        return 0;
    queue->counts.events_dropped++;
    return ERR_FULL;
}

static void append(struct producer_queue *queue, struct producer_entry *entry)
{
    entry->next = NULL;
    entry->sequence = queue->next_sequence++;
    entry->queued_ms = producer_now_ms();
    if (queue->last)
        queue->last->next = entry;
    else
        queue->first = entry;
    queue->last = entry;
    queue->waiting_events++;
    queue->waiting_bytes += entry->json_size;
    queue->held_events++;
    queue->held_bytes += producer_entry_size(entry);
    queue->counts.events_taken++;
}

/* Whether the sender has something to do now; it is then not woken again until it asks. */
static bool wants_wake(struct producer_queue *queue)
{
    bool due =
        queue->dropped_count > 0 || queue->waiting_events >= queue->wake_at ||
        (queue->wake_at != SIZE_MAX && queue->waiting_bytes >= queue->limits.batch_bytes_max);
    if (due)
        queue->wake_at = SIZE_MAX;
    return due;
}

int producer_queue_add(struct producer_queue *queue, struct producer_entry *entry, bool may_wait)
{
    bool wake = false;
    lock(queue);
    int r = queue->stopped ? PRODUCER_QUEUE_STOPPED
                           : make_room(queue, producer_entry_size(entry), may_wait);
    if (r == 0) {
        append(queue, entry);
        wake = wants_wake(queue);
    }
    unlock(queue);
    if (wake)
        queue->wake(queue->wake_context);
    return r;
}

/* ---- batches ---- */

static void hold(struct producer_queue *queue, struct producer_batch *batch)
{
    struct producer_batch **place = &queue->held;
    while (*place && (*place)->sequence < batch->sequence)
        place = &(*place)->held_next;
    batch->held_next = *place;
    *place = batch;
}

/* Moves entries into the batch, up to its limits; one at least. */
static void fill(struct producer_queue *queue, struct producer_batch *batch)
{
    struct producer_entry **place = &batch->first;
    while (queue->first && batch->events < queue->limits.batch_events_max) {
        size_t size = queue->first->json_size + 1;
        if (batch->events && batch->bytes + size > queue->limits.batch_bytes_max)
            break;
        *place = pop(queue);
        place = &(*place)->next;
        batch->events++;
        batch->bytes += size;
    }
    batch->sequence = batch->first->sequence;
}

/* When the batch that waits is due; INT64_MIN: it is. */
static int64_t due_at(const struct producer_queue *queue, bool now)
{
    bool full = queue->waiting_events >= queue->limits.batch_events_max ||
                queue->waiting_bytes >= queue->limits.batch_bytes_max;
    if (now || full)
        return INT64_MIN;
    return queue->first->queued_ms + queue->limits.linger_ms;
}

struct producer_batch *producer_queue_take(
    struct producer_queue *queue, bool now, int64_t now_ms, int64_t *due_ms)
{
    struct producer_batch *batch = NULL;
    lock(queue);
    *due_ms = INT64_MAX;
    queue->wake_at = queue->first ? queue->limits.batch_events_max : 1;
    int64_t due = queue->first ? due_at(queue, now) : INT64_MAX;
    if (queue->first && due <= now_ms) {
        batch = producer_memory_zero(queue->memory, sizeof *batch);
        due = batch ? INT64_MAX : now_ms + MEMORY_PAUSE_MS;
    }
    if (batch) {
        fill(queue, batch);
        hold(queue, batch);
    }
    *due_ms = due;
    unlock(queue);
    return batch;
}

void producer_queue_hold(struct producer_queue *queue, struct producer_batch *batch)
{
    lock(queue);
    for (struct producer_entry *entry = batch->first; entry; entry = entry->next) {
        entry->sequence = queue->next_sequence++;
        queue->held_bytes += producer_entry_size(entry);
    }
    queue->held_events += batch->events;
    batch->sequence = batch->first->sequence;
    hold(queue, batch);
    unlock(queue);
}

void producer_queue_quiet(struct producer_queue *queue)
{
    lock(queue);
    queue->wake_at = SIZE_MAX;
    unlock(queue);
}

struct producer_batch *producer_queue_split(
    struct producer_queue *queue, struct producer_batch *batch)
{
    struct producer_batch *second = producer_memory_zero(queue->memory, sizeof *second);
    if (!second)
        return NULL;
    lock(queue);
    struct producer_entry *entry = batch->first;
    size_t kept = batch->events / 2;
    size_t bytes = entry->json_size + 1;
    for (size_t i = 1; i < kept; i++) {
        entry = entry->next;
        bytes += entry->json_size + 1;
    }
    second->first = entry->next;
    second->events = batch->events - kept;
    second->bytes = batch->bytes - bytes;
    second->sequence = second->first->sequence;
    entry->next = NULL;
    batch->events = kept;
    batch->bytes = bytes;
    hold(queue, second);
    unlock(queue);
    return second;
}

static void release(struct producer_queue *queue, struct producer_batch *batch)
{
    struct producer_batch **place = &queue->held;
    while (*place != batch)
        place = &(*place)->held_next;
    *place = batch->held_next;
    queue->held_events -= batch->events;
    for (struct producer_entry *entry = batch->first; entry; entry = entry->next)
        queue->held_bytes -= producer_entry_size(entry);
}

void producer_queue_settle(struct producer_queue *queue, struct producer_batch **batch)
{
    lock(queue);
    release(queue, *batch);
    if (queue->waiters)
        (void)pthread_cond_broadcast(&queue->room);
    if (queue->flushing)
        (void)pthread_cond_broadcast(&queue->settled);
    unlock(queue);
    free_entries(queue->memory, (*batch)->first);
    producer_memory_free(queue->memory, *batch);
    *batch = NULL;
}

struct producer_entry *producer_queue_dropped(struct producer_queue *queue)
{
    lock(queue);
    struct producer_entry *dropped = queue->dropped;
    queue->dropped = NULL;
    queue->dropped_count = 0;
    unlock(queue);
    return dropped;
}

struct producer_entry *producer_queue_abandon(struct producer_queue *queue)
{
    lock(queue);
    struct producer_entry *waiting = queue->first;
    for (const struct producer_entry *entry = waiting; entry; entry = entry->next)
        queue->held_bytes -= producer_entry_size(entry);
    queue->held_events -= queue->waiting_events;
    queue->counts.events_discarded += queue->waiting_events;
    queue->waiting_events = queue->waiting_bytes = 0;
    queue->first = queue->last = NULL;
    unlock(queue);
    return waiting;
}

/* ---- states ---- */

void producer_queue_stop(struct producer_queue *queue)
{
    lock(queue);
    queue->stopped = true;
    (void)pthread_cond_broadcast(&queue->room);
    unlock(queue);
}

void producer_queue_set_unauthorised(struct producer_queue *queue, bool unauthorised)
{
    lock(queue);
    queue->unauthorised = unauthorised;
    (void)pthread_cond_broadcast(&queue->settled);
    unlock(queue);
}

bool producer_queue_unauthorised(struct producer_queue *queue)
{
    lock(queue);
    bool unauthorised = queue->unauthorised;
    unlock(queue);
    return unauthorised;
}

/* The sequence of the oldest event that has not met its end. */
static uint64_t oldest(const struct producer_queue *queue)
{
    if (queue->held)
        return queue->held->sequence;
    return queue->first ? queue->first->sequence : queue->next_sequence;
}

int producer_queue_flush(struct producer_queue *queue, int timeout_ms)
{
    struct timespec at = producer_deadline(timeout_ms < 0 ? 0 : timeout_ms);
    int waited = 0;
    lock(queue);
    uint64_t target = queue->next_sequence;
    queue->flushing++;
    bool wake = oldest(queue) < target;
    unlock(queue);
    if (wake)
        queue->wake(queue->wake_context);
    lock(queue);
    while (waited == 0 && !queue->unauthorised && oldest(queue) < target)
        waited = pthread_cond_timedwait(&queue->settled, &queue->lock, &at);
    queue->flushing--;
    bool done = oldest(queue) >= target;
    bool unauthorised = queue->unauthorised;
    unlock(queue);
    if (done)
        return 0;
    return unauthorised ? ERR_AUTH : ERR_AGAIN;
}

bool producer_queue_hurries(struct producer_queue *queue)
{
    lock(queue);
    bool hurries = queue->flushing > 0 || queue->stopped;
    unlock(queue);
    return hurries;
}

/*
 * Events that wait, bounded by number and bytes, and those that are in requests. Threads meet here:
 * callers add, the sender's thread takes batches and settles them, flush waits.
 *
 * An event is in the queue (waiting), in a batch (held), or settled; what waits and what is held
 * counts against the limits. Sequences rise with each event that is taken. With a spool nothing
 * waits here: batches come from backlog.h, and are held.
 */
#pragma once

#include <pthread.h>

#include "ingest/producer/memory.h"

/* An event as it is sent. Its id and its JSON lie behind it, and what a transport has made of it.
 */
struct producer_entry {
    struct producer_entry *next;
    void *opaque;
    uint64_t sequence;
    int64_t queued_ms; /* monotonic */
    size_t id_size;
    size_t json_size;
    size_t sealed_size; /* 0: it is read and judged again when it is sent */
    char bytes[];       /* id, NUL, JSON, sealed */
};

static inline struct str producer_entry_json(const struct producer_entry *entry)
{
    return str_make(entry->bytes + entry->id_size + 1, entry->json_size);
}

static inline struct str producer_entry_id(const struct producer_entry *entry)
{
    return str_make(entry->bytes, entry->id_size);
}

static inline struct str producer_entry_sealed(const struct producer_entry *entry)
{
    return str_make(entry->bytes + entry->id_size + 1 + entry->json_size, entry->sealed_size);
}

/* What an entry is made of, which copies it. */
struct producer_parts {
    struct str id, json;
    struct str sealed; /* transport.h; may be empty */
};
/* NULL: no memory. */
struct producer_entry *producer_entry_new(
    const struct tabiji_allocator *memory, const struct producer_parts *parts, void *opaque);
/* What it counts against the limit of bytes. */
size_t producer_entry_size(const struct producer_entry *entry);

/* Entries that go together. Owned by the sender's thread; the links are the queue's. */
struct producer_batch {
    struct producer_batch *held_next; /* of the queue's list */
    struct producer_batch *next;      /* of the sender's */
    struct producer_entry *first;
    size_t events;
    size_t bytes;      /* of JSON */
    uint64_t sequence; /* of its first */
    uint64_t epoch;    /* of the sender, when it was started */
};

struct producer_queue_limits {
    size_t events_max;
    size_t bytes_max;
    enum tabiji_policy policy;
    int block_ms; /* negative: as long as it takes */
    size_t batch_events_max;
    size_t batch_bytes_max;
    int linger_ms;
};

/* Dropped events whose report waits for the sender's thread; more are counted as lost. */
#define PRODUCER_DROPPED_MAX 1024

struct producer_queue {
    const struct tabiji_allocator *memory;
    struct producer_queue_limits limits;
    void (*wake)(void *context); /* the sender's thread */
    void *wake_context;
    pthread_mutex_t lock;
    pthread_cond_t room;    /* something was settled or dropped, or stopped */
    pthread_cond_t settled; /* the same, for flush */
    /* all below: under the lock */
    struct producer_entry *first, *last;
    size_t waiting_events, waiting_bytes;
    size_t held_events, held_bytes; /* with the waiting ones; bytes: producer_entry_size() */
    struct producer_batch *held;
    struct producer_entry *dropped;
    size_t dropped_count;
    uint64_t next_sequence;
    size_t wake_at; /* so many waiting events wake the sender */
    size_t waiters; /* for room */
    int flushing;
    bool stopped;
    bool unauthorised;
    struct tabiji_statistics counts;
};

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int producer_queue_init(struct producer_queue *queue,
    const struct tabiji_allocator *memory, const struct producer_queue_limits *limits);
/* Frees what waits. */
void producer_queue_fini(struct producer_queue *queue);

#define PRODUCER_QUEUE_STOPPED 1

/* Takes the entry, or waits for room as the policy says, if it may: the sender's thread, which
 * makes room, may not. Returns 0, PRODUCER_QUEUE_STOPPED, or ERR_FULL; the entry stays the caller's
 * where it is not 0. */
MUST_CHECK int producer_queue_add(
    struct producer_queue *queue, struct producer_entry *entry, bool may_wait);

/* The next batch when one is due: full, or its first event has lingered, or `now`. NULL otherwise;
 * *due_ms is then when to ask again (monotonic; INT64_MAX: when woken). Errors of memory are a NULL
 * with a short *due_ms. */
struct producer_batch *producer_queue_take(
    struct producer_queue *queue, bool now, int64_t now_ms, int64_t *due_ms);
/* Holds a batch whose entries did not wait here; they are given their sequences. */
void producer_queue_hold(struct producer_queue *queue, struct producer_batch *batch);
/* From now on the sender's thread is not woken by events: it may take none. */
void producer_queue_quiet(struct producer_queue *queue);
/* Splits a batch of at least two in half; the second half is returned, NULL without memory. */
struct producer_batch *producer_queue_split(
    struct producer_queue *queue, struct producer_batch *batch);
/* Its entries have met their end: frees it and them, and wakes who waits. */
void producer_queue_settle(struct producer_queue *queue, struct producer_batch **batch);
/* Entries that were dropped for others, to be reported and freed by producer_memory_free(). */
struct producer_entry *producer_queue_dropped(struct producer_queue *queue);
/* Entries that wait are counted as discarded, to be reported and freed likewise. */
struct producer_entry *producer_queue_abandon(struct producer_queue *queue);

/* No more entries are taken. */
void producer_queue_stop(struct producer_queue *queue);
/* Whether sending is refused: flush then waits no longer. */
void producer_queue_set_unauthorised(struct producer_queue *queue, bool unauthorised);
bool producer_queue_unauthorised(struct producer_queue *queue);

/* Waits until all that was added before is settled. Errors: ERR_AGAIN: not in time; ERR_AUTH. */
MUST_CHECK int producer_queue_flush(struct producer_queue *queue, int timeout_ms);
/* Whether somebody flushes, or it is stopped: nothing lingers. */
bool producer_queue_hurries(struct producer_queue *queue);

/* Monotonic milliseconds. */
int64_t producer_now_ms(void);
/* When that is over, for pthread_cond_timedwait() of a monotonic condition. */
struct timespec producer_deadline(int64_t timeout_ms);
/* A condition that waits by the monotonic clock. Errors: ERR_NO_MEMORY. */
MUST_CHECK int producer_condition_init(pthread_cond_t *condition);

/*
 * Events that wait on the disk, where a producer has a spool: every one of them, in the place of
 * the queue's list in memory. Callers' threads append, the sender's thread takes one batch at a
 * time and consumes it when all of it has met its end, so they go in their order, those of an
 * earlier process first, and what was not answered stays.
 *
 * A record is 24 bytes, an id, a NUL and JSON: format, size of the id (32 bits each), which
 * producer wrote it and its caller's opaque pointer (64 bits each), all in this machine's order.
 * Another producer has the events, but not the pointers.
 */
#pragma once

#include "ingest/producer/random.h"
#include "ingest/producer/report.h"
#include "ingest/producer/settings.h"
#include "ingest/producer/spool.h"

struct producer_backlog {
    const struct tabiji_allocator *memory;
    struct producer_queue *queue; /* its lock, limits, counts and held batches */
    struct producer_spool *spool; /* NULL: there is none, and no other function is called */
    uint64_t session;
    /* of the sender's thread */
    uint64_t end; /* position of the last record of the batch that is held; 0: none is */
    struct producer_spool_statistics told;
    uint64_t strange_told;
    /* under the queue's lock */
    bool unreadable;           /* the last look at the disk failed */
    uint64_t strange;          /* records that are no events */
    size_t fresh, fresh_bytes; /* appended since a batch was taken */
    int64_t fresh_ms;          /* when the first of them was; monotonic; 0: none */
    uint64_t
        seen; /* up to this position records need not linger: they were there at the last take */
};

/* Opens the spool where the settings have one. The other members are set by this. Returns TABIJI_OK
 * or the library's errors, with *problem set (may be NULL). */
MUST_CHECK int producer_backlog_open(struct producer_backlog *backlog,
    const struct producer_settings *settings, struct producer_queue *queue,
    struct producer_random *random, struct tabiji_problem *problem);
/* Leaves what is not consumed on the disk. */
void producer_backlog_close(struct producer_backlog *backlog);

/* Appends a copy of the entry, or waits for room as producer_queue_add() does. Returns 0,
 * PRODUCER_QUEUE_STOPPED, ERR_FULL, ERR_IO, ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int producer_backlog_add(struct producer_backlog *backlog,
    const struct producer_entry *entry, bool durable, bool may_wait);

/* As producer_queue_take(); to be called while no batch is held. */
struct producer_batch *producer_backlog_take(
    struct producer_backlog *backlog, bool now, int64_t now_ms, int64_t *due_ms);
/* A batch was settled: consumes, when none is held any more. */
void producer_backlog_settled(struct producer_backlog *backlog);
/* Settles all batches that are held without consuming them. */
void producer_backlog_keep(struct producer_backlog *backlog);

/* Reports what the spool lost since the last call. Threads: the sender's. */
void producer_backlog_tell(struct producer_backlog *backlog, struct producer_reports *reports);
/* Events on the disk. Threads: any. */
uint64_t producer_backlog_events(const struct producer_backlog *backlog);
/* Fills in what statistics have of the spool. Threads: any. */
void producer_backlog_count(struct producer_backlog *backlog, struct tabiji_statistics *out);

/* Waits until all that was appended before has met its end. Errors: ERR_AGAIN: not in time;
 * ERR_AUTH. Threads: any. */
MUST_CHECK int producer_backlog_flush(struct producer_backlog *backlog, int timeout_ms);

/*
 * The disk spool of the producer library: a queue of records on the disk, from many threads to one
 * reader, that survives the process and, for what was appended as durable, a loss of power.
 *
 *     DIR/0000000000000001.spool  segments, each named by the number of its first record
 *     DIR/NUMBER.hurt             a segment in which something cannot be read, while it is read
 *     DIR/NUMBER.damaged          such a segment when it was read: for a person to see; the newest
 *                                 PRODUCER_SPOOL_DAMAGED_MAX stay, beside bytes_max
 *     DIR/consumed                the number up to which records were consumed
 *
 * What is promised:
 *  - A record whose durable append returned 0 is read until it is consumed, or dropped by a limit
 *    that was asked for and counted. Others are read after the process was killed; after a loss of
 *    power those that were synchronised are, by the policy.
 *  - Records are read in the order of their appends and whole. None is read again after consume()
 *    returned, unless power is lost before the mark was synchronised; the batch that was not
 *    consumed comes again after a restart. So records bear ids.
 *  - What a torn write left at the end of the last segment is cut. Where bytes cannot be read with
 *    readable ones behind, or that were known to be there, the readable ones are read and the
 *    segment is set aside when it has been. Statistics tell of both.
 *
 * Why not the collector's spool (ingest/spool): that stands before Kafka with one drainer's thread
 * and one lock, takes batches that are all durable, knows topics and schemas, and is part of a
 * program with LMDB, C++ and an allocator of its own. This one is in the process of somebody else,
 * on a terminal with a small disk whose power is switched off in the evening: opaque records one
 * at a time, a policy of synchronisation, limits by age, memory by the caller's allocator; it needs
 * libc, threads and zlib's crc32(), never stops the process and keeps nothing outside its handle.
 *
 * Errors are those of schemas/error.h. Threads: append, sync and statistics any; peek and consume
 * one at a time; close when no other call runs. After fork() the child's calls give ERR_LOCKED,
 * and its close() frees memory and descriptors alone. While the child holds them the directory
 * stays locked beyond its parent's end; exec() closes them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/bytes.h"

#define PRODUCER_SPOOL_BYTES_MAX_DEFAULT ((uint64_t)256 << 20)
#define PRODUCER_SPOOL_SEGMENT_SIZE_DEFAULT ((size_t)1 << 20)
#define PRODUCER_SPOOL_SEGMENT_SIZE_MIN ((size_t)256)
#define PRODUCER_SPOOL_SEGMENT_SIZE_MAX ((size_t)64 << 20)
#define PRODUCER_SPOOL_RECORD_SIZE_MAX_DEFAULT ((size_t)1 << 20)
#define PRODUCER_SPOOL_RECORD_SIZE_MAX ((size_t)16 << 20)
#define PRODUCER_SPOOL_INTERVAL_MS_DEFAULT 1000
#define PRODUCER_SPOOL_BATCH_RECORDS_DEFAULT ((size_t)500)
#define PRODUCER_SPOOL_BATCH_BYTES_DEFAULT ((size_t)512 << 10)
#define PRODUCER_SPOOL_DAMAGED_MAX 4
#define PRODUCER_SPOOL_PARTS_MAX ((size_t)4)

/* When appended records are synchronised to the disk. A durable append is, before it returns,
 * under each policy, with all that was appended before it to its segment. */
enum producer_spool_sync {
    PRODUCER_SPOOL_SYNC_INTERVAL, /* by a thread of the spool, interval_ms after the first */
    PRODUCER_SPOOL_SYNC_EVERY,    /* each append is durable; consume() synchronises its mark */
    PRODUCER_SPOOL_SYNC_NONE,     /* when the system likes */
};

/* What becomes of an append beyond bytes_max. */
enum producer_spool_full {
    PRODUCER_SPOOL_REFUSE_NEWEST, /* ERR_FULL */
    PRODUCER_SPOOL_DROP_OLDEST,   /* whole segments from the oldest on, durable records too */
};

/* Zeros are defaults. Borrowed during producer_spool_open() alone, but the contexts. */
struct producer_spool_options {
    const char *dir; /* made when missing (mode 0700), its parents are not; files have mode 0600 */
    uint64_t bytes_max;  /* of all segments; at least four of segment_size */
    size_t segment_size; /* a segment ends before it is larger, or with its only record */
    size_t record_size_max;
    int64_t age_max_ms; /* older records are dropped; 0: none. Judged by the wall clock at opening
                         * and the time that passed since, so a clock that is set meanwhile moves
                         * nothing */
    int64_t interval_ms;
    enum producer_spool_sync sync;
    enum producer_spool_full full;
    size_t batch_records_max; /* of a batch */
    size_t batch_bytes_max;   /* likewise; one record is always given */
    /* Memory: resizes `memory` (NULL: new) to `size` bytes (0: frees, gives NULL); NULL: none.
     * Default: libc's. Threads: any. libc's opendir(), qsort() and
     * pthread_create() take their own, and a page is the system's. */
    void *(*resize)(void *context, void *memory, size_t size);
    void *resize_context;
    /* Milliseconds since 1970; for tests. Threads: any. */
    int64_t (*now_ms)(void *context);
    void *now_context;
};

struct producer_spool;

/* Takes the directory, cuts what is torn, deletes what was consumed. Writes *out on success only.
 * Errors: ERR_CONFIG: an option beyond its limits, or no such parent directory; ERR_LOCKED: another
 * handle, of any process, has the directory; ERR_FULL: no room on the disk for what opening writes;
 * ERR_IO; ERR_NO_MEMORY. */
MUST_CHECK int producer_spool_open(
    const struct producer_spool_options *options, struct producer_spool **out);

/* Synchronises, unless the policy is none, and gives the directory free. Accepts NULL inside,
 * leaves NULL. */
void producer_spool_close(struct producer_spool **spool);

/* Appends one record of 1 to record_size_max bytes. On 0 it will be read after all that were
 * appended before; if durable, after a loss of power too (appends that wait share a fdatasync). On
 * an error it will not be, but where a synchronisation failed: then it may be. Errors: ERR_FULL:
 * bytes_max, or the disk has no room: nothing that was there is lost, the same call works when
 * there is room; ERR_EMPTY; ERR_TOO_LARGE; ERR_NO_MEMORY; ERR_IO: a write failed; or a
 * synchronisation, now or before: what the disk holds is unknown, and each later append gives
 * ERR_IO until the spool is opened anew, as a second fsync may say that all is well when it is not
 * (reading goes on); ERR_LOCKED: a forked child's. */
MUST_CHECK int producer_spool_append(
    struct producer_spool *spool, const void *record, size_t size, bool durable);
/* The same for a record that lies in parts, 1 to PRODUCER_SPOOL_PARTS_MAX. */
MUST_CHECK int producer_spool_append_parts(
    struct producer_spool *spool, const struct str *parts, size_t count, bool durable);

/* Synchronises all that was appended before; with SYNC_NONE what is in the segment that grows.
 * Errors: ERR_FULL, ERR_IO, ERR_LOCKED as above. */
MUST_CHECK int producer_spool_sync(struct producer_spool *spool);

struct producer_spool_record {
    const void *data;
    size_t size;
    uint64_t position; /* its number: rises from record to record, with gaps after losses */
    int64_t time_ms;   /* when it was appended, milliseconds since 1970; 0: not known */
};

/* Borrowed until the next producer_spool_peek() or producer_spool_close(). */
struct producer_spool_batch {
    const struct producer_spool_record *records;
    size_t count; /* 0: nothing to read */
    uint64_t end; /* position of the last: what consume() takes when all are done with */
};

/* Reads the records after the position, in order, without consuming them; of one segment at most.
 * Writes *out on success only. Errors: ERR_IO: nothing of a segment can be read, or what is
 * consumed not deleted; ERR_NO_MEMORY; ERR_LOCKED. */
MUST_CHECK int producer_spool_peek(struct producer_spool *spool, struct producer_spool_batch *out);

/* The records up to this position, of a batch that was read, are not read again. A segment leaves
 * the disk when all of it is consumed; the last, which still grows, when it has an eighth of its
 * size, or at close(). A position that was passed already changes nothing. Errors: ERR_VALUE: no
 * such record; ERR_IO: the mark could not be written or, with SYNC_EVERY, synchronised, or a
 * segment not deleted: in this process they are consumed; ERR_LOCKED. */
MUST_CHECK int producer_spool_consume(struct producer_spool *spool, uint64_t up_to);

/* The first five: how it stands; the others: since opening. */
struct producer_spool_statistics {
    uint64_t records; /* not consumed */
    uint64_t last;    /* position of the last that was appended */
    uint64_t bytes;   /* of segments on the disk, what is consumed of them too */
    uint64_t segments;
    int64_t oldest_age_ms; /* of the first that is not consumed, or of its segment; 0 without */
    uint64_t refused;      /* appends that got ERR_FULL for bytes_max */
    uint64_t dropped_full; /* records dropped for bytes_max (some may just be read) */
    uint64_t dropped_age;  /* records dropped for age_max_ms */
    uint64_t cuts;         /* torn ends that were cut, of records never known to be whole */
    uint64_t cut_bytes;
    uint64_t damaged_segments; /* set aside, now or when they have been read */
    uint64_t damaged_bytes;    /* that could not be read in them */
    uint64_t lost_records;     /* whose numbers are missing */
};

/* Threads: any. All zeros in a forked child. */
void producer_spool_statistics(struct producer_spool *spool, struct producer_spool_statistics *out);

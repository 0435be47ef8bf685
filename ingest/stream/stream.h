/*
 * The one interface between reducers and what carries their records. Three drivers: local (LMDB,
 * one process), kafka (librdkafka transactions), sim (tests: memory, seeded crashes and reorder).
 *
 *     log ──▶ [stage: process(record), settle()] ──▶ mail to stages, rows of tables ──▶ results ──▶
 * sinks
 *
 * A stage is pure: no I/O, clock, randomness or thread; all it knows comes from records and its
 * tables, all it does goes to its tables and its outbox.
 */
#pragma once

#include "ingest/stream/state.h"
#include "ingest/stream/topic.h"
#include "schemas/arena.h"

/* A record as a stage gets it. Slices are valid during the call. */
struct record {
    enum topic topic;
    int32_t partition;
    int64_t position; /* in its partition; rises */
    struct str key;
    struct str value;
};

/* Where a stage puts records for other stages (TOPIC_IDENTITY, TOPIC_JOURNEY) and TOPIC_REJECTED.
 * Order is kept for each (task, receiving partition). Copied. Errors: ERR_NO_MEMORY, ERR_FULL. */
struct outbox;
MUST_CHECK int outbox_send(
    struct outbox *outbox, enum topic topic, struct str key, struct str value);

/* What a stage may touch while it is called. */
struct task {
    struct state *state;
    struct outbox *outbox;
    struct arena *scratch; /* reset by the driver after each process() and after settle() */
    int32_t partition;     /* the task's; of the local driver 0 */
};

/*
 * A stage's code. One instance (`open`) a task, i.e. a stage and a partition. Instances hold
 * nothing that outlives a batch but caches; the driver calls reset() after dropping a batch.
 *
 * process(): one record. 0, or an error: RETRY and FATAL abort the batch. Bad input is not an
 * error: the stage sends it to TOPIC_REJECTED and returns 0.
 * settle(): no more records in this batch (the local driver calls it when all mail is delivered).
 * Derived rows are brought up to date here, once a batch. May send mail; it is then delivered and
 * settle() is called again.
 */
struct stage {
    const char *name;
    const enum topic *inputs;
    size_t inputs_count;
    const void *config; /* passed to open(); outlives all instances */
    /* Those settings that stored rows follow from, as text of lines; the driver keeps it in the
     * table and lets no stage work on rows of another meaning (meaning.h). Empty: none. */
    struct str meaning;
    enum table meaning_table;
    int (*open)(const void *config, void **instance);
    int (*process)(void *instance, struct task *task, const struct record *record);
    int (*settle)(void *instance, struct task *task);
    void (*reset)(void *instance);
    void (*close)(void *instance);
    /* Marks the derived rows of one key of rederive_table to be made anew by settle(): when the
     * meaning changed, all can be had from what is stored. NULL: they cannot. */
    int (*rederive)(void *instance, struct task *task, struct str key);
    /* Called before the first key, in the same batch: nothing is derived by the new meaning yet.
     * NULL: nothing to do then. */
    int (*rederive_begin)(void *instance, struct task *task);
    enum table rederive_table;
};

/* ---- what doors (collector, import) see ---- */

struct append_record {
    enum topic topic; /* TOPIC_EVENTS or TOPIC_REJECTED */
    struct str key;
    struct str value; /* of TOPIC_REJECTED: empty where the key says that it is settled */
    /* Of an event that came in past the door and was refused by a worker: how often it has been put
     * in again. Only the kafka driver, which has workers that do so, keeps it with the event. */
    uint32_t attempt;
};

/* How far a resumable reader has come; committed with the records where the driver can. */
struct append_cursor {
    struct str name;
    struct str value;
};

/*
 * An appender is safe for all threads. append() returns 0 only when every record is durable (fsync
 * or acks=all); on an error none or some may be (the caller resends: events are idempotent).
 * cursor may be NULL. Errors: ERR_FULL and ERR_AGAIN (answer 503), ERR_IO, ERR_KAFKA; with an error
 * errno is the system's reason, or 0.
 * cursor_get(): 0 and the value appended to *out, or APPEND_NO_CURSOR.
 */
#define APPEND_NO_CURSOR 1
struct appender {
    int (*append)(struct appender *appender, const struct append_record *records, size_t count,
        const struct append_cursor *cursor);
    int (*cursor_get)(struct appender *appender, struct str name, struct buf *out);
};

/* ---- what sinks see ---- */

/* The current value of a keyed row, or its end. Slices are valid until the next call of next(). */
struct result {
    enum topic topic; /* TOPIC_PERSONS .. TOPIC_MODELS, TOPIC_REJECTED */
    bool tombstone;
    struct str key; /* the row's key, as in its table */
    struct str value;
};

/* Where a reader stands: it has everything before `next`. The local driver has one, named "local".
 */
struct result_position {
    char topic[64];
    int32_t partition;
    int64_t next;
};

struct result_batch {
    const struct result *results;
    size_t results_count;
    const struct result_position *positions; /* to store in the same transaction as the results */
    size_t positions_count;
    bool begins_anew; /* a full reading starts: rows that it will not show are gone */
};

/*
 * Used by one thread. next() waits up to timeout_ms; a batch without results means none came.
 * ack() tells that the sink has committed everything of earlier batches (the driver may then trim).
 * Errors: ERR_IO, ERR_STATE, ERR_KAFKA.
 */
struct result_source {
    int (*next)(struct result_source *source, int timeout_ms, struct result_batch *batch);
    int (*ack)(struct result_source *source);
    void (*close)(struct result_source *source);
};

/*
 * The Kafka driver: the same stages, doors and sinks as the local driver, over librdkafka.
 *
 *     doors ──▶ kafka_appender ──▶ [kafka_worker: tasks] ──▶ kafka_results ──▶ sinks
 *                                     │          ▲
 *                                     └── mail ──┘   (identity, journey)
 *
 * A task is a stage and a partition. Its tables live in an LMDB environment below the state
 * directory, and every changed row goes to its table's topic in the transaction that commits the
 * input offsets. The order of commits is Kafka first, then LMDB {rows, changelog offsets}: the
 * local copy is never ahead, and what it lacks is read back from the changelog. It is a cache;
 * losing it costs time only.
 */
#pragma once

#include <stdatomic.h>

#include "ingest/stream/stream.h"

struct schema_cache;
struct kafka_slot;
struct metrics;

#define KAFKA_TOPIC_SIZE_MAX 64 /* full name with its NUL; as in struct result_position */
#define KAFKA_PREFIX_SIZE_MAX 40
/* Of one record; topics are created with this limit. */
#define KAFKA_VALUE_SIZE_MAX ((size_t)8 << 20)

/* One librdkafka property, passed on as it is, to handles of its scope. Source: librdkafka's
 * CONFIGURATION.md. */
enum kafka_scope {
    KAFKA_SCOPE_ALL,
    KAFKA_SCOPE_PRODUCER,
    KAFKA_SCOPE_CONSUMER,
};
struct kafka_property {
    enum kafka_scope scope;
    const char *name;
    const char *value;
    /* Where the value was read from (config/secret.h); it is read anew whenever a client is made,
     * and the value is for when it cannot be. NULL: it stays. */
    const char *file;
};

/* What happened, for the operator's log. level: as syslog(3), 7 is debug. `event` is a constant
 * word, `text` never holds payloads or secrets. Called from any thread, also librdkafka's own. */
typedef void kafka_log_fn(void *context, int level, const char *event, const char *text);

/* Copied by what is opened with it; texts, properties and the log's context are borrowed and
 * outlive that. {0} is not enough: start from kafka_config_default(). */
struct kafka_config {
    const char *prefix;    /* of topic names: "tabiji" */
    const char *group;     /* consumer group of the workers: "tabiji-work" */
    const char *state_dir; /* local copies of tables, cursors of imports; made when missing */
    /* Name of this process, stable, unique in the group: names the transactional.id and a directory
     * below state_dir. */
    const char *slot;
    /* Of several workers in one process: which one this is (from 0, unique in the slot), and the
     * slot that they share. NULL: the worker takes the slot for itself. */
    int thread;
    struct kafka_slot *shared_slot;
    /* A worker is known to the group by its slot and thread (static membership, KIP-345): it does
     * not leave when it is closed, and one that comes within session.timeout.ms takes its place
     * without a rebalance. */
    bool static_members;

    /* For kafka_topics_create(): events, identity and what identity publishes; journey and what it
     * publishes; replicas of all. */
    int32_t events_partitions;
    int32_t journey_partitions;
    int replication_factor;
    int min_insync_replicas; /* of topics that are made; 0: 2 of three replicas and more, else the
                                brokers' default */

    size_t batch_records_max; /* of one transaction */
    size_t filter_bytes_max;  /* of a task's filter of absent keys; 0: 85 MiB */
    /* A transaction ends when its records and the rows that they touched take so much. Queues to
     * and from brokers, and what one write to LMDB makes dirty, are in proportion. */
    size_t batch_bytes_max;
    int batch_ms; /* so long a transaction waits for more records; ten times at most */

    const struct kafka_property *properties; /* "bootstrap.servers" at least */
    size_t properties_count;

    /* With a schema registry: what its ids mean (borrowed; outlives what is opened), and the ids of
     * what this build writes, by topic; 0 for topics of unpublished tables, which keep to the file
     * of ids. NULL: all do. */
    struct schema_cache *schemas;
    uint32_t schema_ids[TOPIC_COUNT];

    /* Asked every second or two while opening something waits for a broker that does not answer:
     * true ends the wait with ERR_AGAIN. Also asked by a worker that gives a transaction up: then
     * it waits less. Threads: any. NULL: never. */
    bool (*stopping)(void);

    kafka_log_fn *log; /* NULL: silent */
    void *log_context;

    struct metrics *metrics; /* borrowed; outlives what is opened. NULL: nothing is measured */
};

void kafka_config_default(struct kafka_config *config);

/* Says whether the configuration can work; `problem` gets a sentence. Checks names, numbers, that
 * librdkafka knows each property, and that none overrides what exactly-once rests on.
 * Errors: ERR_CONFIG. Threads: any. */
MUST_CHECK int kafka_config_check(
    const struct kafka_config *config, char *problem, size_t problem_size);

/* Makes a directory (state_dir, by whatever opens first) and those above it that are missing.
 * Errors: ERR_IO, ERR_FULL, ERR_CONFIG (too long). Threads: any. */
MUST_CHECK int kafka_make_dir(const char *path);

/* ---- topics ---- */

/* Creates the topics that are missing and checks the partition counts of all.
 * Errors: ERR_CONFIG when existing topics do not fit each other; ERR_KAFKA when the broker refuses;
 * ERR_AGAIN when none answers in time. Threads: any. */
MUST_CHECK int kafka_topics_create(const struct kafka_config *config, int timeout_ms);

/* How many partitions each topic of the prefix has; 0: it is not there. Errors: ERR_KAFKA,
 * ERR_AUTH, ERR_AGAIN. Threads: any. */
MUST_CHECK int kafka_topics_partitions(
    const struct kafka_config *config, int timeout_ms, int32_t out[TOPIC_COUNT]);

/* Deletes all topics of the prefix that there are; *count: how many. Errors: ERR_KAFKA, ERR_AGAIN.
 * Threads: any. */
MUST_CHECK int kafka_topics_delete(const struct kafka_config *config, int timeout_ms, int *count);

/* ---- doors ---- */

/* Opens an idempotent producer. append() waits until every replica in sync has each record.
 * Records go to topic_partition(key) of the count that the broker has.
 * append(): ERR_AGAIN when delivery took too long or a topic is gone, ERR_FULL when the producer's
 * queue is, both for a 503; ERR_TOO_LARGE for a record beyond the broker's limit; ERR_KAFKA for all
 * that a retry does not mend. A cursor is a file in the state directory, written after delivery.
 * Errors: ERR_CONFIG, ERR_AGAIN, ERR_KAFKA, ERR_IO, ERR_NO_MEMORY. Threads: the appender is safe
 * for all; not usable after fork(). */
MUST_CHECK int kafka_appender_open(
    const struct kafka_config *config, int timeout_ms, struct appender **out);
/* An append whose end is told, so that others can begin meanwhile. In the caller's storage, from
 * begin() to end(). */
struct kafka_append {
    /* Called once all records have met their end, from a thread of the appender or from within
     * begin(); it does not call the appender. */
    void (*done)(void *context);
    void *context;
    /* the appender's */
    void *line;
    atomic_size_t left;
    atomic_int code;
    int error;
};
/* Begins an append: records of one partition are appended in the order in which they were begun, as
 * far as none fails. Keys and values are copied. Returns 0: done() is called, and then end() is to
 * be. Errors: as append(), when nothing has begun. Threads: any. */
MUST_CHECK int kafka_append_begin(struct appender *appender, const struct append_record *records,
    size_t count, struct kafka_append *append);
/* After done(): what append() would have returned. Threads: any but the one that called done(). */
MUST_CHECK int kafka_append_end(struct appender *appender, struct kafka_append *append);
/* Ends appends in flight, and all later ones, with ERR_AGAIN. Threads: any. */
void kafka_appender_cancel(struct appender *appender);
/* What is appended from here on goes by a producer that reads certificates and passwords anew;
 * appends in flight end with the old one. Threads: any. */
void kafka_appender_renew(struct appender *appender);
/* Ends appends in flight with ERR_AGAIN. Accepts NULL inside, leaves NULL. */
void kafka_appender_close(struct appender **appender);

/* ---- what workers refused ---- */

/* Reads a framed event as workers do, and gives it its key: what came in past the door, was refused
 * for its schema and may be readable by now. Waits for a registry's answer. Errors: those of class
 * REJECT for which a worker refuses; ERR_AGAIN without an answer in time; ERR_NO_MEMORY. Threads:
 * any. */
struct namespace_table;
MUST_CHECK int kafka_event_take(const struct kafka_config *config,
    const struct namespace_table *namespaces, struct str framed, int timeout_ms,
    struct arena *arena, struct append_record *out);

/* The same of mail between stages, which a worker refused as it ended workers; `pointer` is that of
 * its rejection, KAFKA_MAIL_POINTER and the key in hex. Errors: also ERR_STATE when it is not.
 * Threads: any. */
#define KAFKA_MAIL_POINTER "key "
struct kafka_mail {
    enum topic topic; /* TOPIC_IDENTITY, TOPIC_JOURNEY */
    struct str pointer;
    struct str framed;
};
MUST_CHECK int kafka_mail_take(const struct kafka_config *config, const struct kafka_mail *mail,
    int timeout_ms, struct arena *arena, struct append_record *out);

/* ---- sinks ---- */

/* Reads the result topics, all partitions, from `positions`; a partition that has none from its
 * beginning. Positions name full topics; a batch has those that moved, and "<prefix>.seen", the
 * time (milliseconds): a sink whose time is 12 hours ago, or that has none, begins anew, as brokers
 * keep tombstones for 24. Order holds within a partition only; batches end at batch_records_max.
 * ack() commits the positions to the group <group>-results-<slot>, for tabiji lag and the like to
 * see; the sink's own are the truth. A topic that is gone is waited for. Errors, also of next():
 * ERR_TOPIC_ANEW when a position lies beyond its topic's end (the topic was made anew, or is
 * another cluster's), logged with what mends it; ERR_CONFIG, ERR_AGAIN, ERR_KAFKA, ERR_NO_MEMORY.
 * Threads: one. */
MUST_CHECK int kafka_results_open(const struct kafka_config *config,
    const struct result_position *positions, size_t count, struct result_source **out);

/* Whether next() has returned everything that was in the topics when this was asked. An empty batch
 * alone does not say so: records may be on their way.
 * Returns 0 when so, or KAFKA_BUSY. Errors: ERR_AGAIN, ERR_KAFKA. Threads: the source's. */
#define KAFKA_BUSY 1
MUST_CHECK int kafka_results_caught_up(struct result_source *source, int timeout_ms);

/* ---- quiet: for tests and "--to-quiet" ---- */

/* Looks at the group's committed offsets and the ends of all stage inputs. */
struct kafka_watch;
MUST_CHECK int kafka_watch_open(const struct kafka_config *config, struct kafka_watch **out);
/* Returns 0 when there was a moment during the call when every worker of the group had consumed all
 * of every input and its outputs were committed; KAFKA_BUSY otherwise. Errors: ERR_AGAIN,
 * ERR_KAFKA. Threads: one. */
MUST_CHECK int kafka_watch_quiet(struct kafka_watch *watch, int timeout_ms);
/* Accepts NULL inside, leaves NULL. */
void kafka_watch_close(struct kafka_watch **watch);

/* ---- worker ---- */

/*
 * The slot's directory, for all workers of one process: a partition that goes from one of them to
 * another finds its copy there. Makes it and locks it until the close, or the process's end.
 * Errors: ERR_LOCKED when it is taken already, ERR_CONFIG, ERR_IO, ERR_FULL, ERR_NO_MEMORY.
 */
MUST_CHECK int kafka_slot_open(const struct kafka_config *config, struct kafka_slot **out);
/* After all workers that share it. Accepts NULL inside, leaves NULL. */
void kafka_slot_close(struct kafka_slot **slot);

/*
 * One worker: a consumer, a transactional producer, and the tasks of the partitions that the group
 * gives it. All its functions belong to one thread, except kafka_worker_wake(). More processes:
 * more workers, each with its own slot; more threads: more workers of one slot, numbered.
 */
struct kafka_worker;

/* Joins the group; takes the slot's directory. Stages are copied; what they point to is borrowed.
 * A stage's tables are told by its inputs: TOPIC_JOURNEY has the persons' tables, TOPIC_IDENTITY
 * the nodes'. Errors: ERR_CONFIG when topics are missing or do not fit, ERR_LOCKED when a process
 * has the slot, ERR_AGAIN, ERR_KAFKA, ERR_FENCED, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int kafka_worker_open(const struct kafka_config *config, const struct stage *stages,
    size_t count, struct kafka_worker **out);

/*
 * One batch, one transaction. Returns 0 when it committed records, KAFKA_IDLE when there were none
 * within timeout_ms.
 * Errors: class RETRY: nothing of the batch stands and the records come again at the next call
 * (wait a little first). ERR_FENCED: another worker has the slot. Class FATAL: close the worker.
 */
#define KAFKA_IDLE 1
MUST_CHECK int kafka_worker_run(struct kafka_worker *worker, int timeout_ms);

/* Makes a waiting kafka_worker_run() return soon. Threads: any, also a signal handler's. */
void kafka_worker_wake(struct kafka_worker *worker);

/* Leaves the group. No batch is open between calls of run(), so nothing is lost or left open.
 * Accepts NULL inside, leaves NULL. */
void kafka_worker_close(struct kafka_worker **worker);

/* What a worker did since it was opened. */
struct kafka_worker_counts {
    uint64_t records; /* processed in committed transactions, mail handed over included */
    uint64_t changes; /* rows sent to changelogs in committed transactions */
    uint64_t mails;   /* for other stages, handed over or sent, likewise */
    uint64_t commits;
    uint64_t aborts;       /* transactions rolled back */
    uint64_t replacements; /* producers given up for a new one */
    uint64_t restored;     /* rows read back from changelogs */
    uint64_t rebuilt;      /* tasks whose local copy was absent or not to be trusted */
    uint64_t refused;      /* records without a readable frame, sent to TOPIC_REJECTED */
    size_t tasks;          /* that it has now */
};
void kafka_worker_counts(const struct kafka_worker *worker, struct kafka_worker_counts *out);

/*
 * A stage's instance for one partition with its local tables. One thread. Private to the driver.
 *
 * The LMDB environment has the tables and, in `meta`: whose they are (cluster), where each
 * changelog partition goes on after them (next:<topic>), and when they were last known good (seen).
 * Rows and offsets change in one LMDB transaction, after the Kafka transaction that carried them.
 */
#pragma once

#include "ingest/stream/kafka_producer.h"
#include "ingest/stream/kafka_slot.h"
#include "ingest/stream/kafka_suspects.h"
#include "ingest/stream/outbox.h"
#include "ingest/stream/state_lmdb.h"

/* Brokers keep a tombstone this long; a copy, or a sink, that was away for half of it may have
 * missed one. */
#define KAFKA_TOMBSTONES_KEPT_MS "86400000"
#define KAFKA_COPY_AGE_MS_MAX ((int64_t)43200000)

#define KAFKA_TASK_DIR_SIZE (KAFKA_SLOT_DIR_SIZE + 256)
/* What a damaged or foreign copy's directory is called, behind its own name. */
#define KAFKA_COPY_ASIDE ".aside"

/* One partition of a topic that carries changes of this task's tables. */
struct kafka_changelog {
    bool used;
    int64_t next;          /* committed in LMDB */
    struct kafka_mark now; /* with the running transaction */
};

struct kafka_relay;

struct kafka_task {
    struct outbox outbox; /* first: the outbox's function casts back */
    const struct kafka_config *config;
    const struct stage *stage; /* `own` */
    struct stage own;          /* as given, its meaning with the count of partitions */
    struct str meaning_given;  /* borrowed */
    struct buf meaning;        /* of own */
    int32_t partition;
    struct kafka_producer *producer; /* where mail and changes go */
    struct kafka_relay *relay;       /* where mail goes; NULL: all of it by its topic */
    struct kafka_suspects *suspects; /* told what is being done; NULL: nobody */
    void *instance;
    struct state_lmdb *store;
    struct state *state;
    struct kafka_changelog changelogs[TOPIC_COUNT];
    struct kafka_slot *slot; /* where its copy is claimed; NULL: not yet */
    const char *
        boot; /* id of this boot of the machine; empty: not known, each commit waits for the disk */
    const char *cluster; /* whose changelogs these are */
    char dir[KAFKA_TASK_DIR_SIZE];
    int64_t synced_ms;
    bool damaged; /* the copy: kafka_task_remake() is due */
    bool remade;  /* it was, once */
    bool begun;   /* a batch has touched it */
    bool current; /* restored to the end of its changelog since it was opened */
    uint64_t mails;
    bool settled; /* what the batch changed is told: the following */
    const struct state_change *changed;
    size_t changes;
};

/* What is to know to open one. */
struct kafka_task_origin {
    const struct kafka_config *config;
    struct kafka_slot *slot; /* the task makes a directory within; outlives it */
    const char *cluster;     /* id, and the topics' prefix; outlives the task */
    struct kafka_producer *producer;
    struct kafka_relay *relay;       /* may be NULL */
    struct kafka_suspects *suspects; /* may be NULL */
};

/* True when the table belongs to a stage of such inputs: the persons' tables to the one that reads
 * TOPIC_JOURNEY, the nodes' to the one that reads TOPIC_IDENTITY or TOPIC_EVENTS. */
bool kafka_task_owns(const struct stage *stage, enum table table);

/* Whether the stages fit the topics: inputs of one stage are partitioned alike, and each table has
 * one stage at most. Errors: ERR_CONFIG. */
MUST_CHECK int kafka_task_check_stages(
    const struct stage *stages, size_t count, const struct kafka_layout *layout);

/* Opens the local copy; one that is of an older build or too old is thrown away, one that is
 * damaged or of another cluster put aside; both are logged, and *rebuilt set. Errors: ERR_AGAIN
 * while another worker of the slot has the copy; ERR_NEWER for one of a newer build, which stays as
 * it is; of the stage's open(), ERR_FULL, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int kafka_task_open(const struct kafka_task_origin *origin, const struct stage *stage,
    int32_t partition, struct kafka_task **out, bool *rebuilt);
/* Drops a batch, notes when the copy was good. Accepts NULL inside, leaves NULL. */
void kafka_task_close(struct kafka_task **task);

/* Puts a copy that a batch found `damaged` aside, and begins an empty one. Errors as
 * kafka_task_open(). */
MUST_CHECK int kafka_task_remake(struct kafka_task *task);

/* Forgets the local copy, so that it is restored from the changelog's beginning. */
MUST_CHECK int kafka_task_rebuild(struct kafka_task *task);

/* Writes rows of changelogs and how far they go (in changelogs[].now) to the local copy. */
MUST_CHECK int kafka_task_replay(
    struct kafka_task *task, const struct state_change *changes, size_t count);

/* ---- within a batch ---- */

/* After a restore: whether the rows were built with the stage's settings and as many partitions:
 * with others, their keys lie elsewhere. Errors: ERR_MEANING with what differs and what to do
 * appended; those of the store. */
MUST_CHECK int kafka_task_meaning(struct kafka_task *task, struct buf *difference);

/* The same of all of a worker; what differs is logged. */
MUST_CHECK int kafka_task_check_meanings(struct kafka_task *const *tasks, size_t count);

/* One record. The scratch is reset afterwards. What the stage answers REJECT to goes to
 * TOPIC_REJECTED. Errors: of the stage; ERR_IO; ERR_ABORT where the copy turns out to be `damaged`,
 * as of those below, and ERR_STATE where it does again; ERR_CRASHES: it has ended workers so
 * often that the stage is not given it. */
MUST_CHECK int kafka_task_process(
    struct kafka_task *task, const struct record *record, struct arena *scratch);
/* Mail that another task of the worker hands over, within the record or the derived rows that it
 * comes of. Errors as above, without ERR_CRASHES. */
MUST_CHECK int kafka_task_receive(
    struct kafka_task *task, const struct record *record, struct arena *scratch);
/* Derived rows; once more where mail came since. Errors: of the stage, of sending. */
MUST_CHECK int kafka_task_settle(struct kafka_task *task, struct arena *scratch);
/* Then every changed row to its changelog. Nothing is processed any more before commit or drop.
 * Errors: as above. */
MUST_CHECK int kafka_task_tell(struct kafka_task *task);
/* After the Kafka transaction: the changes to LMDB. On an error the copy lags behind its changelog.
 */
MUST_CHECK int kafka_task_commit(struct kafka_task *task);
/* Forgets the batch. */
void kafka_task_drop(struct kafka_task *task);

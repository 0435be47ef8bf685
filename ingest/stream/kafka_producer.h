/*
 * The transactional producer of one worker slot. One thread. Private to the driver.
 *
 *     open() ─▶ ready ─begin()─▶ in transaction ─commit()─▶ ready
 *                 ▲                   │ any error
 *                 └──────abort()──────┘
 *     any state ─ nobody knows what became of it ─▶ broken ─replace()─▶ ready
 */
#pragma once

#include "ingest/stream/kafka_client.h"

struct kafka_producer {
    struct kafka_client client;
    struct kafka_layout layout;
    rd_kafka_topic_t *topics[TOPIC_COUNT];
    bool begun;                 /* a transaction is open */
    bool broken;                /* replace() before anything else */
    rd_kafka_resp_err_t failed; /* first failed delivery of the transaction */
    struct buf framed;          /* the value being sent */
    size_t sent;                /* since reports were last looked at */
    int64_t begun_ms;           /* when the transaction began */
    int64_t timeout_ms;         /* after which the coordinator ends it by itself */
};

/* Makes the handle, fences earlier owners of the slot, ends what they left open. Caller's storage,
 * which stays where it is. Errors: ERR_AGAIN, ERR_FENCED, ERR_CONFIG, ERR_KAFKA, ERR_NO_MEMORY. */
MUST_CHECK int kafka_producer_open(struct kafka_producer *producer,
    const struct kafka_config *config, const struct kafka_layout *layout);
/* Leaves an open transaction to the coordinator. Accepts one never opened. */
void kafka_producer_close(struct kafka_producer *producer);

/* Errors of the following: ERR_ABORT: call abort(); ERR_FENCED (another process has the slot),
 * ERR_KAFKA, ERR_TOO_LARGE: give up. After any error, when `broken` is set, replace() instead of
 * abort(). */
MUST_CHECK int kafka_producer_begin(struct kafka_producer *producer);

/* Where a changelog partition ends with the transaction's records; raised by delivery reports. */
struct kafka_mark {
    int64_t next;
};

/* Sends one record (copied; value.data NULL: a tombstone; the frame is added). mark may be NULL;
 * else it stays where it is until commit() or abort(). Also ERR_NO_MEMORY. */
MUST_CHECK int kafka_producer_send(struct kafka_producer *producer, enum topic topic,
    int32_t partition, struct str key, struct str value, struct kafka_mark *mark);

/* Waits for all deliveries, adds the consumer's offsets, commits. */
MUST_CHECK int kafka_producer_commit(struct kafka_producer *producer, rd_kafka_t *consumer,
    const rd_kafka_topic_partition_list_t *offsets);

/* Rolls the open transaction back, if there is one. */
MUST_CHECK int kafka_producer_abort(struct kafka_producer *producer);

/* Destroys the handle and opens another: what was open is then decided. Errors as open(). */
MUST_CHECK int kafka_producer_replace(struct kafka_producer *producer);

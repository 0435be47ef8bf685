/*
 * A librdkafka handle with the settings of its role, and what all users of one need: full topic
 * names, partition counts, log. Private to the driver.
 */
#pragma once

#include <stdatomic.h>

#include <librdkafka/rdkafka.h>

#include "ingest/stream/kafka.h"
#include "ingest/stream/kafka_statistics.h"

/* Of an event that was put in again: how often, in decimal digits (rejection.h). */
#define KAFKA_ATTEMPT_HEADER "tabiji-attempt"

/* Longest wait for one answer of the broker about metadata, offsets or watermarks. */
#define KAFKA_ANSWER_MS 10000

enum kafka_role {
    KAFKA_ROLE_ADMIN,    /* metadata and topics */
    KAFKA_ROLE_DOOR,     /* idempotent producer */
    KAFKA_ROLE_PRODUCER, /* transactional producer of the slot */
    KAFKA_ROLE_CONSUMER, /* member of the group */
    KAFKA_ROLE_RESTORE,  /* reads changelogs, committed records only; keeps kafka_attempts.h */
    KAFKA_ROLE_END,      /* asks for the ends of partitions, open transactions included */
    KAFKA_ROLE_RESULTS,  /* reads results, committed records only */
    KAFKA_ROLE_LOOK,     /* looks at single records, for an operator; committed ones only */
    KAFKA_ROLE_COUNT,
};

/* Callbacks of a handle; NULL where none. `owner` comes back through kafka_client_of(). */
struct kafka_callbacks {
    void *owner;
    void (*delivered)(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
    void (*rebalance)(rd_kafka_t *rk, rd_kafka_resp_err_t code,
        rd_kafka_topic_partition_list_t *parts, void *opaque);
    kafka_end_fn *end;
};

/* Caller's storage; stays where it is while open: librdkafka's callbacks get its address. */
struct kafka_client {
    rd_kafka_t *rk;
    const struct kafka_config *config;
    void *owner;
    kafka_end_fn *end;
    enum kafka_role role;
    struct json_parser *parser; /* of statistics */
    atomic_bool refused;        /* a broker did not accept the credentials, or is not trusted */
};

/* Errors: ERR_CONFIG, ERR_NO_MEMORY, ERR_KAFKA. */
MUST_CHECK int kafka_client_open(struct kafka_client *client, const struct kafka_config *config,
    enum kafka_role role, const struct kafka_callbacks *callbacks);
/* Destroys the handle; a member leaves its group. One that librdkafka does not end within 5 s is
 * left, and logged. Accepts one never opened. */
void kafka_client_close(struct kafka_client *client);

/* Says one thing to the operator. */
void kafka_log(const struct kafka_config *config, int level, const char *event, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

/* <prefix>.<name>.v1; the prefix was checked. */
void kafka_topic_name(
    const struct kafka_config *config, enum topic topic, char out[KAFKA_TOPIC_SIZE_MAX]);
/* The topic of a full name, or -1. */
int kafka_topic_of(const struct kafka_config *config, const char *name);

/* The topic of a message's handle, remembered by its address: valid while the topic is assigned.
 * {0} is an empty one. Returns -1 for a topic that is none of ours. */
struct kafka_topic_cache {
    const rd_kafka_topic_t *handles[TOPIC_COUNT];
};
int kafka_topic_cached(struct kafka_topic_cache *cache, const struct kafka_config *config,
    const rd_kafka_topic_t *handle);

/* Partition counts that the broker has; 0: no such topic. */
struct kafka_layout {
    int32_t partitions[TOPIC_COUNT];
};

/* All topics that the broker shows; the caller destroys *out. Waits timeout_ms for a broker that is
 * silent, but not for one that refuses. Errors: ERR_AGAIN, ERR_AUTH, ERR_KAFKA, logged. */
MUST_CHECK int kafka_metadata_get(
    struct kafka_client *client, int timeout_ms, const struct rd_kafka_metadata **out);

/* Asks the broker. Errors: ERR_AGAIN, ERR_AUTH, ERR_KAFKA. */
MUST_CHECK int kafka_layout_get(
    struct kafka_client *client, int timeout_ms, struct kafka_layout *out);
/* Whether all topics are there and those that must be partitioned alike are. Errors: ERR_CONFIG,
 * logged with what mends it. */
MUST_CHECK int kafka_layout_check(
    const struct kafka_config *config, const struct kafka_layout *layout);
/* Whether the topics are as they were. Returns 0, or KAFKA_BUSY when one is gone. Errors:
 * ERR_CONFIG: other partition counts; ERR_AGAIN, ERR_KAFKA. */
MUST_CHECK int kafka_layout_same(struct kafka_client *client, const struct kafka_layout *layout);
/* True when the topic is partitioned as identity is; else as journey. */
bool kafka_topic_of_identity(enum topic topic);

/* First and next-to-last offset of a partition; `high` counts records of open transactions when
 * the client's role is KAFKA_ROLE_END. Errors: ERR_AGAIN, also for what is not there: who asks has
 * seen it, and brokers that start know it soon, so that they are asked anew; ERR_CONFIG, ERR_AUTH,
 * ERR_KAFKA. */
MUST_CHECK int kafka_client_ends(
    struct kafka_client *client, const char *topic, int32_t partition, int64_t *low, int64_t *high);

/* The cluster's id, or nothing when it has none, and the topics' prefix: under one slot, copies of
 * two generations of topics are two. */
void kafka_client_cluster(struct kafka_client *client, char *out, size_t size);

/* Monotonic milliseconds. */
int64_t kafka_clock_ms(void);

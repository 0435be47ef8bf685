/*
 * The topics as they are on the brokers beside what they should be, for an operator; and what can
 * be set right without losing anything.
 */
#pragma once

#include "ingest/stream/kafka.h"

/* X(symbol, name, kind): settings of a topic that matter here. kind: how a value may differ from
 * the wanted one: LEAST: be more; SET: the same words in another order. */
#define KAFKA_TOPIC_SETTING_LIST(X)                                                                \
    X(KAFKA_TOPIC_CLEANUP, "cleanup.policy", SET)                                                  \
    X(KAFKA_TOPIC_RETENTION, "retention.ms", LEAST)                                                \
    X(KAFKA_TOPIC_TOMBSTONES, "delete.retention.ms", LEAST)                                        \
    X(KAFKA_TOPIC_VALUE_SIZE, "max.message.bytes", LEAST)                                          \
    X(KAFKA_TOPIC_IN_SYNC, "min.insync.replicas", LEAST)

enum kafka_topic_setting {
#define X(symbol, name, kind) symbol,
    KAFKA_TOPIC_SETTING_LIST(X)
#undef X
        KAFKA_TOPIC_SETTINGS,
};

#define KAFKA_SETTING_SIZE_MAX 64

/* Name as brokers have it. Threads: any. */
const char *kafka_topic_setting_name(enum kafka_topic_setting setting);

/* What a topic is made with; empty: whatever is the brokers' default. Threads: any. */
void kafka_topic_wanted(const struct kafka_config *config, enum topic topic,
    enum kafka_topic_setting setting, char out[KAFKA_SETTING_SIZE_MAX]);
int32_t kafka_topic_partitions_wanted(const struct kafka_config *config, enum topic topic);

/* One topic. Counts are 0 and values empty where it is missing. */
struct kafka_topic_report {
    char name[KAFKA_TOPIC_SIZE_MAX];
    bool denied; /* this user may not see it, or not its settings */
    int32_t partitions;
    int32_t partitions_wanted;
    int replicas; /* of the partition that has the fewest */
    int replicas_wanted;
    int in_sync;        /* likewise */
    int32_t leaderless; /* partitions that nobody leads now */
    char is[KAFKA_TOPIC_SETTINGS][KAFKA_SETTING_SIZE_MAX];
    char wanted[KAFKA_TOPIC_SETTINGS][KAFKA_SETTING_SIZE_MAX];
    bool wrong[KAFKA_TOPIC_SETTINGS];
};

/* Asks the brokers about every topic; changes nothing.
 * Errors: ERR_AGAIN when none answers in time, ERR_AUTH, ERR_KAFKA, ERR_CONFIG. Threads: any. */
MUST_CHECK int kafka_topics_report(
    const struct kafka_config *config, int timeout_ms, struct kafka_topic_report out[TOPIC_COUNT]);

/* Sets what is `wrong` of topics that are there; other settings of theirs stay. Partitions and
 * replicas are left alone. Errors: as kafka_topics_report(). Threads: any. */
MUST_CHECK int kafka_topics_set(const struct kafka_config *config, int timeout_ms,
    const struct kafka_topic_report reports[TOPIC_COUNT]);

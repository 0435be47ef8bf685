/*
 * How far the readers of the topics are behind: the workers' group, and each sink by what it told
 * the brokers of its position (its own database is the truth; what it tells is for watching).
 */
#pragma once

#include "ingest/stream/kafka.h"

#define KAFKA_LAG_UNKNOWN (-1)
#define KAFKA_GROUP_SIZE_MAX 256
#define KAFKA_LAG_GROUPS_MAX 64 /* further sinks are left out */

/* One partition of a group. Counts are of offsets: records, and marks that end transactions. */
struct kafka_lag_row {
    size_t group; /* index into groups */
    enum topic topic;
    int32_t partition;
    int64_t committed; /* KAFKA_LAG_UNKNOWN: the group has never committed */
    int64_t end;       /* behind the last record that readers may see (last stable offset) */
    int64_t high;      /* behind the last record, those of open transactions included */
    int64_t lag;       /* end - committed, or all that there is */
    int64_t oldest_ms; /* time of the first unread record, as its producer says; or UNKNOWN */
};

/* {0} is an empty one. */
struct kafka_lag {
    char groups[KAFKA_LAG_GROUPS_MAX][KAFKA_GROUP_SIZE_MAX]; /* the workers' first */
    size_t groups_count;
    char names[TOPIC_COUNT][KAFKA_TOPIC_SIZE_MAX]; /* full names of topics */
    struct kafka_lag_row *rows;                    /* by group, topic, partition */
    size_t rows_count;
    size_t rows_max;
};

/* What the readers of topics have: opened once, asked again and again. */
struct kafka_lag_watch;
/* Errors: ERR_AGAIN, ERR_AUTH, ERR_KAFKA, ERR_CONFIG when topics are missing or do not fit,
 * ERR_NO_MEMORY. */
MUST_CHECK int kafka_lag_open(
    const struct kafka_config *config, int timeout_ms, struct kafka_lag_watch **out);
/* Asks anew. Records are looked at for their time at most for look_ms; 0: not at all. Errors: as
 * above; *out is then as it was. Threads: one. */
MUST_CHECK int kafka_lag_read(
    struct kafka_lag_watch *watch, int timeout_ms, int look_ms, struct kafka_lag *out);
/* Accepts NULL inside, leaves NULL. */
void kafka_lag_close(struct kafka_lag_watch **watch);

/* Frees what read() gave; it is empty then. */
void kafka_lag_free(struct kafka_lag *lag);

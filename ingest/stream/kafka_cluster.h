/*
 * What a cluster says of itself, for an operator.
 */
#pragma once

#include "ingest/stream/kafka.h"

#define KAFKA_VERSION_SIZE 64

struct kafka_cluster_report {
    int brokers;
    char version[KAFKA_VERSION_SIZE]; /* of the protocol between brokers ("3.9-IV0"); empty: not
                                         told, by 4.0 and later, or to this user */
    char library[KAFKA_VERSION_SIZE]; /* of librdkafka */
};

/* Errors: ERR_AGAIN when no broker answers in time, ERR_AUTH, ERR_KAFKA, ERR_CONFIG. Threads: any.
 */
MUST_CHECK int kafka_cluster_report(
    const struct kafka_config *config, int timeout_ms, struct kafka_cluster_report *out);

enum kafka_slot_owner {
    KAFKA_SLOT_NONE,    /* no such directory yet */
    KAFKA_SLOT_FREE,    /* nobody runs with it */
    KAFKA_SLOT_RUNNING, /* a process has it */
    KAFKA_SLOT_FOREIGN, /* it is another user's, or cannot be written */
};

/* Looks at the state directory of the configuration's slot; takes nothing, so that a worker that
 * starts meanwhile is not kept from it. `path` gets its name, *pid the process that has it: one of
 * this host and container, others are not seen. Threads: any. */
enum kafka_slot_owner kafka_slot_look(
    const struct kafka_config *config, char *path, size_t size, int *pid);

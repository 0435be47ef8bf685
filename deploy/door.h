/*
 * The collector's way to Kafka: through a spool, unless that is turned off.
 */
#pragma once

#include "deploy/renew.h"
#include "deploy/settings.h"
#include "ingest/stream/kafka.h"

struct kafka_door {
    struct settings *settings;
    struct kafka_config kafka;
    int timeout_ms;
    struct appender *appender;
    struct appender *_Atomic cluster; /* Kafka's, behind the spool or not; NULL: not reached yet */
    struct renewal renewal;
};

/* Reaches Kafka, or, with a spool, goes on without; makes settings->metrics and settings->spool.
 * The door must not move while it is open, and is to be closed whatever this returns. What is wrong
 * with the spool's directory is said on standard error.
 * Errors: those of spool_open(), kafka_topics_create(), kafka_appender_open(). */
MUST_CHECK int kafka_door_open(
    struct kafka_door *door, struct settings *settings, const struct kafka_config *kafka);

/* The error that ended the spool; 0 while there is none. Threads: any. */
int kafka_door_failure(const struct kafka_door *door);

/* To be called now and then: takes over certificates that were rotated. Threads: one. */
void kafka_door_renew(struct kafka_door *door);

/* After the collector's end. Leaves settings->metrics. */
void kafka_door_close(struct kafka_door *door);

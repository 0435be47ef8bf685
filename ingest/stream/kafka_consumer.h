/*
 * What a worker does with its consumer's handle, whatever the records are. Private to the driver.
 */
#pragma once

#include "ingest/stream/kafka_client.h"

/* Joins the group for the topics that are marked. Errors: those of kafka_error_of(). */
MUST_CHECK int kafka_consumer_subscribe(
    struct kafka_client *consumer, const bool topics[TOPIC_COUNT]);

/* Seeks each partition of the list to its offset, polling meanwhile: one that was just assigned
 * cannot be sought at once. Returns 0, or KAFKA_BUSY when the callbacks that polls call have
 * changed *generation. Errors: those of kafka_error_of(); ERR_AGAIN: not within 10 s. */
MUST_CHECK int kafka_consumer_seek(struct kafka_client *consumer,
    rd_kafka_topic_partition_list_t *parts, const uint64_t *generation);

/* Stops reading the partition of a message just polled, or goes on behind that message. */
MUST_CHECK int kafka_consumer_pause(
    struct kafka_client *consumer, const rd_kafka_message_t *message, bool paused);

/* Logs an error that poll() gave. Returns 0 for what librdkafka mends by itself, or ERR_KAFKA. */
MUST_CHECK int kafka_consumer_error(
    struct kafka_client *consumer, const rd_kafka_message_t *message);

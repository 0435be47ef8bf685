/*
 * Batches directly to Kafka: what the collector does with native events, by its own code, in this
 * process. So the same events give the same records, under the same keys, in the same partitions.
 */
#pragma once

#include "ingest/producer/settings.h"
#include "ingest/producer/transport.h"

/* So many are on their way at once, in order: while brokers answer one, records of the next are
 * made. */
#define PRODUCER_KAFKA_BATCHES 4

/* Reads the collector's configuration file (settings->kafka_config) and starts a thread, in which
 * appends wait; brokers are asked for when there is a batch. Returns 0, or a negative error with
 * *problem set (may be NULL): TABIJI_ERROR_ARGUMENT, TABIJI_ERROR_IO, TABIJI_ERROR_NO_MEMORY. */
MUST_CHECK int producer_kafka_new(const struct producer_settings *settings,
    const struct tabiji_allocator *memory, producer_done_fn done, void *done_context,
    struct producer_transport **out, struct tabiji_problem *problem);

/*
 * The Confluent wire format around Avro values: 00, the writer's schema id (4 bytes, big-endian),
 * Avro. Topics of unpublished tables carry rows as they are. Private to the driver.
 */
#pragma once

#include "ingest/stream/topic.h"
#include "schemas/error.h"

#define KAFKA_FRAME_SIZE 5

/* Bytes that go before the topic's values: KAFKA_FRAME_SIZE or 0. Threads: any. */
size_t kafka_frame_size(enum topic topic);

/* Writes them. Threads: any. */
void kafka_frame_put(enum topic topic, char *out);

/* Gives the value within. Errors: ERR_AVRO when there is no frame, ERR_SCHEMA_UNKNOWN when its
 * schema is not the topic's. Threads: any. */
MUST_CHECK int kafka_frame_take(enum topic topic, struct str framed, struct str *value);

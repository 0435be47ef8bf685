/*
 * The Confluent wire format around Avro values: 00, the writer's schema id (4 bytes, big-endian),
 * Avro. Rows in the topics of unpublished tables have it too, as far as they hold Avro; where such
 * a row's Avro begins later (row_schema.h), the frame is before the whole row. Private to the
 * driver.
 */
#pragma once

#include "ingest/stream/topic.h"
#include "ingest/stream/translator.h"
#include "schemas/error.h"

#define KAFKA_FRAME_SIZE 5

/* Id of the schema that this build writes such a value with; 0: no frame. key, value_size: of the
 * record. Threads: any. */
uint32_t kafka_frame_id(enum topic topic, struct str key, size_t value_size);

/* Bytes that go before a value of that id: KAFKA_FRAME_SIZE or 0. Threads: any. */
size_t kafka_frame_size(uint32_t id);

/* Writes them. Threads: any. */
void kafka_frame_put(uint32_t id, char *out);

/* Reads values of one consumer. {0} is one; kafka_frame_fini() ends it. One thread. */
struct kafka_frame {
    struct translator translator;
    uint32_t unknown; /* id of the last ERR_SCHEMA_UNKNOWN */
};

void kafka_frame_fini(struct kafka_frame *frame);

/* Gives the value within, of this build's schema: as it is where the writer had that, translated
 * into the arena where it had another version. Errors: ERR_AVRO when there is no frame, or the
 * value is not what its id says; ERR_SCHEMA_UNKNOWN when this build does not know the id as a
 * version of the topic's record; ERR_SCHEMA_VIOLATION when ours cannot hold the value;
 * ERR_NO_MEMORY. */
MUST_CHECK int kafka_frame_take(struct kafka_frame *frame, enum topic topic, struct str key,
    struct str framed, struct arena *arena, struct str *value);

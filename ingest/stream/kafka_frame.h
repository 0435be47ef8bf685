/*
 * The Confluent wire format around Avro values: 00, the writer's schema id (4 bytes, big-endian),
 * Avro. Ids are those of schemas/avro/ids.txt; with a registry those of the registry, but for the
 * topics of unpublished tables. Rows in the topics of unpublished tables have it too, as far as
 * they hold Avro; where such a row's Avro begins later (row_schema.h), the frame is before the
 * whole row. Private to the driver.
 */
#pragma once

#include "ingest/stream/kafka.h"
#include "ingest/stream/translator.h"
#include "schemas/avro_plan.h"
#include "schemas/error.h"

#define KAFKA_FRAME_SIZE 5

/* Id of the schema that this build writes such a value with; 0: no frame. key, value_size: of the
 * record. Threads: any. */
uint32_t kafka_frame_id(
    const struct kafka_config *config, enum topic topic, struct str key, size_t value_size);

/* Bytes that go before a value of that id: KAFKA_FRAME_SIZE or 0. Threads: any. */
size_t kafka_frame_size(uint32_t id);

/* Writes them. Threads: any. */
void kafka_frame_put(uint32_t id, char *out);

/* Reads values of one consumer. {.config = ...} is one; kafka_frame_fini() ends it. One thread. */
struct kafka_frame {
    const struct kafka_config *config;
    struct translator translator;
    uint32_t unknown; /* id of the last that could not be read, or is awaited */
    /* With a registry: the plan of the last id, and for what record. */
    const struct avro_plan *plan;
    const struct avro_type *plan_type;
    uint32_t plan_id;
};

void kafka_frame_fini(struct kafka_frame *frame);

/* Gives the value within, of this build's schema: as it is where the writer had that, translated
 * into the arena where it had another version. With a registry, an id is what that says; one that
 * it does not know, or that is another record there, is the file's where the value is of the
 * topic's record by that: topics that were begun without a registry stay readable.
 * Of topics other than TOPIC_EVENTS only versions of ids.txt are read: what is newer would lose
 * what it says.
 * Returns 0, or KAFKA_FRAME_AWAITED: the registry is being asked, the same call tells later.
 * Errors: ERR_AVRO when there is no frame, or the
 * value is not what its id says; ERR_SCHEMA_UNKNOWN when this build does not know the id as a
 * version of the topic's record, or the registry does not know it; ERR_SCHEMA_INCOMPATIBLE when
 * the registry's schema cannot be read as that record; ERR_SCHEMA_VIOLATION when ours cannot hold
 * the value; ERR_NO_MEMORY. */
#define KAFKA_FRAME_AWAITED 1
MUST_CHECK int kafka_frame_take(struct kafka_frame *frame, enum topic topic, struct str key,
    struct str framed, struct arena *arena, struct str *value);

/* Waits up to timeout_ms for what the last KAFKA_FRAME_AWAITED waits for. Returns true when it is
 * worth asking again. */
bool kafka_frame_wait(struct kafka_frame *frame, int timeout_ms);

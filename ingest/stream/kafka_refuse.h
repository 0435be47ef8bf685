/*
 * What becomes of a record that no stage can be given. Private to the driver.
 */
#pragma once

#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/kafka_producer.h"

/* What a stage is given of the message. Returns as kafka_frame_take(); ERR_SCHEMA_IN_HEADER: an
 * event framed in a header, as newer serialisers do: then its value is not what the first bytes
 * say. Source: Confluent Platform 8.1, HeaderSchemaIdSerializer. Threads: the message's. */
MUST_CHECK int kafka_refuse_read(struct kafka_frame *frame, const rd_kafka_message_t *message,
    enum topic topic, struct arena *scratch, struct record *out);

/* How often the event was put in again. Threads: the message's. */
uint32_t kafka_refuse_attempt(const rd_kafka_message_t *message);

/* Makes the rejection of the whole record; slices live in the arena or the message. That of mail
 * has its key as the pointer (kafka_mail_take()). Errors: ERR_NO_MEMORY. */
MUST_CHECK int kafka_refuse_make(const rd_kafka_message_t *message, enum topic topic, int why,
    struct arena *arena, struct append_record *out);

/* Sends the whole record to TOPIC_REJECTED with `why` (ERR_AVRO, ERR_SCHEMA_UNKNOWN, ...) as its
 * reason; the scratch is reset. But mail of a schema that is unknown or unreadable stays where it
 * is: without it the tables would be others, so this worker ends (ERR_NEWER, logged) and one of the
 * newer build goes on there. So does mail that is too long to be kept whole. Errors: also `why`
 * itself unless it is of class REJECT; those of kafka_producer_send(). */
MUST_CHECK int kafka_refuse(struct kafka_producer *producer, const rd_kafka_message_t *message,
    enum topic topic, int why, struct arena *scratch);

/* Frames by topic; each topic has one schema, its id is the topic's number. No state. */
#include "ingest/stream/kafka_frame.h"

#define FRAME_MAGIC 0

static uint32_t schema_id(enum topic topic)
{
    return (uint32_t)topic + 1;
}

size_t kafka_frame_size(enum topic topic)
{
    return topic == TOPIC_IDENTITY_STATE || topic == TOPIC_JOURNEY_STATE ? 0 : KAFKA_FRAME_SIZE;
}

void kafka_frame_put(enum topic topic, char *out)
{
    if (kafka_frame_size(topic) == 0)
        return;
    uint32_t id = __builtin_bswap32(schema_id(topic));
    out[0] = FRAME_MAGIC;
    memcpy(out + 1, &id, sizeof id);
}

int kafka_frame_take(enum topic topic, struct str framed, struct str *value)
{
    if (kafka_frame_size(topic) == 0) {
        *value = framed;
        return 0;
    }
    if (framed.size < KAFKA_FRAME_SIZE || framed.data[0] != FRAME_MAGIC)
        return ERR_AVRO;
    uint32_t id;
    memcpy(&id, framed.data + 1, sizeof id);
    if (__builtin_bswap32(id) != schema_id(topic))
        return ERR_SCHEMA_UNKNOWN;
    *value = str_make(framed.data + KAFKA_FRAME_SIZE, framed.size - KAFKA_FRAME_SIZE);
    return 0;
}

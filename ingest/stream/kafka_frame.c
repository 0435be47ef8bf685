/* Frames by topic; each topic has one schema. No state. */
#include "ingest/stream/kafka_frame.h"

#include "schemas/conversion.avro.h"
#include "schemas/identity_message.avro.h"
#include "schemas/journey_message.avro.h"
#include "schemas/model_count.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/schema_set.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"
#include "schemas/touchpoint.avro.h"

_Static_assert(KAFKA_FRAME_SIZE == SCHEMA_FRAME_SIZE, "one frame");

/* 0: no schema, values go as they are. */
static const uint32_t schema_ids[TOPIC_COUNT] = {
    [TOPIC_EVENTS] = TOUCHPOINT_SCHEMA_ID,
    [TOPIC_REJECTED] = REJECTED_SCHEMA_ID,
    [TOPIC_IDENTITY] = IDENTITY_MESSAGE_SCHEMA_ID,
    [TOPIC_JOURNEY] = JOURNEY_MESSAGE_SCHEMA_ID,
    [TOPIC_PERSONS] = PERSON_OF_SCHEMA_ID,
    [TOPIC_TOUCHPOINTS] = STITCHED_SCHEMA_ID,
    [TOPIC_SESSIONS] = SESSION_SCHEMA_ID,
    [TOPIC_CONVERSIONS] = CONVERSION_SCHEMA_ID,
    [TOPIC_PROFILES] = PROFILE_SCHEMA_ID,
    [TOPIC_MODELS] = MODEL_COUNT_SCHEMA_ID,
};

size_t kafka_frame_size(enum topic topic)
{
    return schema_ids[topic] ? KAFKA_FRAME_SIZE : 0;
}

void kafka_frame_put(enum topic topic, char *out)
{
    if (schema_ids[topic])
        schema_frame_put(schema_ids[topic], (uint8_t *)out);
}

int kafka_frame_take(enum topic topic, struct str framed, struct str *value)
{
    uint32_t id;
    struct str body;
    if (kafka_frame_size(topic) == 0) {
        *value = framed;
        return 0;
    }
    int r = schema_frame_take(framed, &id, &body);
    if (r < 0)
        return ERR_AVRO; /* an empty value too: tombstones do not come here */
    if (id != schema_ids[topic])
        return ERR_SCHEMA_UNKNOWN;
    *value = body;
    return 0;
}

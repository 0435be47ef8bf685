/* Two tables, and the exceptions. */
#include "ingest/stream/row_schema.h"

#include "schemas/conversion.avro.h"
#include "schemas/identity_claim.avro.h"
#include "schemas/identity_edge.avro.h"
#include "schemas/identity_evidence.avro.h"
#include "schemas/identity_message.avro.h"
#include "schemas/identity_node.avro.h"
#include "schemas/journey_message.avro.h"
#include "schemas/model_count.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"
#include "schemas/touchpoint.avro.h"

static const uint32_t of_table[TABLE_COUNT] = {
    [TABLE_NODE] = IDENTITY_NODE_SCHEMA_ID,
    [TABLE_EDGE] = IDENTITY_EDGE_SCHEMA_ID,
    [TABLE_PERSON_OF] = PERSON_OF_SCHEMA_ID,
    [TABLE_RECORD] = STITCHED_SCHEMA_ID,
    [TABLE_TIMELINE] = STITCHED_SCHEMA_ID,
    [TABLE_SESSION] = SESSION_SCHEMA_ID,
    [TABLE_CONVERSION] = CONVERSION_SCHEMA_ID,
    [TABLE_PROFILE] = PROFILE_SCHEMA_ID,
    [TABLE_MODEL_COUNT] = MODEL_COUNT_SCHEMA_ID,
};

static const uint32_t of_topic[TOPIC_COUNT] = {
    [TOPIC_EVENTS] = TOUCHPOINT_SCHEMA_ID,
    [TOPIC_REJECTED] = REJECTED_SCHEMA_ID,
    [TOPIC_IDENTITY] = IDENTITY_MESSAGE_SCHEMA_ID,
    [TOPIC_JOURNEY] = JOURNEY_MESSAGE_SCHEMA_ID,
};

struct row_schema row_schema(enum table table, struct str key, size_t value_size)
{
    struct row_schema row = {.id = of_table[table]};
    uint8_t mark = key.size > GROUP_SIZE ? (uint8_t)key.data[GROUP_SIZE] : 0;
    if (table == TABLE_EDGE && mark == ROW_EVIDENCE_MARK)
        row.id = IDENTITY_EVIDENCE_SCHEMA_ID;
    if (table == TABLE_EDGE && mark == ROW_CLAIM_MARK)
        row.id = IDENTITY_CLAIM_SCHEMA_ID;
    if (table == TABLE_EDGE && (mark == ROW_OLDER_MARK || mark == ROW_NEWER_MARK))
        row.id = 0;
    if (table == TABLE_EDGE && mark == ROW_PASSAGE_MARK) {
        row.begin = ROW_PASSAGE_HEAD_SIZE;
        row.id = IDENTITY_MESSAGE_SCHEMA_ID;
    }
    if (table == TABLE_RECORD) {
        row.begin = ROW_RECORD_HEAD_SIZE;
        row.id = value_size > ROW_RECORD_HEAD_SIZE ? row.id : 0;
    }
    return row;
}

uint32_t row_schema_of_topic(enum topic topic)
{
    int table = topic_table(topic);
    return table >= 0 ? of_table[table] : of_topic[topic];
}

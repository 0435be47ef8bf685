/* Every schema that the room publishes, for tests that hold for all of them. */
#pragma once

#include "schemas/conversion.avro.h"
#include "schemas/identity_claim.avro.h"
#include "schemas/identity_evidence.avro.h"
#include "schemas/identity_edge.avro.h"
#include "schemas/identity_message.avro.h"
#include "schemas/identity_node.avro.h"
#include "schemas/journey_message.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"
#include "schemas/touchpoint.avro.h"

struct schema_row {
    const char *name;
    const char *text;
    const uint64_t *fingerprint;
    const struct avro_type *type;
};

#define SCHEMA_ROW(record)                                                                         \
    {                                                                                              \
#record, record##_schema, &record##_fingerprint, &avro_type_##record                       \
    }

static const struct schema_row schema_rows[] = {
    SCHEMA_ROW(touchpoint),
    SCHEMA_ROW(rejected),
    SCHEMA_ROW(journey_message),
    SCHEMA_ROW(stitched),
    SCHEMA_ROW(session),
    SCHEMA_ROW(conversion),
    SCHEMA_ROW(profile),
    SCHEMA_ROW(person_of),
    SCHEMA_ROW(identity_message),
    SCHEMA_ROW(identity_node),
    SCHEMA_ROW(identity_edge),
    SCHEMA_ROW(identity_claim),
    SCHEMA_ROW(identity_evidence),
};
#define SCHEMA_ROWS (sizeof(schema_rows) / sizeof(schema_rows[0]))

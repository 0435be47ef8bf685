/*
 * Values as an older build wrote them. The program that has these is linked with older_schemas.py's
 * table; values are made by avro-c, which shares no code with the plans that read them.
 */
#pragma once

#include "schemas/schema_set.h"

#define OLDER_ID 100 /* id of a record's older version, less that of the present one */

/* The older version of the record with this id; NULL: the table has none. */
const struct schema_entry *older_version(uint32_t id);

/* Appends the older version's Avro of a record in the present version's. Stops the program when
 * avro-c cannot read all of it as that record. */
void older_avro(uint32_t id, struct str avro, struct buf *out);

/* Appends the text of schemas (writers.h) that a store of that build has. */
void older_text(struct buf *out);

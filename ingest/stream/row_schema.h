/*
 * Which record's Avro lies in the rows of a table and in the values of a topic, and where: what the
 * drivers must know to read what another build has written. Stages write and read rows themselves;
 * what follows is how.
 */
#pragma once

#include "ingest/stream/topic.h"

/* Rows of TABLE_EDGE are IdentityEdge, but where one of these bytes comes after the group:
 * IdentityEvidence, IdentityClaim, of rotations numbers and names, and IdentityMessage behind a
 * number. No node's id begins with one of these. */
#define ROW_PASSAGE_MARK 0xfb
#define ROW_NEWER_MARK 0xfc
#define ROW_OLDER_MARK 0xfd
#define ROW_EVIDENCE_MARK 0xfe
#define ROW_CLAIM_MARK 0xff
#define ROW_PASSAGE_HEAD_SIZE 8
/* Of TABLE_RECORD: numbers; what comes after them, if anything does, is Stitched. */
#define ROW_RECORD_HEAD_SIZE (3 * 8 + 1)

struct row_schema {
    uint32_t id;  /* of this build's version of the record; 0: no Avro here */
    size_t begin; /* of the Avro in the value */
};

/* Of a row, by its key and the size of its value. Threads: any. */
struct row_schema row_schema(enum table table, struct str key, size_t value_size);

/* Of the values of a topic that has one record, 0 otherwise (those of unpublished tables, of which
 * the key tells). Threads: any. */
uint32_t row_schema_of_topic(enum topic topic);

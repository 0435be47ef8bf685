/*
 * The schemas that this build can name, by the id that goes before a value in the Confluent wire
 * format: 00, id (4 bytes, big-endian), Avro. The set is generated from avro/ids.txt; each header
 * of a schema also has its <NAME>_SCHEMA_ID. Source of the format: Confluent Schema Registry, "Wire
 * format".
 */
#pragma once

#include "schemas/avro_type.h"

#define SCHEMA_FRAME_SIZE 5

struct schema_entry {
    uint32_t id;
    const char *name;
    const char *text;
    uint64_t fingerprint;         /* CRC-64-AVRO of the parsing canonical form */
    const struct avro_type *type; /* NULL: a version that is no longer written */
};

/* In the order of ids. Threads: any. */
const struct schema_entry *schema_set(size_t *count);

/* NULL: no such id. Threads: any. */
const struct schema_entry *schema_set_find(uint32_t id);

/* The version of a record with this fingerprint; NULL: none that is known. Threads: any. */
const struct schema_entry *schema_set_version(struct str name, uint64_t fingerprint);

/* The version of a record that this build writes; NULL: it writes none. Threads: any. */
const struct schema_entry *schema_set_present(struct str name);

/* Writes the 5 bytes that go before a value. Threads: any. */
void schema_frame_put(uint32_t id, uint8_t out[SCHEMA_FRAME_SIZE]);

/* Takes a framed value apart; *body borrows from framed. Errors: ERR_EMPTY for no bytes (a
 * tombstone is the caller's affair); ERR_AVRO for too few, or a first byte other than 00 (no frame,
 * or the header framing of newer serialisers, whose value has none). Threads: any. */
MUST_CHECK int schema_frame_take(struct str framed, uint32_t *id, struct str *body);

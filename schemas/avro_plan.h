/*
 * Reads bytes of another writer's schema into one of our structs. The plan is made once for each
 * writer schema; by it, fields are found by name: those that only we have get their defaults, those
 * that only the writer has are skipped, numbers are promoted (int, long, float, double: to a wider
 * one), string and bytes are one, enums go by symbol with our default for unknown ones, unions
 * branch by branch. Where the writer wrote exactly what we read, a plan costs nothing: the
 * generated decoder runs. Source: Avro 1.11, "Schema Resolution".
 */
#pragma once

#include "schemas/avro_type.h"
#include "schemas/writer_schema.h"

struct avro_plan;

/* type: avro_type_<record> of a schema's record. writer_schema: JSON from outside. why:
 * WRITER_WHY_SIZE bytes for an English reason, or NULL. Errors: ERR_SCHEMA_VIOLATION: not a schema,
 * or incompatible (the reason says where), and the other errors of writer_schema_parse(). Threads:
 * any; the plan is then immutable and may be shared. */
MUST_CHECK int avro_plan_new(
    struct avro_plan **out, struct str writer_schema, const struct avro_type *type, char *why);

/* Accepts NULL inside, leaves NULL. */
void avro_plan_free(struct avro_plan **plan);

/* True when the writer's bytes are read as they are. */
bool avro_plan_is_plain(const struct avro_plan *plan);

/* Reads the whole of bytes into *out, a struct of the plan's type. As the generated decoder: slices
 * borrow from bytes, arrays and encoded parts that had to be rewritten live in the arena. Errors:
 * ERR_AVRO, ERR_TOO_MANY, ERR_TOO_LARGE, ERR_NO_MEMORY; ERR_SCHEMA_VIOLATION for a value that our
 * schema cannot hold (a null or symbol without default). *out is then unusable. */
MUST_CHECK int avro_plan_decode(
    const struct avro_plan *plan, void *out, struct str bytes, struct arena *arena);

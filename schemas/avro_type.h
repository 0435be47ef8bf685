/*
 * What the generated structs look like, as data: for resolution plans and tests. Every record, enum
 * and fixed of the .avsc has its `avro_type_<name>` in the generated header of the schema that
 * defines it.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/avro_wire.h"

enum avro_kind {
    AVRO_KIND_NULL, /* of writers only, as are float and map */
    AVRO_KIND_BOOLEAN,
    AVRO_KIND_INT,
    AVRO_KIND_LONG,
    AVRO_KIND_FLOAT,
    AVRO_KIND_DOUBLE,
    AVRO_KIND_BYTES,
    AVRO_KIND_STRING,
    AVRO_KIND_FIXED,
    AVRO_KIND_ENUM,
    AVRO_KIND_ARRAY,
    AVRO_KIND_MAP,
    AVRO_KIND_UNION,
    AVRO_KIND_RECORD,
};

struct avro_field;

struct avro_type {
    enum avro_kind kind;
    const char *name;              /* of a record, enum or fixed, without namespace; else NULL */
    size_t size;                   /* of its C value; of an array: of one item */
    const struct avro_type *items; /* array */
    const char *const *symbols;    /* enum */
    size_t symbols_count;
    int symbol_default;              /* enum: what an unknown symbol becomes; -1: an error */
    const struct avro_field *fields; /* record */
    size_t fields_count;
    void (*init)(void *out); /* record */
    /* Records that are a schema of their own; else NULL. As the generated functions say. */
    int (*encode)(const void *record, struct buf *out);
    int (*decode)(void *out, struct str bytes, struct arena *arena);
    int (*skip_record)(struct avro_reader *reader);
};

/* A field of the generated struct; offsets in bytes. */
struct avro_field {
    const char *name;
    const struct avro_type *type;
    size_t offset;
    size_t has_offset;   /* nullable: of its bool has_<name> */
    size_t count_offset; /* array: of its size_t <name>_count */
    size_t max;          /* bytes of a text, items of an array */
    bool nullable;
    bool raw;         /* a record kept encoded, in a struct str */
    bool has_default; /* a writer need not have it */
};

extern const struct avro_type avro_type_boolean;
extern const struct avro_type avro_type_int;
extern const struct avro_type avro_type_long;
extern const struct avro_type avro_type_double;
extern const struct avro_type avro_type_string;
extern const struct avro_type avro_type_bytes;

/*
 * A schema that somebody else wrote with, parsed from its JSON text: what a resolution plan starts
 * from. The text comes from outside (a registry, a file): sizes, depth and the work that a value
 * can cause are bounded, and recursive types are refused (none of ours is recursive).
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/avro_type.h"

#define WRITER_SCHEMA_SIZE_MAX ((size_t)1 << 18)
#define WRITER_SCHEMA_NODES_MAX 4096 /* types, counted each time they are used */
#define WRITER_SCHEMA_DEPTH_MAX 32   /* of types within types */
#define WRITER_FIXED_SIZE_MAX ((size_t)1 << 20)
#define WRITER_WHY_SIZE 160

struct writer_node {
    enum avro_kind kind;
    struct str name;   /* of a record, enum or fixed: its full name */
    size_t size;       /* fixed: bytes */
    struct str *names; /* enum: symbols; record: fields */
    struct writer_node *
        *children;   /* record: types of the fields; union: branches; array, map: one */
    size_t count;    /* of names, of children, or of both */
    size_t size_min; /* fewest bytes that a value takes */
    size_t depth;    /* 1: has no children */
    size_t nodes;    /* this and all below, as often as used */
};

/* Parses; nodes and texts live in the arena. `why` (WRITER_WHY_SIZE bytes, or NULL) gets an English
 * reason on ERR_SCHEMA_VIOLATION, else an empty text.
 * Errors: ERR_SCHEMA_VIOLATION (not a schema, recursive, too deep, too many types, array of items
 * that take no bytes), ERR_TOO_LARGE, those of json_parse(), ERR_NO_MEMORY. Threads: any. Source:
 * Avro 1.11, "Schema Declaration". */
MUST_CHECK int writer_schema_parse(
    struct str text, struct arena *arena, struct writer_node **out, char *why);

/* Whether two schemas have the same parsing canonical form: bytes of one are those of the other.
 * Names of fields, types and symbols count, defaults and documentation do not. Threads: any. */
bool writer_same(const struct writer_node *a, const struct writer_node *b);

/* The part of a full name behind its last point. */
struct str writer_short_name(struct str full_name);

/* Moves over one value. Errors: ERR_AVRO. Threads: any. */
MUST_CHECK int writer_skip(const struct writer_node *node, struct avro_reader *reader);

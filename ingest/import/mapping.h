/*
 * A mapping file: how rows of a foreign file become touchpoints (EVENT, "Import mapping").
 *
 *     [file]
 *     name = touch-log          what the ids of rows without one are made from; never the data
 * file's name source = touch-log        default: name format = csv              csv | ndjson
 * (columns are paths: order.lines.0.sku, /order/lines/0/sku) | native (a native event a line)
 * delimiter = , one of , ; tab | encoding = UTF-8          UTF-8 | Shift_JIS | CP932 time_zone =
 * +09:00        of times without offset: UTC, Asia/Tokyo, or an offset time_format = text text (RFC
 * 3339 and looser) | epoch_s | epoch_ms grouping = ,              a character to leave out of
 * numbers and amounts columns = id, at, total   where the file has no header row operator = no yes:
 * rows may link and unlink identifiers, each with its reason
 *
 *     [event order_completed]   one or more; each may give an event of each row
 *     when = conversion = 1     column (= != < > <= >=) value, column empty, column notempty; all
 * must hold time = time               a column order.currency = "USD"    a constant id =
 * {shop}-{number}      a template; {{ is a brace channel = medium via channels
 *
 *     [map channels]
 *     cpc = Paid Search
 *     * = Other                 without it a value that is not listed is an error of the row
 *
 * Fields are the native event's, dotted: type id time sequence channel ids.NAMESPACE
 * campaign.source order.revenue order.items.sku properties.ANYTHING ... An empty value sets
 * nothing. An import wants of each event a time, and whom it is of: an ids.NAMESPACE, or
 * order.order_id or call.call_id.
 */
#pragma once

#include "schemas/event_fields.h"

#define MAPPING_SIZE_MAX ((size_t)256 << 10)
#define MAPPING_NAME_SIZE_MAX 64
#define MAPPING_COLUMNS_MAX 256 /* that are used */
#define MAPPING_EVENTS_MAX 32
#define MAPPING_FIELDS_MAX 128 /* of one event */
#define MAPPING_WHENS_MAX 16   /* of one event */
#define MAPPING_PIECES_MAX 32  /* of one template */
#define MAPPING_MAPS_MAX 32

enum mapping_format {
    MAPPING_CSV,
    MAPPING_NDJSON,
    MAPPING_NATIVE,
    MAPPING_SEGMENT,
};

enum mapping_encoding {
    MAPPING_UTF_8,
    MAPPING_SHIFT_JIS,
    MAPPING_CP932,
};

enum mapping_time {
    MAPPING_TIME_TEXT,
    MAPPING_TIME_EPOCH_S,
    MAPPING_TIME_EPOCH_MS,
};

struct mapping_map {
    struct str name;
    const struct str *keys;
    const struct str *values;
    size_t count;
    bool has_fallback;
    struct str fallback;
};

/* A literal, or where column is not MAPPING_LITERAL that column. */
#define MAPPING_LITERAL SIZE_MAX
struct mapping_piece {
    struct str literal;
    size_t column;
};

struct mapping_value {
    const struct mapping_piece *pieces;
    size_t pieces_count;
    const struct mapping_map *map; /* NULL: none */
    struct str text;               /* as it stands in the file, for messages */
};

enum mapping_operator {
    MAPPING_EQUAL,
    MAPPING_NOT_EQUAL,
    MAPPING_LESS,
    MAPPING_GREATER,
    MAPPING_AT_MOST,
    MAPPING_AT_LEAST,
    MAPPING_EMPTY,
    MAPPING_NOT_EMPTY,
};

struct mapping_when {
    size_t column;
    enum mapping_operator operator;
    struct str value;
    double number; /* of value, for < > <= >= */
};

enum mapping_target {
    MAPPING_FIELD,      /* of the event */
    MAPPING_PART,       /* of a part */
    MAPPING_ITEM,       /* of the order's only item */
    MAPPING_IDENTIFIER, /* name: the namespace */
    MAPPING_PROPERTY,   /* name: the key */
};

struct mapping_field {
    enum mapping_target target;
    const struct event_field *part;  /* MAPPING_PART */
    const struct event_field *field; /* MAPPING_FIELD, PART, ITEM */
    struct str name; /* dotted, for messages; for identifiers and properties the last part */
    struct mapping_value value;
    int line;
};

/* Fields in the order in which they are set: the currency before money, properties last, by key. */
struct mapping_event {
    struct str name; /* of the section; the type where no field says it */
    const struct mapping_field *fields;
    size_t fields_count;
    const struct mapping_when *whens;
    size_t whens_count;
    bool has_id;
    bool has_sequence;
    int line;
};

struct mapping_column {
    struct str name;
    int line;    /* where it is first used */
    bool object; /* gives the properties as a whole: must be an object or nothing */
};

/* Read-only once loaded. Threads: any. */
struct mapping {
    struct str name;
    struct str source;
    struct str path;         /* of the mapping file, for messages */
    uint8_t fingerprint[16]; /* of the mapping's text */
    enum mapping_format format;
    enum mapping_encoding encoding;
    enum mapping_time time;
    struct str currency; /* of Segment's amounts that name none */
    char delimiter;
    char grouping;    /* 0: none */
    bool is_operator; /* rows may link and unlink identifiers */
    int32_t zone_seconds;
    const struct str *header; /* of `columns`; NULL: the first row says it */
    size_t header_count;
    const struct mapping_column *columns; /* that events use */
    size_t columns_count;
    const struct mapping_event *events;
    size_t events_count;
};

/* Reads a mapping file. Errors: ERR_CONFIG with "FILE:LINE: what is wrong" appended to *message
 * (with the nearest known name); ERR_NOT_FOUND, ERR_IO (with a message); ERR_NO_MEMORY. *out is
 * unchanged on error. Free with mapping_free(). */
MUST_CHECK int mapping_load(const char *path, struct mapping **out, struct buf *message);

/* The same from text; path is only for messages. */
MUST_CHECK int mapping_parse(
    const char *path, struct str text, struct mapping **out, struct buf *message);

/* Accepts NULL inside, leaves NULL. */
void mapping_free(struct mapping **mapping);

/*
 * JSON in: simdjson's DOM behind C, with the limits of untrusted input. JSON out: canonical text.
 *
 * A json_parser is reused from document to document and used by one thread. Values borrow from the
 * parser: valid until its next parse. Text values are unescaped UTF-8.
 */
#pragma once

#include "schemas/bytes.h"

#define JSON_DEPTH_MAX 64
#define JSON_KEYS_MAX 1024

struct json_parser;
MUST_CHECK int json_parser_new(struct json_parser **out);
void json_parser_free(struct json_parser **parser);

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,    /* fits int64 */
    JSON_UINT,   /* over INT64_MAX, fits uint64 */
    JSON_DOUBLE, /* has a point or an exponent */
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* A value type: a place in the parser's tape. */
struct json {
    const void *tape;
    uint64_t at;
};

/* Parses exactly one document (white space around it allowed). Errors: ERR_EMPTY, ERR_JSON, ERR_UTF8
 * (also lone surrogates), ERR_NUMBER_RANGE (1e400, integers beyond 64 bits: never rounded), ERR_DEPTH,
 * ERR_KEYS (also a key that stands twice in one object: ERR_JSON), ERR_NO_MEMORY. */
MUST_CHECK int json_parse(struct json_parser *parser, struct str text, struct json *out);

enum json_kind json_kind(struct json value);
bool json_bool(struct json value);       /* of JSON_BOOL */
int64_t json_int(struct json value);     /* of JSON_INT */
uint64_t json_uint(struct json value);   /* of JSON_UINT */
double json_double(struct json value);   /* of JSON_DOUBLE */
struct str json_text(struct json value); /* of JSON_TEXT */
size_t json_count(struct json value);    /* elements of an array, members of an object */

/* The member named `key`; false when the object has none (or value is no object). */
bool json_get(struct json object, struct str key, struct json *out);

/* Iterates: json_first() then json_next() while true. For an array, key is empty. Values in source order. */
struct json_iterator {
    const void *tape;
    uint64_t at;
    uint64_t end;
    bool object;
};
void json_iterate(struct json container, struct json_iterator *iterator);
bool json_next(struct json_iterator *iterator, struct str *key, struct json *value);

/* Appends canonical text: no white space, object keys sorted by bytes, shortest round-trip numbers,
 * only the escapes that RFC 8259 demands. Errors as buf_append(). */
MUST_CHECK int json_write_canonical(struct json value, struct buf *out);

/* Appends a quoted, escaped string. text must be UTF-8. */
MUST_CHECK int json_write_text(struct buf *out, struct str text);

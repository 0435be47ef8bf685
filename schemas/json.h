/*
 * JSON in: simdjson behind C, with the limits of untrusted input. JSON out: canonical text.
 *
 * A json_parser is reused from document to document and used by one thread. Values borrow from the
 * parser: valid until its next parse. Text values are unescaped UTF-8, and may hold U+0000.
 */
#pragma once

#include "schemas/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_DEPTH_MAX 64
#define JSON_KEYS_MAX 1024
#define JSON_TEXT_SIZE_MAX ((size_t)64 << 20) /* of one document */
#define JSON_DOUBLE_SIZE_MAX 32
#define JSON_DECIMAL_DIGITS_MAX 17 /* that tell of a double. Source: DBL_DECIMAL_DIG */

struct json_parser;
/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int json_parser_new(struct json_parser **out);
/* Accepts NULL inside, leaves NULL. */
void json_parser_free(struct json_parser **parser);

/* Numbers are the characters by which simdjson's tape marks them. */
enum json_kind {
    JSON_NULL = 'n',
    JSON_BOOL = 't',
    JSON_INT = 'l',    /* fits int64 */
    JSON_DOUBLE = 'd', /* has a point or an exponent: the nearest double */
    JSON_TEXT = '"',
    JSON_ARRAY = '[',
    JSON_OBJECT = '{',
};

#define JSON_TEXT_PADDING 16 /* bytes behind the start of any text or key that can be read */

/* simdjson's tape but for texts: a word is a kind character (top 8 bits) and a payload. Containers
 * carry the index behind their end (low 32 bits) and a count that saturates (24 bits); texts an
 * offset into `texts` (low 32 bits) and their size (24 bits), or JSON_SIZE_BEFORE and then the size
 * in the 4 bytes before them. Source: simdjson, doc/tape.md. */
#define JSON_SIZE_BEFORE 0xFFFFFF

struct json_tape {
    const uint64_t *words;
    const char *texts; /* the document itself, or what simdjson unescaped */
    bool escapes;      /* the document has a \ somewhere; without, no text needs an escape */
    bool escapes_nul;  /* the document has \u0000 somewhere */
};

/* A value type: a place in the parser's tape. */
struct json {
    const struct json_tape *tape;
    uint64_t at;
};

/* Parses exactly one document (white space around it and a leading byte order mark are allowed).
 *
 * No number is rounded. An integer fits int64. A decimal has at most JSON_DECIMAL_DIGITS_MAX digits
 * that count (zeros before the first and behind the last do not), and the nearest double, rounded
 * to as many digits, is that decimal again. So whatever prints doubles is understood, in the
 * shortest form or in 17 digits (0.10000000000000001 is kept as 0.1, the same double), and so is
 * every decimal of up to 15 digits between 1e-307 and 1e308; but 9007199254740993.0 and 1e-400 are
 * refused.
 *
 * Errors: ERR_EMPTY, ERR_JSON, ERR_UTF8 (also lone surrogates), ERR_NUMBER_RANGE (such numbers,
 * 1e400, NaN), ERR_DEPTH, ERR_KEYS (more than JSON_KEYS_MAX in one
 * object), ERR_JSON also for a key that stands twice in one object, ERR_TOO_LARGE, ERR_NO_MEMORY.
 */
MUST_CHECK int json_parse(struct json_parser *parser, struct str text, struct json *out);

/* The same but for ERR_DEPTH, ERR_KEYS and double keys, which are left to what reads all of the
 * value: event_json_read() and json_write_canonical() find them themselves. Saves a pass over the
 * keys. */
MUST_CHECK int json_parse_unchecked(struct json_parser *parser, struct str text, struct json *out);

#define JSON_INPUT_PADDING 64 /* Source: simdjson, SIMDJSON_PADDING */

/* json_parse_unchecked() in place: JSON_INPUT_PADDING bytes behind the text must be readable,
 * whatever they hold, and the text must stay as long as the values are used. Saves its copy. */
MUST_CHECK int json_parse_padded(struct json_parser *parser, struct str text, struct json *out);

/* json_parse() in place, likewise. */
MUST_CHECK int json_parse_padded_checked(
    struct json_parser *parser, struct str text, struct json *out);

static inline uint64_t json_word_(struct json value)
{
    return value.tape->words[value.at];
}

static inline enum json_kind json_kind(struct json value)
{
    uint64_t mark = json_word_(value) >> 56;
    return (enum json_kind)(mark == 'f' ? 't' : mark);
}

/* Of JSON_BOOL. */
static inline bool json_bool(struct json value)
{
    return json_word_(value) >> 56 == 't';
}

/* Of JSON_INT. */
static inline int64_t json_int(struct json value)
{
    return (int64_t)value.tape->words[value.at + 1];
}

/* Of JSON_DOUBLE. */
static inline double json_double(struct json value)
{
    double number;
    memcpy(&number, &value.tape->words[value.at + 1], sizeof(number));
    return number;
}

/* Of JSON_TEXT. */
static inline struct str json_text(struct json value)
{
    uint64_t word = json_word_(value);
    const char *text = value.tape->texts + (uint32_t)word;
    uint32_t size = (uint32_t)(word >> 32) & JSON_SIZE_BEFORE;
    if (__builtin_expect(size == JSON_SIZE_BEFORE, 0))
        memcpy(&size, text - sizeof(size), sizeof(size));
    return str_make(text, size);
}

/* True for [] and {}. */
static inline bool json_is_empty(struct json container)
{
    return (uint32_t)json_word_(container) == container.at + 2;
}

/* Elements of an array, members of an object; 0 of anything else. */
size_t json_count(struct json value);

/* The member named `key`; false when the object has none (or value is no object). */
bool json_get(struct json object, struct str key, struct json *out);

/* True when a text or key in the value holds U+0000. Free for documents without \u0000. */
bool json_holds_nul(struct json value);

/* The place behind a value. */
static inline uint64_t json_behind_(struct json value)
{
    uint64_t word = json_word_(value);
    uint64_t mark = word >> 56;
    if (__builtin_expect(mark == '"', 1))
        return value.at + 1;
    if (mark == '{' || mark == '[')
        return (uint32_t)word;
    return value.at + (mark == 'l' || mark == 'd' ? 2 : 1);
}

/* Goes through a container: json_iterate(), then json_next() while it returns true. For an array,
 * key is empty. In source order. A scalar has no elements. */
struct json_iterator {
    const struct json_tape *tape;
    uint64_t at;
    uint64_t end;
    bool object;
};

static inline void json_iterate(struct json container, struct json_iterator *iterator)
{
    uint64_t word = json_word_(container);
    iterator->tape = container.tape;
    iterator->at = container.at + 1;
    iterator->object = word >> 56 == '{';
    iterator->end = iterator->object || word >> 56 == '[' ? (uint32_t)word - 1 : iterator->at;
}

static inline bool json_next(struct json_iterator *iterator, struct str *key, struct json *value)
{
    if (iterator->at >= iterator->end)
        return false;
    struct json here = {iterator->tape, iterator->at};
    *key = str_make(NULL, 0);
    if (iterator->object) {
        *key = json_text(here);
        here.at++;
    }
    *value = here;
    iterator->at = json_behind_(here);
    return true;
}

/* Appends canonical text: no white space, object keys sorted by bytes, shortest round-trip numbers
 * (a double always has a point or an exponent, so that it stays one), only the escapes that RFC
 * 8259 demands. Parsing the text and writing it again gives the same bytes. Errors as buf_append().
 */
MUST_CHECK int json_write_canonical(struct json value, struct buf *out);

/* Appends a quoted, escaped string. text must be UTF-8. Errors as buf_append(). */
MUST_CHECK int json_write_text(struct buf *out, struct str text);

/* Appends an integer. Errors as buf_append(). */
MUST_CHECK int json_write_int(struct buf *out, int64_t value);

/* Whether bytes are UTF-8 (RFC 3629: no surrogates, nothing over U+10FFFF). Threads: any. */
bool json_utf8_valid(struct str text);

/* Short text that json_parse() reads back to the same finite double, not NUL-terminated. Returns
 * the size. */
size_t json_format_double(double value, char out[JSON_DOUBLE_SIZE_MAX]);

#ifdef __cplusplus
}
#endif

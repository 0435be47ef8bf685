/*
 * The one list of errors. A fallible function returns 0, a negative ERR_* from here (forwarded
 * unchanged), or a documented positive outcome of its own. Every error has a class: only the worker
 * and sink loops act on it.
 */
#pragma once

#include <stddef.h>

enum error_class {
    ERROR_CLASS_RETRY,  /* the same call may succeed later */
    ERROR_CLASS_REJECT, /* this input is at fault: to `rejected` with the error's name */
    ERROR_CLASS_FATAL,  /* stop: the process or its environment is at fault */
};

/*
 * X(symbol, number, class, name, text): name is what replies, `rejected` rows and logs carry.
 * Numbers never change; new ones go to the end of their block.
 */
#define ERROR_LIST(X)                                                                              \
    X(ERR_NO_MEMORY, -1, RETRY, "no_memory", "out of memory")                                      \
    X(ERR_IO, -2, FATAL, "io", "input or output failed")                                           \
    X(ERR_FULL, -3, RETRY, "full", "a queue or the disk is full")                                  \
    X(ERR_AGAIN, -4, RETRY, "again", "not now")                                                    \
    X(ERR_STATE, -5, FATAL, "state", "stored state is damaged or of another version")              \
    X(ERR_LOCKED, -6, FATAL, "locked", "another process owns this data directory")                 \
    X(ERR_CONFIG, -7, FATAL, "config", "configuration is wrong")                                   \
    X(ERR_NOT_FOUND, -8, FATAL, "not_found", "no such thing")                                      \
    X(ERR_KAFKA, -9, FATAL, "kafka", "Kafka said no")                                              \
    X(ERR_FENCED, -10, FATAL, "fenced", "another worker has taken over")                           \
    X(ERR_ABORT, -11, RETRY, "abort", "the transaction was aborted")                               \
    X(ERR_DATABASE, -12, FATAL, "database", "the database said no")                                \
    X(ERR_UNSUPPORTED, -13, FATAL, "unsupported", "not supported here")                            \
    X(ERR_INTERNAL, -14, FATAL, "internal", "a defect of tabiji")                                  \
    X(ERR_MEANING, -15, FATAL, "meaning", "the state was built with other settings")               \
    X(ERR_NEWER, -16, FATAL, "newer", "written by a build whose schemas this one does not know")   \
    X(ERR_OLDER, -17, FATAL, "older", "written by an older build, not yet brought up to this one") \
    X(ERR_AUTH, -18, FATAL, "auth", "the server does not accept who asks, or is not trusted")      \
    X(ERR_REPLY, -19, FATAL, "bad_reply", "the server's reply is not one of its kind")             \
    X(ERR_UNREACHABLE, -20, RETRY, "unreachable", "the server does not answer")                    \
    X(ERR_TOPIC_ANEW, -21, FATAL, "topic_anew", "a topic was deleted and made anew")               \
    X(ERR_AVRO, -30, REJECT, "bad_avro", "bytes are not this Avro record")                         \
    X(ERR_SCHEMA_UNKNOWN, -31, REJECT, "schema_unknown", "no such schema")                         \
    X(ERR_SCHEMA_VIOLATION, -32, REJECT, "schema_violation", "does not fit the schema")            \
    X(ERR_JSON, -33, REJECT, "bad_json", "not JSON")                                               \
    X(ERR_UTF8, -34, REJECT, "bad_utf8", "not UTF-8")                                              \
    X(ERR_NUMBER_RANGE, -35, REJECT, "num_range", "number out of range")                           \
    X(ERR_NUL_IN_TEXT, -36, REJECT, "nul_in_text", "text holds U+0000")                            \
    X(ERR_DEPTH, -37, REJECT, "too_deep", "nested too deep")                                       \
    X(ERR_KEYS, -38, REJECT, "too_many_keys", "too many keys in one object")                       \
    X(ERR_UNKNOWN_FIELD, -39, REJECT, "unknown_field", "no such field")                            \
    X(ERR_MISSING_FIELD, -40, REJECT, "missing_field", "a required field is missing")              \
    X(ERR_FIELD_TYPE, -41, REJECT, "bad_type", "the field has another type")                       \
    X(ERR_TIME, -42, REJECT, "bad_time", "not an RFC 3339 time or epoch milliseconds")             \
    X(ERR_MONEY, -43, REJECT, "bad_money", "not a decimal amount")                                 \
    X(ERR_MONEY_PRECISION, -44, REJECT, "money_precision", "more digits than the currency has")    \
    X(ERR_CURRENCY, -45, REJECT, "bad_currency", "not an ISO 4217 currency")                       \
    X(ERR_EVENT_ID, -46, REJECT, "bad_id", "event id is missing, empty or over 100 bytes")         \
    X(ERR_NO_IDENTIFIER, -47, REJECT, "no_identifier", "no usable identifier")                     \
    X(ERR_NAMESPACE, -48, REJECT, "unknown_namespace", "no such identifier namespace")             \
    X(ERR_EVENT_TYPE, -49, REJECT, "bad_event_type", "not an event type")                          \
    X(ERR_TOO_LARGE, -50, REJECT, "too_large", "larger than the limit")                            \
    X(ERR_EMPTY, -51, REJECT, "empty", "nothing there")                                            \
    X(ERR_ID_CONFLICT, -52, REJECT, "id_conflict", "an earlier event has this id and other facts") \
    X(ERR_GZIP, -53, REJECT, "bad_gzip", "compressed body is damaged")                             \
    X(ERR_ENCODING, -54, REJECT, "bad_encoding", "content encoding is not supported")              \
    X(ERR_TOO_MANY, -55, REJECT, "too_many", "more elements than the limit")                       \
    X(ERR_ROW, -56, REJECT, "bad_row", "row does not fit the header or the mapping")               \
    X(ERR_VALUE, -57, REJECT, "bad_value", "value is not allowed here")                            \
    X(ERR_TOO_FEW, -58, REJECT, "too_few", "fewer elements than are needed")                       \
    X(ERR_SCHEMA_INCOMPATIBLE, -59, REJECT, "schema_incompatible",                                 \
        "its schema cannot be read as this record")                                                \
    X(ERR_SCHEMA_IN_HEADER, -60, REJECT, "schema_in_header",                                       \
        "the schema's id is in a header, not before the value")                                    \
    X(ERR_CRASHES, -61, REJECT, "crashes", "processing it ended the worker three times")

enum error_code {
#define X(symbol, number, class, name, text) symbol = (number),
    ERROR_LIST(X)
#undef X
};

/* Class of an ERR_*; FATAL for a number that is none. Threads: any. */
enum error_class error_class(int error);

/* Stable short name ("bad_json"), never NULL; "unknown" for a number that is none. Threads: any. */
const char *error_name(int error);

/* English sentence for people, never NULL. Threads: any. */
const char *error_text(int error);

/*
 * One request as a protocol sees it: bytes in; records, a status and a reply out. No sockets, no
 * clock: protocols are functions of this struct.
 */
#pragma once

#include "ingest/collector/intake.h"
#include "ingest/collector/recent.h"
#include "ingest/collector/sources.h"

enum reply_form {
    REPLY_NATIVE,  /* {"code":...,"message":...,"hint":...} */
    REPLY_SEGMENT, /* {"success":false,"code":...,"message":...} */
    REPLY_TRACKER, /* as native, but 404, 405, 413 and 415 are 422, which trackers do not repeat */
};

/* A parameter of the query, or a header of the reply. */
struct exchange_pair {
    struct str name;
    struct str value;
};

#define EXCHANGE_HEADERS_MAX 4

struct exchange {
    /* Set by the server. Slices are valid until the reply is sent. */
    struct str call;       /* what the route stands for: "track", "validate" */
    struct str rest;       /* of the path behind a route's prefix, unescaped; else empty */
    struct str target;     /* path and query as they were sent, for signatures over the address */
    bool get;              /* GET or HEAD: there is no body */
    bool head;             /* HEAD: what is asked for is not shown */
    struct str body;       /* inflated */
    const char *padding;   /* where JSON_INPUT_PADDING bytes can be read; NULL: not known */
    struct str body_raw;   /* as it was sent, for signatures over it */
    bool body_lines;       /* its Content-Type says NDJSON */
    struct str header_key; /* write key of Authorization or the query; empty: none */
    struct str origin;     /* Origin header */
    struct str user_agent; /* of the request, likewise address: the client's own only if browser */
    struct str address;
    struct str traceparent;
    const struct exchange_pair *query; /* in the order in which they were sent, unescaped, UTF-8 */
    size_t query_count;
    struct str (*header)(const void *context, const char *name); /* see exchange_header() */
    const void *header_context;
    void (*draw)(uint8_t bytes[16]); /* random ones, for exchange_uuid() */
    bool browser;             /* the client is a browser, not some server that passes events on */
    int64_t now_micros;       /* wall clock */
    int64_t monotonic_micros; /* for rates */
    size_t events_max;
    struct sources *sources;
    const struct door_config *door;
    struct json_parser *parser;
    struct arena *arena;
    struct recent *recent; /* NULL: nothing is remembered */
    struct notes *notes;   /* what becomes of each event; NULL: nobody watches */

    /* Set by the protocol. */
    const struct source *source; /* whose key it was; NULL: unknown */
    struct intake intake;        /* what it holds is appended, unless the status is 5xx */
    uint64_t *marks; /* of events without a login: remembered when they are durable; in the arena */
    size_t marks_count;
    int status;  /* HTTP */
    int refusal; /* of a webhook's sender: enum metric_refusal + 1; 0: none */
    int retry_after_seconds;
    size_t limited;         /* events that were refused as too many for the source's rate */
    struct buf reply;       /* the owner of the exchange frees it */
    const char *media_type; /* of the reply (static); NULL: application/json */
    struct exchange_pair headers[EXCHANGE_HEADERS_MAX]; /* more of the reply; NUL-terminated */
    size_t headers_count;
};

/* The value of a request's header, empty when it is absent, too long or not UTF-8. */
struct str exchange_header(const struct exchange *exchange, const char *name);

/* json_parse() of the body; not copied where the padding is behind it: it stays as long as values
 * are used. */
MUST_CHECK int exchange_parse(const struct exchange *exchange, struct json *out);

/* The first parameter of the query by this name; empty: none, or an empty one. */
struct str exchange_query(const struct exchange *exchange, struct str name);

/* The first cookie by this name, without the quotes it may stand in; likewise empty. Source: RFC
 * 6265, 4.2.1 (and 5.4: more specific paths come first). */
struct str exchange_cookie(const struct exchange *exchange, struct str name);

/* A random UUID (version 4) in small letters, of 36. Errors: ERR_NO_MEMORY. Source: RFC 9562. */
MUST_CHECK int exchange_uuid(struct exchange *exchange, struct str *out);

/* A UUID of a version of these bytes, likewise; in the arena. */
MUST_CHECK int exchange_uuid_write(
    struct arena *arena, const uint8_t random[16], unsigned version, struct str *out);

/* Adds a header to the reply, a cookie for example; copied. name: static. Errors: ERR_NO_MEMORY,
 * ERR_TOO_MANY over EXCHANGE_HEADERS_MAX, ERR_VALUE for a value with control characters. */
MUST_CHECK int exchange_add_header(struct exchange *exchange, const char *name, struct str value);

/* Makes the reply 200 with a transparent GIF of one pixel, 43 bytes, which nobody stores. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int exchange_pixel(struct exchange *exchange);

/* A protocol's entry: reads the body, fills intake, status and reply. Errors: ERR_NO_MEMORY; then
 * the exchange is answered 503. Threads: any, one exchange each. */
typedef int (*exchange_fn)(struct exchange *exchange);

/* Finds and checks the source: the header's key, else the body's, else the open source. 0, or the
 * exchange is answered (401, 403) and EXCHANGE_ANSWERED is returned. Errors: ERR_NO_MEMORY. */
#define EXCHANGE_ANSWERED 1
MUST_CHECK int exchange_authorise(
    struct exchange *exchange, struct str body_key, unsigned protocol, enum reply_form form);

/* The same of a client that sends no key: without one the source of its application id is meant,
 * then the open one. */
MUST_CHECK int exchange_authorise_app(struct exchange *exchange, struct str key, struct str app_id,
    unsigned protocol, enum reply_form form);

/* Answers 429 when the source has sent too much; as exchange_authorise(). Leave dry runs out. */
MUST_CHECK int exchange_check_rate(struct exchange *exchange, size_t events, enum reply_form form);

/* Makes the intake one of the source that is authorised; it has no room yet. */
void exchange_prepare(struct exchange *exchange, struct str stage, bool dry_run);

/* The same, with room for `events`, which count against the source's rate, unless dry_run. 0, or
 * the exchange is answered (429, or 413 over events_max) as exchange_authorise(). Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int exchange_begin(
    struct exchange *exchange, struct str stage, size_t events, bool dry_run, enum reply_form form);

/* Makes the reply an error: status of the error, its name and text, and a hint unless empty; what
 * headers were added are dropped. Returns EXCHANGE_ANSWERED. Errors: ERR_NO_MEMORY. */
MUST_CHECK int exchange_fail(
    struct exchange *exchange, int error, struct str hint, enum reply_form form);

/* The same with a status, code and message of HTTP's own (401, 404, ...). */
MUST_CHECK int exchange_refuse(struct exchange *exchange, int status, const char *code,
    const char *message, enum reply_form form);

/* HTTP status that an ERR_* of a whole request is answered with. */
int exchange_status(int error);

/*
 * One request as a protocol sees it: bytes in; records, a status and a reply out. No sockets, no
 * clock: protocols are functions of this struct.
 */
#pragma once

#include "ingest/collector/intake.h"
#include "ingest/collector/sources.h"

enum reply_form {
    REPLY_NATIVE,  /* {"code":...,"message":...,"hint":...} */
    REPLY_SEGMENT, /* {"success":false,"code":...,"message":...} */
};

struct exchange {
    /* Set by the server. Slices are valid until the reply is sent. */
    struct str call;       /* what the route stands for: "track", "validate" */
    struct str body;       /* inflated */
    bool body_lines;       /* its Content-Type says NDJSON */
    struct str header_key; /* write key of Authorization or the query; empty: none */
    struct str origin;     /* Origin header */
    struct str user_agent; /* of the request, likewise address: the client's own only if browser */
    struct str address;
    struct str traceparent;
    bool browser;             /* the client is a browser, not some server that passes events on */
    int64_t now_micros;       /* wall clock */
    int64_t monotonic_micros; /* for rates */
    size_t events_max;
    struct sources *sources;
    const struct door_config *door;
    struct json_parser *parser;
    struct arena *arena;

    /* Set by the protocol. */
    const struct source *source; /* whose key it was; NULL: unknown */
    struct intake intake;
    int status; /* HTTP */
    int retry_after_seconds;
    struct buf reply; /* JSON; the owner of the exchange frees it */
};

/* A protocol's entry: reads the body, fills intake, status and reply. Errors: ERR_NO_MEMORY; then
 * the exchange is answered 503. Threads: any, one exchange each. */
typedef int (*exchange_fn)(struct exchange *exchange);

/* Finds and checks the source: the header's key, else the body's, else the open source. 0, or the
 * exchange is answered (401, 403) and EXCHANGE_ANSWERED is returned. Errors: ERR_NO_MEMORY. */
#define EXCHANGE_ANSWERED 1
MUST_CHECK int exchange_authorise(
    struct exchange *exchange, struct str body_key, unsigned protocol, enum reply_form form);

/* Answers 429 when the source has sent too much; as exchange_authorise(). Leave dry runs out. */
MUST_CHECK int exchange_check_rate(struct exchange *exchange, size_t events, enum reply_form form);

/* Makes the reply an error: status of the error, its name and text, and a hint unless empty.
 * Returns EXCHANGE_ANSWERED. Errors: ERR_NO_MEMORY. */
MUST_CHECK int exchange_fail(
    struct exchange *exchange, int error, struct str hint, enum reply_form form);

/* The same with a status, code and message of HTTP's own (401, 404, ...). */
MUST_CHECK int exchange_refuse(struct exchange *exchange, int status, const char *code,
    const char *message, enum reply_form form);

/* HTTP status that an ERR_* of a whole request is answered with. */
int exchange_status(int error);

/*
 * The fields of a Snowplow tracker's event to one touchpoint.
 */
#pragma once

#include "ingest/collector/protocol/snowplow_fields.h"
#include "ingest/door.h"

/* Parsers of what is JSON within a field; one for the event, one for what goes with it. */
#define SNOWPLOW_PARSERS 2

struct snowplow_message {
    const struct snowplow_fields *fields;
    struct json_parser *parsers[SNOWPLOW_PARSERS];
    struct str id;       /* of an event that has none; empty: it must have one */
    struct str currency; /* of amounts that name none */
    int64_t now_micros;  /* when it was received */
    bool anonymous;      /* nothing of who sent the request may be kept */
    bool browser;        /* a browser sent it: it has the user agent and the address */
    struct str user_agent;
    struct str address;
    struct str network_user; /* of the request's cookie; empty: none */
    const uint8_t *secret;   /* TENANT_KEY_SIZE: what ids are made with */
    struct arena *arena;
};

/* Fills *out: everything but source and adapter_version. Slices live in the arena, the fields or
 * the parsers. Errors: REJECT class with *problem set; ERR_NO_MEMORY. Threads: one a parser. */
MUST_CHECK int snowplow_read(
    const struct snowplow_message *message, struct touchpoint *out, struct event_problem *problem);

/* The network user id of an event: of its fields, of the cookie, else a new one. That is a function
 * of what the event says of its visitor (duid, else sid, else its own id), so that an event which
 * is sent again, with the cookie or without, is the same event. Empty when anonymous. Errors:
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int snowplow_network_user(const struct snowplow_message *message, struct str *out);

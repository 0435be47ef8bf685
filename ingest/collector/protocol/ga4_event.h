/*
 * One event of a Measurement Protocol request to one touchpoint.
 */
#pragma once

#include "ingest/door.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

struct ga4_message {
    struct json body;  /* an object */
    struct json event; /* of its events */
    struct str id;
    struct str currency; /* of amounts that name none */
    bool browser;        /* the request came from one, with this user agent and address */
    struct str user_agent;
    struct str address;
    const struct identifier_config *identifiers; /* what hashes are made pseudonyms with */
    struct arena *arena;
};

/* True when its body is the same each time it is sent: it says when the event was, or which
 * transaction it is about. */
bool ga4_is_told_apart(struct json body, struct json event);

/* Fills *out: everything but source and adapter_version. Slices live in the arena or the parser;
 * a problem's pointer begins at the body. Errors: REJECT class with *problem set; ERR_NO_MEMORY.
 * Threads: any. */
MUST_CHECK int ga4_read(
    const struct ga4_message *message, struct touchpoint *out, struct event_problem *problem);

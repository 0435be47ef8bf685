/*
 * One Segment message, or one of Rudder's, which speaks the same and adds merge, to one touchpoint.
 */
#pragma once

#include "ingest/config/config.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

enum segment_call {
    SEGMENT_TRACK,
    SEGMENT_PAGE,
    SEGMENT_SCREEN,
    SEGMENT_IDENTIFY,
    SEGMENT_GROUP,
    SEGMENT_ALIAS,
    SEGMENT_MERGE, /* Rudder's alone */
    SEGMENT_CALL_COUNT,
};

/* "track" ... "merge", or -1. */
int segment_call_of(struct str name);

struct segment_message {
    struct json item;     /* an object */
    struct json envelope; /* what the batch around it says; has_envelope */
    bool has_envelope;
    enum segment_call call;
    struct str id;       /* of a message that has none; empty: it must have one */
    struct str currency; /* of amounts that name none */
    enum config_event_time event_time;
    int64_t now_micros; /* when it was received */
    bool browser;       /* the request came from one, with this user agent and address */
    struct str user_agent;
    struct str address;
    struct arena *arena;
};

/* Fills *out: everything but source and adapter_version; protocol is Rudder where its library, its
 * channel or its merge speaks, else Segment. Slices live in the arena or the
 * parser. Errors: REJECT class with *problem set; ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int segment_read(
    const struct segment_message *message, struct touchpoint *out, struct event_problem *problem);

/* Whose the message is, by the same signs, also where it cannot be read: item may be anything. */
enum protocol segment_protocol(const struct segment_message *message);

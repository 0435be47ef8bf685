/*
 * Native JSON of a touchpoint, both ways (EVENT, "Native JSON").
 *
 * Reading is strict: an unknown key is an error with the nearest known name as hint. Writing is
 * canonical, and exactly invertible: event_json_read(event_json_write(x)) == x for every touchpoint
 * that reading can yield, byte for byte in Avro.
 *
 * The written form has the keys of the native form plus those that only the pipeline sets (event_key,
 * source, protocol, adapter_version, received_at, time_quality); doors refuse the latter.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"
#include "schemas/json.h"
#include "schemas/nearest.h"

/* What was wrong, for a reply. Slices are static or in the arena. */
struct event_problem {
    int error;          /* ERR_*; error_name() of it is the reply's code */
    struct str pointer; /* JSON pointer, "/order/currency" */
    struct str hint;    /* "did you mean \"order\"?"; empty for none */
};

/* Reads a native event. Sets everything that the client can say; event_key, source, received_at stay
 * zero; identifiers as sent (not yet normalised), order of ids by namespace then as sent. When "time" is absent:
 * occurred_at 0 and time_quality unknown (the door then takes its own time).
 * trusted: also accept "channel" and the pipeline's own keys. Slices of *out live in
 * the arena or the parser. Errors: REJECT class with *problem set; ERR_NO_MEMORY. */
MUST_CHECK int event_json_read(struct json value, bool trusted, struct arena *arena,
    struct touchpoint *out, struct event_problem *problem);

/* Appends canonical JSON. Errors as buf_append(). */
MUST_CHECK int event_json_write(const struct touchpoint *event, struct buf *out);

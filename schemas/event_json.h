/*
 * Native JSON of a touchpoint, both ways (EVENT, "Native JSON").
 *
 *     {"id": "0192...", "type": "order_completed", "time": "2026-11-20T10:15:00.123+09:00",
 *      "ids": {"phone": "03-1234-5678", "login": ["u-77"]}, "consent": {"analytics": true},
 *      "order": {"order_id": "A-1", "revenue": "12980", "currency": "JPY", "items": [{"sku":
 * "S"}]}, "page": {"url": "https://...", "referrer": "https://..."}, "properties": {"anything": 1}}
 *
 * Reading is strict: an unknown key is an error with the nearest known name as hint. null says
 * nothing. Writing is canonical, and exactly invertible: event_json_read(event_json_write(x),
 * trusted) == x for every touchpoint that reading can yield, byte for byte in Avro.
 *
 * The written form has the keys of the native form plus those that only the pipeline sets
 * (event_key, source, protocol, adapter_version, received_at, time_quality, channel, authorities);
 * to an untrusted reader these are unknown (of the channel it is told who may say it). All names:
 * schemas/event_fields.c.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/event.h"
#include "schemas/json.h"
#include "schemas/nearest.h"

/* What was wrong, for a reply. Slices are static or in the arena. */
struct event_problem {
    int error;          /* ERR_*; error_name() of it is the reply's code */
    struct str pointer; /* JSON pointer (RFC 6901), "/order/currency" */
    struct str hint;    /* "did you mean \"order\"?"; empty for none */
};

/* Reads a native event. Sets everything that the client can say; event_key, source, received_at
 * stay zero; identifiers as sent (not yet normalised), sorted by namespace, then as sent; event_id
 * empty when absent. When "time" is absent: occurred_at 0 and time_quality unknown (the door then
 * takes its own time). page.url and page.referrer are split; what the page says itself stands.
 * Money is a decimal string or an integer in major units, never a JSON number with a point.
 *
 * trusted: also accept the pipeline's own keys. Slices of *out live in the arena or the parser.
 * value may come from json_parse_unchecked(): a key that stands twice is found here too.
 * Not checked here but at the door: that there is an identifier, namespaces, sizes of values.
 * Errors: REJECT class with *problem set; ERR_NO_MEMORY. *out is unspecified then. */
MUST_CHECK int event_json_read(struct json value, bool trusted, struct arena *arena,
    struct touchpoint *out, struct event_problem *problem);

/* Appends canonical JSON: keys sorted, what has its standard value left out. Errors as
 * buf_append(). */
MUST_CHECK int event_json_write(const struct touchpoint *event, struct buf *out);

/*
 * What every way in does with a touchpoint before it is appended: identifiers, time, limits, key, bytes.
 */
#pragma once

#include "ingest/normalise/identifier.h"
#include "ingest/stream/stream.h"
#include "schemas/event_json.h"

struct door_config {
    struct identifier_config identifiers;
    int64_t future_max_micros; /* default 24 h: beyond it an event time is suspect */
    int64_t past_min_micros;   /* default 2000-01-01: before it an event time is suspect */
};

void door_config_default(struct door_config *config);

/* Completes *event (source, protocol, adapter_version, event_id, type must be set): normalises identifiers,
 * received_at := now_micros, occurred_at := now where the client said none (time_quality server), marks absurd times suspect (kept as said), computes
 * event_key, checks every limit of EVENT, refuses U+0000, encodes. *out->key is the first node's id; slices live in the arena.
 * Errors: REJECT class with *problem set; ERR_NO_MEMORY. Pure: the clock is an argument. Threads: any. */
MUST_CHECK int door_accept(const struct door_config *config, struct touchpoint *event, int64_t now_micros,
    struct arena *arena, struct append_record *out, struct event_problem *problem);

/* Where and what, for a rejection. */
struct door_rejection {
    struct str source;
    struct str stage; /* native, segment, import, ... */
    struct str payload;
    struct str event_id;
    struct str file;
    int64_t line;
};

/* Makes the record for TOPIC_REJECTED. Errors: ERR_NO_MEMORY. */
MUST_CHECK int door_reject(const struct door_rejection *rejection, const struct event_problem *problem,
    int64_t now_micros, struct arena *arena, struct append_record *out);

/*
 * What a collector's answer says of a batch. Source: ingest/collector/openapi.json, /v1/events.
 */
#pragma once

#include "ingest/producer/transport.h"
#include "schemas/arena.h"
#include "schemas/json.h"

struct producer_http_reply {
    int status;
    struct str body;
};

/* Sets all of *outcome but body_size and retry_after_ms, which is a header's. A 200 whose counts
 * are not those of the batch is none of its own: which of its events were taken nobody knows. What
 * cannot be understood is PRODUCER_AGAIN: sent again, it counts once. Slices live in the parser and
 * the arena. */
void producer_http_reply_read(struct json_parser *parser, struct arena *arena,
    const struct producer_batch *batch, const struct producer_http_reply *answer,
    struct producer_outcome *outcome);

/*
 * What a collector's answer says of a batch. Source: ingest/collector/openapi.json, /v1/events.
 */
#pragma once

#include "ingest/producer/transport.h"
#include "schemas/arena.h"
#include "schemas/json.h"

/* Sets all of *outcome but body_size. status: of HTTP; retry_after_ms: what the header said.
 * What cannot be understood is PRODUCER_AGAIN: sent again, it counts once. Slices live in the
 * parser and the arena. */
void producer_http_reply_read(struct json_parser *parser, struct arena *arena, int status,
    struct str body, struct producer_outcome *outcome);

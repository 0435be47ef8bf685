/*
 * Batches by HTTP to a collector: POST /v1/events, a line of JSON an event, over kept connections.
 * Redirects are not followed, no proxy of the environment is used, TLS is 1.2 or later and the
 * server is verified.
 */
#pragma once

#include "ingest/producer/settings.h"
#include "ingest/producer/transport.h"

/* The settings are borrowed until it is closed, but for the key, which is copied. Errors:
 * ERR_NO_MEMORY; ERR_CONFIG: libcurl refuses an option. */
MUST_CHECK int producer_http_new(const struct producer_settings *settings,
    const struct tabiji_allocator *memory, producer_done_fn done, void *done_context,
    struct producer_transport **out);

/*
 * An HTTP listener for those who watch a process: /metrics, /healthz, /readyz. The collector has
 * these at its own address.
 */
#pragma once

#include "ingest/metrics/metrics.h"

struct metrics_server;

/* Listens on "ADDRESS:PORT". ready(context), from any thread, gives what /readyz answers 503 with,
 * or NULL: ready. ready may be NULL. All is borrowed until metrics_server_stop().
 * Errors: ERR_CONFIG (no address), ERR_IO (cannot listen; errno says why), ERR_NO_MEMORY. */
MUST_CHECK int metrics_server_start(const char *listen, struct metrics *metrics,
    const char *(*ready)(void *context), void *context, struct metrics_server **out);

/* The port that it listens on. */
int metrics_server_port(const struct metrics_server *server);

/* Accepts NULL inside, leaves NULL. */
void metrics_server_stop(struct metrics_server **server);

/*
 * The demonstration's customers: generated events, sent through the real collector by HTTP.
 */
#pragma once

#include "deploy/generator.h"
#include "ingest/config/config.h"

/* Adds a source with a write key for each sender of the generator. Errors: those of config_set().
 */
MUST_CHECK int demo_configure(struct config *config, struct config_problem *problem);

struct demo_counts {
    int64_t accepted;
    int64_t duplicates;
    int64_t rejected;
};

/* Posts every event in order of time to http://127.0.0.1:port, in batches a source; on_sent (may be
 * NULL) is called as they go. Errors: ERR_AGAIN, ERR_IO (the collector does not answer, or not with
 * 200), ERR_NO_MEMORY. */
typedef void demo_sent_fn(void *context, int64_t sent);
MUST_CHECK int demo_send(const struct generator *generator, int port, demo_sent_fn *on_sent,
    void *context, struct demo_counts *counts);

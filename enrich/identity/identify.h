/*
 * The stage that enriches events and decides which person each belongs to.
 *
 * Inputs: events (from the log) and identity (mail between owners). Outputs: identity, journey,
 * rejected; the table person_of is published. An event whose signature its first node knows costs
 * one look-up and sends no identity mail.
 *
 * What cannot be read, names no configured namespace, or is mail that no owner sends goes to
 * rejected with its payload (stage "identify").
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"

/* Largest enriched touchpoint. */
#define IDENTIFY_EVENT_SIZE_MAX (2 * EVENT_SIZE_MAX)

struct identify_config {
    const struct namespace_table *namespaces;
    uint8_t tenant_key[32]; /* of person ids */
    /* Enriches the event in place and says its channel; a pure function of the event. Errors of
     * class REJECT reject the event. NULL: none. */
    int (*enrich)(
        void *context, struct touchpoint *event, struct arena *arena, struct str *channel);
    void *enrich_context;
    size_t cache_bytes_max; /* nodes kept in memory between batches, at most 16 MiB; 0: so much */
};

/* Fills *out; config outlives it. Threads: one instance each. */
void identify_stage(struct stage *out, const struct identify_config *config);

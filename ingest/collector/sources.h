/*
 * Who may send: write keys (only their SHA-256 is known), origins, rates.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/metrics/metrics.h"

struct sources;

/* A source as requests see it. */
struct source {
    struct config_source config; /* borrowed from the configuration */
    int metric;                  /* its label value */
};

/* config: outlives the sources. open_source: name of one that needs no key, or empty.
 * Errors: ERR_NO_MEMORY. */
MUST_CHECK int sources_new(const struct config_source *config, size_t count, struct str open_source,
    struct metrics *metrics, struct sources **out);
/* What sources of the same name, rate and burst have saved up goes over to the new ones: other
 * sources are no new allowance. Before threads have them. */
void sources_inherit(struct sources *sources, struct sources *old);
/* One more who lets go by sources_free(). Threads: any. */
struct sources *sources_ref(struct sources *sources);
/* Frees them when nobody else has them, then calls what sources_on_free() gave. Accepts NULL
 * inside, leaves NULL. Threads: any. */
void sources_free(struct sources **sources);
/* Called with `owned` after they are freed: the configuration is no longer borrowed. Before threads
 * have them. */
void sources_on_free(struct sources *sources, void (*release)(void *owned), void *owned);

/* The source of a write key, or NULL. now_micros (wall clock) ends keys that a rotation replaced.
 * Every stored hash is looked at, each in constant time, so that time tells nothing of a key.
 * Threads: any. */
const struct source *sources_find(
    const struct sources *sources, struct str key, int64_t now_micros);

/* The source that has this application id, or NULL. Threads: any. */
const struct source *sources_find_app(const struct sources *sources, struct str app_id);

/* The source of that name, or NULL. Threads: any. */
const struct source *sources_find_name(const struct sources *sources, struct str name);

/* The source that needs no key, or NULL. Threads: any. */
const struct source *sources_open(const struct sources *sources);

/* True when the source takes events from this web origin, or it is empty: not a browser's. An
 * allowed host that begins with "*." stands for every host below the rest. Threads: any. */
bool source_allows_origin(const struct source *source, struct str origin);

/* Takes `events` from the source's allowance: rate a second, saved up to its burst, without one for
 * SOURCE_BURST_SECONDS; a larger batch is let through by a full one and leaves a debt, which the
 * rate pays before anything else passes. Returns 0, or the seconds after which to come again.
 * now_micros: monotonic. Threads: any. */
#define SOURCE_BURST_SECONDS 10
int source_take(
    struct sources *sources, const struct source *source, size_t events, int64_t now_micros);

/*
 * What an operator may say about journeys. Source: ATTRIBUTION.
 */
#pragma once

#include "enrich/attribution/model.h"
#include "enrich/attribution/rules.h"
#include "ingest/normalise/namespace.h"

struct journey_config {
    const struct namespace_table *namespaces; /* the one that the identify stage has */
    int64_t session_timeout_micros;           /* silence that ends a session; 30 min */
    int64_t lookback_micros;                  /* 90 d */
    int64_t lookback_impression_micros;       /* 1 d */
    bool reset;                   /* a path begins behind the conversion before; default: reuse */
    bool impressions_earn_credit; /* default: no */
    struct rule_config rules;
    const struct str *conversion_types; /* order_completed, store_purchase */
    size_t conversion_types_count;      /* to JOURNEY_CONVERSION_TYPES_MAX */
    /* Events through which a lead or an opportunity is reached: it belongs to the person's newest
     * touch then, which may be the event itself. None; each to JOURNEY_CONVERSION_TYPES_MAX. */
    const struct str *lead_types;
    size_t lead_types_count;
    const struct str *opportunity_types;
    size_t opportunity_types_count;
    size_t path_touches_max; /* the newest count; 1,000; to RULE_TOUCHES_MAX */
    /* A person with more events is flagged, and journeys see the newest: at most so many, at least
     * nine tenths of it. They drop out a tenth at a time, so that appending to a long timeline does
     * not derive it anew each time. 100,000. */
    int64_t timeline_events_max;
    struct str direct_channel; /* passed over by last_non_direct; "Direct" */
    struct str store_channel;  /* of the visit that a purchase implies; "Store" */
    struct str call_channel;   /* of the call that an order implies; "Call Center" */
    /* Persons kept in memory between batches; besides them texts, half as much and at most 32 MiB.
     * 64 MiB. */
    size_t cache_bytes_max;
    /* Algorithmic ones, whose counts are kept, and rules by which conversions are credited too;
     * none. */
    const struct model *models;
    size_t models_count; /* to MODELS_CONFIGURED_MAX */
};

#define JOURNEY_CONVERSION_TYPES_MAX ((size_t)64)
#define JOURNEY_TIMELINE_EVENTS_LIMIT 1000000 /* of timeline_events_max */

/* Sets the defaults, the namespaces to the default table. Threads: any. */
void journey_config_default(struct journey_config *config);

/* Whether a conversion's credits by all rules, of the longest path, fit its record. */
bool journey_credits_fit(const struct journey_config *config);

/* A store_visited so long before makes a purchase no visit of its own, likewise a call an order;
 * events of one call closer than that are one touch. Source: ATTRIBUTION, "Touch". */
#define JOURNEY_NEAR_MICROS ((uint64_t)4 * 3600 * 1000000)

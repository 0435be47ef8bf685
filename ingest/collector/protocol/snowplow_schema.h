/*
 * Self-describing JSON: events and the entities that go with them. Source: Snowplow, Iglu
 * ("iglu:vendor/name/jsonschema/1-0-0"); iglu-central.
 */
#pragma once

#include "ingest/collector/protocol/segment_object.h"
#include "ingest/collector/protocol/snowplow_event.h"

#define SNOWPLOW_IDENTIFIERS_ROOM 24

struct snowplow_reader {
    const struct snowplow_message *message;
    struct arena *arena;
    struct touchpoint *event;
    struct event_problem *problem;
    struct segment_members rest; /* what becomes properties */
    bool mobile;                 /* the tracker is an app's: its client id is an installation */
    bool ecommerce;              /* the event is an e-commerce action */
    struct order_item *items;    /* of event->order */
};

/* Adds an identifier, unless it is empty or there is no more room. */
void snowplow_identify(struct snowplow_reader *reader, struct str name, struct str value);

/* Sets *reader->problem and returns the error. */
int snowplow_fail(struct snowplow_reader *reader, int error, struct str pointer, struct str hint);

/* Reads ue_pr or ue_px: type, parts, properties. Errors: as snowplow_read(). */
MUST_CHECK int snowplow_read_event(struct snowplow_reader *reader);

/* Reads co or cx: identifiers, order, and what is left into properties, "contexts". After
 * snowplow_read_event(). Errors: as snowplow_read(). */
MUST_CHECK int snowplow_read_entities(struct snowplow_reader *reader);

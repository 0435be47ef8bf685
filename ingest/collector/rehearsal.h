/*
 * A request as the collector would judge it, by the same protocols, plan and door, and kept
 * nowhere: what would become of each of its events.
 */
#pragma once

#include "ingest/collector/exchange.h"

/* What a body can be read as. */
enum rehearsal_protocol {
    REHEARSAL_NATIVE,   /* POST /v1/events */
    REHEARSAL_SEGMENT,  /* a batch, or a message that says its type */
    REHEARSAL_SNOWPLOW, /* a payload of trackers, or one event's fields */
    REHEARSAL_GA4,      /* POST /mp/collect */
    REHEARSAL_TWILIO,   /* POST /hooks/twilio/SOURCE, and so on: a notification, or an array */
    REHEARSAL_CONNECT,
    REHEARSAL_GENESYS,
    REHEARSAL_SHOPIFY,
    REHEARSAL_GENERIC, /* by the source's mapping */
    REHEARSAL_PROTOCOLS,
};

/* By name; "rudder" is read as Segment's. -1 for none. */
int rehearsal_protocol_of(struct str name);

enum rehearsal_fate {
    REHEARSAL_ACCEPTED,
    REHEARSAL_DUPLICATE,  /* the same event again within the request */
    REHEARSAL_NO_CONSENT, /* refused by the customer: counted, not kept */
    REHEARSAL_REJECTED,
};

struct rehearsed {
    enum rehearsal_fate fate;
    struct touchpoint event;      /* accepted: as it would be stored */
    uint8_t node[KEY_SIZE];       /* accepted: of its strongest identifier */
    struct event_problem problem; /* rejected */
    struct event_problem
        warning; /* accepted: a hint that is not empty; error 0: of an identifier */
};

/* What is read, and as whose. */
struct rehearsal_config {
    enum rehearsal_protocol protocol;
    const struct config_source *source; /* its keys, secrets, state, rate, origins and
                                           replay_window do not matter */
    const struct door_config *door;
    size_t events_max;
    int64_t now_micros;
    struct str topic; /* of Shopify's notifications, which a header says */
};

struct rehearsal {
    struct rehearsed *list; /* in the order of the request; in the arena */
    size_t count;
    size_t ignored;   /* notifications that give no event */
    int status;       /* of the reply */
    struct str reply; /* where the status is an error's: the protocol's JSON of it */
};

/* Judges a body. Slices live in the arena. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int rehearse(const struct rehearsal_config *config, struct str body, struct arena *arena,
    struct rehearsal *out);

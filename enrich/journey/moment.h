/*
 * An event as journeys see it: what they need of a touchpoint, and what they find out about it.
 */
#pragma once

#include "enrich/journey/config.h"
#include "schemas/stitched.avro.h"

/* How an event type takes from an earlier order. */
enum refund_rule {
    REFUND_NONE,
    REFUND_CANCEL, /* its amount, else all that is left */
    REFUND_AMOUNT, /* its amount, else the price of its items, else all that is left */
    REFUND_ITEMS,  /* its amount, else the price of its items, else nothing */
};

/* What journeys know of an event type. */
struct moment_type {
    struct str name; /* empty: any other type */
    enum event_class class;
    enum touch_kind touch; /* what it is by itself; outbound calls excepted */
    enum refund_rule refund;
    bool conversion;
    bool page_view;
    bool implies_store;  /* a purchase in a store: somebody was there */
    bool response_only;  /* a touch only when it answers direct mail */
    bool call;           /* call_...: one touch a call; orders are taken in it */
    uint32_t milestones; /* RULE_TOUCH_...: what it reaches, by configuration */
};

/* The types by name. */
struct moment_types;
/* Errors: ERR_NO_MEMORY, ERR_TOO_MANY conversion types. Threads: a made table is read by any. */
MUST_CHECK int moment_types_new(const struct journey_config *config, struct moment_types **out);
void moment_types_free(struct moment_types **types);
/* Never NULL. */
const struct moment_type *moment_types_find(const struct moment_types *types, struct str name);

/* Place in a timeline: (occurred_at, sequence, event_key). */
struct moment_place {
    int64_t at;
    int64_t sequence;
    uint8_t event_key[KEY_SIZE];
};

int moment_place_compare(const struct moment_place *a, const struct moment_place *b);

/* A value type; slices are borrowed from the event's bytes. */
struct moment {
    struct moment_place place;
    uint8_t node[KEY_SIZE];
    /* Whose sessions the event is of: its app install, device or browser, whichever it names first
     * in this order; else its node. So signing in, which gives the event a stronger node, does not
     * begin a visit. */
    uint8_t visitor[KEY_SIZE];
    const struct moment_type *type;
    struct str type_name;
    struct str event_id;
    struct str own_channel;  /* set by a trusted source */
    struct str rule_channel; /* of the rule table */
    struct str source;
    struct str medium;
    struct str campaign;
    struct str message;
    struct str click_kind;
    struct str click_value;
    struct str landing_host;
    struct str landing_path;
    struct str device_kind;
    bool has_call;
    bool outbound;
    bool direct_mail;
    struct str order_id;
    struct str currency;
    int64_t revenue_minor;
    int64_t items_minor; /* price of the items, not negative; INT64_MAX when it is larger */
    struct str call_id;  /* the parent's where a call was handed on */
    struct str store_id;

    /* Found by fold_step(). */
    bool has_session;
    uint8_t session_key[KEY_SIZE];
    enum touch_kind touch;
    struct str channel; /* the own, else the rule table's, else what the touch implies */
};

/* Reads what journeys need. `event` may be dropped afterwards, its bytes not. */
void moment_read(struct moment *out, const struct moment_types *types,
    const struct touchpoint *event, const uint8_t node[KEY_SIZE], struct str rule_channel);

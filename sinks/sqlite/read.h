/*
 * Questions to tabiji.db for verbs, agents and the demo. Opens read-only; safe while a writer runs:
 * each call sees one commit.
 *
 * Rows come through callbacks: slices are valid during the call; a callback that returns not 0 ends
 * the reading, and that value is returned (use positive ones). Text is as it was stored: whoever
 * shows it escapes it. All functions: errors as database_error(); used by one thread.
 */
#pragma once

#include "schemas/event.h"
#include "schemas/hash.h"
#include "sinks/sqlite/database.h"

/* There is no such person, identifier or rejection. */
#define READER_ABSENT 1

struct reader;

/* Errors: ERR_NOT_FOUND (no database yet), ERR_STATE (another version). */
MUST_CHECK int reader_open(struct reader **out, const char *path);
/* Accepts NULL inside, leaves NULL. */
void reader_close(struct reader **reader);

/* ---- persons ---- */

struct reader_person {
    uint8_t person[KEY_SIZE];
    int64_t first_at;
    int64_t last_at;
    int64_t events;
    int64_t sessions;
    int64_t touches;
    int64_t conversions;
    int64_t refunds;
    bool truncated;
    struct str net_revenue; /* JSON object of currency to minor units */
};

/* What makes an identifier belong to a person. */
struct reader_identity {
    struct str namespace;
    struct str value;
    uint8_t person[KEY_SIZE];
    struct str why;   /* self, claim, shared, generic, rejected, rotated */
    int64_t events;   /* of that person that carry it */
    int64_t first_at; /* of those; 0: none */
    int64_t last_at;
};

/* The identifier, spelled as it is stored (the caller normalises). 0 or READER_ABSENT; the callback
 * is called once. */
MUST_CHECK int reader_lookup(struct reader *reader, struct str namespace, struct str value,
    int (*found)(void *context, const struct reader_identity *identity), void *context);

MUST_CHECK int reader_get_person(struct reader *reader, const uint8_t person[KEY_SIZE],
    int (*found)(void *context, const struct reader_person *person), void *context);

/* All identifiers of a person, by namespace and value. */
MUST_CHECK int reader_identifiers(struct reader *reader, const uint8_t person[KEY_SIZE],
    int (*found)(void *context, const struct reader_identity *identity), void *context);

/* ---- who is whom (read_identity.c) ---- */

struct reader_node {
    uint8_t node[KEY_SIZE];
    struct str namespace;
    struct str value;
    uint8_t person[KEY_SIZE];
    struct str why;
    uint8_t root[KEY_SIZE]; /* node that the person is made from */
    uint8_t own[KEY_SIZE];  /* the person that it would be by itself */
};

/* Key of an identifier as it is stored. Errors: ERR_NAMESPACE. */
MUST_CHECK int reader_node_id(const struct namespace_table *namespaces,
    const struct identifier *identifier, uint8_t node[KEY_SIZE]);

/* 0 or READER_ABSENT; the callback is called once. */
MUST_CHECK int reader_node(struct reader *reader, const uint8_t node[KEY_SIZE],
    int (*found)(void *context, const struct reader_node *node), void *context);

/* One identifier of the rank, any: 0, or READER_ABSENT when there is none. */
MUST_CHECK int reader_any_node(struct reader *reader, int rank,
    int (*found)(void *context, const struct reader_node *node), void *context);

/* The person that an old person id is now: 0, or READER_ABSENT when it is no alias. */
MUST_CHECK int reader_alias(
    struct reader *reader, const uint8_t alias[KEY_SIZE], uint8_t person[KEY_SIZE]);

/* What an operator, or a client's alias, said last of two identifiers, in the order of evidence. */
struct reader_word {
    int sign;          /* > 0: one person; < 0: not one; 0: nothing was said */
    int64_t authority; /* EVENT_AUTHORITY_OPERATOR: an operator's; 0: a client's */
    int64_t said_at;
    struct str event_id;
    struct str reason; /* may be empty */
};

/* Two identifiers that events show together. */
struct reader_link {
    uint8_t weaker[KEY_SIZE];
    uint8_t stronger[KEY_SIZE];
    int64_t events;
    int64_t first_at;
    int64_t last_at;
    bool rotation;       /* no event: both are pseudonyms of one value */
    struct str first_id; /* of the events */
    struct str last_id;
    bool parted; /* a word that stands says that they are not one: the link counts for nothing */
    struct reader_word word; /* the one that stands */
};

/* All links of an identifier: to stronger ones, then to weaker ones, by key. */
MUST_CHECK int reader_links(struct reader *reader, const uint8_t node[KEY_SIZE],
    int (*found)(void *context, const struct reader_link *link), void *context);
/* All pseudonyms of the node's value that rotations of the key paired, itself first. */
#define READER_PSEUDONYMS_MAX 8
MUST_CHECK int reader_pseudonyms(struct reader *reader, const uint8_t node[KEY_SIZE],
    uint8_t out[READER_PSEUDONYMS_MAX][KEY_SIZE], size_t *count);

/* Distinct identifiers of each rank that events show beside the node, under whatever pseudonyms of
 * both; what only a word says is not counted. counts has room for NAMESPACES_MAX. */
MUST_CHECK int reader_neighbours(
    struct reader *reader, const uint8_t node[KEY_SIZE], int64_t *counts);

/* Each link between the two, under whatever pseudonyms. 0, or READER_ABSENT when no event shows
 * both. Errors: ERR_NAMESPACE. */
MUST_CHECK int reader_pair_links(struct reader *reader, const struct namespace_table *namespaces,
    const struct identifier pair[2], int (*found)(void *context, const struct reader_link *link),
    void *context);

/* All events that show both nodes, under whatever pseudonyms of either, as one link: count, first
 * and last (weaker, stronger, parted and word are not set). 0, or READER_ABSENT when no event does;
 * the callback is called once. */
MUST_CHECK int reader_pair_sum(struct reader *reader, const uint8_t a[KEY_SIZE],
    const uint8_t b[KEY_SIZE], int (*found)(void *context, const struct reader_link *link),
    void *context);

/* 0 when some event shows both, under whatever pseudonyms, else READER_ABSENT. Errors:
 * ERR_NAMESPACE. */
MUST_CHECK int reader_linked(struct reader *reader, const struct namespace_table *namespaces,
    const struct identifier *a, const struct identifier *b);

/* A person on whose timeline events stand that show an identifier and at least one more. */
struct reader_candidate {
    uint8_t person[KEY_SIZE];
    int64_t events; /* that show it */
    int64_t first_at;
    int64_t last_at;
    struct str namespace; /* strongest identifier of the person that stood beside it; may be empty
                           */
    struct str value;
};

/* All such persons, at most `limit`, the latest first: of a number that a family shares each of
 * them. */
MUST_CHECK int reader_candidates(struct reader *reader, const uint8_t node[KEY_SIZE], int64_t limit,
    int (*found)(void *context, const struct reader_candidate *candidate), void *context);

/* What stands of a person: events, touches, sessions, conversions, credits, paths, identifiers. */
#define READER_COUNTS 7
struct reader_counts {
    int64_t counts[READER_COUNTS];
};
MUST_CHECK int reader_count(
    struct reader *reader, const uint8_t person[KEY_SIZE], struct reader_counts *out);

/* Identifiers of the person, on whose timeline nothing stands, that events of others show: they are
 * in the tables for those alone. 0 while something stands there. Looks at all events where the
 * person has an identifier. */
MUST_CHECK int reader_count_of_others(
    struct reader *reader, const uint8_t person[KEY_SIZE], int64_t *out);

/* Events that came to the node after an erasure and were refused; all nodes' where it is NULL. 0 in
 * a file of an older build. */
MUST_CHECK int reader_refused(struct reader *reader, const uint8_t *node, int64_t *out);

/* Since when an identifier is suppressed, and since when that is lifted (0: it is not). Returns
 * READER_ABSENT where it is not, or the file is of an older build. */
struct reader_suppression {
    int64_t erased_at;
    int64_t lifted_at;
};
MUST_CHECK int reader_suppression(
    struct reader *reader, const uint8_t node[KEY_SIZE], struct reader_suppression *out);

/* Events of other persons that show the node beside other identifiers. */
MUST_CHECK int reader_count_beside(struct reader *reader, const uint8_t node[KEY_SIZE],
    const uint8_t person[KEY_SIZE], int64_t *out);

/* A person whose timeline shows much: most channels, with a conversion, most events; by person id
 * where all are equal. For demonstrations. */
MUST_CHECK int reader_telling_person(struct reader *reader, uint8_t person[KEY_SIZE]);

/* ---- one conversion (read_credit.c) ---- */

/* A conversion, refund or correction. Slices are valid during the callback. */
struct reader_conversion {
    uint8_t person[KEY_SIZE];
    uint8_t event_key[KEY_SIZE];
    struct str conversion_id, kind, type, order_id, refund_of, event_id, currency;
    int64_t occurred_at;
    int64_t revenue_minor;
    int64_t path_length;                /* touches */
    int64_t credit_first, credit_count; /* rows of attribution_credit */
    int64_t reset_from;
    int64_t lead, opportunity; /* touches through which they were reached; negative: none */
};

/* All that bear the name as conversion, order or event id, by time. */
MUST_CHECK int reader_conversions(struct reader *reader, struct str name,
    int (*found)(void *context, const struct reader_conversion *conversion), void *context);

/* What one model gives one touch. touch_index counts from 0; of a conversion without touches the
 * one row has no event. */
struct reader_touch_credit {
    int64_t touch_index;
    struct str channel, model, event_id, type, source, campaign;
    int64_t touched_at;
    int64_t weight_ppb; /* of 1e9 */
    int64_t revenue_minor;
};

/* By touch, then in the order of models. */
MUST_CHECK int reader_touch_credits(struct reader *reader,
    const struct reader_conversion *conversion,
    int (*found)(void *context, const struct reader_touch_credit *credit), void *context);

/* ---- timeline ---- */

/* A place on a timeline. */
struct reader_place {
    int64_t occurred_at;
    int64_t sequence;
    uint8_t event_key[KEY_SIZE];
};

struct reader_event {
    struct reader_place place; /* to go on from */
    struct str type;
    struct str source;
    struct str event_id;
    struct str channel;
    struct str touch;
    struct str session_key; /* 16 bytes, or empty */
    struct str page_path;
    struct str campaign;
    struct str order_id;
    struct str order_facet;
    struct str store_id;
    struct str call_id;
    struct str message_kind;
    struct str device_kind;
    struct str detail;    /* JSON of the other facts */
    struct str malformed; /* namespaces of identifiers that were left out as malformed */
    bool has_revenue;
    int64_t revenue_minor;
    struct str currency;
    /* Where the event is a conversion or a refund. */
    struct str conversion_kind; /* empty: it is none */
    struct str conversion_id;
    int64_t conversion_minor; /* of a refund negative */
    struct str conversion_currency;
    int64_t path_length;
    struct str refund_of; /* conversion_id of the order that a refund takes from */
    int64_t refunded_at;  /* when that order was placed; 0: not known yet */
};

struct reader_page {
    const struct reader_place *after; /* NULL: from the beginning, of newest_first from the end */
    bool newest_first;
    int64_t limit; /* rows; 0: all */
};

MUST_CHECK int reader_timeline(struct reader *reader, const uint8_t person[KEY_SIZE],
    const struct reader_page *page, int (*found)(void *context, const struct reader_event *event),
    void *context);

/* ---- rejected ---- */

struct reader_rejection {
    uint8_t rejected_key[KEY_SIZE];
    struct str source;
    struct str stage;
    struct str reason;
    struct str pointer;
    struct str hint;
    struct str event_id;
    struct str file;
    int64_t line;
    int64_t received_at;
    int64_t payload_size;
    struct str payload; /* only by reader_get_rejection() */
};

/* Empty: any. */
struct reader_rejections {
    struct str reason;
    struct str source;
    struct str stage;
    struct str event_id;
    int64_t from;  /* received at or after this; 0: any */
    int64_t until; /* received before this; 0: any */
    int64_t limit; /* 0: all */
};

/* Latest first. */
MUST_CHECK int reader_rejected(struct reader *reader, const struct reader_rejections *filter,
    int (*found)(void *context, const struct reader_rejection *rejection), void *context);

MUST_CHECK int reader_get_rejection(struct reader *reader, const uint8_t key[KEY_SIZE],
    int (*found)(void *context, const struct reader_rejection *rejection), void *context);

/* Of an event: whose it is, and when the copy came that stands. */
struct reader_fate {
    uint8_t person[KEY_SIZE];
    int64_t received_at;
    char channel[100]; /* empty: none yet, or a longer one */
};
/* 0 or READER_ABSENT. */
MUST_CHECK int reader_event_fate(
    struct reader *reader, const uint8_t event_key[KEY_SIZE], struct reader_fate *out);

/* What stages behind the door rejected, of the last so many rows of all; without key, file, line
 * and payload. */
MUST_CHECK int reader_late_rejections(struct reader *reader, int64_t rows,
    int (*found)(void *context, const struct reader_rejection *rejection), void *context);

/* How often what stands under the key had been put through the door again; 0 for what never was, or
 * is not there. */
MUST_CHECK int reader_rejection_attempt(
    struct reader *reader, const uint8_t key[KEY_SIZE], uint32_t *attempt);

/* ---- sums ---- */

struct reader_credit {
    struct str model;
    struct str channel;
    struct str currency; /* may be empty */
    int64_t weight_ppb;  /* conversions in parts of 1e9 */
    int64_t revenue_minor;
};

/* Channel by model, ordered by currency, channel, model. */
MUST_CHECK int reader_channels(struct reader *reader,
    int (*found)(void *context, const struct reader_credit *credit), void *context);

struct reader_totals {
    int64_t events;
    int64_t touches;
    int64_t persons;
    int64_t identifiers;
    int64_t sessions;
    int64_t conversions;
    int64_t refunds;
    int64_t unattributed; /* conversions without a touch */
    int64_t open_paths;
    int64_t rejected;
    int64_t set_aside; /* results that the sink could not read */
};
MUST_CHECK int reader_get_totals(struct reader *reader, struct reader_totals *out);

struct reader_revenue {
    struct str currency; /* may be empty */
    int64_t gross_minor;
    int64_t refunded_minor; /* negative or 0 */
};
MUST_CHECK int reader_revenue(struct reader *reader,
    int (*found)(void *context, const struct reader_revenue *revenue), void *context);

/*
 * Keys and values of the tables that persons have.
 */
#pragma once

#include "enrich/journey/person.h"
#include "ingest/stream/stream.h"

#define TIMELINE_KEY_SIZE (KEY_SIZE + 8 + 8 + KEY_SIZE)
#define RECORD_KEY_SIZE (3 * KEY_SIZE)
#define GONE_KEY_SIZE (2 * KEY_SIZE)
#define CONVERSION_ROW_KEY_SIZE_MAX (KEY_SIZE + CONVERSION_KEY_SIZE_MAX)

/* person | occurred_at | sequence | event_key */
void timeline_key(uint8_t out[TIMELINE_KEY_SIZE], const uint8_t person[KEY_SIZE],
    const struct moment_place *place);

/* person | node | event_key */
void record_key(uint8_t out[RECORD_KEY_SIZE], const uint8_t person[KEY_SIZE],
    const uint8_t node[KEY_SIZE], const uint8_t event_key[KEY_SIZE]);

/* person | node */
void gone_key(
    uint8_t out[GONE_KEY_SIZE], const uint8_t person[KEY_SIZE], const uint8_t node[KEY_SIZE]);

/* The marker of a mixed person among its gone nodes: no node has this id. */
extern const uint8_t gone_mixed[KEY_SIZE];

/* A signature whose events vanish: TABLE_GONE, person | node | 16 bytes of its digest -> stay (1) |
 * its identifiers | at (8). It moves with the node's events, or stays with those that stay. With
 * zeros for a digest: the mark of a suppressed node, which moves likewise. */
#define SUPPRESSED_KEY_SIZE (3 * KEY_SIZE)

/* An event's seat: that the node's owner placed it with this person. */
struct record_row {
    int64_t at;
    int64_t sequence;
    int64_t position;
    uint8_t chain_index;
    struct str hidden; /* Stitched, when another seat of the same event has the timeline's row */
};

MUST_CHECK int record_row_encode(const struct record_row *row, struct buf *out);
/* Errors: ERR_STATE. */
MUST_CHECK int record_row_decode(struct record_row *out, struct str value);

/* TABLE_GONE, person | node -> epoch (8) | to (16); where they scatter, nothing behind the epoch;
 * where the node is back, 1. Errors: ERR_STATE. */
MUST_CHECK int gone_row_decode(struct gone_node *out, struct str key, struct str value);
MUST_CHECK int gone_row_put(
    struct state *state, const uint8_t person[KEY_SIZE], const struct gone_node *gone);

/* Stitched of an event as its moment says. Appends. */
MUST_CHECK int stitched_row_encode(
    const uint8_t person[KEY_SIZE], const struct pending_event *event, struct buf *out);

/* What the rule table said of a stored event; empty where its own channel hides that. */
static inline struct str stitched_rule_channel(const struct stitched *row)
{
    return row->has_rule_channel ? row->rule_channel : row->channel;
}

static inline int64_t later_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

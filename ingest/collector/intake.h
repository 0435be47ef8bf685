/*
 * The events of one request on their way in: accepted ones become records, others verdicts.
 */
#pragma once

#include "ingest/collector/note.h"
#include "ingest/door.h"
#include "schemas/json.h"

/* What a protocol says of one event that was refused, or a word of caution about an accepted one.
 */
struct verdict {
    size_t index; /* of the event in the request */
    struct event_problem problem;
};

struct verdicts {
    struct verdict *list; /* in the arena */
    size_t count;
    size_t capacity;
};

struct intake {
    const struct door_config *door;
    struct arena *arena;
    struct str source;
    struct str stage; /* "native" */
    int64_t now_micros;
    bool is_operator;      /* the source is */
    bool refuses_evidence; /* the source's, unless it is an operator */
    enum config_plan plan; /* the source's */
    bool dry_run;          /* nothing is appended, not even to rejected */
    struct notes *notes;   /* for who watches; NULL: nobody does */

    struct rotation_list pairs;    /* to be appended before them */
    struct append_record *records; /* in the arena; to be appended, unless dry_run */
    size_t records_count;
    size_t records_capacity;
    size_t accepted;
    size_t duplicates; /* the same event again within the request; not appended again */
    size_t ignored;    /* notifications that give no event */
    size_t no_consent; /* refused by the customer: counted, not kept */
    size_t planless;   /* accepted though the tracking plan forbids them; among the warnings */
    struct verdicts rejected;
    struct verdicts warnings;

    const struct append_record **seen; /* accepted by event key: open addressing */
    size_t seen_capacity;              /* a power of two, or 0 */
};

/* Makes room for a request of `events`. The other fields above the blank line are set by the
 * caller. Errors: ERR_NO_MEMORY. */
MUST_CHECK int intake_reserve(struct intake *intake, size_t events);

/* All that is to be appended, in order. *records lives in the arena. Errors: ERR_NO_MEMORY. */
MUST_CHECK int intake_records(
    const struct intake *intake, const struct append_record **records, size_t *count);

/* Judges one event: door, consent, duplicates. index: its place in the request; payload: its text
 * as it came, asked for only when it is refused. Of several events at one index, which follow each
 * other, one reason at one pointer is told once. Returns 0 also for a refused event. Errors:
 * ERR_NO_MEMORY. */
struct intake_payload {
    struct str (*text)(void *context, size_t index);
    void *context;
};
MUST_CHECK int intake_event(struct intake *intake, struct touchpoint *event, size_t index,
    const struct intake_payload *payload);

/* Takes in what intake_event() made of one event in an intake of its own: looks for duplicates
 * only. The intake has no notes. record, event_id: live as long as the intake. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int intake_record(struct intake *intake, const struct append_record *record,
    struct str event_id, size_t index, const struct intake_payload *payload);

/* Refuses an event that could not even be read. Errors: ERR_NO_MEMORY. */
MUST_CHECK int intake_reject(struct intake *intake, size_t index, struct str event_id,
    const struct event_problem *problem, const struct intake_payload *payload);

/* Counts a notification that gives no event, and tells who watches. event: as far as it was read.
 */
void intake_ignore(struct intake *intake, const struct touchpoint *event, size_t index,
    const struct intake_payload *payload);

/* Tells who watches of an event's fate that a protocol decides by itself. */
void intake_note(struct intake *intake, enum note_fate fate, const struct touchpoint *event,
    size_t index, const struct intake_payload *payload);

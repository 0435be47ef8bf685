/*
 * What was refused, put through the door again: under its own event id, as of when it came.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/door.h"
#include "ingest/import/mapping.h"
#include "ingest/rejection.h"

/* A rejection as table `rejected` has it. */
struct again_rejection {
    uint8_t rejected_key[KEY_SIZE];
    uint32_t attempt;
    struct str source;
    struct str stage;
    struct str event_id; /* as it was refused; may be empty */
    struct str payload;
    int64_t received_at;
};

enum again_fate {
    AGAIN_ACCEPTED,
    AGAIN_NO_CONSENT, /* its customer refuses analytics: counted, not kept */
    AGAIN_REFUSED,    /* for the reason that it was refused for */
    AGAIN_REFUSED_OTHERWISE,
    AGAIN_CANNOT, /* no door took it: what a stage said, a row of a file, what was cut */
};

struct again_config {
    const struct config *config; /* its sources */
    const struct door_config *door;
    const struct mapping *mapping; /* of rows of files, native or Segment; NULL: they stay */
};

/* What is to be appended, events before marks; slices live in the arena. */
struct again_taken {
    enum again_fate fate;
    struct str reason; /* of what is refused: its name */
    const struct append_record *events;
    size_t events_count;
    struct append_record marks[2]; /* that it is settled, and how it is refused now */
    size_t marks_count;
};

struct again;

/* The config is copied; what it points to outlives this. Errors: ERR_UNSUPPORTED, ERR_CONFIG of the
 * mapping; ERR_NO_MEMORY. */
MUST_CHECK int again_new(struct again **out, const struct again_config *config);
/* Accepts NULL inside, leaves NULL. */
void again_free(struct again **again);

/* Judges one. Pure: the time is when it was received. What it said of the client's address, of a
 * batch around it (Segment's sentAt), of a cookie is not known any more. Errors: ERR_NO_MEMORY. */
MUST_CHECK int again_take(struct again *again, const struct again_rejection *rejection,
    struct arena *arena, struct again_taken *out);

/* For who judged by other means: the marks of what was accepted, or, with a problem, of what is
 * refused now, and the fate then. Errors: ERR_NO_MEMORY. */
MUST_CHECK int again_mark(const struct again_rejection *rejection,
    const struct event_problem *problem, struct arena *arena, struct again_taken *taken);

/*
 * Copies what came in to another log or other topics, from which the tables are derived anew.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"
#include "ingest/stream/replay_source.h"

#define REPLAY_CURSOR_SIZE 96

struct replay_copy {
    struct replay_source *source;
    struct appender *appender;
    struct str cursor; /* name, under which the appender keeps how far it came */
    int64_t rate;      /* records a second; 0: no limit */
    int64_t copied;    /* out */
};

/* Appends all that the source has. Cut off, the next one goes on: what was appended twice is the
 * same event. A bar on a terminal. Errors: of the source and of append(). */
MUST_CHECK int replay_copy(struct replay_copy *copy);

/* Names the cursor of a copy of `what` (a directory, or a prefix of topics) to `into`. */
void replay_cursor(const char *what, const char *into, const struct replay_from *from,
    char out[REPLAY_CURSOR_SIZE]);

/* Where the cursor stands, or nothing. Errors: of cursor_get(). */
MUST_CHECK int replay_place(struct appender *appender, struct str cursor, struct buf *place);

/* Reads --from into *from: a time, or an offset (digits). Returns 0 or an exit_code. */
int replay_read_from(const struct verb_call *call, struct replay_from *from);

/* Prints how the tables of two databases differ. Returns 0, or an exit_code after saying what is
 * wrong. */
int replay_print_difference(struct verb_call *call, const char *before, const char *after);

/* From [stream] prefix, or the embedded log of `dir`, to the topics of another prefix, which are
 * made when they are missing. partial: records that were deleted before are no error. Prints what
 * it did, and returns an exit_code. */
struct replay_topics {
    const char *dir; /* NULL: from Kafka */
    const char *prefix;
    int64_t partitions; /* of topics that are made; 0: as configured */
    struct replay_from from;
    int64_t rate;
    bool partial;
    bool dry_run;
};
int replay_into_topics(
    struct verb_call *call, struct settings *settings, const struct replay_topics *wanted);

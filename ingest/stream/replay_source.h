/*
 * What came in, once more: events and rejections of an embedded log or of Kafka's topics, for
 * another log or other topics. Values are of this build's schemas. Nothing is taken away or changed
 * there, and what owns it may go on meanwhile.
 */
#pragma once

#include "ingest/stream/stream.h"

struct kafka_config;
struct namespace_table;

/* Where to begin. Neither: at the beginning. */
struct replay_from {
    int64_t offset;      /* of the log, or of each partition of the events; 0: the beginning */
    int64_t time_micros; /* what was received before this is passed over; 0: nothing is */
};

/*
 * Used by one thread. next(): some records, at most records_max, in the order of their partition;
 * none: the end, as it was when the source was opened. They are valid until the next call.
 * place(): appends where it stands, behind those: a later source begins there. total: records from
 * its beginning to its end, as far as that is known. Errors: ERR_STATE, ERR_NEWER, ERR_KAFKA,
 * ERR_AGAIN, ERR_IO, ERR_NO_MEMORY.
 */
struct replay_source {
    int (*next)(struct replay_source *source, size_t records_max,
        const struct append_record **records, size_t *count);
    int (*place)(struct replay_source *source, struct buf *out);
    void (*close)(struct replay_source *source);
    int64_t total;
};

/* place: what place() said of an earlier source of the same log and `from`, or empty. Errors also:
 * ERR_NOT_FOUND (no log there), ERR_STATE (the place is beyond its end). */
MUST_CHECK int local_reader_open(
    const char *dir, const struct replay_from *from, struct str place, struct replay_source **out);

/* Of TOPIC_EVENTS and TOPIC_REJECTED. *lost: records before those that are there were deleted by
 * the topics' retention, so that tables made of them lack what those said. A record that cannot be
 * read comes as its rejection, as a worker makes it. Errors also: ERR_CONFIG (no such topics). */
MUST_CHECK int kafka_reader_open(const struct kafka_config *config, const struct replay_from *from,
    struct str place, int timeout_ms, bool *lost, struct replay_source **out);

/* Shared by both: a copy of the record, whose key and value live in the arena. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int replay_keep(
    struct arena *arena, const struct append_record *record, struct append_record *out);

/* Likewise: whether a value of that topic was received before the time, so that it is passed
 * over. What cannot be decoded was not. */
bool replay_received_before(
    enum topic topic, struct str value, int64_t time_micros, struct arena *scratch);

/*
 * What every way in does with a touchpoint before it is appended: identifiers, time, limits, key,
 * bytes.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/normalise/identifier.h"
#include "ingest/normalise/key_file.h"
#include "ingest/rotation.h"
#include "ingest/stream/stream.h"
#include "schemas/event_json.h"

/* A rejected payload longer than this is cut (and the hint says so): the record fits Kafka's
 * default largest message. */
#define REJECTED_PAYLOAD_SIZE_MAX ((size_t)900 << 10)

/* Largest amount of one order, in minor units, either way. Nobody sells for ten trillion yen, and
 * the sums that analysts ask for stay within 64 bits: one such order may not spoil them for all. */
#define ORDER_MINOR_MAX INT64_C(1000000000000000)

struct plan;

struct door_config {
    struct plan *plan;          /* of whoever opens the door; NULL: any event may come */
    enum config_plan plan_mode; /* of sources that say nothing else; PLAN_USUAL: strict */
    struct identifier_config identifiers;
    uint8_t person_key[TENANT_KEY_SIZE]; /* of person ids; no rotation changes it */
    struct rotation_cache *told; /* pairs of a rotation that the log has; NULL: none are known */
    int64_t future_max_micros;   /* default 24 h: an event time later than now + this is absurd */
    int64_t past_min_micros;     /* default 2000-01-01: an event time before this is absurd */
};

void door_config_default(struct door_config *config);

/* The table of namespaces of a finished configuration, in the arena with its names. Errors:
 * ERR_CONFIG with *problem set (as namespace_table_read()), ERR_NO_MEMORY. */
MUST_CHECK int door_configure_namespaces(const struct config *config, struct arena *arena,
    const struct namespace_table **out, struct config_problem *problem);

/* All from a finished configuration: tenant keys, blocked values. Slices live in the
 * arena. Errors: ERR_CONFIG with *problem set (a file that is no key file, a bad key id),
 * ERR_NO_MEMORY. */
MUST_CHECK int door_configure(const struct config *config, struct arena *arena,
    struct door_config *out, struct config_problem *problem);

/*
 * Completes *event (source, protocol, adapter_version, event_id, type must be set): normalises
 * identifiers; received_at := now_micros; computes event_key; checks every limit of EVENT; refuses
 * U+0000; encodes. Time by its quality as the caller set it:
 *   unknown            the client said none: occurred_at := now, server
 *   client             absurd: kept as said, suspect
 *   corrected          absurd: moved to the nearest bound, clamped
 *   others             left alone
 * out->key is the first node's id; slices live in the arena.
 * On success *problem has error 0, and where an identifier was dropped its pointer and a hint.
 * Errors: REJECT class with *problem set; ERR_NO_MEMORY. Pure: the clock is an argument. Threads:
 * any.
 */
MUST_CHECK int door_accept(const struct door_config *config, struct touchpoint *event,
    int64_t now_micros, struct arena *arena, struct append_record *out,
    struct event_problem *problem);

/* As door_accept(), and gives, while a rotation of the key is under way, what the log is to be told
 * of the event's values (rotation.h): to be appended before the event, and marked as told when that
 * is durable. */
struct door_out {
    struct append_record record;
    struct rotation_list pairs;
    const struct identifier_drop *drops; /* identifiers that were left out; in the arena */
    size_t drops_count;
};
MUST_CHECK int door_take(const struct door_config *config, struct touchpoint *event,
    int64_t now_micros, struct arena *arena, struct door_out *out, struct event_problem *problem);

/* What is known of an event that was read from native JSON. */
struct door_known {
    bool nul_free;    /* U+0000 stands nowhere in its texts */
    size_t json_size; /* of the JSON; 0: not known */
};

/* The verdict of door_take() alone, without the record: for who sends the event to somebody who
 * takes it. With config->identifiers.keyless nothing is hashed. *event is changed as by
 * door_take(), but for its key. Errors: the same. Threads: any. */
MUST_CHECK int door_judge(const struct door_config *config, struct touchpoint *event,
    const struct door_known *known, int64_t now_micros, struct arena *arena,
    struct event_problem *problem);

/* What the tracking plan says of an event whose source says `mode`: 0, it may come; DOOR_WARNED: it
 * may, and *problem is to be told; ERR_SCHEMA_VIOLATION with *problem: it may not. Errors:
 * ERR_NO_MEMORY. Threads: any. */
#define DOOR_WARNED 1
MUST_CHECK int door_plan(const struct door_config *config, enum config_plan mode,
    const struct touchpoint *event, struct arena *arena, struct event_problem *problem);

/* Whether the customer refuses analytics, so that the event is counted but not kept. What withdraws
 * or erases is kept whatever consent says: it is what later stages obey. Threads: any. */
bool door_refused_by_customer(const struct touchpoint *event);

/* Where and what, for a rejection. */
struct door_rejection {
    struct str source;
    struct str stage; /* native, segment, import, ... */
    struct str payload;
    struct str event_id;
    struct str file;
    int64_t line;
    uint32_t attempt; /* how often it had been put through the door again (rejection.h) */
};

/* Makes the record for TOPIC_REJECTED; its key is of rejection.h. Slices live in the arena.
 * Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int door_reject(const struct door_rejection *rejection,
    const struct event_problem *problem, int64_t now_micros, struct arena *arena,
    struct append_record *out);

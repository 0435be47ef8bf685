/*
 * The topics that stages talk through, and the tables that they keep. Both lists are closed: a
 * driver maps them to LMDB, to Kafka or to memory.
 */
#pragma once

#include "schemas/bytes.h"

/* X(symbol, name): the Kafka topic is <prefix>.<name>.v1 (prefix: configuration, "tabiji"). */
#define TOPIC_LIST(X)                                                                              \
    X(TOPIC_EVENTS, "events")                 /* key: strongest node; value: Touchpoint */         \
    X(TOPIC_REJECTED, "rejected")             /* key: rejected_key; value: Rejected */             \
    X(TOPIC_IDENTITY, "identity")             /* key: node; value: IdentityMessage */              \
    X(TOPIC_JOURNEY, "journey")               /* key: person; value: JourneyMessage */             \
    X(TOPIC_IDENTITY_STATE, "identity-state") /* changelog of the unpublished identity tables */   \
    X(TOPIC_JOURNEY_STATE, "journey-state")   /* changelog of the unpublished journey tables */    \
    X(TOPIC_PERSONS, "persons")               /* published TABLE_PERSON_OF */                      \
    X(TOPIC_TOUCHPOINTS, "touchpoints")       /* published TABLE_TIMELINE */                       \
    X(TOPIC_SESSIONS, "sessions")             /* published TABLE_SESSION */                        \
    X(TOPIC_CONVERSIONS, "conversions")       /* published TABLE_CONVERSION */                     \
    X(TOPIC_PROFILES, "profiles")             /* published TABLE_PROFILE */                        \
    X(TOPIC_MODELS, "models")                 /* published TABLE_MODEL_COUNT */

enum topic {
#define X(symbol, name) symbol,
    TOPIC_LIST(X)
#undef X
        TOPIC_COUNT,
};

/*
 * X(symbol, name, topic): every change of a table's row goes to `topic` as an absolute value (no
 * value: tombstone). Published tables have a topic of their own, which is also their changelog; the
 * others share their stage's -state topic, where the key is the table's number (1 byte) then the
 * row's key. Keys of every table begin with a 16-byte group (a node or a person): scans and
 * clustering are by group.
 */
#define TABLE_LIST(X)                                                                              \
    X(TABLE_NODE, "node", TOPIC_IDENTITY_STATE)                                                    \
    X(TABLE_EDGE, "edge", TOPIC_IDENTITY_STATE)                                                    \
    X(TABLE_SIGNATURE, "signature", TOPIC_IDENTITY_STATE)                                          \
    X(TABLE_PERSON_OF, "person_of", TOPIC_PERSONS)                                                 \
    X(TABLE_RECORD, "record", TOPIC_JOURNEY_STATE)                                                 \
    X(TABLE_GONE, "gone", TOPIC_JOURNEY_STATE)                                                     \
    X(TABLE_TIMELINE, "timeline", TOPIC_TOUCHPOINTS)                                               \
    X(TABLE_SESSION, "session", TOPIC_SESSIONS)                                                    \
    X(TABLE_CONVERSION, "conversion", TOPIC_CONVERSIONS)                                           \
    X(TABLE_PROFILE, "profile", TOPIC_PROFILES)                                                    \
    X(TABLE_IDENTITY_MEANING, "identity_meaning", TOPIC_IDENTITY_STATE)                            \
    X(TABLE_JOURNEY_MEANING, "journey_meaning", TOPIC_JOURNEY_STATE)                               \
    X(TABLE_MODEL_COUNT, "model_count", TOPIC_MODELS)

enum table {
#define X(symbol, name, topic) symbol,
    TABLE_LIST(X)
#undef X
        TABLE_COUNT,
};

#define GROUP_SIZE 16

/* Name without prefix and version ("events"). Threads: any. */
const char *topic_name(enum topic topic);

/* Topic that carries the table's changes. Threads: any. */
enum topic table_topic(enum table table);

/* The table whose rows a published topic carries, or -1. Threads: any. */
int topic_table(enum topic topic);

const char *table_name(enum table table);

/* Partition of a key, as Kafka's default partitioner has it (murmur2, positive, modulo), so that
 * producers of any language agree. partitions > 0. Source: org.apache.kafka.common.utils.Utils,
 * KIP-480. Threads: any. */
int32_t topic_partition(struct str key, int32_t partitions);

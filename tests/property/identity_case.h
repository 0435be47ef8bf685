/*
 * Random cases of the executable meaning of identity: what it reads and what it answers.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"

#define CASE_EVENTS_MAX 256
#define CASE_NODES_MAX 256

struct case_root {
    struct identifier identifier;
    uint8_t node[KEY_SIZE];
    uint8_t root[KEY_SIZE]; /* node id */
};

struct case_event {
    struct append_record record; /* for TOPIC_EVENTS; event_key = its index, big-endian */
    uint8_t place[KEY_SIZE];     /* root, node id */
};

struct identity_case {
    int64_t seed;
    struct namespace_table namespaces; /* the specification's, with the limits of this case */
    struct case_event events[CASE_EVENTS_MAX];
    size_t events_count;
    struct case_root roots[CASE_NODES_MAX];
    size_t roots_count;
};

/* Reads one line of `identity_spec.py cases`. Everything lives in the arena. Errors: ERR_JSON for a
 * line that is not such a case; ERR_NO_MEMORY. */
MUST_CHECK int identity_case_read(struct str line, struct arena *arena, struct identity_case *out);

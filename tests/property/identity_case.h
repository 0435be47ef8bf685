/*
 * Random cases of the executable meaning of identity: what it reads and what it answers.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"
#include "enrich/identity/signature.h"

#define CASE_EVENTS_MAX 256
#define CASE_NODES_MAX 256

struct case_root {
    struct identifier identifier;
    uint8_t node[KEY_SIZE];
    uint8_t root[KEY_SIZE]; /* node id */
};

enum case_kind {
    CASE_EVENT,
    CASE_EVIDENCE,
    CASE_ERASURE,
    CASE_LIFT, /* of an erasure */
};

struct case_event {
    enum case_kind kind;
    size_t phase;                /* each ends at rest */
    struct append_record record; /* for TOPIC_EVENTS; event_key = its index, big-endian */
    uint8_t place[KEY_SIZE];     /* root, node id: the specification's answer */
    uint8_t key[KEY_SIZE];       /* event_key */
    int64_t time;
    struct signature signature;
    const struct identifier *identifiers; /* as many as the signature has members */
    uint8_t weak[KEY_SIZE];               /* evidence: the later in id order */
    uint8_t strong[KEY_SIZE];
    int sign;
    int authority;
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

/* Adds an identifier that no event shows; its slices are borrowed. Errors: ERR_NAMESPACE. */
MUST_CHECK int identity_case_name(struct identity_case *out, const struct identifier *identifier);

/* Adds an event that says something of identifiers a and b of the case (indexes into roots), shows
 * both, asks to erase a, or lifts that. */
struct case_word {
    enum case_kind kind;
    size_t a, b;
    int64_t time;
    int sign;
    int authority;
};
MUST_CHECK int identity_case_add(
    struct identity_case *out, const struct case_word *word, struct arena *arena);

/* Adds an event of another case, without its identifier `leave` (SIZE_MAX: with all). Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int identity_case_copy(
    struct identity_case *out, const struct case_event *event, size_t leave, struct arena *arena);

/*
 * What sinks would see at rest: every published row but for what tells of the arrival only (epochs,
 * placements, positions), to be compared byte for byte.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "tests/sim/sim.h"

struct snapshot_row {
    enum topic topic;
    struct str key;
    struct str value;
    uint8_t person[KEY_SIZE];
};

struct snapshot {
    struct arena arena;
    struct snapshot_row *rows; /* by topic, then key */
    size_t count, room;
};

/* Replaces what it was. Errors: ERR_STATE for a row that cannot be read, or that two partitions
 * have; ERR_NO_MEMORY. */
MUST_CHECK int snapshot_take(struct sim *sim, struct snapshot *out);
void snapshot_free(struct snapshot *snapshot);

/* Takes out the rows that tell of a person, or of the node. */
void snapshot_without(
    struct snapshot *snapshot, const uint8_t person[KEY_SIZE], const uint8_t node[KEY_SIZE]);

/* NULL where both are the same, else what differs; tells: on standard error, row by row. */
const char *snapshot_difference(const struct snapshot *a, const struct snapshot *b, bool tells);

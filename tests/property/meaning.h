/*
 * The meaning of identity as one plain computation over a set of events: identity_spec.py in C, so
 * that cases with erasures and evidence, and parts of a failing case, can be answered. Its answers
 * are compared with the specification's wherever that has one.
 */
#pragma once

#include "tests/property/identity_case.h"

#define MEANING_NODES_MAX 256

/* What stands. */
struct meaning {
    uint8_t nodes[MEANING_NODES_MAX][KEY_SIZE]; /* ascending */
    size_t count;
    bool generic[MEANING_NODES_MAX];
    bool shown[MEANING_NODES_MAX];  /* by an event, or by evidence that stands */
    size_t root[MEANING_NODES_MAX]; /* index of a node */
};

/* The identifiers of the events for which kept[i], and their roots. known_generic: those that were
 * generic before, ascending. */
void meaning_solve(struct meaning *out, const struct identity_case *given, const bool *kept,
    const uint8_t (*known_generic)[KEY_SIZE], size_t known_count);

/* Index of a node, or SIZE_MAX. */
size_t meaning_find(const struct meaning *meaning, const uint8_t node[KEY_SIZE]);

/* The root that an event belongs to: index of a node. */
size_t meaning_place(const struct meaning *meaning, const struct signature *signature);

/* Whether it is what the specification says of the case's events alone. Solves it. Threads: one. */
bool meaning_agrees(struct meaning *meaning, const struct identity_case *given);

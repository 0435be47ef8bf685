/*
 * Integer counts that follow their paths: a path that appears, changes or vanishes is added or
 * taken back, and the counts are those of the paths that stand, whatever the history. Markov models
 * count the transitions of their order, coalition models the channels of a path.
 *
 * Counts are sums, so they may also be kept of a batch's changes alone: what was taken back and not
 * added is then negative. Amounts add up modulo 2^64: any history that ends in the same paths ends
 * in the same numbers, and a sum that fits is exact.
 *
 * Source: ATTRIBUTION, "Streaming"; states as in "Markov, order k, closed form".
 */
#pragma once

#include "enrich/attribution/markov.h"
#include "schemas/arena.h"

enum counts_form {
    COUNTS_TRANSITIONS, /* from state to state; a state has `order` channels, of a shorter path all
                         */
    COUNTS_SETS,        /* the distinct channels of a path, in the order of their numbers */
    COUNTS_SEQUENCES,   /* the same in the order in which they first come */
};

struct counts_shape {
    enum counts_form form;
    int order; /* of transitions: 1 to MARKOV_ORDER_MAX */
};

/* Who counts: entries of different labels have nothing to do with each other. */
struct counts_label {
    uint32_t model;
    uint32_t group;
};

struct counts_entry {
    struct counts_label label;
    /* Channels of the state that is left, then of the one that is entered. None left: the start;
     * none entered: the end. A coalition is entered from the start; one of an empty path, as an
     * empty path's only transition, goes from the start to the end. */
    const uint32_t *channels;
    uint32_t from_count, to_count;
    uint64_t hash;
    int64_t paths;
    int64_t value; /* minor units; of what ends a path, else 0 */
};

/* {0} is empty; end with counts_free(). */
struct counts {
    struct arena arena;
    struct counts_entry *entries; /* in the order in which they came; some may stand at 0 */
    size_t entries_count, entries_room;
    uint32_t *slots; /* index + 1 */
    size_t slots_size;
    uint32_t *distinct; /* of one path */
    size_t distinct_room;
};

struct counts_path {
    const uint32_t *channels;
    size_t length; /* to PATH_LENGTH_MAX */
};

/* So many paths of that value together; a negative number takes back. */
struct counts_amount {
    int64_t paths;
    int64_t value;
};

/* Adds a path from transition `skip` on (0: all). After an error some of it may be counted. Errors:
 * ERR_VALUE (order out of range), ERR_TOO_LARGE (a path over PATH_LENGTH_MAX, over 2^31 entries),
 * ERR_NO_MEMORY. Threads: one a struct counts. */
MUST_CHECK int counts_add(struct counts *counts, const struct counts_shape *shape,
    struct counts_label label, struct counts_path path, size_t skip, struct counts_amount amount);

/* How many transitions both paths begin with: taking back one and adding the other may skip them.
 * Of coalitions 0. */
size_t counts_shared(const struct counts_shape *shape, struct counts_path a, struct counts_path b);

/* Forgets all entries, keeps the memory. */
void counts_clear(struct counts *counts);
void counts_free(struct counts *counts);

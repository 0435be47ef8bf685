/*
 * Distinct paths with their counts: what algorithmic models are solved from. Memory grows with the
 * distinct paths, not with the journeys.
 */
#pragma once

#include "enrich/attribution/sum.h"
#include "schemas/arena.h"

/* Most journeys in all, converting or not: 2^53 - 1, up to which a double counts exactly, so that
 * one more is seen. */
#define PATH_SET_TOTAL_MAX 9007199254740991.0
#define PATH_LENGTH_MAX ((size_t)1 << 20)

struct path {
    struct path *next; /* of the same slot */
    const uint32_t *channels;
    uint32_t length;
    uint32_t last_state; /* free for a model's use */
    double conversions;
    double value; /* of amount */
    double nulls; /* journeys that did not convert */
    struct sum amount;
};

struct path_set {
    struct arena arena;
    struct str *channels; /* by number, in the order in which they came */
    size_t channels_count, channels_room;
    uint32_t *channel_slots; /* number + 1 */
    size_t channel_slots_size;
    struct path **paths; /* in the order in which they came */
    size_t paths_count, paths_room;
    struct path **slots;
    size_t slots_size;
    double conversions, value, nulls; /* of all paths; value: of amount */
    struct sum amount;
    size_t longest;
};

/* {0} is empty. Frees all. Threads: one each. */
void path_set_free(struct path_set *set);

/* The number of a channel, which is copied. Errors: ERR_NO_MEMORY. */
MUST_CHECK int path_set_channel(struct path_set *set, struct str name, uint32_t *out);

/* What is counted of one path. */
struct path_count {
    double conversions; /* finite, not negative */
    double value;       /* finite */
    double nulls;       /* as conversions */
    double value_rest;  /* what value was rounded by */
    double value_size;  /* of the terms that it is the sum of; 0: it is one */
    double value_noise; /* of the sum that it is; 0: that of a double */
};

/* The value, as sums have it. */
struct sum path_count_amount(const struct path_count *count);

/* Adds to a path, which may be empty. Errors: ERR_VALUE (a count that is none), ERR_TOO_LARGE
 * (totals over PATH_SET_TOTAL_MAX, values over what a double holds, or a path over
 * PATH_LENGTH_MAX), ERR_NO_MEMORY; the set is then as before. */
MUST_CHECK int path_set_add(
    struct path_set *set, const uint32_t *channels, size_t length, const struct path_count *count);

/* That path, or NULL. */
const struct path *path_set_find(
    const struct path_set *set, const uint32_t *channels, size_t length);

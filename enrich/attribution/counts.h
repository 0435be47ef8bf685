/*
 * Transitions of a Markov order as integer counts that follow their paths: a path that appears,
 * changes or vanishes is added or taken back, and the counts are those of the paths that stand,
 * whatever the history. Memory follows the most transitions that ever stood at once.
 *
 * Source: ATTRIBUTION, "Streaming"; states as in "Markov, order k, closed form".
 */
#pragma once

#include "enrich/attribution/markov.h"

/* Tuples of `order` channels; a shorter path is one state that is filled up with COUNTS_NONE. The
 * start is all COUNTS_NONE; an end is its mark, then COUNTS_NONE. Channels are below
 * COUNTS_CHANNELS_MAX. */
#define COUNTS_NONE UINT32_MAX
#define COUNTS_CONVERSION (UINT32_MAX - 1)
#define COUNTS_NULL (UINT32_MAX - 2)
#define COUNTS_CHANNELS_MAX (UINT32_MAX - 2)

/* Of one transition. */
struct counts_cell {
    int64_t count; /* never negative; 0 in a place that is free, or where only value stands */
    int64_t value; /* minor units; of transitions to the conversion, else 0 */
};

/* {.order = 1 to MARKOV_ORDER_MAX} is empty; end with counts_free(). */
struct counts {
    int order;
    struct counts_cell *cells; /* a hash table: places with count and value 0 are free */
    uint32_t *keys;            /* of each place: from, then to */
    size_t size;               /* places */
    size_t used;               /* transitions that stand */
};

/* What a path counts; of a conversion's change, the amounts to add or take back. */
struct counts_amount {
    int64_t conversions; /* 0 to PATH_SET_TOTAL_MAX */
    int64_t nulls;       /* likewise */
    int64_t value;       /* minor units, of any sign: corrections are values without conversions */
};

/* An empty path has no transition: it counts for nothing. After an error the counts are as before.
 * Errors: ERR_VALUE (order, channel or amount out of range; taking back what is not there),
 * ERR_TOO_LARGE (a path over PATH_LENGTH_MAX, or a count that overflows), ERR_NO_MEMORY.
 * Threads: one a struct counts. */
MUST_CHECK int counts_add(struct counts *counts, const uint32_t *channels, size_t length,
    const struct counts_amount *amount);
MUST_CHECK int counts_remove(struct counts *counts, const uint32_t *channels, size_t length,
    const struct counts_amount *amount);

/* Of the transition `key` (from, then to); all 0 where there is none. */
struct counts_cell counts_of(const struct counts *counts, const uint32_t *key);

void counts_free(struct counts *counts);

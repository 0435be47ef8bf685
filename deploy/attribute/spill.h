/*
 * Rows of touches in order, of any number: those over a named maximum of rows lie in sorted runs in
 * temporary files, which have no name and hold no customer's text. Add all, then read all, once.
 */
#pragma once

#include "deploy/attribute/attribute.h"

#define SPILL_ROWS_MAX ((size_t)1 << 20) /* in memory: 56 MiB, and 8 MiB while they are sorted */
#define SPILL_RUNS_MAX 64                /* of one level; so many become one of the next */
#define SPILL_LEVELS 4                   /* 2^44 rows at SPILL_ROWS_MAX */

struct touch_row {
    uint64_t customer[2]; /* what the order of rows has first */
    uint64_t number;      /* of the row, of one only: ties in time keep the file's order */
    int64_t at;
    double value, value_rest; /* as in struct path_count */
    uint32_t channel;
    uint16_t flags; /* of struct path_step */
    bool converted;
};

/* Total order of rows, as qsort() has it. */
typedef int (*spill_compare_fn)(const void *, const void *);

struct spill_merge;

struct spill {
    const struct attribute_options *options; /* rows_max, and where errors are named */
    spill_compare_fn compare;
    struct touch_row *items; /* what is in memory */
    size_t count, room, next;
    int runs[SPILL_LEVELS][SPILL_RUNS_MAX]; /* files */
    size_t runs_count[SPILL_LEVELS];
    bool spilled;
    struct spill_merge *merge; /* of all runs, when reading them */
};

/* options outlive it. No errors; end with spill_free(). */
void spill_init(
    struct spill *spill, const struct attribute_options *options, spill_compare_fn compare);
void spill_free(struct spill *spill);

/* Errors: ERR_NO_MEMORY; after naming it on options->messages ERR_FULL (no space for a run), ERR_IO
 * and ERR_TOO_MANY (over all levels). */
MUST_CHECK int spill_add(struct spill *spill, const struct touch_row *row);

/* Ends adding. Errors: as spill_add(). */
MUST_CHECK int spill_sort(struct spill *spill);

/* The next row in order, after spill_sort(): borrowed until the next call. Returns 1; 0 at the end.
 * Errors: ERR_IO (named). */
MUST_CHECK int spill_next(struct spill *spill, const struct touch_row **out);

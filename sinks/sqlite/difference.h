/*
 * What differs between two databases: rows that one of them alone has, and rows of one key that say
 * other things. Of the tables and columns that a digest is of (digest.h).
 */
#pragma once

#include "sinks/sqlite/digest.h"

struct difference_table {
    const char *name; /* static */
    int64_t before;   /* rows */
    int64_t after;
    int64_t gone;
    int64_t come;
    int64_t changed;
};

struct difference {
    struct difference_table tables[DIGEST_TABLES_MAX]; /* by name */
    size_t tables_count;
    int64_t rows; /* gone, come and changed of all */
};

enum difference_kind {
    DIFFERENCE_GONE,
    DIFFERENCE_COME,
    DIFFERENCE_CHANGED,
};

/* One of the rows that differ. Texts are JSON, valid during the call. */
struct difference_sample {
    const char *table;
    enum difference_kind kind;
    struct str key;     /* an array of the key's columns */
    struct str columns; /* of a changed one: {"name":[before,after],...}; else empty */
};
typedef int difference_fn(void *context, const struct difference_sample *sample);

/* Compares as of one moment each. on_sample (may be NULL) is told the first samples_max rows of
 * each table; another answer than 0 ends all. Memory: two rows. Errors: as digest_make(); those of
 * on_sample. Threads: the connections'. */
MUST_CHECK int difference_make(sqlite3 *before, sqlite3 *after, int64_t samples_max,
    difference_fn *on_sample, void *context, struct difference *out);

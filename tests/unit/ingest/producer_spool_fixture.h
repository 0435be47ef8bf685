/*
 * A producer's spool in a directory of its own, and records that tell their number.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "ingest/producer/spool.h"

#define SPOOL_DIR_SIZE 64
#define SPOOL_NAME_SIZE 32

struct spool_fixture {
    char dir[SPOOL_DIR_SIZE];
    struct producer_spool_options options;
    struct producer_spool *spool;
    int64_t now_ms; /* of the spool's clock */
    int next;       /* record that is appended next; from 0 on */
    /* Memory: allocations that stand, and the one that fails (1: the next; 0: none). */
    size_t allocated;
    size_t failing;
};

/* For cmocka. Segments of 400 bytes, 8,000 in all, by hand synchronised. */
int spool_setup(void **state);
int spool_teardown(void **state);

/* Closes and opens; both must succeed. */
void spool_reopen(struct spool_fixture *fixture);
/* Appends the next record, of 50 bytes (70 with its frame); counted when that returns 0. */
int spool_append(struct spool_fixture *fixture, bool durable);
void spool_append_many(struct spool_fixture *fixture, int count);
/* Number of a record, whose bytes must be its own. */
int spool_number(const struct producer_spool_record *record);
/* Reads a batch, all of it `first`, `first` + 1 and so on. Returns how many. */
int spool_read(struct spool_fixture *fixture, int first, struct producer_spool_batch *batch);
/* Reads and consumes until nothing is left: all from `first` to the last that was appended. */
void spool_drain(struct spool_fixture *fixture, int first);
/* Reads and consumes until nothing is left; found[i] counts how often number i came, in order. */
void spool_drain_any(struct spool_fixture *fixture, int found[], int limit);
struct producer_spool_statistics spool_statistics(struct spool_fixture *fixture);
/* Files with this ending; the first in order goes to `first` if that is not NULL. */
int spool_files(
    const struct spool_fixture *fixture, const char *ending, char first[SPOOL_NAME_SIZE]);
/* Path of a file; valid until the next call. */
const char *spool_path(const struct spool_fixture *fixture, const char *name);

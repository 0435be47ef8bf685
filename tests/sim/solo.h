/*
 * One stage, one partition, its rows in LMDB in a temporary directory: for tests that count what a
 * stage asks of its driver, and for benchmarks of a stage alone. Not thread-safe.
 */
#pragma once

#include "ingest/stream/state_overlay.h"
#include "ingest/stream/stream.h"

struct solo_counts {
    uint64_t gets;               /* look-ups in the committed store */
    uint64_t scans;              /* likewise */
    uint64_t changes;            /* rows put or deleted, as committed */
    uint64_t mails[TOPIC_COUNT]; /* sent */
    uint64_t bytes[TOPIC_COUNT]; /* in them */
};

/* A record that the stage sent and that is none of its inputs. */
struct solo_sent {
    struct str key;
    struct str value;
};

struct solo;

/* stage outlives it. Errors: of open(), of the store. */
MUST_CHECK int solo_new(const struct stage *stage, struct solo **out);
void solo_free(struct solo **solo);

/* Records of a topic that the stage sent are kept until solo_commit() when this is set; mail to
 * itself is delivered and gone. Off at first. */
void solo_keep_sent(struct solo *solo, bool keep);

/* Processes a record, then all mail that the stage sends itself. Errors: of the stage; the batch is
 * then undone. */
MUST_CHECK int solo_process(struct solo *solo, const struct record *record);

/* settle(), then commits. */
MUST_CHECK int solo_commit(struct solo *solo);

/* Drops the batch, as a driver does after an error. */
void solo_abort(struct solo *solo);

/* What was kept of a topic, in order; valid until solo_commit() or solo_abort(). */
const struct solo_sent *solo_sent(const struct solo *solo, enum topic topic, size_t *count);

/* A committed row, or STATE_ABSENT; valid until the next call. */
MUST_CHECK int solo_row(struct solo *solo, enum table table, struct str key, struct str *value);

/* Committed rows, valid until the next call. Errors: of the store. */
MUST_CHECK int solo_rows(struct solo *solo, struct state_backend **out);

/* Rows of a table and the bytes of their keys and values, as committed. */
MUST_CHECK int solo_table_size(struct solo *solo, enum table table, size_t *rows, size_t *bytes);

const struct solo_counts *solo_counts(const struct solo *solo);

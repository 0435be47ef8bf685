/*
 * Large values of tables, beside the tables: rows keep where theirs stands.
 *
 * Rows are clustered by person, values come in the order of arrival. Kept in the row, every batch
 * would rewrite the pages of the large values of all persons that it meets; kept here, it appends
 * them. (One million events of 900 bytes of 130,000 persons: 363,000 leaf pages, each rewritten
 * many times, became 13,000.)
 *
 * Chunks hold values one after the other, each with its row's table and key. Of a chunk that has
 * lost more than half of its bytes the rest is moved, then it is deleted: the heap is at most twice
 * as large as what it keeps, plus a chunk a batch.
 */
#pragma once

#include <lmdb.h>

#include "ingest/stream/topic.h"

/* Values from this size on are worth a reference. */
#define HEAP_VALUE_MIN ((size_t)160)

struct heap_place {
    uint64_t chunk;
    uint32_t offset; /* of the value */
    uint32_t size;
};

/* An entry of a chunk. */
struct heap_entry {
    enum table table;
    struct str key;
    struct str value;
    struct heap_place place;
};

struct heap_dead {
    uint64_t chunk;
    uint64_t bytes;
};

struct heap {
    MDB_dbi chunks; /* number (8, big-endian) -> entries */
    MDB_dbi dead;   /* number -> bytes of its entries that no row means any more (8, big-endian) */
    /* of the running write: */
    MDB_txn *txn;
    uint64_t next;    /* number of the chunk that is being filled */
    struct buf chunk; /* its entries */
    struct heap_dead *deads;
    size_t deads_count, deads_room;
    struct buf sparse; /* numbers (uint64_t) of chunks to move */
};

/* Opens both databases in a write transaction of their making. Returns 0 or an LMDB code. */
MUST_CHECK int heap_open(struct heap *heap, MDB_txn *txn);
void heap_fini(struct heap *heap);

/* Begins to write within a transaction. Errors of these: ERR_FULL, ERR_IO, ERR_STATE,
 * ERR_NO_MEMORY; nothing stands of it then unless the caller commits all the same. */
MUST_CHECK int heap_begin(struct heap *heap, MDB_txn *txn);
/* Appends the value of a row. */
MUST_CHECK int heap_put(
    struct heap *heap, enum table table, struct str key, struct str value, struct heap_place *out);
/* Says that no row means that entry any more. */
MUST_CHECK int heap_drop(struct heap *heap, struct str key, const struct heap_place *place);
/* All puts and drops are said: writes them down; chunks that are to move are in heap->sparse. */
MUST_CHECK int heap_settle(struct heap *heap);
/* Deletes a chunk whose live entries were put anew (no drop is said of those). */
MUST_CHECK int heap_delete(struct heap *heap, uint64_t chunk);
/* Writes what was put since heap_settle(). */
MUST_CHECK int heap_end(struct heap *heap);

/* Empties both. Returns 0 or an LMDB code. */
MUST_CHECK int heap_clear(struct heap *heap, MDB_txn *txn);

/* Reads a value in any transaction; valid as long as the transaction. Errors: ERR_STATE, ERR_IO. */
MUST_CHECK int heap_get(
    const struct heap *heap, MDB_txn *txn, const struct heap_place *place, struct str *value);

/* A chunk's bytes, and its entries in turn (false at the end; *error: 0 or ERR_STATE). */
MUST_CHECK int heap_chunk(
    const struct heap *heap, MDB_txn *txn, uint64_t chunk, struct str *entries);
bool heap_next(struct str entries, size_t *at, struct heap_entry *out, int *error);

/*
 * Tables in one LMDB environment: the committed store under an overlay. For drivers only.
 *
 * One named database a table, and one, "meta", for what the driver keeps with them (positions,
 * changelog offsets); large values are in a heap beside them. A batch reads one snapshot; its
 * changes and the driver's own rows go into one write transaction with fsync.
 *
 * Which keys are surely not there is known in memory (key_filter.h), of an environment that was not
 * empty once all its keys have been read, some with each apply().
 *
 * Not with MDB_WRITEMAP, though that puts twice as fast: a full disk would then be a SIGBUS instead
 * of ERR_FULL.
 */
#pragma once

#include <lmdb.h>

#include "ingest/stream/heap.h"
#include "ingest/stream/state_overlay.h"

#define STATE_LMDB_MAP_BYTES_DEFAULT ((size_t)256 << 30)
#define STATE_LMDB_EXTRA_MAX 4

struct state_lmdb_options {
    size_t map_bytes; /* address space; 0: STATE_LMDB_MAP_BYTES_DEFAULT */
    bool read_only;   /* of an environment that is there, also one that another process writes */
    bool whole_only;  /* a file that is shorter than it says is ERR_STATE; else reading it may be
                         SIGBUS. Of files of state_lmdb_commit() alone */
    bool fsync_off;   /* commits do not wait for the disk; tests, and copies that can be rebuilt */
    size_t filter_bytes_max;  /* of the filter of absent keys (key_filter.h); 0: its own limit */
    const char *const *extra; /* names of more databases of the driver's own */
    size_t extra_count;       /* at most STATE_LMDB_EXTRA_MAX */
    const char *format;       /* what `meta` must say of its version; written when new */
};

struct state_lmdb;

/* Opens or creates the environment in directory `dir` (made when absent). Errors: ERR_STATE
 * (another format, or damaged), ERR_NOT_FOUND (read only: no such directory), ERR_FULL, ERR_IO,
 * ERR_NO_MEMORY. Threads: one writer; read transactions from any (MDB_NOTLS). */
MUST_CHECK int state_lmdb_open(
    struct state_lmdb **out, const char *dir, const struct state_lmdb_options *options);
void state_lmdb_close(struct state_lmdb **store);

/* The backend for state_new(); reads the snapshot taken by state_lmdb_begin(). */
struct state_backend *state_lmdb_backend(struct state_lmdb *store);

/* Takes the snapshot that the backend reads; ends it. begin() after begin() without end() is a
 * programmer's error. */
MUST_CHECK int state_lmdb_begin(struct state_lmdb *store);
void state_lmdb_end(struct state_lmdb *store);

/* Puts and deletes rows within a write transaction of state_lmdb_env(). Errors: ERR_FULL, ERR_IO.
 */
MUST_CHECK int state_lmdb_apply(
    struct state_lmdb *store, MDB_txn *txn, const struct state_change *changes, size_t count);

/* How many of the changes, from the first on and one at least, make no more than so many bytes of
 * pages dirty, as far as can be told: LMDB keeps as many for the next write as the largest took. */
size_t state_lmdb_share(const struct state_change *changes, size_t count, size_t bytes_max);

/* Deletes all rows of all tables. Errors: ERR_FULL, ERR_IO. */
MUST_CHECK int state_lmdb_clear(struct state_lmdb *store, MDB_txn *txn);

/* The value of a row that was read from state_lmdb_table() itself; valid as long as the
 * transaction. Errors: ERR_STATE, ERR_IO. */
MUST_CHECK int state_lmdb_value(const struct state_lmdb *store, MDB_txn *txn, enum table table,
    const MDB_val *stored, struct str *value);

MDB_env *state_lmdb_env(struct state_lmdb *store);
MDB_dbi state_lmdb_meta(struct state_lmdb *store);
MDB_dbi state_lmdb_table(struct state_lmdb *store, enum table table);
MDB_dbi state_lmdb_extra(struct state_lmdb *store, size_t index);

/* The ERR_* for an LMDB or errno code: full disk or map ERR_FULL, damage ERR_STATE, else ERR_IO.
 * Never 0 for a failure. errno tells the system's reason behind, 0 where LMDB gave its own. */
int state_lmdb_error(int code);

/* Commits, and tells a full disk from a failing one: LMDB answers EIO for a short write, which is
 * how a disk says that it has become full in the midst. Nothing of the transaction remains then, as
 * LMDB writes the page that refers to it last. Consumes the transaction. Errors: of
 * state_lmdb_error(). */
MUST_CHECK int state_lmdb_commit(MDB_txn *txn);

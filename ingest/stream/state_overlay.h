/*
 * The writes of a running batch over a committed store: what every driver's struct state is.
 *
 * A driver gives a backend that reads the committed snapshot, runs its batch on the state, then
 * walks the changed rows in (table, key) order, writes them where it must, and resets the overlay.
 * For drivers only; stages see state.h.
 */
#pragma once

#include "ingest/stream/state.h"
#include "schemas/arena.h"

/*
 * The committed snapshot. Slices stay valid until the driver ends the batch. get(): 0 or
 * STATE_ABSENT. scan_begin() places a cursor at the first key >= from; scan_next() gives rows in
 * memcmp order, STATE_ABSENT behind the table's last. Errors: ERR_IO, ERR_STATE, ERR_NO_MEMORY.
 */
struct state_backend {
    int (*get)(struct state_backend *backend, enum table table, struct str key, struct str *value);
    /* Optional. True: no committed row of the table has a key that begins with the group. */
    bool (*lacks)(struct state_backend *backend, enum table table, struct str group);
    int (*scan_begin)(
        struct state_backend *backend, enum table table, struct str from, void **cursor);
    int (*scan_next)(void *cursor, struct str *key, struct str *value);
    void (*scan_end)(void *cursor);
};

/* A row that the batch leaves other than it found it. */
struct state_change {
    enum table table;
    struct str key;
    bool deleted;
    bool fresh;       /* no such row is committed; false where that is not known */
    bool stood;       /* such a row is committed; false where that is not known */
    struct str value; /* empty when deleted */
};

/* backend outlives the state. Errors: ERR_NO_MEMORY. Threads: one at a time. */
MUST_CHECK int state_new(struct state_backend *backend, struct state **out);
void state_free(struct state **state);

/* Between batches: memory is taken in blocks of at most so many bytes, and one is kept. */
void state_block_max(struct state *state, size_t bytes);

/* Changed rows sorted by (table, key), valid until state_reset(). Errors: ERR_NO_MEMORY. */
MUST_CHECK int state_changes(
    struct state *state, const struct state_change **changes, size_t *count);

/* Bytes that the overlay holds, for limits on a batch. */
size_t state_size(const struct state *state);

/* Those of them that the batch has filled; what is kept for the next one is not counted. */
size_t state_used(const struct state *state);

/* Forgets the batch. Scans must have ended. */
void state_reset(struct state *state);

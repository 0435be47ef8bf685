/*
 * One task's tables within the running batch. Reads see the committed snapshot under the batch's
 * own writes; the driver commits the writes with the input position and the outputs, or drops them
 * all.
 *
 * Slices that these functions return stay valid and unchanged until the batch ends, also when the
 * row is put again. Used by one thread.
 */
#pragma once

#include "ingest/stream/topic.h"

struct state;

/* Returned by state_get() and state_scan_next(): no such row, no further row. */
#define STATE_ABSENT 1

#define STATE_KEY_SIZE_MAX 256 /* the driver's LMDB allows 511 */
#define STATE_VALUE_SIZE_MAX ((size_t)16 << 20)

/* Reads a row. key: at least GROUP_SIZE bytes. Returns 0 and *value, or STATE_ABSENT (*value
 * unchanged). Errors: ERR_IO, ERR_STATE, ERR_NO_MEMORY (what was read is remembered). */
MUST_CHECK int state_get(struct state *state, enum table table, struct str key, struct str *value);

/* Writes a row (both slices are copied). Putting the bytes that the row has already is free and
 * leaves no trace in outputs. Errors: ERR_NO_MEMORY, ERR_TOO_LARGE, ERR_IO. */
MUST_CHECK int state_put(struct state *state, enum table table, struct str key, struct str value);

/* The same for a row that, as the caller knows, does not exist: saves looking for it. Builds with
 * fault points look all the same, and stop when it does. Errors as state_put(). */
MUST_CHECK int state_put_new(
    struct state *state, enum table table, struct str key, struct str value);

/* Deletes a row; an absent one is no error and leaves no trace. Errors as state_put(). */
MUST_CHECK int state_delete(struct state *state, enum table table, struct str key);

/* Rows of a table whose key starts with `prefix` (at least GROUP_SIZE bytes), in memcmp order.
 * Rows put or deleted after begin may or may not be seen. Opaque; end it always. */
struct state_scan;
MUST_CHECK int state_scan_begin(
    struct state *state, enum table table, struct str prefix, struct state_scan **out);
/* 0 and a row, or STATE_ABSENT at the end. Errors: ERR_IO, ERR_STATE. */
MUST_CHECK int state_scan_next(struct state_scan *scan, struct str *key, struct str *value);
/* Accepts NULL inside, leaves NULL. */
void state_scan_end(struct state_scan **scan);

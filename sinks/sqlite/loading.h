/*
 * The first load of a database that does not exist yet: written beside its place without a log,
 * then put there whole. Every page is so written about once instead of three times (log,
 * checkpoint, and again with each commit), and nobody sees half of the past.
 *
 * A load that is killed is begun anew: its file is no database yet. Used by one thread.
 */
#pragma once

#include "schemas/bytes.h"

struct loading {
    char *temporary; /* <path>-loading */
    char *path;
    int lock; /* held while temporary is written, so that two writers do not mix */
};

/* Whether there is nothing at path, so that a load may begin. */
bool loading_possible(const char *path);

/* Takes the lock, deletes what a killed load left. Errors: ERR_AGAIN (another process loads),
 * ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int loading_begin(struct loading *loading, const char *path);

/* The file is complete and closed: brings it to the disk and to its place. Errors: ERR_STATE
 * (something came there meanwhile), ERR_IO. */
MUST_CHECK int loading_publish(const struct loading *loading);

/* Deletes what is left, gives the lock back. Accepts one that never began. */
void loading_end(struct loading *loading);

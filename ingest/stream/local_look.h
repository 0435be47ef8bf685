/*
 * The committed rows of a directory of the local driver, which another process may own and write
 * meanwhile: for questions that the tables do not answer.
 */
#pragma once

#include "ingest/stream/state_overlay.h"

/* What is to be done with them; they are valid during the call. */
typedef int local_look_fn(void *context, struct state_backend *rows);

/* Calls `look` on one snapshot of DIR/state and returns what it returns. Nothing is written.
 * Errors: ERR_NOT_FOUND (no such directory, or nothing in it), ERR_STATE, ERR_OLDER, ERR_IO,
 * ERR_NO_MEMORY. Threads: any, but not in a process that has the directory open. */
MUST_CHECK int local_look(const char *dir, local_look_fn *look, void *context);

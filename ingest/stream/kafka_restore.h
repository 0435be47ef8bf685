/*
 * Brings local copies up to the end of their changelogs. One thread. Private to the driver.
 *
 * The end is asked for with open transactions counted, after the group's committed offsets were
 * found stable; what is read is committed records only. So a transaction of an earlier owner whose
 * offsets count is waited for until its rows are visible, also where its end marker is on its way.
 */
#pragma once

#include "ingest/stream/kafka_task.h"

struct kafka_restore;

/* Starts with the tasks given (borrowed; none may be closed before end()). A copy that its
 * changelog does not lead on from is rebuilt. `ends` is a client of KAFKA_ROLE_END, `reader` of
 * KAFKA_ROLE_RESTORE. Errors: ERR_AGAIN, ERR_KAFKA, ERR_IO, ERR_FULL, ERR_NO_MEMORY. */
MUST_CHECK int kafka_restore_begin(struct kafka_restore **out, struct kafka_task *const *tasks,
    size_t count, struct kafka_client *ends, struct kafka_client *reader);

/* Reads and writes some. Returns KAFKA_RESTORED when all is done, else 0: call again. Errors:
 * ERR_AGAIN, ERR_KAFKA, ERR_STATE (a record that no table takes), ERR_IO, ERR_FULL. */
#define KAFKA_RESTORED 1
MUST_CHECK int kafka_restore_step(struct kafka_restore *restore, int timeout_ms);

/* Rows read, and copies thrown away, so far. */
void kafka_restore_counts(const struct kafka_restore *restore, uint64_t *rows, uint64_t *rebuilt);

/* Records between where the copies are and the ends. */
int64_t kafka_restore_left(const struct kafka_restore *restore);

/* Accepts NULL inside, leaves NULL. */
void kafka_restore_end(struct kafka_restore **restore);

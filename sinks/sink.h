/*
 * A destination of results: keyed upserts and deletes, with their input positions in the same
 * transaction of the destination.
 *
 *     positions() ─▶ [ apply() ... apply() ─▶ commit() ] ... ─▶ sync() ─▶ the source may forget
 *
 * A transaction spans one or more batches. Whatever fails, the destination stands where the last
 * commit() left it: results and positions agree.
 */
#pragma once

#include "ingest/stream/stream.h"

/*
 * Used by one thread. Every function returns 0 or an ERR_*; the class says what may help: RETRY the
 * same results again, REJECT put one row aside, FATAL stop.
 */
struct sink {
    const char *name;

    /* Positions of the last commit; *positions is valid until the next call of any function. */
    int (*positions)(struct sink *sink, const struct result_position **positions, size_t *count);

    /* Adds a batch and its positions to the open transaction, and opens one when there is none. On
     * an error the whole transaction is rolled back: read again from positions(). A result that can
     * not be read is set aside by the sink (see rejected_count) and is no error. Takes nothing: the
     * batch may vanish afterwards. A batch that begins anew clears the destination first. */
    int (*apply)(struct sink *sink, const struct result_batch *batch);

    /* The open transaction will stand for all that there is: solves what follows from all rows in
     * it, so that nobody sees these beside what followed from those before. Models that cannot be
     * solved are left to solve(). Errors as apply(). May be NULL. */
    int (*complete)(struct sink *sink);

    /* Makes the open transaction visible, all or nothing; without one it does nothing. On an error
     * the transaction is rolled back, or its fate is unknown: read again from positions(). */
    int (*commit)(struct sink *sink);

    /* Makes all that was committed survive a loss of power; only then may a source forget it. */
    int (*sync)(struct sink *sink);

    /* The source has no more, and none is known to come: time for work that nobody waits for. May
     * be NULL. */
    int (*settle)(struct sink *sink);

    /* Solves what follows from all rows together, where they have changed since, in a transaction
     * of its own; does nothing while one is open. Returns how many models could not be solved. May
     * be NULL. */
    int (*solve)(struct sink *sink);

    /* Frees the sink; an open transaction is rolled back. */
    void (*close)(struct sink *sink);

    uint64_t rejected_count; /* results set aside since it was opened */
    uint64_t refused_count;  /* events that came after an erasure and were refused, since then */
};

/*
 * The embedded driver: topics and state in LMDB under one directory, one process.
 *
 *     DIR/lock   held by the process that owns the directory
 *     DIR/log/   LMDB, written by appenders only: events and rejected, cursors; group commit: all
 * waiting appends share one fsync DIR/state/ LMDB, written by the worker only: {input position,
 * tables, change log of results}, one transaction a batch
 *
 * Neither waits for the other's writer lock. Mail between stages stays in memory: a batch runs it
 * to quiet, then calls settle(), inside its one transaction.
 *
 * The change log of results holds (table, key); a reader looks the current value up. So a row that
 * changed often is written once, and a batch of results always shows rows at or after its position.
 */
#pragma once

#include "ingest/stream/stream.h"

struct local;

#define LOCAL_WHY_SIZE 160

struct local_options {
    size_t batch_records_max; /* 0: 250,000 */
    size_t batch_bytes_max;   /* of input and touched rows, in memory; 0: 512 MiB */
    size_t map_bytes;         /* address space an environment may take; 0: 256 GiB */
    bool fsync_off;           /* benchmarks and tests only */
    bool keep; /* what an older build wrote is refused (ERR_OLDER), not brought up to this one */
    char *why; /* LOCAL_WHY_SIZE bytes: what ERR_NEWER is about; NULL: nobody asks */
    /* Called after each transaction that brought rows of an older build to this one's schemas, with
     * how many were looked at so far. An error ends local_open() with it; the next one goes on
     * there. NULL: none. */
    int (*upgrading)(void *context, uint64_t rows);
    void *upgrading_context;
};

/* Opens or creates; takes the lock. What an older build's schemas wrote is read through a plan: the
 * log as it is read, the state once, here. Errors: ERR_LOCKED, ERR_STATE (other version),
 * ERR_OLDER, ERR_NEWER (schemas that this build does not know; all stays as it is), ERR_IO,
 * ERR_NO_MEMORY; with ERR_IO and ERR_FULL errno is the system's reason. Threads: each opened local
 * is used as said at its functions. */
MUST_CHECK int local_open(struct local **out, const char *dir, const struct local_options *options);
/* Ends appends in flight with an error, waits for them; the worker and sources must have ended. */
void local_close(struct local **local);

/* The appender of this log; owned by the local. Threads: any. */
struct appender *local_appender(struct local *local);

/* Position after the last durable record of the log. Threads: any. */
int64_t local_log_end(struct local *local);

/* Gives the stages that the worker runs (P = 1: one instance each). The stages outlive the local.
 * Errors: of their open(); ERR_MEANING when the tables were built with other settings. Worker
 * thread only, once, before local_work(). */
MUST_CHECK int local_set_stages(struct local *local, const struct stage *stages, size_t count);
/* After ERR_MEANING: brings the rows of stages that can make theirs anew to their new meaning, so
 * many keys a call, a transaction each. Returns 0 when there is more, LOCAL_QUIET when all is done
 * (then local_work() may go on); after a crash it is begun again, by whatever settings, and until
 * it has ended local_set_stages() refuses all. Errors: ERR_MEANING when a stage
 * cannot; as local_work(). Worker thread only. */
MUST_CHECK int local_rederive(struct local *local, size_t keys_max);

/* Results of the change log before this position came of local_rederive(), with older ones: a
 * reader that is behind it shows all of them at once, so that nobody sees two meanings. 0: there
 * were none. Before local_work() only. */
int64_t local_whole_to(const struct local *local);

/* After ERR_MEANING: what differs, a pair of lines each (meaning.h). */
struct str local_difference(const struct local *local);

/* Runs one batch. Returns 0 when it processed something, LOCAL_QUIET when the log has no more
 * (after waiting up to timeout_ms). Errors: of the stages, ERR_IO, ERR_STATE; the batch is then
 * undone. Worker thread only. */
#define LOCAL_QUIET 1
MUST_CHECK int local_work(struct local *local, int timeout_ms);
/* Makes a waiting local_work(), or the next one, return early. Threads: any; not for signal
 * handlers. */
void local_wake(struct local *local);
/* The same for next() of each source of results. */
void local_wake_results(struct local *local);

/* Opens a reader of results from where `positions` say (count 0: everything that the tables hold
 * now). `name` registers it: the change log is kept until every registered reader has acked.
 * Errors: ERR_STATE when the positions are not of this directory, ERR_IO. Threads: the source is
 * used by one thread, which need not be the worker's. */
MUST_CHECK int local_results(struct local *local, const char *name,
    const struct result_position *positions, size_t count, struct result_source **out);

/*
 * The embedded mode: log, worker and SQLite in one process, each in a thread of its own.
 *
 *     doors ── append ──▶ log ──▶ [worker thread] ──▶ change log ──▶ [sink thread] ──▶ tabiji.db
 */
#pragma once

#include "deploy/settings.h"
#include "ingest/stream/local.h"

struct embedded;

/* Opens the data directory and the database, starts both threads. settings outlive it. bulk: much
 * comes at once, then embedded_to_quiet(): a database that does not exist yet is written beside its
 * place meanwhile and put there, in one piece, by that. Erasures that were cut off are asked for
 * again (erasure.h). Errors: ERR_LOCKED when another process owns the directory; those of
 * local_open(), the sink and the stages; errno is the system's reason, or 0. */
MUST_CHECK int embedded_open(struct settings *settings, bool bulk, struct embedded **out);

/* Whether the data directory holds anything that embedded_open() would go on from: who only adds to
 * one that is there asks this first, since a name misspelled would be a new one. */
bool embedded_exists(const struct settings *settings);

struct appender *embedded_appender(struct embedded *embedded);
const char *embedded_database(const struct embedded *embedded);

/* Waits until everything appended before this call stands in the database. on_wait (may be NULL) is
 * called some times a second with events done and in all. Errors: what ended a thread. Threads: any
 * but the two. */
typedef void embedded_wait_fn(void *context, int64_t done, int64_t total);
MUST_CHECK int embedded_to_quiet(
    struct embedded *embedded, embedded_wait_fn *on_wait, void *context);

/* How far the worker is, and where the log ends. Threads: any. */
void embedded_progress(struct embedded *embedded, int64_t *worked_to, int64_t *log_end);

/* The error that ended a thread, or 0. Threads: any. */
int embedded_failure(struct embedded *embedded);

/* Ends both threads after the batch that they are at. Accepts NULL inside, leaves NULL. */
void embedded_close(struct embedded **embedded);

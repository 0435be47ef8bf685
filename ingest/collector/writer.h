/*
 * The thread that appends: all requests that wait share one append, and so one group commit.
 */
#pragma once

#include "ingest/log/log.h"
#include "ingest/metrics/metrics.h"
#include "ingest/stream/stream.h"

/* One request's records. Embedded in the request; it and the records outlive done(). */
struct writer_job {
    struct writer_job *next;
    const struct append_record *records;
    size_t count;
    /* Called on the writer's thread with what append() returned. */
    void (*done)(struct writer_job *job, int result);
};

struct writer;
/* Errors: ERR_NO_MEMORY, ERR_IO (no thread). All pointers outlive the writer. */
MUST_CHECK int writer_start(
    struct appender *appender, struct metrics *metrics, const struct log *log, struct writer **out);

/* Queues a job. Returns 0, or ERR_AGAIN when the writer is stopping (done() is then not called).
 * Threads: any. */
MUST_CHECK int writer_push(struct writer *writer, struct writer_job *job);

/* Appends what is queued and ends the thread; writer_push() then refuses. Once. */
void writer_stop(struct writer *writer);
/* After writer_stop(). Accepts NULL inside, leaves NULL. */
void writer_free(struct writer **writer);

/*
 * An appender before another one that may be away: what that does not take goes to the disk, and
 * from there to it, in order, when it is back.
 *
 *     append() ──▶ cluster                       while the spool is empty and the cluster answers
 *     append() ──▶ spool ──▶ [drainer] ──▶ cluster   from the first that it did not take in time,
 *                                                until the spool is empty again
 *
 * So what is in the spool goes first, and no event overtakes one that came before it. An append
 * whose outcome the cluster did not tell may be in both: events are idempotent.
 */
#pragma once

#include "ingest/log/log.h"
#include "ingest/metrics/metrics.h"
#include "ingest/stream/stream.h"

/* Borrowed until spool_close(). */
struct spool_config {
    const char *dir;
    uint64_t size_max;        /* bytes on the disk */
    int64_t drain_per_second; /* records; 0: as many as the cluster takes */
    size_t record_size_max;   /* larger ones are refused before they are acknowledged */
    /* Reaches the cluster. RETRY: asked again later, by the drainer's thread; others end the spool.
     */
    int (*open)(void *context, struct appender **out);
    /* Ends an append that waits, with an error of class RETRY. Threads: any. */
    void (*cancel)(void *context, struct appender *appender);
    void (*close)(void *context, struct appender **appender);
    void *context;
    const struct log *log;
    struct metrics *metrics;
};

/* Takes the directory, tries the cluster once, and starts the drainer. append() returns 0 when the
 * cluster has the records, or the disk has (fsync). Its errors: ERR_FULL: the spool is, answer 503;
 * ERR_TOO_LARGE; ERR_IO: the disk failed, for good; those of the cluster's append() that are not of
 * class RETRY. Cursors are not for a spool: check().
 * Errors: those of spool_disk_open(); of config->open(), not of class RETRY. */
MUST_CHECK int spool_open(const struct spool_config *config, struct appender **out);

/* The error that ended it: of the disk, or of the cluster; 0 while there is none. Threads: any. */
int spool_failure(const struct appender *appender);

/* A line for GET /readyz, or NULL while all goes straight to the cluster; *ready gets false when
 * an append would be refused. Threads: any. */
const char *spool_condition(void *appender, bool *ready);

/* No append() runs any more. What is in the spool stays there. Accepts NULL inside, leaves NULL. */
void spool_close(struct appender **appender);

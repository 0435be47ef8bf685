/*
 * What became of events: told to the caller's function, or kept until it asks.
 */
#pragma once

#include "ingest/producer/queue.h"

struct producer_reports {
    const struct tabiji_allocator *memory;
    tabiji_report_fn on_report;
    void *context;
    size_t kept_max;
    bool failures_only;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct producer_report *first, *last; /* under the lock, as what follows */
    size_t kept;
    uint64_t lost;
};

/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int producer_reports_init(
    struct producer_reports *reports, const struct tabiji_allocator *memory);
void producer_reports_fini(struct producer_reports *reports);

/* entry: NULL for TABIJI_REPORT_STOPPED. A report that there is no room or memory for is counted as
 * lost. Threads: the sender's. */
void producer_reports_tell(struct producer_reports *reports, enum tabiji_report_kind kind,
    const struct producer_entry *entry, const struct tabiji_problem *problem);

/* What became of so many events in the spool. Threads: the sender's. */
void producer_reports_tell_spool(
    struct producer_reports *reports, const struct tabiji_problem *problem, uint64_t events);

/* The next that was kept. Errors: ERR_AGAIN: none came in time. */
MUST_CHECK int producer_reports_next(
    struct producer_reports *reports, int timeout_ms, struct tabiji_report **out);
void producer_reports_free(struct producer_reports *reports, struct tabiji_report **report);
uint64_t producer_reports_lost(struct producer_reports *reports);

/*
 * The loop between a source of results and a sink. It alone acts on error classes:
 *
 *     RETRY   the source is closed, the runner waits (longer each time) and opens it again where
 * the sink stands REJECT  the results of the failed transaction are applied one by one; the one at
 * fault is reported and left out FATAL   the loop ends with the error
 *
 * Solving takes a tenth of the time at most, the first one aside: what took long waits longer.
 *
 * A source is told that it may forget results (ack) only after the sink made them durable (sync),
 * so nothing can be lost between the two whatever is killed or unplugged.
 */
#pragma once

#include "sinks/sink.h"

/* Time, so that tests have their own. Both get the config's context. */
struct runner_clock {
    int64_t (*now_ms)(void *context);           /* monotonic */
    void (*wait_ms)(void *context, int64_t ms); /* may return early */
};

struct runner_config {
    struct sink *sink; /* outlives the runner; used by the loop's thread only */
    /* Opens the source where the sink stands (count 0: from the beginning). */
    int (*open_source)(void *context, const struct result_position *positions, size_t count,
        struct result_source **out);
    /* A result that the sink refused for good; may be NULL. */
    void (*rejected)(void *context, const struct result *result, int error);
    /* Something failed and will be tried again after wait_ms; may be NULL. */
    void (*retrying)(void *context, int error, int64_t wait_ms);
    /* So many models could not be solved; they are tried again. May be NULL. */
    void (*unsolved)(void *context, int models);
    /* A commit of so many results took so long; may be NULL. */
    void (*committed)(void *context, size_t results, int64_t ms);
    void *context;

    int64_t solve_interval_ms;        /* between two calls of the sink's solve(); 0: none */
    int64_t solve_rest_ms;            /* also when nothing came for so long; 0: not */
    bool whole;                       /* one transaction until it rests, which is completed */
    size_t commit_results_max;        /* results in one transaction; 0: 200,000 */
    int64_t commit_delay_max_ms;      /* age of an uncommitted result; 0: 3 s */
    int64_t sync_interval_ms;         /* between two syncs; 0: 5 s */
    int poll_ms;                      /* longest wait for results, and for a stop; 0: 200 ms */
    int64_t backoff_min_ms;           /* 0: 100 ms */
    int64_t backoff_max_ms;           /* 0: 10 s */
    const struct runner_clock *clock; /* NULL: the real one */
};

/* What has been done since runner_new(). */
struct runner_stats {
    uint64_t results; /* committed */
    uint64_t commits;
    uint64_t syncs;
    uint64_t retries;
    uint64_t rejected; /* set aside by the sink, or refused by it */
    uint64_t refused;  /* events that came after an erasure, since the sink was opened */
    int last_error;    /* of the last retry, else 0 */
};

struct runner;

/* Copies *config. Errors: ERR_NO_MEMORY. */
MUST_CHECK int runner_new(struct runner **out, const struct runner_config *config);
/* The loop must have ended. Closes the source, not the sink. Accepts NULL inside, leaves NULL. */
void runner_free(struct runner **runner);

/* Runs until runner_stop(), then commits, syncs, acks. Returns 0, or the error that ended it.
 * Threads: one loop at a time. */
MUST_CHECK int runner_run(struct runner *runner);

/* Runs until the source has no more while quiet(context) was true before it was asked, then
 * commits, syncs, acks. quiet: "whatever makes results has nothing to do". Returns 0,
 * RUNNER_STOPPED, or the error that ended it. */
#define RUNNER_STOPPED 1
MUST_CHECK int runner_to_quiet(
    struct runner *runner, bool (*quiet)(void *context), void *quiet_context);

/* Ends the loop that runs, or the next one, within poll_ms and one batch; at once where the source
 * is made to return early. Threads: any, also a signal handler's. */
void runner_stop(struct runner *runner);

/* Makes the loop open its source anew between two batches. Threads: any. */
void runner_reopen(struct runner *runner);

/* Threads: any. */
struct runner_stats runner_stats(const struct runner *runner);

/* runner_run(), or with quiet (not NULL) runner_to_quiet(), in a thread of its own. Errors:
 * ERR_AGAIN (no thread). */
MUST_CHECK int runner_start(
    struct runner *runner, bool (*quiet)(void *context), void *quiet_context);
/* Whether that thread has ended by itself: join it to learn why. Threads: any. */
bool runner_ended(const struct runner *runner);
/* Stops the thread and waits for its end; the runner can then be started again. Returns what
 * the loop returned. */
MUST_CHECK int runner_join(struct runner *runner);

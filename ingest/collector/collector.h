/*
 * The HTTP door: reads requests, judges their events, appends them, and answers 2xx only when the
 * append is durable.
 *
 *     sockets ─▶ MHD's threads: read, check, inflate, parse, judge ─▶ writer: one append for all
 * that wait ─▶ MHD's threads: reply
 *
 * A request waits for its append without holding a thread: all that wait share one group commit.
 */
#pragma once

#include "ingest/collector/inflate.h"
#include "ingest/config/config.h"
#include "ingest/door.h"
#include "ingest/log/log.h"
#include "ingest/metrics/metrics.h"
#include "ingest/stream/stream.h"

/* A question of GET /v1/lookup. */
struct collector_question {
    struct str id;   /* spelling of an identifier: who is meant? Never empty. */
    struct str with; /* not empty: what links the two? */
};

/* Answers: appends JSON to *reply and sets the HTTP status. Errors: ERR_AGAIN, ERR_NO_MEMORY and
 * others, which are answered 503 or as exchange_status() has them. Threads: any. */
typedef int collector_lookup_fn(
    void *context, const struct collector_question *question, struct buf *reply, int *status);

/* What of the appender GET /readyz tells: a line, or NULL; *ready gets false when an append would
 * be refused. Threads: any. */
typedef const char *collector_condition_fn(void *context, bool *ready);

/* What later stages made of events, for the live view: tail.h. */
struct tail_question;
struct tail_later;
typedef int collector_later_fn(
    void *context, const struct tail_question *questions, size_t count, struct tail_later *answers);

/* Borrowed until collector_stop(). Fields as in option.def, [collector]. */
struct collector_config {
    const char *listen;
    unsigned threads; /* 0: one a core */
    unsigned connections_max;
    unsigned connections_per_address_max; /* 0: no limit */
    size_t body_size_max;
    struct inflate_limits inflate;
    size_t batch_events_max;
    int64_t request_timeout_ms;
    int64_t idle_timeout_ms;
    size_t buffered_bytes_max;
    bool forwarded_for;
    struct str open_source;
    const struct config_source *sources;
    size_t sources_count;
    const struct door_config *door;
    const struct log *log;
    struct metrics *metrics;
    collector_lookup_fn *lookup; /* answers GET /v1/lookup, to operators; NULL: 404 */
    void *lookup_context;
    collector_condition_fn *condition; /* NULL: none */
    void *condition_context;
    collector_later_fn *later; /* NULL: nobody here knows */
    void *later_context;
};

/* The values of a configuration; door, log, metrics, lookup and condition are left NULL. */
void collector_configure(const struct config *config, struct collector_config *out);

struct collector;

/* Listens and serves until collector_stop(). The appender and all that config borrows outlive the
 * collector. Errors: ERR_CONFIG (an address that is none, an open source on an address that is not
 * loopback), ERR_IO (cannot listen: the reason is logged), ERR_NO_MEMORY. */
MUST_CHECK int collector_start(
    const struct collector_config *config, struct appender *appender, struct collector **out);

/* The port that it listens on. Threads: any. */
int collector_port(const struct collector *collector);

/* The FATAL error of an append, after which every request is answered 503; 0 while all is well.
 * Threads: any. */
int collector_failure(const struct collector *collector);

/* Other sources from now on; requests that have begun keep theirs. What is given is borrowed until
 * release(owned) is called, from any thread; on an error it is not. open_source stays. Errors:
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int collector_set_sources(struct collector *collector,
    const struct config_source *sources, size_t count, void (*release)(void *owned), void *owned);

/* Stops listening, lets requests in flight finish (at most 10 s; not those that watch), ends.
 * Accepts NULL inside, leaves NULL. */
void collector_stop(struct collector **collector);

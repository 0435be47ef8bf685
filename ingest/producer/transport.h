/*
 * What carries batches: HTTP to a collector (http.h), and whatever else follows. One thread uses a
 * transport, but for wake().
 */
#pragma once

#include "ingest/door.h"
#include "ingest/producer/queue.h"

/* One event that was refused by name. */
struct producer_rejection {
    size_t index; /* in the batch */
    struct str code, pointer, hint;
};

enum producer_outcome_kind {
    PRODUCER_TAKEN,        /* durably; but for what `rejections` names */
    PRODUCER_AGAIN,        /* unknown or not now: it is sent again */
    PRODUCER_REFUSED,      /* as a whole: halved until the one at fault is alone */
    PRODUCER_UNAUTHORISED, /* so would be all others */
};

/* Slices live until the callback returns. */
struct producer_outcome {
    enum producer_outcome_kind kind;
    int status;             /* of HTTP, or 0 */
    int64_t retry_after_ms; /* asked for; 0: not said */
    uint64_t duplicates;
    uint64_t denied;    /* counted, but not kept */
    uint64_t body_size; /* as it went */
    const struct producer_rejection *rejections;
    size_t rejections_count;
    struct str code, hint; /* why, where it was not taken */
};

typedef void (*producer_done_fn)(
    void *context, struct producer_batch *batch, const struct producer_outcome *outcome);

/* An event as a transport carries it, made on the caller's thread. Slices live in the arena. */
struct producer_sealed {
    struct str bytes;             /* empty: it is to be read and judged when it is sent */
    struct event_problem problem; /* with a hint: a warning */
};

struct producer_transport;
struct producer_transport_ops {
    /* Judges an event that was read, and makes of it what is sent. What is not simply accepted is
     * not sealed. *event is changed, but for what it points to. NULL: this transport has no need.
     * Errors: ERR_NO_MEMORY. Threads: any. */
    int (*seal)(struct producer_transport *transport, struct touchpoint *event, struct arena *arena,
        struct producer_sealed *out);
    /* Begins to send; done() is called by work() later. At most requests_max at once. Errors:
     * ERR_NO_MEMORY: it is not begun. */
    int (*start)(struct producer_transport *transport, struct producer_batch *batch);
    /* Waits at most so long for something to happen, or for wake(), and does what is to be done. */
    void (*work)(struct producer_transport *transport, int timeout_ms);
    /* Ends a work() that waits, or the next one. Threads: any. */
    void (*wake)(struct producer_transport *transport);
    /* From the next batch on. Errors: ERR_NO_MEMORY, and the old one stays. */
    int (*set_key)(struct producer_transport *transport, struct str key);
    /* Gives up what is under way, without done(), and frees it. Leaves NULL. */
    void (*close)(struct producer_transport **transport);
};

/* The head of each transport's own structure. */
struct producer_transport {
    const struct producer_transport_ops *ops;
    producer_done_fn done;
    void *done_context;
};

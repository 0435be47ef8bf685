/*
 * The thread that takes batches from the queue to the transport, again until they are taken, and
 * tells what became of each event.
 *
 *     queue ──take──▶ [batch] ──start──▶ transport ──done──▶ taken: reports, settled
 *                        ▲                            ├─▶ again: waits, before all younger ones
 *                        └────────── in order ────────┤   (refused: in halves)
 *                                                     └─▶ unauthorised: waits for resume()
 *
 * With a spool batches come from it instead (backlog.h), one at a time, and what is not sent when
 * the thread ends stays there.
 */
#pragma once

#include <stdatomic.h>

#include "ingest/producer/backlog.h"
#include "ingest/producer/random.h"
#include "ingest/producer/report.h"
#include "ingest/producer/settings.h"
#include "ingest/producer/transport.h"

struct producer_sender {
    /* set before the thread starts */
    const struct tabiji_allocator *memory;
    struct producer_settings *settings;
    struct producer_queue *queue;
    struct producer_backlog *backlog; /* its spool may be NULL */
    struct producer_reports *reports;
    struct producer_random *random;
    const atomic_long *users; /* threads that may add to the queue, and so wake the transport */
    struct producer_transport *transport;
    pthread_t thread;
    /* of the thread alone */
    struct producer_batch *pending; /* to be sent again, in order */
    size_t running;                 /* requests */
    uint64_t epoch;                 /* rises with each pause */
    int pause_ms;                   /* 0: the target answers */
    int64_t not_before_ms;
    /* under the queue's lock */
    bool ending;
    int64_t end_ms;             /* monotonic: what is not settled by then is given up */
    bool discarded;             /* something was, or stays in the spool */
    bool resumed;               /* the key in settings is to be taken up */
    struct tabiji_problem last; /* why the last request failed */
};

/* Opens the transport and starts the thread, in which all signals are blocked, as in those of the
 * transport. The members above the thread are set but for the transport. Returns TABIJI_OK, or
 * TABIJI_ERROR_ARGUMENT with *problem set (may be NULL), TABIJI_ERROR_IO,
 * TABIJI_ERROR_NO_MEMORY. */
MUST_CHECK int producer_sender_start(
    struct producer_sender *sender, struct tabiji_problem *problem);

/* Whether its transport does. Just started. */
bool producer_sender_seals(const struct producer_sender *sender);
/* As the transport's seal(); without one, nothing is sealed. context: the sender. Threads: those
 * that are counted in `users`, and this. */
MUST_CHECK int producer_sender_seal(
    void *context, struct touchpoint *event, struct arena *arena, struct producer_sealed *out);

/* Stops the queue, lets the thread send for at most so long, and waits until it has reported all
 * and nobody adds to the queue any more. Returns 0, or ERR_AGAIN when something was discarded or
 * stays in the spool. */
MUST_CHECK int producer_sender_end(struct producer_sender *sender, int timeout_ms);

/* Puts a key into the settings (see producer_settings_renew_key()) and sends again. Threads: any.
 */
MUST_CHECK int producer_sender_resume(struct producer_sender *sender, const char *key);

/* Whether the caller is this thread: within a report callback. */
bool producer_sender_is_here(const struct producer_sender *sender);

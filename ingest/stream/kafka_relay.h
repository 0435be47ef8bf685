/*
 * Mail between tasks of one worker, handed from task to task within the transaction instead of to
 * its topic and back. Private to the driver.
 *
 *     outbox ─put()─▶ queue ─run()─▶ the receiving task
 *                └─▶ its topic: the partition is another worker's, or R2 or R6 forbid it
 *
 * R1 All or nothing. The queue is empty before a batch's rows are sent, so what follows from a
 *    record within the worker is committed with it, and dropped with it. What is not processed in
 *    the batch is in its topic, in the same transaction. Nothing stays in memory between batches.
 * R2 Order of each (task, receiving partition). Mail is handed over only while all that this
 *    worker's tasks, or their owners before it, have sent to the partition by its topic has been
 *    processed: while the input's `next` is at its `fence`. The queue is first in, first out. Mail
 *    of other workers' tasks is of other channels, which nothing is ordered with.
 * R3 The fence after an assignment or a roll-back is the partition's end as uncommitted reading has
 *    it, asked for then. An earlier owner's transaction that can still be committed has its mail
 *    before that: mail is flushed before offsets are sent, and the group's coordinator takes
 *    offsets of its generation only before it gives the partitions to another. What is produced
 *    later by such an owner is never committed. One of the same slot is ended, or its commit waited
 *    for, when this worker's producer was opened.
 * R4 Mail that is sent by topic raises the fence: at once beyond all, with the commit to behind
 *    what was sent. Where the topic's offsets do not go on from what was read (it was made anew),
 *    the fence stays beyond all until it is asked for again.
 * R5 One unit. A record and the mail that is handed over on its account are one to those who look
 *    for what ended a worker: the record is refused, and nothing of it has happened.
 * R6 Memory. Once the batch is an eighth larger than batch_bytes_max, what is in the queue goes to
 *    its topics, in order, and so does all mail of the batch from there on.
 */
#pragma once

#include "ingest/stream/kafka_inputs.h"

#define KAFKA_RELAY_FENCE_NONE INT64_MAX /* no offset reaches it */

struct kafka_relayed;

/* One of a worker. One thread. */
struct kafka_relay {
    struct kafka_inputs *inputs;
    struct kafka_producer *producer;
    size_t bytes_max;    /* of a batch */
    struct arena memory; /* of the queue; given back when that is empty */
    struct kafka_relayed *first;
    struct kafka_relayed **last;
    size_t bytes; /* in the queue */
    bool full;    /* R6: until the batch ends */
};

/* What a batch has so far: handed over mail counts like what was read. */
struct kafka_relay_batch {
    size_t records;
    size_t bytes;
};

/* inputs and producer outlive it. */
void kafka_relay_open(struct kafka_relay *relay, struct kafka_inputs *inputs,
    struct kafka_producer *producer, size_t bytes_max);
void kafka_relay_close(struct kafka_relay *relay);

/* After tasks were restored, no batch being open: asks for the ends of the assigned partitions of
 * mail (R3). Errors: of kafka_client_ends(). */
MUST_CHECK int kafka_relay_sync(struct kafka_relay *relay, struct kafka_client *ends);

/* Mail of a task: it is queued (copied) or sent by its topic. Errors: ERR_NO_MEMORY; of
 * kafka_producer_send(). */
MUST_CHECK int kafka_relay_put(
    struct kafka_relay *relay, enum topic topic, struct str key, struct str value);

/* Hands over until the queue is empty, what follows included. Errors: of kafka_task_process(), of
 * sending. */
MUST_CHECK int kafka_relay_run(
    struct kafka_relay *relay, struct arena *scratch, struct kafka_relay_batch *batch);

/* Whether there is mail to hand over. */
bool kafka_relay_waits(const struct kafka_relay *relay);

/* The batch was committed, the queue being empty: fences as R4 says. Or it was rolled back: the
 * queue is forgotten, and nothing handed over until kafka_relay_sync(). */
void kafka_relay_committed(struct kafka_relay *relay);
void kafka_relay_drop(struct kafka_relay *relay);

/* Whether there is a partition of mail that is still to be read up to its fence. One of
 * KAFKA_RELAY_FENCE_NONE is none: it is not waited for. */
bool kafka_relay_behind(struct kafka_relay *relay);

/*
 * The consume-transform-produce loop of one thread.
 *
 *     unsynced ─sync()─▶ synced ─first record─▶ in a batch ─finish()─▶ synced
 *        ▲                 │                        │ any error: roll_back()
 *        └── assignment ───┴────────────────────────┘
 *
 * 1. A batch is open only within kafka_worker_run(): between calls there is no transaction.
 * 2. While unsynced all partitions are paused and no record is processed. sync() restores the tasks
 *    to the ends of their changelogs, then seeks to the group's committed offsets: the same way
 * after an assignment, an aborted transaction, and one of which nobody knows what became.
 * 3. Tasks and inputs go only in the rebalance callback, which runs within rd_kafka_consumer_poll()
 *    and close(); `generation` tells others that it ran. They come in sync(): another worker of the
 *    slot may not have closed a task's copy yet.
 * 4. An input whose next record has a schema that the registry is being asked about holds that
 *    record and is paused, while others go on; the record is first when the reply is there.
 * 5. Mail for a task of this worker is handed over to it within the batch where kafka_relay.h
 *    allows that; what has been handed over is processed before the batch ends.
 * 6. `next` of an input is after the last record processed or, at its partition's end, after what
 *    carries no record; it is committed with the batch, or by an empty one when idle.
 */
#include "ingest/stream/kafka.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "ingest/registry/schema_cache.h"
#include "ingest/stream/fault.h"
#include "ingest/stream/kafka_assignment.h"
#include "ingest/stream/kafka_attempts.h"
#include "ingest/stream/kafka_consumer.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/kafka_inputs.h"
#include "ingest/stream/kafka_meter.h"
#include "ingest/stream/kafka_refuse.h"
#include "ingest/stream/kafka_relay.h"
#include "ingest/stream/kafka_restore.h"

#define POLL_MS 100 /* so often a waiting run() looks whether it was woken */
#define STAGES_MAX 8
#define CLUSTER_SIZE 128
#define BATCH_STRETCH 10 /* times batch_ms that a batch may take while there is more at hand */
#define CLOCK_EVERY 64   /* records between looks at the clock */
#define LINGER_PART 4    /* of a commit's time: with all of it each hop took half as long again */
#define REJOIN_MS 3000
#define EVENTS_WAIT_MS 2000 /* mail may be held up by another worker's open transaction */
#define RESYNC_MS 10000

struct kafka_worker {
    struct kafka_config config;
    struct stage stages[STAGES_MAX];
    size_t stages_count;
    struct kafka_slot *slot; /* own_slot, or one that workers share */
    struct kafka_slot *own_slot;
    struct kafka_suspects suspects;
    struct kafka_attempts attempts;
    char cluster[CLUSTER_SIZE];
    struct kafka_layout layout;
    struct kafka_client consumer;
    struct kafka_client ends;
    struct kafka_client reader;
    struct kafka_producer producer;
    struct kafka_topic_cache cache;
    struct kafka_frame frame;   /* of what the consumer reads */
    struct kafka_inputs inputs; /* of topics that stages read */
    struct kafka_relay relay;
    struct kafka_assignment given;
    uint64_t replies; /* of the schema registry, when held records were last looked at */
    struct arena scratch;
    uint64_t generation;
    bool unsynced;
    int64_t events_wait_end; /* so long events wait for mail at most; 0: they do not */
    int64_t resync_at;       /* from when on mail that is behind is read before events, again */
    int64_t rejoin_at;       /* then: when to look whether all topics are there */
    bool in_batch;
    size_t batch_inputs;            /* records read; mail that was handed over is not among them */
    struct kafka_relay_batch batch; /* all that was processed; bytes of rows in memory */
    int64_t batch_begin;
    int64_t batch_end; /* so long it waits for records; then it takes what is at hand */
    int64_t commit_ms; /* that the last commit took */
    bool drained;      /* the last poll found none */
    int64_t clock;     /* milliseconds, a little old */
    unsigned ticks;
    int failure; /* of the rebalance callback */
    atomic_bool woken;
    struct kafka_worker_counts counts;
    struct kafka_meter meter;
};

/* ---- batches ---- */

static void batch_end(struct kafka_worker *worker)
{
    worker->in_batch = false;
    worker->batch_inputs = 0;
    worker->batch = (struct kafka_relay_batch){0};
}

/* Undoes the batch; the next thing to happen is sync(). Returns the error given, or a worse one. */
static int roll_back(struct kafka_worker *worker, int error)
{
    int r = kafka_producer_abort(&worker->producer);
    for (size_t i = 0; i < worker->given.tasks_count; i++)
        kafka_task_drop(worker->given.tasks[i]);
    kafka_relay_drop(&worker->relay);
    batch_end(worker);
    kafka_suspects_ended(&worker->suspects, false);
    worker->unsynced = true;
    worker->counts.aborts++;
    kafka_log(&worker->config, LOG_WARNING, "kafka_rolled_back", "%s", error_text(error));
    if (r < 0 && error_class(r) == ERROR_CLASS_FATAL)
        return r;
    return error;
}

static int mark_committed(
    void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    kafka_suspects_passed(context, topic, partition, input->next);
    input->committed = input->next;
    return 0;
}

/* Derived rows and the mail that comes of them, until there is none; then all rows. */
static int settle_tasks(struct kafka_worker *worker)
{
    int r = 0;
    do {
        r = kafka_relay_run(&worker->relay, &worker->scratch, &worker->batch);
        for (size_t i = 0; i < worker->given.tasks_count && r == 0; i++)
            if (worker->given.tasks[i]->begun)
                r = kafka_task_settle(worker->given.tasks[i], &worker->scratch);
    } while (r == 0 && kafka_relay_waits(&worker->relay));
    for (size_t i = 0; i < worker->given.tasks_count && r == 0; i++)
        if (worker->given.tasks[i]->begun)
            r = kafka_task_tell(worker->given.tasks[i]);
    return r;
}

/* Kafka's commit, with everything in it or nothing. */
static int commit_transaction(struct kafka_worker *worker)
{
    int r = FAULT_POINT("kafka_consumed");
    if (r == 0)
        r = kafka_attempts_settle(&worker->attempts, &worker->inputs, worker->batch_inputs);
    if (r == 0)
        r = settle_tasks(worker);
    if (r == 0)
        r = kafka_attempts_settled(&worker->attempts, &worker->inputs);
    if (r == 0)
        r = FAULT_POINT("kafka_produced");
    if (r < 0)
        return r;
    rd_kafka_topic_partition_list_t *offsets = kafka_inputs_list(&worker->inputs, true);
    kafka_meter_commit(&worker->meter);
    r = kafka_producer_commit(&worker->producer, worker->consumer.rk, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
    return r;
}

/* Ends the open batch: all its effects stand, or none. */
static int finish(struct kafka_worker *worker)
{
    int64_t began = kafka_clock_ms();
    int r = commit_transaction(worker);
    if (r < 0)
        return roll_back(worker, r);
    worker->commit_ms = kafka_clock_ms() - began;
    kafka_relay_committed(&worker->relay);
    if (!worker->events_wait_end && began >= worker->resync_at)
        worker->unsynced |= kafka_relay_behind(&worker->relay);
    (void)kafka_inputs_each(&worker->inputs, mark_committed, &worker->suspects);
    kafka_suspects_ended(&worker->suspects, true);
    kafka_meter_committed(&worker->meter, worker->batch.records);
    worker->counts.commits++;
    worker->counts.records += worker->batch.records;
    for (size_t i = 0; i < worker->given.tasks_count; i++) {
        struct kafka_task *task = worker->given.tasks[i];
        if (!task->begun)
            continue;
        worker->counts.changes += task->changes;
        worker->counts.mails += task->mails;
        int failed = kafka_task_commit(task);
        if (failed == 0)
            failed = FAULT_POINT("kafka_store_committed");
        if (failed < 0) {
            /* The transaction stands; only this copy lags, and is restored by sync(). */
            kafka_log(&worker->config, LOG_ERR, "kafka_store", "%s %d: %s", task->stage->name,
                task->partition, error_text(failed));
            kafka_task_drop(task);
            worker->unsynced = true;
            r = failed;
        }
    }
    batch_end(worker);
    return r;
}

static int begin(struct kafka_worker *worker)
{
    int r = kafka_producer_begin(&worker->producer);
    if (r < 0)
        return roll_back(worker, r);
    kafka_meter_begin(&worker->meter);
    worker->in_batch = true;
    worker->batch_inputs = 0;
    worker->batch_begin = worker->clock = kafka_clock_ms();
    worker->batch_end = worker->clock + worker->config.batch_ms;
    return 0;
}

/* One record of the open batch. readable: what kafka_refuse_read() said. */
static int process(struct kafka_worker *worker, const rd_kafka_message_t *message,
    struct kafka_input *input, const struct record *record, int readable)
{
    int r = readable;
    if (r == 0)
        r = kafka_attempts_enter(
            &worker->attempts, &worker->inputs, record->topic, record->partition, record->position);
    if (r == 0) {
        size_t before = state_used(input->task->state);
        r = kafka_task_process(input->task, record, &worker->scratch);
        worker->batch.bytes += message->len + state_used(input->task->state) - before;
    }
    if (readable != 0 || r == ERR_CRASHES) {
        r = kafka_refuse(&worker->producer, message, record->topic, r, &worker->scratch);
        worker->counts.refused += r == 0;
    }
    if (r < 0)
        return r;
    input->next = message->offset + 1;
    worker->batch_inputs++;
    worker->batch.records++;
    kafka_meter_record(&worker->meter, message->len + message->key_len);
    return kafka_relay_run(&worker->relay, &worker->scratch, &worker->batch);
}

/* ---- rebalance ---- */

/* A task for each stage and partition that was given and has none. */
static int open_tasks(struct kafka_worker *worker)
{
    const struct kafka_task_origin origin = {.config = &worker->config,
        .slot = worker->slot,
        .cluster = worker->cluster,
        .producer = &worker->producer,
        .relay = &worker->relay,
        .suspects = &worker->suspects};
    size_t before = worker->given.tasks_count;
    int r = kafka_assignment_open(&worker->given, &origin, worker->stages, worker->stages_count);
    for (size_t i = before; i < worker->given.tasks_count; i++) {
        struct kafka_task *task = worker->given.tasks[i];
        for (size_t k = 0; k < task->stage->inputs_count; k++)
            *kafka_inputs_find(&worker->inputs, (int)task->stage->inputs[k], task->partition) =
                (struct kafka_input){.task = task};
    }
    return r;
}

static void close_tasks(struct kafka_worker *worker)
{
    kafka_assignment_close(&worker->given);
    kafka_inputs_clear(&worker->inputs);
}

static void on_assign(struct kafka_worker *worker, rd_kafka_topic_partition_list_t *parts)
{
    /* A place to start at, so that they can be sought; nothing is read while they are paused. */
    for (int i = 0; i < parts->cnt; i++)
        parts->elems[i].offset = 0;
    rd_kafka_resp_err_t code = rd_kafka_assign(worker->consumer.rk, parts);
    if (!code)
        code = rd_kafka_pause_partitions(worker->consumer.rk, parts);
    worker->unsynced = true;
    kafka_meter_rebalance(&worker->meter, REBALANCE_ASSIGNED);
    if (code)
        worker->failure = kafka_error_of(code);
    kafka_assignment_set(&worker->given, parts);
    kafka_log(&worker->config, LOG_INFO, "kafka_assigned", "%d partitions", parts->cnt);
}

static void on_revoke(struct kafka_worker *worker)
{
    int r = 0;
    bool lost = rd_kafka_assignment_lost(worker->consumer.rk);
    if (worker->in_batch)
        r = lost ? roll_back(worker, ERR_ABORT) : finish(worker);
    /* Rolled back or lagging, whoever gets the partitions takes it up; only what is fatal is ours.
     */
    if (r < 0 && error_class(r) == ERROR_CLASS_FATAL)
        worker->failure = r;
    if (!lost)
        kafka_attempts_end(&worker->attempts, &worker->inputs);
    kafka_log(&worker->config, LOG_INFO, "kafka_revoked", "%zu tasks%s", worker->given.tasks_count,
        lost ? ", lost" : "");
    close_tasks(worker);
    kafka_meter_rebalance(&worker->meter, lost ? REBALANCE_LOST : REBALANCE_REVOKED);
    rd_kafka_assign(worker->consumer.rk, NULL);
}

static void rebalance(
    rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *parts, void *opaque)
{
    struct kafka_client *client = opaque;
    struct kafka_worker *worker = client->owner;
    worker->generation++;
    worker->cache = (struct kafka_topic_cache){{NULL}}; /* librdkafka may make handles anew */
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        on_assign(worker, parts);
    else
        on_revoke(worker);
}

/* ---- sync ---- */

/* Reads changelogs while keeping membership alive. Returns 0, or KAFKA_BUSY when the assignment
 * changed meanwhile. */
static int restore_tasks(struct kafka_worker *worker)
{
    uint64_t generation = worker->generation;
    uint64_t rows = 0, rebuilt = 0;
    int64_t began = kafka_clock_ms();
    struct kafka_restore *restore;
    int r = kafka_restore_begin(
        &restore, worker->given.tasks, worker->given.tasks_count, &worker->ends, &worker->reader);
    if (r < 0)
        return r;
    while (r == 0 && !atomic_load(&worker->woken)) {
        r = kafka_restore_step(restore, POLL_MS);
        kafka_restore_counts(restore, &rows, &rebuilt);
        kafka_meter_restore(
            &worker->meter, kafka_restore_left(restore), worker->counts.restored + rows);
        /* All is paused: only callbacks and errors can come of this. */
        rd_kafka_message_t *message =
            r == 0 ? rd_kafka_consumer_poll(worker->consumer.rk, 0) : NULL;
        if (message)
            rd_kafka_message_destroy(message);
        if (generation != worker->generation)
            r = KAFKA_BUSY + 1;
    }
    kafka_restore_counts(restore, &rows, &rebuilt);
    worker->counts.restored += rows;
    worker->counts.rebuilt += rebuilt;
    kafka_restore_end(&restore);
    if (r < 0)
        return r;
    if (r != KAFKA_RESTORED)
        return KAFKA_BUSY;
    kafka_log(&worker->config, LOG_INFO, "kafka_restored", "%llu rows in %lld ms",
        (unsigned long long)rows, (long long)(kafka_clock_ms() - began));
    return 0;
}

static int resume(struct kafka_worker *worker, bool mail)
{
    rd_kafka_topic_partition_list_t *parts = kafka_inputs_list_of(&worker->inputs, mail);
    int r = kafka_error_of(rd_kafka_resume_partitions(worker->consumer.rk, parts));
    rd_kafka_topic_partition_list_destroy(parts);
    return r;
}

/* Goes to `next` of each input, and on. While there is mail to be read before any can be handed
 * over, events wait: what they cause would have to follow it through the topics, and so on for as
 * long as there are more. */
static int seek_and_resume(struct kafka_worker *worker)
{
    rd_kafka_topic_partition_list_t *parts = kafka_inputs_list(&worker->inputs, false);
    int r = kafka_consumer_seek(&worker->consumer, parts, &worker->generation);
    rd_kafka_topic_partition_list_destroy(parts);
    if (r == 0)
        r = resume(worker, true);
    int64_t now = kafka_clock_ms();
    worker->events_wait_end = kafka_relay_behind(&worker->relay) ? now + EVENTS_WAIT_MS : 0;
    worker->resync_at = now + RESYNC_MS;
    return r == 0 && !worker->events_wait_end ? resume(worker, false) : r;
}

static int let_events_in(struct kafka_worker *worker)
{
    bool wait = worker->clock < worker->events_wait_end && kafka_relay_behind(&worker->relay);
    if (!worker->events_wait_end || worker->unsynced || wait)
        return 0;
    worker->events_wait_end = 0;
    return resume(worker, false);
}

/* Returns 0, KAFKA_BUSY when it was interrupted, or an error; then the worker stays unsynced. */
static int sync_tasks(struct kafka_worker *worker)
{
    int r = open_tasks(worker);
    rd_kafka_topic_partition_list_t *parts = kafka_inputs_list(&worker->inputs, false);
    if (r == 0)
        r = kafka_error_of(rd_kafka_pause_partitions(worker->consumer.rk, parts));
    /* Stable offsets: an earlier owner's transaction is decided before this answers. */
    if (r == 0 && parts->cnt > 0)
        r = kafka_error_of(rd_kafka_committed(worker->consumer.rk, parts, KAFKA_ANSWER_MS));
    if (r == 0)
        r = kafka_inputs_place(&worker->inputs, parts);
    rd_kafka_topic_partition_list_destroy(parts);
    if (r == 0 && worker->given.tasks_count > 0)
        r = restore_tasks(worker);
    if (r == 0)
        r = kafka_relay_sync(&worker->relay, &worker->ends);
    if (r == 0)
        r = kafka_task_check_meanings(worker->given.tasks, worker->given.tasks_count);
    if (r == 0)
        r = kafka_attempts_begin(&worker->attempts, &worker->inputs);
    if (r == 0 && worker->given.tasks_count > 0)
        r = seek_and_resume(worker);
    if (r == 0)
        worker->unsynced = false;
    return r;
}

/* ---- run ---- */

static int replace_producer(struct kafka_worker *worker)
{
    kafka_log(
        &worker->config, LOG_WARNING, "kafka_producer_replaced", "slot %s", worker->config.slot);
    worker->counts.replacements++;
    worker->unsynced = true;
    return kafka_producer_replace(&worker->producer);
}

static int subscribe(struct kafka_worker *worker)
{
    bool read[TOPIC_COUNT];
    for (int t = 0; t < TOPIC_COUNT; t++)
        read[t] = worker->inputs.of[t] != NULL;
    return kafka_consumer_subscribe(&worker->consumer, read);
}

/* librdkafka need not notice that a topic is back that the leader of the group did not see. */
static int rejoin(struct kafka_worker *worker)
{
    if (!worker->given.incomplete || kafka_clock_ms() < worker->rejoin_at)
        return 0;
    worker->rejoin_at = kafka_clock_ms() + REJOIN_MS;
    int r = kafka_layout_same(&worker->ends, &worker->layout);
    if (r != 0)
        return r < 0 && error_class(r) == ERROR_CLASS_FATAL ? r : 0;
    kafka_log(&worker->config, LOG_WARNING, "kafka_rejoin", "all topics are there");
    return subscribe(worker);
}

static int hold(struct kafka_worker *worker, rd_kafka_message_t *message, struct kafka_input *input)
{
    kafka_log(&worker->config, LOG_INFO, "kafka_schema_awaited", "%s %d at %lld: schema id %u",
        rd_kafka_topic_name(message->rkt), message->partition, (long long)message->offset,
        worker->frame.unknown);
    arena_reset(&worker->scratch);
    kafka_inputs_hold(&worker->inputs, input, message);
    return kafka_consumer_pause(&worker->consumer, message, true);
}

/* Processes the message, or holds it; *kept tells the latter. */
static int on_record(struct kafka_worker *worker, rd_kafka_message_t *message, enum topic topic,
    struct kafka_input *input, bool *kept)
{
    struct record record;
    kafka_inputs_more(&worker->inputs, input);
    int readable = kafka_refuse_read(&worker->frame, message, topic, &worker->scratch, &record);
    *kept = readable == KAFKA_FRAME_AWAITED;
    int r = 0;
    if (*kept)
        r = hold(worker, message, input);
    else if (!worker->in_batch)
        r = begin(worker);
    if (r < 0 && !*kept)
        return r; /* begin() has rolled back */
    if (r == 0 && !*kept)
        r = process(worker, message, input, &record, readable);
    return r < 0 ? roll_back(worker, r) : 0;
}

static int retry_held(void *context, enum topic topic, int32_t partition, struct kafka_input *input)
{
    struct kafka_worker *worker = context;
    rd_kafka_message_t *message = kafka_inputs_unhold(&worker->inputs, input);
    bool kept;
    if (!message)
        return 0;
    int r = on_record(worker, message, topic, input, &kept);
    if (kept)
        return r;
    if (r == 0)
        r = kafka_consumer_pause(&worker->consumer, message, false);
    rd_kafka_message_destroy(message);
    return r;
}

/* Looks at held records when the registry has replied since. */
static int look_at_held(struct kafka_worker *worker)
{
    if (worker->inputs.held == 0 || worker->unsynced)
        return 0;
    uint64_t replies = schema_cache_replies(worker->config.schemas);
    if (replies == worker->replies)
        return 0;
    worker->replies = replies;
    return kafka_inputs_each(&worker->inputs, retry_held, worker);
}

/* What consumer_poll() gave; *kept is set when it was held. Errors are those of the batch, which is
 * then rolled back. */
static int on_message(struct kafka_worker *worker, rd_kafka_message_t *message, bool *kept)
{
    bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (message->err && !at_end)
        return kafka_consumer_error(&worker->consumer, message);
    int topic = kafka_topic_cached(&worker->cache, &worker->config, message->rkt);
    struct kafka_input *input = kafka_inputs_find(&worker->inputs, topic, message->partition);
    if (!input)
        return ERR_CONFIG; /* partitions were added: keys have moved, this cannot go on */
    if (worker->unsynced || !input->task)
        return 0;      /* from before a pause: it comes again after the seek */
    if (input->held) { /* from before the pause */
        worker->unsynced |= !at_end;
        return at_end ? 0 : ERR_ABORT;
    }
    if (!at_end)
        return on_record(worker, message, (enum topic)topic, input, kept);
    kafka_inputs_end(&worker->inputs, input, message->offset);
    return 0;
}

/* Commits how far idle partitions have come over what carries no record, so that nothing is left
 * between the committed offset and the end. */
static int commit_idle(struct kafka_worker *worker)
{
    if (worker->unsynced || !kafka_inputs_moved(&worker->inputs))
        return KAFKA_IDLE;
    int r = begin(worker);
    if (r == 0)
        r = finish(worker);
    return r < 0 ? r : KAFKA_IDLE;
}

static int prepare(struct kafka_worker *worker)
{
    int r = worker->producer.broken ? replace_producer(worker) : rejoin(worker);
    if (r == 0 && worker->unsynced)
        r = sync_tasks(worker);
    return r;
}

/* Looks at the clock now and then only: it costs as much as a small record. */
static void tick(struct kafka_worker *worker, bool now)
{
    if (now || !worker->in_batch || ++worker->ticks % CLOCK_EVERY == 0)
        worker->clock = kafka_clock_ms();
}

/* Until when an open batch waits for records. At the end of all inputs, so far as it is known, more
 * may have come to others of them since they were read: a part of what the last commit took. A
 * batch for what came of each input alone would be a transaction for a few records. */
static int64_t wait_end(const struct kafka_worker *worker)
{
    int64_t linger_end = worker->batch_begin + worker->commit_ms / LINGER_PART;
    bool brief = worker->inputs.awaited == 0 && linger_end < worker->batch_end;
    return brief ? linger_end : worker->batch_end;
}

static int poll_timeout(const struct kafka_worker *worker, int64_t idle_end)
{
    int64_t left = (worker->in_batch ? wait_end(worker) : idle_end) - worker->clock;
    if (left > POLL_MS)
        return POLL_MS;
    return left > 0 ? (int)left : 0;
}

/* The open batch is large or old enough, or there is nothing more to put into it. While more is at
 * hand, it grows: a commit costs the same for many records as for few. */
static bool batch_full(struct kafka_worker *worker)
{
    int64_t stretched = (int64_t)worker->config.batch_ms * (BATCH_STRETCH - 1);
    size_t most = kafka_attempts_batch(
        &worker->inputs, kafka_suspects_batch(&worker->suspects, worker->config.batch_records_max));
    return worker->batch.records >= most || worker->batch.bytes >= worker->config.batch_bytes_max ||
           (worker->drained && worker->clock >= wait_end(worker)) ||
           worker->clock >= worker->batch_end + stretched;
}

static void on_end(void *owner, enum topic topic, int32_t partition, int64_t end)
{
    struct kafka_worker *worker = owner;
    const struct kafka_input *input = kafka_inputs_find(&worker->inputs, (int)topic, partition);
    if (input && input->task && !worker->unsynced)
        kafka_meter_lag(&worker->meter, topic, partition, input->committed, end);
}

/* One poll and what follows from it. Returns 0, or an error with no batch open. */
static int turn(struct kafka_worker *worker, int64_t idle_end)
{
    bool kept = false;
    int r = worker->in_batch ? 0 : prepare(worker);
    if (r == 0)
        r = let_events_in(worker);
    if (r == 0)
        r = look_at_held(worker);
    if (r < 0 && worker->in_batch)
        return roll_back(worker, r);
    if (r != 0)
        return r < 0 ? r : 0;
    tick(worker, false);
    rd_kafka_message_t *message =
        rd_kafka_consumer_poll(worker->consumer.rk, poll_timeout(worker, idle_end));
    worker->drained = message == NULL;
    if (message) {
        r = on_message(worker, message, &kept);
        if (!kept)
            rd_kafka_message_destroy(message);
    } else {
        tick(worker, true);
    }
    if (worker->failure < 0) {
        r = worker->failure;
        worker->failure = 0;
    }
    if (r < 0 && worker->in_batch)
        return roll_back(worker, r);
    return r;
}

static int run(struct kafka_worker *worker, int timeout_ms)
{
    uint64_t commits = worker->counts.commits;
    int64_t idle_end = kafka_clock_ms() + timeout_ms;
    bool woken = false;
    while (!woken) {
        int r = turn(worker, idle_end);
        if (r < 0)
            return r;
        woken = atomic_exchange(&worker->woken, false);
        if (worker->in_batch && (woken || batch_full(worker)))
            r = finish(worker);
        if (r < 0)
            return r;
        if (!worker->in_batch && worker->counts.commits != commits)
            return 0; /* also when a rebalance has ended the batch */
        if (!worker->in_batch && worker->clock >= idle_end)
            break;
    }
    return commit_idle(worker);
}

int kafka_worker_run(struct kafka_worker *worker, int timeout_ms)
{
    int r = run(worker, timeout_ms);
    if (worker->producer.client.rk)
        rd_kafka_poll(worker->producer.client.rk, 0); /* its statistics, when idle */
    struct kafka_worker_counts counts;
    kafka_worker_counts(worker, &counts);
    kafka_meter_counts(&worker->meter, &counts);
    return r;
}

void kafka_worker_wake(struct kafka_worker *worker)
{
    atomic_store(&worker->woken, true);
}

void kafka_worker_counts(const struct kafka_worker *worker, struct kafka_worker_counts *out)
{
    *out = worker->counts;
    out->rebuilt += worker->given.rebuilt;
    out->tasks = worker->given.tasks_count;
}

/* ---- open and close ---- */

static int allocate(struct kafka_worker *worker)
{
    size_t tasks = 0;
    for (size_t s = 0; s < worker->stages_count; s++) {
        const struct stage *stage = &worker->stages[s];
        tasks += (size_t)worker->layout.partitions[stage->inputs[0]];
        for (size_t i = 0; i < stage->inputs_count; i++) {
            enum topic topic = stage->inputs[i];
            int r = kafka_inputs_add(&worker->inputs, topic, worker->layout.partitions[topic]);
            if (r < 0)
                return r;
        }
    }
    worker->given.tasks = calloc(tasks, sizeof(struct kafka_task *));
    return worker->given.tasks ? 0 : ERR_NO_MEMORY;
}

static int open_clients(struct kafka_worker *worker)
{
    const struct kafka_callbacks callbacks = {
        .owner = worker, .rebalance = rebalance, .end = on_end};
    int r = kafka_client_open(&worker->ends, &worker->config, KAFKA_ROLE_END, NULL);
    if (r == 0)
        r = kafka_client_open(&worker->reader, &worker->config, KAFKA_ROLE_RESTORE, NULL);
    if (r == 0)
        kafka_attempts_open(&worker->attempts, &worker->reader);
    if (r == 0)
        r = kafka_layout_get(&worker->ends, KAFKA_ANSWER_MS, &worker->layout);
    if (r == 0)
        r = kafka_layout_check(&worker->config, &worker->layout);
    if (r == 0)
        r = kafka_task_check_stages(worker->stages, worker->stages_count, &worker->layout);
    if (r == 0)
        r = allocate(worker);
    if (r == 0)
        kafka_client_cluster(&worker->ends, worker->cluster, sizeof worker->cluster);
    /* The producer first: an earlier process of this slot writes nothing after this. */
    if (r == 0)
        r = kafka_producer_open(&worker->producer, &worker->config, &worker->layout);
    if (r == 0)
        r = kafka_client_open(&worker->consumer, &worker->config, KAFKA_ROLE_CONSUMER, &callbacks);
    return r;
}

int kafka_worker_open(const struct kafka_config *config, const struct stage *stages, size_t count,
    struct kafka_worker **out)
{
    check(count > 0 && count <= STAGES_MAX);
    struct kafka_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return ERR_NO_MEMORY;
    worker->config = *config;
    worker->frame.config = &worker->config;
    worker->inputs.config = &worker->config;
    kafka_relay_open(
        &worker->relay, &worker->inputs, &worker->producer, worker->config.batch_bytes_max);
    kafka_meter_open(&worker->meter, config->metrics, config->thread);
    worker->stages_count = count;
    memcpy(worker->stages, stages, count * sizeof *stages);
    int r = config->shared_slot ? 0 : kafka_slot_open(config, &worker->own_slot);
    worker->slot = config->shared_slot ? config->shared_slot : worker->own_slot;
    if (r == 0)
        r = kafka_suspects_open(&worker->suspects, &worker->config, worker->slot->dir);
    if (r == 0)
        r = open_clients(worker);
    if (r == 0)
        r = subscribe(worker);
    if (r < 0) {
        kafka_worker_close(&worker);
        return r;
    }
    *out = worker;
    return 0;
}

void kafka_worker_close(struct kafka_worker **worker)
{
    struct kafka_worker *gone = *worker;
    if (!gone)
        return;
    check(!gone->in_batch);
    if (gone->consumer.rk)
        rd_kafka_consumer_close(gone->consumer.rk); /* the callback closes the tasks */
    close_tasks(gone);
    kafka_meter_close(&gone->meter);
    kafka_client_close(&gone->consumer);
    kafka_producer_close(&gone->producer);
    kafka_client_close(&gone->reader);
    kafka_client_close(&gone->ends);
    kafka_relay_close(&gone->relay);
    kafka_inputs_fini(&gone->inputs);
    free(gone->given.tasks);
    arena_free(&gone->scratch);
    kafka_frame_fini(&gone->frame);
    kafka_suspects_close(&gone->suspects);
    kafka_slot_close(&gone->own_slot);
    free(gone);
    *worker = NULL;
}

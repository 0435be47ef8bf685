/*
 * States of a batch: held by the queue in all of them.
 *     running   in the transport; `running` counts them
 *     pending   in `pending`, in order of sequence; sent before anything new
 * While the target does not answer one request at a time probes it.
 */
#include "ingest/producer/sender.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "ingest/producer/error.h"
#include "ingest/producer/http.h"
#include "ingest/producer/kafka.h"
#include "schemas/error.h"

#define IDLE_MS 60000
#define MEMORY_PAUSE_MS 50
#define USERS_PAUSE_NANOS 200000
#define JITTER_GROWTH 3 /* Source: AWS, "Exponential Backoff And Jitter", decorrelated */
/* A collector that asks for longer is asked again before. */
#define RETRY_AFTER_MS_MAX 300000

static void lock(struct producer_sender *sender)
{
    (void)pthread_mutex_lock(&sender->queue->lock);
}

static void unlock(struct producer_sender *sender)
{
    (void)pthread_mutex_unlock(&sender->queue->lock);
}

/* ---- reports ---- */

static void set_problem(
    struct tabiji_problem *problem, int error, const struct producer_rejection *why)
{
    *problem = (struct tabiji_problem){.size = sizeof *problem};
    producer_problem_set(problem, error, why->code, why->pointer, why->hint);
}

static const struct producer_rejection *rejection_of(
    const struct producer_outcome *outcome, size_t index)
{
    for (size_t i = 0; i < outcome->rejections_count; i++)
        if (outcome->rejections[i].index == index)
            return &outcome->rejections[i];
    return NULL;
}

/* Tells of all in a batch that the collector has judged. */
static void tell_taken(struct producer_sender *sender, const struct producer_batch *batch,
    const struct producer_outcome *outcome)
{
    size_t index = 0, rejected = 0;
    for (const struct producer_entry *entry = batch->first; entry; entry = entry->next, index++) {
        const struct producer_rejection *why = rejection_of(outcome, index);
        struct tabiji_problem problem;
        rejected += why != NULL;
        if (why)
            set_problem(&problem, TABIJI_ERROR_REJECTED, why);
        producer_reports_tell(sender->reports,
            why ? TABIJI_REPORT_REJECTED : TABIJI_REPORT_DELIVERED, entry, why ? &problem : NULL);
    }
    lock(sender);
    struct tabiji_statistics *counts = &sender->queue->counts;
    counts->events_rejected += rejected;
    counts->events_delivered += index - rejected;
    counts->events_duplicate += outcome->duplicates;
    counts->events_denied += outcome->denied;
    unlock(sender);
}

static void settle(struct producer_sender *sender, struct producer_batch *batch)
{
    producer_queue_settle(sender->queue, &batch);
    if (sender->backlog->spool)
        producer_backlog_settled(sender->backlog);
}

/* Tells of all in a batch the same, and settles it. */
static void end_batch(struct producer_sender *sender, struct producer_batch *batch,
    enum tabiji_report_kind kind, const struct tabiji_problem *problem)
{
    for (const struct producer_entry *entry = batch->first; entry; entry = entry->next)
        producer_reports_tell(sender->reports, kind, entry, problem);
    lock(sender);
    if (kind == TABIJI_REPORT_REJECTED)
        sender->queue->counts.events_rejected += batch->events;
    else
        sender->queue->counts.events_discarded += batch->events;
    unlock(sender);
    settle(sender, batch);
}

static void tell_dropped(struct producer_sender *sender)
{
    static const struct producer_rejection why = {
        .code = STR_INIT("queue_full"), .hint = STR_INIT("a later event took its place")};
    struct tabiji_problem problem;
    struct producer_entry *entry = producer_queue_dropped(sender->queue);
    set_problem(&problem, TABIJI_ERROR_QUEUE_FULL, &why);
    while (entry) {
        struct producer_entry *next = entry->next;
        producer_reports_tell(sender->reports, TABIJI_REPORT_DROPPED, entry, &problem);
        producer_memory_free(sender->memory, entry);
        entry = next;
    }
}

/* ---- what a request's end means ---- */

static void put_pending(struct producer_sender *sender, struct producer_batch *batch)
{
    struct producer_batch **place = &sender->pending;
    while (*place && (*place)->sequence < batch->sequence)
        place = &(*place)->next;
    batch->next = *place;
    *place = batch;
}

/* Requests that began before the last pause say nothing new: they do not lengthen it. */
static void back_off(
    struct producer_sender *sender, const struct producer_batch *batch, int64_t retry_after_ms)
{
    const struct producer_settings *settings = sender->settings;
    int64_t now = producer_now_ms();
    if (batch->epoch == sender->epoch) {
        int64_t high =
            (int64_t)(sender->pause_ms ? sender->pause_ms : settings->retry_min_ms) * JITTER_GROWTH;
        if (high > settings->retry_max_ms)
            high = settings->retry_max_ms;
        sender->pause_ms =
            producer_random_between(sender->random, settings->retry_min_ms, (int)high);
        sender->not_before_ms = now + sender->pause_ms;
        sender->epoch++;
    }
    if (retry_after_ms > RETRY_AFTER_MS_MAX)
        retry_after_ms = RETRY_AFTER_MS_MAX;
    if (now + retry_after_ms > sender->not_before_ms)
        sender->not_before_ms = now + retry_after_ms;
}

static void halve(struct producer_sender *sender, struct producer_batch *batch,
    const struct producer_outcome *outcome)
{
    const struct producer_rejection why = {.code = outcome->code, .hint = outcome->hint};
    struct tabiji_problem problem;
    if (batch->events == 1) {
        set_problem(&problem, TABIJI_ERROR_REJECTED, &why);
        end_batch(sender, batch, TABIJI_REPORT_REJECTED, &problem);
        return;
    }
    struct producer_batch *second = producer_queue_split(sender->queue, batch);
    if (second)
        put_pending(sender, second);
    else
        back_off(sender, batch, MEMORY_PAUSE_MS);
    put_pending(sender, batch);
}

static void stop_sending(struct producer_sender *sender, const struct producer_outcome *outcome)
{
    const struct producer_rejection why = {.code = outcome->code, .hint = outcome->hint};
    struct tabiji_problem problem;
    lock(sender);
    bool told = sender->queue->unauthorised || sender->resumed;
    unlock(sender);
    if (told)
        return;
    set_problem(&problem, TABIJI_ERROR_UNAUTHORISED, &why);
    producer_reports_tell(sender->reports, TABIJI_REPORT_STOPPED, NULL, &problem);
    producer_queue_set_unauthorised(sender->queue, true);
}

static void count_request(struct producer_sender *sender, const struct producer_outcome *outcome)
{
    lock(sender);
    struct tabiji_statistics *counts = &sender->queue->counts;
    counts->requests++;
    counts->requests_failed += outcome->kind == PRODUCER_AGAIN;
    counts->bytes_sent += outcome->body_size;
    counts->last_status = outcome->status;
    const struct producer_rejection why = {.code = outcome->code, .hint = outcome->hint};
    set_problem(&sender->last, TABIJI_ERROR_TIMEOUT, &why);
    unlock(sender);
}

static void on_done(
    void *context, struct producer_batch *batch, const struct producer_outcome *outcome)
{
    struct producer_sender *sender = context;
    sender->running--;
    count_request(sender, outcome);
    if (outcome->kind == PRODUCER_AGAIN) {
        back_off(sender, batch, outcome->retry_after_ms);
        put_pending(sender, batch);
        return;
    }
    sender->pause_ms = 0;
    switch (outcome->kind) {
    case PRODUCER_TAKEN:
        tell_taken(sender, batch, outcome);
        settle(sender, batch);
        break;
    case PRODUCER_REFUSED:
        halve(sender, batch, outcome);
        break;
    default:
        stop_sending(sender, outcome);
        put_pending(sender, batch);
        break;
    }
}

/* ---- the loop ---- */

/* Takes a new key up while no request uses the old one. True: sending may go on. */
static bool take_up_key(struct producer_sender *sender)
{
    lock(sender);
    bool resumed = sender->resumed;
    int r = 0;
    if (resumed && sender->running == 0) {
        r = sender->transport->ops->set_key(sender->transport, str_of(sender->settings->key));
        if (r == 0)
            sender->resumed = sender->queue->unauthorised = false;
        sender->pause_ms = 0;
        sender->not_before_ms = r < 0 ? producer_now_ms() + MEMORY_PAUSE_MS : 0;
        resumed = r < 0;
    }
    bool may = !resumed && !sender->queue->unauthorised;
    unlock(sender);
    return may;
}

/* The next batch to send; NULL: none, and *due_ms says when to look again. */
static struct producer_batch *next_batch(
    struct producer_sender *sender, int64_t now_ms, int64_t *due_ms)
{
    struct producer_batch *batch = sender->pending;
    *due_ms = INT64_MAX;
    bool now = producer_queue_hurries(sender->queue);
    if (!batch && sender->backlog->spool)
        return producer_backlog_take(sender->backlog, now, now_ms, due_ms);
    if (!batch)
        return producer_queue_take(sender->queue, now, now_ms, due_ms);
    sender->pending = batch->next;
    batch->next = NULL;
    return batch;
}

/* Starts what may be started. Returns when to look again (monotonic). */
static int64_t start_batches(struct producer_sender *sender)
{
    int64_t now_ms = producer_now_ms();
    int64_t due_ms = INT64_MAX;
    producer_queue_quiet(sender->queue);
    if (!take_up_key(sender))
        return sender->not_before_ms > now_ms ? sender->not_before_ms : INT64_MAX;
    if (now_ms < sender->not_before_ms)
        return sender->not_before_ms;
    size_t running_max = sender->pause_ms ? 1 : sender->settings->requests_max;
    while (sender->running < running_max) {
        struct producer_batch *batch = next_batch(sender, now_ms, &due_ms);
        if (!batch)
            return due_ms;
        batch->epoch = sender->epoch;
        if (sender->transport->ops->start(sender->transport, batch) < 0) {
            put_pending(sender, batch);
            return now_ms + MEMORY_PAUSE_MS;
        }
        sender->running++;
    }
    return INT64_MAX;
}

static bool is_empty(const struct producer_sender *sender)
{
    return sender->queue->held_events == 0 &&
           (!sender->backlog->spool || producer_backlog_events(sender->backlog) == 0);
}

/* Whether the thread has nothing to do any more. *end_ms: when it ends whatever there is. */
static bool is_over(struct producer_sender *sender, int64_t *end_ms)
{
    lock(sender);
    *end_ms = sender->ending ? sender->end_ms : INT64_MAX;
    bool over = sender->ending && (is_empty(sender) || sender->queue->unauthorised ||
                                      producer_now_ms() >= sender->end_ms);
    unlock(sender);
    return over;
}

static int wait_until(int64_t due_ms, int64_t end_ms)
{
    int64_t now_ms = producer_now_ms();
    int64_t until = due_ms < end_ms ? due_ms : end_ms;
    if (until <= now_ms)
        return 0;
    return until - now_ms > IDLE_MS ? IDLE_MS : (int)(until - now_ms);
}

static struct producer_batch *first_held(struct producer_sender *sender)
{
    lock(sender);
    struct producer_batch *batch = sender->queue->held;
    unlock(sender);
    return batch;
}

/* Reports what was in no batch yet, for which there may be no memory. */
static void discard_waiting(struct producer_sender *sender, const struct tabiji_problem *problem)
{
    struct producer_entry *entry = producer_queue_abandon(sender->queue);
    while (entry) {
        struct producer_entry *next = entry->next;
        producer_reports_tell(sender->reports, TABIJI_REPORT_DROPPED, entry, problem);
        producer_memory_free(sender->memory, entry);
        entry = next;
    }
}

/* Reports what was not sent. */
static void discard_all(struct producer_sender *sender)
{
    static const struct producer_rejection why = {
        .code = STR_INIT("discarded"), .hint = STR_INIT("the producer was closed")};
    struct tabiji_problem problem;
    set_problem(&problem, TABIJI_ERROR_DISCARDED, &why);
    lock(sender);
    struct producer_batch *batch = sender->queue->held;
    sender->discarded = batch || sender->queue->first;
    unlock(sender);
    for (; batch; batch = first_held(sender))
        end_batch(sender, batch, TABIJI_REPORT_DROPPED, &problem);
    discard_waiting(sender, &problem);
}

/* Leaves what was not sent in the spool, and says how much that is; nobody appends any more. */
static void keep_all(struct producer_sender *sender)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    producer_backlog_keep(sender->backlog);
    producer_backlog_tell(sender->backlog, sender->reports);
    uint64_t events = producer_backlog_events(sender->backlog);
    producer_problem_set(&problem, TABIJI_OK, STR("kept"), STR("spool_dir"),
        STR("these events stay on the disk, for the next producer"));
    if (events)
        producer_reports_tell_spool(sender->reports, &problem, events);
    sender->discarded = events > 0;
}

static void tell_lost(struct producer_sender *sender)
{
    tell_dropped(sender);
    if (sender->backlog->spool)
        producer_backlog_tell(sender->backlog, sender->reports);
}

static void wait_for_users(const struct producer_sender *sender)
{
    const struct timespec pause = {.tv_nsec = USERS_PAUSE_NANOS};
    while (atomic_load(sender->users) > 0)
        (void)nanosleep(&pause, NULL);
}

static void *run(void *context)
{
    struct producer_sender *sender = context;
    int64_t end_ms;
    while (!is_over(sender, &end_ms)) {
        tell_lost(sender);
        int64_t due_ms = start_batches(sender);
        sender->transport->ops->work(sender->transport, wait_until(due_ms, end_ms));
    }
    tell_lost(sender);
    wait_for_users(sender);
    /* Here, as the end of a connection may raise SIGPIPE, which this thread has blocked; and before
     * batches are freed, which a transport's own thread may be reading. */
    sender->transport->ops->close(&sender->transport);
    if (sender->backlog->spool)
        keep_all(sender);
    else
        discard_all(sender);
    return NULL;
}

/* ---- life ---- */

static void wake_sender(void *context)
{
    struct producer_sender *sender = context;
    if (sender
            ->transport) /* it is closed when the last reports are told, whose callbacks may call */
        sender->transport->ops->wake(sender->transport);
}

static int open_http(struct producer_sender *sender, struct tabiji_problem *problem)
{
    int r =
        producer_http_new(sender->settings, sender->memory, on_done, sender, &sender->transport);
    if (r == 0)
        return TABIJI_OK;
    if (r == ERR_NO_MEMORY)
        return TABIJI_ERROR_NO_MEMORY;
    producer_problem_set(problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("ca_file"),
        STR("libcurl refuses an option"));
    return TABIJI_ERROR_ARGUMENT;
}

static int open_transport(struct producer_sender *sender, struct tabiji_problem *problem)
{
    if (!sender->settings->kafka_config)
        return open_http(sender, problem);
#ifdef TABIJI_PRODUCER_KAFKA
    return producer_kafka_new(
        sender->settings, sender->memory, on_done, sender, &sender->transport, problem);
#else
    producer_problem_set(problem, TABIJI_ERROR_ARGUMENT, STR("argument"), STR("kafka_config"),
        STR("this library was built without Kafka"));
    return TABIJI_ERROR_ARGUMENT;
#endif
}

int producer_sender_start(struct producer_sender *sender, struct tabiji_problem *problem)
{
    sigset_t all, before;
    sender->last.size = sizeof sender->last;
    sender->queue->wake = wake_sender;
    sender->queue->wake_context = sender;
    /* Threads inherit the mask: the caller's signals are never delivered to them. */
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return TABIJI_ERROR_IO;
    int r = open_transport(sender, problem);
    if (r == TABIJI_OK && pthread_create(&sender->thread, NULL, run, sender) != 0) {
        sender->transport->ops->close(&sender->transport);
        r = TABIJI_ERROR_IO;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

bool producer_sender_seals(const struct producer_sender *sender)
{
    return sender->transport->ops->seal != NULL;
}

int producer_sender_seal(
    void *context, struct touchpoint *event, struct arena *arena, struct producer_sealed *out)
{
    struct producer_sender *sender = context;
    struct producer_transport *transport = sender->transport; /* NULL: it is closed */
    if (!transport || !transport->ops->seal)
        return 0;
    return transport->ops->seal(transport, event, arena, out);
}

int producer_sender_end(struct producer_sender *sender, int timeout_ms)
{
    producer_queue_stop(sender->queue);
    lock(sender);
    sender->ending = true;
    sender->end_ms = producer_now_ms() + (timeout_ms < 0 ? 0 : timeout_ms);
    wake_sender(sender);
    unlock(sender);
    (void)pthread_join(sender->thread, NULL);
    return sender->discarded ? ERR_AGAIN : 0;
}

int producer_sender_resume(struct producer_sender *sender, const char *key)
{
    lock(sender);
    int r = producer_settings_renew_key(sender->settings, key, sender->memory, NULL);
    if (r == TABIJI_OK) {
        sender->resumed = true;
        sender->queue->unauthorised = false; /* for who asks before the thread has taken it up */
    }
    wake_sender(sender);
    unlock(sender);
    return r;
}

bool producer_sender_is_here(const struct producer_sender *sender)
{
    return pthread_equal(pthread_self(), sender->thread) != 0;
}

/* See the header. */
#include "ingest/stream/kafka_meter.h"

#include <time.h>

static int64_t now_micros(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void show_thread(const struct kafka_meter *meter)
{
    metrics_set(
        meter->metrics, METRIC_WORKER_THREAD_TASKS, meter->thread, 0, (int64_t)meter->told.tasks);
    metrics_set(
        meter->metrics, METRIC_WORKER_THREAD_RESTORE_LEFT, meter->thread, 0, meter->told_left);
}

void kafka_meter_open(struct kafka_meter *meter, struct metrics *metrics, int thread)
{
    *meter = (struct kafka_meter){.metrics = metrics, .thread = metrics_thread(thread)};
    if (metrics)
        show_thread(meter);
}

void kafka_meter_close(struct kafka_meter *meter)
{
    struct kafka_worker_counts counts = meter->told;
    counts.tasks = 0;
    kafka_meter_counts(meter, &counts);
    kafka_meter_restore(meter, 0, counts.restored);
}

void kafka_meter_begin(struct kafka_meter *meter)
{
    meter->bytes = 0;
    if (meter->metrics)
        meter->begun = now_micros();
}

void kafka_meter_commit(struct kafka_meter *meter)
{
    if (meter->metrics)
        meter->committing = now_micros();
}

void kafka_meter_committed(struct kafka_meter *meter, size_t records)
{
    if (!meter->metrics || records == 0) /* of an idle worker: only how far it has come */
        return;
    int64_t now = now_micros();
    int64_t whole = now - meter->begun, commit = now - meter->committing;
    metrics_observe(meter->metrics, METRIC_WORKER_TRANSACTION_SECONDS, whole);
    metrics_observe(meter->metrics, METRIC_WORKER_COMMIT_SECONDS, commit);
    metrics_observe(meter->metrics, METRIC_WORKER_BATCH_RECORDS, (int64_t)records);
    metrics_observe(meter->metrics, METRIC_WORKER_BATCH_BYTES, meter->bytes);
    metrics_add(meter->metrics, METRIC_WORKER_THREAD_BATCHES, meter->thread, 0, 1);
    metrics_add(meter->metrics, METRIC_WORKER_THREAD_TRANSACTION_SECONDS, meter->thread, 0, whole);
    metrics_add(meter->metrics, METRIC_WORKER_THREAD_COMMIT_SECONDS, meter->thread, 0, commit);
}

/* A count of the process, to which each thread adds what is new of its own, and the thread's. */
struct count {
    enum metric_id metric;
    int label;
    uint64_t now, before;
    enum metric_id of_thread; /* METRIC_COUNT: none */
};

static void add_count(const struct kafka_meter *meter, const struct count *count)
{
    int64_t more = (int64_t)(count->now - count->before);
    if (more == 0)
        return;
    metrics_add(meter->metrics, count->metric, count->label, 0, more);
    if (count->of_thread != METRIC_COUNT)
        metrics_add(meter->metrics, count->of_thread, meter->thread, count->label, more);
}

void kafka_meter_counts(struct kafka_meter *meter, const struct kafka_worker_counts *counts)
{
    struct kafka_worker_counts *told = &meter->told;
    const struct count all[] = {
        {METRIC_WORKER_RECORDS, 0, counts->records, told->records, METRIC_WORKER_THREAD_RECORDS},
        {METRIC_WORKER_REFUSED, 0, counts->refused, told->refused, METRIC_COUNT},
        {METRIC_WORKER_CHANGES, 0, counts->changes, told->changes, METRIC_COUNT},
        {METRIC_WORKER_MAILS, 0, counts->mails, told->mails, METRIC_COUNT},
        {METRIC_WORKER_TRANSACTIONS, TRANSACTION_COMMITTED, counts->commits, told->commits,
            METRIC_WORKER_THREAD_TRANSACTIONS},
        {METRIC_WORKER_TRANSACTIONS, TRANSACTION_ABORTED, counts->aborts, told->aborts,
            METRIC_WORKER_THREAD_TRANSACTIONS},
        {METRIC_WORKER_PRODUCERS_REPLACED, 0, counts->replacements, told->replacements,
            METRIC_COUNT},
        {METRIC_WORKER_RESTORED_ROWS, 0, counts->restored, told->restored,
            METRIC_WORKER_THREAD_RESTORED_ROWS},
        {METRIC_WORKER_REBUILT, 0, counts->rebuilt, told->rebuilt, METRIC_COUNT},
        {METRIC_WORKER_TASKS, 0, counts->tasks, told->tasks, METRIC_COUNT},
    };
    if (!meter->metrics)
        return;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        add_count(meter, &all[i]);
    *told = *counts;
    show_thread(meter);
}

void kafka_meter_rebalance(struct kafka_meter *meter, enum metric_rebalance what)
{
    if (!meter->metrics)
        return;
    metrics_add(meter->metrics, METRIC_WORKER_REBALANCES, (int)what, 0, 1);
    metrics_unset(meter->metrics, METRIC_CONSUMER_LAG);
}

void kafka_meter_restore(struct kafka_meter *meter, int64_t left, uint64_t restored)
{
    if (!meter->metrics)
        return;
    struct kafka_worker_counts counts = meter->told;
    counts.restored = restored;
    metrics_add(meter->metrics, METRIC_WORKER_RESTORE_LEFT, 0, 0, left - meter->told_left);
    meter->told_left = left;
    kafka_meter_counts(meter, &counts);
}

void kafka_meter_lag(
    struct kafka_meter *meter, enum topic topic, int32_t partition, int64_t committed, int64_t end)
{
    if (meter->metrics)
        metrics_set(meter->metrics, METRIC_CONSUMER_LAG, (int)topic, metrics_partition(partition),
            end > committed ? end - committed : 0);
}

/* See the header. */
#include "ingest/stream/kafka_meter.h"

#include <time.h>

static int64_t now_micros(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
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
    metrics_observe(meter->metrics, METRIC_WORKER_TRANSACTION_SECONDS, now - meter->begun);
    metrics_observe(meter->metrics, METRIC_WORKER_COMMIT_SECONDS, now - meter->committing);
    metrics_observe(meter->metrics, METRIC_WORKER_BATCH_RECORDS, (int64_t)records);
    metrics_observe(meter->metrics, METRIC_WORKER_BATCH_BYTES, meter->bytes);
}

/* Threads of one process count into the same metrics: each adds what is new of its own. */
void kafka_meter_counts(struct kafka_meter *meter, const struct kafka_worker_counts *counts)
{
    struct kafka_worker_counts *told = &meter->told;
    const struct {
        enum metric_id metric;
        int label;
        uint64_t now, before;
    } all[] = {
        {METRIC_WORKER_RECORDS, 0, counts->records, told->records},
        {METRIC_WORKER_REFUSED, 0, counts->refused, told->refused},
        {METRIC_WORKER_CHANGES, 0, counts->changes, told->changes},
        {METRIC_WORKER_MAILS, 0, counts->mails, told->mails},
        {METRIC_WORKER_TRANSACTIONS, TRANSACTION_COMMITTED, counts->commits, told->commits},
        {METRIC_WORKER_TRANSACTIONS, TRANSACTION_ABORTED, counts->aborts, told->aborts},
        {METRIC_WORKER_PRODUCERS_REPLACED, 0, counts->replacements, told->replacements},
        {METRIC_WORKER_RESTORED_ROWS, 0, counts->restored, told->restored},
        {METRIC_WORKER_REBUILT, 0, counts->rebuilt, told->rebuilt},
        {METRIC_WORKER_TASKS, 0, counts->tasks, told->tasks},
    };
    if (!meter->metrics)
        return;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].now != all[i].before)
            metrics_add(meter->metrics, all[i].metric, all[i].label, 0,
                (int64_t)(all[i].now - all[i].before));
    *told = *counts;
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
    metrics_add(meter->metrics, METRIC_WORKER_RESTORE_LEFT, 0, 0, left - meter->told_left);
    metrics_add(meter->metrics, METRIC_WORKER_RESTORED_ROWS, 0, 0,
        (int64_t)(restored - meter->told.restored));
    meter->told_left = left;
    meter->told.restored = restored;
}

void kafka_meter_lag(
    struct kafka_meter *meter, enum topic topic, int32_t partition, int64_t committed, int64_t end)
{
    if (meter->metrics)
        metrics_set(meter->metrics, METRIC_CONSUMER_LAG, (int)topic, metrics_partition(partition),
            end > committed ? end - committed : 0);
}

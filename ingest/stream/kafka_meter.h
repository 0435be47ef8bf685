/*
 * What a worker measures of its batches. All functions do nothing without metrics. Private to the
 * driver.
 */
#pragma once

#include "ingest/metrics/metrics.h"
#include "ingest/stream/kafka.h"

/* {0}: nothing is measured. Threads: the worker's. */
struct kafka_meter {
    struct metrics *metrics; /* NULL: nothing is measured */
    int thread;              /* metrics_thread() */
    int64_t begun;           /* microseconds, of the running transaction */
    int64_t committing;
    int64_t bytes; /* of its records */
    struct kafka_worker_counts told;
    int64_t told_left;
};

/* Of a worker that has done nothing, and of one that is closed: it has no tasks any more, and
 * nothing to restore. */
void kafka_meter_open(struct kafka_meter *meter, struct metrics *metrics, int thread);
void kafka_meter_close(struct kafka_meter *meter);

/* A transaction begins, gets a record of so many bytes, is about to be committed, and is. */
void kafka_meter_begin(struct kafka_meter *meter);
static inline void kafka_meter_record(struct kafka_meter *meter, size_t bytes)
{
    meter->bytes += (int64_t)bytes;
}
void kafka_meter_commit(struct kafka_meter *meter);
void kafka_meter_committed(struct kafka_meter *meter, size_t records);

/* What the worker has counted since it was opened. */
void kafka_meter_counts(struct kafka_meter *meter, const struct kafka_worker_counts *counts);

/* The group gave or took partitions. Those taken have no lag here; that of
 * another thread's is back with its next look. */
void kafka_meter_rebalance(struct kafka_meter *meter, enum metric_rebalance what);

/* So many records of changelogs are to be read, so many rows were. */
void kafka_meter_restore(struct kafka_meter *meter, int64_t left, uint64_t restored);

/* Where a partition ends, and what is committed of it. */
void kafka_meter_lag(
    struct kafka_meter *meter, enum topic topic, int32_t partition, int64_t committed, int64_t end);

/*
 * What follows from batch_bytes B and cache_bytes C, with T tasks (a stage and a partition each):
 *
 *     a batch's rows, before and after they are settled           3 B
 *     records on their way to the brokers                         B / 2
 *     records fetched, and those of a restore: a queue each, and
 *     a reply as large that each of three brokers has on its way  8 B / 16
 *     pages of a write transaction, kept by LMDB for the next     T B / 16, 256 KiB each at least
 *     persons, texts, nodes, and their blocks in the making       2 C a partition
 *     filters of keys                                             2 C a task
 *
 * The driver divides batch_bytes so (kafka_client.c, kafka_task.c), the stages cache_bytes.
 */
#include "deploy/memory_plan.h"

/* Program, librdkafka's handles, LMDB's lists, and the least of the queues: librdkafka counts bytes
 * of records as they travel, and holds twice to ten times as much for small or compressed ones. */
#define PROCESS_BYTES ((size_t)64 << 20)
#define SMALL_BYTES ((size_t)80 << 20) /* less is a worker that cannot be so small; it tries */
#define BATCH_BYTES_MIN ((size_t)1 << 20)
#define CACHE_BYTES_MIN ((size_t)64 << 10)
#define STAGES 2
/* Sixteenths of batch_bytes, without those of the tasks. */
#define ROWS_SHARE 48
#define QUEUES_SHARE (8 + 8)
#define WRITE_BYTES_MIN ((size_t)256 << 10) /* of kafka_task.c */

static size_t between(size_t value, size_t least, size_t most)
{
    size_t at_least = value < least ? least : value;
    return at_least < most ? at_least : most;
}

/* So that what is in proportion to it fits into `bytes`, the tasks' writes of at least so much too.
 */
static size_t batch_bytes(size_t bytes, size_t tasks)
{
    size_t sixteenth = bytes / (ROWS_SHARE + QUEUES_SHARE + tasks);
    size_t writes = tasks * WRITE_BYTES_MIN;
    if (sixteenth < WRITE_BYTES_MIN)
        sixteenth = writes < bytes ? (bytes - writes) / (ROWS_SHARE + QUEUES_SHARE) : 0;
    return sixteenth * 16;
}

struct memory_plan memory_plan(const struct config *config)
{
    struct memory_plan plan = {
        .batch_bytes = (size_t)config_int(config, OPTION_WORKER_BATCH_BYTES),
        .cache_bytes = (size_t)config_int(config, OPTION_WORKER_CACHE_BYTES),
    };
    size_t memory = (size_t)config_int(config, OPTION_WORKER_MEMORY);
    size_t partitions = (size_t)config_int(config, OPTION_STREAM_PARTITIONS);
    if (memory == 0)
        return plan;
    size_t rest = memory > SMALL_BYTES ? memory - PROCESS_BYTES : memory / 5;
    size_t tasks = STAGES * partitions;
    /* Three quarters to batches, a quarter to what is kept between them. */
    plan.batch_bytes = between(batch_bytes(rest / 4 * 3, tasks), BATCH_BYTES_MIN, plan.batch_bytes);
    plan.cache_bytes =
        between(rest / 4 / (2 * partitions + 2 * tasks), CACHE_BYTES_MIN, plan.cache_bytes);
    return plan;
}

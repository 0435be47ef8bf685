/*
 * How much of its memory a worker's process gives to what: [worker] memory, batch_bytes,
 * cache_bytes.
 *
 * What the map of the state takes is not counted: the kernel drops its pages when it must.
 */
#pragma once

#include "ingest/config/config.h"

struct memory_plan {
    size_t batch_bytes; /* of all threads' batches */
    size_t cache_bytes; /* of one partition; others are in proportion, see the .c */
};

/* Without [worker] memory as the two options say; else at most that, so that a process that has all
 * partitions of the configuration stays within. Threads: any. */
struct memory_plan memory_plan(const struct config *config);

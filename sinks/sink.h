/*
 * A destination of results: keyed upserts and deletes, each batch with its input position in one
 * transaction of the destination.
 */
#pragma once

#include "ingest/stream/stream.h"

/* Used by one thread. Every function returns 0 or an ERR_*. */
struct sink {
    const char *name;
    /* Positions stored in the destination; *positions is valid until the next call. */
    int (*positions)(struct sink *sink, const struct result_position **positions, size_t *count);
    /* Applies a whole batch and its positions in one transaction; on an error nothing is applied. */
    int (*apply)(struct sink *sink, const struct result_batch *batch);
    void (*close)(struct sink *sink);
};

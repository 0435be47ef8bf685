/*
 * [kafka], [kafka.producer] and [kafka.consumer] of a configuration as librdkafka's properties.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/stream/kafka.h"
#include "schemas/arena.h"

/* Sets the properties of *out. Their texts are borrowed from the finished configuration, the array
 * lies in the arena. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int kafka_configure_properties(
    const struct config *config, struct arena *arena, struct kafka_config *out);

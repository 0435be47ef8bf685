/*
 * librdkafka's statistics, into metrics. Private to the driver.
 */
#pragma once

#include "ingest/metrics/metrics.h"
#include "ingest/stream/topic.h"
#include "schemas/json.h"

#define KAFKA_STATISTICS_EVERY_MS "5000"

/* Told of a partition that the handle reads: where it ends for readers (the last stable offset). */
typedef void kafka_end_fn(void *owner, enum topic topic, int32_t partition, int64_t end);

struct kafka_config;

/* Takes one document of rd_kafka_conf_set_stats_cb(). The parser is made when it is first needed;
 * its owner frees it. What does not fit is passed over: statistics are nobody's reason to stop.
 * end may be NULL. Threads: one for a parser. Source: librdkafka, STATISTICS.md. */
void kafka_statistics_take(const struct kafka_config *config, enum metric_client client,
    struct json_parser **parser, struct str text, kafka_end_fn *end, void *owner);

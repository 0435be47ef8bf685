/*
 * Counters, gauges and histograms in Prometheus' text form. The list is metrics.def; each carries
 * its meaning and what the operator does about it.
 *
 * All functions but metrics_new() and metrics_free() are for any thread. A gauge with labels shows
 * those of its values that were set.
 */
#pragma once

#include "schemas/bytes.h"

/* X(id, value): labels with a closed list of values. */
#define METRIC_RESULT_LIST(X)                                                                      \
    X(RESULT_ACCEPTED, "accepted")                                                                 \
    X(RESULT_DUPLICATE, "duplicate")                                                               \
    X(RESULT_REJECTED, "rejected")                                                                 \
    X(RESULT_NO_CONSENT, "no_consent")
#define METRIC_PROTOCOL_LIST(X)                                                                    \
    X(METRIC_PROTOCOL_NATIVE, "native")                                                            \
    X(METRIC_PROTOCOL_SEGMENT, "segment")                                                          \
    X(METRIC_PROTOCOL_SNOWPLOW, "snowplow")                                                        \
    X(METRIC_PROTOCOL_GA4, "ga4")                                                                  \
    X(METRIC_PROTOCOL_WEBHOOK, "webhook")                                                          \
    X(METRIC_PROTOCOL_OTHER, "other")
/* Why a webhook's sender is not believed. */
#define METRIC_REFUSAL_LIST(X)                                                                     \
    X(REFUSAL_NO_SECRET, "no_secret")                                                              \
    X(REFUSAL_UNSIGNED, "unsigned")                                                                \
    X(REFUSAL_SIGNATURE, "signature")                                                              \
    X(REFUSAL_STALE, "stale")
#define METRIC_TRANSACTION_LIST(X)                                                                 \
    X(TRANSACTION_COMMITTED, "committed")                                                          \
    X(TRANSACTION_ABORTED, "aborted")
#define METRIC_REBALANCE_LIST(X)                                                                   \
    X(REBALANCE_ASSIGNED, "assigned")                                                              \
    X(REBALANCE_REVOKED, "revoked")                                                                \
    X(REBALANCE_LOST, "lost")
#define METRIC_REQUEST_LIST(X)                                                                     \
    X(REQUEST_ANSWERED, "answered")                                                                \
    X(REQUEST_UNREACHABLE, "unreachable")                                                          \
    X(REQUEST_REFUSED, "refused")                                                                  \
    X(REQUEST_FAILED, "failed")
#define METRIC_CACHE_LIST(X)                                                                       \
    X(CACHE_HIT, "hit")                                                                            \
    X(CACHE_MISS, "miss")
/* Handles of librdkafka, by what they are for. */
#define METRIC_CLIENT_LIST(X)                                                                      \
    X(METRIC_CLIENT_DOOR, "door")                                                                  \
    X(METRIC_CLIENT_PRODUCER, "producer")                                                          \
    X(METRIC_CLIENT_CONSUMER, "consumer")                                                          \
    X(METRIC_CLIENT_RESULTS, "results")

#define X(id, value) id,
enum metric_result { METRIC_RESULT_LIST(X) METRIC_RESULT_COUNT };
enum metric_protocol { METRIC_PROTOCOL_LIST(X) METRIC_PROTOCOL_COUNT };
enum metric_refusal { METRIC_REFUSAL_LIST(X) METRIC_REFUSAL_COUNT };
enum metric_transaction { METRIC_TRANSACTION_LIST(X) METRIC_TRANSACTION_COUNT };
enum metric_rebalance { METRIC_REBALANCE_LIST(X) METRIC_REBALANCE_COUNT };
enum metric_request { METRIC_REQUEST_LIST(X) METRIC_REQUEST_COUNT };
enum metric_cache { METRIC_CACHE_LIST(X) METRIC_CACHE_COUNT };
enum metric_client { METRIC_CLIENT_LIST(X) METRIC_CLIENT_COUNT };
#undef X

enum metric_id {
#define M(id, ...) METRIC_##id,
#include "ingest/metrics/metrics.def"
#undef M
    METRIC_COUNT,
};

/* Sources beyond so many share the value "other". */
#define METRIC_SOURCES_MAX 200
#define METRIC_SOURCE_NONE 0 /* requests without a known source: value "" */
/* Likewise of brokers. */
#define METRIC_BROKERS_MAX 64
/* Partitions from this one on share a value, the last. */
#define METRIC_PARTITIONS_MAX 1024
/* Likewise threads of a worker. */
#define METRIC_THREADS_MAX 64

struct metrics;
/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int metrics_new(struct metrics **out);
void metrics_free(struct metrics **metrics);

/* The label value of a source, made when it is new; give it as label of a metric by SOURCE. name
 * (at most 64 bytes) is copied. */
int metrics_source(struct metrics *metrics, struct str name);
/* The same of a broker. */
int metrics_broker(struct metrics *metrics, struct str name);

/* The label value of a partition. */
int metrics_partition(int32_t partition);

/* The label value of a worker's thread. */
int metrics_thread(int thread);

/* The label value of an HTTP status; statuses that the list lacks share "other". */
int metrics_status(int status);

/* "no_secret", ...: how logs and metrics name it. */
const char *metrics_refusal_name(enum metric_refusal refusal);

/* The label value of an ERR_*. */
int metrics_reason(int error);

/* Adds to a counter, or moves a gauge. a, b: label values, 0 where the metric has none. */
void metrics_add(struct metrics *metrics, enum metric_id id, int a, int b, int64_t amount);

/* Sets a gauge; or a counter that somebody else counts. */
void metrics_set(struct metrics *metrics, enum metric_id id, int a, int b, int64_t value);

/* A gauge with labels shows none of its values until they are set again. */
void metrics_unset(struct metrics *metrics, enum metric_id id);

/* Notes one observation of a histogram: microseconds, bytes or a number, by its unit. */
void metrics_observe(struct metrics *metrics, enum metric_id id, int64_t value);

/* Sets what is known of this process: memory, CPU time, descriptors, start. Reads /proc. */
void metrics_set_process(struct metrics *metrics);

/* Current value of a counter or gauge; of a histogram the count. */
int64_t metrics_get(const struct metrics *metrics, enum metric_id id, int a, int b);

/* Appends the text exposition format 0.0.4; of the parts of the program ("tabiji_worker_") those
 * that ever counted anything. Errors as buf_append(). Source: prometheus.io, "Exposition formats".
 */
MUST_CHECK int metrics_write(const struct metrics *metrics, struct buf *out);

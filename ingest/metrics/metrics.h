/*
 * Counters, gauges and histograms in Prometheus' text form. The list is metrics.def; each carries
 * its meaning and what the operator does about it.
 *
 * All functions but metrics_new(), metrics_free() and metrics_source() are for any thread.
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
    X(METRIC_PROTOCOL_OTHER, "other")

#define X(id, value) id,
enum metric_result { METRIC_RESULT_LIST(X) METRIC_RESULT_COUNT };
enum metric_protocol { METRIC_PROTOCOL_LIST(X) METRIC_PROTOCOL_COUNT };
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

struct metrics;
/* Errors: ERR_NO_MEMORY. */
MUST_CHECK int metrics_new(struct metrics **out);
void metrics_free(struct metrics **metrics);

/* The label value of a source, made when it is new; give it as label of a metric by SOURCE. name
 * (at most 64 bytes) is copied. Before threads start. */
int metrics_source(struct metrics *metrics, struct str name);

/* The label value of an HTTP status; statuses that the list lacks share "other". */
int metrics_status(int status);

/* The label value of an ERR_*. */
int metrics_reason(int error);

/* Adds to a counter, or moves a gauge. a, b: label values, 0 where the metric has none. */
void metrics_add(struct metrics *metrics, enum metric_id id, int a, int b, int64_t amount);

/* Sets a gauge. */
void metrics_set(struct metrics *metrics, enum metric_id id, int a, int b, int64_t value);

/* Notes one observation of a histogram, microseconds. */
void metrics_observe(struct metrics *metrics, enum metric_id id, int64_t micros);

/* Current value of a counter or gauge; of a histogram the count. */
int64_t metrics_get(const struct metrics *metrics, enum metric_id id, int a, int b);

/* Appends the text exposition format 0.0.4. Errors as buf_append().
 * Source: prometheus.io, "Exposition formats". */
MUST_CHECK int metrics_write(const struct metrics *metrics, struct buf *out);

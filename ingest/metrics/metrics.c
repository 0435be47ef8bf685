/* Flat arrays of atomics. Invariant: cell(a, b) lies within the metric's own array. */
#include "ingest/metrics/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "schemas/error.h"

#define SOURCE_NAME_SIZE 64
#define MICROS_PER_SECOND 1000000

enum metric_type {
    COUNTER,
    GAUGE,
    HISTOGRAM,
};
enum metric_unit {
    UNIT_NONE,
    UNIT_BYTES,
    UNIT_SECONDS,
};
enum metric_label {
    LABEL_NONE,
    LABEL_SOURCE,
    LABEL_RESULT,
    LABEL_PROTOCOL,
    LABEL_STATUS,
    LABEL_REASON,
    LABEL_COUNT,
};

struct metric {
    const char *name;
    enum metric_type type;
    enum metric_unit unit;
    enum metric_label labels[2];
    const char *meaning;
};

static const struct metric list[METRIC_COUNT] = {
#define M(id, name, type, unit, a, b, meaning, action)                                             \
    {name, type, UNIT_##unit, {LABEL_##a, LABEL_##b}, meaning},
#include "ingest/metrics/metrics.def"
#undef M
};

/* Closed lists of label values. */
#define X(id, value) value,
static const char *const result_values[] = {METRIC_RESULT_LIST(X)};
static const char *const protocol_values[] = {METRIC_PROTOCOL_LIST(X)};
#undef X
#define X(symbol, number, class, name, text) name,
static const char *const reason_values[] = {ERROR_LIST(X)};
#undef X
#define X(symbol, number, class, name, text) number,
static const int reason_errors[] = {ERROR_LIST(X)};
#undef X
static const char *const status_values[] = {"other", "200", "204", "400", "401", "403", "404",
    "405", "408", "413", "414", "415", "422", "429", "431", "500", "503"};

/* Upper bounds of histogram buckets in microseconds, and as Prometheus writes them. */
static const struct {
    int64_t micros;
    const char *text;
} buckets[] = {
    {1000, "0.001"},
    {2000, "0.002"},
    {5000, "0.005"},
    {10000, "0.01"},
    {20000, "0.02"},
    {50000, "0.05"},
    {100000, "0.1"},
    {200000, "0.2"},
    {500000, "0.5"},
    {1000000, "1"},
    {2000000, "2"},
    {5000000, "5"},
    {10000000, "10"},
};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define BUCKETS COUNT_OF(buckets)
/* A histogram's cells: one a bucket, one above the last, then the sum in microseconds. */
#define CELL_ABOVE BUCKETS
#define CELL_SUM (BUCKETS + 1)
#define HISTOGRAM_CELLS (BUCKETS + 2)

static const struct {
    const char *name;
    const char *const *values; /* NULL: sources */
    size_t count;
} labels[LABEL_COUNT] = {
    [LABEL_NONE] = {"", NULL, 1},
    [LABEL_SOURCE] = {"source", NULL, METRIC_SOURCES_MAX},
    [LABEL_RESULT] = {"result", result_values, COUNT_OF(result_values)},
    [LABEL_PROTOCOL] = {"protocol", protocol_values, COUNT_OF(protocol_values)},
    [LABEL_STATUS] = {"status", status_values, COUNT_OF(status_values)},
    [LABEL_REASON] = {"reason", reason_values, COUNT_OF(reason_values)},
};

struct metrics {
    _Atomic int64_t *cells[METRIC_COUNT];
    char sources[METRIC_SOURCES_MAX][SOURCE_NAME_SIZE + 1];
    size_t sources_count;
};

static size_t cells_of(const struct metric *metric)
{
    if (metric->type == HISTOGRAM)
        return HISTOGRAM_CELLS;
    return labels[metric->labels[0]].count * labels[metric->labels[1]].count;
}

int metrics_new(struct metrics **out)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return ERR_NO_MEMORY;
    metrics->sources_count = 1; /* METRIC_SOURCE_NONE */
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        metrics->cells[i] = calloc(cells_of(&list[i]), sizeof *metrics->cells[i]);
        if (!metrics->cells[i]) {
            metrics_free(&metrics);
            return ERR_NO_MEMORY;
        }
    }
    *out = metrics;
    return 0;
}

void metrics_free(struct metrics **metrics)
{
    if (!*metrics)
        return;
    for (size_t i = 0; i < METRIC_COUNT; i++)
        free((*metrics)->cells[i]);
    free(*metrics);
    *metrics = NULL;
}

int metrics_source(struct metrics *metrics, struct str name)
{
    if (name.size > SOURCE_NAME_SIZE)
        name.size = SOURCE_NAME_SIZE;
    for (size_t i = 0; i < metrics->sources_count; i++)
        if (str_equal(str_of(metrics->sources[i]), name))
            return (int)i;
    if (metrics->sources_count == METRIC_SOURCES_MAX - 1)
        name = STR("other");
    if (metrics->sources_count == METRIC_SOURCES_MAX)
        return METRIC_SOURCES_MAX - 1;
    memcpy(metrics->sources[metrics->sources_count], name.data, name.size);
    return (int)metrics->sources_count++;
}

int metrics_status(int status)
{
    for (size_t i = 1; i < COUNT_OF(status_values); i++)
        if (atoi(status_values[i]) == status)
            return (int)i;
    return 0;
}

int metrics_reason(int error)
{
    for (size_t i = 0; i < COUNT_OF(reason_errors); i++)
        if (reason_errors[i] == error)
            return (int)i;
    return metrics_reason(ERR_INTERNAL);
}

static _Atomic int64_t *cell(const struct metrics *metrics, enum metric_id id, int a, int b)
{
    const struct metric *metric = &list[id];
    size_t count_a = labels[metric->labels[0]].count;
    size_t count_b = labels[metric->labels[1]].count;
    check(a >= 0 && b >= 0 && (size_t)a < count_a && (size_t)b < count_b);
    return &metrics->cells[id][(size_t)a * count_b + (size_t)b];
}

void metrics_add(struct metrics *metrics, enum metric_id id, int a, int b, int64_t amount)
{
    check(list[id].type != HISTOGRAM);
    (void)atomic_fetch_add_explicit(cell(metrics, id, a, b), amount, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric_id id, int a, int b, int64_t value)
{
    check(list[id].type == GAUGE);
    atomic_store_explicit(cell(metrics, id, a, b), value, memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, enum metric_id id, int64_t micros)
{
    check(list[id].type == HISTOGRAM);
    size_t i = 0;
    while (i < BUCKETS && micros > buckets[i].micros)
        i++;
    _Atomic int64_t *cells = metrics->cells[id];
    (void)atomic_fetch_add_explicit(&cells[i], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&cells[CELL_SUM], micros, memory_order_relaxed);
}

static int64_t load(const struct metrics *metrics, enum metric_id id, size_t i)
{
    return atomic_load_explicit(&metrics->cells[id][i], memory_order_relaxed);
}

int64_t metrics_get(const struct metrics *metrics, enum metric_id id, int a, int b)
{
    if (list[id].type != HISTOGRAM)
        return atomic_load_explicit(cell(metrics, id, a, b), memory_order_relaxed);
    int64_t count = 0;
    for (size_t i = 0; i <= CELL_ABOVE; i++)
        count += load(metrics, id, i);
    return count;
}

/* ---- text ---- */

/* Backslash, line feed and, in label values, quotes are escaped. */
static int write_escaped(struct buf *out, const char *text)
{
    int r = 0;
    for (; r == 0 && *text; text++) {
        if (*text == '\n')
            r = buf_append(out, "\\n", 2);
        else if (*text == '\\' || *text == '"')
            r = buf_appendf(out, "\\%c", *text);
        else
            r = buf_append(out, text, 1);
    }
    return r;
}

static const char *label_value(const struct metrics *metrics, enum metric_label label, size_t value)
{
    return label == LABEL_SOURCE ? metrics->sources[value] : labels[label].values[value];
}

static int write_label(const struct metrics *metrics, enum metric_label label, size_t value,
    const char *lead, struct buf *out)
{
    int r = buf_appendf(out, "%s%s=\"", lead, labels[label].name);
    if (r == 0)
        r = write_escaped(out, label_value(metrics, label, value));
    if (r == 0)
        r = buf_append(out, "\"", 1);
    return r;
}

/* Seconds are kept in microseconds. */
static int write_number(struct buf *out, enum metric_unit unit, int64_t value)
{
    if (unit != UNIT_SECONDS)
        return buf_appendf(out, " %" PRId64 "\n", value);
    return buf_appendf(
        out, " %" PRId64 ".%06d\n", value / MICROS_PER_SECOND, (int)(value % MICROS_PER_SECOND));
}

static int write_sample(
    const struct metrics *metrics, enum metric_id id, size_t a, size_t b, struct buf *out)
{
    const struct metric *metric = &list[id];
    int r = buf_append_str(out, str_of(metric->name));
    if (r == 0 && metric->labels[0] != LABEL_NONE)
        r = write_label(metrics, metric->labels[0], a, "{", out);
    if (r == 0 && metric->labels[1] != LABEL_NONE)
        r = write_label(metrics, metric->labels[1], b, ",", out);
    if (r == 0 && metric->labels[0] != LABEL_NONE)
        r = buf_append(out, "}", 1);
    if (r == 0)
        r = write_number(out, metric->unit, metrics_get(metrics, id, (int)a, (int)b));
    return r;
}

/* All samples of a counter or gauge; of labelled ones only those that have ever counted. */
static int write_samples(const struct metrics *metrics, enum metric_id id, struct buf *out)
{
    const struct metric *metric = &list[id];
    size_t count_b = labels[metric->labels[1]].count;
    int r = 0;
    for (size_t i = 0; r == 0 && i < cells_of(metric); i++)
        if (metric->labels[0] == LABEL_NONE || load(metrics, id, i) != 0)
            r = write_sample(metrics, id, i / count_b, i % count_b, out);
    return r;
}

static int write_histogram(const struct metrics *metrics, enum metric_id id, struct buf *out)
{
    const char *name = list[id].name;
    int64_t count = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i <= CELL_ABOVE; i++) {
        count += load(metrics, id, i);
        r = buf_appendf(out, "%s_bucket{le=\"%s\"} %" PRId64 "\n", name,
            i < BUCKETS ? buckets[i].text : "+Inf", count);
    }
    if (r == 0)
        r = buf_appendf(out, "%s_sum", name);
    if (r == 0)
        r = write_number(out, UNIT_SECONDS, load(metrics, id, CELL_SUM));
    if (r == 0)
        r = buf_appendf(out, "%s_count %" PRId64 "\n", name, count);
    return r;
}

static const char *type_name(enum metric_type type)
{
    return type == COUNTER ? "counter" : type == GAUGE ? "gauge" : "histogram";
}

int metrics_write(const struct metrics *metrics, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < METRIC_COUNT; i++) {
        r = buf_appendf(out, "# HELP %s ", list[i].name);
        if (r == 0)
            r = write_escaped(out, list[i].meaning);
        if (r == 0)
            r = buf_appendf(out, "\n# TYPE %s %s\n", list[i].name, type_name(list[i].type));
        if (r == 0)
            r = list[i].type == HISTOGRAM ? write_histogram(metrics, (enum metric_id)i, out)
                                          : write_samples(metrics, (enum metric_id)i, out);
    }
    return r;
}

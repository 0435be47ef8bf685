/* Flat arrays of atomics. Invariant: cell(a, b) lies within the metric's own array. */
#include "ingest/metrics/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "ingest/stream/topic.h"
#include "schemas/error.h"

#define NAME_SIZE 64
#define UNSET INT64_MIN /* a value of a gauge with labels that nobody has set */
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
    LABEL_REFUSAL,
    LABEL_TRANSACTION,
    LABEL_REBALANCE,
    LABEL_REQUEST,
    LABEL_CACHE,
    LABEL_CLIENT,
    LABEL_BROKER,
    LABEL_TOPIC,
    LABEL_PARTITION,
    LABEL_THREAD,
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
static const char *const refusal_values[] = {METRIC_REFUSAL_LIST(X)};
static const char *const transaction_values[] = {METRIC_TRANSACTION_LIST(X)};
static const char *const rebalance_values[] = {METRIC_REBALANCE_LIST(X)};
static const char *const request_values[] = {METRIC_REQUEST_LIST(X)};
static const char *const cache_values[] = {METRIC_CACHE_LIST(X)};
static const char *const client_values[] = {METRIC_CLIENT_LIST(X)};
#undef X
#define X(symbol, name) (name),
static const char *const topic_values[] = {TOPIC_LIST(X)};
#undef X
#define X(symbol, number, class, name, text) name,
static const char *const reason_values[] = {ERROR_LIST(X)};
#undef X
#define X(symbol, number, class, name, text) number,
static const int reason_errors[] = {ERROR_LIST(X)};
#undef X
static const char *const status_values[] = {"other", "200", "204", "400", "401", "403", "404",
    "405", "408", "413", "414", "415", "422", "429", "431", "500", "503"};

/* Upper bounds of histogram buckets, and as Prometheus writes them; by unit, all equally many. */
#define BUCKETS 13
struct bucket {
    int64_t bound;
    const char *text;
};
static const struct bucket buckets[][BUCKETS] = {
    [UNIT_NONE] = {{1, "1"}, {3, "3"}, {10, "10"}, {30, "30"}, {100, "100"}, {300, "300"},
        {1000, "1000"}, {3000, "3000"}, {10000, "10000"}, {30000, "30000"}, {100000, "100000"},
        {300000, "300000"}, {1000000, "1000000"}},
    [UNIT_BYTES] = {{1 << 10, "1024"}, {1 << 12, "4096"}, {1 << 14, "16384"}, {1 << 16, "65536"},
        {1 << 18, "262144"}, {1 << 20, "1048576"}, {1 << 22, "4194304"}, {1 << 24, "16777216"},
        {1 << 25, "33554432"}, {1 << 26, "67108864"}, {1 << 27, "134217728"},
        {1 << 28, "268435456"}, {1 << 29, "536870912"}},
    [UNIT_SECONDS] = {{1000, "0.001"}, {2000, "0.002"}, {5000, "0.005"}, {10000, "0.01"},
        {20000, "0.02"}, {50000, "0.05"}, {100000, "0.1"}, {200000, "0.2"}, {500000, "0.5"},
        {1000000, "1"}, {2000000, "2"}, {5000000, "5"}, {10000000, "10"}},
};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
/* A histogram's cells: one a bucket, one above the last, then the sum. */
#define CELL_ABOVE BUCKETS
#define CELL_SUM (BUCKETS + 1)
#define HISTOGRAM_CELLS (BUCKETS + 2)

static const struct {
    const char *name;
    const char *const *values; /* NULL: names that come, or numbers */
    size_t count;
} labels[LABEL_COUNT] = {
    [LABEL_NONE] = {"", NULL, 1},
    [LABEL_SOURCE] = {"source", NULL, METRIC_SOURCES_MAX},
    [LABEL_RESULT] = {"result", result_values, COUNT_OF(result_values)},
    [LABEL_PROTOCOL] = {"protocol", protocol_values, COUNT_OF(protocol_values)},
    [LABEL_STATUS] = {"status", status_values, COUNT_OF(status_values)},
    [LABEL_REASON] = {"reason", reason_values, COUNT_OF(reason_values)},
    [LABEL_REFUSAL] = {"reason", refusal_values, COUNT_OF(refusal_values)},
    [LABEL_TRANSACTION] = {"result", transaction_values, COUNT_OF(transaction_values)},
    [LABEL_REBALANCE] = {"what", rebalance_values, COUNT_OF(rebalance_values)},
    [LABEL_REQUEST] = {"result", request_values, COUNT_OF(request_values)},
    [LABEL_CACHE] = {"result", cache_values, COUNT_OF(cache_values)},
    [LABEL_CLIENT] = {"client", client_values, COUNT_OF(client_values)},
    [LABEL_BROKER] = {"broker", NULL, METRIC_BROKERS_MAX},
    [LABEL_TOPIC] = {"topic", topic_values, COUNT_OF(topic_values)},
    [LABEL_PARTITION] = {"partition", NULL, METRIC_PARTITIONS_MAX},
    [LABEL_THREAD] = {"thread", NULL, METRIC_THREADS_MAX},
};

/* Names in the order in which they came; each is whole before `count` tells of it. */
struct names {
    char list[METRIC_SOURCES_MAX][NAME_SIZE + 1];
    size_t max;
    _Atomic size_t count;
};
_Static_assert(METRIC_BROKERS_MAX <= METRIC_SOURCES_MAX, "room in struct names");

struct metrics {
    _Atomic int64_t *cells[METRIC_COUNT];
    pthread_mutex_t lock; /* of who adds a name */
    struct names sources;
    struct names brokers;
};

static size_t cells_of(const struct metric *metric)
{
    if (metric->type == HISTOGRAM)
        return HISTOGRAM_CELLS;
    return labels[metric->labels[0]].count * labels[metric->labels[1]].count;
}

static bool is_shown_when_set(const struct metric *metric)
{
    return metric->type == GAUGE && metric->labels[0] != LABEL_NONE;
}

int metrics_new(struct metrics **out)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return ERR_NO_MEMORY;
    check(pthread_mutex_init(&metrics->lock, NULL) == 0);
    metrics->sources.max = METRIC_SOURCES_MAX;
    metrics->brokers.max = METRIC_BROKERS_MAX;
    atomic_store(&metrics->sources.count, 1); /* METRIC_SOURCE_NONE */
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        metrics->cells[i] = calloc(cells_of(&list[i]), sizeof *metrics->cells[i]);
        if (!metrics->cells[i]) {
            metrics_free(&metrics);
            return ERR_NO_MEMORY;
        }
        if (is_shown_when_set(&list[i]))
            metrics_unset(metrics, (enum metric_id)i);
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
    (void)pthread_mutex_destroy(&(*metrics)->lock);
    free(*metrics);
    *metrics = NULL;
}

static int name_find(const struct names *names, struct str name)
{
    size_t count = atomic_load_explicit(&names->count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        if (str_equal(str_of(names->list[i]), name))
            return (int)i;
    return -1;
}

static int name_add(struct names *names, struct str name)
{
    size_t count = atomic_load_explicit(&names->count, memory_order_relaxed);
    if (count == names->max)
        return (int)names->max - 1;
    if (count == names->max - 1)
        name = STR("other");
    memcpy(names->list[count], name.data, name.size);
    atomic_store_explicit(&names->count, count + 1, memory_order_release);
    return (int)count;
}

static int name_take(struct metrics *metrics, struct names *names, struct str name)
{
    if (name.size > NAME_SIZE)
        name.size = NAME_SIZE;
    int found = name_find(names, name);
    if (found >= 0)
        return found;
    check(pthread_mutex_lock(&metrics->lock) == 0);
    found = name_find(names, name);
    if (found < 0)
        found = name_add(names, name);
    check(pthread_mutex_unlock(&metrics->lock) == 0);
    return found;
}

int metrics_source(struct metrics *metrics, struct str name)
{
    return name_take(metrics, &metrics->sources, name);
}

int metrics_broker(struct metrics *metrics, struct str name)
{
    return name_take(metrics, &metrics->brokers, name);
}

int metrics_partition(int32_t partition)
{
    return partition < METRIC_PARTITIONS_MAX ? (int)partition : METRIC_PARTITIONS_MAX - 1;
}

const char *metrics_refusal_name(enum metric_refusal refusal)
{
    return refusal_values[refusal];
}

int metrics_thread(int thread)
{
    return thread < METRIC_THREADS_MAX ? thread : METRIC_THREADS_MAX - 1;
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
    check(list[id].type != HISTOGRAM && !is_shown_when_set(&list[id]));
    (void)atomic_fetch_add_explicit(cell(metrics, id, a, b), amount, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric_id id, int a, int b, int64_t value)
{
    check(list[id].type != HISTOGRAM);
    atomic_store_explicit(cell(metrics, id, a, b), value, memory_order_relaxed);
}

void metrics_unset(struct metrics *metrics, enum metric_id id)
{
    check(is_shown_when_set(&list[id]));
    for (size_t i = 0; i < cells_of(&list[id]); i++)
        atomic_store_explicit(&metrics->cells[id][i], UNSET, memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, enum metric_id id, int64_t value)
{
    check(list[id].type == HISTOGRAM);
    size_t i = 0;
    while (i < BUCKETS && value > buckets[list[id].unit][i].bound)
        i++;
    _Atomic int64_t *cells = metrics->cells[id];
    (void)atomic_fetch_add_explicit(&cells[i], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&cells[CELL_SUM], value, memory_order_relaxed);
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

static int write_label(const struct metrics *metrics, enum metric_label label, size_t value,
    const char *lead, struct buf *out)
{
    int r = buf_appendf(out, "%s%s=\"", lead, labels[label].name);
    if (r < 0)
        return r;
    if (label == LABEL_PARTITION || label == LABEL_THREAD)
        r = buf_appendf(out, "%zu", value);
    else if (label == LABEL_SOURCE)
        r = write_escaped(out, metrics->sources.list[value]);
    else if (label == LABEL_BROKER)
        r = write_escaped(out, metrics->brokers.list[value]);
    else
        r = write_escaped(out, labels[label].values[value]);
    return r < 0 ? r : buf_append(out, "\"", 1);
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

/* All samples of a counter or gauge; of labelled ones only those that have ever counted, or are
 * set.
 */
static int write_samples(const struct metrics *metrics, enum metric_id id, struct buf *out)
{
    const struct metric *metric = &list[id];
    size_t count_b = labels[metric->labels[1]].count;
    int64_t hidden = metric->type == GAUGE ? UNSET : 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < cells_of(metric); i++)
        if (metric->labels[0] == LABEL_NONE || load(metrics, id, i) != hidden)
            r = write_sample(metrics, id, i / count_b, i % count_b, out);
    return r;
}

static int write_histogram(const struct metrics *metrics, enum metric_id id, struct buf *out)
{
    const char *name = list[id].name;
    const struct bucket *bounds = buckets[list[id].unit];
    int64_t count = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i <= CELL_ABOVE; i++) {
        count += load(metrics, id, i);
        r = buf_appendf(out, "%s_bucket{le=\"%s\"} %" PRId64 "\n", name,
            i < BUCKETS ? bounds[i].text : "+Inf", count);
    }
    if (r == 0)
        r = buf_appendf(out, "%s_sum", name);
    if (r == 0)
        r = write_number(out, list[id].unit, load(metrics, id, CELL_SUM));
    if (r == 0)
        r = buf_appendf(out, "%s_count %" PRId64 "\n", name, count);
    return r;
}

static const char *type_name(enum metric_type type)
{
    return type == COUNTER ? "counter" : type == GAUGE ? "gauge" : "histogram";
}

/* The size of what the names of one part of the program begin with: "tabiji_worker_". */
static size_t part_size(const char *name)
{
    const char *first = strchr(name, '_');
    const char *second = first ? strchr(first + 1, '_') : NULL;
    return second ? (size_t)(second - name) : strlen(name);
}

static bool is_touched(const struct metrics *metrics, enum metric_id id)
{
    int64_t untouched = is_shown_when_set(&list[id]) ? UNSET : 0;
    for (size_t i = 0; i < cells_of(&list[id]); i++)
        if (load(metrics, id, i) != untouched)
            return true;
    return false;
}

/* Whether the part of the program that this one is of has ever counted anything: a collector says
 * nothing of workers. */
static bool is_shown(const struct metrics *metrics, enum metric_id id)
{
    const char *name = list[id].name;
    size_t size = part_size(name);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        if (part_size(list[i].name) == size && memcmp(list[i].name, name, size) == 0 &&
            is_touched(metrics, (enum metric_id)i))
            return true;
    return false;
}

static int write_family(const struct metrics *metrics, enum metric_id id, struct buf *out)
{
    int r = buf_appendf(out, "# HELP %s ", list[id].name);
    if (r == 0)
        r = write_escaped(out, list[id].meaning);
    if (r == 0)
        r = buf_appendf(out, "\n# TYPE %s %s\n", list[id].name, type_name(list[id].type));
    if (r == 0)
        r = list[id].type == HISTOGRAM ? write_histogram(metrics, id, out)
                                       : write_samples(metrics, id, out);
    return r;
}

int metrics_write(const struct metrics *metrics, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < METRIC_COUNT; i++)
        if (is_shown(metrics, (enum metric_id)i))
            r = write_family(metrics, (enum metric_id)i, out);
    return r;
}

/* ---- process ---- */

static int64_t micros_of(struct timeval time)
{
    return (int64_t)time.tv_sec * MICROS_PER_SECOND + time.tv_usec;
}

static int64_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t count = -3; /* . and .. and the one that lists */
    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long long total = 0, resident = 0;
    if (!file)
        return 0;
    if (fscanf(file, "%lld %lld", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

void metrics_set_process(struct metrics *metrics)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        metrics_set(metrics, METRIC_PROCESS_CPU_SECONDS, 0, 0,
            micros_of(used.ru_utime) + micros_of(used.ru_stime));
    metrics_set(metrics, METRIC_PROCESS_RESIDENT_BYTES, 0, 0, resident_bytes());
    metrics_set(metrics, METRIC_PROCESS_OPEN_FDS, 0, 0, open_descriptors());
}

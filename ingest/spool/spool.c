/*
 * Invariants, under the lock:
 *  1. An append goes straight to the cluster only while `spooling` is false, and then the spool is
 *     empty; spooling ends only when the drainer's last batch is the cluster's and no other is
 * left.
 *  2. The cluster's appender is opened by spool_open() or the drainer, and closed by spool_close()
 *     after the drainer's end: who has seen it may use it without the lock.
 *  3. `failure` never goes back to 0.
 */
#include "ingest/spool/spool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "ingest/spool/spool_disk.h"
#include "ingest/stream/row_schema.h"
#include "ingest/stream/translator.h"
#include "schemas/error.h"

#define BATCH_RECORDS_MAX 5000
#define BATCH_BYTES_MAX ((size_t)4 << 20)
#define BATCHES_PER_SECOND 10 /* with a rate: so many at least */
#define SEGMENT_SIZE_MIN ((uint64_t)1 << 20)
#define SEGMENTS_MAX 64 /* of a full spool, about */
#define PAUSE_MS_FIRST 100
#define PAUSE_MS_MAX 1000
#define NANOS_PER_MS 1000000L

struct spool {
    struct appender base;
    struct spool_config config;
    pthread_t drainer;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct spool_disk *disk;
    struct appender *cluster; /* NULL: not reached yet */
    bool spooling;
    bool full;
    bool stopping;
    int failure;
    uint64_t drained; /* records, since spooling began */
    /* The drainer's own. */
    struct translator translator;
    struct arena arena;
    struct buf records;
};

static void lock(struct spool *spool)
{
    check(pthread_mutex_lock(&spool->lock) == 0);
}

static void unlock(struct spool *spool)
{
    check(pthread_mutex_unlock(&spool->lock) == 0);
}

/* ---- what an operator sees; with the lock ---- */

static void show(struct spool *spool)
{
    struct metrics *metrics = spool->config.metrics;
    if (!metrics)
        return;
    metrics_set(metrics, METRIC_SPOOL_STATE, 0, 0, spool->full ? 2 : spool->spooling ? 1 : 0);
    metrics_set(metrics, METRIC_SPOOL_BYTES, 0, 0, (int64_t)spool_disk_bytes(spool->disk));
    metrics_set(metrics, METRIC_SPOOL_RECORDS, 0, 0, (int64_t)spool_disk_records(spool->disk));
}

static void count(struct spool *spool, enum metric_id id, size_t amount)
{
    if (spool->config.metrics)
        metrics_add(spool->config.metrics, id, 0, 0, (int64_t)amount);
}

static void begin_spooling(struct spool *spool, int reason)
{
    if (spool->spooling)
        return;
    spool->spooling = true;
    spool->drained = 0;
    log_write(spool->config.log, LOG_LEVEL_WARNING, "spool_begun", LOG_ERROR(reason));
}

static void fail(struct spool *spool, const char *what, int error)
{
    if (spool->failure)
        return;
    spool->failure = error;
    log_write(spool->config.log, LOG_LEVEL_ERROR, "spool_failed", LOG_TEXT("what", what),
        LOG_ERROR(error), LOG_INT("errno", errno));
}

static void set_full(struct spool *spool, bool full)
{
    if (full && !spool->full)
        log_write(spool->config.log, LOG_LEVEL_ERROR, "spool_full",
            LOG_INT("bytes", spool_disk_bytes(spool->disk)),
            LOG_INT("size_max", spool->config.size_max),
            LOG_TEXT("reason", errno ? "the disk has no room" : "size_max is reached"));
    if (!full && spool->full)
        log_write(spool->config.log, LOG_LEVEL_INFO, "spool_not_full",
            LOG_INT("bytes", spool_disk_bytes(spool->disk)));
    spool->full = full;
}

/* ---- append ---- */

/* With the lock. */
static int append_to_disk(struct spool *spool, const struct append_record *records, size_t amount)
{
    if (spool->failure)
        return spool->failure;
    int r = spool_disk_append(spool->disk, records, amount);
    int reason = errno;
    if (r == ERR_IO)
        fail(spool, "disk", r);
    if (r == 0)
        count(spool, METRIC_SPOOL_SPOOLED, amount);
    if (r == ERR_FULL)
        count(spool, METRIC_SPOOL_REFUSALS, 1);
    if (r == ERR_FULL)
        set_full(spool, true);
    else if (r == 0 && spool_disk_bytes(spool->disk) < spool->config.size_max / 16 * 15)
        set_full(spool, false); /* it was the disk */
    show(spool);
    check(pthread_cond_signal(&spool->wake) == 0);
    errno = reason;
    return r;
}

static int append(struct appender *base, const struct append_record *records, size_t amount,
    const struct append_cursor *cursor)
{
    struct spool *spool = (struct spool *)base;
    int r = 0;
    check(!cursor);
    for (size_t i = 0; i < amount; i++)
        if (records[i].key.size + records[i].value.size > spool->config.record_size_max)
            return ERR_TOO_LARGE;
    lock(spool);
    bool direct = !spool->spooling;
    struct appender *cluster = spool->cluster;
    unlock(spool);
    if (direct) {
        r = cluster->append(cluster, records, amount, NULL);
        if (r == 0 || error_class(r) != ERROR_CLASS_RETRY)
            return r;
    }
    lock(spool);
    begin_spooling(spool, r);
    r = append_to_disk(spool, records, amount);
    unlock(spool);
    return r;
}

static int cursor_get(struct appender *base, struct str name, struct buf *out)
{
    (void)base, (void)name, (void)out;
    return APPEND_NO_CURSOR;
}

/* ---- drain: the drainer's thread ---- */

/* Waits, or until the stop. With the lock. */
static void pause_ms(struct spool *spool, int64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * NANOS_PER_MS;
    until.tv_sec += ms / 1000 + until.tv_nsec / (1000 * NANOS_PER_MS);
    until.tv_nsec %= 1000 * NANOS_PER_MS;
    while (
        !spool->stopping && pthread_cond_timedwait(&spool->wake, &spool->lock, &until) != ETIMEDOUT)
        ;
}

/* The value as this build writes it. Errors: ERR_NEWER, ERR_NO_MEMORY, or that it cannot be read.
 */
static int translate(struct spool *spool, const struct spool_record *record, struct str *value)
{
    *value = record->value;
    if (record->schema == row_schema_of_topic(record->topic))
        return 0;
    const struct schema_entry *writer = schema_set_find(record->schema);
    if (!writer)
        return ERR_NEWER;
    return translator_value(&spool->translator, writer, record->value, 0, &spool->arena, value);
}

static int take_records(struct spool *spool, const struct spool_batch *batch)
{
    int r = 0;
    buf_clear(&spool->records);
    arena_reset(&spool->arena);
    for (size_t i = 0; r == 0 && i < batch->count; i++) {
        const struct spool_record *from = &batch->records[i];
        struct append_record record = {.topic = from->topic, .key = from->key};
        r = translate(spool, from, &record.value);
        if (r == 0)
            r = buf_append(&spool->records, &record, sizeof record);
    }
    return r;
}

/* One of them is refused for good: which, is tried one by one. Without the lock. */
static int send_singly(struct spool *spool, const struct spool_batch *batch)
{
    const struct append_record *records = (const void *)spool->records.data;
    for (size_t i = 0; i < batch->count; i++) {
        int r = spool->cluster->append(spool->cluster, &records[i], 1, NULL);
        if (r == 0)
            continue;
        if (error_class(r) != ERROR_CLASS_REJECT)
            return r;
        log_write(spool->config.log, LOG_LEVEL_ERROR, "spool_record_refused", LOG_ERROR(r),
            LOG_TEXT("topic", topic_name(records[i].topic)), LOG_TEXT("kept_in", "refused"));
        count(spool, METRIC_SPOOL_REFUSED, 1);
        r = spool_disk_refuse(spool->disk, &batch->records[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Without the lock: nobody else reads the disk's first segment. */
static int send_batch(struct spool *spool, const struct spool_batch *batch)
{
    int r = take_records(spool, batch);
    if (r < 0)
        return r;
    r = spool->cluster->append(
        spool->cluster, (const void *)spool->records.data, batch->count, NULL);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? send_singly(spool, batch) : r;
}

/* A batch that the cluster has. With the lock. */
static int finish_batch(struct spool *spool, const struct spool_batch *batch)
{
    int r = batch->count > 0 ? spool_disk_drained(spool->disk, batch) : 0;
    count(spool, METRIC_SPOOL_DRAINED, batch->count);
    spool->drained += batch->count;
    if (r < 0)
        return r;
    if (spool->full && spool_disk_bytes(spool->disk) < spool->config.size_max / 2)
        set_full(spool, false);
    if (spool_disk_empty(spool->disk)) {
        spool->spooling = false;
        set_full(spool, false);
        log_write(
            spool->config.log, LOG_LEVEL_INFO, "spool_drained", LOG_INT("records", spool->drained));
    }
    show(spool);
    return 0;
}

/* One batch; *sent: its records. With the lock, which it gives up while the cluster works. */
static int drain_some(struct spool *spool, size_t records_max, size_t *sent)
{
    struct spool_batch batch;
    *sent = 0;
    int r = spool_disk_read(spool->disk, records_max, BATCH_BYTES_MAX, &batch);
    if (r == SPOOL_DAMAGED) {
        log_write(spool->config.log, LOG_LEVEL_ERROR, "spool_damaged",
            LOG_TEXT("dir", spool->config.dir),
            LOG_TEXT("hint", "a segment was set aside as *.damaged; what it held before is sent"));
        count(spool, METRIC_SPOOL_DAMAGED, 1);
        r = 0;
    }
    if (r == 0 && batch.count > 0) {
        unlock(spool);
        r = send_batch(spool, &batch);
        lock(spool);
    }
    if (r == 0)
        r = finish_batch(spool, &batch);
    if (r == 0)
        *sent = batch.count;
    return r;
}

/* With the lock, which it gives up while it tries. */
static int reach_cluster(struct spool *spool)
{
    struct appender *cluster = NULL;
    if (spool->cluster)
        return 0;
    unlock(spool);
    int r = spool->config.open(spool->config.context, &cluster);
    lock(spool);
    if (r == 0)
        spool->cluster = cluster;
    return r;
}

static size_t batch_records(const struct spool *spool)
{
    int64_t rate = spool->config.drain_per_second;
    int64_t some = rate ? (rate + BATCHES_PER_SECOND - 1) / BATCHES_PER_SECOND : BATCH_RECORDS_MAX;
    return some < BATCH_RECORDS_MAX ? (size_t)some : BATCH_RECORDS_MAX;
}

static void *drain(void *context)
{
    struct spool *spool = context;
    int64_t pause = PAUSE_MS_FIRST;
    lock(spool);
    while (!spool->stopping && !spool->failure) {
        size_t sent = 0;
        if (!spool->spooling) {
            check(pthread_cond_wait(&spool->wake, &spool->lock) == 0);
            continue;
        }
        int r = reach_cluster(spool);
        if (r == 0)
            r = drain_some(spool, batch_records(spool), &sent);
        if (r == 0) {
            pause = PAUSE_MS_FIRST;
            if (spool->config.drain_per_second)
                pause_ms(spool, (int64_t)sent * 1000 / spool->config.drain_per_second);
        } else if (error_class(r) == ERROR_CLASS_RETRY) {
            pause_ms(spool, pause);
            pause = 2 * pause < PAUSE_MS_MAX ? 2 * pause : PAUSE_MS_MAX;
        } else {
            fail(spool, "drain", r);
        }
    }
    unlock(spool);
    return NULL;
}

/* ---- open, close ---- */

static int open_disk(struct spool *spool)
{
    struct spool_found found;
    uint64_t part = spool->config.size_max / SEGMENTS_MAX;
    const struct spool_disk_config config = {
        .dir = spool->config.dir,
        .size_max = spool->config.size_max,
        .segment_size = part > SEGMENT_SIZE_MIN ? part : SEGMENT_SIZE_MIN,
    };
    int r = spool_disk_open(&config, &spool->disk, &found);
    if (r < 0)
        return r;
    spool->spooling = found.segments > 0;
    if (found.segments || found.cut_bytes)
        log_write(spool->config.log, LOG_LEVEL_WARNING, "spool_found",
            LOG_INT("records", found.records), LOG_INT("bytes", found.bytes),
            LOG_INT("segments", found.segments), LOG_INT("cut_bytes", found.cut_bytes));
    return 0;
}

static int start(struct spool *spool)
{
    pthread_condattr_t attributes;
    check(pthread_mutex_init(&spool->lock, NULL) == 0);
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&spool->wake, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes);
    int r = open_disk(spool);
    if (r < 0)
        return r;
    r = spool->config.open(spool->config.context, &spool->cluster);
    if (r < 0 && error_class(r) != ERROR_CLASS_RETRY)
        return r;
    if (r < 0)
        begin_spooling(spool, r);
    show(spool);
    return pthread_create(&spool->drainer, NULL, drain, spool) == 0 ? 0 : ERR_NO_MEMORY;
}

static void free_spool(struct spool *spool)
{
    if (spool->cluster)
        spool->config.close(spool->config.context, &spool->cluster);
    spool_disk_close(&spool->disk);
    (void)pthread_cond_destroy(&spool->wake);
    (void)pthread_mutex_destroy(&spool->lock);
    translator_fini(&spool->translator);
    arena_free(&spool->arena);
    buf_free(&spool->records);
    free(spool);
}

int spool_open(const struct spool_config *config, struct appender **out)
{
    struct spool *spool = calloc(1, sizeof *spool);
    if (!spool)
        return ERR_NO_MEMORY;
    spool->base = (struct appender){.append = append, .cursor_get = cursor_get};
    spool->config = *config;
    int r = start(spool);
    if (r < 0) {
        free_spool(spool);
        return r;
    }
    *out = &spool->base;
    return 0;
}

int spool_failure(const struct appender *appender)
{
    struct spool *spool = (struct spool *)(uintptr_t)appender;
    lock(spool);
    int failure = spool->failure;
    unlock(spool);
    return failure;
}

const char *spool_condition(void *appender, bool *ready)
{
    struct spool *spool = appender;
    const char *line = NULL;
    lock(spool);
    if (spool->failure)
        line = "the spool failed\n";
    else if (spool->full)
        line = "the cluster does not take events, and the spool is full\n";
    else if (spool->spooling)
        line = "ok: events go to the spool until the cluster has taken what is there\n";
    if (spool->failure || spool->full)
        *ready = false;
    unlock(spool);
    return line;
}

void spool_close(struct appender **appender)
{
    if (!*appender)
        return;
    struct spool *spool = (struct spool *)*appender;
    lock(spool);
    spool->stopping = true;
    if (spool->cluster)
        spool->config.cancel(spool->config.context, spool->cluster);
    check(pthread_cond_broadcast(&spool->wake) == 0);
    unlock(spool);
    check(pthread_join(spool->drainer, NULL) == 0);
    log_write(spool->config.log, LOG_LEVEL_INFO, "spool_closed",
        LOG_INT("records", spool_disk_records(spool->disk)));
    free_spool(spool);
    *appender = NULL;
}

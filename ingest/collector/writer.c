/* Invariant: jobs are appended and told in the order in which they were queued. */
#include "ingest/collector/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/error.h"

#define RECORDS_MAX ((size_t)20000)  /* of one append */
#define BYTES_MAX ((size_t)16 << 20) /* likewise; a single larger request goes alone */

struct writer {
    struct appender *appender;
    struct metrics *metrics;
    const struct log *log;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct writer_job *first;
    struct writer_job **last;
    bool stopping;
    struct append_record *records; /* of the append that runs */
    size_t capacity;
};

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t bytes_of(const struct writer_job *job)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->count; i++)
        bytes += job->records[i].key.size + job->records[i].value.size;
    return bytes;
}

/* How many jobs from `jobs` on go into one append, and how many records they have. */
static size_t take_jobs(const struct writer_job *jobs, size_t *records)
{
    size_t count = 0;
    size_t bytes = 0;
    *records = 0;
    for (const struct writer_job *job = jobs; job; job = job->next) {
        bytes += bytes_of(job);
        if (count > 0 && (*records + job->count > RECORDS_MAX || bytes > BYTES_MAX))
            break;
        *records += job->count;
        count++;
    }
    return count;
}

static int grow(struct writer *writer, size_t records)
{
    if (records <= writer->capacity)
        return 0;
    struct append_record *grown = realloc(writer->records, records * sizeof *grown);
    if (!grown)
        return ERR_NO_MEMORY;
    writer->records = grown;
    writer->capacity = records;
    return 0;
}

static int append(
    struct writer *writer, const struct writer_job *jobs, size_t jobs_count, size_t records_count)
{
    int r = grow(writer, records_count);
    if (r < 0)
        return r;
    size_t at = 0;
    for (size_t i = 0; i < jobs_count; i++, jobs = jobs->next) {
        memcpy(writer->records + at, jobs->records, jobs->count * sizeof *writer->records);
        at += jobs->count;
    }
    int64_t begun = now_micros();
    r = writer->appender->append(writer->appender, writer->records, records_count, NULL);
    metrics_observe(writer->metrics, METRIC_COLLECTOR_APPEND_SECONDS, now_micros() - begun);
    if (r < 0) {
        metrics_add(writer->metrics, METRIC_COLLECTOR_APPEND_FAILURES, 0, 0, 1);
        log_write(writer->log, LOG_LEVEL_ERROR, "append_failed", LOG_ERROR(r),
            LOG_INT("records", records_count));
    }
    return r;
}

/* Appends a whole list, some jobs at a time, and tells each. */
static void write_jobs(struct writer *writer, struct writer_job *jobs)
{
    while (jobs) {
        size_t records = 0;
        size_t count = take_jobs(jobs, &records);
        int r = append(writer, jobs, count, records);
        for (size_t i = 0; i < count; i++) {
            struct writer_job *job = jobs;
            jobs = job->next; /* done() may free it */
            job->done(job, r);
        }
    }
}

static void *run(void *context)
{
    struct writer *writer = context;
    check(pthread_mutex_lock(&writer->lock) == 0);
    while (writer->first || !writer->stopping) {
        if (!writer->first) {
            check(pthread_cond_wait(&writer->wake, &writer->lock) == 0);
            continue;
        }
        struct writer_job *jobs = writer->first;
        writer->first = NULL;
        writer->last = &writer->first;
        check(pthread_mutex_unlock(&writer->lock) == 0);
        write_jobs(writer, jobs);
        check(pthread_mutex_lock(&writer->lock) == 0);
    }
    check(pthread_mutex_unlock(&writer->lock) == 0);
    return NULL;
}

int writer_start(
    struct appender *appender, struct metrics *metrics, const struct log *log, struct writer **out)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return ERR_NO_MEMORY;
    writer->appender = appender;
    writer->metrics = metrics;
    writer->log = log;
    writer->last = &writer->first;
    check(pthread_mutex_init(&writer->lock, NULL) == 0);
    check(pthread_cond_init(&writer->wake, NULL) == 0);
    if (pthread_create(&writer->thread, NULL, run, writer) != 0) {
        free(writer);
        return ERR_IO;
    }
    *out = writer;
    return 0;
}

int writer_push(struct writer *writer, struct writer_job *job)
{
    int r = 0;
    job->next = NULL;
    check(pthread_mutex_lock(&writer->lock) == 0);
    if (writer->stopping) {
        r = ERR_AGAIN;
    } else {
        *writer->last = job;
        writer->last = &job->next;
        check(pthread_cond_signal(&writer->wake) == 0);
    }
    check(pthread_mutex_unlock(&writer->lock) == 0);
    return r;
}

void writer_stop(struct writer *writer)
{
    check(pthread_mutex_lock(&writer->lock) == 0);
    writer->stopping = true;
    check(pthread_cond_signal(&writer->wake) == 0);
    check(pthread_mutex_unlock(&writer->lock) == 0);
    check(pthread_join(writer->thread, NULL) == 0);
}

void writer_free(struct writer **writer_)
{
    struct writer *writer = *writer_;
    if (!writer)
        return;
    check(pthread_mutex_destroy(&writer->lock) == 0);
    check(pthread_cond_destroy(&writer->wake) == 0);
    free(writer->records);
    free(writer);
    *writer_ = NULL;
}

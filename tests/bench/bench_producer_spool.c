/*
 * The producer's spool: what an append costs under each policy, alone and among threads, and a
 * batch that is read and consumed. Works in a directory beneath the current one, since /tmp may be
 * memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ingest/producer/spool.h"

#define EVENT_SIZE 600
#define APPENDS 300000
#define APPENDS_DURABLE 300
#define THREADS 16
#define DIR_SIZE 32
#define COMMAND_SIZE 64

struct job {
    struct producer_spool *spool;
    size_t appends;
    bool durable;
};

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void say(const char *what, size_t count, double began_s, double began_cpu_s)
{
    double took = now_s() - began_s, cpu = cpu_s() - began_cpu_s;
    printf("%-44s %12.0f ns  %8.0f ns CPU each\n", what, took / (double)count * 1e9,
        cpu / (double)count * 1e9);
}

static void *append_all(void *context)
{
    const struct job *job = context;
    char event[EVENT_SIZE];
    memset(event, 'e', sizeof event);
    for (size_t i = 0; i < job->appends; i++)
        must(producer_spool_append(job->spool, event, sizeof event, job->durable) == 0);
    return NULL;
}

static void append_by_threads(struct producer_spool *spool, const char *what)
{
    pthread_t threads[THREADS];
    struct job job = {spool, APPENDS_DURABLE, true};
    double began = now_s(), cpu = cpu_s();
    for (size_t i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, append_all, &job) == 0);
    for (size_t i = 0; i < THREADS; i++)
        must(pthread_join(threads[i], NULL) == 0);
    say(what, (size_t)THREADS * APPENDS_DURABLE, began, cpu);
}

static void drain(struct producer_spool *spool, size_t count)
{
    struct producer_spool_batch batch;
    size_t total = 0;
    double began = now_s(), cpu = cpu_s();
    do {
        must(producer_spool_peek(spool, &batch) == 0);
        total += batch.count;
        must(batch.count == 0 || producer_spool_consume(spool, batch.end) == 0);
    } while (batch.count > 0);
    must(total == count);
    say("  read and consumed", count, began, cpu);
}

static void bench(const char *dir, enum producer_spool_sync sync, const char *what)
{
    const struct producer_spool_options options = {
        .dir = dir, .bytes_max = (uint64_t)1 << 30, .sync = sync};
    struct producer_spool *spool;
    must(producer_spool_open(&options, &spool) == 0);
    bool every = sync == PRODUCER_SPOOL_SYNC_EVERY;
    struct job job = {spool, every ? APPENDS_DURABLE : APPENDS, false};
    double began = now_s(), cpu = cpu_s();
    append_all(&job);
    say(what, job.appends, began, cpu);
    if (every)
        append_by_threads(spool, "  durable, 16 threads");
    drain(spool, job.appends + (every ? (size_t)THREADS * APPENDS_DURABLE : 0));
    producer_spool_close(&spool);
}

int main(void)
{
    char dir[DIR_SIZE] = "bench-spool-XXXXXX", command[COMMAND_SIZE];
    must(mkdtemp(dir));
    printf("%ld cores, events of %d bytes\n", sysconf(_SC_NPROCESSORS_ONLN), EVENT_SIZE);
    bench(dir, PRODUCER_SPOOL_SYNC_NONE, "append, no fsync");
    bench(dir, PRODUCER_SPOOL_SYNC_INTERVAL, "append, fsync by interval (1 s)");
    bench(dir, PRODUCER_SPOOL_SYNC_EVERY, "append, fsync each");
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/*
 * `tabiji work`: the stages over Kafka; threads and processes share the partitions.
 *
 * A worker belongs to its thread from here on:
 *
 *     open_workers() ─▶ work() ─▶ ended ─▶ (main: stop, wake) ─▶ closing posted ─▶ closed, joined
 *                       ▲    │
 *                       └────┘ renew: closed and opened again, where certificates were rotated
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "deploy/renew.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define RUN_TIMEOUT_MS 500
#define PAUSE_MS_FIRST 100L
#define PAUSE_MS_MAX 5000L
#define THREADS_MAX 64 /* of option.def */
#define TEXT_SIZE 512
#define HEAPS_MAX 2
#define MAPPED_BYTES_MIN (128 << 10)
#define KEPT_BLOCK_MAX (32 << 20) /* the most that glibc takes */
#define KEPT_BYTES_MAX (256 << 20)
#define HEAP_STEP_BYTES (64 << 20) /* a thread's heap is of this size at most */

struct working;

struct thread {
    struct working *working;
    struct kafka_config kafka;   /* its log is this thread's */
    pthread_mutex_t mutex;       /* over the pointer that follows, while the thread runs */
    struct kafka_worker *worker; /* NULL: being opened again */
    _Atomic bool renew;
    pthread_t id;
    sem_t closing; /* posted when nobody wakes the worker any more */
    int result;    /* read after the join */
};

struct working {
    struct verb_call *call;
    struct settings *settings;
    struct kafka_config kafka;
    struct kafka_slot *slot;
    struct thread threads[THREADS_MAX];
    int count;
    struct renewal renewal;
    _Atomic bool stopping;
    _Atomic bool ended; /* one of the threads */
};

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&left, NULL);
}

static void wake(struct thread *thread)
{
    (void)pthread_mutex_lock(&thread->mutex);
    if (thread->worker)
        kafka_worker_wake(thread->worker);
    (void)pthread_mutex_unlock(&thread->mutex);
}

static void set_worker(struct thread *thread, struct kafka_worker *worker)
{
    (void)pthread_mutex_lock(&thread->mutex);
    thread->worker = worker;
    (void)pthread_mutex_unlock(&thread->mutex);
}

/* Another worker in the place of the last. On an error there is none, and this is called again. */
static int renew(struct thread *thread)
{
    const struct settings *settings = thread->working->settings;
    struct kafka_worker *worker = thread->worker;
    set_worker(thread, NULL);
    kafka_worker_close(&worker);
    int r = kafka_worker_open(&thread->kafka, settings->stages, SETTINGS_STAGES, &worker);
    if (r == 0)
        set_worker(thread, worker);
    return r;
}

/* Consumer, producer and stores belong to this thread. */
static void *work(void *context)
{
    struct thread *thread = context;
    struct working *working = thread->working;
    long pause = PAUSE_MS_FIRST;
    int r = 0;
    while (!atomic_load(&working->stopping)) {
        bool anew = atomic_exchange(&thread->renew, false) || !thread->worker;
        r = anew ? renew(thread) : kafka_worker_run(thread->worker, RUN_TIMEOUT_MS);
        if (r >= 0) {
            pause = PAUSE_MS_FIRST;
            continue;
        }
        if (error_class(r) != ERROR_CLASS_RETRY)
            break;
        log_write(&working->settings->log, LOG_LEVEL_WARNING, "worker_retries",
            LOG_INT("thread", thread->kafka.thread), LOG_ERROR(r));
        pause_ms(pause);
        pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
    }
    thread->result = r < 0 && error_class(r) != ERROR_CLASS_RETRY ? r : 0;
    if (thread->result < 0)
        log_write(&working->settings->log, LOG_LEVEL_ERROR, "worker_failed",
            LOG_INT("thread", thread->kafka.thread), LOG_ERROR(r));
    atomic_store(&working->ended, true);
    while (sem_wait(&thread->closing) != 0)
        ; /* a signal */
    kafka_worker_close(&thread->worker);
    return NULL;
}

static int check_threads(void *context)
{
    struct working *working = context;
    bool due = renewal_due(&working->renewal);
    for (int i = 0; due && i < working->count; i++) {
        atomic_store(&working->threads[i].renew, true);
        wake(&working->threads[i]);
    }
    return atomic_load(&working->ended) ? 1 : 0;
}

/* What librdkafka and the driver say, with the thread that it is about. */
static void log_thread(void *context, int level, const char *event, const char *text)
{
    const struct thread *thread = context;
    const struct kafka_config *kafka = &thread->working->kafka;
    char named[TEXT_SIZE + 32];
    (void)snprintf(named, sizeof named, "thread %d: %s", thread->kafka.thread, text);
    kafka->log(kafka->log_context, level, event, named);
}

/* Opens one worker a thread; on an error those that are open stay so. */
static int open_workers(struct working *working)
{
    const struct settings *settings = working->settings;
    int count = (int)config_int(settings->config, OPTION_WORKER_THREADS);
    int r = kafka_slot_open(&working->kafka, &working->slot);
    while (r == 0 && working->count < count) {
        struct thread *thread = &working->threads[working->count];
        thread->working = working;
        thread->kafka = working->kafka;
        thread->kafka.thread = working->count;
        thread->kafka.shared_slot = working->slot;
        thread->kafka.batch_bytes_max /= (size_t)count;
        if (count > 1) {
            thread->kafka.log = log_thread;
            thread->kafka.log_context = thread;
        }
        r = kafka_worker_open(&thread->kafka, settings->stages, SETTINGS_STAGES, &thread->worker);
        working->count += r == 0;
    }
    return r;
}

/* Threads that cannot be started leave their workers to close_workers(). */
static int start_threads(struct working *working, int *started)
{
    for (*started = 0; *started < working->count; ++*started) {
        struct thread *thread = &working->threads[*started];
        (void)sem_init(&thread->closing, 0, 0);
        (void)pthread_mutex_init(&thread->mutex, NULL);
        if (pthread_create(&thread->id, NULL, work, thread) == 0)
            continue;
        (void)sem_destroy(&thread->closing);
        (void)pthread_mutex_destroy(&thread->mutex);
        return ERR_NO_MEMORY;
    }
    return 0;
}

/* Ends threads after the batch that each is in; they leave the group side by side. Returns the
 * first error that ended one. */
static int end_threads(struct working *working, int started)
{
    int r = 0;
    atomic_store(&working->stopping, true);
    for (int i = 0; i < started; i++) {
        wake(&working->threads[i]);
        (void)sem_post(&working->threads[i].closing);
    }
    for (int i = 0; i < started; i++) {
        struct thread *thread = &working->threads[i];
        (void)pthread_join(thread->id, NULL);
        (void)sem_destroy(&thread->closing);
        (void)pthread_mutex_destroy(&thread->mutex);
        if (r == 0)
            r = thread->result;
    }
    return r;
}

static void close_workers(struct working *working)
{
    for (int i = 0; i < working->count; i++)
        kafka_worker_close(&working->threads[i].worker);
    kafka_slot_close(&working->slot);
}

static const char *why_not_ready(void *context)
{
    const struct metrics *metrics = context;
    if (metrics_get(metrics, METRIC_WORKER_REBALANCES, REBALANCE_ASSIGNED, 0) == 0)
        return "the group has not given it partitions yet\n";
    if (metrics_get(metrics, METRIC_WORKER_RESTORE_LEFT, 0, 0) > 0)
        return "its tables are being restored\n";
    return NULL;
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct working working = {.call = call, .settings = settings};
    int started = 0;
    int r = serve_kafka(settings, "", &working.kafka);
    if (r == 0)
        r = serve_topics(settings, &working.kafka, SERVE_KAFKA_TIMEOUT_MS);
    if (r == 0) {
        renewal_begin(&working.renewal, &working.kafka);
        r = open_workers(&working);
    }
    if (r < 0) {
        close_workers(&working);
        if (r == ERR_LOCKED)
            return verb_fail(call, r, "slot %s in %s: give each worker a --slot of its own",
                working.kafka.slot, working.kafka.state_dir);
        return serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    }
    r = serve_metrics(settings, why_not_ready, settings->metrics);
    if (r < 0) {
        close_workers(&working);
        return verb_fail(call, r, "metrics");
    }
    r = start_threads(&working, &started);
    if (r == 0) {
        (void)fprintf(stderr, "tabiji work: slot %s joined group %s, %d thread%s\n",
            working.kafka.slot, working.kafka.group, started, started == 1 ? "" : "s");
        (void)serve_wait(call, settings, NULL, check_threads, &working);
    }
    int ended = end_threads(&working, started);
    close_workers(&working);
    if (r < 0)
        return verb_fail(call, r, "cannot start a thread");
    return ended < 0 ? verb_fail(call, ended, "stopped") : EXIT_OK;
}

/* With a limit of memory what is freed goes back at once, and no thread keeps a heap of its own:
 * else what one had once lies about. Costs page faults. Without one, what a batch has freed stays
 * for the next, and a thread's heap grows by much at a time. */
static void bound_heap(const struct config *config)
{
    if (config_int(config, OPTION_WORKER_MEMORY) == 0) {
        (void)mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_MAX);
        (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
        (void)mallopt(M_TOP_PAD, HEAP_STEP_BYTES);
        return;
    }
    (void)mallopt(M_ARENA_MAX, HEAPS_MAX);
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    (void)mallopt(M_TRIM_THRESHOLD, MAPPED_BYTES_MIN);
}

static int run(struct verb_call *call)
{
    struct settings settings;
    bound_heap(call->config);
    if (!serve_wants_kafka(call))
        return EXIT_USAGE;
    serve_block_signals();
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "cannot start") : serve(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--slot", "NAME", "stable name of this worker among its peers", "stream.slot"},
    {"--state", "DIR", "directory of its state", "stream.state_dir"},
    {"--threads", "N", "workers in this process", "worker.threads"},
    {"--metrics", "ADDRESS:PORT", "where /metrics, /healthz and /readyz are", "metrics.listen"},
};

const struct verb verb_work = {
    .name = "work",
    .summary = "enrich, identify, stitch and attribute over Kafka",
    .arguments = "",
    .detail = "Takes partitions as a member of the consumer group, keeps their state in LMDB with "
              "changelog topics,\n"
              "commits input, state and output in one Kafka transaction. Each thread is a member; "
              "start as many, in one\n"
              "process or more, as there are partitions. A process has a slot of its own. SIGTERM "
              "finishes the\n"
              "transactions and leaves the group.",
    .examples = "  tabiji work --config tabiji.ini --slot worker-1 --threads 2",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

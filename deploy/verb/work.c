/* `tabiji work`: the stages over Kafka; more processes share the partitions. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 30000
#define RUN_TIMEOUT_MS 500
#define PAUSE_MS_FIRST 100L
#define PAUSE_MS_MAX 5000L

struct working {
    struct verb_call *call;
    struct settings *settings;
    struct kafka_worker *worker;
    _Atomic bool stopping;
    _Atomic int result;
    _Atomic bool ended;
};

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&left, NULL);
}

/* Consumer, producer and stores belong to this thread. */
static void *work(void *context)
{
    struct working *working = context;
    long pause = PAUSE_MS_FIRST;
    int r = 0;
    while (!atomic_load(&working->stopping)) {
        r = kafka_worker_run(working->worker, RUN_TIMEOUT_MS);
        if (r >= 0) {
            pause = PAUSE_MS_FIRST;
            continue;
        }
        if (error_class(r) != ERROR_CLASS_RETRY)
            break;
        log_write(&working->settings->log, LOG_LEVEL_WARNING, "worker_retries", LOG_ERROR(r));
        pause_ms(pause);
        pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
    }
    atomic_store(&working->result, r < 0 && error_class(r) != ERROR_CLASS_RETRY ? r : 0);
    atomic_store(&working->ended, true);
    return NULL;
}

static int check_worker(void *context)
{
    struct working *working = context;
    return atomic_load(&working->ended) ? 1 : 0;
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct working working = {.call = call, .settings = settings};
    struct kafka_config kafka;
    pthread_t thread;
    int r = serve_kafka(settings, "", &kafka);
    if (r == 0)
        r = kafka_topics_create(&kafka, KAFKA_TIMEOUT_MS);
    if (r == 0)
        r = kafka_worker_open(&kafka, settings->stages, SETTINGS_STAGES, &working.worker);
    if (r < 0)
        return serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    if (pthread_create(&thread, NULL, work, &working) != 0) {
        kafka_worker_close(&working.worker);
        return verb_fail(call, ERR_NO_MEMORY, "cannot start a thread");
    }
    (void)fprintf(stderr, "tabiji work: slot %s joined group %s\n", kafka.slot, kafka.group);
    (void)serve_wait(&settings->log, check_worker, &working);
    atomic_store(&working.stopping, true);
    kafka_worker_wake(working.worker);
    (void)pthread_join(thread, NULL);
    kafka_worker_close(&working.worker);
    r = atomic_load(&working.result);
    return r < 0 ? verb_fail(call, r, "stopped") : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct settings settings;
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
};

const struct verb verb_work = {
    .name = "work",
    .summary = "enrich, identify, stitch and attribute over Kafka",
    .arguments = "",
    .detail = "One worker of the consumer group: takes partitions, keeps their state in LMDB with "
              "changelog topics,\n"
              "commits input, state and output in one Kafka transaction. Start as many as there "
              "are partitions, each\n"
              "with a slot of its own. SIGTERM finishes the transaction and leaves the group.",
    .examples = "  tabiji work --config tabiji.ini --slot worker-1",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

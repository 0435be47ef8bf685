/*
 * Invariant: worked_to is a position of the log before which everything has been committed to the
 * state; it only rises.
 */
#include "deploy/embedded.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "deploy/erasure.h"
#include "deploy/memory_plan.h"
#include "deploy/serve.h"
#include "ingest/config/config.h"
#include "schemas/error.h"
#include "sinks/runner.h"
#include "sinks/sqlite/sqlite_sink.h"

#define WORK_TIMEOUT_MS 200
#define RETRY_PAUSE_MS 100
#define RETRIES_MAX 100
#define REDERIVE_KEYS ((size_t)2000) /* persons of one transaction */
#define READER_NAME "sqlite"
#define NOT_KNOWN INT64_MAX
#define LOAD_LOOK_MS 10
#define PATH_SIZE_MAX 4096

struct embedded {
    struct settings *settings;
    struct local *local;
    struct sink *sink;
    struct runner *runner;
    const char *database;
    pthread_t worker;
    bool worker_started;
    bool runner_started;
    _Atomic bool stopping;
    _Atomic int failure;
    _Atomic int64_t worked_to;
    bool first_load;         /* there is no database, but something for it */
    bool loading;            /* the sink's thread ends by itself once all before load_to is there */
    _Atomic int64_t load_to; /* a position of the log, NOT_KNOWN until it is */
    bool erasing;            /* receipts of erasures were open */
};

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&left, NULL);
}

/* What a batch failed with: try again, or end. */
static bool worth_retrying(struct embedded *embedded, int error, int *retries)
{
    bool again = error_class(error) == ERROR_CLASS_RETRY && ++*retries < RETRIES_MAX;
    log_write(&embedded->settings->log, again ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
        again ? "worker_retries" : "worker_failed", LOG_ERROR(error));
    return again;
}

static void *work(void *context)
{
    struct embedded *embedded = context;
    int retries = 0;
    (void)pthread_setname_np(pthread_self(), "worker");
    while (!atomic_load(&embedded->stopping)) {
        int64_t end = local_log_end(embedded->local);
        bool news = atomic_load(&embedded->worked_to) < end; /* to work on, or to tell */
        int r = local_work(embedded->local, news ? 0 : WORK_TIMEOUT_MS);
        if (r == LOCAL_QUIET) {
            atomic_store(&embedded->worked_to, end);
            if (news)
                local_wake_results(embedded->local); /* the sink may wait for no more than that */
        } else if (r == 0) {
            retries = 0;
        } else if (worth_retrying(embedded, r, &retries)) {
            pause_ms(RETRY_PAUSE_MS);
        } else {
            atomic_store(&embedded->failure, r);
            break;
        }
    }
    return NULL;
}

static int open_source(void *context, const struct result_position *positions, size_t count,
    struct result_source **out)
{
    struct embedded *embedded = context;
    return local_results(embedded->local, READER_NAME, positions, count, out);
}

static void on_rejected(void *context, const struct result *result, int error)
{
    struct embedded *embedded = context;
    log_write(&embedded->settings->log, LOG_LEVEL_ERROR, "sink_rejected",
        LOG_TEXT("topic", topic_name(result->topic)), LOG_ERROR(error));
}

static void on_retrying(void *context, int error, int64_t wait_ms)
{
    struct embedded *embedded = context;
    log_write(&embedded->settings->log, LOG_LEVEL_WARNING, "sink_retries", LOG_ERROR(error),
        LOG_INT("wait_ms", wait_ms));
}

static void on_unsolved(void *context, int models)
{
    struct embedded *embedded = context;
    log_write(
        &embedded->settings->log, LOG_LEVEL_WARNING, "models_unsolved", LOG_INT("models", models));
}

static void on_committed(void *context, size_t results, int64_t ms)
{
    const struct embedded *embedded = context;
    (void)results, (void)ms;
    if (embedded->settings->metrics && embedded->runner)
        metrics_set(embedded->settings->metrics, METRIC_ERASURE_REFUSED, 0, 0,
            (int64_t)runner_stats(embedded->runner).refused);
}

static int rederive_all(struct local *local)
{
    int r = 0;
    while (r == 0)
        r = local_rederive(local, REDERIVE_KEYS);
    return r == LOCAL_QUIET ? 0 : r;
}

static const struct runner_config *runner_config_of(
    struct embedded *embedded, struct runner_config *config)
{
    *config = (struct runner_config){
        .sink = embedded->sink,
        .open_source = open_source,
        .rejected = on_rejected,
        .retrying = on_retrying,
        .unsolved = on_unsolved,
        .committed = on_committed,
        .context = embedded,
        .solve_interval_ms =
            config_int(embedded->settings->config, OPTION_ATTRIBUTION_SOLVE_INTERVAL),
        .solve_rest_ms = config_int(embedded->settings->config, OPTION_ATTRIBUTION_SOLVE_REST),
        .commit_results_max =
            (size_t)config_int(embedded->settings->config, OPTION_SINK_SQLITE_BATCH),
    };
    return config;
}

static bool nothing_comes(void *context)
{
    return context != NULL; /* the worker has not been started */
}

/* What was derived anew is brought to the database in one transaction: its readers see the old
 * tables, then the new ones. Cut off, this is done by whatever opens the directory next. */
static int show_rederived(struct embedded *embedded)
{
    const struct result_position *positions;
    struct runner_config config;
    CLEANUP(runner_free) struct runner *runner = NULL;
    size_t count;
    int r = embedded->sink->positions(embedded->sink, &positions, &count);
    if (r < 0 || (count && positions[0].next >= local_whole_to(embedded->local)))
        return r;
    (void)runner_config_of(embedded, &config);
    config.whole = true;
    r = runner_new(&runner, &config);
    if (r == 0)
        r = runner_to_quiet(runner, nothing_comes, embedded);
    return r < 0 ? r : 0;
}

/* Rows of an older build were brought up to this one's schemas; the rest can wait for a next start.
 */
static int on_upgrading(void *context, uint64_t rows)
{
    const struct embedded *embedded = context;
    log_write(
        &embedded->settings->log, LOG_LEVEL_INFO, "state_upgraded", LOG_INT("rows", (int64_t)rows));
    return serve_stopping() ? ERR_AGAIN : 0;
}

static int open_local(struct embedded *embedded)
{
    const struct settings *settings = embedded->settings;
    char why[LOCAL_WHY_SIZE] = "";
    const struct local_options options = {
        .batch_records_max = (size_t)config_int(settings->config, OPTION_WORKER_BATCH_RECORDS),
        .batch_bytes_max = memory_plan(settings->config).batch_bytes,
        .why = why,
        .upgrading = on_upgrading,
        .upgrading_context = embedded,
    };
    int r = local_open(&embedded->local, config_path(settings->config, OPTION_DATA_DIR), &options);
    if (r == ERR_NEWER)
        settings_tell_newer(settings, why);
    return r;
}

static int open_parts(struct embedded *embedded, bool bulk)
{
    struct settings *settings = embedded->settings;
    int r = open_local(embedded);
    if (r == 0)
        r = local_set_stages(embedded->local, settings->stages, SETTINGS_STAGES);
    if (settings->rederive && (r == ERR_MEANING || r == 0))
        r = rederive_all(embedded->local);
    if (r == ERR_MEANING)
        settings_tell_difference(settings, local_difference(embedded->local));
    if (r == 0)
        r = settings_database(settings, &embedded->database);
    if (r < 0)
        return r;
    /* Where nothing comes yet, readers shall find the tables at once. */
    embedded->first_load =
        access(embedded->database, F_OK) != 0 && (bulk || local_log_end(embedded->local) > 0);
    r = sqlite_sink_open(&embedded->sink, embedded->database,
        &(struct database_options){.first_load = embedded->first_load,
            .namespaces = settings->door.identifiers.namespaces,
            .models = settings->models,
            .models_count = settings->journey.models_count,
            .touch_credit = config_bool(settings->config, OPTION_ATTRIBUTION_TOUCH_CREDIT),
            .solve_load = config_int(settings->config, OPTION_ATTRIBUTION_SOLVE_INTERVAL) > 0});
    if (r < 0)
        return r;
    if (!embedded->first_load && local_whole_to(embedded->local) > 0)
        r = show_rederived(embedded);
    struct runner_config config;
    return r < 0 ? r : runner_new(&embedded->runner, runner_config_of(embedded, &config));
}

static bool load_complete(void *context)
{
    struct embedded *embedded = context;
    return atomic_load(&embedded->worked_to) >= atomic_load(&embedded->load_to) ||
           atomic_load(&embedded->failure);
}

static int start_sink(struct embedded *embedded, bool loading)
{
    int r = runner_start(embedded->runner, loading ? load_complete : NULL, embedded);
    embedded->runner_started = r == 0;
    embedded->loading = loading;
    return r;
}

static int stop_sink(struct embedded *embedded)
{
    if (!embedded->runner_started)
        return 0;
    embedded->runner_started = false;
    runner_stop(embedded->runner);
    local_wake_results(embedded->local);
    int r = runner_join(embedded->runner);
    return r == RUNNER_STOPPED ? 0 : r;
}

/* Erasures that were cut off are asked for again. Before the sink runs: nobody else writes then. */
static int resume_erasures(struct embedded *embedded)
{
    size_t asked = 0;
    if (embedded->first_load)
        return 0;
    int r = erasures_resume(
        embedded->settings, embedded->database, local_appender(embedded->local), &asked);
    embedded->erasing = asked > 0;
    if (asked)
        log_write(&embedded->settings->log, LOG_LEVEL_INFO, "erasures_resumed",
            LOG_INT("receipts", (int64_t)asked));
    return r;
}

/* Their receipts say so when they are done; who cannot write them now leaves them to the next. */
static void settle_erasures(struct embedded *embedded)
{
    size_t left = 0;
    int r = erasures_settle(embedded->database, &left);
    embedded->erasing = r < 0 || left > 0;
    if (r < 0)
        log_write(&embedded->settings->log, LOG_LEVEL_WARNING, "erasure_receipts", LOG_ERROR(r));
}

int embedded_open(struct settings *settings, bool bulk, struct embedded **out)
{
    struct embedded *embedded = calloc(1, sizeof *embedded);
    if (!embedded)
        return ERR_NO_MEMORY;
    embedded->settings = settings;
    atomic_store(&embedded->load_to, NOT_KNOWN);
    errno = 0;
    int r = open_parts(embedded, bulk);
    if (r == 0)
        r = resume_erasures(embedded);
    if (r == 0 && pthread_create(&embedded->worker, NULL, work, embedded) != 0)
        r = ERR_NO_MEMORY;
    embedded->worker_started = r == 0;
    if (r == 0)
        r = start_sink(embedded, bulk && embedded->first_load);
    if (r == ERR_STATE)
        settings_tell_damage(settings);
    if (r < 0) {
        int reason = errno;
        embedded_close(&embedded);
        errno = reason;
        return r;
    }
    *out = embedded;
    return 0;
}

bool embedded_exists(const struct settings *settings)
{
    static const char *const parts[] = {"log", "state"};
    bool exists = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char path[PATH_SIZE_MAX];
        int size = snprintf(
            path, sizeof path, "%s/%s", config_path(settings->config, OPTION_DATA_DIR), parts[i]);
        exists |= size > 0 && size < PATH_SIZE_MAX && access(path, F_OK) == 0;
    }
    return exists;
}

struct appender *embedded_appender(struct embedded *embedded)
{
    return local_appender(embedded->local);
}

const char *embedded_database(const struct embedded *embedded)
{
    return embedded->database;
}

void embedded_progress(struct embedded *embedded, int64_t *worked_to, int64_t *log_end)
{
    *worked_to = atomic_load(&embedded->worked_to);
    *log_end = local_log_end(embedded->local);
}

int embedded_failure(struct embedded *embedded)
{
    int failure = atomic_load(&embedded->failure);
    if (failure == 0 && embedded->runner_started && runner_ended(embedded->runner))
        failure = ERR_DATABASE; /* the reason is in the log when it is closed */
    return failure;
}

/* Whether the worker has done what a caller waits for, or never will. */
struct wait {
    struct embedded *embedded;
    int64_t target;
    embedded_wait_fn *on_wait;
    void *context;
};

static bool worker_quiet(void *context)
{
    struct wait *wait = context;
    int64_t done = atomic_load(&wait->embedded->worked_to);
    if (wait->on_wait)
        wait->on_wait(wait->context, done < wait->target ? done : wait->target, wait->target);
    return done >= wait->target || embedded_failure(wait->embedded);
}

/* The first load goes on beside those who append: its end is now known. */
static int await_load(struct wait *wait)
{
    struct embedded *embedded = wait->embedded;
    atomic_store(&embedded->load_to, wait->target);
    local_wake_results(embedded->local);
    while (!runner_ended(embedded->runner)) {
        (void)worker_quiet(wait);
        pause_ms(LOAD_LOOK_MS);
    }
    (void)worker_quiet(wait);
    return stop_sink(embedded);
}

int embedded_to_quiet(struct embedded *embedded, embedded_wait_fn *on_wait, void *context)
{
    struct wait wait = {embedded, local_log_end(embedded->local), on_wait, context};
    int r = embedded->loading ? await_load(&wait) : stop_sink(embedded);
    if (r == 0 && !embedded->loading)
        r = runner_to_quiet(embedded->runner, worker_quiet, &wait);
    if (r >= 0)
        r = embedded_failure(embedded);
    if (r == ERR_STATE)
        settings_tell_damage(embedded->settings);
    if (r >= 0 && embedded->erasing)
        settle_erasures(embedded);
    return r < 0 ? r : start_sink(embedded, false);
}

void embedded_close(struct embedded **out)
{
    struct embedded *embedded = *out;
    if (!embedded)
        return;
    atomic_store(&embedded->stopping, true);
    if (embedded->local)
        local_wake(embedded->local);
    if (embedded->worker_started)
        (void)pthread_join(embedded->worker, NULL);
    int r = stop_sink(embedded);
    if (r < 0)
        log_write(&embedded->settings->log, LOG_LEVEL_ERROR, "sink_failed", LOG_ERROR(r));
    runner_free(&embedded->runner);
    if (embedded->sink)
        embedded->sink->close(embedded->sink);
    if (embedded->erasing)
        settle_erasures(embedded);
    local_close(&embedded->local);
    free(embedded);
    *out = NULL;
}

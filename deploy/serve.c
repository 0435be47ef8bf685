/* See the header. */
#include "deploy/serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "deploy/fates.h"
#include "deploy/memory_plan.h"
#include "deploy/reload.h"
#include "deploy/schemas.h"
#include "deploy/verb/lookup.h"
#include "ingest/metrics/metrics_server.h"
#include "ingest/spool/spool.h"
#include "ingest/stream/kafka_configure.h"
#include "schemas/error.h"

#define CHECK_EVERY_MS 200
#define LEVEL_WARNING 4 /* of syslog(3) */

/* Of the process, as signals are: a stop that serve_wait() has taken is pending no more. */
static _Atomic bool stop_taken;

static void stop_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
}

void serve_block_signals(void)
{
    sigset_t set;
    stop_signals(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

bool serve_stopping(void)
{
    sigset_t pending;
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    return atomic_load(&stop_taken) || sigismember(&pending, SIGTERM) == 1 ||
           sigismember(&pending, SIGINT) == 1;
}

int serve_wait(struct verb_call *call, struct settings *settings, struct collector *collector,
    int (*ask)(void *context), void *context)
{
    sigset_t set;
    const struct timespec pause = {.tv_nsec = CHECK_EVERY_MS * 1000000L};
    stop_signals(&set);
    (void)sigaddset(&set, SIGHUP);
    for (;;) {
        int caught = sigtimedwait(&set, NULL, &pause);
        if (caught == SIGHUP)
            reload(call, settings, collector);
        else if (caught > 0) {
            atomic_store(&stop_taken, true);
            return 0;
        }
        int r = ask ? ask(context) : 0;
        if (r)
            return r;
    }
}

int serve_collector(struct settings *settings, struct appender *appender, struct collector **out)
{
    struct collector_config config;
    collector_configure(settings->config, &config);
    int r = serve_measure(settings);
    if (r == 0)
        r = settings_open_plan(settings);
    if (r < 0)
        return r;
    config.door = &settings->door;
    config.log = &settings->log;
    config.metrics = settings->metrics;
    if (!str_equal(config_text(settings->config, OPTION_STREAM_DRIVER), STR("kafka"))) {
        config.lookup = lookup_answer; /* the tables are here */
        config.lookup_context = settings;
    }
    if (settings->fates) {
        config.later = fates_later;
        config.later_context = settings->fates;
    }
    if (settings->spool) {
        config.condition = spool_condition;
        config.condition_context = settings->spool;
    }
    return collector_start(&config, appender, out);
}

int serve_measure(struct settings *settings)
{
    return settings->metrics ? 0 : metrics_new(&settings->metrics);
}

int serve_metrics(struct settings *settings, const char *(*ready)(void *context), void *context)
{
    const char *listen = config_path(settings->config, OPTION_METRICS_LISTEN);
    if (!listen[0])
        return 0;
    int r = serve_measure(settings);
    if (r == 0)
        r = metrics_server_start(listen, settings->metrics, ready, context, &settings->server);
    if (r < 0)
        (void)fprintf(stderr, "tabiji: [metrics] listen = %s: %s\n", listen,
            r == ERR_CONFIG ? "not an address and port, as 127.0.0.1:9464"
            : r == ERR_IO   ? strerror(errno)
                            : error_text(r));
    else
        log_write(&settings->log, LOG_LEVEL_INFO, "metrics_started", LOG_TEXT("address", listen),
            LOG_INT("port", metrics_server_port(settings->server)));
    return r;
}

static int format_text(struct settings *settings, const char **out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int format_text(struct settings *settings, const char **out, const char *format, ...)
{
    char text[4096];
    va_list args;
    struct str kept;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text)
        return ERR_CONFIG;
    int r = arena_dup(&settings->arena, str_make(text, (size_t)size + 1), &kept);
    if (r == 0)
        *out = kept.data;
    return r;
}

static void log_kafka(void *context, int level, const char *event, const char *text)
{
    const struct settings *settings = context;
    enum log_level ours = level <= 3   ? LOG_LEVEL_ERROR
                          : level <= 4 ? LOG_LEVEL_WARNING
                          : level <= 6 ? LOG_LEVEL_INFO
                                       : LOG_LEVEL_DEBUG;
    log_write(&settings->log, ours, "kafka", LOG_TEXT("what", event), LOG_TEXT("text", text));
}

/* All but the schema registry. */
static int configure_kafka(struct settings *settings, const char *suffix, struct kafka_config *out)
{
    const struct config *config = settings->config;
    const char *slot = config_path(config, OPTION_STREAM_SLOT);
    const char *dir = config_path(config, OPTION_STREAM_STATE_DIR);
    struct utsname host;
    kafka_config_default(out);
    out->prefix = config_path(config, OPTION_STREAM_PREFIX);
    out->group = config_path(config, OPTION_STREAM_GROUP);
    out->events_partitions = (int32_t)config_int(config, OPTION_STREAM_PARTITIONS);
    out->journey_partitions = (int32_t)config_int(config, OPTION_STREAM_JOURNEY_PARTITIONS);
    if (out->journey_partitions == 0)
        out->journey_partitions = out->events_partitions;
    out->replication_factor = (int)config_int(config, OPTION_STREAM_REPLICATION);
    out->min_insync_replicas = (int)config_int(config, OPTION_STREAM_MIN_INSYNC);
    out->static_members = config_bool(config, OPTION_STREAM_STATIC_MEMBERS);
    out->batch_records_max = (size_t)config_int(config, OPTION_WORKER_BATCH_RECORDS);
    const struct memory_plan plan = memory_plan(config);
    out->batch_bytes_max = plan.batch_bytes;
    out->filter_bytes_max = 2 * plan.cache_bytes;
    out->stopping = serve_stopping;
    out->log = log_kafka;
    out->log_context = settings;
    int r = kafka_configure_properties(config, &settings->arena, out);
    if (r == 0 && !slot[0])
        slot = uname(&host) == 0 ? host.nodename : "worker";
    if (r == 0)
        r = format_text(settings, &out->slot, "%s%s%s", slot, suffix[0] ? "-" : "", suffix);
    if (r == 0 && dir[0])
        r = format_text(settings, &out->state_dir, "%s", dir);
    else if (r == 0)
        r = format_text(
            settings, &out->state_dir, "%s/state", config_path(config, OPTION_DATA_DIR));
    char problem[CONFIG_PROBLEM_SIZE] = "";
    if (r == 0)
        r = kafka_config_check(out, problem, sizeof problem);
    if (problem[0])
        (void)fprintf(stderr, "tabiji: %s\n", problem);
    return r;
}

int serve_kafka(struct settings *settings, const char *suffix, struct kafka_config *out)
{
    int r = configure_kafka(settings, suffix, out);
    if (r == 0)
        r = serve_measure(settings);
    out->metrics = settings->metrics;
    return r < 0 ? r : schemas_open(settings, out);
}

/* Keeps the last thing that went wrong; but a refusal stays: what follows it are its effects. */
static void keep_reason(void *context, int level, const char *event, const char *text)
{
    struct serve_ask *ask = context;
    bool refused = strcmp(event, "kafka_refused") == 0;
    if (level <= LEVEL_WARNING && strcmp(event, "kafka_metadata") != 0 &&
        !strstr(text, "_ALL_BROKERS_DOWN")) {
        (void)pthread_mutex_lock(&ask->lock);
        if (!ask->refused)
            (void)snprintf(ask->why, sizeof ask->why, "%s", text);
        ask->refused |= refused;
        (void)pthread_mutex_unlock(&ask->lock);
    }
    if (ask->settings.log.level == LOG_LEVEL_DEBUG)
        log_kafka(&ask->settings, level, event, text);
}

int serve_ask_open(struct serve_ask *ask, const struct config *config)
{
    *ask = (struct serve_ask){.settings = {.config = config}, .lock = PTHREAD_MUTEX_INITIALIZER};
    int level = log_level_of(config_text(config, OPTION_LOG_LEVEL));
    ask->settings.log = (struct log){
        .fd = STDERR_FILENO, .level = level < 0 ? LOG_LEVEL_INFO : (enum log_level)level};
    int r = configure_kafka(&ask->settings, "", &ask->kafka);
    ask->kafka.stopping = NULL; /* nothing blocks signals */
    ask->kafka.log = keep_reason;
    ask->kafka.log_context = ask;
    return r;
}

int serve_ask_fail(struct verb_call *call, struct serve_ask *ask, int error)
{
    if (error != ERR_AGAIN)
        return verb_fail(call, error, "Kafka%s%s", ask->why[0] ? ": " : "", ask->why);
    (void)fprintf(stderr, "tabiji %s: no broker answers%s%s\n", call->verb->name,
        ask->why[0] ? ": " : "", ask->why);
    return EXIT_RETRYABLE;
}

void serve_ask_close(struct serve_ask *ask)
{
    settings_close(&ask->settings);
    (void)pthread_mutex_destroy(&ask->lock);
}

int serve_topics(struct settings *settings, const struct kafka_config *kafka, int timeout_ms)
{
    if (!config_bool(settings->config, OPTION_STREAM_CREATE_TOPICS))
        return 0; /* whatever opens them looks at them */
    return kafka_topics_create(kafka, timeout_ms);
}

bool serve_wants_kafka(struct verb_call *call)
{
    if (str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka")))
        return true;
    (void)verb_usage(call, "needs [stream] driver = kafka; all in one process is `tabiji run`");
    return false;
}

/* `tabiji sink`: results from Kafka to SQLite. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "deploy/renew.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "ingest/metrics/metrics_server.h"
#include "schemas/error.h"
#include "sinks/runner.h"
#include "sinks/sqlite/sqlite_sink.h"

#define DATA_DIR_MODE 0700
#define MICROS_PER_MS 1000

struct sinking {
    struct settings *settings;
    struct kafka_config kafka;
    struct runner *runner;
    struct renewal renewal;
};

static int open_source(void *context, const struct result_position *positions, size_t count,
    struct result_source **out)
{
    struct sinking *sinking = context;
    return kafka_results_open(&sinking->kafka, positions, count, out);
}

static void on_rejected(void *context, const struct result *result, int error)
{
    struct sinking *sinking = context;
    log_write(&sinking->settings->log, LOG_LEVEL_ERROR, "sink_rejected",
        LOG_TEXT("topic", topic_name(result->topic)), LOG_ERROR(error));
    metrics_add(sinking->settings->metrics, METRIC_SINK_REJECTED, 0, 0, 1);
}

static void on_committed(void *context, size_t results, int64_t ms)
{
    struct sinking *sinking = context;
    struct metrics *metrics = sinking->settings->metrics;
    metrics_add(metrics, METRIC_SINK_RESULTS, 0, 0, (int64_t)results);
    metrics_observe(metrics, METRIC_SINK_COMMIT_SECONDS, ms * MICROS_PER_MS);
    /* Also those that the sink itself has set aside. */
    metrics_set(
        metrics, METRIC_SINK_REJECTED, 0, 0, (int64_t)runner_stats(sinking->runner).rejected);
    metrics_set(
        metrics, METRIC_ERASURE_REFUSED, 0, 0, (int64_t)runner_stats(sinking->runner).refused);
}

static void on_retrying(void *context, int error, int64_t wait_ms)
{
    struct sinking *sinking = context;
    log_write(&sinking->settings->log, LOG_LEVEL_WARNING, "sink_retries", LOG_ERROR(error),
        LOG_INT("wait_ms", wait_ms));
    metrics_add(sinking->settings->metrics, METRIC_SINK_RETRIES, 0, 0, 1);
}

static void on_unsolved(void *context, int models)
{
    struct sinking *sinking = context;
    log_write(
        &sinking->settings->log, LOG_LEVEL_WARNING, "models_unsolved", LOG_INT("models", models));
}

static const char *why_not_ready(void *context)
{
    const struct sinking *sinking = context;
    return runner_ended(sinking->runner) ? "it does not run\n" : NULL;
}

static int check_runner(void *context)
{
    struct sinking *sinking = context;
    if (renewal_due(&sinking->renewal))
        runner_reopen(sinking->runner);
    return runner_ended(sinking->runner) ? 1 : 0;
}

/* A database whose place was not named goes to the data directory, which may not be there yet. */
static int make_data_dir(struct settings *settings)
{
    if (config_path(settings->config, OPTION_SINK_SQLITE_PATH)[0])
        return 0;
    const char *dir = config_path(settings->config, OPTION_DATA_DIR);
    return mkdir(dir, DATA_DIR_MODE) == 0 || errno == EEXIST ? 0 : ERR_IO;
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct sinking sinking = {.settings = settings};
    struct sink *sink = NULL;
    const char *database = "";
    int r = serve_kafka(settings, "", &sinking.kafka);
    /* Whichever program of a new installation comes first, it makes the topics. */
    if (r == 0)
        r = serve_topics(settings, &sinking.kafka, SERVE_KAFKA_TIMEOUT_MS);
    if (r < 0)
        return serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    renewal_begin(&sinking.renewal, &sinking.kafka);
    r = settings_database(settings, &database);
    if (r == 0)
        r = make_data_dir(settings);
    if (r == 0)
        r = sqlite_sink_open(&sink, database,
            &(struct database_options){.first_load = true,
                .namespaces = settings->door.identifiers.namespaces,
                .models = settings->models,
                .models_count = settings->journey.models_count,
                .touch_credit = config_bool(settings->config, OPTION_ATTRIBUTION_TOUCH_CREDIT)});
    if (r < 0)
        return verb_fail(call, r, "database %s", database);
    const struct runner_config config = {
        .sink = sink,
        .open_source = open_source,
        .rejected = on_rejected,
        .retrying = on_retrying,
        .unsolved = on_unsolved,
        .committed = on_committed,
        .context = &sinking,
        .solve_interval_ms = config_int(settings->config, OPTION_ATTRIBUTION_SOLVE_INTERVAL),
        .solve_rest_ms = config_int(settings->config, OPTION_ATTRIBUTION_SOLVE_REST),
        .commit_results_max = (size_t)config_int(call->config, OPTION_SINK_SQLITE_BATCH),
    };
    r = runner_new(&sinking.runner, &config);
    if (r == 0)
        r = serve_metrics(settings, why_not_ready, &sinking);
    if (r == 0)
        r = runner_start(sinking.runner, NULL, NULL);
    if (r == 0) {
        (void)fprintf(stderr, "tabiji sink: tables in %s\n", database);
        (void)serve_wait(call, settings, NULL, check_runner, &sinking);
        r = runner_join(sinking.runner);
    }
    metrics_server_stop(&settings->server);
    runner_free(&sinking.runner);
    sink->close(sink);
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
    {"--data", "DIR", "data directory", "data.dir"},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path"},
    {"--slot", "NAME", "its name among sinks, by which tabiji lag tells them apart", "stream.slot"},
    {"--metrics", "ADDRESS:PORT", "where /metrics, /healthz and /readyz are", "metrics.listen"},
};

const struct verb verb_sink = {
    .name = "sink",
    .summary = "write results from Kafka to SQLite",
    .arguments = "",
    .detail = "Follows the result topics from where the database stands; each transaction holds "
              "rows and positions,\n"
              "so a killed sink neither loses nor repeats. Serves until SIGTERM or SIGINT.",
    .examples = "  tabiji sink --config tabiji.ini --database /var/lib/tabiji/tabiji.db",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

/* `tabiji collect`: HTTP to the topic events. */
#include <stdio.h>

#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 30000

static int check_collector(void *context)
{
    return collector_failure(context);
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct kafka_config kafka;
    struct appender *appender = NULL;
    struct collector *collector = NULL;
    int r = serve_kafka(settings, "", &kafka);
    if (r == 0)
        r = serve_topics(settings, &kafka);
    if (r == 0)
        r = kafka_appender_open(&kafka, KAFKA_TIMEOUT_MS, &appender);
    if (r < 0)
        return serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    r = serve_collector(settings, appender, &collector);
    if (r < 0) {
        r = verb_fail(call, r, "the collector");
    } else {
        (void)fprintf(stderr, "tabiji collect: listening on port %d\n", collector_port(collector));
        r = serve_wait(&settings->log, check_collector, collector);
        r = r < 0 ? verb_fail(call, r, "stopped") : EXIT_OK;
    }
    serve_collector_end(settings, &collector);
    kafka_appender_close(&appender);
    return r;
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
    {"--listen", "ADDRESS:PORT", "where the collector listens", "collector.listen"},
};

const struct verb verb_collect = {
    .name = "collect",
    .summary = "take events over HTTP into Kafka",
    .arguments = "",
    .detail = "The collector alone, with the kafka driver: a request is answered 2xx when all "
              "replicas have its\n"
              "events. Makes missing topics. Serves until SIGTERM or SIGINT.",
    .examples = "  tabiji collect --config tabiji.ini --listen 0.0.0.0:8080",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

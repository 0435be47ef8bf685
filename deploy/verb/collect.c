/* `tabiji collect`: HTTP to the topic events. */
#include <stdio.h>

#include "deploy/door.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

struct collecting {
    struct collector *collector;
    struct kafka_door door;
};

static int check_collector(void *context)
{
    struct collecting *collecting = context;
    kafka_door_renew(&collecting->door);
    int r = kafka_door_failure(&collecting->door);
    return r < 0 ? r : collector_failure(collecting->collector);
}

/* Behind a door that is open. */
static int listen_and_wait(struct verb_call *call, struct settings *settings, struct collecting *at)
{
    int r = serve_collector(settings, at->door.appender, &at->collector);
    if (r < 0)
        return verb_fail(call, r, "the collector");
    (void)fprintf(stderr, "tabiji collect: listening on port %d\n", collector_port(at->collector));
    r = serve_wait(call, settings, at->collector, check_collector, at);
    return r < 0 ? verb_fail(call, r, "stopped") : EXIT_OK;
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct kafka_config kafka;
    struct collecting collecting = {.collector = NULL};
    int r = serve_kafka(settings, "", &kafka);
    if (r < 0)
        return serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    r = kafka_door_open(&collecting.door, settings, &kafka);
    if (r < 0)
        r = serve_stopping() ? EXIT_OK : verb_fail(call, r, "Kafka");
    else
        r = listen_and_wait(call, settings, &collecting);
    collector_stop(&collecting.collector);
    kafka_door_close(&collecting.door);
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
    {"--sources", "FILE", "more sources, as tabiji source writes them", "collector.sources_file"},
};

const struct verb verb_collect = {
    .name = "collect",
    .summary = "take events over HTTP into Kafka",
    .arguments = "",
    .detail = "The collector alone, with the kafka driver: a request is answered 2xx when all "
              "replicas have its\n"
              "events, or, while Kafka does not take them, the spool on the disk has (fsync); from "
              "there they go to\n"
              "Kafka, first come first. 503 when the spool is full. Makes missing topics. SIGHUP "
              "reloads sources and the level of messages.\n"
              "Serves until SIGTERM or SIGINT.",
    .examples = "  tabiji collect --config tabiji.ini --listen 0.0.0.0:8080",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

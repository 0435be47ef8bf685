/* `tabiji demo`: an invented week through the real collector, and what the tables then say. */
#include "deploy/demo.h"

#include <stdio.h>

#include "deploy/embedded.h"
#include "deploy/progress.h"
#include "deploy/report.h"
#include "deploy/serve.h"
#include "deploy/timeline.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define DATA_DIR_DEFAULT "tabiji-demo"
#define EVENTS_DEFAULT 10000
#define TIMELINE_LIMIT 40

struct demo {
    struct verb_call *call;
    struct settings settings;
    struct embedded *embedded;
    struct collector *collector;
    struct progress progress;
    struct demo_counts counts;
};

static int configure(struct verb_call *call, struct config_problem *problem)
{
    int r = demo_configure(call->config, problem);
    if (r == 0 && !config_given(call->config, OPTION_DATA_DIR))
        r = config_set(call->config, "data.dir", DATA_DIR_DEFAULT, "demo", problem);
    if (r == 0 && !config_given(call->config, OPTION_COLLECTOR_LISTEN))
        r = config_set(call->config, "collector.listen", "127.0.0.1:0", "demo", problem);
    return r;
}

static void on_sent(void *context, int64_t sent)
{
    struct demo *demo = context;
    progress_at(&demo->progress, sent);
}

/* Where what is no result is said: JSON stands on standard output alone. */
static FILE *aside(const struct demo *demo)
{
    return demo->call->json ? stderr : stdout;
}

static int send_week(struct demo *demo, const struct generator *generator)
{
    int64_t begun = progress_clock();
    int port = collector_port(demo->collector);
    size_t events = generator_count(generator);
    (void)fprintf(aside(demo),
        "sending %zu events of an invented week to http://127.0.0.1:%d/v1/events\n", events, port);
    (void)fflush(stdout);
    progress_begin(&demo->progress, "events", (int64_t)events);
    int r = demo_send(generator, port, on_sent, demo, &demo->counts);
    progress_end(&demo->progress);
    if (r == 0)
        r = embedded_to_quiet(demo->embedded, NULL, NULL);
    if (r == 0)
        (void)fprintf(aside(demo),
            "%lld acknowledged, %lld rejected, in the tables after %.1f s\n\n",
            (long long)demo->counts.accepted, (long long)demo->counts.rejected,
            (double)(progress_clock() - begun) / 1e6);
    return r;
}

static int show(struct demo *demo)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t person[KEY_SIZE];
    const struct timeline_options options = {.limit = TIMELINE_LIMIT};
    int r = reader_open(&reader, embedded_database(demo->embedded));
    if (r == 0)
        r = report_totals(reader, stdout);
    if (r == 0) {
        (void)puts("\nrevenue by channel and attribution model (returns taken off)\n");
        r = report_channels(reader, false, stdout);
    }
    int found = r < 0 ? r : reader_telling_person(reader, person);
    if (found == 0) {
        (void)puts("\none customer's way across channels\n");
        r = timeline_print(reader, person, &options, stdout);
    }
    return found < 0 ? found : r;
}

/* The same as one JSON object. */
static int show_json(struct demo *demo)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    CLEANUP(buf_free) struct buf database = {0};
    uint8_t person[KEY_SIZE];
    const struct timeline_options options = {.json = true, .limit = TIMELINE_LIMIT};
    int r = reader_open(&reader, embedded_database(demo->embedded));
    if (r == 0)
        r = json_write_text(&database, str_of(embedded_database(demo->embedded)));
    if (r < 0)
        return r;
    long long accepted = (long long)demo->counts.accepted;
    long long rejected = (long long)demo->counts.rejected;
    (void)printf("{\"events\":{\"sent\":%lld,\"accepted\":%lld,\"rejected\":%lld},"
                 "\"database\":%.*s,\"channels\":",
        accepted + rejected, accepted, rejected, (int)database.size, database.data);
    r = report_channels(reader, true, stdout);
    if (r < 0)
        return r;
    (void)printf(",\"timeline\":");
    r = reader_telling_person(reader, person);
    if (r == 0)
        r = timeline_print(reader, person, &options, stdout);
    else if (r > 0)
        (void)printf("[]");
    (void)printf("}\n");
    return r < 0 ? r : 0;
}

static int check_parts(void *context)
{
    struct demo *demo = context;
    int r = embedded_failure(demo->embedded);
    return r ? r : collector_failure(demo->collector);
}

static int run_demo(struct demo *demo, const struct generator *generator)
{
    int r = embedded_open(&demo->settings, false, &demo->embedded);
    if (r == 0)
        r = serve_collector(&demo->settings, embedded_appender(demo->embedded), &demo->collector);
    if (r == 0)
        r = send_week(demo, generator);
    if (r == 0)
        r = demo->call->json ? show_json(demo) : show(demo);
    if (r < 0)
        return verb_fail(demo->call, r, "the demonstration");
    if (!demo->call->json)
        (void)printf("\ndatabase: %s (sqlite3 %s 'SELECT * FROM v_channel_attribution')\n",
            embedded_database(demo->embedded), embedded_database(demo->embedded));
    if (!verb_switch(demo->call, "--keep"))
        return EXIT_OK;
    (void)fprintf(aside(demo), "listening on http://127.0.0.1:%d until interrupted\n",
        collector_port(demo->collector));
    (void)fflush(stdout);
    r = serve_wait(demo->call, &demo->settings, demo->collector, check_parts, demo);
    return r < 0 ? verb_fail(demo->call, r, "stopped") : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct demo demo = {.call = call};
    struct generator_config config;
    CLEANUP(generator_free) struct generator *generator = NULL;
    long long events = EVENTS_DEFAULT, seed = 1;
    int r = verb_integer(call, "--events", 1, 10000000, &events);
    if (r == 0)
        r = verb_integer(call, "--seed", 0, INT64_MAX, &seed);
    if (r)
        return r;
    generator_config_default(&config);
    config.events_max = (size_t)events;
    config.seed = (uint64_t)seed;
    if (verb_switch(call, "--keep"))
        serve_block_signals();
    r = generator_new(&config, &generator);
    if (r == 0)
        r = settings_open(&demo.settings, call->config);
    r = r < 0 ? verb_fail(call, r, "cannot start") : run_demo(&demo, generator);
    collector_stop(&demo.collector);
    embedded_close(&demo.embedded);
    settings_close(&demo.settings);
    return r;
}

static const struct verb_option options[] = {
    {"--events", "N", "how many events (default 10000)", NULL},
    {"--seed", "N", "another seed, another week (default 1)", NULL},
    {"--data", "DIR", "data directory (default tabiji-demo)", "data.dir"},
    {"--keep", NULL, "stay up with the listener when done", NULL},
};

const struct verb verb_demo = {
    .name = "demo",
    .summary = "run an invented week of a retailer through everything",
    .arguments = "",
    .detail = "Starts collector, worker and SQLite in this process, sends an invented week of a "
              "Japanese retailer over\n"
              "HTTP (web, app, LINE, e-mail, ads, stores, calls, store pickup, returns, shared "
              "devices), waits until\n"
              "the tables hold it, and prints revenue by channel and attribution model, and one "
              "customer's timeline.",
    .examples = "  tabiji demo\n"
                "  tabiji demo --events 100000 --seed 7 --keep",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .configure = configure,
    .run = run,
};

/* `tabiji run`: collector, worker and SQLite in one process. */
#include <errno.h>
#include <stdio.h>

#include "deploy/embedded.h"
#include "deploy/fates.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

struct running {
    struct embedded *embedded;
    struct collector *collector;
};

static int check_parts(void *context)
{
    const struct running *running = context;
    int r = embedded_failure(running->embedded);
    return r ? r : collector_failure(running->collector);
}

static int serve(struct verb_call *call, struct settings *settings)
{
    struct running running = {0};
    int r = embedded_open(settings, false, &running.embedded);
    if (r < 0 && serve_stopping())
        return EXIT_OK;
    if (r < 0)
        return verb_fail_system(
            call, r, errno, "data directory %s", config_path(call->config, OPTION_DATA_DIR));
    r = fates_new(running.embedded, &settings->fates);
    if (r == 0)
        r = serve_collector(settings, embedded_appender(running.embedded), &running.collector);
    if (r < 0) {
        r = verb_fail(call, r, "the collector");
    } else {
        (void)fprintf(stderr, "tabiji run: listening on port %d, tables in %s\n",
            collector_port(running.collector), embedded_database(running.embedded));
        r = serve_wait(call, settings, running.collector, check_parts, &running);
        r = r < 0 ? verb_fail(call, r, "stopped") : EXIT_OK;
    }
    collector_stop(&running.collector);
    fates_free(&settings->fates);
    embedded_close(&running.embedded);
    return r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    serve_block_signals();
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "cannot start") : serve(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir"},
    {"--listen", "ADDRESS:PORT", "where the collector listens", "collector.listen"},
    {"--sources", "FILE", "more sources, as tabiji source writes them", "collector.sources_file"},
};

const struct verb verb_run = {
    .name = "run",
    .summary = "run collector, worker and SQLite in one process",
    .arguments = "",
    .detail =
        "Serves until SIGTERM or SIGINT, then finishes what is in flight and exits 0. An event is\n"
        "acknowledged when it is on disk; the tables follow within moments. SIGHUP reads sources "
        "and the level\n"
        "of messages again; all else is read at the start only, and a line of the log says so.",
    .examples = "  tabiji run --data shop --set collector.open_source=dev\n"
                "  tabiji run --config tabiji.ini",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

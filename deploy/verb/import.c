/* `tabiji import`: files into the log by a mapping; in the embedded mode on to the tables. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "deploy/embedded.h"
#include "deploy/progress.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "ingest/import/import.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define APPEND_RETRIES_MAX 240
#define NANOS_PER_MICRO 1000

struct importing {
    struct verb_call *call;
    struct settings settings;
    struct mapping *mapping;
    struct embedded *embedded;
    struct appender *kafka;
    struct progress progress;
    bool log_failed; /* not a file, nor the tables */
    int reason;      /* errno behind it, or 0 */
};

/* What is told at the end. */
struct done {
    struct import_progress progress;
    struct import_drop drops[IMPORT_DROPS_MAX];
    size_t drops_count;
};

static void on_progress(void *context, const struct import_progress *progress)
{
    struct importing *importing = context;
    importing->progress.total = (int64_t)progress->bytes_total;
    progress_at(&importing->progress, (int64_t)progress->bytes_done);
}

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / NANOS_PER_MICRO;
}

static bool on_kafka(const struct verb_call *call)
{
    return str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka"));
}

/* The log to append to: Kafka's, or the embedded one with worker and sink behind it. */
static int open_log(struct importing *importing, struct appender **out)
{
    if (on_kafka(importing->call)) {
        struct kafka_config kafka;
        int r = serve_kafka(&importing->settings, "", &kafka);
        if (r == 0)
            r = serve_topics(&importing->settings, &kafka, SERVE_KAFKA_TIMEOUT_MS);
        if (r == 0)
            r = kafka_appender_open(&kafka, SERVE_KAFKA_TIMEOUT_MS, &importing->kafka);
        if (r == 0)
            *out = importing->kafka;
        return r;
    }
    int r = embedded_open(&importing->settings, true, &importing->embedded);
    if (r == 0)
        *out = embedded_appender(importing->embedded);
    return r;
}

/* A mapping's source has a section where it is to have settings of its own. */
static enum config_plan source_plan(const struct config *config, struct str name)
{
    const struct config_source *source = config_source(config, name);
    return source ? source->plan : PLAN_USUAL;
}

static int import_files(struct importing *importing, struct appender *appender, struct done *done)
{
    struct verb_call *call = importing->call;
    CLEANUP(buf_free) struct buf message = {0};
    CLEANUP(import_close) struct import *import = NULL;
    const struct import_options options = {
        .mapping = importing->mapping,
        .door = &importing->settings.door,
        .plan = source_plan(call->config, importing->mapping->source),
        .appender = appender,
        .now_micros = now_micros(),
        .retries_max = APPEND_RETRIES_MAX,
        .progress = on_progress,
        .context = importing,
    };
    int r = import_open(&options, &import, &message);
    progress_begin(&importing->progress, "import", 0);
    for (size_t i = 0; r == 0 && i < call->arguments_count; i++)
        r = import_file(import, call->arguments[i], &message);
    importing->reason = errno;
    progress_end(&importing->progress);
    if (import) {
        import_get_progress(import, &done->progress);
        import_get_drops(import, done->drops, &done->drops_count);
    }
    if (message.size)
        (void)fprintf(stderr, "tabiji import: %.*s\n", (int)message.size, message.data);
    importing->log_failed = r < 0 && message.size == 0 && !on_kafka(call);
    return r;
}

static void on_wait(void *context, int64_t done, int64_t total)
{
    struct importing *importing = context;
    importing->progress.total = total;
    importing->progress.drawn_micros = 0;
    progress_at(&importing->progress, done / 256 * 256);
}

static const char *reason_of(enum identifier_fate why)
{
    return why == IDENTIFIER_BLOCKED  ? "blocked"
           : why == IDENTIFIER_SHARED ? "service_number"
                                      : "malformed";
}

/* "dropped": what the door left out of events, by field and reason, never a value. */
static int append_drops(const struct done *done, struct buf *out)
{
    int r = buf_append(out, "[", 1);
    for (size_t i = 0; r == 0 && i < done->drops_count; i++) {
        const struct import_drop *drop = &done->drops[i];
        r = buf_appendf(out,
            "%s{\"field\":\"ids.%.*s\",\"reason\":\"%s\",\"count\":%llu,\"file\":", i ? "," : "",
            (int)drop->namespace.size, drop->namespace.data, reason_of(drop->why),
            (unsigned long long)drop->count);
        if (r == 0)
            r = json_write_text(out, str_of(drop->file));
        if (r == 0)
            r = buf_appendf(out, ",\"line\":%lld}", (long long)drop->line);
    }
    return r == 0 ? buf_append(out, "]", 1) : r;
}

static void print_done_json(const struct done *all, const char *database)
{
    const struct import_progress *done = &all->progress;
    CLEANUP(buf_free) struct buf path = {0};
    CLEANUP(buf_free) struct buf drops = {0};
    if (json_write_text(&path, str_of(database)) < 0)
        buf_clear(&path);
    if (append_drops(all, &drops) < 0)
        buf_clear(&drops);
    (void)printf("{\"rows\":%llu,\"events\":%llu,\"rejected\":%llu,\"skipped\":%llu,"
                 "\"refused\":%llu,\"planless\":%llu,\"bytes_resumed\":%llu,\"database\":%.*s,"
                 "\"dropped\":%.*s}\n",
        (unsigned long long)done->rows, (unsigned long long)done->events,
        (unsigned long long)done->rejected, (unsigned long long)done->skipped,
        (unsigned long long)done->refused, (unsigned long long)done->planless,
        (unsigned long long)done->bytes_resumed, path.size ? (int)path.size : 2,
        path.size ? path.data : "\"\"", drops.size ? (int)drops.size : 4,
        drops.size ? drops.data : "null");
}

static void print_drops(const struct done *done)
{
    static const char *const reasons[IDENTIFIER_FATES] = {
        [IDENTIFIER_BLOCKED] = "identify nobody",
        [IDENTIFIER_SHARED] = "are service numbers, shared by many",
        [IDENTIFIER_MALFORMED] = "are malformed",
    };
    for (size_t i = 0; i < done->drops_count; i++) {
        const struct import_drop *drop = &done->drops[i];
        (void)printf("dropped from their events: %llu of ids.%.*s that %s, the first at %s:%lld\n",
            (unsigned long long)drop->count, (int)drop->namespace.size, drop->namespace.data,
            reasons[drop->why], drop->file, (long long)drop->line);
    }
}

static void print_done(const struct verb_call *call, const struct done *all, const char *database)
{
    const struct import_progress *done = &all->progress;
    if (call->json) {
        print_done_json(all, database);
        return;
    }
    (void)printf("%llu rows: %llu events, %llu rejected, %llu skipped, %llu refused by "
                 "their customers; %llu bytes were imported before\n",
        (unsigned long long)done->rows, (unsigned long long)done->events,
        (unsigned long long)done->rejected, (unsigned long long)done->skipped,
        (unsigned long long)done->refused, (unsigned long long)done->bytes_resumed);
    if (done->planless)
        (void)printf("%llu events are taken though the tracking plan forbids them\n",
            (unsigned long long)done->planless);
    print_drops(all);
    (void)printf("%s%s", database, database[0] ? " is up to date\n" : "");
}

static int import_all(struct importing *importing)
{
    struct verb_call *call = importing->call;
    struct appender *appender = NULL;
    struct done done = {.drops_count = 0};
    const char *dir = config_path(call->config, OPTION_DATA_DIR);
    int r = open_log(importing, &appender);
    if (r < 0 && on_kafka(call))
        return verb_fail(call, r, "Kafka");
    if (r < 0)
        return verb_fail_system(call, r, errno, "data directory %s", dir);
    r = import_files(importing, appender, &done);
    if (r == 0 && importing->embedded) {
        progress_begin(&importing->progress, "tables", 0);
        r = embedded_to_quiet(importing->embedded, on_wait, importing);
        progress_end(&importing->progress);
    }
    if (r < 0 && importing->log_failed)
        return verb_fail_system(call, r, importing->reason,
            "the log in data directory %s (what it took stays; the same command goes on there)",
            dir);
    if (r < 0)
        return verb_fail(call, r, "import");
    print_done(call, &done, importing->embedded ? embedded_database(importing->embedded) : "");
    return done.progress.rejected ? EXIT_PARTIAL : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct importing importing = {.call = call};
    CLEANUP(buf_free) struct buf message = {0};
    const char *path = verb_value(call, "--mapping");
    if (!path)
        return verb_usage(call, "needs --mapping FILE");
    int r = settings_open(&importing.settings, call->config);
    if (r == 0)
        r = settings_open_plan(&importing.settings);
    bool configured = r == 0;
    if (r == 0)
        r = mapping_load(path, &importing.mapping, &message);
    if (message.size)
        (void)fprintf(stderr, "tabiji import: %.*s\n", (int)message.size, message.data);
    if (!configured)
        r = verb_fail(call, r, "configuration");
    else if (r < 0)
        r = r == ERR_CONFIG || r == ERR_NOT_FOUND ? verb_usage(call, "cannot use %s", path)
                                                  : verb_fail(call, r, "cannot use %s", path);
    else
        r = import_all(&importing);
    embedded_close(&importing.embedded);
    kafka_appender_close(&importing.kafka);
    mapping_free(&importing.mapping);
    settings_close(&importing.settings);
    return r;
}

static const struct verb_option options[] = {
    {"--mapping", "FILE", "how rows become events; see deploy/mappings", NULL},
    {"--data", "DIR", "data directory", "data.dir"},
};

const struct verb verb_import = {
    .name = "import",
    .summary = "import CSV or NDJSON files by a mapping",
    .arguments = "FILE...",
    .detail =
        "Rows become events as the mapping says; in the embedded mode the command ends when "
        "the tables hold\n"
        "them. A bad row goes to rejected with file, line, column and reason, the rest goes "
        "on (exit 6).\n"
        "Identifiers that mean nobody or are malformed are dropped from their events; the "
        "summary counts them by\n"
        "field and reason, with where the first stands.\n"
        "A row that links or unlinks identifiers is an operator's word: it wants operator = yes "
        "in the mapping's [file],\n"
        "and a reason (else: tabiji link, tabiji unlink). An erasure is asked for, and lifted, by "
        "tabiji erase alone.\n"
        "Importing a file twice, in parts or shuffled adds nothing; after a crash the same "
        "command goes on\n"
        "where it was. - is standard input.",
    .examples =
        "  tabiji import --data journeys --mapping deploy/mappings/touch-log.ini touches.csv\n"
        "  tabiji import --data shop --mapping deploy/mappings/native.ini events-*.ndjson",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = VERB_ARGUMENTS_MAX,
    .run = run,
};

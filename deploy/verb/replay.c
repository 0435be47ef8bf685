/*
 * `tabiji replay`: what follows from events, made anew: journeys in place (--from timelines), or
 * all of it in another place, which is then compared with what stands. Cut off, each is begun again
 * by the same command and goes on.
 */
#include "deploy/replay.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deploy/embedded.h"
#include "deploy/progress.h"
#include "deploy/serve.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 30000
#define DESCRIPTORS_MAX 8
#define PATH_SIZE 4096

static bool on_kafka(const struct verb_call *call)
{
    return str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka"));
}

/* ---- in place ---- */

static int rederive(struct verb_call *call)
{
    struct settings settings;
    struct embedded *embedded = NULL;
    const char *dir = config_path(call->config, OPTION_DATA_DIR);
    int r = settings_open(&settings, call->config);
    settings.rederive = true;
    if (r < 0) {
        settings_close(&settings);
        return verb_fail(call, r, "configuration");
    }
    if (!embedded_exists(&settings)) {
        int status = tables_no_data(call, &settings);
        settings_close(&settings);
        return status;
    }
    r = embedded_open(&settings, false, &embedded);
    if (r == 0)
        r = embedded_to_quiet(embedded, NULL, NULL);
    embedded_close(&embedded);
    settings_close(&settings);
    if (r < 0)
        return verb_fail(call, r, "%s", dir);
    (void)printf(call->json ? "{\"replayed\":true}\n" : "%s is as its settings say\n", dir);
    return EXIT_OK;
}

/* ---- elsewhere ---- */

struct shadow {
    struct verb_call *call;
    struct replay_from from;
    long long rate;
    char source[PATH_SIZE];   /* the data directory that is read */
    char standing[PATH_SIZE]; /* the database of what stands */
    char dir[PATH_SIZE];      /* the directory that is made */
    bool partial;
    struct settings settings;
    struct embedded *embedded;
};

static void on_wait(void *context, int64_t done, int64_t total)
{
    struct progress *progress = context;
    progress->total = total;
    progress->drawn_micros = 0;
    progress_at(progress, done / 256 * 256);
}

static int open_source(struct shadow *shadow, struct str place, struct replay_source **out)
{
    struct verb_call *call = shadow->call;
    struct kafka_config kafka;
    bool lost = false;
    if (!on_kafka(call)) {
        int r = local_reader_open(shadow->source, &shadow->from, place, out);
        return r < 0 ? verb_fail_system(call, r, errno, "the log of %s", shadow->source) : 0;
    }
    int r = serve_kafka(&shadow->settings, "", &kafka);
    if (r == 0)
        r = kafka_reader_open(&kafka, &shadow->from, place, KAFKA_TIMEOUT_MS, &lost, out);
    if (r < 0)
        return verb_fail(call, r, "Kafka");
    if (lost && !shadow->partial) {
        (*out)->close(*out);
        *out = NULL;
        (void)fprintf(stderr,
            "tabiji replay: events were deleted by the topic's retention already: "
            "tables made of the rest lack what they said; --partial does it all "
            "the same\n");
        return EXIT_FAILED;
    }
    return 0;
}

static int copy(struct shadow *shadow, int64_t *copied)
{
    struct verb_call *call = shadow->call;
    char cursor[REPLAY_CURSOR_SIZE];
    CLEANUP(buf_free) struct buf place = {0};
    struct replay_copy copy = {
        .appender = embedded_appender(shadow->embedded), .rate = shadow->rate};
    replay_cursor(on_kafka(call) ? config_path(call->config, OPTION_STREAM_PREFIX) : shadow->source,
        "", &shadow->from, cursor);
    copy.cursor = str_of(cursor);
    int r = replay_place(copy.appender, copy.cursor, &place);
    if (r < 0)
        return verb_fail(call, r, "%s", shadow->dir);
    r = open_source(shadow, buf_str(&place), &copy.source);
    if (r)
        return r;
    r = replay_copy(&copy);
    copy.source->close(copy.source);
    *copied = copy.copied;
    return r < 0 ? verb_fail(call, r, "cut off: the same command goes on") : 0;
}

static int fill(struct shadow *shadow)
{
    struct verb_call *call = shadow->call;
    struct progress progress;
    int64_t copied = 0;
    int r = embedded_open(&shadow->settings, true, &shadow->embedded);
    if (r < 0)
        return verb_fail_system(call, r, errno, "data directory %s", shadow->dir);
    r = copy(shadow, &copied);
    if (r)
        return r;
    progress_begin(&progress, "tables", 0);
    r = embedded_to_quiet(shadow->embedded, on_wait, &progress);
    progress_end(&progress);
    if (r < 0)
        return verb_fail(call, r, "%s", shadow->dir);
    if (call->json && verb_value(call, "--into") && !verb_value(call, "--diff"))
        (void)printf("{\"records\":%lld}\n", (long long)copied);
    if (!call->json)
        (void)printf("%lld records replayed into %s\n", (long long)copied, shadow->dir);
    return 0;
}

/* Whether there is something to read: nothing is made where not. */
static int find_source(const struct shadow *shadow)
{
    char log[PATH_SIZE + 8];
    if (on_kafka(shadow->call))
        return 0;
    (void)snprintf(log, sizeof log, "%s/log", shadow->source);
    return access(log, R_OK) == 0 ? 0
                                  : verb_fail_system(shadow->call, ERR_NOT_FOUND, errno, "%s", log);
}

/* Fills the directory by the settings of now. Its database is its own, whatever is configured. */
static int make(struct shadow *shadow)
{
    struct verb_call *call = shadow->call;
    struct config_problem problem = {.text = ""};
    int r = config_set(call->config, "data.dir", shadow->dir, "--into", &problem);
    if (r == 0)
        r = config_set(call->config, "sink.sqlite.path", "", "--into", &problem);
    if (r == 0)
        r = settings_open(&shadow->settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : fill(shadow);
    embedded_close(&shadow->embedded);
    settings_close(&shadow->settings);
    return r;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

/* The database of a data directory, or the file itself. */
static int database_of(const char *path, char out[PATH_SIZE])
{
    struct stat status;
    bool dir = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    int size = snprintf(out, PATH_SIZE, "%s%s", path, dir ? "/tabiji.db" : "");
    return size > 0 && size < PATH_SIZE ? 0 : ERR_TOO_LARGE;
}

static int keep_paths(struct shadow *shadow)
{
    const struct config *config = shadow->call->config;
    const char *database = config_path(config, OPTION_SINK_SQLITE_PATH);
    const char *dir = config_path(config, OPTION_DATA_DIR);
    int size = snprintf(shadow->source, sizeof shadow->source, "%s", dir);
    if (size < 0 || size >= PATH_SIZE)
        return ERR_TOO_LARGE;
    size = database[0] ? snprintf(shadow->standing, PATH_SIZE, "%s", database)
                       : snprintf(shadow->standing, PATH_SIZE, "%s/tabiji.db", dir);
    return size > 0 && size < PATH_SIZE ? 0 : ERR_TOO_LARGE;
}

static bool same_directory(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static int replay_into(struct shadow *shadow, const char *into)
{
    struct verb_call *call = shadow->call;
    const char *other = verb_value(call, "--diff");
    char before[PATH_SIZE], after[PATH_SIZE];
    if (same_directory(into, shadow->source))
        return verb_usage(call, "--into %s is the directory that it would read from", into);
    int size = snprintf(shadow->dir, PATH_SIZE, "%s", into);
    if (size < 0 || size >= PATH_SIZE)
        return verb_usage(call, "--into: too long");
    int r = make(shadow);
    if (r || !other)
        return r;
    if (database_of(other, before) < 0 || database_of(shadow->dir, after) < 0)
        return verb_usage(call, "--diff: too long");
    return replay_print_difference(call, before, after);
}

/* Into a directory that is gone afterwards. */
static int rehearse(struct shadow *shadow)
{
    struct verb_call *call = shadow->call;
    char after[PATH_SIZE];
    int size = snprintf(shadow->dir, PATH_SIZE, "%s.rehearsal-XXXXXX", shadow->source);
    if (size < 0 || size >= PATH_SIZE - 16)
        return verb_usage(call, "--data: too long");
    if (!mkdtemp(shadow->dir))
        return verb_fail_system(call, ERR_IO, errno, "%s", shadow->dir);
    int r = make(shadow);
    if (r == 0 && database_of(shadow->dir, after) == 0)
        r = replay_print_difference(call, shadow->standing, after);
    if (nftw(shadow->dir, remove_one, DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS) != 0)
        (void)fprintf(stderr, "tabiji replay: cannot remove %s\n", shadow->dir);
    return r;
}

static int replay_topics(struct shadow *shadow, const char *prefix)
{
    struct verb_call *call = shadow->call;
    struct replay_topics wanted = {.dir = on_kafka(call) ? NULL : shadow->source,
        .prefix = prefix,
        .from = shadow->from,
        .rate = shadow->rate,
        .partial = shadow->partial,
        .dry_run = verb_switch(call, "--dry-run")};
    struct settings settings;
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : replay_into_topics(call, &settings, &wanted);
    settings_close(&settings);
    return r;
}

static int compare(struct shadow *shadow, const char *other)
{
    char before[PATH_SIZE];
    if (database_of(other, before) < 0)
        return verb_usage(shadow->call, "--diff: too long");
    return replay_print_difference(shadow->call, before, shadow->standing);
}

static int elsewhere(struct verb_call *call)
{
    struct shadow *shadow = calloc(1, sizeof *shadow);
    if (!shadow)
        return verb_fail(call, ERR_NO_MEMORY, "replay");
    const char *into = verb_value(call, "--into");
    const char *prefix = verb_value(call, "--into-prefix");
    const char *other = verb_value(call, "--diff");
    shadow->call = call;
    shadow->partial = verb_switch(call, "--partial");
    int r = keep_paths(shadow);
    r = r < 0 ? verb_fail(call, r, "--data") : replay_read_from(call, &shadow->from);
    if (r == 0)
        r = verb_integer(call, "--rate", 1, INT32_MAX, &shadow->rate);
    if (r == 0 && (into || prefix || verb_switch(call, "--dry-run")))
        r = find_source(shadow);
    if (r == 0 && prefix)
        r = replay_topics(shadow, prefix);
    else if (r == 0 && verb_switch(call, "--dry-run"))
        r = rehearse(shadow);
    else if (r == 0 && into)
        r = replay_into(shadow, into);
    else if (r == 0 && other)
        r = compare(shadow, other);
    else if (r == 0)
        r = verb_usage(
            call, "needs --from timelines, --into DIR, --into-prefix PREFIX, --dry-run or --diff");
    free(shadow);
    return r;
}

static int run(struct verb_call *call)
{
    const char *from = verb_value(call, "--from");
    const char *into = verb_value(call, "--into");
    bool place = from && strcmp(from, "timelines") == 0;
    if (into && verb_value(call, "--into-prefix"))
        return verb_usage(call, "--into and --into-prefix are two places");
    if (place && (into || verb_value(call, "--into-prefix") || verb_switch(call, "--dry-run")))
        return verb_usage(call, "--from timelines is done in place; --into begins from events");
    if (into && verb_switch(call, "--dry-run"))
        return verb_usage(call, "--dry-run leaves nothing behind: --into or that");
    return place ? rederive(call) : elsewhere(call);
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "SQLite file of what stands", "sink.sqlite.path", false},
    {"--from", "WHAT", "timelines, or the time or offset of events to begin at", NULL, false},
    {"--into", "DIR", "derive all anew into this data directory", NULL, false},
    {"--into-prefix", "PREFIX", "copy events to the topics of this prefix", NULL, false},
    {"--dry-run", NULL, "derive all anew aside, and say only which rows would differ", NULL, false},
    {"--diff", "PATH", "say which rows differ from those of this database or directory", NULL,
        false},
    {"--samples", "N", "rows of each table to name with a difference (3)", NULL, false},
    {"--rate", "N", "at most so many events a second", NULL, false},
    {"--partial", NULL, "go on where the topics' retention has deleted events", NULL, false},
};

const struct verb verb_replay = {
    .name = "replay",
    .summary = "derive tables anew: journeys in place, or all of it elsewhere, and compare",
    .arguments = "",
    .detail =
        "--from timelines: sessions, touches, conversions, paths and credits of every person are "
        "made again from its\n"
        "timeline, as [journey] says now. Events are not read again, persons stay. "
        "The database shows the old\n"
        "tables until all of the new ones are there, solved models too, then those: one "
        "transaction, "
        "for which it may\ngrow to twice its size.\n\n"
        "--into DIR: all is derived again from the events that came in (the log of --data, or with "
        "[stream] driver =\n"
        "kafka the topics of [stream] prefix), by the configuration and build of now, into another "
        "data directory,\n"
        "while whatever runs goes on. --from begins at what was received at a time, or at an "
        "offset. --diff PATH then\n"
        "says, for each table, how many rows are gone, come or changed against that database, and "
        "names some; alone it\n"
        "compares PATH with --data. --dry-run does the same against what stands, in a directory "
        "beside it that is\n"
        "removed. --into-prefix copies the events to other topics, for `tabiji work` with that "
        "prefix to derive from.\n\n"
        "Each is resumed by the same command, which also brings what came in since: nothing "
        "counts twice.",
    .examples = "  tabiji replay --from timelines --data shop --set journey.lookback_days=30\n"
                "  tabiji replay --dry-run --data shop --set identity.generic_up=4\n"
                "  tabiji replay --data shop --into shop-2 --diff shop --rate 5000\n"
                "  tabiji replay --config tabiji.ini --into-prefix shadow --from 2026-11-20",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

/* See the header. */
#include "deploy/replay.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "deploy/pace.h"
#include "deploy/progress.h"
#include "deploy/render.h"
#include "deploy/serve.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/time.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/difference.h"

#define CHUNK 1000
#define CHUNKS_A_SECOND 10
#define RETRIES_MAX 240
#define RETRY_MS 250
#define BAR_EVERY 256
#define SAMPLES_DEFAULT 3
#define KAFKA_TIMEOUT_MS 30000

/* ---- copying ---- */

static int append(
    struct replay_copy *copy, const struct append_record *records, size_t count, struct str place)
{
    const struct append_cursor cursor = {.name = copy->cursor, .value = place};
    int r = 0;
    for (int tries = 0; tries < RETRIES_MAX; tries++) {
        const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
        r = copy->appender->append(copy->appender, records, count, &cursor);
        if (r == 0 || error_class(r) != ERROR_CLASS_RETRY)
            return r;
        (void)nanosleep(&pause, NULL);
    }
    return r;
}

static int copy_chunk(struct replay_copy *copy, size_t chunk, size_t *count)
{
    const struct append_record *records;
    CLEANUP(buf_free) struct buf place = {0};
    int r = copy->source->next(copy->source, chunk, &records, count);
    if (r == 0)
        r = copy->source->place(copy->source, &place);
    return r < 0 ? r : append(copy, records, *count, buf_str(&place));
}

int replay_copy(struct replay_copy *copy)
{
    struct progress progress;
    struct pace pace;
    size_t chunk = CHUNK, count = 1;
    int r = 0;
    if (copy->rate && copy->rate / CHUNKS_A_SECOND < CHUNK)
        chunk = copy->rate < CHUNKS_A_SECOND ? 1 : (size_t)(copy->rate / CHUNKS_A_SECOND);
    copy->copied = 0;
    pace_begin(&pace, copy->rate);
    progress_begin(&progress, "replay", copy->source->total);
    while (r == 0 && count) {
        r = copy_chunk(copy, chunk, &count);
        copy->copied += r == 0 ? (int64_t)count : 0;
        progress_at(&progress, copy->copied / BAR_EVERY * BAR_EVERY);
        pace_after(&pace, (int64_t)count);
    }
    progress_end(&progress);
    return r;
}

void replay_cursor(const char *what, const char *into, const struct replay_from *from,
    char out[REPLAY_CURSOR_SIZE])
{
    struct sha256 hash;
    uint8_t digest[SHA256_SIZE];
    char hex[2 * KEY_SIZE + 1] = "", number[64];
    int size = snprintf(
        number, sizeof number, "%lld %lld", (long long)from->offset, (long long)from->time_micros);
    sha256_init(&hash);
    sha256_update_sized(&hash, str_of(what));
    sha256_update_sized(&hash, str_of(into));
    sha256_update_sized(&hash, str_make(number, (size_t)size));
    sha256_final(&hash, digest);
    hex_encode(digest, KEY_SIZE, hex);
    (void)snprintf(out, REPLAY_CURSOR_SIZE, "replay:%s", hex);
}

int replay_place(struct appender *appender, struct str cursor, struct buf *place)
{
    int r = appender->cursor_get(appender, cursor, place);
    return r == APPEND_NO_CURSOR ? 0 : r;
}

int replay_read_from(const struct verb_call *call, struct replay_from *from)
{
    const char *text = verb_value(call, "--from");
    *from = (struct replay_from){0};
    if (!text)
        return 0;
    if (text[strspn(text, "0123456789")] == '\0') {
        long long offset = 0;
        int r = verb_integer(call, "--from", 0, INT64_MAX, &offset);
        from->offset = offset;
        return r;
    }
    if (time_parse_local(str_of(text), 0, &from->time_micros) == 0)
        return 0;
    return verb_usage(
        call, "--from %s is neither a time (YYYY-MM-DD, RFC 3339) nor an offset", text);
}

/* ---- differences ---- */

struct listing {
    FILE *out;
    bool json;
    bool any;
};

static int print_sample(void *context, const struct difference_sample *sample)
{
    static const char *const signs[] = {"-", "+", "~"};
    static const char *const words[] = {"gone", "come", "changed"};
    struct listing *listing = context;
    CLEANUP(buf_free) struct buf safe = {0};
    if (listing->json) {
        (void)fprintf(listing->out, "%s{\"table\":\"%s\",\"kind\":\"%s\",\"key\":%.*s%s%.*s}",
            listing->any ? "," : "", sample->table, words[sample->kind], (int)sample->key.size,
            sample->key.data, sample->columns.size ? ",\"columns\":" : "",
            (int)sample->columns.size, sample->columns.data ? sample->columns.data : "");
        listing->any = true;
        return 0;
    }
    int r = render_safe(&safe, sample->key);
    if (r == 0 && sample->columns.size)
        r = buf_append_str(&safe, STR(" "));
    if (r == 0)
        r = render_safe(&safe, sample->columns);
    if (r == 0)
        (void)fprintf(listing->out, "%s %s %.*s\n", signs[sample->kind], sample->table,
            (int)safe.size, safe.data);
    return r;
}

static int print_counts(const struct difference *difference)
{
    static const struct render_column columns[] = {
        {"table", "table", RENDER_LEFT, 0},
        {"before", "rows before", RENDER_RIGHT, 0},
        {"after", "after", RENDER_RIGHT, 0},
        {"gone", "gone", RENDER_RIGHT, 0},
        {"come", "come", RENDER_RIGHT, 0},
        {"changed", "changed", RENDER_RIGHT, 0},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < difference->tables_count; i++) {
        const struct difference_table *one = &difference->tables[i];
        render_text(table, str_of(one->name));
        render_integer(table, one->before);
        render_integer(table, one->after);
        render_integer(table, one->gone);
        render_integer(table, one->come);
        render_integer(table, one->changed);
    }
    return r < 0 ? r : render_write(table, false, stdout);
}

static void print_counts_json(const struct difference *difference)
{
    (void)printf("],\"tables\":[");
    for (size_t i = 0; i < difference->tables_count; i++) {
        const struct difference_table *one = &difference->tables[i];
        (void)printf("%s{\"table\":\"%s\",\"before\":%lld,\"after\":%lld,\"gone\":%lld,\"come\":"
                     "%lld,\"changed\":%lld}",
            i ? "," : "", one->name, (long long)one->before, (long long)one->after,
            (long long)one->gone, (long long)one->come, (long long)one->changed);
    }
    (void)printf("],\"rows\":%lld}\n", (long long)difference->rows);
}

int replay_print_difference(struct verb_call *call, const char *before, const char *after)
{
    CLEANUP(database_close) sqlite3 *old = NULL;
    CLEANUP(database_close) sqlite3 *new = NULL;
    struct listing listing = {.out = stdout, .json = call->json};
    struct difference difference;
    long long samples = SAMPLES_DEFAULT;
    int r = verb_integer(call, "--samples", 0, INT32_MAX, &samples);
    if (r)
        return r;
    r = database_open_reader(&old, before);
    if (r < 0)
        return verb_fail(call, r, "%s", before);
    r = database_open_reader(&new, after);
    if (r < 0)
        return verb_fail(call, r, "%s", after);
    if (call->json)
        (void)printf("{\"samples\":[");
    r = difference_make(old, new, samples, print_sample, &listing, &difference);
    if (r == 0 && call->json)
        print_counts_json(&difference);
    else if (r == 0)
        r = print_counts(&difference);
    if (r == 0 && !call->json)
        (void)printf("%lld rows differ\n", (long long)difference.rows);
    return r < 0 ? verb_fail(call, r, "the difference") : 0;
}

/* ---- into topics ---- */

static int open_source(struct verb_call *call, const struct kafka_config *kafka,
    const struct replay_topics *wanted, struct str place, struct replay_source **out)
{
    bool lost = false;
    int r = wanted->dir
                ? local_reader_open(wanted->dir, &wanted->from, place, out)
                : kafka_reader_open(kafka, &wanted->from, place, KAFKA_TIMEOUT_MS, &lost, out);
    if (r < 0)
        return verb_fail(call, r, "%s", wanted->dir ? wanted->dir : kafka->prefix);
    if (!lost || wanted->partial)
        return 0;
    (*out)->close(*out);
    *out = NULL;
    (void)fprintf(stderr,
        "tabiji %s: events of %s were deleted by the topic's retention already: tables made of the "
        "rest lack what they said; --partial does it all the same\n",
        call->verb->name, kafka->prefix);
    return EXIT_FAILED;
}

static int copy_into(struct verb_call *call, const struct kafka_config *from,
    const struct kafka_config *into, const struct replay_topics *wanted, struct appender *appender)
{
    char cursor[REPLAY_CURSOR_SIZE];
    CLEANUP(buf_free) struct buf place = {0};
    struct replay_copy copy = {.appender = appender, .rate = wanted->rate};
    replay_cursor(wanted->dir ? wanted->dir : from->prefix, into->prefix, &wanted->from, cursor);
    copy.cursor = str_of(cursor);
    int r = appender ? replay_place(appender, copy.cursor, &place) : 0;
    if (r < 0)
        return verb_fail(call, r, "%s", into->prefix);
    r = open_source(call, from, wanted, buf_str(&place), &copy.source);
    if (r)
        return r;
    int64_t total = copy.source->total;
    r = appender ? replay_copy(&copy) : 0;
    copy.source->close(copy.source);
    if (r < 0)
        return verb_fail(call, r, "cut off after %lld records: the same command goes on",
            (long long)copy.copied);
    if (call->json)
        (void)printf("{\"dry_run\":%s,\"prefix\":\"%s\",\"records\":%lld}\n",
            appender ? "false" : "true", into->prefix, (long long)(appender ? copy.copied : total));
    else if (appender)
        (void)printf("%lld records copied to the topics of %s%s\n", (long long)copy.copied,
            into->prefix, place.size ? ", behind those of before" : "");
    else
        (void)printf("about %lld records would be copied to %s\n", (long long)total, into->prefix);
    return EXIT_OK;
}

/* Topics that are there already have the wanted count: it says where the keys of persons are. */
static int check_partitions(
    struct verb_call *call, const struct kafka_config *into, int64_t partitions)
{
    int32_t there[TOPIC_COUNT];
    int r = kafka_topics_partitions(into, KAFKA_TIMEOUT_MS, there);
    if (r < 0)
        return verb_fail(call, r, "the topics of %s", into->prefix);
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (there[i] != 0 && there[i] != partitions)
            return verb_usage(call,
                "%s.%s.v1 is there with %d partitions, not %lld: name another prefix by --into, or "
                "that number by --partitions; topics that nothing uses any more go by tabiji "
                "repartition --drop %s --confirm",
                into->prefix, topic_name((enum topic)i), (int)there[i], (long long)partitions,
                into->prefix);
    return 0;
}

int replay_into_topics(
    struct verb_call *call, struct settings *settings, const struct replay_topics *wanted)
{
    struct kafka_config from;
    struct appender *appender = NULL;
    char problem[CONFIG_PROBLEM_SIZE] = "";
    int r = serve_kafka(settings, "", &from);
    if (r < 0)
        return verb_fail(call, r, "Kafka");
    struct kafka_config into = from;
    into.prefix = wanted->prefix;
    if (wanted->partitions)
        into.events_partitions = into.journey_partitions = (int32_t)wanted->partitions;
    if (!wanted->dir && strcmp(into.prefix, from.prefix) == 0)
        return verb_usage(call, "%s is the prefix that it would read from", into.prefix);
    r = kafka_config_check(&into, problem, sizeof problem);
    if (r < 0)
        return verb_usage(call, "%s", problem);
    r = wanted->partitions ? check_partitions(call, &into, wanted->partitions) : 0;
    if (r)
        return r;
    if (!wanted->dry_run) {
        r = kafka_topics_create(&into, KAFKA_TIMEOUT_MS);
        if (r == 0)
            r = kafka_appender_open(&into, KAFKA_TIMEOUT_MS, &appender);
        if (r < 0)
            return verb_fail(call, r, "the topics of %s", into.prefix);
    }
    r = copy_into(call, &from, &into, wanted, appender);
    kafka_appender_close(&appender);
    return r;
}

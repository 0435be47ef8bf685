/*
 * `tabiji erase ID --confirm`: the person behind an identifier, and all that is known of it.
 *
 * The request is an event; the reducers erase. So a process that is killed midway resumes, and a
 * rebuild erases again. What is counted here is what stood before and what stands afterwards.
 */
#include <stdio.h>
#include <time.h>

#include "deploy/say.h"
#include "deploy/verb/lookup.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "sinks/sqlite/read.h"

static const char *const count_names[READER_COUNTS] = {
    "events", "touches", "sessions", "conversions", "credits", "paths", "identifiers"};

struct erasing {
    struct verb_call *call;
    struct settings *settings;
    const char *path; /* of the database */
    struct identifier identifier;
    struct lookup_match match;
    struct reader_counts before, after;
    char id[SAY_EVENT_ID_SIZE];
};

/* Finds the one person. */
static int find_person(struct erasing *erasing)
{
    struct verb_call *call = erasing->call;
    struct lookup_match matches[LOOKUP_PERSONS_MAX];
    CLEANUP(reader_close) struct reader *reader = NULL;
    size_t count = 0;
    int r = settings_database(erasing->settings, &erasing->path);
    if (r == 0)
        r = reader_open(&reader, erasing->path);
    if (r == 0)
        r = lookup_persons(erasing->settings, reader, str_of(call->arguments[0]), matches, &count);
    if (r == 0 && count)
        r = reader_count(reader, matches[0].person, &erasing->before);
    if (r < 0)
        return verb_fail(call, r, "%s", call->arguments[0]);
    for (size_t i = 1; i < count; i++) {
        if (memcmp(matches[i].person, matches[0].person, KEY_SIZE) != 0)
            return verb_usage(call,
                "several persons are known by \"%s\": name one as namespace:value (tabiji lookup)",
                call->arguments[0]);
    }
    if (count == 0) {
        (void)fprintf(stderr, "tabiji erase: nobody is known by \"%s\"\n", call->arguments[0]);
        return EXIT_NOT_FOUND;
    }
    erasing->match = matches[0];
    return 0;
}

static void print_counts(const struct reader_counts *counts)
{
    for (int i = 0; i < READER_COUNTS; i++)
        (void)printf("  %-12s %lld\n", count_names[i], (long long)counts->counts[i]);
}

static int64_t left_over(const struct erasing *erasing)
{
    int64_t sum = 0;
    for (int i = 0; i < READER_COUNTS; i++)
        sum += erasing->after.counts[i];
    return sum;
}

static int write_event(struct buf *out, const struct erasing *erasing)
{
    const char *reason = verb_value(erasing->call, "--reason");
    int r =
        buf_appendf(out, "{\"id\":\"%s\",\"type\":\"erasure_requested\",\"ids\":{", erasing->id);
    if (r == 0)
        r = json_write_text(out, erasing->identifier.namespace);
    if (r == 0)
        r = buf_append(out, ":", 1);
    if (r == 0)
        r = json_write_text(out, erasing->identifier.value);
    if (r == 0)
        r = buf_append_str(out, STR("},\"properties\":{\"reason\":"));
    if (r == 0)
        r = json_write_text(out, str_of(reason ? reason : ""));
    return r == 0 ? buf_append_str(out, STR("}}\n")) : r;
}

/* The receipt names no identifier, only its hash: the identifier is gone. */
static int keep_receipt(const struct erasing *erasing)
{
    struct timespec now;
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1] = "";
    struct sha256 hash;
    const char *reason = verb_value(erasing->call, "--reason");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    sha256_init(&hash);
    sha256_update_sized(&hash, erasing->identifier.namespace);
    sha256_update_sized(&hash, erasing->identifier.value);
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, hex);
    int r = database_open(&db, erasing->path, NULL);
    if (r == 0)
        r = database_prepare(db,
            "INSERT INTO erasure_receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
            "?12)",
            &insert);
    if (r == 0) {
        bind_text(insert, 1, str_of(erasing->id));
        sqlite3_bind_int64(insert, 2, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        bind_text(insert, 3, str_of(hex));
        bind_text(insert, 4, str_of(reason ? reason : ""));
        for (int i = 0; i < READER_COUNTS; i++)
            sqlite3_bind_int64(insert, 5 + i, erasing->before.counts[i]);
        sqlite3_bind_int64(insert, 5 + READER_COUNTS, left_over(erasing));
        r = database_error(sqlite3_step(insert));
    }
    sqlite3_finalize(insert);
    database_close(&db);
    return r;
}

static int count_after(struct erasing *erasing)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    int r = reader_open(&reader, erasing->path);
    return r < 0 ? r : reader_count(reader, erasing->match.person, &erasing->after);
}

static void print_receipt(const struct erasing *erasing)
{
    if (!erasing->call->json) {
        (void)printf("erased by event %s:\n", erasing->id);
        print_counts(&erasing->before);
        (void)printf("  %-12s %lld\n", "left over", (long long)left_over(erasing));
        return;
    }
    (void)printf("{\"receipt_id\":\"%s\"", erasing->id);
    for (int i = 0; i < READER_COUNTS; i++)
        (void)printf(",\"%s\":%lld", count_names[i], (long long)erasing->before.counts[i]);
    (void)printf(",\"left_over\":%lld}\n", (long long)left_over(erasing));
}

static int erase(struct erasing *erasing)
{
    struct verb_call *call = erasing->call;
    CLEANUP(buf_free) struct buf json = {0};
    erasing->identifier =
        (struct identifier){.namespace = erasing->match.namespace, .value = erasing->match.value};
    int r = say_event_id(erasing->id);
    if (r == 0)
        r = write_event(&json, erasing);
    if (r < 0)
        return verb_fail(call, r, "cannot write the event");
    r = say_event(call, erasing->settings, buf_str(&json));
    if (r)
        return r;
    if (verb_value(call, "--url")) {
        (void)printf(
            call->json ? "{\"receipt_id\":\"%s\"}\n" : "requested by event %s\n", erasing->id);
        return EXIT_OK;
    }
    r = count_after(erasing);
    if (r == 0)
        r = keep_receipt(erasing);
    if (r < 0)
        return verb_fail(call, r, "the receipt");
    print_receipt(erasing);
    return left_over(erasing) ? EXIT_PARTIAL : EXIT_OK;
}

static int run_with(struct verb_call *call, struct settings *settings)
{
    struct erasing erasing = {.call = call, .settings = settings};
    int r = find_person(&erasing);
    if (r)
        return r;
    if (str_equal(erasing.match.namespace, STR("person")))
        return verb_usage(call, "name an identifier of that person (tabiji lookup shows them)");
    if (verb_switch(call, "--confirm"))
        return erase(&erasing);
    (void)printf("would erase:\n");
    print_counts(&erasing.before);
    (void)fprintf(stderr, "nothing was erased: --confirm does it\n");
    return EXIT_USAGE;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : run_with(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},
    {"--confirm", NULL, "do it; without it only says what would go", NULL, false},
    {"--reason", "TEXT", "why; stands on the receipt", NULL, false},
    {"--url", "URL", "a collector, where one runs", NULL, false},
    {"--key-file", "FILE", "file whose first line is the key of a source with operator = yes", NULL,
        false},
};

const struct verb verb_erase = {
    .name = "erase",
    .summary = "erase a person and all that is known of it",
    .arguments = "ID",
    .detail = "ID is namespace:value. The person's timeline, touches, sessions, conversions, "
              "credits, paths and\n"
              "identifiers vanish; late events of it yield nothing. The request is an event: it is "
              "resumed after a crash,\n"
              "and a rebuild erases again. A receipt (table erasure_receipt) counts what went. "
              "Cannot be undone.",
    .examples =
        "  tabiji erase --data shop email:hana@example.jp\n"
        "  tabiji erase --data shop --confirm --reason 'request 2026-113' email:hana@example.jp",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};

/* `tabiji timeline`: one customer's way across channels. */
#include "deploy/timeline.h"

#include <stdio.h>

#include "deploy/say.h"
#include "deploy/uuid.h"
#include "deploy/verb/lookup.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define LIMIT_DEFAULT 100

static int show(struct verb_call *call, struct reader *reader, const struct lookup_match *match)
{
    long long limit = LIMIT_DEFAULT;
    int r = verb_integer(call, "--limit", 0, INT32_MAX, &limit);
    if (r)
        return r;
    const struct timeline_options options = {
        .json = call->json,
        .newest_first = verb_switch(call, "--newest-first"),
        .limit = limit,
    };
    r = timeline_print(reader, match->person, &options, stdout);
    return r < 0 ? verb_fail(call, r, "%s", call->arguments[0]) : EXIT_OK;
}

/* Several persons: the number of a family, a shared tablet. The user says which. */
static int several(const struct lookup_match *matches, size_t count)
{
    (void)fprintf(
        stderr, "tabiji timeline: that is an identifier of several persons; name one of them:\n");
    for (size_t i = 0; i < count; i++) {
        char uuid[UUID_TEXT_SIZE];
        uuid_write(matches[i].person, uuid);
        (void)fprintf(stderr, "  %s  %.*s:%.*s (%.*s)\n", uuid, (int)matches[i].namespace.size,
            matches[i].namespace.data, (int)matches[i].value.size, matches[i].value.data,
            (int)matches[i].why.size, matches[i].why.data);
    }
    return EXIT_USAGE;
}

static bool same_person(const struct lookup_match *matches, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (memcmp(matches[i].person, matches[0].person, KEY_SIZE) != 0)
            return false;
    return true;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct lookup_match matches[LOOKUP_PERSONS_MAX];
    size_t count = 0;
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : tables_open(call, &settings, &reader);
    if (r == 0)
        r = lookup_persons(&settings, reader, str_of(call->arguments[0]), matches, &count);
    if (r == ERR_VALUE || r == ERR_UTF8) {
        r = say_bad_identifier(call, &settings, call->arguments[0], r);
    } else if (r < 0) {
        r = verb_fail(call, r, "%s", call->arguments[0]);
    } else if (r == 0 && count == 0) {
        r = tables_nobody(call, &settings, reader, call->arguments[0]);
    } else if (r == 0) {
        r = same_person(matches, count) ? show(call, reader, &matches[0]) : several(matches, count);
    }
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir"},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path"},
    {"--limit", "N", "most events (default 100; 0: all)", NULL},
    {"--newest-first", NULL, "the latest event first", NULL},
};

const struct verb verb_timeline = {
    .name = "timeline",
    .summary = "show one person's events across all channels",
    .arguments = "IDENTIFIER",
    .detail = "IDENTIFIER is read as by lookup. Shows each event with its channel, what it was "
              "about, orders with their\n"
              "revenue, and returns joined to the order that they take from. Exit 4 when nobody is "
              "known by it.",
    .examples = "  tabiji timeline --data shop login:u-77\n"
                "  tabiji timeline --data shop 090-1234-5678 --newest-first --limit 20",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};

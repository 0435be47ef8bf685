/* `tabiji rejected list|show|replay|forget`: what could not be accepted, with its payload and why.
 */
#include <stdio.h>

#include "deploy/render.h"
#include "deploy/verb/rejected_replay.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define LIMIT_DEFAULT 50

static void add_key(struct render_table *table, const uint8_t key[KEY_SIZE])
{
    char hex[2 * KEY_SIZE];
    hex_encode(key, KEY_SIZE, hex);
    render_text(table, str_make(hex, sizeof hex));
}

static int add_rejection(void *context, const struct reader_rejection *rejection)
{
    struct render_table *table = context;
    add_key(table, rejection->rejected_key);
    if (rejection->received_at)
        render_time(table, rejection->received_at);
    else
        render_nothing(table);
    render_text(table, rejection->source);
    render_text(table, rejection->stage);
    render_text(table, rejection->reason);
    render_text(table, rejection->pointer);
    render_text(table, rejection->hint);
    render_text(table, rejection->event_id);
    render_text(table, rejection->file);
    if (rejection->line)
        render_integer(table, rejection->line);
    else
        render_nothing(table);
    return 0;
}

static int list(struct verb_call *call, struct reader *reader)
{
    static const struct render_column columns[] = {
        {"rejected_key", "key", RENDER_LEFT, 0},
        {"received_at", "received (Japan)", RENDER_LEFT, 0},
        {"source", "source", RENDER_LEFT, 24},
        {"stage", "stage", RENDER_LEFT, 0},
        {"reason", "reason", RENDER_LEFT, 0},
        {"pointer", "where", RENDER_LEFT, 32},
        {"hint", "hint", RENDER_LEFT, 48},
        {"event_id", "event id", RENDER_LEFT, 24},
        {"file", "file", RENDER_LEFT, 32},
        {"line", "line", RENDER_RIGHT, 0},
    };
    long long limit = LIMIT_DEFAULT;
    int r = verb_integer(call, "--limit", 0, INT32_MAX, &limit);
    if (r)
        return r;
    const struct reader_rejections filter = {
        .reason = str_of(verb_value(call, "--reason")),
        .source = str_of(verb_value(call, "--source")),
        .stage = str_of(verb_value(call, "--stage")),
        .limit = limit,
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    r = render_new(&table, columns, sizeof columns / sizeof *columns);
    if (r == 0)
        r = reader_rejected(reader, &filter, add_rejection, table);
    if (r == 0)
        r = render_write(table, call->json, stdout);
    return r < 0 ? verb_fail(call, r, "list") : EXIT_OK;
}

static int show_rejection(void *context, const struct reader_rejection *rejection)
{
    struct verb_call *call = context;
    static const struct render_column columns[] = {
        {"rejected_key", "key", RENDER_LEFT, 0},
        {"source", "source", RENDER_LEFT, 0},
        {"stage", "stage", RENDER_LEFT, 0},
        {"reason", "reason", RENDER_LEFT, 0},
        {"pointer", "where", RENDER_LEFT, 0},
        {"hint", "hint", RENDER_LEFT, 0},
        {"payload", NULL, RENDER_LEFT, 0},
    };
    size_t count = sizeof columns / sizeof *columns;
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, call->json ? count : count - 1);
    if (r < 0)
        return r;
    add_key(table, rejection->rejected_key);
    render_text(table, rejection->source);
    render_text(table, rejection->stage);
    render_text(table, rejection->reason);
    render_text(table, rejection->pointer);
    render_text(table, rejection->hint);
    if (call->json)
        render_text(table, rejection->payload);
    r = render_write(table, call->json, stdout);
    if (r < 0 || call->json)
        return r;
    CLEANUP(buf_free) struct buf safe = {0};
    r = render_safe(&safe, rejection->payload);
    if (r == 0)
        (void)printf("\n%.*s\n", (int)safe.size, safe.data);
    return r;
}

static int show(struct verb_call *call, struct reader *reader)
{
    uint8_t key[KEY_SIZE];
    if (call->arguments_count < 2)
        return verb_usage(call, "show needs a key, as `rejected list` prints it");
    if (!hex_decode(str_of(call->arguments[1]), key, KEY_SIZE))
        return verb_usage(call, "\"%s\" is no key of 32 hex digits", call->arguments[1]);
    int r = reader_get_rejection(reader, key, show_rejection, call);
    if (r == READER_ABSENT)
        return verb_not_found(call, "nothing has the key %s", call->arguments[1]);
    return r < 0 ? verb_fail(call, r, "show") : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *what = call->arguments[0];
    CLEANUP(reader_close) struct reader *reader = NULL;
    bool forget = strcmp(what, "forget") == 0;
    bool again = forget || strcmp(what, "replay") == 0;
    if (!again && strcmp(what, "list") != 0 && strcmp(what, "show") != 0)
        return verb_usage(
            call, "knows \"list\", \"show\", \"replay\" and \"forget\", not \"%s\"", what);
    int r = settings_open(&settings, call->config);
    if (r < 0)
        r = verb_fail(call, r, "configuration");
    else if (again)
        r = rejected_replay(call, &settings, forget);
    else
        r = tables_open(call, &settings, &reader);
    if (r == 0 && !again)
        r = what[0] == 'l' ? list(call, reader) : show(call, reader);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir"},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path"},
    {"--reason", "NAME", "list, replay, forget: only this reason", NULL},
    {"--source", "NAME", "list, replay, forget: only this source", NULL},
    {"--stage", "NAME", "list, replay, forget: only this stage", NULL},
    {"--limit", "N",
        "list: most rows, the latest first (default 50; 0: all); replay: most, the oldest first",
        NULL},
    {"--id", "EVENT-ID", "replay, forget: only of this event id", NULL},
    {"--from", "TIME", "replay, forget: only what came at or after this time (UTC)", NULL},
    {"--until", "TIME", "replay, forget: only what came before this time (UTC)", NULL},
    {"--mapping", "FILE", "replay: also rows of NDJSON files, by this mapping", NULL},
    {"--rate", "N", "replay, forget: at most so many a second", NULL},
    {"--dry-run", NULL, "replay, forget: only say what would become of them", NULL},
    {"--shows", "ID", "forget: only payloads that show this identifier, in any spelling", NULL},
    {"--confirm", NULL, "forget: do it; without it nothing is done", NULL},
};

const struct verb verb_rejected = {
    .name = "rejected",
    .summary =
        "list what was rejected, show one with its payload, put it through the door again, or "
        "forget it",
    .arguments = "list|show|replay|forget [KEY...]",
    .detail =
        "Nothing that comes in is lost: what cannot be accepted is kept with a typed reason, "
        "the place that was\n"
        "wrong, a hint, and the payload as it came. Exit 4 when no rejection has the key.\n\n"
        "replay, after a fix (of the configuration, of a schema, by a new build), puts what "
        "the flags select through\n"
        "the door again, under its own event id, as of when it came. What is accepted leaves "
        "`rejected`; what is refused\n"
        "again stays with the reason of now. Twice is as once; cut off, the same command goes "
        "on. Exit 6 when some stay.\n"
        "What a door did not take is left: what the stages refuse (they would again), rows of "
        "CSV files (import the\n"
        "file again), payloads that were cut. Embedded, nothing else may run in the data "
        "directory meanwhile; with\n"
        "[stream] driver = kafka workers and collectors go on, --data or --database names the "
        "sink's tables, and\n"
        "events that came in past the door (stage kafka) are put in again where they can be "
        "read by now.\n\n"
        "forget takes what the flags select out of `rejected`, payload and all, and keeps it away "
        "when tables are made anew\n"
        "or the same comes once more. After `tabiji erase ID`, forget --shows ID: payloads are "
        "kept as they came, whatever\n"
        "they are, so an erasure cannot find them. A payload shows ID where a field of it, alone, "
        "is the value; one that\n"
        "was cut, or has it within a longer text, is found by none but you. The log keeps it: "
        "topics for their retention,\n"
        "the embedded log for good.",
    .examples = "  tabiji rejected list --data shop --reason unknown_field\n"
                "  tabiji rejected show --data shop 0123456789abcdef0123456789abcdef\n"
                "  tabiji rejected replay --data shop --reason unknown_namespace --dry-run\n"
                "  tabiji rejected forget --data shop --shows email:hana@example.jp --confirm\n"
                "  tabiji rejected replay --config tabiji.ini --data sink --source pos --rate 500",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = VERB_ARGUMENTS_MAX,
    .run = run,
};

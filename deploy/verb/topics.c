/* `tabiji topics create|check`: the topics that are there beside those that should be. */
#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "ingest/stream/kafka_topic_report.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 5000
#define CELL_SIZE 128
#define MS_PER_HOUR 3600000LL
#define HOURS_PER_DAY 24

enum topic_state {
    STATE_OK,
    STATE_MADE,    /* by this call */
    STATE_SET,     /* likewise: settings of one that was there */
    STATE_MISSING, /* or to be made, in a dry run */
    STATE_DIFFERS,
    STATE_DENIED,
};
static const char *const state_names[] = {
    [STATE_OK] = "ok",
    [STATE_MADE] = "created",
    [STATE_SET] = "set",
    [STATE_MISSING] = "missing",
    [STATE_DIFFERS] = "differs",
    [STATE_DENIED] = "denied",
};

struct topics {
    struct verb_call *call;
    struct serve_ask ask;
    struct kafka_topic_report reports[TOPIC_COUNT];
    bool made[TOPIC_COUNT];
    bool set[TOPIC_COUNT];
    struct render_table *table;
    int worst; /* exit_code of what was found */
};

/* ---- cells ---- */

static void add_number(struct render_table *table, bool json, int64_t is, int64_t wanted)
{
    char cell[CELL_SIZE];
    if (json) {
        render_integer(table, is);
        render_integer(table, wanted);
        return;
    }
    if (is == wanted || is == 0) /* 0: it is missing, and will have what is wanted */
        (void)snprintf(cell, sizeof cell, "%lld", (long long)wanted);
    else
        (void)snprintf(cell, sizeof cell, "%lld, not %lld", (long long)is, (long long)wanted);
    render_text(table, str_of(cell));
}

/* A time in days or hours where it is a whole number of them; "for ever" for -1. */
static void write_setting(enum kafka_topic_setting setting, const char *value, char out[CELL_SIZE])
{
    bool time = setting == KAFKA_TOPIC_RETENTION || setting == KAFKA_TOPIC_TOMBSTONES;
    long long ms = time ? strtoll(value, NULL, 10) : 0;
    if (time && ms < 0)
        (void)snprintf(out, CELL_SIZE, "for ever");
    else if (ms && ms % (MS_PER_HOUR * HOURS_PER_DAY) == 0)
        (void)snprintf(out, CELL_SIZE, "%lld d", ms / MS_PER_HOUR / HOURS_PER_DAY);
    else if (ms && ms % MS_PER_HOUR == 0)
        (void)snprintf(out, CELL_SIZE, "%lld h", ms / MS_PER_HOUR);
    else
        (void)snprintf(out, CELL_SIZE, "%s%s", value[0] ? value : "?", time ? " ms" : "");
}

static void add_setting(struct render_table *table, bool json,
    const struct kafka_topic_report *report, enum kafka_topic_setting setting)
{
    char is[CELL_SIZE], wanted[CELL_SIZE], cell[3 * CELL_SIZE];
    if (json) {
        report->is[setting][0] ? render_text(table, str_of(report->is[setting]))
                               : render_nothing(table);
        report->wanted[setting][0] ? render_text(table, str_of(report->wanted[setting]))
                                   : render_nothing(table);
        return;
    }
    write_setting(setting, report->partitions ? report->is[setting] : report->wanted[setting], is);
    write_setting(setting, report->wanted[setting], wanted);
    (void)snprintf(cell, sizeof cell, report->wrong[setting] ? "%s, not %s" : "%s", is, wanted);
    render_text(table, str_of(cell));
}

/* ---- verdicts ---- */

static bool settings_wrong(const struct kafka_topic_report *report)
{
    bool wrong = false;
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        wrong |= report->wrong[s];
    return wrong;
}

static enum topic_state state_of(const struct topics *topics, int topic)
{
    const struct kafka_topic_report *report = &topics->reports[topic];
    if (report->denied)
        return STATE_DENIED;
    if (report->partitions == 0)
        return STATE_MISSING;
    if (report->partitions != report->partitions_wanted || settings_wrong(report) ||
        report->replicas < report->replicas_wanted || report->leaderless > 0)
        return STATE_DIFFERS;
    return topics->made[topic] ? STATE_MADE : topics->set[topic] ? STATE_SET : STATE_OK;
}

/* What mends it, the worst first; NULL when nothing is wrong. */
static const char *mend_of(const struct topics *topics, int topic)
{
    const struct kafka_topic_report *report = &topics->reports[topic];
    if (report->denied)
        return "allow this user to DESCRIBE and DESCRIBE_CONFIGS it (kafka-acls)";
    if (report->partitions == 0)
        return "tabiji topics create";
    if (report->leaderless)
        return "brokers of its partitions are down: start them";
    if (report->partitions != report->partitions_wanted)
        return "tabiji repartition; or set [stream] partitions, journey_partitions to what is";
    if (settings_wrong(report))
        return "tabiji topics create --alter";
    if (report->replicas < report->replicas_wanted)
        return "kafka-reassign-partitions; or set [stream] replication to what is";
    return NULL;
}

static void worsen(struct topics *topics, enum topic_state state)
{
    int code = state == STATE_MISSING   ? EXIT_NOT_FOUND
               : state == STATE_DENIED  ? EXIT_AUTH
               : state == STATE_DIFFERS ? EXIT_FAILED
                                        : EXIT_OK;
    if (topics->worst == EXIT_OK || code == EXIT_FAILED)
        topics->worst = code;
}

#define NUMBER_COLUMNS(name)                                                                       \
    {name, name, RENDER_RIGHT, 0},                                                                 \
    {                                                                                              \
        name "_wanted", name, RENDER_RIGHT, 0                                                      \
    }
#define TEXT_COLUMNS(name)                                                                         \
    {name, name, RENDER_LEFT, 0},                                                                  \
    {                                                                                              \
        name "_wanted", name, RENDER_LEFT, 0                                                       \
    }
static const struct render_column json_columns[] = {
    {"topic", "topic", RENDER_LEFT, 0},
    {"state", "state", RENDER_LEFT, 0},
    NUMBER_COLUMNS("partitions"),
    NUMBER_COLUMNS("replicas"),
    {"in_sync", "in sync", RENDER_RIGHT, 0},
    {"leaderless", "leaderless", RENDER_RIGHT, 0},
    TEXT_COLUMNS("cleanup.policy"),
    TEXT_COLUMNS("retention.ms"),
    TEXT_COLUMNS("delete.retention.ms"),
    TEXT_COLUMNS("max.message.bytes"),
    TEXT_COLUMNS("min.insync.replicas"),
    {"mend", "to mend it", RENDER_LEFT, 0},
};
static const struct render_column columns[] = {
    {"topic", "topic", RENDER_LEFT, 0},
    {"state", "state", RENDER_LEFT, 0},
    {"partitions", "partitions", RENDER_LEFT, 0},
    {"replicas", "replicas", RENDER_LEFT, 0},
    {"in_sync", "in sync", RENDER_RIGHT, 0},
    {"cleanup.policy", "cleanup", RENDER_LEFT, 0},
    {"retention.ms", "kept", RENDER_LEFT, 0},
    {"delete.retention.ms", "tombstones", RENDER_LEFT, 0},
    {"max.message.bytes", "value bytes", RENDER_LEFT, 0},
    {"min.insync.replicas", "min in sync", RENDER_LEFT, 0},
    {"mend", "to mend it", RENDER_LEFT, 0},
};

static void add_topic(struct topics *topics, int topic)
{
    const struct kafka_topic_report *report = &topics->reports[topic];
    bool json = topics->call->json;
    enum topic_state state = state_of(topics, topic);
    const char *mend = mend_of(topics, topic);
    worsen(topics, state);
    render_text(topics->table, str_of(report->name));
    render_text(topics->table, str_of(state_names[state]));
    add_number(topics->table, json, report->partitions, report->partitions_wanted);
    add_number(topics->table, json, report->replicas, report->replicas_wanted);
    if (json || report->partitions)
        render_integer(topics->table, report->in_sync);
    else
        render_nothing(topics->table);
    if (json)
        render_integer(topics->table, report->leaderless);
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        add_setting(topics->table, json, report, (enum kafka_topic_setting)s);
    if (mend)
        render_text(topics->table, str_of(mend));
    else
        render_nothing(topics->table);
}

static int show(struct topics *topics)
{
    bool json = topics->call->json;
    int r = render_new(&topics->table, json ? json_columns : columns,
        json ? sizeof json_columns / sizeof *json_columns : sizeof columns / sizeof *columns);
    if (r < 0)
        return r;
    for (int t = 0; t < TOPIC_COUNT; t++)
        add_topic(topics, t);
    return render_write(topics->table, json, stdout);
}

/* ---- the verbs ---- */

static int check_topics(struct topics *topics)
{
    int r = kafka_topics_report(&topics->ask.kafka, KAFKA_TIMEOUT_MS, topics->reports);
    return r < 0 ? r : show(topics);
}

/* Notes what is to be made and set before it is. */
static void note_wanted(struct topics *topics, bool alter)
{
    for (int t = 0; t < TOPIC_COUNT; t++) {
        const struct kafka_topic_report *report = &topics->reports[t];
        topics->made[t] = !report->denied && report->partitions == 0;
        topics->set[t] = alter && settings_wrong(report);
    }
}

static int create_topics(struct topics *topics)
{
    bool alter = verb_switch(topics->call, "--alter");
    int r = kafka_topics_report(&topics->ask.kafka, KAFKA_TIMEOUT_MS, topics->reports);
    if (r < 0)
        return r;
    note_wanted(topics, alter);
    if (verb_switch(topics->call, "--dry-run")) {
        r = show(topics);
        topics->worst = EXIT_OK;
        (void)fprintf(stderr, "tabiji topics: nothing was changed (--dry-run)\n");
        return r;
    }
    r = kafka_topics_create(&topics->ask.kafka, KAFKA_TIMEOUT_MS);
    bool counts_differ = r == ERR_CONFIG; /* which the table explains */
    if ((r == 0 || counts_differ) && alter)
        r = kafka_topics_set(&topics->ask.kafka, KAFKA_TIMEOUT_MS, topics->reports);
    if (r < 0 && !counts_differ)
        return r;
    int again = kafka_topics_report(&topics->ask.kafka, KAFKA_TIMEOUT_MS, topics->reports);
    return again < 0 ? again : show(topics);
}

static int run(struct verb_call *call)
{
    static struct topics topics; /* too large for a small stack */
    topics = (struct topics){.call = call};
    bool create = strcmp(call->arguments[0], "create") == 0;
    if (!create && strcmp(call->arguments[0], "check") != 0)
        return verb_usage(call, "knows create and check, not \"%s\"", call->arguments[0]);
    if (!create && (verb_switch(call, "--alter") || verb_switch(call, "--dry-run")))
        return verb_usage(call, "check changes nothing: --alter and --dry-run are of create");
    int r = serve_ask_open(&topics.ask, call->config);
    if (r == 0)
        r = create ? create_topics(&topics) : check_topics(&topics);
    int code = r < 0 ? serve_ask_fail(call, &topics.ask, r) : topics.worst;
    render_free(&topics.table);
    serve_ask_close(&topics.ask);
    return code;
}

static const struct verb_option options[] = {
    {"--partitions", "N", "partitions by identifier, and by person unless those are given",
        "stream.partitions", false},
    {"--journey-partitions", "N", "partitions by person", "stream.journey_partitions", false},
    {"--replication", "N", "replicas", "stream.replication", false},
    {"--min-insync", "N", "replicas that must have a record", "stream.min_insync_replicas", false},
    {"--prefix", "WORD", "first word of the names", "stream.prefix", false},
    {"--alter", NULL, "create: also set settings of topics that are there", NULL, false},
    {"--dry-run", NULL, "create: only show what is and what would be made", NULL, false},
};

const struct verb verb_topics = {
    .name = "topics",
    .summary = "make Kafka's topics, or look whether they are as they should be",
    .arguments = "create | check",
    .detail =
        "create makes the topics that are missing, each with its partitions, retention and "
        "compaction; called again it does\n"
        "nothing. What is there stays as it is; --alter sets its settings right (never partitions "
        "or replicas).\n"
        "check changes nothing and says of each topic what is, what should be and which command "
        "mends it. More than is\n"
        "wanted (a longer retention, larger values, more replicas) is no fault.\n"
        "Events and identity have equal counts of partitions, so have all topics by person; they "
        "stay as they are made,\n"
        "as keys would move to others: tabiji repartition.\n"
        "Exit 0: all as it should be; 1: a topic differs; 4: one is missing; 5: the brokers refuse "
        "the credentials, are not\n"
        "trusted, or do not show it; 7: no broker answers.",
    .examples = "  tabiji topics create --config tabiji.ini --partitions 12 --replication 3\n"
                "  tabiji topics create --config tabiji.ini --dry-run\n"
                "  tabiji topics check --config tabiji.ini --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};

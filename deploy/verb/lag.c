/* `tabiji lag`: how far workers and sinks are behind. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "deploy/render.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "ingest/stream/kafka_lag.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define KAFKA_TIMEOUT_MS 5000
#define LOOK_MS 2000
#define NUMBER_MAX INT64_C(1000000000000)
#define WATCH_MAX 86400
#define CELL_SIZE 64

struct lagging {
    struct verb_call *call;
    struct serve_ask ask;
    struct kafka_lag_watch *watch;
    struct kafka_lag lag;
    int64_t now_ms;
    bool summary;
    long long max;     /* records; -1: any */
    long long max_age; /* seconds; likewise */
    long long every;   /* seconds; 0: once */
};

/* Sums of some rows. */
struct lag_sum {
    int64_t lag;
    int64_t open;
    int64_t oldest_ms; /* KAFKA_LAG_UNKNOWN: none is known */
};

static void add_row(struct lag_sum *sum, const struct kafka_lag_row *row)
{
    sum->lag += row->lag;
    sum->open += row->high - row->end;
    if (row->oldest_ms >= 0 && (sum->oldest_ms < 0 || row->oldest_ms < sum->oldest_ms))
        sum->oldest_ms = row->oldest_ms;
}

static struct lag_sum sum_of(const struct kafka_lag *lag, size_t group, int topic)
{
    struct lag_sum sum = {.oldest_ms = KAFKA_LAG_UNKNOWN};
    for (size_t i = 0; i < lag->rows_count; i++)
        if (lag->rows[i].group == group && (topic < 0 || (int)lag->rows[i].topic == topic))
            add_row(&sum, &lag->rows[i]);
    return sum;
}

/* Seconds since then; clocks of producers may be ahead. */
static double age_of(const struct lagging *lagging, int64_t oldest_ms)
{
    return oldest_ms < lagging->now_ms ? (double)(lagging->now_ms - oldest_ms) / 1000 : 0;
}

/* ---- table ---- */

static const struct render_column columns[] = {
    {"group", "group", RENDER_LEFT, 0},
    {"topic", "topic", RENDER_LEFT, 0},
    {"partition", "partition", RENDER_RIGHT, 0},
    {"committed", "committed", RENDER_RIGHT, 0},
    {"end", "end", RENDER_RIGHT, 0},
    {"lag", "lag", RENDER_RIGHT, 0},
    {"open", "in open transactions", RENDER_RIGHT, 0},
    {"oldest", "oldest unread", RENDER_RIGHT, 0},
};

static void add_age(struct render_table *table, const struct lagging *lagging, int64_t oldest_ms)
{
    char cell[CELL_SIZE];
    if (oldest_ms < 0) {
        render_nothing(table);
        return;
    }
    double age = age_of(lagging, oldest_ms);
    if (age < 120)
        (void)snprintf(cell, sizeof cell, "%.1f s", age);
    else if (age < 7200)
        (void)snprintf(cell, sizeof cell, "%.0f min", age / 60);
    else
        (void)snprintf(cell, sizeof cell, "%.1f h", age / 3600);
    render_text(table, str_of(cell));
}

static void show_row(
    struct render_table *table, const struct lagging *lagging, const struct kafka_lag_row *row)
{
    render_text(table, str_of(lagging->lag.groups[row->group]));
    render_text(table, str_of(lagging->lag.names[row->topic]));
    render_integer(table, row->partition);
    if (row->committed < 0)
        render_text(table, STR("never"));
    else
        render_integer(table, row->committed);
    render_integer(table, row->end);
    render_integer(table, row->lag);
    render_integer(table, row->high - row->end);
    add_age(table, lagging, row->oldest_ms);
}

static void show_sum(struct render_table *table, const struct lagging *lagging, size_t group,
    const char *topic, const struct lag_sum *sum)
{
    render_text(table, str_of(lagging->lag.groups[group]));
    render_text(table, str_of(topic));
    for (int i = 0; i < 3; i++)
        render_nothing(table);
    render_integer(table, sum->lag);
    render_integer(table, sum->open);
    add_age(table, lagging, sum->oldest_ms);
}

static int show_table(const struct lagging *lagging)
{
    CLEANUP(render_free) struct render_table *table = NULL;
    const struct kafka_lag *lag = &lagging->lag;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    if (r < 0)
        return r;
    for (size_t group = 0; group < lag->groups_count; group++) {
        int last = -1;
        for (size_t i = 0; i < lag->rows_count; i++) {
            const struct kafka_lag_row *row = &lag->rows[i];
            if (row->group != group)
                continue;
            struct lag_sum sum = sum_of(lag, group, (int)row->topic);
            if (!lagging->summary)
                show_row(table, lagging, row);
            else if ((int)row->topic != last)
                show_sum(table, lagging, group, lag->names[row->topic], &sum);
            last = (int)row->topic;
        }
        struct lag_sum sum = sum_of(lag, group, -1);
        show_sum(table, lagging, group, "(all)", &sum);
    }
    return render_write(table, false, stdout);
}

/* ---- JSON ---- */

static int write_age(struct buf *out, const struct lagging *lagging, int64_t oldest_ms)
{
    if (oldest_ms < 0)
        return buf_append_str(out, STR(",\"oldest_seconds\":null"));
    return buf_appendf(out, ",\"oldest_seconds\":%.3f", age_of(lagging, oldest_ms));
}

static int write_row(struct buf *out, const struct lagging *lagging,
    const struct kafka_lag_row *row, const char *lead)
{
    int r = buf_appendf(out, "%s{\"topic\":\"%s\",\"partition\":%d,\"committed\":", lead,
        lagging->lag.names[row->topic], row->partition);
    if (r == 0)
        r = row->committed < 0 ? buf_append_str(out, STR("null"))
                               : json_write_int(out, row->committed);
    if (r == 0)
        r = buf_appendf(out, ",\"end\":%lld,\"lag\":%lld,\"open\":%lld", (long long)row->end,
            (long long)row->lag, (long long)(row->high - row->end));
    if (r == 0)
        r = write_age(out, lagging, row->oldest_ms);
    return r < 0 ? r : buf_append_str(out, STR("}"));
}

static int write_group(struct buf *out, const struct lagging *lagging, size_t group)
{
    struct lag_sum sum = sum_of(&lagging->lag, group, -1);
    bool first = true;
    int r = buf_append_str(out, group ? STR(",{\"group\":") : STR("{\"group\":"));
    if (r == 0)
        r = json_write_text(out, str_of(lagging->lag.groups[group]));
    if (r == 0)
        r = buf_appendf(
            out, ",\"lag\":%lld,\"open\":%lld", (long long)sum.lag, (long long)sum.open);
    if (r == 0)
        r = write_age(out, lagging, sum.oldest_ms);
    if (r == 0)
        r = buf_append_str(out, STR(",\"partitions\":["));
    for (size_t i = 0; r == 0 && i < lagging->lag.rows_count; i++) {
        if (lagging->lag.rows[i].group != group)
            continue;
        r = write_row(out, lagging, &lagging->lag.rows[i], first ? "" : ",");
        first = false;
    }
    return r < 0 ? r : buf_append_str(out, STR("]}"));
}

/* One line, so that --watch gives a line each time. */
static int show_json(const struct lagging *lagging)
{
    CLEANUP(buf_free) struct buf out = {0};
    int64_t total = 0;
    for (size_t group = 0; group < lagging->lag.groups_count; group++)
        total += sum_of(&lagging->lag, group, -1).lag;
    int r = buf_appendf(&out, "{\"lag\":%lld,\"groups\":[", (long long)total);
    for (size_t group = 0; r == 0 && group < lagging->lag.groups_count; group++)
        r = write_group(&out, lagging, group);
    if (r == 0)
        r = buf_append_str(&out, STR("]}\n"));
    if (r == 0 && fwrite(out.data, 1, out.size, stdout) != out.size)
        r = ERR_IO;
    return r;
}

/* ---- limits ---- */

/* Says which group is over the limits; whether one is. */
static bool over_limits(const struct lagging *lagging)
{
    bool over = false;
    for (size_t group = 0; group < lagging->lag.groups_count; group++) {
        struct lag_sum sum = sum_of(&lagging->lag, group, -1);
        bool old = lagging->max_age >= 0 && sum.oldest_ms >= 0 &&
                   age_of(lagging, sum.oldest_ms) > (double)lagging->max_age;
        if (!old && (lagging->max < 0 || sum.lag <= lagging->max))
            continue;
        over = true;
        (void)fprintf(stderr, "tabiji lag: %s is behind by %lld records%s\n",
            lagging->lag.groups[group], (long long)sum.lag, old ? ", the oldest is too old" : "");
    }
    return over;
}

static int show(struct lagging *lagging)
{
    struct timespec now;
    int r = kafka_lag_read(lagging->watch, KAFKA_TIMEOUT_MS, LOOK_MS, &lagging->lag);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    lagging->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (r < 0)
        return r;
    if (lagging->every && !lagging->call->json)
        (void)fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
    r = lagging->call->json ? show_json(lagging) : show_table(lagging);
    return r == 0 && fflush(stdout) != 0 ? ERR_IO : r;
}

/* Until it is interrupted, where --watch is given; brokers that are away are waited for then. */
static int show_all(struct lagging *lagging)
{
    int r = kafka_lag_open(&lagging->ask.kafka, KAFKA_TIMEOUT_MS, &lagging->watch);
    while (r == 0) {
        r = show(lagging);
        if (!lagging->every)
            break;
        if (r < 0 && error_class(r) == ERROR_CLASS_RETRY) {
            (void)serve_ask_fail(lagging->call, &lagging->ask, r);
            r = 0;
        }
        (void)sleep((unsigned)lagging->every);
    }
    return r;
}

static int run(struct verb_call *call)
{
    static struct lagging lagging; /* too large for a small stack */
    lagging = (struct lagging){
        .call = call, .max = -1, .max_age = -1, .summary = verb_switch(call, "--summary")};
    if (verb_integer(call, "--max", 0, NUMBER_MAX, &lagging.max) ||
        verb_integer(call, "--max-age", 0, NUMBER_MAX, &lagging.max_age) ||
        verb_integer(call, "--watch", 1, WATCH_MAX, &lagging.every))
        return EXIT_USAGE;
    int r = serve_ask_open(&lagging.ask, call->config);
    if (r == 0)
        r = show_all(&lagging);
    int code = r < 0                   ? serve_ask_fail(call, &lagging.ask, r)
               : over_limits(&lagging) ? EXIT_FAILED
                                       : EXIT_OK;
    kafka_lag_free(&lagging.lag);
    kafka_lag_close(&lagging.watch);
    serve_ask_close(&lagging.ask);
    return code;
}

static const struct verb_option options[] = {
    {"--summary", NULL, "topics, not each partition", NULL, false},
    {"--watch", "SECONDS", "ask again so often, until interrupted", NULL, false},
    {"--max", "N", "exit 1 when a group is behind by more records", NULL, false},
    {"--max-age", "SECONDS", "exit 1 when a group has not read a record that is older", NULL,
        false},
};

const struct verb verb_lag = {
    .name = "lag",
    .summary = "how far workers and sinks are behind, over Kafka",
    .arguments = "",
    .detail =
        "For the workers' group and each sink, by topic and partition: what is committed, where "
        "the topic ends for readers\n"
        "(the last stable offset), how many lie between, how many more are in transactions that "
        "are still open, and how long\n"
        "ago the oldest unread record was sent, by its producer's clock. Offsets are counted: "
        "between records some only\n"
        "end a transaction. Sinks tell their position every few seconds; their databases are the "
        "truth.\n"
        "Exit 0; 1: over --max or --max-age; 2: topics are missing; 5: refused; 7: no broker "
        "answers.",
    .examples = "  tabiji lag --config tabiji.ini\n"
                "  tabiji lag --config tabiji.ini --summary --watch 2\n"
                "  tabiji lag --config tabiji.ini --max 100000 --max-age 300 --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};

/* See the header. Committed offsets are asked for before ends, which only rise: lag is never
 * negative for a group that only goes forward. */
#include "ingest/stream/kafka_lag.h"

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"

#define TEXT_SIZE 256
#define POLL_MS 50
#define PAUSE_MS 200

struct kafka_lag_watch {
    struct kafka_config config;
    struct kafka_client ends; /* sees open transactions */
    struct kafka_client reader;
    struct kafka_layout layout;
};

static const enum topic work_topics[] = {TOPIC_EVENTS, TOPIC_IDENTITY, TOPIC_JOURNEY};
static const enum topic result_topics[] = {TOPIC_REJECTED, TOPIC_PERSONS, TOPIC_TOUCHPOINTS,
    TOPIC_SESSIONS, TOPIC_CONVERSIONS, TOPIC_PROFILES, TOPIC_MODELS};

int kafka_lag_open(const struct kafka_config *config, int timeout_ms, struct kafka_lag_watch **out)
{
    struct kafka_lag_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return ERR_NO_MEMORY;
    watch->config = *config;
    int r = kafka_client_open(&watch->ends, &watch->config, KAFKA_ROLE_END, NULL);
    if (r == 0)
        r = kafka_layout_get(&watch->ends, timeout_ms, &watch->layout);
    if (r == 0)
        r = kafka_layout_check(&watch->config, &watch->layout);
    if (r == 0)
        r = kafka_client_open(&watch->reader, &watch->config, KAFKA_ROLE_LOOK, NULL);
    if (r < 0) {
        kafka_lag_close(&watch);
        return r;
    }
    *out = watch;
    return 0;
}

void kafka_lag_close(struct kafka_lag_watch **watch)
{
    if (!*watch)
        return;
    kafka_client_close(&(*watch)->reader);
    kafka_client_close(&(*watch)->ends);
    free(*watch);
    *watch = NULL;
}

void kafka_lag_free(struct kafka_lag *lag)
{
    free(lag->rows);
    *lag = (struct kafka_lag){.rows = NULL};
}

/* ---- groups ---- */

static int await_event(
    struct kafka_lag_watch *watch, rd_kafka_queue_t *queue, rd_kafka_event_t **out)
{
    /* The request ends by itself within its timeout; the event always comes. */
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code) {
        kafka_log(
            &watch->config, LOG_WARNING, "kafka_lag", "%s", rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        return kafka_error_of(code);
    }
    *out = event;
    return 0;
}

static rd_kafka_AdminOptions_t *options_new(
    struct kafka_lag_watch *watch, rd_kafka_admin_op_t operation, int timeout_ms)
{
    char text[TEXT_SIZE];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(watch->ends.rk, operation);
    check(!rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text));
    return options;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The workers' group, then the sinks' in order. */
static void take_groups(
    struct kafka_lag_watch *watch, rd_kafka_event_t *event, struct kafka_lag *out)
{
    char prefix[KAFKA_GROUP_SIZE_MAX];
    size_t count;
    const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(
        rd_kafka_event_ListConsumerGroups_result(event), &count);
    int size = snprintf(prefix, sizeof prefix, "%s-results-", watch->config.group);
    snprintf(out->groups[0], KAFKA_GROUP_SIZE_MAX, "%s", watch->config.group);
    out->groups_count = 1;
    for (size_t i = 0; i < count && out->groups_count < KAFKA_LAG_GROUPS_MAX; i++) {
        const char *name = rd_kafka_ConsumerGroupListing_group_id(groups[i]);
        if (strncmp(name, prefix, (size_t)size) == 0 && strlen(name) < KAFKA_GROUP_SIZE_MAX)
            snprintf(out->groups[out->groups_count++], KAFKA_GROUP_SIZE_MAX, "%s", name);
    }
    qsort(out->groups[1], out->groups_count - 1, KAFKA_GROUP_SIZE_MAX, by_name);
}

static int list_groups(struct kafka_lag_watch *watch, int timeout_ms, struct kafka_lag *out)
{
    rd_kafka_event_t *event = NULL;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(watch->ends.rk);
    rd_kafka_AdminOptions_t *options =
        options_new(watch, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, timeout_ms);
    rd_kafka_ListConsumerGroups(watch->ends.rk, options, queue);
    int r = await_event(watch, queue, &event);
    if (r == 0) {
        take_groups(watch, event, out);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return r;
}

/* ---- offsets ---- */

static rd_kafka_topic_partition_list_t *parts_of(struct kafka_lag_watch *watch, size_t group)
{
    const enum topic *topics = group == 0 ? work_topics : result_topics;
    size_t count = group == 0 ? sizeof work_topics / sizeof *work_topics
                              : sizeof result_topics / sizeof *result_topics;
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(0);
    for (size_t i = 0; i < count; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(&watch->config, topics[i], name);
        for (int32_t p = 0; p < watch->layout.partitions[topics[i]]; p++)
            rd_kafka_topic_partition_list_add(parts, name, p);
    }
    return parts;
}

static int add_rows(
    struct kafka_lag *lag, size_t group, const rd_kafka_topic_partition_list_t *committed)
{
    size_t count = lag->rows_count + (size_t)committed->cnt;
    if (count > lag->rows_max) {
        struct kafka_lag_row *rows = realloc(lag->rows, count * sizeof *rows);
        if (!rows)
            return ERR_NO_MEMORY;
        lag->rows = rows;
        lag->rows_max = count;
    }
    for (int i = 0; i < committed->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &committed->elems[i];
        int topic = 0;
        while (topic < TOPIC_COUNT && strcmp(lag->names[topic], part->topic) != 0)
            topic++;
        if (part->err)
            return kafka_error_of(part->err);
        check(topic < TOPIC_COUNT);
        lag->rows[lag->rows_count++] = (struct kafka_lag_row){.group = group,
            .topic = (enum topic)topic,
            .partition = part->partition,
            .committed = part->offset < 0 ? KAFKA_LAG_UNKNOWN : part->offset,
            .oldest_ms = KAFKA_LAG_UNKNOWN};
    }
    return 0;
}

/* Rows of one group, with what it has committed. */
static int ask_committed(
    struct kafka_lag_watch *watch, size_t group, int timeout_ms, struct kafka_lag *out)
{
    rd_kafka_topic_partition_list_t *parts = parts_of(watch, group);
    rd_kafka_ListConsumerGroupOffsets_t *wanted =
        rd_kafka_ListConsumerGroupOffsets_new(out->groups[group], parts);
    rd_kafka_event_t *event = NULL;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(watch->ends.rk);
    rd_kafka_AdminOptions_t *options =
        options_new(watch, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms);
    rd_kafka_ListConsumerGroupOffsets(watch->ends.rk, &wanted, 1, options, queue);
    int r = await_event(watch, queue, &event);
    if (r == 0) {
        size_t count;
        const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
        const rd_kafka_error_t *error = count ? rd_kafka_group_result_error(groups[0]) : NULL;
        r = error   ? kafka_error_of(rd_kafka_error_code(error))
            : count ? add_rows(out, group, rd_kafka_group_result_partitions(groups[0]))
                    : ERR_KAFKA;
        rd_kafka_event_destroy(event);
    }
    rd_kafka_ListConsumerGroupOffsets_destroy(wanted);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(parts);
    return r;
}

/* Offsets of the rows from `first` on: which: RD_KAFKA_OFFSET_BEGINNING or _END. One request for
 * each broker. The caller destroys *out, whose elements are in the order of the rows. */
static int ask_offsets(struct kafka_client *client, const struct kafka_lag *lag, size_t first,
    int64_t which, int timeout_ms, rd_kafka_topic_partition_list_t **out)
{
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(0);
    for (size_t i = first; i < lag->rows_count; i++)
        rd_kafka_topic_partition_list_add(
            parts, lag->names[lag->rows[i].topic], lag->rows[i].partition)
            ->offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(client->rk, parts, timeout_ms);
    for (int i = 0; !code && i < parts->cnt; i++)
        code = parts->elems[i].err;
    if (code) {
        rd_kafka_topic_partition_list_destroy(parts);
        kafka_log(client->config, LOG_WARNING, "kafka_lag", "ends: %s", rd_kafka_err2str(code));
        return kafka_error_of(code);
    }
    *out = parts;
    return 0;
}

static int ask_ends(
    struct kafka_lag_watch *watch, struct kafka_lag *lag, size_t first, int timeout_ms)
{
    rd_kafka_topic_partition_list_t *lows = NULL, *ends = NULL, *highs = NULL;
    int r = ask_offsets(&watch->ends, lag, first, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, &lows);
    if (r == 0)
        r = ask_offsets(&watch->reader, lag, first, RD_KAFKA_OFFSET_END, timeout_ms, &ends);
    if (r == 0)
        r = ask_offsets(&watch->ends, lag, first, RD_KAFKA_OFFSET_END, timeout_ms, &highs);
    for (size_t i = first; r == 0 && i < lag->rows_count; i++) {
        struct kafka_lag_row *row = &lag->rows[i];
        int64_t low = lows->elems[i - first].offset;
        int64_t from = row->committed < low ? low : row->committed;
        row->end = ends->elems[i - first].offset;
        row->high = highs->elems[i - first].offset;
        row->lag = row->end > from ? row->end - from : 0;
    }
    if (lows)
        rd_kafka_topic_partition_list_destroy(lows);
    if (ends)
        rd_kafka_topic_partition_list_destroy(ends);
    if (highs)
        rd_kafka_topic_partition_list_destroy(highs);
    return r;
}

/* ---- times ---- */

/* Notes the time of a partition's first record, and reads no more of it. Returns whether it was
 * waited for. */
static bool take_time(struct kafka_lag_watch *watch, struct kafka_lag *lag, size_t first,
    const rd_kafka_message_t *message)
{
    bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (message->err && !at_end)
        return false;
    rd_kafka_timestamp_type_t type;
    int64_t time = at_end ? KAFKA_LAG_UNKNOWN : rd_kafka_message_timestamp(message, &type);
    for (size_t i = first; i < lag->rows_count; i++) {
        struct kafka_lag_row *row = &lag->rows[i];
        if (row->partition != message->partition || row->lag == 0 || row->oldest_ms >= 0 ||
            strcmp(lag->names[row->topic], rd_kafka_topic_name(message->rkt)) != 0)
            continue;
        row->oldest_ms = time;
        rd_kafka_topic_partition_list_t *part = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(part, lag->names[row->topic], row->partition);
        (void)rd_kafka_pause_partitions(watch->reader.rk, part);
        rd_kafka_topic_partition_list_destroy(part);
        return true;
    }
    return false;
}

/* Looks at the first unread record of each partition. What does not come in time stays unknown. */
static void look(struct kafka_lag_watch *watch, struct kafka_lag *lag, size_t first, int look_ms)
{
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(0);
    for (size_t i = first; i < lag->rows_count; i++)
        if (lag->rows[i].lag > 0)
            rd_kafka_topic_partition_list_add(
                parts, lag->names[lag->rows[i].topic], lag->rows[i].partition)
                ->offset = lag->rows[i].end - lag->rows[i].lag;
    int left = parts->cnt;
    int64_t until = kafka_clock_ms() + look_ms;
    if (left > 0 && rd_kafka_assign(watch->reader.rk, parts))
        left = 0;
    while (left > 0 && kafka_clock_ms() < until) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(watch->reader.rk, POLL_MS);
        if (!message)
            continue;
        left -= take_time(watch, lag, first, message);
        rd_kafka_message_destroy(message);
    }
    (void)rd_kafka_assign(watch->reader.rk, NULL);
    rd_kafka_topic_partition_list_destroy(parts);
}

static int by_place(const void *a, const void *b)
{
    const struct kafka_lag_row *left = a, *right = b;
    if (left->topic != right->topic)
        return left->topic < right->topic ? -1 : 1;
    return left->partition < right->partition ? -1 : left->partition > right->partition;
}

/* One group's rows. */
static int read_group(
    struct kafka_lag_watch *watch, size_t group, int timeout_ms, int look_ms, struct kafka_lag *out)
{
    size_t first = out->rows_count;
    int r = ask_committed(watch, group, timeout_ms, out);
    if (r == 0 && out->rows_count > first)
        qsort(&out->rows[first], out->rows_count - first, sizeof *out->rows, by_place);
    if (r == 0)
        r = ask_ends(watch, out, first, timeout_ms);
    if (r == 0 && look_ms > 0)
        look(watch, out, first, look_ms);
    return r;
}

static int read_all(
    struct kafka_lag_watch *watch, int timeout_ms, int look_ms, struct kafka_lag *out)
{
    struct kafka_lag lag = {.groups_count = 0};
    for (int t = 0; t < TOPIC_COUNT; t++)
        kafka_topic_name(&watch->config, (enum topic)t, lag.names[t]);
    int r = list_groups(watch, timeout_ms, &lag);
    for (size_t group = 0; r == 0 && group < lag.groups_count; group++)
        r = read_group(watch, group, timeout_ms, look_ms, &lag);
    if (r < 0) {
        kafka_lag_free(&lag);
        return r;
    }
    kafka_lag_free(out);
    *out = lag;
    return 0;
}

int kafka_lag_read(
    struct kafka_lag_watch *watch, int timeout_ms, int look_ms, struct kafka_lag *out)
{
    int64_t until = kafka_clock_ms() + timeout_ms;
    const struct timespec pause = {.tv_nsec = (long)PAUSE_MS * 1000000};
    /* Leaders and coordinators of what was just made, or moved, are not known at once. */
    for (;;) {
        int64_t left = until - kafka_clock_ms();
        int r = read_all(watch, left > PAUSE_MS ? (int)left : PAUSE_MS, look_ms, out);
        if (r != ERR_AGAIN || kafka_clock_ms() >= until)
            return r;
        (void)nanosleep(&pause, NULL);
    }
}

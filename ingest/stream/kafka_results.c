/*
 * Results for sinks: assigned, not subscribed, as the sink's own store says where to go on.
 *
 * 1. `positions` has every partition of every result topic; `next` is after the last record that
 *    next() returned, and moves over what carries no record (ends of transactions) at the
 * partition's end.
 * 2. Beside them goes the time, as the position of a topic that is none: brokers forget tombstones
 *    after a day, so a sink that was away for long cannot go on; it begins anew.
 * 3. Messages are kept until the following call of next(): results point into them.
 */
#include "ingest/stream/kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"
#include "ingest/stream/kafka_task.h"

#define SEEN_EVERY_MS ((int64_t)600000)
#define TOLD_MS 1000

struct kafka_results {
    struct result_source base;
    struct kafka_config config;
    struct kafka_client client;
    struct kafka_client ends; /* opened when first asked for */
    struct kafka_topic_cache cache;
    struct kafka_frame frame;
    struct arena translated; /* values of the batch that other builds wrote */
    struct kafka_layout layout;
    size_t first[TOPIC_COUNT]; /* index of a topic's partition 0 in positions */
    struct result_position *positions;
    bool *moved; /* beside positions: since a batch last told */
    size_t positions_count;
    struct result_position *told; /* the batch's positions: those that moved */
    rd_kafka_message_t **messages;
    rd_kafka_message_t *held; /* comes before what is polled: its schema is awaited */
    struct result *results;
    size_t count;              /* of messages and results */
    bool anew;                 /* the next batch begins anew */
    int64_t seen;              /* what was told last as the time */
    int failure;               /* an error that ended this source */
    rd_kafka_queue_t *replies; /* to what brokers are told */
    bool telling;
};

static const enum topic topics[] = {TOPIC_REJECTED, TOPIC_PERSONS, TOPIC_TOUCHPOINTS,
    TOPIC_SESSIONS, TOPIC_CONVERSIONS, TOPIC_PROFILES, TOPIC_MODELS};
#define TOPICS (sizeof topics / sizeof topics[0])

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void seen_name(const struct kafka_config *config, char out[KAFKA_TOPIC_SIZE_MAX])
{
    snprintf(out, KAFKA_TOPIC_SIZE_MAX, "%s.seen", config->prefix);
}

/* The reader's place in the partition of a message; NULL for one that was not assigned. */
static struct result_position *place_of(
    struct kafka_results *results, const rd_kafka_message_t *message)
{
    int topic = kafka_topic_cached(&results->cache, &results->config, message->rkt);
    if (topic < 0 || message->partition < 0 ||
        message->partition >= results->layout.partitions[topic])
        return NULL;
    return &results->positions[results->first[topic] + (size_t)message->partition];
}

static void move(struct kafka_results *results, struct result_position *position, int64_t next)
{
    if (next <= position->next)
        return;
    position->next = next;
    results->moved[position - results->positions] = true;
}

static void release(struct kafka_results *results)
{
    for (size_t i = 0; i < results->count; i++)
        rd_kafka_message_destroy(results->messages[i]);
    results->count = 0;
    arena_reset(&results->translated);
}

/* ---- reading ---- */

/* Of a row that no sink can be given. */
static int unreadable(struct kafka_results *results, const rd_kafka_message_t *message, int error)
{
    if (error_class(error) != ERROR_CLASS_REJECT)
        return error;
    bool newer = error == ERR_SCHEMA_UNKNOWN || error == ERR_SCHEMA_INCOMPATIBLE;
    kafka_log(&results->config, LOG_ERR, newer ? "kafka_newer" : "kafka_results",
        "%s %d at %lld: %s (id %u)", rd_kafka_topic_name(message->rkt), message->partition,
        (long long)message->offset, error_text(error), newer ? results->frame.unknown : 0);
    return newer ? ERR_NEWER : ERR_STATE;
}

static int take(struct kafka_results *results, rd_kafka_message_t *message)
{
    struct result *result = &results->results[results->count];
    *result = (struct result){
        .topic = (enum topic)kafka_topic_cached(&results->cache, &results->config, message->rkt),
        .tombstone = message->payload == NULL,
        .key = str_make(message->key, message->key_len)};
    if (!result->tombstone) {
        struct str framed = str_make(message->payload, message->len);
        int r = kafka_frame_take(&results->frame, result->topic, result->key, framed,
            &results->translated, &result->value);
        if (r != 0)
            return r < 0 ? unreadable(results, message, r) : r;
    }
    results->messages[results->count++] = message;
    return 0;
}

/* librdkafka does not tell a topic's id, but where the new one ends. */
static int say_anew(
    const struct kafka_results *results, const struct result_position *position, int64_t end)
{
    kafka_log(&results->config, LOG_ERR, "kafka_topic_anew",
        "%s %d ends at %lld, but was read up to %lld: the topic was deleted and made anew, or this "
        "is another cluster. What the old one had is derived again from the events by tabiji "
        "repartition; with what the new one has alone, an empty database begins: tabiji sink "
        "--database FILE",
        position->topic, position->partition, (long long)end, (long long)position->next);
    return ERR_TOPIC_ANEW;
}

/* Rows were deleted before they were read, as a retention is too short for this sink: it goes on,
 * by opening again, with those that there are. Or the topic is another one. */
static int out_of_range(struct kafka_results *results, const rd_kafka_message_t *message)
{
    const struct result_position *position = place_of(results, message);
    int64_t low;
    int64_t high;
    if (!position)
        return ERR_INTERNAL;
    int r = kafka_client_ends(&results->client, position->topic, position->partition, &low, &high);
    if (r < 0)
        return r;
    return position->next > high ? say_anew(results, position, high) : ERR_AGAIN;
}

/* Returns 0 for what librdkafka mends by itself when brokers, or topics, come back. */
static int on_error(struct kafka_results *results, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return out_of_range(results, message);
    int r = kafka_error_of(message->err);
    kafka_log(
        &results->config, LOG_WARNING, "kafka_results", "%s", rd_kafka_message_errstr(message));
    bool gone = message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
                message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    return r == ERR_AGAIN || gone ? 0 : r;
}

/* Takes one message in: keeps or destroys it. Returns 0, or KAFKA_FRAME_AWAITED: it is held. */
static int take_in(struct kafka_results *results, rd_kafka_message_t *message)
{
    bool at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    struct result_position *place = !message->err || at_end ? place_of(results, message) : NULL;
    int r = 0;
    if (message->err && !at_end)
        r = on_error(results, message);
    else if (!place)
        r = ERR_INTERNAL;
    else if (!at_end)
        r = take(results, message);
    if (r == KAFKA_FRAME_AWAITED) {
        results->held = message;
        return r;
    }
    if (r == 0 && place)
        move(results, place, at_end ? message->offset : message->offset + 1);
    if (r < 0 || message->err)
        rd_kafka_message_destroy(message);
    return r;
}

/* The time goes with every results, and now and then without, so that an idle sink does not age. */
static void tell_time(struct kafka_results *results, struct result_position *out)
{
    if (results->count > 0 || wall_ms() - results->seen > SEEN_EVERY_MS)
        results->seen = wall_ms();
    *out = (struct result_position){.partition = 0, .next = results->seen};
    seen_name(&results->config, out->topic);
}

static size_t tell_positions(struct kafka_results *results)
{
    size_t count = 0;
    for (size_t i = 0; i < results->positions_count; i++) {
        if (!results->moved[i])
            continue;
        results->told[count++] = results->positions[i];
        /* An empty batch need not be stored; what moved is told again with the next results. */
        results->moved[i] = results->count == 0;
    }
    tell_time(results, &results->told[count]);
    return count + 1;
}

/* What comes next: the held message once its schema may be known. */
static rd_kafka_message_t *poll_next(struct kafka_results *results, int wait_ms)
{
    rd_kafka_message_t *message = results->held;
    if (!message)
        return rd_kafka_consumer_poll(results->client.rk, wait_ms);
    if (!kafka_frame_wait(&results->frame, wait_ms))
        return NULL;
    results->held = NULL;
    return message;
}

/* Fills a batch. Waits for the first record only: those after it are in the queue, or come next
 * time. */
static int fill(struct kafka_results *results, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms;
    while (results->count < results->config.batch_records_max) {
        int64_t left = results->count > 0 ? 0 : end - now_ms();
        rd_kafka_message_t *message = poll_next(results, left > 0 ? (int)left : 0);
        if (!message && (results->count > 0 || now_ms() >= end))
            return 0;
        int r = message ? take_in(results, message) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int next(struct result_source *base, int timeout_ms, struct result_batch *batch)
{
    struct kafka_results *results = (struct kafka_results *)base;
    release(results);
    if (results->failure == 0)
        results->failure = fill(results, timeout_ms);
    /* Positions have moved past records that this batch does not hand out: there is no going on. */
    if (results->failure < 0)
        return results->failure;
    *batch = (struct result_batch){.results = results->results,
        .results_count = results->count,
        .positions = results->told,
        .positions_count = tell_positions(results),
        .begins_anew = results->anew};
    results->anew = false;
    return 0;
}

/* Takes the reply to what was told last. */
static void wait_told(struct kafka_results *results, int timeout_ms)
{
    rd_kafka_event_t *event =
        results->telling ? rd_kafka_queue_poll(results->replies, timeout_ms) : NULL;
    if (!event)
        return;
    results->telling = false;
    rd_kafka_event_destroy(event);
}

/* Tells the brokers where the sink stands, for those who watch: nothing rests on it. */
static int ack(struct result_source *base)
{
    struct kafka_results *results = (struct kafka_results *)base;
    rd_kafka_topic_partition_list_t *parts =
        rd_kafka_topic_partition_list_new((int)results->positions_count);
    for (size_t i = 0; i < results->positions_count; i++) {
        const struct result_position *position = &results->positions[i];
        rd_kafka_topic_partition_list_add(parts, position->topic, position->partition)->offset =
            position->next;
    }
    wait_told(results, 0);
    if (!results->telling)
        results->telling =
            !rd_kafka_commit_queue(results->client.rk, parts, results->replies, NULL, NULL);
    rd_kafka_topic_partition_list_destroy(parts);
    return 0;
}

static void source_close(struct result_source *base)
{
    struct kafka_results *results = (struct kafka_results *)base;
    if (!results)
        return;
    release(results);
    if (results->held)
        rd_kafka_message_destroy(results->held);
    wait_told(results, TOLD_MS); /* no longer: brokers that are away keep nobody */
    if (results->replies)
        rd_kafka_queue_destroy(results->replies);
    kafka_client_close(&results->client);
    kafka_client_close(&results->ends);
    kafka_frame_fini(&results->frame);
    arena_free(&results->translated);
    free(results->messages);
    free(results->results);
    free(results->positions);
    free(results->moved);
    free(results->told);
    free(results);
}

/* ---- opening ---- */

static void on_end(void *owner, enum topic topic, int32_t partition, int64_t end)
{
    const struct kafka_results *results = owner;
    if (!results->positions || partition >= results->layout.partitions[topic])
        return;
    int64_t next = results->positions[results->first[topic] + (size_t)partition].next;
    metrics_set(results->config.metrics, METRIC_CONSUMER_LAG, (int)topic,
        metrics_partition(partition), end > next ? end - next : 0);
}

static int make_positions(struct kafka_results *results)
{
    size_t count = 0;
    for (size_t i = 0; i < TOPICS; i++)
        count += (size_t)results->layout.partitions[topics[i]];
    results->positions = calloc(count, sizeof *results->positions);
    results->told = calloc(count + 1, sizeof *results->told);
    results->moved = calloc(count, sizeof *results->moved);
    if (!results->positions || !results->told || !results->moved)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < TOPICS; i++) {
        results->first[topics[i]] = results->positions_count;
        for (int32_t p = 0; p < results->layout.partitions[topics[i]]; p++) {
            struct result_position *position = &results->positions[results->positions_count++];
            kafka_topic_name(&results->config, topics[i], position->topic);
            position->partition = p;
        }
    }
    return 0;
}

static const struct result_position *stored_place(
    const struct result_position *stored, size_t count, const struct result_position *place)
{
    for (size_t i = 0; i < count; i++)
        if (stored[i].partition == place->partition && strcmp(stored[i].topic, place->topic) == 0)
            return &stored[i];
    return NULL;
}

/* Whether the sink stopped so long ago that tombstones may have gone since. */
static bool too_old(
    const struct kafka_config *config, const struct result_position *stored, size_t count)
{
    struct result_position seen = {.partition = 0};
    seen_name(config, seen.topic);
    const struct result_position *last = stored_place(stored, count, &seen);
    int64_t age = last ? wall_ms() - last->next : INT64_MAX;
    return age > KAFKA_COPY_AGE_MS_MAX || age < -KAFKA_COPY_AGE_MS_MAX;
}

static int start_position(struct kafka_results *results, struct result_position *position,
    const struct result_position *stored)
{
    int64_t low;
    int64_t high;
    int r = kafka_client_ends(&results->client, position->topic, position->partition, &low, &high);
    if (r < 0)
        return r;
    int64_t next = stored ? stored->next : 0;
    if (next > high)
        return say_anew(results, stored, high);
    position->next = next < low ? low : next;
    return 0;
}

static int assign(struct kafka_results *results, const struct result_position *stored, size_t count)
{
    rd_kafka_topic_partition_list_t *parts =
        rd_kafka_topic_partition_list_new((int)results->positions_count);
    int r = 0;
    for (size_t i = 0; i < results->positions_count && r == 0; i++) {
        struct result_position *position = &results->positions[i];
        r = start_position(results, position, stored_place(stored, count, position));
        rd_kafka_topic_partition_list_add(parts, position->topic, position->partition)->offset =
            position->next;
    }
    if (r == 0)
        r = kafka_error_of(rd_kafka_assign(results->client.rk, parts));
    rd_kafka_topic_partition_list_destroy(parts);
    return r;
}

int kafka_results_open(const struct kafka_config *config, const struct result_position *positions,
    size_t count, struct result_source **out)
{
    struct kafka_results *results = calloc(1, sizeof *results);
    if (!results)
        return ERR_NO_MEMORY;
    results->base = (struct result_source){.next = next, .ack = ack, .close = source_close};
    results->config = *config;
    results->frame.config = &results->config;
    results->messages = calloc(config->batch_records_max, sizeof *results->messages);
    results->results = calloc(config->batch_records_max, sizeof *results->results);
    int r = results->messages && results->results ? 0 : ERR_NO_MEMORY;
    if (r == 0)
        r = kafka_client_open(&results->client, &results->config, KAFKA_ROLE_RESULTS,
            &(struct kafka_callbacks){.owner = results, .end = on_end});
    if (r == 0)
        results->replies = rd_kafka_queue_new(results->client.rk);
    if (r == 0)
        r = kafka_layout_get(&results->client, KAFKA_ANSWER_MS, &results->layout);
    if (r == 0)
        r = kafka_layout_check(config, &results->layout);
    if (r == 0)
        r = make_positions(results);
    if (r == 0 && count > 0 && too_old(config, positions, count)) {
        kafka_log(
            config, LOG_NOTICE, "kafka_results", "too long away, or no time known: begins anew");
        results->anew = true;
        count = 0;
    }
    if (r == 0)
        r = assign(results, positions, count);
    if (r < 0) {
        source_close(&results->base);
        return r;
    }
    *out = &results->base;
    return 0;
}

int kafka_results_caught_up(struct result_source *base, int timeout_ms)
{
    struct kafka_results *results = (struct kafka_results *)base;
    if (!results->ends.rk) {
        int r = kafka_client_open(&results->ends, &results->config, KAFKA_ROLE_END, NULL);
        if (r < 0)
            return r;
    }
    int64_t until = now_ms() + timeout_ms;
    for (size_t i = 0; i < results->positions_count; i++) {
        const struct result_position *position = &results->positions[i];
        int64_t low;
        int64_t high;
        int r =
            kafka_client_ends(&results->ends, position->topic, position->partition, &low, &high);
        if (r < 0)
            return r;
        if (low < high && position->next < high)
            return KAFKA_BUSY;
        if (now_ms() > until)
            return ERR_AGAIN;
    }
    return 0;
}

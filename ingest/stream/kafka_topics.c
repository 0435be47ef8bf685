/*
 * Creates topics, and watches whether their readers have come to the end.
 */
#include "ingest/stream/kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_topic_report.h"

#define LOOK_MS 50 /* between looks for topics just made */

static rd_kafka_NewTopic_t *topic_wanted(const struct kafka_config *config, enum topic topic)
{
    char name[KAFKA_TOPIC_SIZE_MAX];
    char text[256];
    kafka_topic_name(config, topic, name);
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(name, kafka_topic_partitions_wanted(config, topic),
            config->replication_factor, text, sizeof text);
    if (!wanted) {
        kafka_log(config, LOG_ERR, "kafka_topics", "%s: %s", name, text);
        return NULL;
    }
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++) {
        char value[KAFKA_SETTING_SIZE_MAX];
        enum kafka_topic_setting setting = (enum kafka_topic_setting)s;
        kafka_topic_wanted(config, topic, setting, value);
        if (value[0] &&
            rd_kafka_NewTopic_set_config(wanted, kafka_topic_setting_name(setting), value)) {
            rd_kafka_NewTopic_destroy(wanted);
            return NULL;
        }
    }
    return wanted;
}

static int creation_result(const struct kafka_config *config, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code) {
        kafka_log(config, LOG_ERR, "kafka_topics", "%s", rd_kafka_event_error_string(event));
        return kafka_error_of(code);
    }
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        code = rd_kafka_topic_result_error(topics[i]);
        if (!code || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            continue;
        const char *why = rd_kafka_topic_result_error_string(topics[i]);
        kafka_log(config, LOG_ERR, "kafka_topics", "%s: %s", rd_kafka_topic_result_name(topics[i]),
            why ? why : rd_kafka_err2str(code));
        r = kafka_error_of(code);
    }
    return r;
}

static int create(
    struct kafka_client *client, rd_kafka_NewTopic_t **wanted, size_t count, int timeout_ms)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    char text[256];
    int r = ERR_CONFIG;
    if (!rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text) &&
        !rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof text)) {
        rd_kafka_CreateTopics(client->rk, wanted, count, options, queue);
        /* The request ends by itself within its timeout; the event always comes. */
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
        r = creation_result(client->config, event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return r;
}

static int create_missing(struct kafka_client *client, int timeout_ms)
{
    struct kafka_layout layout;
    int r = kafka_layout_get(client, timeout_ms, &layout);
    if (r < 0)
        return r;
    rd_kafka_NewTopic_t *wanted[TOPIC_COUNT];
    size_t count = 0;
    for (int i = 0; i < TOPIC_COUNT && r == 0; i++) {
        if (layout.partitions[i] > 0)
            continue;
        wanted[count] = topic_wanted(client->config, (enum topic)i);
        if (wanted[count])
            count++;
        else
            r = ERR_CONFIG;
    }
    if (r == 0 && count > 0)
        r = create(client, wanted, count, timeout_ms);
    rd_kafka_NewTopic_destroy_array(wanted, count);
    return r;
}

static int count_missing(const struct kafka_layout *layout)
{
    int missing = 0;
    for (int i = 0; i < TOPIC_COUNT; i++)
        missing += layout->partitions[i] == 0;
    return missing;
}

/* A topic is known to all brokers some time after it was made. */
static int await_topics(struct kafka_client *client, int timeout_ms, struct kafka_layout *layout)
{
    for (int waited = 0;; waited += LOOK_MS) {
        int r = kafka_layout_get(client, timeout_ms, layout);
        if (r < 0 || count_missing(layout) == 0 || waited >= timeout_ms)
            return r;
        const struct timespec pause = {.tv_nsec = (long)LOOK_MS * 1000000};
        nanosleep(&pause, NULL);
    }
}

int kafka_topics_create(const struct kafka_config *config, int timeout_ms)
{
    struct kafka_client client;
    struct kafka_layout layout;
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = create_missing(&client, timeout_ms);
    if (r == 0)
        r = await_topics(&client, timeout_ms, &layout);
    if (r == 0)
        r = kafka_layout_check(config, &layout);
    kafka_client_close(&client);
    return r;
}

int kafka_topics_partitions(
    const struct kafka_config *config, int timeout_ms, int32_t out[TOPIC_COUNT])
{
    struct kafka_client client;
    struct kafka_layout layout;
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = kafka_layout_get(&client, timeout_ms, &layout);
    kafka_client_close(&client);
    if (r == 0)
        memcpy(out, layout.partitions, sizeof layout.partitions);
    return r;
}

/* ---- quiet ---- */

struct kafka_watch {
    struct kafka_config config;
    struct kafka_client client;
    rd_kafka_topic_partition_list_t *inputs;
};

static const enum topic inputs[] = {TOPIC_EVENTS, TOPIC_IDENTITY, TOPIC_JOURNEY};

int kafka_watch_open(const struct kafka_config *config, struct kafka_watch **out)
{
    struct kafka_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return ERR_NO_MEMORY;
    watch->config = *config;
    struct kafka_layout layout;
    int r = kafka_client_open(&watch->client, &watch->config, KAFKA_ROLE_END, NULL);
    if (r == 0)
        r = kafka_layout_get(&watch->client, KAFKA_ANSWER_MS, &layout);
    if (r == 0)
        r = kafka_layout_check(config, &layout);
    if (r < 0) {
        kafka_watch_close(&watch);
        return r;
    }
    watch->inputs = rd_kafka_topic_partition_list_new(0);
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(config, inputs[i], name);
        for (int32_t p = 0; p < layout.partitions[inputs[i]]; p++)
            rd_kafka_topic_partition_list_add(watch->inputs, name, p);
    }
    *out = watch;
    return 0;
}

int kafka_watch_quiet(struct kafka_watch *watch, int timeout_ms)
{
    /* Committed offsets first, then the ends, which only rise: when each pair is equal, all were
     * consumed at the moment between. The ends count open transactions, so that mail which is
     * committed with its input but not yet visible is not overlooked. */
    rd_kafka_resp_err_t code = rd_kafka_committed(watch->client.rk, watch->inputs, timeout_ms);
    if (code)
        return kafka_error_of(code);
    for (int i = 0; i < watch->inputs->cnt; i++) {
        const rd_kafka_topic_partition_t *input = &watch->inputs->elems[i];
        int64_t low;
        int64_t high;
        if (input->err)
            return kafka_error_of(input->err);
        int r = kafka_client_ends(&watch->client, input->topic, input->partition, &low, &high);
        if (r < 0)
            return r;
        if (low < high && input->offset < high)
            return KAFKA_BUSY;
    }
    return 0;
}

void kafka_watch_close(struct kafka_watch **watch)
{
    if (!*watch)
        return;
    if ((*watch)->inputs)
        rd_kafka_topic_partition_list_destroy((*watch)->inputs);
    kafka_client_close(&(*watch)->client);
    free(*watch);
    *watch = NULL;
}

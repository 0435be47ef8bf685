/* Takes a generation of topics away. */
#include <syslog.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"

static int deletion_result(const struct kafka_config *config, rd_kafka_event_t *event, int *count)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code) {
        kafka_log(config, LOG_ERR, "kafka_topics", "%s", rd_kafka_event_error_string(event));
        return kafka_error_of(code);
    }
    size_t topics_count = 0;
    const rd_kafka_topic_result_t **topics = rd_kafka_DeleteTopics_result_topics(
        rd_kafka_event_DeleteTopics_result(event), &topics_count);
    int r = 0;
    for (size_t i = 0; i < topics_count; i++) {
        code = rd_kafka_topic_result_error(topics[i]);
        *count += code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!code || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            continue;
        kafka_log(config, LOG_ERR, "kafka_topics", "%s: %s", rd_kafka_topic_result_name(topics[i]),
            rd_kafka_err2str(code));
        r = kafka_error_of(code);
    }
    return r;
}

static int delete_topics(struct kafka_client *client, rd_kafka_DeleteTopic_t **gone, size_t size,
    int timeout_ms, int *count)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client->rk, RD_KAFKA_ADMIN_OP_DELETETOPICS);
    char text[256];
    int r = ERR_CONFIG;
    if (!rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text) &&
        !rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof text)) {
        rd_kafka_DeleteTopics(client->rk, gone, size, options, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
        r = deletion_result(client->config, event, count);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return r;
}

int kafka_topics_delete(const struct kafka_config *config, int timeout_ms, int *count)
{
    struct kafka_client client;
    struct kafka_layout layout;
    rd_kafka_DeleteTopic_t *gone[TOPIC_COUNT];
    size_t size = 0;
    *count = 0;
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = kafka_layout_get(&client, timeout_ms, &layout);
    for (int i = 0; r == 0 && i < TOPIC_COUNT; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        if (layout.partitions[i] == 0)
            continue;
        kafka_topic_name(config, (enum topic)i, name);
        gone[size++] = rd_kafka_DeleteTopic_new(name);
    }
    if (r == 0 && size)
        r = delete_topics(&client, gone, size, timeout_ms, count);
    rd_kafka_DeleteTopic_destroy_array(gone, size);
    kafka_client_close(&client);
    return r;
}

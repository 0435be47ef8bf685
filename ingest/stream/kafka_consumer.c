/* See the header. */
#include "ingest/stream/kafka_consumer.h"

#include <syslog.h>

#include "ingest/stream/kafka_error.h"
#include "schemas/error.h"

#define SEEK_TRIES 100
#define SEEK_PAUSE_MS 100

int kafka_consumer_subscribe(struct kafka_client *consumer, const bool topics_read[TOPIC_COUNT])
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(0);
    for (int t = 0; t < TOPIC_COUNT; t++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(consumer->config, (enum topic)t, name);
        if (topics_read[t])
            rd_kafka_topic_partition_list_add(topics, name, RD_KAFKA_PARTITION_UA);
    }
    int r = kafka_error_of(rd_kafka_subscribe(consumer->rk, topics));
    rd_kafka_topic_partition_list_destroy(topics);
    return r;
}

static int seek(struct kafka_client *consumer, rd_kafka_topic_partition_list_t *parts)
{
    rd_kafka_error_t *failure = rd_kafka_seek_partitions(consumer->rk, parts, KAFKA_ANSWER_MS);
    if (failure) {
        int r = kafka_error_of(rd_kafka_error_code(failure));
        rd_kafka_error_destroy(failure);
        return r;
    }
    for (int i = 0; i < parts->cnt; i++)
        if (parts->elems[i].err)
            return kafka_error_of(parts->elems[i].err);
    return 0;
}

int kafka_consumer_seek(struct kafka_client *consumer, rd_kafka_topic_partition_list_t *parts,
    const uint64_t *generation)
{
    uint64_t before = *generation;
    int r = ERR_AGAIN;
    for (int turn = 0; turn < SEEK_TRIES && r == ERR_AGAIN; turn++) {
        r = seek(consumer, parts);
        rd_kafka_message_t *message =
            r == ERR_AGAIN ? rd_kafka_consumer_poll(consumer->rk, SEEK_PAUSE_MS) : NULL;
        if (message)
            rd_kafka_message_destroy(message);
        if (before != *generation)
            r = KAFKA_BUSY;
    }
    return r;
}

int kafka_consumer_pause(
    struct kafka_client *consumer, const rd_kafka_message_t *message, bool paused)
{
    rd_kafka_topic_partition_list_t *part = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(part, rd_kafka_topic_name(message->rkt), message->partition);
    rd_kafka_resp_err_t code = paused ? rd_kafka_pause_partitions(consumer->rk, part)
                                      : rd_kafka_resume_partitions(consumer->rk, part);
    if (!code)
        code = part->elems[0].err;
    rd_kafka_topic_partition_list_destroy(part);
    return kafka_error_of(code);
}

int kafka_consumer_error(struct kafka_client *consumer, const rd_kafka_message_t *message)
{
    kafka_log(consumer->config, LOG_WARNING, "kafka_consumer", "%s: %s",
        rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__FATAL: /* another process has this one's slot, on another machine */
        return rd_kafka_fatal_error(consumer->rk, NULL, 0) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                   ? ERR_FENCED
                   : ERR_KAFKA;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return ERR_AUTH;
    default:
        return 0; /* librdkafka goes on by itself */
    }
}

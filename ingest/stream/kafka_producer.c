/* See the header. Invariant: `begun` is set exactly while librdkafka may hold an open transaction.
 */
#include "ingest/stream/kafka_producer.h"

#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_frame.h"

#define CALL_MS 15000   /* one call; under transaction.timeout.ms */
#define LAST_MS 3000    /* an abort of who is to stop: brokers end the transaction anyway */
#define REPEAT_MS 20000 /* repetitions of one call, all together */
#define PAUSE_MS 50     /* between repetitions */
#define REPORTS_EVERY 1024

/* Goes on while the machine sleeps, as the coordinator's clock does. */
static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    const struct kafka_client *client = opaque;
    struct kafka_producer *producer = client->owner;
    struct kafka_mark *mark = message->_private;
    if (message->err) {
        if (!producer->failed)
            producer->failed = message->err;
        return;
    }
    if (mark && message->offset + 1 > mark->next)
        mark->next = message->offset + 1;
}

/* What a call wants besides the handle. */
struct wanted {
    const rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_t *consumer;
};

static rd_kafka_error_t *plain_error(rd_kafka_t *rk, rd_kafka_resp_err_t code)
{
    return code ? rd_kafka_error_new(code, "%s", rd_kafka_err2str(code)) : NULL;
}

static rd_kafka_error_t *send_offsets(rd_kafka_t *rk, const struct wanted *wanted)
{
    /* Fresh each time: metadata of an older generation would let a zombie commit. */
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(wanted->consumer);
    if (!group)
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, "not in a group");
    rd_kafka_error_t *failure =
        rd_kafka_send_offsets_to_transaction(rk, wanted->offsets, group, CALL_MS);
    rd_kafka_consumer_group_metadata_destroy(group);
    return failure;
}

static rd_kafka_error_t *call(
    struct kafka_producer *producer, enum kafka_operation operation, const struct wanted *wanted)
{
    const struct kafka_config *config = producer->client.config;
    rd_kafka_t *rk = producer->client.rk;
    bool stopping = config->stopping && config->stopping();
    switch (operation) {
    case KAFKA_INIT:
        return rd_kafka_init_transactions(rk, CALL_MS);
    case KAFKA_BEGIN:
        return rd_kafka_begin_transaction(rk);
    case KAFKA_FLUSH:
        return plain_error(rk, rd_kafka_flush(rk, CALL_MS));
    case KAFKA_SEND_OFFSETS:
        return send_offsets(rk, wanted);
    case KAFKA_COMMIT:
        return rd_kafka_commit_transaction(rk, CALL_MS);
    case KAFKA_ABORT:
        return rd_kafka_abort_transaction(rk, stopping ? LAST_MS : CALL_MS);
    case KAFKA_PRODUCE:
    case KAFKA_OPERATIONS:
        break;
    }
    check(false); /* not operations to be called */
    return NULL;
}

static const char *const operation_names[KAFKA_OPERATIONS] = {[KAFKA_INIT] = "init_transactions",
    [KAFKA_BEGIN] = "begin_transaction",
    [KAFKA_PRODUCE] = "produce",
    [KAFKA_FLUSH] = "flush",
    [KAFKA_SEND_OFFSETS] = "send_offsets",
    [KAFKA_COMMIT] = "commit_transaction",
    [KAFKA_ABORT] = "abort_transaction"};

/* A coordinator that has ended a transaction of itself, as none of ours came in time (the broker
 * was away, this process slept), refuses the rest of it as if another producer had come. That one
 * is ours to replace; within the time it is somebody else's. */
static bool outlived(const struct kafka_producer *producer)
{
    return producer->begun && now_ms() - producer->begun_ms >= producer->timeout_ms;
}

/* Turns an action that is no repetition (any more) into state and an error. */
static int give_up(struct kafka_producer *producer, enum kafka_operation operation,
    enum kafka_action action, int error)
{
    bool ending = operation == KAFKA_COMMIT || operation == KAFKA_ABORT;
    if (error == ERR_FENCED && outlived(producer)) {
        action = KAFKA_REPLACE;
        error = ERR_ABORT;
    }
    if (action == KAFKA_REPLACE || action == KAFKA_STOP || operation == KAFKA_ABORT ||
        (ending && action == KAFKA_REPEAT))
        producer->broken = true;
    if (action == KAFKA_REPEAT)
        return operation == KAFKA_INIT ? ERR_AGAIN : ERR_ABORT;
    return error;
}

static int perform(
    struct kafka_producer *producer, enum kafka_operation operation, const struct wanted *wanted)
{
    int64_t end = now_ms() + REPEAT_MS;
    for (;;) {
        int error;
        char text[256] = "";
        enum kafka_action action = kafka_error_take(
            operation, call(producer, operation, wanted), &error, text, sizeof text);
        if (action == KAFKA_GO_ON)
            return 0;
        kafka_log(producer->client.config, action == KAFKA_REPEAT ? LOG_INFO : LOG_WARNING,
            "kafka_transaction", "%s: %s", operation_names[operation], text);
        if (action != KAFKA_REPEAT || now_ms() >= end)
            return give_up(producer, operation, action, error);
        pause_ms(PAUSE_MS);
    }
}

/* The error of a delivery or of produce() itself. */
static int failed_delivery(struct kafka_producer *producer, rd_kafka_resp_err_t code)
{
    struct kafka_fault fault = {.operation = KAFKA_PRODUCE, .code = code};
    if (rd_kafka_fatal_error(producer->client.rk, NULL, 0)) {
        fault.fatal = true;
        fault.code = rd_kafka_fatal_error(producer->client.rk, NULL, 0);
    }
    int error;
    enum kafka_action action = kafka_error_action(&fault, &error);
    kafka_log(
        producer->client.config, LOG_WARNING, "kafka_delivery", "%s", rd_kafka_err2str(fault.code));
    return give_up(producer, KAFKA_PRODUCE, action, error);
}

static int read_timeout(struct kafka_producer *producer)
{
    char text[32];
    size_t size = sizeof text;
    if (rd_kafka_conf_get(rd_kafka_conf(producer->client.rk), "transaction.timeout.ms", text,
            &size) != RD_KAFKA_CONF_OK)
        return ERR_KAFKA;
    producer->timeout_ms = strtoll(text, NULL, 10);
    return 0;
}

int kafka_producer_open(struct kafka_producer *producer, const struct kafka_config *config,
    const struct kafka_layout *layout)
{
    *producer = (struct kafka_producer){.layout = *layout};
    const struct kafka_callbacks callbacks = {.owner = producer, .delivered = delivered};
    int r = kafka_client_open(&producer->client, config, KAFKA_ROLE_PRODUCER, &callbacks);
    for (int i = 0; i < TOPIC_COUNT && r == 0; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(config, (enum topic)i, name);
        producer->topics[i] = rd_kafka_topic_new(producer->client.rk, name, NULL);
        r = producer->topics[i] ? 0 : ERR_KAFKA;
    }
    if (r == 0)
        r = read_timeout(producer);
    if (r == 0)
        r = perform(producer, KAFKA_INIT, NULL);
    if (r < 0)
        kafka_producer_close(producer);
    return r;
}

void kafka_producer_close(struct kafka_producer *producer)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (producer->topics[i])
            rd_kafka_topic_destroy(producer->topics[i]);
        producer->topics[i] = NULL;
    }
    if (producer->client.rk && producer->begun)
        rd_kafka_purge(producer->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    kafka_client_close(&producer->client);
    buf_free(&producer->framed);
    producer->begun = false;
    producer->broken = true;
}

int kafka_producer_begin(struct kafka_producer *producer)
{
    check(!producer->begun && !producer->broken);
    producer->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    int r = perform(producer, KAFKA_BEGIN, NULL);
    if (r < 0)
        return r;
    producer->begun = true;
    producer->begun_ms = now_ms();
    return 0;
}

/* Waits while the producer's queue is full. */
static int hand_over(struct kafka_producer *producer, enum topic topic, int32_t partition,
    struct str key, struct str payload, struct kafka_mark *mark)
{
    int64_t end = 0;
    for (;;) {
        if (rd_kafka_produce(producer->topics[topic], partition, RD_KAFKA_MSG_F_COPY,
                (void *)(uintptr_t)payload.data, payload.size, key.data, key.size, mark) == 0)
            return 0;
        rd_kafka_resp_err_t code = rd_kafka_last_error();
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return failed_delivery(producer, code);
        end = end ? end : now_ms() + REPEAT_MS;
        if (now_ms() >= end)
            return failed_delivery(producer, code);
        rd_kafka_poll(producer->client.rk, PAUSE_MS);
    }
}

/* The value behind its frame, in the producer's buffer. librdkafka copies it into its message: one
 * block of memory a record, that another thread gives back, instead of two. */
static int frame_value(struct kafka_producer *producer, uint32_t id, struct str *value)
{
    char frame[KAFKA_FRAME_SIZE];
    kafka_frame_put(id, frame);
    buf_clear(&producer->framed);
    int r = buf_append(&producer->framed, frame, sizeof frame);
    if (r == 0)
        r = buf_append_str(&producer->framed, *value);
    if (r == 0)
        *value = buf_str(&producer->framed);
    return r;
}

int kafka_producer_send(struct kafka_producer *producer, enum topic topic, int32_t partition,
    struct str key, struct str value, struct kafka_mark *mark)
{
    check(producer->begun);
    int r = 0;
    if (value.data) {
        uint32_t id = kafka_frame_id(producer->client.config, topic, key, value.size);
        if (kafka_frame_size(id) + value.size > KAFKA_VALUE_SIZE_MAX)
            return ERR_TOO_LARGE;
        r = kafka_frame_size(id) ? frame_value(producer, id, &value) : 0;
    }
    if (r == 0)
        r = hand_over(producer, topic, partition, key, value, mark);
    if (r == 0 && ++producer->sent % REPORTS_EVERY == 0)
        rd_kafka_poll(producer->client.rk, 0);
    return r;
}

int kafka_producer_commit(struct kafka_producer *producer, rd_kafka_t *consumer,
    const rd_kafka_topic_partition_list_t *offsets)
{
    check(producer->begun);
    const struct wanted wanted = {.offsets = offsets, .consumer = consumer};
    /* Flushed here, so that a timeout of commit_transaction() can only be that of EndTxn. */
    int r = perform(producer, KAFKA_FLUSH, NULL);
    if (r == 0 && producer->failed)
        r = failed_delivery(producer, producer->failed);
    if (r == 0)
        r = FAULT_POINT("kafka_flushed");
    if (r == 0)
        r = perform(producer, KAFKA_SEND_OFFSETS, &wanted);
    if (r == 0)
        r = FAULT_POINT("kafka_offsets_sent");
    if (r == 0)
        r = perform(producer, KAFKA_COMMIT, NULL);
    if (r < 0)
        return r;
    producer->begun = false;
    return FAULT_POINT("kafka_committed") == 0 ? 0 : ERR_ABORT;
}

int kafka_producer_abort(struct kafka_producer *producer)
{
    if (!producer->begun || producer->broken)
        return 0;
    int r = perform(producer, KAFKA_ABORT, NULL);
    if (r == 0)
        producer->begun = false;
    return r;
}

int kafka_producer_replace(struct kafka_producer *producer)
{
    const struct kafka_config *config = producer->client.config;
    const struct kafka_layout layout = producer->layout;
    kafka_producer_close(producer);
    return kafka_producer_open(producer, config, &layout);
}

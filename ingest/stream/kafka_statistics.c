/* See the header. */
#include "ingest/stream/kafka_statistics.h"

#include "ingest/stream/kafka_client.h"

/* Times are in microseconds. */
static const struct {
    const char *member;
    enum metric_id metric;
} of_broker[] = {
    {"txbytes", METRIC_KAFKA_BROKER_SENT_BYTES},
    {"rxbytes", METRIC_KAFKA_BROKER_RECEIVED_BYTES},
    {"tx", METRIC_KAFKA_BROKER_REQUESTS},
    {"req_timeouts", METRIC_KAFKA_BROKER_TIMEOUTS},
};

static bool get_number(struct json object, struct str member, int64_t *out)
{
    struct json value;
    if (!json_get(object, member, &value) || json_kind(value) != JSON_INT)
        return false;
    *out = json_int(value);
    return true;
}

static int64_t number_or_0(struct json object, struct str member)
{
    int64_t number = 0;
    return get_number(object, member, &number) ? number : 0;
}

static void take_broker(struct metrics *metrics, enum metric_client client, struct json broker)
{
    struct json name, state, rtt;
    /* Addresses that are only for finding the cluster, and the coordinators' second lives, are
     * those of brokers that are there by their own ids. */
    if (number_or_0(broker, STR("nodeid")) < 0 || !json_get(broker, STR("nodename"), &name) ||
        json_kind(name) != JSON_TEXT || json_text(name).size == 0 ||
        !json_get(broker, STR("source"), &state) || json_kind(state) != JSON_TEXT ||
        str_equal(json_text(state), STR("logical")))
        return;
    int id = metrics_broker(metrics, json_text(name));
    for (size_t i = 0; i < sizeof of_broker / sizeof *of_broker; i++)
        metrics_set(metrics, of_broker[i].metric, (int)client, id,
            number_or_0(broker, str_of(of_broker[i].member)));
    metrics_set(metrics, METRIC_KAFKA_BROKER_ERRORS, (int)client, id,
        number_or_0(broker, STR("txerrs")) + number_or_0(broker, STR("rxerrs")));
    bool up = json_get(broker, STR("state"), &state) && json_kind(state) == JSON_TEXT &&
              str_equal(json_text(state), STR("UP"));
    metrics_set(metrics, METRIC_KAFKA_BROKER_UP, (int)client, id, up);
    if (!json_get(broker, STR("rtt"), &rtt) || number_or_0(rtt, STR("cnt")) == 0)
        return; /* nothing was asked in the interval */
    metrics_set(
        metrics, METRIC_KAFKA_BROKER_RTT_SECONDS, (int)client, id, number_or_0(rtt, STR("avg")));
    metrics_set(metrics, METRIC_KAFKA_BROKER_RTT_P99_SECONDS, (int)client, id,
        number_or_0(rtt, STR("p99")));
}

/* What a handle has fetched, over all partitions. */
struct fetched {
    int64_t messages;
    int64_t bytes;
};

static void take_partition(
    struct json partition, int topic, struct fetched *fetched, kafka_end_fn *end, void *owner)
{
    int64_t number, stable;
    fetched->messages += number_or_0(partition, STR("fetchq_cnt"));
    fetched->bytes += number_or_0(partition, STR("fetchq_size"));
    if (end && topic >= 0 && get_number(partition, STR("partition"), &number) && number >= 0 &&
        get_number(partition, STR("ls_offset"), &stable) && stable >= 0)
        end(owner, (enum topic)topic, (int32_t)number, stable);
}

static void take_topics(const struct kafka_config *config, struct json topics,
    struct fetched *fetched, kafka_end_fn *end, void *owner)
{
    struct json_iterator each_topic, each_partition;
    struct json topic, partitions, partition, name;
    struct str key;
    json_iterate(topics, &each_topic);
    while (json_next(&each_topic, &key, &topic)) {
        char text[KAFKA_TOPIC_SIZE_MAX] = "";
        if (!json_get(topic, STR("topic"), &name) || json_kind(name) != JSON_TEXT ||
            json_text(name).size >= sizeof text || !json_get(topic, STR("partitions"), &partitions))
            continue;
        memcpy(text, json_text(name).data, json_text(name).size);
        json_iterate(partitions, &each_partition);
        while (json_next(&each_partition, &key, &partition))
            take_partition(partition, kafka_topic_of(config, text), fetched, end, owner);
    }
}

void kafka_statistics_take(const struct kafka_config *config, enum metric_client client,
    struct json_parser **parser, struct str text, kafka_end_fn *end, void *owner)
{
    struct metrics *metrics = config->metrics;
    struct json root, part, broker;
    struct json_iterator each;
    struct str key;
    struct fetched fetched = {.messages = 0};
    bool produces = client == METRIC_CLIENT_DOOR || client == METRIC_CLIENT_PRODUCER;
    if (!*parser && json_parser_new(parser) < 0)
        return;
    if (json_parse_unchecked(*parser, text, &root) < 0)
        return;
    if (produces) {
        metrics_set(metrics, METRIC_KAFKA_QUEUE_MESSAGES, (int)client, 0,
            number_or_0(root, STR("msg_cnt")));
        metrics_set(
            metrics, METRIC_KAFKA_QUEUE_BYTES, (int)client, 0, number_or_0(root, STR("msg_size")));
    }
    if (json_get(root, STR("brokers"), &part)) {
        json_iterate(part, &each);
        while (json_next(&each, &key, &broker))
            take_broker(metrics, client, broker);
    }
    if (produces || !json_get(root, STR("topics"), &part))
        return;
    take_topics(config, part, &fetched, end, owner);
    metrics_set(metrics, METRIC_KAFKA_FETCHED_MESSAGES, (int)client, 0, fetched.messages);
    metrics_set(metrics, METRIC_KAFKA_FETCHED_BYTES, (int)client, 0, fetched.bytes);
}

/* See the header. */
#include "ingest/stream/kafka_refuse.h"

#include <syslog.h>
#include <time.h>

#include "ingest/door.h"
#include "schemas/error.h"
#include "schemas/schema_set.h"

static int leave(const struct kafka_producer *producer, const rd_kafka_message_t *message)
{
    uint32_t id = 0;
    struct str body;
    int r = schema_frame_take(str_make(message->payload, message->len), &id, &body);
    kafka_log(producer->client.config, LOG_ERR, "kafka_newer", "%s %d at %lld has schema id %u",
        rd_kafka_topic_name(message->rkt), message->partition, (long long)message->offset, id);
    return r < 0 ? r : ERR_NEWER;
}

static int reject(struct kafka_producer *producer, const rd_kafka_message_t *message,
    enum topic topic, int why, struct arena *scratch)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct door_rejection rejection = {.source = str_of(topic_name(topic)),
        .stage = STR("kafka"),
        .payload = str_make(message->payload, message->len)};
    const struct event_problem problem = {
        .error = why, .hint = STR("not a value of this topic's schema in its wire format")};
    struct append_record record;
    int r = door_reject(
        &rejection, &problem, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, scratch, &record);
    return r < 0 ? r
                 : kafka_producer_send(producer, TOPIC_REJECTED,
                       topic_partition(record.key, producer->layout.partitions[TOPIC_REJECTED]),
                       record.key, record.value, NULL);
}

int kafka_refuse(struct kafka_producer *producer, const rd_kafka_message_t *message,
    enum topic topic, int why, struct arena *scratch)
{
    if (error_class(why) != ERROR_CLASS_REJECT)
        return why;
    bool mail = topic == TOPIC_IDENTITY || topic == TOPIC_JOURNEY;
    if (mail && why == ERR_SCHEMA_UNKNOWN)
        return leave(producer, message);
    int r = reject(producer, message, topic, why, scratch);
    arena_reset(scratch);
    return r;
}

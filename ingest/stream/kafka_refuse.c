/* See the header. */
#include "ingest/stream/kafka_refuse.h"

#include <syslog.h>
#include <time.h>

#include "ingest/door.h"
#include "ingest/rejection.h"
#include "schemas/error.h"
#include "schemas/schema_set.h"

#define HEADER_NAME "__value_schema_id"

static const char *hint_of(int why)
{
    switch (why) {
    case ERR_SCHEMA_UNKNOWN:
        return "the id before the value is of no schema that is known here";
    case ERR_SCHEMA_INCOMPATIBLE:
        return "the schema of the id before the value cannot be read as this topic's";
    case ERR_SCHEMA_IN_HEADER:
        return "ids in the header " HEADER_NAME " are not read: put it before the value (00, id)";
    case ERR_CRASHES:
        return "the worker's messages kafka_suspect say when; after a fix: tabiji rejected replay";
    default:
        return "not a value of this topic's schema in its wire format";
    }
}

static bool in_header(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_header_get_last(headers, HEADER_NAME, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR;
}

int kafka_refuse_read(struct kafka_frame *frame, const rd_kafka_message_t *message,
    enum topic topic, struct arena *scratch, struct record *out)
{
    *out = (struct record){.topic = topic,
        .partition = message->partition,
        .position = message->offset,
        .key = str_make(message->key, message->key_len)};
    if (topic == TOPIC_EVENTS && in_header(message))
        return ERR_SCHEMA_IN_HEADER;
    return kafka_frame_take(
        frame, topic, out->key, str_make(message->payload, message->len), scratch, &out->value);
}

/* Mail is for one group, which its value need not name. */
static int mail_pointer(const rd_kafka_message_t *message, struct arena *arena, struct str *out)
{
    size_t prefix = sizeof KAFKA_MAIL_POINTER - 1;
    char *text = arena_alloc(arena, prefix + 2 * message->key_len + 1);
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(text, KAFKA_MAIL_POINTER, prefix);
    hex_encode(message->key, message->key_len, text + prefix);
    *out = str_make(text, prefix + 2 * message->key_len);
    return 0;
}

static bool is_mail(enum topic topic)
{
    return topic == TOPIC_IDENTITY || topic == TOPIC_JOURNEY;
}

static int leave(const struct kafka_producer *producer, const rd_kafka_message_t *message)
{
    uint32_t id = 0;
    struct str body;
    int r = schema_frame_take(str_make(message->payload, message->len), &id, &body);
    kafka_log(producer->client.config, LOG_ERR, "kafka_newer", "%s %d at %lld has schema id %u",
        rd_kafka_topic_name(message->rkt), message->partition, (long long)message->offset, id);
    return r < 0 ? r : ERR_NEWER;
}

/* What does not say how often it was put in came for the first time. */
uint32_t kafka_refuse_attempt(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *value;
    size_t size;
    uint32_t attempt = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, KAFKA_ATTEMPT_HEADER, (const void **)&value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    for (size_t i = 0; i < size && value[i] >= '0' && value[i] <= '9'; i++)
        if (attempt <= REJECTION_ATTEMPT_MAX)
            attempt = attempt * 10 + (uint32_t)(value[i] - '0');
    return attempt < REJECTION_ATTEMPT_MAX ? attempt : REJECTION_ATTEMPT_MAX;
}

int kafka_refuse_make(const rd_kafka_message_t *message, enum topic topic, int why,
    struct arena *arena, struct append_record *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct door_rejection rejection = {.source = str_of(topic_name(topic)),
        .stage = STR("kafka"),
        .payload = str_make(message->payload, message->len),
        .attempt = kafka_refuse_attempt(message)};
    struct event_problem problem = {.error = why, .hint = str_of(hint_of(why))};
    int r = is_mail(topic) ? mail_pointer(message, arena, &problem.pointer) : 0;
    return r < 0 ? r
                 : door_reject(&rejection, &problem,
                       (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, arena, out);
}

static int reject(struct kafka_producer *producer, const rd_kafka_message_t *message,
    enum topic topic, int why, struct arena *scratch)
{
    struct append_record record;
    int r = kafka_refuse_make(message, topic, why, scratch, &record);
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
    if (is_mail(topic) && (why == ERR_SCHEMA_UNKNOWN || why == ERR_SCHEMA_INCOMPATIBLE))
        return leave(producer, message);
    if (is_mail(topic) && message->len > REJECTED_PAYLOAD_SIZE_MAX) {
        kafka_log(producer->client.config, LOG_ERR, "kafka_suspect",
            "%s %d at %lld is too long to be set aside", rd_kafka_topic_name(message->rkt),
            message->partition, (long long)message->offset);
        return ERR_INTERNAL;
    }
    int r = reject(producer, message, topic, why, scratch);
    arena_reset(scratch);
    return r;
}

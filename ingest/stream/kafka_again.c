/* See kafka.h. */
#include "ingest/normalise/namespace.h"
#include "ingest/stream/kafka_frame.h"
#include "schemas/event.h"
#include "schemas/hash.h"

#define WAIT_MS 200

/* The value of a framed record. */
static int take_value(const struct kafka_config *config, struct str framed, int timeout_ms,
    struct arena *arena, struct append_record *record)
{
    struct kafka_frame frame = {.config = config};
    int left = timeout_ms;
    int r;
    while ((r = kafka_frame_take(
                &frame, record->topic, record->key, framed, arena, &record->value)) > 0 &&
           left > 0)
        left -= kafka_frame_wait(&frame, WAIT_MS) ? 1 : WAIT_MS;
    kafka_frame_fini(&frame);
    return r > 0 ? ERR_AGAIN : r;
}

int kafka_event_take(const struct kafka_config *config, const struct namespace_table *namespaces,
    struct str framed, int timeout_ms, struct arena *arena, struct append_record *out)
{
    struct append_record record = {.topic = TOPIC_EVENTS, .key = STR("")};
    struct touchpoint event;
    struct node first;
    int r = take_value(config, framed, timeout_ms, arena, &record);
    if (r == 0)
        r = touchpoint_decode(&event, record.value, arena);
    if (r == 0)
        r = namespace_strongest(
            namespaces, event.identifiers, event.identifiers_count, arena, &first);
    if (r == 0)
        r = arena_dup(arena, str_make(first.id, KEY_SIZE), &record.key);
    if (r == 0)
        *out = record;
    return r;
}

int kafka_mail_take(const struct kafka_config *config, const struct kafka_mail *mail,
    int timeout_ms, struct arena *arena, struct append_record *out)
{
    struct append_record record = {.topic = mail->topic};
    size_t prefix = sizeof KAFKA_MAIL_POINTER - 1;
    if (!str_starts_with(mail->pointer, STR(KAFKA_MAIL_POINTER)) ||
        (mail->pointer.size - prefix) % 2 != 0)
        return ERR_STATE;
    size_t size = (mail->pointer.size - prefix) / 2;
    uint8_t *key = arena_alloc(arena, size + 1);
    if (!key)
        return ERR_NO_MEMORY;
    if (!hex_decode(str_make(mail->pointer.data + prefix, 2 * size), key, size))
        return ERR_STATE;
    record.key = str_make(key, size);
    int r = take_value(config, mail->framed, timeout_ms, arena, &record);
    if (r == 0)
        *out = record;
    return r;
}

/* See kafka.h. */
#include "ingest/normalise/namespace.h"
#include "ingest/stream/kafka_frame.h"
#include "schemas/event.h"

#define WAIT_MS 200

int kafka_event_take(const struct kafka_config *config, const struct namespace_table *namespaces,
    struct str framed, int timeout_ms, struct arena *arena, struct append_record *out)
{
    struct kafka_frame frame = {.config = config};
    struct append_record record = {.topic = TOPIC_EVENTS};
    struct touchpoint event;
    struct node first;
    int left = timeout_ms;
    int r;
    while (
        (r = kafka_frame_take(&frame, TOPIC_EVENTS, STR(""), framed, arena, &record.value)) > 0 &&
        left > 0)
        left -= kafka_frame_wait(&frame, WAIT_MS) ? 1 : WAIT_MS;
    kafka_frame_fini(&frame);
    if (r > 0)
        return ERR_AGAIN;
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

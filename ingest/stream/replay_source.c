/* See the header. */
#include "ingest/stream/replay_source.h"

#include "schemas/event.h"
#include "schemas/rejected.avro.h"

int replay_keep(struct arena *arena, const struct append_record *record, struct append_record *out)
{
    *out = (struct append_record){.topic = record->topic, .attempt = record->attempt};
    int r = arena_dup(arena, record->key, &out->key);
    return r < 0 ? r : arena_dup(arena, record->value, &out->value);
}

bool replay_received_before(
    enum topic topic, struct str value, int64_t time_micros, struct arena *scratch)
{
    struct touchpoint event;
    struct rejected rejected;
    bool before = false;
    if (time_micros == 0 || value.size == 0) /* that something is settled has no time */
        return false;
    if (topic == TOPIC_EVENTS)
        before = touchpoint_decode(&event, value, scratch) == 0 && event.received_at < time_micros;
    else
        before = rejected_decode(&rejected, value, scratch) == 0 && rejected.received_at &&
                 rejected.received_at < time_micros;
    arena_reset(scratch);
    return before;
}

/* Frames by topic, or by table where a topic carries several. */
#include "ingest/stream/kafka_frame.h"

#include "ingest/registry/schema_cache.h"
#include "ingest/stream/row_schema.h"
#include "schemas/schema_set.h"

_Static_assert(KAFKA_FRAME_SIZE == SCHEMA_FRAME_SIZE, "one frame");

/* The record within: of the topic, or of the row that the key names the table of. */
static struct row_schema schema_of(enum topic topic, struct str key, size_t value_size)
{
    struct row_schema row = {.id = row_schema_of_topic(topic)};
    if (row.id || key.size == 0 || (uint8_t)key.data[0] >= TABLE_COUNT)
        return row;
    enum table table = (enum table)key.data[0];
    if (table_topic(table) != topic || topic_table(topic) >= 0)
        return row;
    return row_schema(table, str_make(key.data + 1, key.size - 1), value_size);
}

/* Whether ids of the topic are the registry's. */
static bool registered(const struct kafka_config *config, enum topic topic)
{
    return config && config->schemas && config->schema_ids[topic];
}

uint32_t kafka_frame_id(
    const struct kafka_config *config, enum topic topic, struct str key, size_t value_size)
{
    if (registered(config, topic))
        return config->schema_ids[topic];
    return schema_of(topic, key, value_size).id;
}

size_t kafka_frame_size(uint32_t id)
{
    return id ? KAFKA_FRAME_SIZE : 0;
}

void kafka_frame_put(uint32_t id, char *out)
{
    if (id)
        schema_frame_put(id, (uint8_t *)out);
}

void kafka_frame_fini(struct kafka_frame *frame)
{
    translator_fini(&frame->translator);
}

/* What another version wrote. */
static int translate(struct kafka_frame *frame, const struct row_schema *own, uint32_t id,
    struct str body, struct arena *arena, struct str *value)
{
    const struct schema_entry *writer = schema_set_find(id);
    const struct schema_entry *present = schema_set_find(own->id);
    int r = ERR_SCHEMA_UNKNOWN;
    if (writer && present && str_equal(str_of(writer->name), str_of(present->name)))
        r = translator_value(&frame->translator, writer, body, own->begin, arena, value);
    if (r == ERR_SCHEMA_UNKNOWN)
        frame->unknown = id;
    return r;
}

/* ---- with a registry ---- */

/* Events may be written by anybody. What our own stages say to each other, and the tables, must be
 * understood whole: of those only versions that this build knows are read. A record's type tells
 * which it is. */
static int find_plan(
    struct kafka_frame *frame, enum topic topic, uint32_t id, const struct avro_type *type)
{
    if (frame->plan && frame->plan_id == id && frame->plan_type == type)
        return 0;
    frame->unknown = id;
    frame->plan_type = type;
    int r = schema_cache_find(frame->config->schemas, id, type, &frame->plan);
    if (r == 0 && topic != TOPIC_EVENTS && !schema_cache_known(frame->config->schemas, id, type))
        r = ERR_NEWER;
    if (r != 0)
        frame->plan = NULL;
    frame->plan_id = id;
    return r;
}

/* An id of the file, from before there was a registry. What is not of that schema is another's. */
static int take_filed(struct kafka_frame *frame, const struct row_schema *own, uint32_t id,
    struct str body, struct arena *arena, struct str *value)
{
    const struct schema_entry *present = schema_set_find(own->id);
    struct str taken = body;
    arena_reset(&frame->translator.scratch);
    int r = 0;
    if (id != own->id)
        r = translate(frame, own, id, body, arena, &taken);
    if (r < 0)
        return r;
    arena_reset(&frame->translator.scratch);
    void *record = arena_alloc(&frame->translator.scratch, present->type->size);
    if (!record)
        return ERR_NO_MEMORY;
    r = present->type->decode(record, taken, &frame->translator.scratch);
    if (r == 0)
        *value = taken;
    return r;
}

static int take_registered(struct kafka_frame *frame, enum topic topic, uint32_t id,
    struct str body, struct arena *arena, struct str *value)
{
    const struct row_schema own = {.id = row_schema_of_topic(topic)};
    const struct schema_entry *present = schema_set_find(own.id);
    int r = find_plan(frame, topic, id, present->type);
    if (r == 0 && avro_plan_is_plain(frame->plan))
        *value = body;
    else if (r == 0)
        return translator_plan(&frame->translator, frame->plan, present->type, body, arena, value);
    if (r == ERR_NEWER)
        return ERR_SCHEMA_UNKNOWN; /* of that record, so not of the file */
    if (r != ERR_SCHEMA_UNKNOWN && r != ERR_SCHEMA_INCOMPATIBLE)
        return r;
    int filed = take_filed(frame, &own, id, body, arena, value);
    return filed == 0 || filed == ERR_NO_MEMORY ? filed : r;
}

bool kafka_frame_wait(struct kafka_frame *frame, int timeout_ms)
{
    const struct avro_plan *plan; /* find_plan() judges it */
    return schema_cache_wait(frame->config->schemas, frame->plan_id, frame->plan_type, timeout_ms,
               &plan) != SCHEMA_CACHE_AWAITED;
}

int kafka_frame_take(struct kafka_frame *frame, enum topic topic, struct str key, struct str framed,
    struct arena *arena, struct str *value)
{
    uint32_t id;
    struct str body;
    struct row_schema own = schema_of(topic, key, framed.size);
    if (own.id == 0) {
        *value = framed;
        return 0;
    }
    int r = schema_frame_take(framed, &id, &body);
    if (r < 0)
        return ERR_AVRO; /* an empty value too: tombstones do not come here */
    bool of_registry = registered(frame->config, topic);
    if (of_registry && id != frame->config->schema_ids[topic])
        return take_registered(frame, topic, id, body, arena, value);
    if (!of_registry && id != own.id)
        return translate(frame, &own, id, body, arena, value);
    *value = body;
    return 0;
}

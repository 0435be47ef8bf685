/* Names are few and short: they are compared one by one. */
#include "ingest/collector/protocol/snowplow_fields.h"

#include <inttypes.h>
#include <stdio.h>

#include "ingest/collector/base64.h"
#include "schemas/error.h"

#define OTHERS_ROOM 8

static const struct {
    struct str pointer;
    enum snowplow_keep keep;
} known[SNOWPLOW_FIELD_COUNT] = {
#define X(symbol, name, kept) [SNOWPLOW_##symbol] = {STR_INIT("/" name), SNOWPLOW_KEEP_##kept},
    SNOWPLOW_FIELD_LIST(X)
#undef X
};

struct str snowplow_field_pointer(enum snowplow_field field)
{
    return known[field].pointer;
}

struct str snowplow_field_name(enum snowplow_field field)
{
    struct str pointer = known[field].pointer;
    return str_make(pointer.data + 1, pointer.size - 1);
}

enum snowplow_keep snowplow_field_keep(enum snowplow_field field)
{
    return known[field].keep;
}

static int field_of(struct str name)
{
    for (int i = 0; i < SNOWPLOW_FIELD_COUNT; i++)
        if (str_equal(snowplow_field_name((enum snowplow_field)i), name))
            return i;
    return -1;
}

static int set_other(
    struct snowplow_fields *fields, struct arena *arena, struct str name, struct str value)
{
    for (size_t i = 0; i < fields->others_count; i++)
        if (str_equal(fields->others[i].name, name)) {
            fields->others[i].value = value;
            return 0;
        }
    if (fields->others_count == fields->others_capacity) {
        size_t capacity = fields->others_capacity ? fields->others_capacity * 2 : OTHERS_ROOM;
        struct exchange_pair *list = arena_alloc(arena, capacity * sizeof *list);
        if (!list)
            return ERR_NO_MEMORY;
        if (fields->others_count)
            memcpy(list, fields->others, fields->others_count * sizeof *list);
        fields->others = list;
        fields->others_capacity = capacity;
    }
    fields->others[fields->others_count++] = (struct exchange_pair){name, value};
    return 0;
}

static int set(
    struct snowplow_fields *fields, struct arena *arena, struct str name, struct str value)
{
    int field = field_of(name);
    if (field < 0)
        return set_other(fields, arena, name, value);
    fields->values[field] = value;
    return 0;
}

/* Errors: ERR_FIELD_TYPE, ERR_NO_MEMORY. */
static int text_of(struct json value, struct arena *arena, struct str *out)
{
    _Static_assert(JSON_DOUBLE_SIZE_MAX >= 24, "room for an integer as well");
    char text[JSON_DOUBLE_SIZE_MAX];
    switch (json_kind(value)) {
    case JSON_NULL:
        *out = STR("");
        return 0;
    case JSON_TEXT:
        *out = json_text(value);
        return 0;
    case JSON_BOOL:
        *out = json_bool(value) ? STR("1") : STR("0"); /* as trackers write it */
        return 0;
    case JSON_INT: {
        int size = snprintf(text, sizeof text, "%" PRId64, json_int(value));
        return arena_dup(arena, str_make(text, (size_t)size), out);
    }
    case JSON_DOUBLE:
        return arena_dup(arena, str_make(text, json_format_double(json_double(value), text)), out);
    default:
        return ERR_FIELD_TYPE;
    }
}

static int canonical(struct json value, struct arena *arena, struct str *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = json_write_canonical(value, &text);
    return r < 0 ? r : arena_dup(arena, buf_str(&text), out);
}

int snowplow_fields_read(struct json object, struct arena *arena, struct snowplow_fields *out,
    struct event_problem *problem)
{
    struct json_iterator iterator;
    struct str name;
    struct json value;
    *out = (struct snowplow_fields){0};
    *problem = (struct event_problem){.error = ERR_FIELD_TYPE};
    if (json_kind(object) != JSON_OBJECT)
        return ERR_FIELD_TYPE;
    json_iterate(object, &iterator);
    while (json_next(&iterator, &name, &value)) {
        struct str text;
        int field = field_of(name);
        bool json =
            json_kind(value) == JSON_OBJECT && (field == SNOWPLOW_UE_PR || field == SNOWPLOW_CO);
        int r = json ? canonical(value, arena, &text) : text_of(value, arena, &text);
        if (r == ERR_FIELD_TYPE && field >= 0)
            problem->pointer = snowplow_field_pointer((enum snowplow_field)field);
        if (r == ERR_FIELD_TYPE)
            problem->hint = STR("values are texts");
        if (r == 0)
            r = set(out, arena, name, text);
        if (r < 0)
            return r;
    }
    return 0;
}

int snowplow_fields_merge(struct snowplow_fields *fields, const struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->query_count; i++) {
        const struct exchange_pair *pair = &exchange->query[i];
        bool own = str_equal(pair->name, STR("nuid")) && fields->values[SNOWPLOW_NUID].size;
        if (own || str_equal(pair->name, STR("writeKey")))
            continue;
        int r = set(fields, exchange->arena, pair->name, pair->value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_name(struct buf *out, struct str name)
{
    int r = buf_append(out, out->size ? "," : "{", 1);
    if (r == 0)
        r = json_write_text(out, name);
    return r < 0 ? r : buf_append(out, ":", 1);
}

static int write_member(struct buf *out, struct str name, struct str value)
{
    int r = write_name(out, name);
    return r < 0 ? r : json_write_text(out, value);
}

int snowplow_field_json(const struct snowplow_fields *fields, enum snowplow_field field,
    struct arena *arena, struct str *out)
{
    struct str text = fields->values[field];
    size_t size = 0;
    *out = text;
    if (field != SNOWPLOW_UE_PX && field != SNOWPLOW_CX)
        return 0;
    char *room = arena_alloc(arena, BASE64_SIZE_MAX(text.size));
    if (!room)
        return ERR_NO_MEMORY;
    int r = base64_decode(text, room, BASE64_SIZE_MAX(text.size), &size);
    if (r == 0)
        *out = str_make(room, size);
    return r;
}

/* The field, unless it is absent or the plain form of one that is there as base64. */
static int write_field(const struct snowplow_fields *fields, enum snowplow_field field,
    struct json_parser *parser, struct arena *arena, struct buf *out)
{
    static const enum snowplow_field plain_of[SNOWPLOW_FIELD_COUNT] = {
        [SNOWPLOW_UE_PR] = SNOWPLOW_UE_PR,
        [SNOWPLOW_UE_PX] = SNOWPLOW_UE_PR,
        [SNOWPLOW_CO] = SNOWPLOW_CO,
        [SNOWPLOW_CX] = SNOWPLOW_CO,
    };
    enum snowplow_field plain = plain_of[field];
    struct str name = snowplow_field_name(field);
    struct str text = fields->values[field];
    struct json value;
    if (text.size == 0)
        return 0;
    bool twice = plain && plain != field && fields->values[plain].size;
    if (!plain || twice)
        return write_member(out, name, text);
    int r = snowplow_field_json(fields, field, arena, &text);
    if (r == 0)
        r = json_parse(parser, text, &value);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0 || json_kind(value) != JSON_OBJECT)
        return write_member(out, name, fields->values[field]);
    r = write_name(out, snowplow_field_name(plain));
    return r < 0 ? r : json_write_canonical(value, out);
}

int snowplow_fields_text(const struct snowplow_fields *fields, struct json_parser *parser,
    struct arena *arena, struct str *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = 0;
    for (int i = 0; r == 0 && i < SNOWPLOW_FIELD_COUNT; i++)
        r = write_field(fields, (enum snowplow_field)i, parser, arena, &text);
    for (size_t i = 0; r == 0 && i < fields->others_count; i++)
        r = write_member(&text, fields->others[i].name, fields->others[i].value);
    if (r == 0)
        r = buf_append_str(&text, text.size ? STR("}") : STR("{}"));
    return r < 0 ? r : arena_dup(arena, buf_str(&text), out);
}

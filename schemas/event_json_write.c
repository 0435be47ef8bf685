/* Touchpoint to canonical native JSON. The tables are sorted by name, so their order is the text's.
 */
#include "schemas/event_json.h"

#include "schemas/error.h"
#include "schemas/event_fields.h"
#include "schemas/hash.h"
#include "schemas/money.h"
#include "schemas/time.h"

/* An object that is being written. */
struct object {
    struct buf *out;
    bool begun;
};

static int write_name(struct object *object, struct str name)
{
    int r = buf_append(object->out, object->begun ? "," : "{", 1);
    object->begun = true;
    if (r == 0)
        r = json_write_text(object->out, name);
    return r == 0 ? buf_append(object->out, ":", 1) : r;
}

static int end_object(struct object *object)
{
    return buf_append_str(object->out, object->begun ? STR("}") : STR("{}"));
}

static int write_text(struct object *object, struct str name, struct str text)
{
    int r = write_name(object, name);
    return r == 0 ? json_write_text(object->out, text) : r;
}

static int write_integer(struct object *object, struct str name, int64_t value)
{
    int r = write_name(object, name);
    return r == 0 ? json_write_int(object->out, value) : r;
}

static int write_choice(struct object *object, struct str name, enum choice choice)
{
    if (choice == CHOICE_UNKNOWN)
        return 0;
    int r = write_name(object, name);
    if (r < 0)
        return r;
    return buf_append_str(object->out, choice == CHOICE_GRANTED ? STR("true") : STR("false"));
}

static int write_micros(struct object *object, struct str name, int64_t micros)
{
    char text[TIME_TEXT_SIZE_MAX];
    size_t size = time_format(micros, text);
    return write_text(object, name, str_make(text, size));
}

static int write_key(struct object *object, struct str name, const uint8_t *key)
{
    static const uint8_t zero[KEY_SIZE];
    char hex[2 * KEY_SIZE];
    if (memcmp(key, zero, KEY_SIZE) == 0)
        return 0;
    hex_encode(key, KEY_SIZE, hex);
    return write_text(object, name, str_make(hex, sizeof(hex)));
}

static int write_node(
    struct object *object, struct str name, struct str namespace, struct str value)
{
    int r = write_name(object, name);
    struct object node = {.out = object->out};
    if (r == 0)
        r = write_text(&node, namespace, value);
    return r == 0 ? end_object(&node) : r;
}

static int write_money(struct object *object, struct str name, int64_t minor, struct str currency)
{
    char text[MONEY_TEXT_SIZE_MAX];
    size_t size = money_format(minor, currency, text);
    return write_text(object, name, str_make(text, size));
}

/* The value of an identifier: text, or with its authority an object. */
static int write_identifier(struct buf *out, const struct identifier *identifier)
{
    if (identifier->authority == 0)
        return json_write_text(out, identifier->value);
    struct object object = {.out = out};
    int r = write_integer(&object, STR("authority"), identifier->authority);
    if (r == 0)
        r = write_text(&object, STR("value"), identifier->value);
    return r == 0 ? end_object(&object) : r;
}

/* The identifiers of one namespace, which stand together: one as a value, several as an array. */
static int write_namespace(struct object *ids, const struct identifier *identifiers, size_t count)
{
    int r = write_name(ids, identifiers[0].namespace);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (count > 1)
            r = buf_append(ids->out, i ? "," : "[", 1);
        if (r == 0)
            r = write_identifier(ids->out, &identifiers[i]);
    }
    return r == 0 && count > 1 ? buf_append(ids->out, "]", 1) : r;
}

/* Identifiers need not be sorted (the door sorts by rank): namespaces are written in order all the
 * same. */
static int write_ids(struct object *object, struct str name, const struct touchpoint *event)
{
    struct identifier sorted[EVENT_IDENTIFIERS_MAX];
    size_t count = event->identifiers_count;
    if (count == 0)
        return 0;
    if (count > EVENT_IDENTIFIERS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < count; i++) {
        size_t place = i;
        for (; place > 0 &&
               str_compare(event->identifiers[i].namespace, sorted[place - 1].namespace) < 0;
             place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = event->identifiers[i];
    }
    int r = write_name(object, name);
    struct object ids = {.out = object->out};
    size_t first = 0;
    for (size_t i = 1; r == 0 && i <= count; i++) {
        if (i < count && str_equal(sorted[i].namespace, sorted[first].namespace))
            continue;
        r = write_namespace(&ids, &sorted[first], i - first);
        first = i;
    }
    return r == 0 ? end_object(&ids) : r;
}

static int write_properties(struct object *object, struct str name, struct str text)
{
    int r = write_name(object, name);
    return r == 0 ? buf_append_str(object->out, text) : r;
}

static int write_true(struct object *object, struct str name)
{
    int r = write_name(object, name);
    return r == 0 ? buf_append_str(object->out, STR("true")) : r;
}

/* Whether a field has the value that a reader takes when it is not said. */
static bool is_standard(const struct event_field *field, const void *at)
{
    switch (field->kind) {
    case EVENT_FIELD_TEXT:
    case EVENT_FIELD_EVENT_ID:
    case EVENT_FIELD_TYPE:
    case EVENT_FIELD_PROPERTIES:
        return ((const struct str *)at)->size == 0;
    case EVENT_FIELD_BOOL:
        return !*(const bool *)at;
    case EVENT_FIELD_INT:
        return *(const int32_t *)at == field->standard;
    case EVENT_FIELD_LONG:
    case EVENT_FIELD_MONEY:
    case EVENT_FIELD_MICROS:
        return *(const int64_t *)at == field->standard;
    case EVENT_FIELD_ENUM:
        return *(const unsigned *)at == 0;
    case EVENT_FIELD_URL: /* what they say stands in other fields */
    case EVENT_FIELD_REFERRER:
        return true;
    default:
        return false;
    }
}

static int write_value(
    struct object *object, const struct event_field *field, const void *base, struct str currency)
{
    const void *at = (const char *)base + field->offset;
    const struct evidence *evidence = base;
    struct str name = field->name;
    switch (field->kind) {
    case EVENT_FIELD_TEXT:
    case EVENT_FIELD_EVENT_ID:
    case EVENT_FIELD_TYPE:
        return write_text(object, name, *(const struct str *)at);
    case EVENT_FIELD_PROPERTIES:
        return write_properties(object, name, *(const struct str *)at);
    case EVENT_FIELD_BOOL:
        return write_true(object, name);
    case EVENT_FIELD_INT:
        return write_integer(object, name, *(const int32_t *)at);
    case EVENT_FIELD_LONG:
        return write_integer(object, name, *(const int64_t *)at);
    case EVENT_FIELD_MONEY:
        return write_money(object, name, *(const int64_t *)at, currency);
    case EVENT_FIELD_MICROS:
        return write_micros(object, name, *(const int64_t *)at);
    case EVENT_FIELD_KEY:
        return write_key(object, name, at);
    case EVENT_FIELD_ENUM:
        return write_text(object, name, str_of(field->names->name((int)*(const unsigned *)at)));
    case EVENT_FIELD_CHOICE:
        return write_choice(object, name, *(const enum choice *)at);
    case EVENT_FIELD_NODE_A:
        return write_node(object, name, evidence->a_namespace, evidence->a_value);
    case EVENT_FIELD_NODE_B:
        return write_node(object, name, evidence->b_namespace, evidence->b_value);
    default:
        return ERR_INTERNAL;
    }
}

/* A field of a flat object, unless it may be left out. */
static int write_field(struct object *object, const struct event_part *part, size_t index,
    const void *base, struct str currency)
{
    const struct event_field *field = &part->fields[index];
    bool required = part->required >> index & 1;
    if (!required && is_standard(field, (const char *)base + field->offset))
        return 0;
    return write_value(object, field, base, currency);
}

static int write_item(struct buf *out, const struct order_item *item, struct str currency)
{
    struct object object = {.out = out};
    int r = 0;
    for (size_t i = 0; r == 0 && i < event_part_item.count; i++)
        r = write_field(&object, &event_part_item, i, item, currency);
    return r == 0 ? end_object(&object) : r;
}

static int write_items(struct object *object, struct str name, const struct order *order)
{
    if (order->items_count == 0)
        return 0;
    int r = write_name(object, name);
    for (size_t i = 0; r == 0 && i < order->items_count; i++) {
        r = buf_append(object->out, i ? "," : "[", 1);
        if (r == 0)
            r = write_item(object->out, &order->items[i], order->currency);
    }
    return r == 0 ? buf_append(object->out, "]", 1) : r;
}

static int write_part(struct object *event, const struct event_field *field, const void *base,
    const struct order *order)
{
    int r = write_name(event, field->name);
    struct object object = {.out = event->out};
    for (size_t i = 0; r == 0 && i < field->part->count; i++) {
        if (field->part->fields[i].kind == EVENT_FIELD_ITEMS)
            r = write_items(&object, field->part->fields[i].name, order);
        else
            r = write_field(&object, field->part, i, base, order->currency);
    }
    return r == 0 ? end_object(&object) : r;
}

static bool has_consent(const struct consent *consent)
{
    return consent->analytics || consent->ads || consent->personalisation;
}

/* What reading takes as quality when none is said depends on whether a time is said. */
static int write_time(
    struct object *object, const struct event_field *field, const struct touchpoint *event)
{
    bool time_said = event->occurred_at != 0 || event->time_quality != TIME_QUALITY_UNKNOWN;
    if (field->kind == EVENT_FIELD_MICROS)
        return time_said ? write_micros(object, field->name, event->occurred_at) : 0;
    if (event->time_quality == (time_said ? TIME_QUALITY_CLIENT : TIME_QUALITY_UNKNOWN))
        return 0;
    return write_text(object, field->name, str_of(time_quality_name(event->time_quality)));
}

static int write_member(struct object *object, size_t index, const struct touchpoint *event)
{
    const struct event_field *field = &event_part_touchpoint.fields[index];
    const void *at = (const char *)event + field->offset;
    if (at == (const void *)&event->occurred_at || at == (const void *)&event->time_quality)
        return write_time(object, field, event);
    switch (field->kind) {
    case EVENT_FIELD_PART:
        return *(const bool *)((const char *)event + field->has)
                   ? write_part(object, field, at, &event->order)
                   : 0;
    case EVENT_FIELD_CONSENT:
        return has_consent(at) ? write_part(object, field, at, &event->order) : 0;
    case EVENT_FIELD_IDS:
        return write_ids(object, field->name, event);
    default:
        return write_field(object, &event_part_touchpoint, index, event, str_make(NULL, 0));
    }
}

int event_json_write(const struct touchpoint *event, struct buf *out)
{
    size_t size_before = out->size;
    struct object object = {.out = out};
    int r = 0;
    for (size_t i = 0; r == 0 && i < event_part_touchpoint.count; i++)
        r = write_member(&object, i, event);
    if (r == 0)
        r = end_object(&object);
    if (r < 0)
        out->size = size_before;
    return r;
}

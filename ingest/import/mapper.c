#include "ingest/import/mapper.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/money.h"
#include "schemas/nearest.h"
#include "schemas/time.h"

#define NUMBER_SIZE_MAX 63
#define EXPONENT_UNKNOWN (-1)
#define MILLIS_PER_SECOND 1000

struct mapper {
    const struct mapping *mapping;
    const struct mapping_event *event;
    const struct str *values;
    struct arena *arena;
    struct touchpoint *out;
    struct event_problem *problem;
    int exponent;          /* of the order's currency */
    struct buf properties; /* in the arena */
};

static int fail(struct mapper *mapper, int error, struct str where, struct str hint)
{
    *mapper->problem = (struct event_problem){.error = error, .pointer = where, .hint = hint};
    return error;
}

static int fail_near(struct mapper *mapper, int error, struct str where, struct str near)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct str hint = {NULL, 0};
    if (near.size) {
        int r = buf_appendf(&text, "did you mean \"%.*s\"?", (int)near.size, near.data);
        if (r == 0)
            r = arena_dup(mapper->arena, buf_str(&text), &hint);
        if (r < 0)
            return r;
    }
    return fail(mapper, error, where, hint);
}

/* ---- values ---- */

static int look_up(struct mapper *mapper, const struct mapping_value *value, struct str *text)
{
    const struct mapping_map *map = value->map;
    if (!map || text->size == 0)
        return 0;
    for (size_t i = 0; i < map->count; i++) {
        if (str_equal(map->keys[i], *text)) {
            *text = map->values[i];
            return 0;
        }
    }
    if (!map->has_fallback)
        return fail(mapper, ERR_VALUE, value->text, STR("not in the map"));
    *text = map->fallback;
    return 0;
}

static struct str piece_text(const struct mapper *mapper, const struct mapping_piece *piece)
{
    return piece->column == MAPPING_LITERAL ? piece->literal : mapper->values[piece->column];
}

/* A template whose columns are all empty is empty: its literals alone say nothing. */
static int evaluate(struct mapper *mapper, const struct mapping_value *value, struct str *out)
{
    if (value->pieces_count == 1) {
        *out = piece_text(mapper, &value->pieces[0]);
        return look_up(mapper, value, out);
    }
    size_t size = 0;
    bool said = false;
    for (size_t i = 0; i < value->pieces_count; i++) {
        struct str text = piece_text(mapper, &value->pieces[i]);
        said |= value->pieces[i].column != MAPPING_LITERAL && text.size;
        size += text.size;
    }
    *out = str_make(NULL, 0);
    if (!said)
        return 0;
    char *joined = arena_alloc(mapper->arena, size);
    if (!joined)
        return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < value->pieces_count; i++) {
        struct str text = piece_text(mapper, &value->pieces[i]);
        if (text.size)
            memcpy(joined + at, text.data, text.size);
        at += text.size;
    }
    *out = str_make(joined, size);
    return look_up(mapper, value, out);
}

/* Numbers without grouping characters. */
static int ungroup(struct mapper *mapper, struct str *text)
{
    char grouping = mapper->mapping->grouping;
    if (!grouping || !memchr(text->data, grouping, text->size))
        return 0;
    char *copy = arena_alloc(mapper->arena, text->size);
    if (!copy)
        return ERR_NO_MEMORY;
    size_t size = 0;
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] != grouping)
            copy[size++] = text->data[i];
    }
    *text = str_make(copy, size);
    return 0;
}

/* ---- conditions ---- */

static int read_number(struct str text, double *out)
{
    char number[NUMBER_SIZE_MAX + 1] = {0};
    if (text.size == 0 || text.size > NUMBER_SIZE_MAX)
        return ERR_FIELD_TYPE;
    memcpy(number, text.data, text.size);
    char *end;
    *out = strtod(number, &end);
    return end == number + text.size ? 0 : ERR_FIELD_TYPE;
}

static bool ordered(enum mapping_operator operator, double left, double right)
{
    switch (operator) {
    case MAPPING_LESS:
        return left < right;
    case MAPPING_GREATER:
        return left > right;
    case MAPPING_AT_MOST:
        return left <= right;
    default:
        return left >= right;
    }
}

/* An empty column is neither less nor more than anything. */
static int holds(struct mapper *mapper, const struct mapping_when *when, bool *out)
{
    struct str text = mapper->values[when->column];
    double number;
    switch (when->operator) {
    case MAPPING_EQUAL:
        *out = str_equal(text, when->value);
        return 0;
    case MAPPING_NOT_EQUAL:
        *out = !str_equal(text, when->value);
        return 0;
    case MAPPING_EMPTY:
        *out = text.size == 0;
        return 0;
    case MAPPING_NOT_EMPTY:
        *out = text.size != 0;
        return 0;
    default:
        break;
    }
    *out = false;
    if (text.size == 0)
        return 0;
    int r = ungroup(mapper, &text);
    if (r < 0)
        return r;
    r = read_number(text, &number);
    if (r < 0)
        return fail(
            mapper, r, mapper->mapping->columns[when->column].name, STR("a number is wanted here"));
    *out = ordered(when->operator, number, when->number);
    return 0;
}

/* ---- fields ---- */

static int set_integer(struct mapper *mapper, struct str where, struct str text, int64_t min,
    int64_t max, int64_t *out)
{
    int64_t value = 0;
    int r = ungroup(mapper, &text);
    if (r == 0)
        r = memchr(text.data, '.', text.size) ? ERR_MONEY : money_parse_exponent(text, 0, &value);
    if (r == 0 && (value < min || value > max))
        r = ERR_NUMBER_RANGE;
    if (r == ERR_MONEY)
        return fail(mapper, ERR_FIELD_TYPE, where, STR("an integer is wanted here"));
    if (r < 0)
        return fail(mapper, r, where, str_make(NULL, 0));
    *out = value;
    return 0;
}

static int set_money(struct mapper *mapper, struct str where, struct str text, int64_t *out)
{
    if (mapper->exponent == EXPONENT_UNKNOWN)
        return fail(
            mapper, ERR_MISSING_FIELD, STR("order.currency"), STR("money needs its currency"));
    int r = ungroup(mapper, &text);
    if (r == 0)
        r = money_parse_exponent(text, mapper->exponent, out);
    return r < 0 ? fail(mapper, r, where, str_make(NULL, 0)) : 0;
}

static int set_time(struct mapper *mapper, struct str where, struct str text, int64_t *out)
{
    int64_t number = 0;
    int r;
    switch (mapper->mapping->time) {
    case MAPPING_TIME_EPOCH_S:
        r = money_parse_exponent(text, 0, &number);
        if (r == 0 && __builtin_mul_overflow(number, TIME_MICROS_PER_SECOND, out))
            r = ERR_TIME;
        break;
    case MAPPING_TIME_EPOCH_MS:
        r = money_parse_exponent(text, 0, &number);
        if (r == 0 && __builtin_mul_overflow(number, TIME_MICROS_PER_MILLI, out))
            r = ERR_TIME;
        break;
    default:
        r = time_parse_local(text, mapper->mapping->zone_seconds, out);
        break;
    }
    if (r < 0)
        return fail(mapper, ERR_TIME, where, str_make(NULL, 0));
    mapper->out->time_quality = TIME_QUALITY_CLIENT;
    return 0;
}

static int set_enum(
    struct mapper *mapper, const struct mapping_field *field, struct str text, unsigned *out)
{
    const struct event_enum *names = field->field->names;
    int number = names->from_name(text);
    if (number < 0) {
        struct str known[EVENT_FIELDS_MAX];
        size_t count = names->count < EVENT_FIELDS_MAX ? (size_t)names->count : EVENT_FIELDS_MAX;
        for (size_t i = 0; i < count; i++)
            known[i] = str_of(names->name((int)i));
        return fail_near(mapper, ERR_VALUE, field->value.text, nearest_name(text, known, count));
    }
    *out = (unsigned)number;
    return 0;
}

/* true, yes, 1, granted; false, no, 0, denied. Returns -1 for others. */
static int truth(struct str text)
{
    static const struct str words[] = {STR_INIT("false"), STR_INIT("true"), STR_INIT("no"),
        STR_INIT("yes"), STR_INIT("0"), STR_INIT("1"), STR_INIT("denied"), STR_INIT("granted"),
        STR_INIT("FALSE"), STR_INIT("TRUE"), STR_INIT("False"), STR_INIT("True")};
    for (int i = 0; i < (int)(sizeof(words) / sizeof(words[0])); i++) {
        if (str_equal(words[i], text))
            return i % 2;
    }
    return -1;
}

static int set_truth(
    struct mapper *mapper, const struct mapping_field *field, struct str text, void *out)
{
    int value = truth(text);
    if (value < 0)
        return fail(mapper, ERR_VALUE, field->value.text, STR("true or false"));
    if (field->field->kind == EVENT_FIELD_BOOL)
        *(bool *)out = value;
    else
        *(enum choice *)out = value ? CHOICE_GRANTED : CHOICE_DENIED;
    return 0;
}

static int set_text(
    struct mapper *mapper, const struct mapping_field *field, struct str text, struct str *out)
{
    *out = text;
    if (out != &mapper->out->order.currency)
        return 0;
    mapper->exponent = money_exponent(text);
    if (mapper->exponent < 0)
        return fail(mapper, ERR_CURRENCY, field->value.text,
            STR("a code of ISO 4217 in capitals, such as JPY"));
    return 0;
}

/* A single value into the struct at `base`. */
static int set_value(
    struct mapper *mapper, const struct mapping_field *field, struct str text, void *base)
{
    void *out = (char *)base + field->field->offset;
    struct str where = field->value.text;
    int64_t integer = 0;
    int r;
    switch (field->field->kind) {
    case EVENT_FIELD_TEXT:
    case EVENT_FIELD_TYPE:
    case EVENT_FIELD_EVENT_ID:
        return set_text(mapper, field, text, out);
    case EVENT_FIELD_PROPERTIES: /* canonical JSON of an object: mapping_column.object */
        *(struct str *)out = text.size > 2 ? text : str_make(NULL, 0);
        return 0;
    case EVENT_FIELD_LONG:
        return set_integer(mapper, where, text, INT64_MIN, INT64_MAX, out);
    case EVENT_FIELD_INT:
        r = set_integer(mapper, where, text, INT32_MIN, INT32_MAX, &integer);
        if (r == 0)
            *(int32_t *)out = (int32_t)integer;
        return r;
    case EVENT_FIELD_MONEY:
        return set_money(mapper, where, text, out);
    case EVENT_FIELD_MICROS:
        return set_time(mapper, where, text, out);
    case EVENT_FIELD_ENUM:
        return set_enum(mapper, field, text, out);
    case EVENT_FIELD_BOOL:
    case EVENT_FIELD_CHOICE:
        return set_truth(mapper, field, text, out);
    case EVENT_FIELD_URL:
    case EVENT_FIELD_REFERRER:
        return event_field_set_url(field->field, text, mapper->arena, base);
    default:
        return ERR_INTERNAL;
    }
}

static int set_part(struct mapper *mapper, const struct mapping_field *field, struct str text)
{
    bool *has = (bool *)((char *)mapper->out + field->part->has);
    if (field->part->kind == EVENT_FIELD_PART)
        *has = true;
    return set_value(mapper, field, text, (char *)mapper->out + field->part->offset);
}

static int set_item(struct mapper *mapper, const struct mapping_field *field, struct str text)
{
    struct order *order = &mapper->out->order;
    if (order->items_count == 0) {
        order->items = arena_alloc(mapper->arena, sizeof(*order->items));
        if (!order->items)
            return ERR_NO_MEMORY;
        order_item_init(&order->items[0]);
        order->items_count = 1;
        mapper->out->has_order = true;
    }
    return set_value(mapper, field, text, &order->items[0]);
}

/* Kept sorted by namespace, in the order of the mapping within one. */
static int set_identifier(struct mapper *mapper, const struct mapping_field *field, struct str text)
{
    struct touchpoint *out = mapper->out;
    if (!out->identifiers) {
        out->identifiers =
            arena_alloc(mapper->arena, mapper->event->fields_count * sizeof(*out->identifiers));
        if (!out->identifiers)
            return ERR_NO_MEMORY;
    }
    size_t place = out->identifiers_count++;
    for (; place > 0 && str_compare(field->name, out->identifiers[place - 1].namespace) < 0;
         place--)
        out->identifiers[place] = out->identifiers[place - 1];
    out->identifiers[place] = (struct identifier){.namespace = field->name, .value = text};
    return 0;
}

static int set_property(struct mapper *mapper, const struct mapping_field *field, struct str text)
{
    struct buf *out = &mapper->properties;
    if (!out->data) {
        out->data = arena_alloc(mapper->arena, EVENT_SIZE_MAX);
        if (!out->data)
            return ERR_NO_MEMORY;
        out->capacity = EVENT_SIZE_MAX;
        out->size_max = EVENT_SIZE_MAX;
    }
    int r = buf_append(out, out->size ? "," : "{", 1);
    if (r == 0)
        r = json_write_text(out, field->name);
    if (r == 0)
        r = buf_append(out, ":", 1);
    if (r == 0)
        r = json_write_text(out, text);
    return r < 0 ? fail(mapper, r, field->value.text, str_make(NULL, 0)) : 0;
}

static int set_field(struct mapper *mapper, const struct mapping_field *field)
{
    struct str text = {NULL, 0};
    int r = evaluate(mapper, &field->value, &text);
    if (r < 0 || text.size == 0)
        return r;
    switch (field->target) {
    case MAPPING_PART:
        return set_part(mapper, field, text);
    case MAPPING_ITEM:
        return set_item(mapper, field, text);
    case MAPPING_IDENTIFIER:
        return set_identifier(mapper, field, text);
    case MAPPING_PROPERTY:
        return set_property(mapper, field, text);
    default:
        return set_value(mapper, field, text, mapper->out);
    }
}

static int end_properties(struct mapper *mapper)
{
    struct buf *out = &mapper->properties;
    if (!out->data)
        return 0;
    int r = buf_append(out, "}", 1);
    arena_trim(mapper->arena, out->data, EVENT_SIZE_MAX, out->size);
    mapper->out->properties = buf_str(out);
    return r < 0 ? fail(mapper, r, STR("properties"), str_make(NULL, 0)) : 0;
}

int mapper_apply(const struct mapping *mapping, size_t index, const struct str *values,
    struct arena *arena, struct touchpoint *out, struct event_problem *problem)
{
    const struct mapping_event *event = &mapping->events[index];
    struct mapper mapper = {.mapping = mapping,
        .event = event,
        .values = values,
        .arena = arena,
        .out = out,
        .problem = problem,
        .exponent = EXPONENT_UNKNOWN};
    for (size_t i = 0; i < event->whens_count; i++) {
        bool true_here = false;
        int r = holds(&mapper, &event->whens[i], &true_here);
        if (r < 0)
            return r;
        if (!true_here)
            return MAPPER_NONE;
    }
    touchpoint_init(out);
    out->type = event->name;
    out->source = mapping->source;
    out->protocol = PROTOCOL_IMPORT;
    out->sequence = (int64_t)index;
    for (size_t i = 0; i < event->fields_count; i++) {
        int r = set_field(&mapper, &event->fields[i]);
        if (r < 0)
            return r;
    }
    return end_properties(&mapper);
}

/* "/ids/login" is "ids.login", "/time" is "time". */
static bool is_pointer_of(const struct mapping_field *field, struct str pointer)
{
    struct str head = {NULL, 0};
    if (field->target == MAPPING_PART)
        head = field->part->name;
    else if (field->target == MAPPING_IDENTIFIER)
        head = STR("ids");
    else if (field->target == MAPPING_PROPERTY)
        head = STR("properties");
    if (head.size && pointer.size == head.size + field->name.size + 2)
        return memcmp(pointer.data + 1, head.data, head.size) == 0 &&
               pointer.data[head.size + 1] == '/' &&
               memcmp(pointer.data + head.size + 2, field->name.data, field->name.size) == 0;
    return field->target == MAPPING_FIELD && pointer.size == field->name.size + 1 &&
           memcmp(pointer.data + 1, field->name.data, field->name.size) == 0;
}

struct str mapper_column(const struct mapping *mapping, size_t index, struct str pointer)
{
    const struct mapping_event *event = &mapping->events[index];
    for (size_t i = 0; pointer.size && i < event->fields_count; i++) {
        if (is_pointer_of(&event->fields[i], pointer))
            return event->fields[i].value.text;
    }
    return pointer;
}

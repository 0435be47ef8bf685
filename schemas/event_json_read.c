/*
 * Native JSON to touchpoint, driven by the tables of event_fields.c. Parts do not nest: the event
 * holds parts, an order holds items; so there is no recursion, and a place is at most
 * event/part/index/field.
 */
#include "schemas/event_json.h"

#include "schemas/error.h"
#include "schemas/event_fields.h"
#include "schemas/hash.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define NO_INDEX SIZE_MAX
#define EXPONENT_UNKNOWN (-1)

_Static_assert(EVENT_FIELDS_MAX <= 32, "fields seen are bits of an uint32_t");

struct reader {
    struct arena *arena;
    struct event_problem *problem;
    bool trusted;
    /* Where we are, for pointers: /part/list/index/key. */
    struct str part;
    struct str list;
    size_t index;
    int exponent; /* of the order's currency */
};

/* ---- problems ---- */

static int append_segment(struct buf *out, struct str segment)
{
    int r = buf_append(out, "/", 1);
    for (size_t i = 0; r == 0 && i < segment.size; i++) {
        if (segment.data[i] == '~')
            r = buf_append(out, "~0", 2);
        else if (segment.data[i] == '/')
            r = buf_append(out, "~1", 2);
        else
            r = buf_append(out, &segment.data[i], 1);
    }
    return r;
}

static int append_pointer(const struct reader *reader, struct str key, struct buf *out)
{
    int r = reader->part.size ? append_segment(out, reader->part) : 0;
    if (r == 0 && reader->list.size)
        r = append_segment(out, reader->list);
    if (r == 0 && reader->index != NO_INDEX)
        r = buf_appendf(out, "/%zu", reader->index);
    return r == 0 && key.data ? append_segment(out, key) : r; /* "" is a key too */
}

/* Sets the problem at /part/list/index/key and returns its error. */
static __attribute__((cold)) int fail(
    struct reader *reader, int error, struct str key, struct str hint)
{
    CLEANUP(buf_free) struct buf pointer = {0};
    if (append_pointer(reader, key, &pointer) < 0)
        return ERR_NO_MEMORY;
    struct event_problem problem = {.error = error};
    if (arena_dup(reader->arena, buf_str(&pointer), &problem.pointer) < 0 ||
        arena_dup(reader->arena, hint, &problem.hint) < 0)
        return ERR_NO_MEMORY;
    *reader->problem = problem;
    return error;
}

/* The same with the nearest known name as hint. */
static int fail_near(struct reader *reader, int error, struct str key, struct str near)
{
    CLEANUP(buf_free) struct buf hint = {0};
    if (near.size && buf_appendf(&hint, "did you mean \"%.*s\"?", (int)near.size, near.data) < 0)
        return ERR_NO_MEMORY;
    return fail(reader, error, key, buf_str(&hint));
}

static __attribute__((cold)) int fail_unknown(
    struct reader *reader, const struct event_part *part, struct str key)
{
    struct str near = event_field_nearest(part, reader->trusted, key);
    bool top = part == &event_part_touchpoint;
    if (near.size == 0 && top && str_equal(event_field_nearest(part, true, key), STR("channel")))
        return fail(reader, ERR_UNKNOWN_FIELD, key,
            STR("\"channel\" is taken of sources with trusted_channel = yes only"));
    if (near.size == 0 && top)
        return fail(reader, ERR_UNKNOWN_FIELD, key,
            STR("facts without a field of their own belong into \"properties\""));
    return fail_near(reader, ERR_UNKNOWN_FIELD, key, near);
}

/* ---- single values ---- */

static inline int read_text(
    struct reader *reader, struct str key, struct json value, struct str *out)
{
    if (json_kind(value) != JSON_TEXT)
        return fail(reader, ERR_FIELD_TYPE, key, STR("a string is wanted here"));
    if (value.tape->escapes_nul && json_holds_nul(value))
        return fail(reader, ERR_NUL_IN_TEXT, key, str_make(NULL, 0));
    *out = json_text(value);
    return 0;
}

static int read_integer(struct reader *reader, struct str key, struct json value, int64_t *out)
{
    if (json_kind(value) != JSON_INT)
        return fail(reader, ERR_FIELD_TYPE, key, STR("an integer is wanted here"));
    *out = json_int(value);
    return 0;
}

static int read_int(struct reader *reader, struct str key, struct json value, int32_t *out)
{
    int64_t integer = 0;
    int r = read_integer(reader, key, value, &integer);
    if (r < 0)
        return r;
    if (integer < INT32_MIN || integer > INT32_MAX)
        return fail(reader, ERR_NUMBER_RANGE, key, str_make(NULL, 0));
    *out = (int32_t)integer;
    return 0;
}

static int read_micros(struct reader *reader, struct str key, struct json value, int64_t *out)
{
    int64_t micros = 0;
    int r = ERR_TIME;
    if (json_kind(value) == JSON_TEXT)
        r = time_parse(json_text(value), &micros);
    else if (json_kind(value) == JSON_INT)
        r = __builtin_mul_overflow(json_int(value), TIME_MICROS_PER_MILLI, &micros) ? ERR_TIME : 0;
    if (r < 0)
        return fail(reader, r, key,
            STR("RFC 3339 with offset (\"2026-11-20T10:15:00.123+09:00\") or integer epoch "
                "milliseconds"));
    *out = micros;
    return 0;
}

static int read_money(struct reader *reader, struct str key, struct json value, int64_t *out)
{
    if (reader->exponent == EXPONENT_UNKNOWN) {
        reader->list = str_make(NULL, 0);
        reader->index = NO_INDEX;
        return fail(reader, ERR_MISSING_FIELD, STR("currency"), STR("money needs its currency"));
    }
    int64_t minor = 0;
    int r = ERR_MONEY;
    if (json_kind(value) == JSON_TEXT)
        r = money_parse_exponent(json_text(value), reader->exponent, &minor);
    else if (json_kind(value) == JSON_INT)
        r = money_from_major(json_int(value), reader->exponent, &minor);
    if (r < 0)
        return fail(reader, r, key,
            r == ERR_MONEY ? STR("a decimal string (\"129.80\") or an integer in major units")
                           : str_make(NULL, 0));
    *out = minor;
    return 0;
}

static int read_enum(
    struct reader *reader, const struct event_field *field, struct json value, unsigned *out)
{
    struct str text;
    int r = read_text(reader, field->name, value, &text);
    if (r < 0)
        return r;
    int number = field->names->from_name(text);
    if (number < 0) {
        struct str known[EVENT_FIELDS_MAX];
        for (int i = 0; i < field->names->count; i++)
            known[i] = str_of(field->names->name(i));
        struct str near = nearest_name(text, known, (size_t)field->names->count);
        return fail_near(reader, ERR_VALUE, field->name, near);
    }
    *out = (unsigned)number;
    return 0;
}

static int read_choice(struct reader *reader, struct str key, struct json value, enum choice *out)
{
    if (json_kind(value) == JSON_BOOL) {
        *out = json_bool(value) ? CHOICE_GRANTED : CHOICE_DENIED;
        return 0;
    }
    int choice = json_kind(value) == JSON_TEXT ? choice_from_name(json_text(value)) : -1;
    if (choice < 0)
        return fail(
            reader, ERR_VALUE, key, STR("true, false, \"granted\", \"denied\" or \"unknown\""));
    *out = (enum choice)choice;
    return 0;
}

static int read_key(struct reader *reader, struct str key, struct json value, uint8_t *out)
{
    struct str text;
    int r = read_text(reader, key, value, &text);
    if (r < 0)
        return r;
    if (!hex_decode(text, out, KEY_SIZE))
        return fail(reader, ERR_VALUE, key, STR("32 hex digits"));
    return 0;
}

static int read_event_id(struct reader *reader, struct str key, struct json value, struct str *out)
{
    struct str text;
    if (json_kind(value) != JSON_TEXT)
        return fail(reader, ERR_EVENT_ID, key, STR("a string of 1 to 100 bytes"));
    int r = read_text(reader, key, value, &text);
    if (r < 0)
        return r;
    if (text.size == 0 || text.size > EVENT_ID_SIZE_MAX)
        return fail(reader, ERR_EVENT_ID, key, STR("1 to 100 bytes"));
    *out = text;
    return 0;
}

static int read_type(struct reader *reader, struct str key, struct json value, struct str *out)
{
    struct str text;
    int r = read_text(reader, key, value, &text);
    if (r < 0)
        return r;
    if (!event_type_valid(text)) {
        size_t count;
        const struct str *known = event_types(&count);
        struct str near = nearest_name(text, known, count);
        if (near.size)
            return fail_near(reader, ERR_EVENT_TYPE, key, near);
        return fail(reader, ERR_EVENT_TYPE, key,
            STR("a lower case letter, then up to 63 of a-z, 0-9 and _"));
    }
    *out = text;
    return 0;
}

static int read_properties(
    struct reader *reader, struct str key, struct json value, struct str *out)
{
    if (json_kind(value) != JSON_OBJECT)
        return fail(reader, ERR_FIELD_TYPE, key, STR("an object is wanted here"));
    if (json_is_empty(value))
        return 0;
    if (json_holds_nul(value))
        return fail(reader, ERR_NUL_IN_TEXT, key, str_make(NULL, 0));
    char *space = arena_alloc(reader->arena, EVENT_SIZE_MAX);
    if (!space)
        return ERR_NO_MEMORY;
    struct buf text = {.data = space, .capacity = EVENT_SIZE_MAX, .size_max = EVENT_SIZE_MAX};
    int r = json_write_canonical(value, &text);
    arena_trim(reader->arena, space, EVENT_SIZE_MAX, text.size);
    if (r < 0) /* nothing is allocated here: the value is at fault */
        return r == ERR_NO_MEMORY ? r : fail(reader, r, key, str_make(NULL, 0));
    *out = buf_str(&text);
    return 0;
}

/* ---- identifiers ---- */

/* An identifier is a string; the pipeline also writes {"value", "authority"}. */
static int read_identifier(
    struct reader *reader, struct str namespace, struct json value, struct identifier *out)
{
    *out = (struct identifier){.namespace = namespace};
    struct json text = value;
    if (reader->trusted && json_kind(value) == JSON_OBJECT) {
        struct json authority;
        if (json_count(value) != 2 || !json_get(value, STR("value"), &text) ||
            !json_get(value, STR("authority"), &authority))
            return fail(reader, ERR_FIELD_TYPE, str_make(NULL, 0), STR("value and authority"));
        int r = read_int(reader, STR("authority"), authority, &out->authority);
        if (r < 0)
            return r;
    }
    return read_text(reader, str_make(NULL, 0), text, &out->value);
}

static int read_namespace(struct reader *reader, struct json value, struct touchpoint *event)
{
    struct str namespace = reader->list;
    struct identifier *next = &event->identifiers[event->identifiers_count];
    if (json_kind(value) != JSON_ARRAY) {
        event->identifiers_count++;
        return read_identifier(reader, namespace, value, next);
    }
    struct json_iterator iterator;
    json_iterate(value, &iterator);
    struct str none;
    struct json element;
    int r = 0;
    for (reader->index = 0; r == 0 && json_next(&iterator, &none, &element); reader->index++) {
        event->identifiers_count++;
        r = read_identifier(reader, namespace, element, next++);
        if (r < 0)
            break;
    }
    reader->index = NO_INDEX;
    return r;
}

/* Stable: what stands in one namespace keeps its order. */
static void sort_identifiers(struct identifier *identifiers, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct identifier identifier = identifiers[i];
        size_t place = i;
        while (
            place > 0 && str_compare(identifier.namespace, identifiers[place - 1].namespace) < 0) {
            identifiers[place] = identifiers[place - 1];
            place--;
        }
        identifiers[place] = identifier;
    }
}

/* How many identifiers an object of them has. */
static int count_ids(struct reader *reader, struct json value, size_t *out)
{
    struct str names[EVENT_IDENTIFIERS_MAX];
    size_t names_count = 0;
    size_t count = 0;
    struct json_iterator iterator;
    struct str name;
    struct json member;
    json_iterate(value, &iterator);
    while (json_next(&iterator, &name, &member)) {
        count += json_kind(member) == JSON_ARRAY ? json_count(member) : 1;
        if (count > EVENT_IDENTIFIERS_MAX || names_count == EVENT_IDENTIFIERS_MAX)
            return fail(reader, ERR_TOO_MANY, str_make(NULL, 0), STR(EVENT_IDENTIFIERS_HINT));
        for (size_t i = 0; i < names_count; i++) {
            if (str_equal(names[i], name))
                return fail(reader, ERR_JSON, name, STR("the key stands twice"));
        }
        names[names_count++] = name;
    }
    *out = count;
    return 0;
}

static int read_ids(
    struct reader *reader, struct str key, struct json value, struct touchpoint *event)
{
    if (json_kind(value) != JSON_OBJECT)
        return fail(reader, ERR_FIELD_TYPE, key,
            STR("an object of namespace to identifier, such as {\"login\":\"u-77\"}"));
    reader->part = key;
    size_t count = 0;
    int r = count_ids(reader, value, &count);
    if (r < 0)
        return r;
    event->identifiers = arena_alloc(reader->arena, count * sizeof(event->identifiers[0]));
    if (!event->identifiers)
        return ERR_NO_MEMORY;
    struct json_iterator iterator;
    struct json member;
    json_iterate(value, &iterator);
    while (json_next(&iterator, &reader->list, &member)) {
        r = json_kind(member) == JSON_NULL ? 0 : read_namespace(reader, member, event);
        if (r < 0)
            return r;
    }
    sort_identifiers(event->identifiers, event->identifiers_count);
    reader->list = str_make(NULL, 0);
    reader->part = str_make(NULL, 0);
    return 0;
}

/* A node of an evidence: {"login": "u-77"}. */
static int read_node(struct reader *reader, struct str key, struct json value,
    struct str *namespace, struct str *identifier)
{
    if (json_kind(value) != JSON_OBJECT || json_count(value) != 1)
        return fail(reader, ERR_FIELD_TYPE, key,
            STR("an object of one namespace and identifier, such as {\"login\":\"u-77\"}"));
    struct json_iterator iterator;
    json_iterate(value, &iterator);
    struct json text = value;
    (void)json_next(&iterator, namespace, &text);
    return read_text(reader, key, text, identifier);
}

/* ---- parts ---- */

static int read_url(
    struct reader *reader, const struct event_field *field, struct json value, struct page *page)
{
    struct str text;
    int r = read_text(reader, field->name, value, &text);
    return r < 0 ? r : event_field_set_url(field, text, reader->arena, page);
}

/* A field that is a single value, into the struct at `base`. */
static int read_value(
    struct reader *reader, const struct event_field *field, struct json value, void *base)
{
    void *out = (char *)base + field->offset;
    switch (field->kind) {
    case EVENT_FIELD_TEXT:
        return read_text(reader, field->name, value, out);
    case EVENT_FIELD_LONG:
        return read_integer(reader, field->name, value, out);
    case EVENT_FIELD_INT:
        return read_int(reader, field->name, value, out);
    case EVENT_FIELD_MONEY:
        return read_money(reader, field->name, value, out);
    case EVENT_FIELD_MICROS:
        return read_micros(reader, field->name, value, out);
    case EVENT_FIELD_ENUM:
        return read_enum(reader, field, value, out);
    case EVENT_FIELD_CHOICE:
        return read_choice(reader, field->name, value, out);
    case EVENT_FIELD_KEY:
        return read_key(reader, field->name, value, out);
    case EVENT_FIELD_EVENT_ID:
        return read_event_id(reader, field->name, value, out);
    case EVENT_FIELD_TYPE:
        return read_type(reader, field->name, value, out);
    case EVENT_FIELD_PROPERTIES:
        return read_properties(reader, field->name, value, out);
    case EVENT_FIELD_BOOL:
        if (json_kind(value) != JSON_BOOL)
            return fail(reader, ERR_FIELD_TYPE, field->name, STR("true or false"));
        *(bool *)out = json_bool(value);
        return 0;
    case EVENT_FIELD_URL:
    case EVENT_FIELD_REFERRER:
        return read_url(reader, field, value, base);
    case EVENT_FIELD_NODE_A: {
        struct evidence *evidence = base;
        return read_node(reader, field->name, value, &evidence->a_namespace, &evidence->a_value);
    }
    case EVENT_FIELD_NODE_B: {
        struct evidence *evidence = base;
        return read_node(reader, field->name, value, &evidence->b_namespace, &evidence->b_value);
    }
    default:
        return ERR_INTERNAL;
    }
}

/* Goes through the members of an object that say something. */
struct members {
    const struct event_part *part;
    const struct json_tape *tape;
    uint64_t at;
    uint64_t end;
    uint32_t refused; /* bits of keys that stood before or are not the sender's to say */
    uint32_t said;    /* of those that are not null */
};

static inline struct members members_of(
    const struct reader *reader, const struct event_part *part, struct json object)
{
    struct json_iterator iterator;
    json_iterate(object, &iterator);
    return (struct members){.part = part,
        .tape = object.tape,
        .at = iterator.at,
        .end = iterator.end,
        .refused = reader->trusted ? 0 : part->trusted};
}

static __attribute__((cold, noinline)) int fail_refused(
    struct reader *reader, const struct event_part *part, int index, struct str key)
{
    if (index < 0 || (part->fields[index].trusted && !reader->trusted))
        return fail_unknown(reader, part, key);
    return fail(reader, ERR_JSON, key, STR("the key stands twice"));
}

/* The next one. Returns 1, 0 at the end, or an error. */
static inline __attribute__((always_inline)) int next_field(struct reader *reader,
    struct members *members, const struct event_field **field, struct json *value)
{
    while (members->at < members->end) {
        struct str key = json_text((struct json){members->tape, members->at});
        *value = (struct json){members->tape, members->at + 1};
        members->at = json_behind_(*value);
        int index = event_field_index(members->part, key);
        uint32_t bit = (uint32_t)1 << (index & 31);
        if (__builtin_expect(index < 0 || (members->refused & bit), 0))
            return fail_refused(reader, members->part, index, key);
        members->refused |= bit;
        if (__builtin_expect(json_kind(*value) != JSON_NULL, 1)) {
            members->said |= bit;
            *field = &members->part->fields[index];
            return 1;
        }
    }
    return 0;
}

static int check_required(struct reader *reader, const struct event_part *part, uint32_t said)
{
    uint32_t missing = part->required & ~said;
    if (missing)
        return fail(reader, ERR_MISSING_FIELD, part->fields[__builtin_ctz(missing)].name,
            str_make(NULL, 0));
    return 0;
}

static void set_standards(const struct event_part *part, void *base)
{
    for (uint32_t left = part->standards; left; left &= left - 1) {
        const struct event_field *field = &part->fields[__builtin_ctz(left)];
        void *out = (char *)base + field->offset;
        if (field->kind == EVENT_FIELD_INT)
            *(int32_t *)out = field->standard;
        else
            *(int64_t *)out = field->standard;
    }
}

/* An object whose fields are single values. */
static int read_flat(
    struct reader *reader, const struct event_part *part, struct json value, void *base)
{
    if (json_kind(value) != JSON_OBJECT)
        return fail(reader, ERR_FIELD_TYPE, str_make(NULL, 0), STR("an object is wanted here"));
    set_standards(part, base);
    struct members members = members_of(reader, part, value);
    const struct event_field *field = NULL;
    int r;
    while ((r = next_field(reader, &members, &field, &value)) > 0) {
        if (field->kind == EVENT_FIELD_ITEMS) /* read_order() reads them */
            continue;
        if (__builtin_expect(field->kind == EVENT_FIELD_TEXT, 1))
            r = read_text(reader, field->name, value, (void *)((char *)base + field->offset));
        else
            r = read_value(reader, field, value, base);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : check_required(reader, part, members.said);
}

static int read_items(struct reader *reader, struct json value, struct order *order)
{
    reader->list = STR("items");
    if (json_kind(value) != JSON_ARRAY)
        return fail(reader, ERR_FIELD_TYPE, str_make(NULL, 0), STR("an array is wanted here"));
    size_t count = json_count(value);
    if (count > EVENT_ITEMS_MAX)
        return fail(reader, ERR_TOO_MANY, str_make(NULL, 0), STR(EVENT_ITEMS_HINT));
    struct order_item *items = arena_alloc(reader->arena, count * sizeof(*items));
    if (!items)
        return ERR_NO_MEMORY;
    struct json_iterator iterator;
    json_iterate(value, &iterator);
    struct str none;
    for (reader->index = 0; json_next(&iterator, &none, &value); reader->index++) {
        items[reader->index] = (struct order_item){0};
        int r = read_flat(reader, &event_part_item, value, &items[reader->index]);
        if (r < 0)
            return r;
    }
    order->items = items;
    order->items_count = count;
    reader->index = NO_INDEX;
    reader->list = str_make(NULL, 0);
    return 0;
}

/* The currency comes first, wherever it stands: money is read by it. */
static int read_currency(struct reader *reader, struct json order)
{
    struct json value;
    reader->exponent = EXPONENT_UNKNOWN;
    if (!json_get(order, STR("currency"), &value) || json_kind(value) == JSON_NULL)
        return 0;
    struct str currency;
    int r = read_text(reader, STR("currency"), value, &currency);
    if (r < 0 || currency.size == 0)
        return r;
    r = money_exponent(currency);
    if (r < 0)
        return fail(reader, r, STR("currency"), STR("a code of ISO 4217 in capitals, such as JPY"));
    reader->exponent = r;
    return 0;
}

static int read_order(
    struct reader *reader, const struct event_part *part, struct json value, struct order *order)
{
    int r = read_currency(reader, value);
    if (r == 0)
        r = read_flat(reader, part, value, order);
    struct json items;
    if (r == 0 && json_get(value, STR("items"), &items) && json_kind(items) != JSON_NULL)
        r = read_items(reader, items, order);
    return r;
}

static int read_part(struct reader *reader, const struct event_field *field, struct json value,
    struct touchpoint *event)
{
    void *base = (char *)event + field->offset;
    reader->part = field->name;
    int r;
    if (base == (void *)&event->order)
        r = read_order(reader, field->part, value, base);
    else
        r = read_flat(reader, field->part, value, base);
    *(bool *)((char *)event + field->has) = true;
    reader->part = str_make(NULL, 0);
    return r;
}

static int read_consent(struct reader *reader, const struct event_field *field, struct json value,
    struct consent *consent)
{
    reader->part = field->name;
    int r = read_flat(reader, field->part, value, consent);
    reader->part = str_make(NULL, 0);
    return r;
}

int event_json_read(struct json value, bool trusted, struct arena *arena, struct touchpoint *out,
    struct event_problem *problem)
{
    struct reader reader = {
        .arena = arena, .problem = problem, .trusted = trusted, .index = NO_INDEX};
    const struct event_part *part = &event_part_touchpoint;
    if (json_kind(value) != JSON_OBJECT)
        return fail(&reader, ERR_FIELD_TYPE, str_make(NULL, 0), STR("an event is an object"));
    touchpoint_init(out);
    struct members members = members_of(&reader, part, value);
    const struct event_field *field = NULL;
    bool quality_said = false;
    bool time_said = false;
    int r;
    while ((r = next_field(&reader, &members, &field, &value)) > 0) {
        if (field->kind == EVENT_FIELD_PART)
            r = read_part(&reader, field, value, out);
        else if (field->kind == EVENT_FIELD_IDS)
            r = read_ids(&reader, field->name, value, out);
        else if (field->kind == EVENT_FIELD_CONSENT)
            r = read_consent(&reader, field, value, &out->consent);
        else
            r = read_value(&reader, field, value, out);
        if (r < 0)
            return r;
        if (field->kind == EVENT_FIELD_MICROS)
            time_said |= field->offset == offsetof(struct touchpoint, occurred_at);
        else if (field->kind == EVENT_FIELD_ENUM)
            quality_said |= field->offset == offsetof(struct touchpoint, time_quality);
    }
    if (r < 0)
        return r;
    if (time_said && !quality_said)
        out->time_quality = TIME_QUALITY_CLIENT;
    return check_required(&reader, part, members.said);
}

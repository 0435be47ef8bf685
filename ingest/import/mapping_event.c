/* [event NAME]: fields, the values they get, conditions. */
#include <math.h>
#include <stdlib.h>

#include "ingest/import/mapping_private.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define TARGET_NAMES_MAX 256
#define TARGET_NAME_SIZE_MAX 64
#define NUMBER_SIZE_MAX 63

/* ---- columns and values ---- */

static int column_index(struct mapping_parser *parser, struct str name, size_t *out)
{
    for (size_t i = 0; i < parser->columns_count; i++) {
        if (str_equal(parser->columns[i].name, name)) {
            *out = i;
            return 0;
        }
    }
    if (name.size == 0)
        return mapping_fail(parser, "a column has a name", str_make(NULL, 0));
    if (parser->columns_count == MAPPING_COLUMNS_MAX)
        return mapping_fail(parser, "too many columns", str_make(NULL, 0));
    struct mapping_column *column = &parser->columns[parser->columns_count];
    column->line = parser->line;
    int r = arena_dup(&parser->owner->arena, name, &column->name);
    if (r == 0)
        *out = parser->columns_count++;
    return r;
}

struct pieces {
    struct mapping_piece list[MAPPING_PIECES_MAX];
    size_t count;
};

static int add_piece(
    struct mapping_parser *parser, struct pieces *pieces, struct str literal, size_t column)
{
    if (pieces->count == MAPPING_PIECES_MAX)
        return mapping_fail(parser, "too many pieces in one template", str_make(NULL, 0));
    struct mapping_piece *piece = &pieces->list[pieces->count];
    *piece = (struct mapping_piece){.column = column};
    int r = arena_dup(&parser->owner->arena, literal, &piece->literal);
    pieces->count += r == 0;
    return r;
}

static int add_column(struct mapping_parser *parser, struct pieces *pieces, struct str name)
{
    size_t column;
    int r = column_index(parser, mapping_trim(name), &column);
    return r < 0 ? r : add_piece(parser, pieces, str_make(NULL, 0), column);
}

/* text {column} text; {{ and }} are braces. */
static int parse_template(struct mapping_parser *parser, struct str text, struct pieces *pieces)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    while (at < end) {
        const char *stop = at;
        while (stop < end && *stop != '{' && *stop != '}')
            stop++;
        int r = 0;
        bool doubled = end - stop >= 2 && stop[0] == stop[1];
        if (doubled)
            r = add_piece(parser, pieces, str_make(at, (size_t)(stop + 1 - at)), MAPPING_LITERAL);
        else if (stop > at)
            r = add_piece(parser, pieces, str_make(at, (size_t)(stop - at)), MAPPING_LITERAL);
        at = stop + (doubled ? 2 : 0);
        if (r < 0)
            return r;
        if (doubled || at == end)
            continue;
        const char *close = *at == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
        if (!close)
            return mapping_fail(parser, "a brace without its other half in", text);
        r = add_column(parser, pieces, str_make(at + 1, (size_t)(close - at - 1)));
        if (r < 0)
            return r;
        at = close + 1;
    }
    return 0;
}

/* Cuts " via NAME" off the end. */
static struct str cut_via(struct str *text)
{
    static const struct str via = STR_INIT(" via ");
    if (text->size && text->data[text->size - 1] == '"')
        return str_make(NULL, 0);
    for (size_t i = text->size; i-- > via.size;) {
        struct str tail = str_make(text->data + i - via.size, text->size - i + via.size);
        if (!str_starts_with(tail, via))
            continue;
        struct str name = mapping_trim(str_make(tail.data + via.size, tail.size - via.size));
        *text = mapping_trim(str_make(text->data, i - via.size));
        return name;
    }
    return str_make(NULL, 0);
}

static int parse_value(
    struct mapping_parser *parser, struct str text, struct mapping_value *out, struct str *map)
{
    struct arena *arena = &parser->owner->arena;
    int r = arena_dup(arena, text, &out->text);
    if (r == 0)
        r = arena_dup(arena, cut_via(&text), map);
    if (r < 0)
        return r;
    struct pieces pieces = {.count = 0};
    bool quoted = text.size && text.data[0] == '"';
    if (text.size == 0)
        return mapping_fail(parser, "a value is wanted: a column, a \"constant\" or a {template}",
            str_make(NULL, 0));
    if (quoted && (text.size < 2 || text.data[text.size - 1] != '"'))
        return mapping_fail(parser, "a constant ends with a quote, not so", text);
    if (quoted)
        r = add_piece(parser, &pieces, str_make(text.data + 1, text.size - 2), MAPPING_LITERAL);
    else if (memchr(text.data, '{', text.size) || memchr(text.data, '}', text.size))
        r = parse_template(parser, text, &pieces);
    else
        r = add_column(parser, &pieces, text);
    if (r < 0)
        return r;
    struct mapping_piece *list = arena_alloc(arena, pieces.count * sizeof(*list));
    if (!list)
        return ERR_NO_MEMORY;
    memcpy(list, pieces.list, pieces.count * sizeof(*list));
    out->pieces = list;
    out->pieces_count = pieces.count;
    return 0;
}

/* ---- conditions ---- */

struct operator_name {
    struct str text;
    enum mapping_operator operator;
};

/* Longer ones first, as < is the start of <=. */
static const struct operator_name operators[] = {{STR_INIT("!="), MAPPING_NOT_EQUAL},
    {STR_INIT("<="), MAPPING_AT_MOST}, {STR_INIT(">="), MAPPING_AT_LEAST},
    {STR_INIT("="), MAPPING_EQUAL}, {STR_INIT("<"), MAPPING_LESS},
    {STR_INIT(">"), MAPPING_GREATER}};

/* The operator at the start of text, or NULL. */
static const struct operator_name *operator_at(struct str text)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (str_starts_with(text, operators[i].text))
            return &operators[i];
    }
    return NULL;
}

static bool ends_with_word(struct str *text, struct str word)
{
    if (text->size <= word.size || text->data[text->size - word.size - 1] != ' ' ||
        memcmp(text->data + text->size - word.size, word.data, word.size) != 0)
        return false;
    *text = mapping_trim(str_make(text->data, text->size - word.size));
    return true;
}

static int when_operand(struct mapping_parser *parser, struct str text, struct mapping_when *when)
{
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        text = str_make(text.data + 1, text.size - 2);
    int r = arena_dup(&parser->owner->arena, text, &when->value);
    bool ordered = when->operator>= MAPPING_LESS && when->operator<= MAPPING_AT_LEAST;
    if (r < 0 || !ordered)
        return r;
    char number[NUMBER_SIZE_MAX + 1] = {0};
    if (text.size > 0 && text.size <= NUMBER_SIZE_MAX)
        memcpy(number, text.data, text.size);
    char *number_end;
    when->number = strtod(number, &number_end);
    if (number_end == number || *number_end || !isfinite(when->number))
        return mapping_fail(parser, "a number is wanted for this comparison, not", text);
    return 0;
}

static int parse_when(struct mapping_parser *parser, struct str text, struct mapping_when *when)
{
    struct str column = text;
    struct str operand = {NULL, 0};
    if (ends_with_word(&column, STR("notempty"))) {
        when->operator= MAPPING_NOT_EMPTY;
    } else if (ends_with_word(&column, STR("empty"))) {
        when->operator= MAPPING_EMPTY;
    } else {
        size_t from = 0; /* operators within {braces} belong to the column's name */
        if (text.size && text.data[0] == '{' && memchr(text.data, '}', text.size))
            from = (size_t)((const char *)memchr(text.data, '}', text.size) - text.data);
        const struct operator_name *found = NULL;
        for (; from < text.size && !found; from++)
            found = operator_at(str_make(text.data + from, text.size - from));
        if (!found)
            return mapping_fail(parser,
                "a condition is column (= != < > <= >=) value, column empty or column notempty, "
                "not",
                text);
        when->operator= found->operator;
        column = mapping_trim(str_make(text.data, from - 1));
        size_t behind = from - 1 + found->text.size;
        operand = mapping_trim(str_make(text.data + behind, text.size - behind));
    }
    if (column.size >= 2 && column.data[0] == '{' && column.data[column.size - 1] == '}')
        column = str_make(column.data + 1, column.size - 2);
    int r = column_index(parser, column, &when->column);
    return r < 0 ? r : when_operand(parser, operand, when);
}

/* ---- fields ---- */

/* Whether a mapping may set a field of the event itself: not what only the pipeline knows. */
static bool settable(const struct event_field *field)
{
    switch (field->kind) {
    case EVENT_FIELD_TEXT:
        return !field->trusted || str_equal(field->name, STR("channel"));
    case EVENT_FIELD_BOOL:
    case EVENT_FIELD_INT:
    case EVENT_FIELD_LONG:
    case EVENT_FIELD_MONEY:
    case EVENT_FIELD_MICROS:
    case EVENT_FIELD_ENUM:
    case EVENT_FIELD_CHOICE:
    case EVENT_FIELD_EVENT_ID:
    case EVENT_FIELD_TYPE:
    case EVENT_FIELD_URL:
    case EVENT_FIELD_REFERRER:
        return !field->trusted;
    default:
        return false;
    }
}

struct names {
    struct str list[TARGET_NAMES_MAX];
    char text[TARGET_NAMES_MAX][TARGET_NAME_SIZE_MAX];
    size_t count;
};

static void add_name(struct names *names, struct str part, struct str field)
{
    if (names->count == TARGET_NAMES_MAX || part.size + field.size + 1 > TARGET_NAME_SIZE_MAX)
        return;
    char *text = names->text[names->count];
    memcpy(text, part.data, part.size);
    text[part.size] = '.';
    memcpy(text + part.size + 1, field.data, field.size);
    names->list[names->count++] = str_make(text, part.size + 1 + field.size);
}

/* The nearest of all names that a mapping can set. */
static int fail_unknown_field(struct mapping_parser *parser, struct str name)
{
    struct names *names = calloc(1, sizeof(*names));
    if (!names)
        return ERR_NO_MEMORY;
    const struct event_part *top = &event_part_touchpoint;
    for (size_t i = 0; i < top->count; i++) {
        const struct event_field *part = &top->fields[i];
        if (settable(part))
            names->list[names->count++] = part->name;
        bool has_fields = part->kind == EVENT_FIELD_PART || part->kind == EVENT_FIELD_CONSENT;
        for (size_t k = 0; has_fields && k < part->part->count; k++) {
            if (settable(&part->part->fields[k]))
                add_name(names, part->name, part->part->fields[k].name);
        }
    }
    names->list[names->count++] = STR("when");
    int r = mapping_fail_near(parser, "unknown field", name, names->list, names->count);
    free(names);
    return r;
}

static int find_item(struct mapping_field *field, struct str name)
{
    field->target = MAPPING_ITEM;
    field->field = event_field_find(&event_part_item, name);
    return field->field ? 0 : ERR_UNKNOWN_FIELD;
}

/* Finds what a dotted name means. Returns ERR_UNKNOWN_FIELD when nothing. */
static int find_target(struct mapping_field *field, struct str name)
{
    const char *dot = memchr(name.data, '.', name.size);
    struct str head = str_make(name.data, dot ? (size_t)(dot - name.data) : name.size);
    struct str rest = dot ? str_make(dot + 1, name.size - head.size - 1) : str_make(NULL, 0);
    const struct event_field *top = event_field_find(&event_part_touchpoint, head);
    if (!top || (dot && rest.size == 0))
        return ERR_UNKNOWN_FIELD;
    if (!dot) {
        field->target = MAPPING_FIELD;
        field->field = top;
        return settable(top) || top->kind == EVENT_FIELD_PROPERTIES ? 0 : ERR_UNKNOWN_FIELD;
    }
    field->name = rest;
    switch (top->kind) {
    case EVENT_FIELD_IDS:
        field->target = MAPPING_IDENTIFIER;
        return 0;
    case EVENT_FIELD_PROPERTIES:
        field->target = MAPPING_PROPERTY;
        return 0;
    case EVENT_FIELD_PART:
    case EVENT_FIELD_CONSENT:
        if (str_starts_with(name, STR("order.items.")))
            return find_item(field, str_make(name.data + 12, name.size - 12));
        field->target = MAPPING_PART;
        field->part = top;
        field->field = event_field_find(top->part, rest);
        return field->field && settable(field->field) ? 0 : ERR_UNKNOWN_FIELD;
    default:
        return ERR_UNKNOWN_FIELD;
    }
}

static struct mapping_event *current(struct mapping_parser *parser)
{
    return &parser->events[parser->events_count - 1];
}

static bool said_before(
    const struct mapping_parser *parser, size_t count, const struct mapping_field *field)
{
    bool whole = field->target == MAPPING_FIELD && field->field->kind == EVENT_FIELD_PROPERTIES;
    for (size_t i = 0; i < count; i++) {
        const struct mapping_field *other = &parser->fields[i];
        bool other_whole =
            other->target == MAPPING_FIELD && other->field->kind == EVENT_FIELD_PROPERTIES;
        if ((whole && other->target == MAPPING_PROPERTY) ||
            (other_whole && field->target == MAPPING_PROPERTY))
            return true;
        if (other->target == field->target && other->part == field->part &&
            other->field == field->field && str_equal(other->name, field->name))
            return true;
    }
    return false;
}

/* They are taken as they stand, so they must be JSON, and nothing but one path. */
static int whole_properties(
    struct mapping_parser *parser, const struct mapping_value *value, struct str map)
{
    if (parser->mapping->format != MAPPING_NDJSON)
        return mapping_fail(parser, "properties as a whole come from ndjson only, else one by one",
            str_make(NULL, 0));
    if (value->pieces_count != 1 || value->pieces[0].column == MAPPING_LITERAL || map.size)
        return mapping_fail(parser, "properties as a whole are one path, not", value->text);
    parser->columns[value->pieces[0].column].object = true;
    return 0;
}

static int field_entry(struct mapping_parser *parser, struct str key, struct str text)
{
    struct mapping_event *event = current(parser);
    if (event->fields_count == MAPPING_FIELDS_MAX)
        return mapping_fail(parser, "too many fields in one event", str_make(NULL, 0));
    struct mapping_field *field = &parser->fields[event->fields_count];
    *field = (struct mapping_field){.line = parser->line};
    struct str name;
    int r = arena_dup(&parser->owner->arena, key, &name);
    if (r < 0)
        return r;
    field->name = name;
    if (find_target(field, name) < 0)
        return fail_unknown_field(parser, key);
    /* Two columns may give identifiers of one namespace; anything else is said once. */
    if (field->target != MAPPING_IDENTIFIER && said_before(parser, event->fields_count, field))
        return mapping_fail(parser, "this event has already the field", key);
    r = parse_value(parser, text, &field->value, &parser->field_maps[event->fields_count]);
    if (r < 0)
        return r;
    bool top = field->target == MAPPING_FIELD;
    if (top && field->field->kind == EVENT_FIELD_PROPERTIES) {
        r = whole_properties(parser, &field->value, parser->field_maps[event->fields_count]);
        if (r < 0)
            return r;
    }
    event->has_id |= top && field->field->kind == EVENT_FIELD_EVENT_ID;
    event->has_sequence |= top && str_equal(field->name, STR("sequence"));
    event->fields_count++;
    return 0;
}

int mapping_event_entry(struct mapping_parser *parser, struct str key, struct str text)
{
    if (!str_equal(key, STR("when")))
        return field_entry(parser, key, text);
    struct mapping_event *event = current(parser);
    if (event->whens_count == MAPPING_WHENS_MAX)
        return mapping_fail(parser, "too many conditions", str_make(NULL, 0));
    struct mapping_when *when = &parser->whens[event->whens_count];
    *when = (struct mapping_when){0};
    int r = parse_when(parser, text, when);
    event->whens_count += r == 0;
    return r;
}

/* ---- events ---- */

/* The currency is set first, as money is read by it; properties last and by key, as they are
 * written. */
static int set_order(const struct mapping_field *field)
{
    if (field->target == MAPPING_PROPERTY)
        return 2;
    return !(field->target == MAPPING_PART && str_equal(field->name, STR("currency")));
}

static bool before(const struct mapping_field *a, const struct mapping_field *b)
{
    int order = set_order(a) - set_order(b);
    if (order == 0 && a->target == MAPPING_PROPERTY)
        order = str_compare(a->name, b->name);
    return order < 0;
}

static void sort_fields(struct mapping_parser *parser, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct mapping_field field = parser->fields[i];
        struct str map = parser->field_maps[i];
        size_t place = i;
        for (; place > 0 && before(&field, &parser->fields[place - 1]); place--) {
            parser->fields[place] = parser->fields[place - 1];
            parser->field_maps[place] = parser->field_maps[place - 1];
        }
        parser->fields[place] = field;
        parser->field_maps[place] = map;
    }
}

static int note_references(struct mapping_parser *parser, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parser->field_maps[i].size == 0)
            continue;
        if (parser->references_count == MAPPING_REFERENCES_MAX)
            return mapping_fail(parser, "too many values via maps", str_make(NULL, 0));
        parser->references[parser->references_count++] = (struct mapping_reference){
            parser->field_maps[i], parser->events_count - 1, i, parser->fields[i].line};
    }
    return 0;
}

int mapping_event_end(struct mapping_parser *parser)
{
    if (parser->events_count == 0 || current(parser)->fields)
        return 0;
    struct mapping_event *event = current(parser);
    struct arena *arena = &parser->owner->arena;
    struct mapping_field *fields = arena_alloc(arena, event->fields_count * sizeof(*fields));
    struct mapping_when *whens = arena_alloc(arena, event->whens_count * sizeof(*whens));
    if (!fields || !whens)
        return ERR_NO_MEMORY;
    sort_fields(parser, event->fields_count);
    memcpy(fields, parser->fields, event->fields_count * sizeof(*fields));
    memcpy(whens, parser->whens, event->whens_count * sizeof(*whens));
    event->fields = fields;
    event->whens = whens;
    return note_references(parser, event->fields_count);
}

int mapping_event_begin(struct mapping_parser *parser, struct str name)
{
    int r = mapping_event_end(parser);
    if (r < 0)
        return r;
    if (!event_type_valid(name))
        return mapping_fail(parser, "an event's name is a type, [a-z][a-z0-9_]{0,63}, not", name);
    for (size_t i = 0; i < parser->events_count; i++) {
        if (str_equal(parser->events[i].name, name))
            return mapping_fail(parser, "there is an event already named", name);
    }
    if (parser->events_count == MAPPING_EVENTS_MAX)
        return mapping_fail(parser, "too many events", str_make(NULL, 0));
    struct mapping_event *event = &parser->events[parser->events_count];
    *event = (struct mapping_event){.line = parser->line};
    r = arena_dup(&parser->owner->arena, name, &event->name);
    parser->events_count += r == 0;
    return r;
}

int mapping_resolve_maps(struct mapping_parser *parser, const struct mapping_map *maps)
{
    struct str names[MAPPING_MAPS_MAX];
    for (size_t i = 0; i < parser->maps_count; i++)
        names[i] = maps[i].name;
    for (size_t i = 0; i < parser->references_count; i++) {
        const struct mapping_reference *reference = &parser->references[i];
        size_t map = 0;
        while (map < parser->maps_count && !str_equal(names[map], reference->map))
            map++;
        if (map == parser->maps_count) {
            parser->line = reference->line;
            return mapping_fail_near(
                parser, "there is no map", reference->map, names, parser->maps_count);
        }
        const struct mapping_field *field =
            &parser->mapping->events[reference->event].fields[reference->field];
        ((struct mapping_field *)(uintptr_t)field)->value.map = &maps[map];
    }
    return 0;
}

/*
 * Judging a value by a schema.
 *
 * Schemas apply to values by recursion, as they are written; it is bounded: by
 * JSON_SCHEMA_DEPTH_MAX schemas within schemas, and by JSON_SCHEMA_STEPS_MAX in all, since nested
 * alternatives can double with each level. Beyond either bound a value does not fit, whatever a
 * "not" would make of that.
 *
 * Invariant: the first misfit is told where it is found, but within anyOf, oneOf, not, if and
 * contains, of whose members some may be unfit: there judge->quiet is not 0.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/plan/json_schema_private.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define PATTERN_MATCH_LIMIT 200000
#define PATTERN_DEPTH_LIMIT 2000
#define PATTERN_HEAP_KIB_MAX 1024
#define SHOWN_SIZE_MAX 60 /* of one value of a schema in a hint */
#define HINT_SIZE_MAX 300
#define NAMES_MAX 256 /* that are looked at for a nearest one */
#define MULTIPLE_ROOM 1e-12L
#define TOO_MANY "the schema takes too many steps for this value"

struct json_judge {
    pcre2_match_context *context;
    pcre2_match_data *data;

    /* Of one judgement. */
    struct arena *arena;
    struct json_misfit *misfit;
    size_t steps;
    size_t depth;
    unsigned quiet;
    bool exhausted; /* a bound was met: nothing fits any more */
    bool told;
    int error; /* of telling */
};

/* The way to a value, from within. */
struct place {
    const struct place *outer; /* NULL: the whole */
    struct str key;
    size_t index; /* of an element, where key.data is NULL */
};

static bool fits(struct json_judge *judge, const struct node *node, struct json value,
    const struct place *place);

/* ---- telling ---- */

/* Appends the last part of a pointer. */
static int write_part(struct buf *out, const struct place *place)
{
    if (!place->key.data)
        return buf_appendf(out, "/%zu", place->index);
    int r = buf_append_str(out, STR("/"));
    for (size_t i = 0; r == 0 && i < place->key.size; i++) {
        char c = place->key.data[i];
        r = c == '~'   ? buf_append_str(out, STR("~0"))
            : c == '/' ? buf_append_str(out, STR("~1"))
                       : buf_append(out, &c, 1);
    }
    return r;
}

static int write_pointer(struct buf *out, const struct place *place)
{
    const struct place *parts[JSON_DEPTH_MAX + 2];
    size_t count = 0;
    for (; place->outer && count < sizeof parts / sizeof *parts; place = place->outer)
        parts[count++] = place;
    int r = 0;
    while (r == 0 && count > 0)
        r = write_part(out, parts[--count]);
    return r;
}

/* Whether a misfit is to be told: of several the first. */
static bool listens(const struct json_judge *judge)
{
    return judge->quiet == 0 && !judge->told && judge->error == 0;
}

/* Tells a misfit at a place, or, with a name, at that member of it. Takes the hint; of one that
 * could not be written judge->error says so. Returns false. */
static bool tell(
    struct json_judge *judge, const struct place *place, const struct str *name, struct buf *hint)
{
    CLEANUP(buf_free) struct buf pointer = {0};
    const struct place member = {.outer = place, .key = name ? *name : STR("")};
    int r = judge->error;
    if (r == 0)
        r = write_pointer(&pointer, name ? &member : place);
    if (r == 0)
        r = arena_dup(judge->arena, buf_str(&pointer), &judge->misfit->pointer);
    if (r == 0)
        r = arena_dup(judge->arena, buf_str(hint), &judge->misfit->hint);
    judge->told = r == 0;
    judge->error = r;
    buf_free(hint);
    return false;
}

/* The end of the last whole character of `size` bytes, of which one more can be read. */
static size_t character_edge(const char *text, size_t size)
{
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static bool say(struct json_judge *judge, const struct place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool say(struct json_judge *judge, const struct place *place, const char *format, ...)
{
    char text[HINT_SIZE_MAX];
    struct buf hint = {0};
    if (!listens(judge))
        return false;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t kept = size < HINT_SIZE_MAX ? (size_t)size : character_edge(text, HINT_SIZE_MAX - 1);
    judge->error = buf_append(&hint, text, kept);
    return tell(judge, place, NULL, &hint);
}

/* A value of the schema as text, cut at a character's edge. */
static int show(struct buf *out, struct json value)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = json_write_canonical(value, &text);
    size_t size = text.size;
    if (size > SHOWN_SIZE_MAX)
        size = character_edge(text.data, SHOWN_SIZE_MAX);
    if (r == 0)
        r = buf_append(out, text.data, size);
    return r == 0 && size < text.size ? buf_append_str(out, STR("...")) : r;
}

/* One more step; false when there have been too many. */
static bool step(struct json_judge *judge, const struct place *place)
{
    if (++judge->steps <= JSON_SCHEMA_STEPS_MAX && !judge->exhausted)
        return true;
    judge->exhausted = true;
    judge->quiet = 0;
    return say(judge, place, TOO_MANY);
}

/* ---- values ---- */

/* -1, 0, 1 as a is less than, equal to or above b; of two numbers. Integers exactly. */
static int compare_numbers(struct json a, struct json b)
{
    bool integers = json_kind(a) == JSON_INT && json_kind(b) == JSON_INT;
    if (integers)
        return (json_int(a) > json_int(b)) - (json_int(a) < json_int(b));
    long double x = json_kind(a) == JSON_INT ? (long double)json_int(a) : json_double(a);
    long double y = json_kind(b) == JSON_INT ? (long double)json_int(b) : json_double(b);
    return (x > y) - (x < y);
}

static bool is_number(struct json value)
{
    return json_kind(value) == JSON_INT || json_kind(value) == JSON_DOUBLE;
}

static unsigned types_of(struct json value)
{
    switch (json_kind(value)) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_BOOL:
        return TYPE_BOOLEAN;
    case JSON_INT:
        return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_DOUBLE:
        return TYPE_NUMBER | (floor(json_double(value)) == json_double(value) ? TYPE_INTEGER : 0);
    case JSON_TEXT:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        return TYPE_OBJECT;
    }
    return 0;
}

static bool equal(struct json_judge *judge, struct json a, struct json b);

static bool equal_arrays(struct json_judge *judge, struct json a, struct json b)
{
    struct json_iterator one, two;
    struct str key;
    struct json x, y;
    json_iterate(a, &one);
    json_iterate(b, &two);
    while (json_next(&one, &key, &x))
        if (!json_next(&two, &key, &y) || !equal(judge, x, y))
            return false;
    return !json_next(&two, &key, &y);
}

static bool equal_objects(struct json_judge *judge, struct json a, struct json b)
{
    struct json_iterator iterator;
    struct str key;
    struct json x, y;
    if (json_count(a) != json_count(b))
        return false;
    json_iterate(a, &iterator);
    while (json_next(&iterator, &key, &x))
        if (!json_get(b, key, &y) || !equal(judge, x, y))
            return false;
    return true;
}

/* 1 and 1.0 are one value, members have no order. */
static bool equal(struct json_judge *judge, struct json a, struct json b)
{
    judge->steps++;
    if (is_number(a) && is_number(b))
        return compare_numbers(a, b) == 0;
    judge->exhausted |= judge->steps > JSON_SCHEMA_STEPS_MAX;
    if (json_kind(a) != json_kind(b) || judge->exhausted)
        return false;
    switch (json_kind(a)) {
    case JSON_BOOL:
        return json_bool(a) == json_bool(b);
    case JSON_TEXT:
        return str_equal(json_text(a), json_text(b));
    case JSON_ARRAY:
        return equal_arrays(judge, a, b);
    case JSON_OBJECT:
        return equal_objects(judge, a, b);
    default:
        return true; /* null */
    }
}

static int64_t characters(struct str text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

/* ---- any value ---- */

static bool tell_enum(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    struct json_iterator iterator;
    struct str key, known[NAMES_MAX];
    struct json item;
    struct buf hint = {0};
    size_t count = 0;
    if (!listens(judge))
        return false;
    bool shown = true;
    int r = buf_append_str(&hint, STR("is none of "));
    json_iterate(node->enumeration, &iterator);
    for (bool first = true; r == 0 && json_next(&iterator, &key, &item); first = false) {
        if (json_kind(item) == JSON_TEXT && count < NAMES_MAX)
            known[count++] = json_text(item);
        if (!shown)
            continue;
        shown = hint.size < HINT_SIZE_MAX - SHOWN_SIZE_MAX;
        r = buf_append_str(&hint, first ? STR("") : STR(", "));
        if (r == 0)
            r = shown ? show(&hint, item) : buf_append_str(&hint, STR("..."));
    }
    struct str near =
        json_kind(value) == JSON_TEXT ? nearest_name(json_text(value), known, count) : STR("");
    if (r == 0 && near.size)
        r = buf_appendf(&hint, ": did you mean \"%.*s\"?", (int)near.size, near.data);
    judge->error = r;
    return tell(judge, place, NULL, &hint);
}

static bool fits_types(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    unsigned types = types_of(value);
    struct buf hint = {0};
    if (!node->types || (node->types & types))
        return true;
    if (!listens(judge))
        return false;
    int r = buf_append_str(&hint, STR("is "));
    if (r == 0)
        r = json_schema_write_types(types & TYPE_INTEGER ? (unsigned)TYPE_INTEGER : types, &hint);
    if (r == 0)
        r = buf_append_str(&hint, STR(", not "));
    if (r == 0)
        r = json_schema_write_types(node->types, &hint);
    judge->error = r;
    return tell(judge, place, NULL, &hint);
}

static bool fits_values(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    if (node->constant.tape && !equal(judge, node->constant, value)) {
        struct buf hint = {0};
        if (!listens(judge))
            return false;
        judge->error = buf_append_str(&hint, STR("is not "));
        if (judge->error == 0)
            judge->error = show(&hint, node->constant);
        return tell(judge, place, NULL, &hint);
    }
    if (!node->enumeration.tape)
        return true;
    json_iterate(node->enumeration, &iterator);
    while (json_next(&iterator, &key, &item))
        if (equal(judge, item, value))
            return true;
    return tell_enum(judge, node, value, place);
}

/* ---- numbers and text ---- */

/* Whole quotients exactly; of decimals as near as their digits tell. */
static bool is_multiple(struct json value, struct json of)
{
    if (json_kind(value) == JSON_INT && json_kind(of) == JSON_INT)
        return json_int(value) % json_int(of) == 0;
    long double x = json_kind(value) == JSON_INT ? (long double)json_int(value)
                                                 : (long double)json_double(value);
    long double y =
        json_kind(of) == JSON_INT ? (long double)json_int(of) : (long double)json_double(of);
    long double quotient = x / y;
    long double rest = fabsl(quotient - roundl(quotient));
    return isfinite(quotient) && rest <= MULTIPLE_ROOM * fmaxl(1, fabsl(quotient));
}

static bool say_bound(
    struct json_judge *judge, const struct place *place, const char *what, struct json bound)
{
    struct buf hint = {0};
    if (!listens(judge))
        return false;
    judge->error = buf_append_str(&hint, str_of(what));
    if (judge->error == 0)
        judge->error = show(&hint, bound);
    return tell(judge, place, NULL, &hint);
}

static bool fits_number(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    if (node->minimum.tape && compare_numbers(value, node->minimum) < 0)
        return say_bound(judge, place, "is below ", node->minimum);
    if (node->maximum.tape && compare_numbers(value, node->maximum) > 0)
        return say_bound(judge, place, "is above ", node->maximum);
    if (node->exclusive_minimum.tape && compare_numbers(value, node->exclusive_minimum) <= 0)
        return say_bound(judge, place, "is not above ", node->exclusive_minimum);
    if (node->exclusive_maximum.tape && compare_numbers(value, node->exclusive_maximum) >= 0)
        return say_bound(judge, place, "is not below ", node->exclusive_maximum);
    if (node->multiple_of.tape && !is_multiple(value, node->multiple_of))
        return say_bound(judge, place, "is no multiple of ", node->multiple_of);
    return true;
}

/* Whether the expression is found; a text that takes too much of it exhausts the judgement. */
static bool matches(
    struct json_judge *judge, const pcre2_code *code, struct str text, const struct place *place)
{
    int r = pcre2_match(code, (PCRE2_SPTR)(text.data ? text.data : ""), text.size, 0, 0,
        judge->data, judge->context);
    if (r >= 0)
        return true;
    if (r == PCRE2_ERROR_NOMATCH)
        return false;
    judge->exhausted = true;
    judge->quiet = 0;
    return say(judge, place, "an expression of the schema takes too many steps for this text");
}

static bool fits_text(
    struct json_judge *judge, const struct node *node, struct str text, const struct place *place)
{
    bool counts = node->min_length != COUNT_ABSENT || node->max_length != COUNT_ABSENT;
    int64_t size = counts ? characters(text) : 0;
    if (size < node->min_length)
        return say(judge, place, "is shorter than %lld characters", (long long)node->min_length);
    if (node->max_length != COUNT_ABSENT && size > node->max_length)
        return say(judge, place, "is longer than %lld characters", (long long)node->max_length);
    if (node->pattern && !matches(judge, node->pattern, text, place))
        return say(judge, place, "does not match %.*s", (int)node->pattern_text.size,
            node->pattern_text.data);
    if (!json_schema_format_holds(node->format, text))
        return say(judge, place, "is no %s", json_schema_formats[node->format]);
    return true;
}

/* ---- arrays ---- */

static bool fits_unique(struct json_judge *judge, struct json array, const struct place *place)
{
    struct json_iterator outer, inner;
    struct str key;
    struct json a, b;
    size_t at = 0;
    json_iterate(array, &outer);
    for (; json_next(&outer, &key, &a); at++) {
        const struct place element = {.outer = place, .index = at};
        json_iterate(array, &inner);
        for (size_t i = 0; i < at && json_next(&inner, &key, &b); i++) {
            if (!step(judge, &element))
                return false;
            if (equal(judge, a, b))
                return say(judge, &element, "is there twice");
        }
    }
    return true;
}

static bool fits_contains(
    struct json_judge *judge, const struct node *node, struct json array, const struct place *place)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    int64_t count = 0, least = node->min_contains == COUNT_ABSENT ? 1 : node->min_contains;
    if (!node->contains)
        return true;
    size_t at = 0;
    json_iterate(array, &iterator);
    judge->quiet++;
    for (; json_next(&iterator, &key, &item); at++) {
        const struct place element = {.outer = place, .index = at};
        count += fits(judge, node->contains, item, &element);
    }
    judge->quiet -= judge->quiet > 0;
    if (count < least)
        return say(judge, place, "has %lld elements that fit contains, at least %lld are wanted",
            (long long)count, (long long)least);
    if (node->max_contains != COUNT_ABSENT && count > node->max_contains)
        return say(judge, place, "has %lld elements that fit contains, at most %lld are wanted",
            (long long)count, (long long)node->max_contains);
    return true;
}

static bool fits_array(
    struct json_judge *judge, const struct node *node, struct json array, const struct place *place)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    int64_t count = (int64_t)json_count(array);
    if (count < node->min_items)
        return say(judge, place, "has fewer than %lld elements", (long long)node->min_items);
    if (node->max_items != COUNT_ABSENT && count > node->max_items)
        return say(judge, place, "has more than %lld elements", (long long)node->max_items);
    size_t at = 0;
    json_iterate(array, &iterator);
    for (; json_next(&iterator, &key, &item); at++) {
        const struct place element = {.outer = place, .index = at};
        const struct node *schema =
            at < node->prefix_items.count ? node->prefix_items.list[at] : node->items;
        if (schema && !fits(judge, schema, item, &element))
            return false;
    }
    return (!node->unique_items || fits_unique(judge, array, place)) &&
           fits_contains(judge, node, array, place);
}

/* ---- objects ---- */

static const struct node *find_property(const struct node_map *map, struct str name)
{
    size_t low = 0, high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(name, map->names[middle]);
        if (order == 0)
            return map->nodes[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* A member that must be there: of those that are there and that the schema does not know, the
 * nearest is perhaps it. */
static bool tell_missing(struct json_judge *judge, const struct node *node, struct json object,
    struct str name, const struct place *place)
{
    struct str known[NAMES_MAX], key;
    struct json_iterator iterator;
    struct json value;
    struct buf hint = {0};
    size_t count = 0;
    if (!listens(judge))
        return false;
    json_iterate(object, &iterator);
    while (count < NAMES_MAX && json_next(&iterator, &key, &value))
        if (!find_property(&node->properties, key))
            known[count++] = key;
    struct str near = nearest_name(name, known, count);
    int r = buf_append_str(&hint, STR("is required"));
    if (r == 0 && near.size)
        r = buf_appendf(&hint, ": the nearest is \"%.*s\"", (int)near.size, near.data);
    judge->error = r;
    return tell(judge, place, &name, &hint);
}

static bool has_all(struct json_judge *judge, const struct node *node, struct json object,
    const struct name_list *names, const struct place *place)
{
    struct json member;
    for (size_t i = 0; i < names->count; i++)
        if (!json_get(object, names->names[i], &member))
            return tell_missing(judge, node, object, names->names[i], place);
    return true;
}

/* A member that no schema knows. */
static bool tell_unknown(
    struct json_judge *judge, const struct node *node, struct str name, const struct place *place)
{
    struct buf hint = {0};
    if (!listens(judge))
        return false;
    struct str near = nearest_name(name, node->properties.names, node->properties.count);
    int r = buf_append_str(&hint, STR("is not in the schema"));
    if (r == 0 && near.size)
        r = buf_appendf(&hint, ": did you mean \"%.*s\"?", (int)near.size, near.data);
    judge->error = r;
    return tell(judge, place, NULL, &hint);
}

static bool fits_member(struct json_judge *judge, const struct node *node, struct str name,
    struct json value, const struct place *place)
{
    const struct node *known = find_property(&node->properties, name);
    bool found = known != NULL;
    if (known && !fits(judge, known, value, place))
        return false;
    for (size_t i = 0; i < node->pattern_properties.count; i++) {
        if (!matches(judge, node->pattern_properties.patterns[i], name, place))
            continue;
        found = true;
        if (!fits(judge, node->pattern_properties.nodes[i], value, place))
            return false;
    }
    if (judge->exhausted)
        return false;
    if (found || !node->additional_properties)
        return true;
    return node->additional_properties->nothing
               ? tell_unknown(judge, node, name, place)
               : fits(judge, node->additional_properties, value, place);
}

/* A name is judged as text by itself. */
static bool fits_name(
    struct json_judge *judge, const struct node *node, struct str name, const struct place *place)
{
    uint64_t words[1] = {(uint64_t)'"' << 56 | (uint64_t)JSON_SIZE_BEFORE << 32 | 4};
    char *text = arena_alloc(judge->arena, name.size + 4);
    if (!text) {
        judge->error = ERR_NO_MEMORY;
        return false;
    }
    uint32_t size = (uint32_t)name.size;
    memcpy(text, &size, sizeof size);
    if (name.size)
        memcpy(text + 4, name.data, name.size);
    const struct json_tape tape = {.words = words, .texts = text};
    return fits(judge, node, (struct json){&tape, 0}, place);
}

static bool fits_members(struct json_judge *judge, const struct node *node, struct json object,
    const struct place *place)
{
    struct json_iterator iterator;
    struct str key;
    struct json value;
    bool looks = node->properties.count || node->pattern_properties.count ||
                 node->additional_properties || node->property_names;
    if (!looks)
        return true;
    json_iterate(object, &iterator);
    while (json_next(&iterator, &key, &value)) {
        const struct place member = {.outer = place, .key = key.data ? key : STR("")};
        if (node->property_names && !fits_name(judge, node->property_names, key, &member))
            return false;
        if (!fits_member(judge, node, key, value, &member))
            return false;
    }
    return true;
}

static bool fits_dependents(struct json_judge *judge, const struct node *node, struct json object,
    const struct place *place)
{
    struct json member;
    const struct name_lists *lists = &node->dependent_required;
    for (size_t i = 0; i < lists->count; i++)
        if (json_get(object, lists->names[i], &member) &&
            !has_all(judge, node, object, &lists->lists[i], place))
            return false;
    const struct node_map *schemas = &node->dependent_schemas;
    for (size_t i = 0; i < schemas->count; i++)
        if (json_get(object, schemas->names[i], &member) &&
            !fits(judge, schemas->nodes[i], object, place))
            return false;
    return true;
}

static bool fits_object(struct json_judge *judge, const struct node *node, struct json object,
    const struct place *place)
{
    bool counts = node->min_properties != COUNT_ABSENT || node->max_properties != COUNT_ABSENT;
    int64_t count = counts ? (int64_t)json_count(object) : 0;
    if (count < node->min_properties)
        return say(judge, place, "has fewer than %lld members", (long long)node->min_properties);
    if (node->max_properties != COUNT_ABSENT && count > node->max_properties)
        return say(judge, place, "has more than %lld members", (long long)node->max_properties);
    return has_all(judge, node, object, &node->required, place) &&
           fits_members(judge, node, object, place) && fits_dependents(judge, node, object, place);
}

/* ---- schemas of schemas ---- */

static bool fits_quietly(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    judge->quiet++;
    bool result = fits(judge, node, value, place);
    judge->quiet -= judge->quiet > 0;
    return result;
}

static size_t count_fits(struct json_judge *judge, const struct node_list *list, struct json value,
    size_t enough, const struct place *place)
{
    size_t count = 0;
    for (size_t i = 0; count < enough && i < list->count; i++)
        count += fits_quietly(judge, list->list[i], value, place);
    return count;
}

/* One alternative that is unfit says why, several only that they are. */
static bool fits_any(struct json_judge *judge, const struct node_list *list, struct json value,
    const struct place *place)
{
    if (list->count == 1)
        return fits(judge, list->list[0], value, place);
    if (list->count == 0 || count_fits(judge, list, value, 1, place))
        return true;
    return say(judge, place, "fits none of the %zu schemas of anyOf", list->count);
}

static bool fits_one(struct json_judge *judge, const struct node_list *list, struct json value,
    const struct place *place)
{
    if (list->count == 1)
        return fits(judge, list->list[0], value, place);
    size_t count = list->count ? count_fits(judge, list, value, 2, place) : 1;
    if (count == 1)
        return true;
    return count ? say(judge, place, "fits more than one schema of oneOf")
                 : say(judge, place, "fits none of the %zu schemas of oneOf", list->count);
}

static bool fits_combined(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    if (node->ref && !fits(judge, node->ref, value, place))
        return false;
    for (size_t i = 0; i < node->all_of.count; i++)
        if (!fits(judge, node->all_of.list[i], value, place))
            return false;
    if (!fits_any(judge, &node->any_of, value, place) ||
        !fits_one(judge, &node->one_of, value, place))
        return false;
    if (node->not_ && fits_quietly(judge, node->not_, value, place))
        return say(judge, place, "fits the schema of not");
    if (!node->if_)
        return true;
    const struct node *next =
        fits_quietly(judge, node->if_, value, place) ? node->then_ : node->else_;
    return !next || fits(judge, next, value, place);
}

static bool fits_kind(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    switch (json_kind(value)) {
    case JSON_INT:
    case JSON_DOUBLE:
        return fits_number(judge, node, value, place);
    case JSON_TEXT:
        return fits_text(judge, node, json_text(value), place);
    case JSON_ARRAY:
        return fits_array(judge, node, value, place);
    case JSON_OBJECT:
        return fits_object(judge, node, value, place);
    default:
        return true;
    }
}

static bool fits(
    struct json_judge *judge, const struct node *node, struct json value, const struct place *place)
{
    if (!step(judge, place))
        return false;
    if (node->nothing)
        return say(judge, place, "nothing may be here");
    if (++judge->depth > JSON_SCHEMA_DEPTH_MAX) {
        judge->exhausted = true;
        judge->quiet = 0;
        return say(judge, place, "the schema goes too deep for this value");
    }
    bool result = fits_types(judge, node, value, place) && fits_values(judge, node, value, place) &&
                  fits_kind(judge, node, value, place) && fits_combined(judge, node, value, place);
    judge->depth--;
    return result && !judge->exhausted;
}

/* ---- publics ---- */

int json_judge_new(struct json_judge **out)
{
    struct json_judge *judge = calloc(1, sizeof *judge);
    if (!judge)
        return ERR_NO_MEMORY;
    judge->context = pcre2_match_context_create(NULL);
    judge->data = pcre2_match_data_create(1, NULL);
    if (!judge->context || !judge->data) {
        json_judge_free(&judge);
        return ERR_NO_MEMORY;
    }
    (void)pcre2_set_match_limit(judge->context, PATTERN_MATCH_LIMIT);
    (void)pcre2_set_depth_limit(judge->context, PATTERN_DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(judge->context, PATTERN_HEAP_KIB_MAX);
    *out = judge;
    return 0;
}

void json_judge_free(struct json_judge **judge)
{
    struct json_judge *gone = *judge;
    *judge = NULL;
    if (!gone)
        return;
    pcre2_match_context_free(gone->context);
    pcre2_match_data_free(gone->data);
    free(gone);
}

int json_schema_judge(const struct json_schema *schema, struct json_judge *judge, struct json value,
    struct arena *arena, struct json_misfit *misfit)
{
    const struct place whole = {.outer = NULL};
    *misfit = (struct json_misfit){.pointer = STR(""), .hint = STR("")};
    judge->arena = arena;
    judge->misfit = misfit;
    judge->steps = judge->depth = 0;
    judge->quiet = 0;
    judge->exhausted = judge->told = false;
    judge->error = 0;
    bool result = fits(judge, schema->root, value, &whole);
    judge->quiet = 0;
    if (judge->exhausted && !judge->told)
        (void)say(judge, &whole, TOO_MANY);
    if (judge->error)
        return judge->error;
    check(result || judge->told);
    return result ? 0 : JSON_MISFIT;
}

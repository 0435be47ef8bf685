/* Paths are looked up in the tables that native JSON is read by, so what can be said there can be
 * said here; values are judged by who sends the event. */
#include "deploy/event_flags.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/event_fields.h"
#include "schemas/json.h"

/* One PATH=VALUE. */
struct said {
    const struct event_field *top;   /* of the event */
    const struct event_field *field; /* whose value it is; NULL: a property's */
    struct str path, name, value;
    int item;  /* of order.items; -1: of none */
    bool json; /* the value is JSON */
};

struct writer {
    const struct event_flags *flags;
    struct buf *out;
    struct buf *problem;
    struct json_parser *parser;
};

/* ---- what is wrong ---- */

static __attribute__((format(printf, 2, 3))) int refuse(
    struct writer *writer, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(writer->problem);
    int r = buf_append(
        writer->problem, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
    return r < 0 ? r : ERR_VALUE;
}

static int refuse_value(struct writer *writer, const struct said *said, const char *wanted)
{
    return refuse(writer, "--field %.*s: %s is wanted, not \"%.*s\"", (int)said->path.size,
        said->path.data, wanted, (int)said->value.size, said->value.data);
}

static int refuse_path(struct writer *writer, struct str path, const char *wanted)
{
    return refuse(writer, "--field %.*s: %s", (int)path.size, path.data, wanted);
}

static int refuse_name(
    struct writer *writer, struct str path, const struct event_part *part, struct str name)
{
    struct str near = event_field_nearest(part, true, name);
    if (near.size)
        return refuse(writer, "--field %.*s: there is no \"%.*s\" (did you mean \"%.*s\"?)",
            (int)path.size, path.data, (int)name.size, name.data, (int)near.size, near.data);
    return refuse(writer, "--field %.*s: there is no \"%.*s\"; other facts are properties.NAME",
        (int)path.size, path.data, (int)name.size, name.data);
}

/* ---- paths ---- */

/* The word up to the next point; *path becomes what is behind it. */
static struct str next_word(struct str *path)
{
    const char *point = path->size ? memchr(path->data, '.', path->size) : NULL;
    struct str word = *path;
    if (point)
        word.size = (size_t)(point - path->data);
    size_t used = word.size + (point != NULL);
    *path = str_make(path->data + used, path->size - used);
    return word;
}

/* N.NAME, of the items of an order. */
static int find_item(struct writer *writer, struct str rest, struct said *said)
{
    struct str number = next_word(&rest);
    int index = 0;
    bool valid = number.size > 0 && number.size <= 4 && rest.size > 0;
    for (size_t i = 0; valid && i < number.size; i++) {
        valid = number.data[i] >= '0' && number.data[i] <= '9';
        index = 10 * index + (number.data[i] - '0');
    }
    if (!valid)
        return refuse_path(writer, said->path, "an item is order.items.N.NAME, N from 0");
    said->item = index;
    said->name = rest;
    said->field = event_field_find(&event_part_item, rest);
    return said->field ? 0 : refuse_name(writer, said->path, &event_part_item, rest);
}

static int find_member(struct writer *writer, struct str rest, struct said *said)
{
    const struct event_part *part = said->top->part;
    if (rest.size == 0)
        return refuse_path(writer, said->path, "it has parts: PATH.NAME=VALUE");
    said->name = next_word(&rest);
    said->field = event_field_find(part, said->name);
    if (!said->field)
        return refuse_name(writer, said->path, part, said->name);
    if (said->field->kind == EVENT_FIELD_ITEMS)
        return find_item(writer, rest, said);
    return rest.size ? refuse_path(writer, said->path, "it has no parts") : 0;
}

static int find(struct writer *writer, struct said *said)
{
    struct str rest = said->path;
    struct str name = next_word(&rest);
    said->item = -1;
    said->top = event_field_find(&event_part_touchpoint, name);
    if (!said->top)
        return refuse_name(writer, said->path, &event_part_touchpoint, name);
    said->name = name;
    said->field = said->top;
    switch (said->top->kind) {
    case EVENT_FIELD_PART:
    case EVENT_FIELD_CONSENT:
        return find_member(writer, rest, said);
    case EVENT_FIELD_PROPERTIES:
        said->name = rest;
        said->field = NULL;
        return rest.size ? 0 : refuse_path(writer, said->path, "it has parts: properties.NAME");
    case EVENT_FIELD_TYPE:
    case EVENT_FIELD_EVENT_ID:
    case EVENT_FIELD_IDS:
        return refuse_path(writer, said->path, "--type, --event-id and --id say it");
    default:
        if (str_equal(name, STR("time")))
            return refuse_path(writer, said->path, "--time says it");
        return rest.size ? refuse_path(writer, said->path, "it has no parts") : 0;
    }
}

static int take_apart(struct writer *writer, const char *text, struct said *said)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return refuse(writer, "--field needs PATH=VALUE, not \"%s\"", text);
    *said = (struct said){.path = str_make(text, (size_t)(equals - text)),
        .value = str_of(equals + 1),
        .json = equals[-1] == ':'};
    if (said->json)
        said->path.size--;
    int r = find(writer, said);
    if (r == 0 && said->json && said->field)
        return refuse_path(writer, said->path, ":= is of properties alone");
    return r;
}

/* ---- values ---- */

static int put_text(struct writer *writer, const char *flag, struct str text)
{
    if (!json_utf8_valid(text))
        return refuse(writer, "%s: it is not UTF-8", flag);
    return json_write_text(writer->out, text);
}

static int put_integer(struct writer *writer, const struct said *said)
{
    char *end;
    errno = 0;
    long long number = strtoll(said->value.data, &end, 10);
    bool digits = said->value.size > 0 && !char_is_blank(said->value.data[0]);
    if (errno || !digits || *end)
        return refuse_value(writer, said, "an integer");
    return json_write_int(writer->out, number);
}

static int put_bool(struct writer *writer, const struct said *said, bool words)
{
    if (str_equal(said->value, STR("true")) || str_equal(said->value, STR("false")))
        return buf_append_str(writer->out, said->value);
    return words ? put_text(writer, "--field", said->value)
                 : refuse_value(writer, said, "true or false");
}

static int put_json(struct writer *writer, const struct said *said)
{
    struct json value;
    int r = json_parse(writer->parser, said->value, &value);
    if (r == ERR_NO_MEMORY)
        return r;
    return r < 0 ? refuse_value(writer, said, "JSON") : json_write_canonical(value, writer->out);
}

/* {"NAMESPACE":"VALUE"} */
static int put_node(struct writer *writer, const struct said *said)
{
    const char *colon = memchr(said->value.data, ':', said->value.size);
    if (!colon)
        return refuse_value(writer, said, "NAMESPACE:VALUE");
    struct str name = str_make(said->value.data, (size_t)(colon - said->value.data));
    int r = buf_append_str(writer->out, STR("{"));
    if (r == 0)
        r = put_text(writer, "--field", name);
    if (r == 0)
        r = buf_append_str(writer->out, STR(":"));
    if (r == 0)
        r = put_text(writer, "--field", str_of(colon + 1));
    return r == 0 ? buf_append_str(writer->out, STR("}")) : r;
}

static int put_value(struct writer *writer, const struct said *said)
{
    if (said->json)
        return put_json(writer, said);
    if (!said->field)
        return put_text(writer, "--field", said->value);
    switch (said->field->kind) {
    case EVENT_FIELD_INT:
    case EVENT_FIELD_LONG:
        return put_integer(writer, said);
    case EVENT_FIELD_BOOL:
        return put_bool(writer, said, false);
    case EVENT_FIELD_CHOICE:
        return put_bool(writer, said, true);
    case EVENT_FIELD_NODE_A:
    case EVENT_FIELD_NODE_B:
        return put_node(writer, said);
    default:
        return put_text(writer, "--field", said->value);
    }
}

/* ---- objects ---- */

/* "NAME": with a comma where something stands before it in its object. */
static int put_name(struct writer *writer, struct str name)
{
    bool first = writer->out->size && writer->out->data[writer->out->size - 1] == '{';
    int r = first ? 0 : buf_append_str(writer->out, STR(","));
    if (r == 0)
        r = put_text(writer, "--field", name);
    return r == 0 ? buf_append_str(writer->out, STR(":")) : r;
}

/* What is said of one part of the event, or of one of its items. *count: how many members. */
static int put_members(
    struct writer *writer, const struct event_field *top, int item, size_t *count)
{
    struct said said;
    int r = 0;
    *count = 0;
    for (size_t i = 0; r == 0 && i < writer->flags->fields_count; i++) {
        r = take_apart(writer, writer->flags->fields[i], &said);
        if (r < 0 || said.top != top || said.item != item)
            continue;
        (*count)++;
        r = put_name(writer, said.name);
        if (r == 0)
            r = put_value(writer, &said);
    }
    return r;
}

/* Whether items are said; *last is the number of the last. */
static int count_items(struct writer *writer, const struct event_field *top, int *last)
{
    struct said said;
    int r = 0;
    *last = -1;
    for (size_t i = 0; r == 0 && i < writer->flags->fields_count; i++) {
        r = take_apart(writer, writer->flags->fields[i], &said);
        if (r == 0 && said.top == top && said.item > *last)
            *last = said.item;
    }
    return r;
}

static int put_items(struct writer *writer, const struct event_field *top)
{
    int last = -1;
    int r = count_items(writer, top, &last);
    if (r < 0 || last < 0)
        return r;
    r = put_name(writer, STR("items"));
    for (int item = 0; r == 0 && item <= last; item++) {
        size_t count = 0;
        r = buf_append_str(writer->out, item ? STR(",{") : STR("[{"));
        if (r == 0)
            r = put_members(writer, top, item, &count);
        if (r == 0 && count == 0)
            return refuse(writer, "--field order.items.%d is there, but not %d", last, item);
        if (r == 0)
            r = buf_append_str(writer->out, STR("}"));
    }
    return r == 0 ? buf_append_str(writer->out, STR("]")) : r;
}

static bool has_members(const struct event_field *top)
{
    return top->kind == EVENT_FIELD_PART || top->kind == EVENT_FIELD_CONSENT ||
           top->kind == EVENT_FIELD_PROPERTIES;
}

/* A field of the event, where something of it is said. */
static int put_top(struct writer *writer, const struct event_field *top)
{
    size_t count = 0, before = writer->out->size;
    if (!has_members(top))
        return put_members(writer, top, -1, &count);
    int r = put_name(writer, top->name);
    if (r == 0)
        r = buf_append_str(writer->out, STR("{"));
    size_t empty = writer->out->size;
    if (r == 0)
        r = put_members(writer, top, -1, &count);
    if (r == 0)
        r = put_items(writer, top);
    if (r == 0 && writer->out->size == empty) {
        writer->out->size = before;
        return 0;
    }
    return r == 0 ? buf_append_str(writer->out, STR("}")) : r;
}

/* ---- identifiers ---- */

static struct str namespace_of(const char *identifier)
{
    return str_make(identifier, strcspn(identifier, ":"));
}

static bool named_before(const struct event_flags *flags, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_equal(namespace_of(flags->identifiers[k]), namespace_of(flags->identifiers[i])))
            return true;
    return false;
}

/* "NAMESPACE":["VALUE",...] of all of the namespace of identifier `first`. */
static int put_namespace(struct writer *writer, size_t first)
{
    const struct event_flags *flags = writer->flags;
    struct str name = namespace_of(flags->identifiers[first]);
    int r = put_name(writer, name);
    for (size_t i = first; r == 0 && i < flags->identifiers_count; i++) {
        if (!str_equal(namespace_of(flags->identifiers[i]), name))
            continue;
        r = buf_append_str(writer->out, i == first ? STR("[") : STR(","));
        if (r == 0)
            r = put_text(writer, "--id", str_of(flags->identifiers[i] + name.size + 1));
    }
    return r == 0 ? buf_append_str(writer->out, STR("]")) : r;
}

static int put_identifiers(struct writer *writer)
{
    const struct event_flags *flags = writer->flags;
    for (size_t i = 0; i < flags->identifiers_count; i++) {
        struct str name = namespace_of(flags->identifiers[i]);
        const char *behind = flags->identifiers[i] + name.size;
        if (name.size == 0 || behind[0] != ':' || behind[1] == '\0')
            return refuse(writer, "--id needs NAMESPACE:VALUE, not \"%s\"", flags->identifiers[i]);
    }
    int r = put_name(writer, STR("ids"));
    if (r == 0)
        r = buf_append_str(writer->out, STR("{"));
    for (size_t i = 0; r == 0 && i < flags->identifiers_count; i++)
        if (!named_before(flags, i))
            r = put_namespace(writer, i);
    return r == 0 ? buf_append_str(writer->out, STR("}")) : r;
}

/* ---- the event ---- */

static bool is_integer(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && strspn(text, "0123456789") == size;
}

static int put_head(struct writer *writer)
{
    const struct event_flags *flags = writer->flags;
    int r = buf_append_str(writer->out, STR("{\"type\":"));
    if (r == 0)
        r = put_text(writer, "--type", str_of(flags->type));
    if (r == 0 && flags->id) {
        r = put_name(writer, STR("id"));
        if (r == 0)
            r = put_text(writer, "--event-id", str_of(flags->id));
    }
    if (r < 0 || !flags->time)
        return r;
    r = put_name(writer, STR("time"));
    if (r < 0)
        return r;
    return is_integer(flags->time) ? buf_append_str(writer->out, str_of(flags->time))
                                   : put_text(writer, "--time", str_of(flags->time));
}

int event_flags_write(const struct event_flags *flags, struct buf *out, struct buf *problem)
{
    struct writer writer = {.flags = flags, .out = out, .problem = problem};
    size_t before = out->size;
    int r = json_parser_new(&writer.parser);
    if (r == 0)
        r = put_head(&writer);
    if (r == 0)
        r = put_identifiers(&writer);
    for (size_t i = 0; r == 0 && i < event_part_touchpoint.count; i++)
        r = put_top(&writer, &event_part_touchpoint.fields[i]);
    if (r == 0)
        r = buf_append_str(out, STR("}"));
    json_parser_free(&writer.parser);
    if (r < 0)
        out->size = before;
    return r;
}
